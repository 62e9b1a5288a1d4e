package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxSecret is the size of a secret file from which on it is none.
const maxSecret = 64 << 10

// Secret is a secret, or the file that holds it. However it is printed, the
// secret is not.
type Secret struct {
	file  string
	value *string // a pointer: formatting a struct around it shows an address at most
	from  string  // what value was given by
}

// Set says whether there is one.
func (s Secret) Set() bool { return s.file != "" || s.value != nil }

// File is the path of its file, or "" where it was given directly.
func (s Secret) File() string { return s.file }

// Read returns the secret, as its file has it now, without the end of its line.
func (s Secret) Read() (string, error) {
	if s.value != nil {
		return *s.value, nil
	}
	text, _, err := readSecret(s.file)
	if err != nil {
		return "", fmt.Errorf("secret file %s: %w", s.file, err)
	}
	return text, nil
}

// String says where the secret is.
func (s Secret) String() string {
	switch {
	case s.file != "":
		return "(from " + s.file + ")"
	case s.value != nil:
		return "(hidden, from " + s.from + ")"
	default:
		return "(none)"
	}
}

// Format prints String for every verb: some of fmt's would print the fields.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText says where it is also in JSON, in YAML and to loggers.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// secretError is a cause that names no path: what was written in its place may
// be the secret itself.
type secretError string

func (e secretError) Error() string { return string(e) }

// readSecret reads a secret's file, which must be one that can be read again.
func readSecret(path string) (text string, mode fs.FileMode, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", 0, fileError(err)
	case info.IsDir():
		return "", 0, secretError("is a directory")
	case !info.Mode().IsRegular():
		return "", 0, secretError("is not a regular file: it is read again for each run")
	case info.Size() > maxSecret:
		return "", 0, secretError("is larger than 64 KiB: that is no secret")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", 0, fileError(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", 0, fileError(err)
	}
	data = bytes.TrimRight(data, "\r\n")
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return "", 0, secretError("is empty")
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		return "", 0, secretError("is not text")
	}
	return string(data), info.Mode(), nil
}

// fileError is the cause without the path.
func fileError(err error) error {
	for _, known := range []struct {
		is  error
		why string
	}{{fs.ErrNotExist, "is not there"}, {fs.ErrPermission, "cannot be read: permission denied"}} {
		if errors.Is(err, known.is) {
			return secretError(known.why)
		}
	}
	return secretError("cannot be read")
}

// byEngine says whether the engine made the file: a secret of Docker's is
// readable for everybody in the container.
func byEngine(path string) bool {
	return strings.HasPrefix(filepath.Clean(path), "/run/secrets/")
}

package aof

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// maxLine is as much of a line as a server reads, newline included.
const maxLine = 1024

// Manifest is what a multi-part AOF's manifest file lists.
type Manifest struct {
	Entries []Entry // in the file's order
}

// Entry is one file of a multi-part AOF.
type Entry struct {
	Name string // base name in the AOF directory
	Seq  int64
	Type Type

	// line is the entry as it was read, without its newline. It holds what this
	// package does not know, such as the replication offsets that Redis 8.0
	// and later write.
	line string
}

// Type says what a file of a multi-part AOF is for.
type Type byte

// The types of files, as the manifest writes them.
const (
	Base    Type = 'b' // the data at the last rewrite
	History Type = 'h' // replaced by a rewrite, and about to be deleted
	Incr    Type = 'i' // the commands since
)

// ParseManifest reads the text of a manifest file. What servers refuse is
// refused with a *ManifestError, and so is more, which no server writes: a
// sequence number with anything but digits, a comment that is longer than a
// server reads at once, a file that is listed twice, and a name that is empty,
// a directory's or has a control character in it. Such a name would let a
// manifest reach outside of its directory, or draw on a terminal.
func ParseManifest(text []byte) (Manifest, error) {
	if len(text) == 0 {
		return Manifest{}, &ManifestError{1, "the manifest is empty"}
	}
	l := listing{names: map[string]bool{}}
	for n := 1; len(text) > 0; n++ {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		if err := l.read(string(line), ended); err != nil {
			return Manifest{}, &ManifestError{n, err.Error()}
		}
		text = rest
	}
	return Manifest{l.entries}, nil
}

// listing is a manifest of which some lines were read.
type listing struct {
	entries []Entry
	names   map[string]bool
	base    bool
	incr    int64 // number of the last one
}

func (l *listing) read(line string, ended bool) error {
	if len(line) >= maxLine {
		return fmt.Errorf("longer than %d bytes", maxLine)
	}
	if strings.HasPrefix(line, "#") {
		return nil
	}
	if !ended {
		return errors.New("no newline at its end: the manifest was cut")
	}
	e, err := parseEntry(line)
	if err != nil {
		return err
	}
	return l.add(e)
}

func (l *listing) add(e Entry) error {
	if l.names[e.Name] {
		return fmt.Errorf("%q is listed twice", e.Name)
	}
	l.names[e.Name] = true
	switch e.Type {
	case Base:
		if l.base {
			return errors.New("a second base file")
		}
		l.base = true
	case Incr:
		if e.Seq <= l.incr {
			return fmt.Errorf("incremental file %d comes after number %d", e.Seq, l.incr)
		}
		l.incr = e.Seq
	case History:
	default:
		return fmt.Errorf("unknown type %q", byte(e.Type))
	}
	l.entries = append(l.entries, e)
	return nil
}

// parseEntry reads the pairs of keys and values in a line. Of a key that is
// there twice, the last value counts, as for servers; other keys than the three
// are for servers that are newer than we are.
func parseEntry(line string) (Entry, error) {
	words, ok := split(line)
	switch {
	case !ok:
		return Entry{}, errors.New("quotes that are not closed, or not followed by a space")
	case len(words) == 0:
		return Entry{}, errors.New("a blank line")
	case len(words) < 6 || len(words)%2 != 0:
		return Entry{}, fmt.Errorf("%d words, want pairs for file, seq and type", len(words))
	case strings.Contains(strings.Join(words, ""), "\x00"):
		return Entry{}, errors.New("a zero byte, which ends a word for servers")
	}
	e := Entry{line: line}
	for i := 0; i < len(words); i += 2 {
		if err := e.set(words[i], words[i+1]); err != nil {
			return Entry{}, err
		}
	}
	if e.Name == "" || e.Seq == 0 || e.Type == 0 {
		return Entry{}, errors.New("file, seq or type is missing")
	}
	return e, nil
}

func (e *Entry) set(key, value string) (err error) {
	switch {
	case isWord(key, "file"):
		e.Name, err = value, checkName(value)
	case isWord(key, "seq"):
		e.Seq, err = sequence(value)
	case isWord(key, "type"):
		e.Type = Type((value + "\x00")[0]) // servers do not look further
	}
	return err
}

// isWord compares as servers do, for whom only ASCII letters have a case.
func isWord(s, word string) bool { return len(s) == len(word) && strings.EqualFold(s, word) }

// checkName refuses what servers refuse, which is both kinds of slashes, and
// what this package refuses.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("an empty file name")
	case name == "." || name == "..":
		return fmt.Errorf("%q is a directory", name)
	case strings.ContainsAny(name, `/\`):
		return fmt.Errorf("%q is a path, want the name of a file", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%q has a control character in it", name)
	}
	return nil
}

func sequence(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("sequence number %q", s)
	}
	return int64(n), nil
}

// Live lists the files that a server loads, in the order in which it loads
// them: the base file if there is one, then the incremental ones.
func (m Manifest) Live() []Entry {
	var live []Entry
	for _, e := range m.Entries {
		switch e.Type {
		case Base:
			live = append([]Entry{e}, live...)
		case Incr:
			live = append(live, e)
		}
	}
	return live
}

// Text is the manifest of the live files alone: their lines as they were read,
// without history and comments. An entry that was not read is written as a
// server writes it.
func (m Manifest) Text() []byte {
	var text []byte
	for _, e := range m.Live() {
		line := e.line
		if line == "" {
			line = format(e)
		}
		text = append(append(text, line...), '\n')
	}
	return text
}

// BaseManifest is the text of a manifest that lists one base file and no other.
// A server that loads it adds an incremental file itself.
func BaseManifest(name string) []byte {
	return Manifest{[]Entry{{Name: name, Seq: 1, Type: Base}}}.Text()
}

func format(e Entry) string {
	return fmt.Sprintf("file %s seq %d type %c", quote(e.Name), e.Seq, e.Type)
}

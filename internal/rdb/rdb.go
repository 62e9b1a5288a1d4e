// Package rdb reads a Redis or Valkey RDB file as a stream of bytes: its
// header, its structure and its checksum.
//
// Scan promises four things. A file that is cut, altered or followed by other
// bytes is refused with a *FormatError, as far as the file itself can tell: a
// server told to write no checksum leaves only the structure to check. A file
// with content that this package does not know, because a newer server or a
// fork wrote it, is not refused: it is read to its end, its checksum is
// checked, and the summary says that its keys were not counted, and why.
// Memory stays flat whatever the file or its lengths say. No key and no value
// is kept or handed out.
//
// It does not look inside values: a value is skipped by its length, and what
// it holds is covered by the checksum alone. Whether a server loads the file is
// a question for a server.
package rdb

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Summary is what one RDB file says about itself.
type Summary struct {
	Magic   string // "REDIS" or "VALKEY"
	Version int

	// Aux holds the file's own fields ("redis-ver", "repl-id", ...), as text.
	// Fields that are unusually long or many are left out.
	Aux        map[string]string
	CTime      time.Time // when the server wrote the file, in UTC; zero if it does not say
	UsedMemory int64     // of the server at that time, in bytes; 0 if the file does not say

	// Keyspace lists the databases that hold keys, by number. It and Functions
	// are empty unless Counted.
	Keyspace  []Keys
	Functions int // function libraries

	// Modules names the module data types that the file holds data of, sorted.
	// Unless Counted, only those met before the unknown part.
	Modules []string

	// Counted says that the whole structure was understood. If not, Unknown
	// says what was not.
	Counted bool
	Unknown string

	// ChecksumDisabled says that the file carries no checksum, so that altered
	// bytes in its values would go unnoticed.
	ChecksumDisabled bool
	Size             int64 // of the file, in bytes
}

// Keys counts the keys of one database.
type Keys struct {
	DB      int
	Keys    int64 // all keys, expired ones included, as DBSIZE counts them
	Expires int64 // keys with a time to live
	Expired int64 // keys whose time had come; for Scan at Summary.CTime, and 0 without that
}

// FormatError says that the bytes are not a whole, unaltered RDB file.
type FormatError struct {
	Offset int64 // where it shows, which may be after the damage
	Reason string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("RDB file, byte %d: %s", e.Offset, e.Reason)
}

// unknownError ends the walk of a file that this package cannot follow further.
// It never leaves the package.
type unknownError struct{ what string }

func (e *unknownError) Error() string { return e.what }

// Scan reads r to its end and reports what the RDB file in it holds. It
// returns a *FormatError when the file is torn or corrupt, and an error that
// wraps r's own when r fails.
func Scan(r io.Reader) (Summary, error) { return ScanAt(r, time.Time{}) }

// ScanAt is Scan, and counts those keys as expired whose time has come at the
// given instant instead of when the file was written. A server that loads the
// file then drops them.
func ScanAt(r io.Reader, at time.Time) (Summary, error) {
	w := newWalker(r)
	if !at.IsZero() {
		w.expiredAtMS, w.fixedAt = at.UnixMilli(), true
	}
	if err := w.header(); err != nil {
		return Summary{}, err
	}
	err := w.known()
	if err == nil {
		err = w.walk()
	}
	var unknown *unknownError
	switch {
	case errors.As(err, &unknown):
		w.report.Unknown = unknown.what
		err = w.drain()
	case err == nil:
		w.report.Counted = true
		if err = w.footer(); err == nil {
			err = w.nothing()
		}
	}
	if err != nil {
		return Summary{}, err
	}
	return w.summary(), nil
}

// ScanPreamble reads the RDB file with which an append-only file may begin, and
// returns what follows it. Size in the summary is that of the preamble. A
// preamble with content that this package does not know has no end that it
// could tell: its summary is not Counted, and rest is nil.
func ScanPreamble(r io.Reader) (s Summary, rest io.Reader, err error) {
	w := newWalker(r)
	if err := w.header(); err != nil {
		return Summary{}, nil, err
	}
	if err = w.known(); err == nil {
		err = w.walk()
	}
	if unknown := (*unknownError)(nil); errors.As(err, &unknown) {
		w.report.Unknown = unknown.what
		return w.summary(), nil, nil
	}
	if err == nil {
		w.report.Counted = true
		err = w.footer()
	}
	if err != nil {
		return Summary{}, nil, err
	}
	s = w.summary()
	s.Size = w.offset()
	return s, w.rest(), nil
}

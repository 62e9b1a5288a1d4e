// Package aof reads the bytes of Redis and Valkey append-only files: the
// manifest that lists the files of a multi-part one, and the commands within a
// file.
//
// ParseManifest promises to take a manifest as a server takes it: what it
// accepts, a server accepts and reads the same way, and what a server writes,
// it accepts. Where it is stricter than servers are, it says so. A Walker
// promises to say of every prefix of a file where it may be cut: after a whole
// command that is outside of a transaction, so that a server loads it and
// reverts nothing. It says so whatever the pieces are that the bytes come in,
// and its memory stays flat whatever the lengths in them say.
//
// Neither reads an RDB file, which a base file and the head of an old-style
// file can be: that is for the caller to skip. Neither knows commands: that one
// exists, and has the right arguments, is a question for a server. And neither
// can tell that a value was altered, or a command replaced by another of the
// same length: an append-only file has no checksum.
package aof

import "fmt"

// ManifestError says that a server would not read a text as a manifest, or that
// it breaks a rule of ours.
type ManifestError struct {
	Line   int // from 1
	Reason string
}

func (e *ManifestError) Error() string {
	return fmt.Sprintf("AOF manifest, line %d: %s", e.Line, e.Reason)
}

// FormatError says that bytes are not those of an append-only file.
type FormatError struct {
	Offset int64 // of the first wrong byte, which may be after the damage
	Reason string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("append-only file, byte %d: %s", e.Offset, e.Reason)
}

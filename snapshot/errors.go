package snapshot

import (
	"fmt"
	"strconv"
)

// FormatError says that a file of a snapshot is not what the format asks for:
// What is the file ("manifest.json") and Why names the member and the rule.
type FormatError struct {
	What string
	Why  string
}

func (e *FormatError) Error() string { return e.What + ": " + e.Why }

// NewerFormatError says that a file was written by a newer redisbak, in a way
// that this one must not guess at. Exactly one of Format and Feature is set.
type NewerFormatError struct {
	What    string // the file
	Format  int    // the newer format
	Feature string // or the one feature that is not known here
}

func (e *NewerFormatError) Error() string {
	if e.Feature != "" {
		return e.What + ": needs " + shown(e.Feature) + ", which this redisbak does not know"
	}
	return fmt.Sprintf("%s: has format %d, this redisbak reads format %d", e.What, e.Format, Version)
}

// The facts that a MismatchError can be about.
const (
	MismatchSize         = "size"          // of the raw bytes
	MismatchSHA256       = "sha256"        // of the raw bytes
	MismatchStoredSize   = "stored size"   // of the file as stored
	MismatchStoredSHA256 = "stored sha256" // of the file as stored
	MismatchStream       = "stream"        // the compressed stream is torn, corrupt or not the only one
)

// MismatchError says that the bytes of a payload file are not those that the
// manifest describes. An error of the disk under it is never one of these.
type MismatchError struct {
	Name string // of the file in the snapshot
	What string // one of the Mismatch constants
	Want string
	Got  string
}

func (e *MismatchError) Error() string {
	return e.Name + ": " + e.What + " is " + e.Got + ", want " + e.Want
}

// shown quotes text of unknown origin for an error, and cuts it short.
func shown(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

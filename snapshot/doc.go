// Package snapshot is the format of a redisbak repository on disk: the ids of
// snapshots, the manifest, the proof, the marks, the list of checksums, and
// the payload files themselves. FORMAT.md, in this directory, specifies it for
// those who want to read a repository without redisbak; this package is the
// other half of that promise, and testdata/format/v1 holds what every later
// version must still read.
//
// It promises that what it writes, it reads back the same; that what it reads
// is whole, and valid by every rule of the format, or refused with an error
// that names the file, the member and the rule; that no path in a manifest
// that it gives out leaves the directory it belongs to; and that no input, of
// whatever size or depth, makes it panic or take more than 20 MiB of memory.
//
// It knows readers and writers, and no files, directories, locks or clocks:
// those belong to the repository that keeps the snapshots. Nor does it know
// what is in a payload.
//
// # Where to begin
//
// [EncodeManifest] and [DecodeManifest] turn a [Manifest] into the bytes of
// manifest.json and back; [EncodeProof], [EncodeMarks] and [EncodeSums] and
// their counterparts do so for the files beside it. [NewWriter] compresses and
// hashes one payload file, [NewReader] gives its bytes back and ends with
// io.EOF only if all of them are right, and [CheckStored] re-reads what lies
// on the disk without unpacking it.
//
// # Errors
//
// A [FormatError] means that bytes are not what the format asks for, a
// [NewerFormatError] that a newer redisbak wrote them, a [MismatchError] that a
// payload is not the one that its manifest describes. Any other error is that
// of the reader or writer that was given.
package snapshot

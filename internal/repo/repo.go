// Package repo keeps snapshots at rest in a directory: its layout, its locks,
// the way from a draft to a committed snapshot, listing, and the check of what
// lies there.
//
//	<repo>/redisbak.json                     the marker: format and repository id
//	<repo>/.runs/<run>                       one locked file per run that is alive
//	<repo>/<source>/<id>/                    one committed snapshot
//	<repo>/<source>/.draft-<id>/             one that is being written
//	<repo>/<source>/.pruned-<id>/            one that is being removed
//	<repo>/<source>/restores/<run>.json      what a restore began, and whether it ended
//	<repo>/<source>/.writer.lock .keep.lock .marks.lock
//
// It promises:
//
//   - A snapshot appears by one rename, after every byte of it was flushed and
//     read back. Whatever interrupts the way there leaves a draft, which is
//     never listed and which the next sweep removes.
//   - A committed snapshot's payload, manifest and sums are never written
//     again. Only proof.json and marks.json are, each by one rename.
//   - One damaged snapshot never hides its neighbours: it is named as a Problem
//     and the rest is listed. A directory that cannot be read is an error,
//     never an empty list.
//   - Nothing but drafts and retired snapshots is ever swept away.
//
// It does not know Docker, Redis or what is inside a payload, does not decide
// which snapshots to keep, and prints nothing. Locks are flock(2): death frees
// them at once, a stopped holder keeps them. They hold between the processes
// of one host and, where the file system carries flock, between hosts; a token
// that is read again before the commit catches a lock that was lost there.
package repo

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// Repo is an open repository. It holds no file open and may be used from
// several goroutines.
type Repo struct {
	dir      string // absolute, symbolic links resolved
	id       string
	warnings []string
	disk     disk
}

// ID is the repository's identity, 32 hex digits, the same for ever.
func (r *Repo) ID() string { return r.id }

// Dir is the repository's directory, absolute and free of symbolic links.
func (r *Repo) Dir() string { return r.dir }

// Warnings say what is loose about the directory and those above it: who else
// could change or replace the snapshots.
func (r *Repo) Warnings() []string { return r.warnings }

// Option changes how a repository is created.
type Option func(*options)

type options struct{ parents bool }

// MakeParents also creates the missing directories above the repository. It is
// meant for the default paths, where no mount point can be missing.
func MakeParents(o *options) { o.parents = true }

// Open opens the repository at dir, which may be a symbolic link to it.
func Open(dir string) (*Repo, error) {
	resolved, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	id, err := readMarker(resolved)
	if err != nil {
		return nil, err
	}
	return &Repo{dir: resolved, id: id, warnings: looseness(resolved, os.Geteuid()), disk: osDisk{}}, nil
}

// Init makes a new repository at dir, which must not exist yet or be an empty
// directory (a lost+found does not count). An existing one is ErrExists.
func Init(dir string, opts ...Option) (*Repo, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return nil, &UnusableError{Dir: path, Reason: "it is not a directory"}
	case err == nil:
		if err := furnish(path); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		if err := build(path, opts); err != nil {
			return nil, err
		}
	case errors.Is(err, unix.ENOTDIR):
		return nil, &UnusableError{Dir: path, Reason: "what is above it is not a directory"}
	default:
		return nil, err
	}
	return Open(path)
}

// Create opens the repository at dir, or makes it where nothing is there at
// all; the bool says that it is new. A directory without a marker is refused,
// also an empty one: it may be a mount point whose disk is not mounted.
func Create(dir string, opts ...Option) (*Repo, bool, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, false, err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		made := build(path, opts)
		if made != nil && !errors.Is(made, ErrExists) && !errors.Is(made, ErrLocked) {
			return nil, false, made
		}
		// Another one may have been faster.
		r, err := Open(path)
		if err != nil {
			return nil, false, cmp.Or(made, err)
		}
		return r, made == nil, nil
	}
	r, err := Open(path)
	return r, false, err
}

// build makes a repository where nothing is, by one rename, so that a kill
// leaves either a whole repository or nothing under that name.
func build(path string, opts []Option) error {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return &UnusableError{Dir: path, Reason: "it is a symbolic link to nothing"}
	}
	parent := filepath.Dir(path)
	if o.parents {
		if err := mkdirAll(parent); err != nil {
			return err
		}
	}
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		return &UnusableError{Dir: path, Reason: "its parent directory does not exist"}
	}
	// The name is fixed, so that what a kill leaves here is used by the next
	// one, and locked, so that two at once do not mix.
	draft := filepath.Join(parent, "."+filepath.Base(path)+".redisbak-new")
	d := osDisk{}
	switch err := d.Mkdir(draft); {
	case err == nil, errors.Is(err, fs.ErrExist):
	case errors.Is(writeError(err), ErrNotWritable):
		return &UnusableError{Dir: path, Reason: fmt.Sprintf("%s cannot be written: %s", parent, reason(err))}
	default:
		return err
	}
	release, err := lockDir(draft)
	if err != nil {
		return err
	}
	defer release()
	// A killed one may have come as far as the marker.
	if err := d.RemoveAll(filepath.Join(draft, markerName)); err != nil {
		return err
	}
	if err := writeMarker(draft); err != nil {
		return err
	}
	if err := d.Rename(draft, path); err != nil {
		return errors.Join(existsError(path, err), d.RemoveAll(draft))
	}
	return d.SyncDir(parent)
}

// furnish makes the existing directory path a repository.
func furnish(path string) error {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	names, err := os.ReadDir(resolved)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(resolved, markerName)); err == nil {
		if _, err := readMarker(resolved); err != nil {
			return err
		}
		return fmt.Errorf("repository %s: %w", path, ErrExists)
	}
	for _, e := range names {
		switch e.Name() {
		case markerName + newSuffix, "lost+found":
		default:
			return &UnusableError{Dir: path, Reason: "it is not empty"}
		}
	}
	release, err := lockDir(resolved)
	if err != nil {
		return err
	}
	defer release()
	// Of a directory that is another user's, Warnings will tell.
	if err := os.Chmod(resolved, dirMode); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return writeMarker(resolved)
}

func existsError(path string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("repository %s: %w", path, ErrExists)
	}
	return err
}

// resolve returns dir absolute and without symbolic links.
func resolve(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &NoRepositoryError{Dir: path, Reason: "no such directory"}
	case errors.Is(err, unix.ENOTDIR):
		return "", &NoRepositoryError{Dir: path, Reason: "what is above it is not a directory"}
	case err != nil:
		return "", fmt.Errorf("repository %s: %w", path, err)
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return "", fmt.Errorf("repository %s: %w", path, err)
	}
	if !info.IsDir() {
		return "", &NoRepositoryError{Dir: path, Reason: "it is not a directory"}
	}
	return resolved, nil
}

// marker is redisbak.json.
type marker struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
}

func (m marker) encode() []byte {
	return fmt.Appendf(nil, "{\"format\":%d,\"id\":\"%s\"}\n", m.Format, m.ID)
}

// readMarker returns the id of the repository at dir.
func readMarker(dir string) (string, error) {
	raw, err := readSmall(filepath.Join(dir, markerName), markerLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return "", &NoRepositoryError{Dir: dir, Reason: "it holds no " + markerName}
	}
	if err != nil {
		return "", fmt.Errorf("repository %s: %w", dir, err)
	}
	var m marker
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", &NoRepositoryError{Dir: dir, Reason: "its " + markerName + " is damaged: " + err.Error()}
	}
	if m.Format > snapshot.Version {
		return "", fmt.Errorf("repository %s: %w", dir, &snapshot.NewerFormatError{What: markerName, Format: m.Format})
	}
	if m.Format != snapshot.Version || !isHex(m.ID, repoIDLength) || !bytes.Equal(raw, m.encode()) {
		return "", &NoRepositoryError{Dir: dir, Reason: "its " + markerName + " is damaged"}
	}
	return m.ID, nil
}

// writeMarker writes a new redisbak.json into dir, by one rename.
func writeMarker(dir string) error {
	d := osDisk{}
	id := randomHex(repoIDLength)
	temp := filepath.Join(dir, markerName+newSuffix)
	if err := d.RemoveAll(temp); err != nil {
		return err
	}
	if err := writeFile(d, temp, marker{Format: snapshot.Version, ID: id}.encode()); err != nil {
		return err
	}
	if err := d.Rename(temp, filepath.Join(dir, markerName)); err != nil {
		return existsError(dir, err)
	}
	return d.SyncDir(dir)
}

// present says whether this is still the repository that was opened. A disk
// that was unmounted meanwhile leaves an empty directory, which must be neither
// listed as "no snapshots" nor written to.
func (r *Repo) present() error {
	id, err := readMarker(r.dir)
	if err != nil {
		return err
	}
	if id != r.id {
		return &NoRepositoryError{Dir: r.dir, Reason: "another repository has taken its place"}
	}
	return nil
}

func isHex(s string, length int) bool {
	if len(s) != length {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func randomHex(digits int) string {
	b := make([]byte, digits/2)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

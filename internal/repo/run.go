package repo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Run is one run of redisbak, alive as long as it holds the lock on its file.
// What it makes elsewhere carries its id, so that whoever finds that later can
// tell whether the maker still lives.
type Run struct {
	id   string
	path string
	f    *os.File
}

// StartRun begins a run. It comes before the first object that carries its id.
func (r *Repo) StartRun(ctx context.Context) (*Run, error) {
	if err := r.present(); err != nil {
		return nil, err
	}
	if err := r.disk.Mkdir(r.runsDir()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("start run: %w", writeError(err))
	}
	place, err := r.place()
	if err != nil {
		return nil, fmt.Errorf("start run: %w", err)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		id := place + randomHex(runIDLength-placeLength)
		path := filepath.Join(r.runsDir(), id)
		// A sweep may come between the creation and the lock, take the file for
		// a dead one and remove it: then openLocked says so, and another name is
		// tried.
		f, err := openLocked(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, unix.LOCK_EX)
		switch {
		case err == nil:
			return &Run{id: id, path: path, f: f}, nil
		case !errors.Is(err, errBusy) && !errors.Is(err, fs.ErrExist):
			return nil, fmt.Errorf("start run: %w", writeError(err))
		}
	}
}

// ID is 16 hex digits. The first half tells the place of the repository, the
// other is random.
func (run *Run) ID() string { return run.id }

// End says that nothing that carries the run's id is left to be done. A second
// call does nothing.
func (run *Run) End() error {
	if run.f == nil {
		return nil
	}
	err := os.Remove(run.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	err = errors.Join(err, run.f.Close())
	run.f = nil
	return err
}

// RunDead says whether the run with this id has ended or died. Where that
// cannot be found out, it has not: a run of another place, which is that of a
// copy of this repository or of the one that this is a copy of, has its file
// there, and without it nothing is known of it here.
func (r *Repo) RunDead(id string) bool {
	if !isHex(id, runIDLength) || r.present() != nil {
		return false
	}
	place, err := r.place()
	return err == nil && strings.HasPrefix(id, place) && r.noRun(id)
}

// noRun says whether nobody holds the lock of a run's file in this directory.
// Whose run it was does not matter: what lies here under a run's name is
// written by a holder of the lock alone.
func (r *Repo) noRun(id string) bool {
	f, err := openLocked(filepath.Join(r.runsDir(), id), os.O_RDONLY, unix.LOCK_SH)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	f.Close()
	return true
}

// place tells this directory from a copy of it, which has the same repository
// id: file system and inode of the marker, which is written once. It stays the
// same when the directory is renamed, reached by another path, or mounted
// elsewhere, also in a container. Some file systems, most of them on the
// network, say nothing of which one they are: there the inode has to do, and
// two copies on two of them might by chance be taken for one; so is the copy of
// a whole disk, for what that is. Where a file
// system or an inode gets another number, by a move to another disk or, here
// and there, by a mount, the runs of before are of another place: they are never
// called dead, and what they have left is for the user to remove.
func (r *Repo) place() (string, error) {
	path := filepath.Join(r.dir, markerName)
	var st unix.Stat_t
	if _, err := again(func() (int, error) { return 0, unix.Lstat(path, &st) }); err != nil {
		return "", &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %d", fileSystem(path), st.Ino))
	return fmt.Sprintf("%x", sum)[:placeLength], nil
}

// sweepRuns removes the files of dead runs.
func (r *Repo) sweepRuns() error {
	entries, err := r.disk.ReadDir(r.runsDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list runs: %w", err)
	}
	var failed []error
	for _, e := range entries {
		if isHex(e.Name(), runIDLength) {
			failed = append(failed, removeDead(filepath.Join(r.runsDir(), e.Name())))
		}
	}
	return errors.Join(failed...)
}

// removeDead removes a run's file if its lock can be had. It is removed under
// the lock, and it is the file that was locked: a run that is about to lock it
// finds its name gone, and starts anew.
func removeDead(path string) error {
	f, err := openLocked(path, os.O_RDONLY, unix.LOCK_EX)
	if errors.Is(err, errBusy) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return os.Remove(path)
}

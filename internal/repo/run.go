package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		id := randomHex(runIDLength)
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

// ID is 16 hex digits, never used twice.
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
// cannot be found out, it has not.
func (r *Repo) RunDead(id string) bool {
	if !isHex(id, runIDLength) || r.present() != nil {
		return false
	}
	f, err := openLocked(filepath.Join(r.runsDir(), id), os.O_RDONLY, unix.LOCK_SH)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	f.Close()
	return true
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

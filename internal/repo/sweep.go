package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Sweep removes what killed runs have left of a source: drafts, retired
// snapshots that are not wholly removed, and the files of dead runs. What
// somebody may still be writing is left for another time, silently; a source
// that is not there yet has nothing to sweep.
func (r *Repo) Sweep(ctx context.Context, source string) error {
	_, err := r.sweep(ctx, source)
	return err
}

// sweep is Sweep for one who wants to know what went: names, relative to the
// source's directory.
func (r *Repo) sweep(ctx context.Context, source string) ([]string, error) {
	if err := r.present(); err != nil {
		return nil, err
	}
	names, err := r.leftover(source)
	if err != nil {
		return nil, err
	}
	b := broom{repo: r, source: source}
	err = errors.Join(r.sweepRuns(), b.drafts(ctx, names), b.retired(ctx, names))
	slices.Sort(b.gone)
	return b.gone, err
}

// Repair sweeps all sources, and returns the names of what went, relative to
// the repository. Nothing but drafts and retired snapshots ever goes. It takes
// the remove lock of each source that has any, and waits up to wait for it.
func (r *Repo) Repair(ctx context.Context, wait time.Duration) (gone []string, err error) {
	sources, err := r.sources()
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, source := range sources {
		names, err := r.repair(ctx, source, wait)
		for _, name := range names {
			gone = append(gone, path.Join(source, name))
		}
		failed = append(failed, err)
	}
	return gone, errors.Join(failed...)
}

func (r *Repo) repair(ctx context.Context, source string, wait time.Duration) ([]string, error) {
	names, err := r.leftover(source)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	lock, err := r.LockRemove(ctx, source, wait, "")
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	gone, err := r.sweep(ctx, source)
	return gone, errors.Join(err, lock.Release())
}

// broom is one sweep of a source.
type broom struct {
	repo   *Repo
	source string
	gone   []string
}

// take removes one leftover. It may be gone already: a writer that was alive
// when it was listed has given it its name, or another sweep was faster.
func (b *broom) take(name string, remove func(path string) error) error {
	path := filepath.Join(b.repo.sourceDir(b.source), name)
	if vanished(path) {
		return nil
	}
	err := remove(path)
	if err == nil {
		b.gone = append(b.gone, name)
	}
	return err
}

// retired removes snapshots whose removal stopped half-way. It needs no lock:
// nobody reads what has lost its name, and two who remove the same do not harm
// each other.
func (b *broom) retired(ctx context.Context, names []string) error {
	var failed []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.HasPrefix(name, prunedPrefix) {
			failed = append(failed, b.take(name, func(string) error { return b.repo.removeRetired(b.source, name) }))
		}
	}
	return errors.Join(failed...)
}

func (b *broom) drafts(ctx context.Context, names []string) (err error) {
	byLock := make(map[string][]string)
	for _, name := range names {
		if !strings.HasPrefix(name, draftPrefix) {
			continue
		}
		if run, ok := strings.CutPrefix(name, restoreDraft); ok {
			if isHex(run, runIDLength) && b.repo.noRun(run) {
				err = errors.Join(err, b.take(name, b.repo.disk.RemoveAll))
			}
			continue
		}
		byLock[draftLock(name)] = append(byLock[draftLock(name)], name)
	}
	// No lock is taken where there is nothing to sweep: it would be in the way
	// of a snapshot.
	for file, names := range byLock {
		err = errors.Join(err, b.under(ctx, file, names))
	}
	return err
}

// under removes drafts that only a holder of the lock writes.
func (b *broom) under(ctx context.Context, file string, names []string) error {
	lock, err := b.repo.wait(ctx, request{source: b.source, file: file, kind: "sweep", exclusive: true}, 0)
	if errors.Is(err, ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	var failed []error
	for _, name := range names {
		if err := errors.Join(ctx.Err(), lock.Held()); err != nil {
			return err
		}
		failed = append(failed, b.take(name, b.repo.disk.RemoveAll))
	}
	return errors.Join(failed...)
}

// draftLock is the lock file whose holder alone writes this draft.
func draftLock(name string) string {
	if name == marksDraft {
		return marksLock
	}
	return writerLock
}

// inUse says whether a draft may still have its writer.
func (r *Repo) inUse(source, name string) bool {
	if run, ok := strings.CutPrefix(name, restoreDraft); ok {
		return !isHex(run, runIDLength) || !r.noRun(run)
	}
	return locked(filepath.Join(r.sourceDir(source), draftLock(name)))
}

// leftover returns the names of a source's drafts and retired snapshots,
// whether or not somebody is still at work on them.
func (r *Repo) leftover(source string) ([]string, error) {
	entries, err := r.disk.ReadDir(r.sourceDir(source))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list source %s: %w", source, err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), draftPrefix) || strings.HasPrefix(e.Name(), prunedPrefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

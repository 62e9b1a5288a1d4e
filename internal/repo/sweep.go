package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// SweepDrafts removes what killed runs have left of a source's drafts, and the
// files of dead runs. What somebody may still be writing is left for another
// time, silently; a source that is not there yet has nothing to sweep.
func (r *Repo) SweepDrafts(ctx context.Context, source string) error {
	if err := r.present(); err != nil {
		return err
	}
	return errors.Join(r.sweepRuns(), r.sweepSource(ctx, source))
}

func (r *Repo) sweepSource(ctx context.Context, source string) error {
	drafts, err := r.drafts(source)
	if err != nil {
		return err
	}
	byLock := make(map[string][]string)
	for _, name := range drafts {
		if run, ok := strings.CutPrefix(name, restoreDraft); ok {
			if r.RunDead(run) {
				err = errors.Join(err, r.disk.RemoveAll(filepath.Join(r.sourceDir(source), name)))
			}
			continue
		}
		byLock[draftLock(name)] = append(byLock[draftLock(name)], name)
	}
	// No lock is taken where there is nothing to sweep: it would be in the way
	// of a snapshot.
	for file, names := range byLock {
		err = errors.Join(err, r.sweepUnder(ctx, source, file, names))
	}
	return err
}

// sweepUnder removes drafts that only a holder of the lock writes.
func (r *Repo) sweepUnder(ctx context.Context, source, file string, names []string) error {
	lock, err := r.wait(ctx, request{source: source, file: file, kind: "sweep", exclusive: true}, 0)
	if errors.Is(err, ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	var failed []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		failed = append(failed, r.disk.RemoveAll(filepath.Join(r.sourceDir(source), name)))
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
		return !r.RunDead(run)
	}
	return locked(filepath.Join(r.sourceDir(source), draftLock(name)))
}

// drafts returns the names of a source's drafts.
func (r *Repo) drafts(source string) ([]string, error) {
	entries, err := r.disk.ReadDir(r.sourceDir(source))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list source %s: %w", source, err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), draftPrefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

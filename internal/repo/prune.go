package repo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// Survey lists a source's snapshots for one who is about to remove some of
// them, and who must not believe a disk that shows too little: known are
// snapshots that must be there. A source without any is a *NoSnapshotError. A
// snapshot that cannot be read is a Problem, and one whose files are not those
// that were committed has its Damage; neither may make others superfluous.
func (r *Repo) Survey(ctx context.Context, source string, known ...snapshot.ID) (Listing, error) {
	before, err := r.places(source)
	if err != nil {
		return Listing{}, err
	}
	listing, err := r.List(source)
	if err != nil {
		return Listing{}, err
	}
	after, err := r.places(source)
	if err != nil {
		return Listing{}, err
	}
	if !slices.Equal(before, after) {
		return Listing{}, &UnsteadyError{Source: source, Reason: "it changes from one reading to the next"}
	}
	for _, id := range known {
		if !slices.ContainsFunc(before, func(p place) bool { return p.id == string(id) }) {
			return Listing{}, &UnsteadyError{Source: source, Reason: fmt.Sprintf("it does not show %s, which is there", id)}
		}
	}
	if len(before) == 0 {
		return Listing{}, &NoSnapshotError{Source: source}
	}
	manyAtOnce(len(listing.Snapshots), func(i int) {
		e := &listing.Snapshots[i]
		e.Damage = e.Sound(ctx)
	})
	return listing, ctx.Err()
}

// Prune removes snapshots of one source. The lock must be the remove lock of
// that source. Each is retired by one rename and deleted after that, so that a
// kill leaves it either wholly there or never listed again. Just before, it is
// looked at once more: one that was pinned meanwhile is spared. Prune stops at
// the first error, and returns what it removed and what it spared by then.
func (r *Repo) Prune(ctx context.Context, lock *Lock, doomed []Entry) (removed, spared []snapshot.ID, err error) {
	for _, e := range doomed {
		id := e.Manifest.ID
		if err := ctx.Err(); err != nil {
			return removed, spared, err
		}
		now := Entry{Manifest: e.Manifest, Dir: e.Dir}
		if now.readMarks(); now.Marks.Pinned || now.MarksUnknown {
			spared = append(spared, id)
			continue
		}
		name, err := r.retire(lock, e)
		if err != nil {
			return removed, spared, fmt.Errorf("prune snapshot %s: %w", id, writeError(err))
		}
		removed = append(removed, id)
		if err := r.removeRetired(e.Manifest.Source.Name, name); err != nil {
			return removed, spared, fmt.Errorf("prune snapshot %s: %w", id, writeError(err))
		}
	}
	return removed, spared, nil
}

// retire takes a snapshot's name away, and returns the one that it has now.
func (r *Repo) retire(lock *Lock, e Entry) (string, error) {
	source, id := e.Manifest.Source.Name, string(e.Manifest.ID)
	if !lock.isRemover(r, source) {
		return "", fmt.Errorf("the remove lock of source %s is not held", source)
	}
	if err := errors.Join(lock.Held(), r.present()); err != nil {
		return "", err
	}
	dir := r.sourceDir(source)
	var err error
	for _, name := range []string{prunedPrefix + id, prunedPrefix + id[len(id)-shortName:]} {
		err = r.disk.Rename(filepath.Join(dir, id), filepath.Join(dir, name))
		if err == nil {
			return name, nil
		}
		// A disk without a free block has none for a directory that must grow
		// for a longer name. A short one finds room between the others.
		if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
			break
		}
	}
	return "", err
}

// shortName is as much of an id as a retired snapshot needs where there is no
// room for all of it.
const shortName = 4

// removeRetired deletes a retired snapshot. Its new name must last before the
// first of its files goes: else a loss of power could give the old name back to
// what is left of them.
func (r *Repo) removeRetired(source, name string) error {
	dir := r.sourceDir(source)
	if err := r.disk.SyncDir(dir); err != nil {
		return err
	}
	return r.disk.RemoveAll(filepath.Join(dir, name))
}

package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"

	"github.com/redisbak/redisbak/snapshot"
)

// ConflictError says that a snapshot of that name is there, and is another one.
type ConflictError struct {
	ID     snapshot.ID
	Source string
	Dir    string // of the repository that holds the other one
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s holds another snapshot %s of %s", e.Dir, e.ID, e.Source)
}

// Has says whether a snapshot of another repository is in this one already,
// whole as far as that shows without reading its payload. One of the same name
// that is another is a *ConflictError, a damaged one a *DamagedError.
func (r *Repo) Has(ctx context.Context, e Entry) (bool, error) {
	source, id := e.Manifest.Source.Name, string(e.Manifest.ID)
	places, err := r.places(source)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, p := range places {
		if p.id != id {
			continue
		}
		found := r.load(p)
		switch {
		case found.gone:
			return false, nil
		case !found.ok:
			return false, &DamagedError{Problem: found.problems[0], Err: found.err}
		case found.entry.ManifestSHA256 != e.ManifestSHA256:
			return false, &ConflictError{ID: e.Manifest.ID, Source: source, Dir: r.dir}
		}
		err := found.entry.Sound(ctx)
		if err != nil && vanished(found.entry.Dir) {
			return false, nil
		}
		return true, err
	}
	return false, nil
}

// Import copies a snapshot of another repository into this one, byte for byte:
// payload, manifest and sums, and proof and marks as they are now. What is read
// is compared with the manifest, and so is what has arrived, read from the
// disk, before the snapshot is committed. The lock must be the writer lock of
// the snapshot's source, here; e must be kept in place, there. progress is told
// of each piece that was copied, and may be nil.
func (r *Repo) Import(ctx context.Context, e Entry, lock *Lock, progress func(n int64)) (Entry, error) {
	// What lies there now is what counts, not what was listed some time ago.
	text, err := readSmall(filepath.Join(e.Dir, snapshot.ManifestName), manifestLimit)
	if err != nil {
		return Entry{}, fmt.Errorf("snapshot %s: %w", e.Manifest.ID, err)
	}
	if err := e.Sound(ctx); err != nil {
		return Entry{}, err
	}
	if own, err := snapshot.DecodeManifest(bytes.NewReader(text)); err != nil || own.ID != e.Manifest.ID {
		return Entry{}, &DamagedError{Problem: e.problem(snapshot.ManifestName, errors.New("it changed meanwhile")), Err: err}
	}
	d, err := r.Begin(ctx, e.Manifest.Source.Name, e.Manifest.ID, lock)
	if err != nil {
		return Entry{}, err
	}
	now := Entry{Manifest: e.Manifest, Dir: e.Dir, ManifestSHA256: e.ManifestSHA256}
	arrived, err := d.commit(ctx, func() (Entry, error) {
		for _, f := range e.Manifest.Files {
			if err := d.fetch(ctx, e, f, progress); err != nil {
				return Entry{}, err
			}
		}
		now.readProof()
		now.readMarks()
		more, err := now.mutable()
		if err != nil {
			return Entry{}, err
		}
		return d.seal(ctx, e.Manifest, text, more...)
	})
	arrived.Proof, arrived.Marks = now.Proof, now.Marks
	return arrived, errors.Join(err, d.Abort())
}

// fetch copies a payload file as it is stored into the draft.
func (d *Draft) fetch(ctx context.Context, e Entry, f snapshot.File, progress func(n int64)) error {
	if err := d.makeDir(path.Dir(f.Name)); err != nil {
		return fmt.Errorf("create %s: %w", f.Name, err)
	}
	from, err := e.OpenStored(f)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := d.repo.disk.Create(filepath.Join(d.dir, filepath.FromSlash(f.Name)))
	if err != nil {
		return fmt.Errorf("create %s: %w", f.Name, err)
	}
	arriving := io.TeeReader(bound(ctx, from), to)
	err = snapshot.CheckStored(io.TeeReader(arriving, pulse(progress)), f)
	if err == nil {
		err = to.Sync()
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", f.Name, err)
	}
	return nil
}

// pulse tells of the bytes that are written to it, and may be nil.
type pulse func(n int64)

func (p pulse) Write(b []byte) (int, error) {
	if p != nil {
		p(int64(len(b)))
	}
	return len(b), nil
}

// mutable encodes what a snapshot has beside what never changes.
func (e Entry) mutable() (files []small, err error) {
	if e.Proof != nil {
		text, err := snapshot.EncodeProof(e.Proof)
		if err != nil {
			return nil, err
		}
		files = append(files, small{snapshot.ProofName, text})
	}
	if m := e.Marks; m.Pinned || m.Accepted || len(m.Tags) > 0 {
		text, err := snapshot.EncodeMarks(&m)
		if err != nil {
			return nil, err
		}
		files = append(files, small{snapshot.MarksName, text})
	}
	return files, nil
}

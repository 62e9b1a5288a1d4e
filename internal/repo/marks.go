package repo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/redisbak/redisbak/snapshot"
)

// WriteProof makes p the latest proof of a snapshot.
func (r *Repo) WriteProof(ctx context.Context, e Entry, p *snapshot.Proof) error {
	if p.ID != e.Manifest.ID || p.ManifestID != e.ManifestSHA256 {
		return fmt.Errorf("proof of snapshot %s: it is of another one", e.Manifest.ID)
	}
	text, err := snapshot.EncodeProof(p)
	if err != nil {
		return err
	}
	return r.rewrite(ctx, e, func() (string, []byte, error) { return snapshot.ProofName, text, nil })
}

// UpdateMarks lets change alter a snapshot's marks as they are now, and
// returns them as they were written. Marks that cannot be read are left alone:
// they may say that the snapshot must stay.
func (r *Repo) UpdateMarks(ctx context.Context, e Entry, change func(*snapshot.Marks) error) (snapshot.Marks, error) {
	var marks snapshot.Marks
	err := r.rewrite(ctx, e, func() (string, []byte, error) {
		now := Entry{Manifest: e.Manifest, Dir: e.Dir}
		now.readMarks()
		if now.MarksUnknown {
			return "", nil, &DamagedError{Problem: now.Problems[0]}
		}
		marks = now.Marks
		if err := change(&marks); err != nil {
			return "", nil, err
		}
		marks.ID = e.Manifest.ID
		text, err := snapshot.EncodeMarks(&marks)
		marks.Tags = slices.Compact(slices.Sorted(slices.Values(marks.Tags)))
		return snapshot.MarksName, text, err
	})
	if damaged := (*DamagedError)(nil); errors.As(err, &damaged) {
		return snapshot.Marks{}, damaged
	}
	if err != nil {
		return snapshot.Marks{}, fmt.Errorf("%s of snapshot %s: %w", snapshot.MarksName, e.Manifest.ID, err)
	}
	return marks, nil
}

// rewrite replaces a mutable file of a snapshot, under the lock of such files.
func (r *Repo) rewrite(ctx context.Context, e Entry, next func() (name string, text []byte, err error)) error {
	source := e.Manifest.Source.Name
	lock, err := r.lockMarks(ctx, source)
	if err != nil {
		return err
	}
	defer lock.Release()
	name, text, err := next()
	if err != nil {
		return err
	}
	// The next content is written outside of the snapshot, under a draft's
	// name: a kill leaves nothing in the snapshot, and the sweep knows it.
	temp := filepath.Join(r.sourceDir(source), marksDraft)
	return writeError(replaceFile(r.disk, temp, e.Dir, name, text))
}

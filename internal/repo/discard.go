package repo

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// Discard takes a file back out of the draft, as if it had not been created.
func (d *Draft) Discard(df *DraftFile) error {
	df.closed = true
	d.files = slices.DeleteFunc(d.files, func(other *DraftFile) bool { return other == df })
	err := errors.Join(df.w.Close(), df.f.Close())
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, os.Remove(filepath.Join(d.dir, df.name)))
}

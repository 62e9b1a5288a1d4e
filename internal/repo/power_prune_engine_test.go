//go:build engine

package repo

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/snapshot"
)

// blackout cuts the power before each step of some work, each time in a new
// repository: once as it comes, and once with all flushed that was done by then,
// for a disk may flush on its own whenever it likes.
type blackout struct {
	l       *loopDisk
	prepare func(r *Repo)
	work    func(r *Repo) error
	examine func(r *Repo, workErr error)
}

// run returns the steps of the work.
func (b blackout) run(t *testing.T) []string {
	t.Helper()
	for k := 1; ; k++ {
		over := false
		for _, flushed := range []bool{false, true} {
			dir := filepath.Join(b.l.dir, fmt.Sprintf("repo%d-%v", k, flushed))
			steps := b.strike(t, dir, k, flushed)
			if t.Failed() {
				t.Fatalf("the power was cut before step %d of %q, flushed: %v", k, steps, flushed)
			}
			if over = len(steps) < k; over && flushed {
				t.Logf("the power was cut before and after each of %d steps, twice", len(steps))
				return steps
			}
		}
	}
}

// strike does the work once, with a cut before step k, or after the last one.
func (b blackout) strike(t *testing.T, dir string, k int, flushed bool) []string {
	t.Helper()
	made, err := Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	made.disk = quickDisk{}
	b.prepare(made)
	b.l.flush()
	cut := func() {
		if flushed {
			b.l.flush()
		}
		if err := b.l.cut(); err != nil {
			t.Error(err)
		}
	}
	d := &faultyDisk{disk: osDisk{}}
	d.fail = func(step int) error {
		if step == k {
			cut()
		}
		return nil
	}
	r := opened(t, dir)
	r.disk = d
	workErr := b.work(r)
	if len(d.steps) < k {
		cut()
	}
	b.l.restart()
	b.examine(opened(t, dir), workErr)
	return d.steps
}

// TestFault32PowerLossAtEachStepOfAPrune: after it each snapshot is whole, with
// all its files, or has lost its name for good, and none that was to stay is
// gone. Between the rename and the fsync of the directory the old name may come
// back: no file may be missing then.
func TestFault32PowerLossAtEachStepOfAPrune(t *testing.T) {
	var all []Entry
	comeBack, half := 0, 0
	steps := blackout{
		l:       newLoopDisk(t),
		prepare: func(r *Repo) { all = furnished(t, r, 4) },
		work: func(r *Repo) error {
			lock := remover(t, r)
			defer lock.die()
			_, _, err := r.Prune(t.Context(), lock, all[1:])
			return err
		},
		examine: func(r *Repo, workErr error) {
			there := listAll(t, r).Snapshots
			left := len(there) - 1
			if left < 0 || (left > 0) && workErr == nil {
				t.Fatalf("%v are there, and the prune said %v", ids(there), workErr)
			}
			mustBeWhole(t, r, append(idsOf(all[:1]), idsOf(all[len(all)-left:])...)...)
			for _, e := range there {
				if got := contentOf(t, e.Dir); len(got) != 5 {
					t.Errorf("snapshot %s has %d files", e.Manifest.ID, len(got))
				}
			}
			names, err := r.leftover("sessions")
			if err != nil {
				t.Fatal(err)
			}
			half += len(names)
			if len(names) == 0 && workErr != nil {
				comeBack++
			}
			pruneAgain(t, r, all[:1])
		},
	}.run(t)
	if comeBack == 0 || half == 0 {
		t.Errorf("in %d steps no name came back (%d) or nothing was half removed (%d)", len(steps), comeBack, half)
	}
}

// TestFault32PowerLossAtEachStepOfAnImport: after it the copy is whole or not
// there; one that was told to be there is.
func TestFault32PowerLossAtEachStepOfAnImport(t *testing.T) {
	from := newRepo(t)
	all := furnished(t, from, 1)
	var own Entry
	steps := blackout{
		l:       newLoopDisk(t),
		prepare: func(r *Repo) { own = commit(t, r, "sessions", day(28), 28, nil) },
		work: func(r *Repo) error {
			lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
			if err != nil {
				return err
			}
			defer lock.die()
			_, err = r.Import(t.Context(), all[0], lock, nil)
			return err
		},
		examine: func(r *Repo, workErr error) {
			want := []snapshot.ID{own.Manifest.ID}
			if there, err := r.Has(t.Context(), all[0]); err != nil || !there && workErr == nil {
				t.Errorf("there: %v, %v; the import said %v", there, err, workErr)
			} else if there {
				want = append(want, all[0].Manifest.ID)
			}
			mustBeWhole(t, r, want...)
			importAgain(t, r, own, all)
		},
	}.run(t)
	if last := steps[len(steps)-1]; !strings.HasPrefix(last, "syncdir repo") {
		t.Errorf("the last step is %s", last)
	}
}

package repo

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/redisbak/redisbak/snapshot"
)

// slaughter has a child perform a task again and again, each time on a new copy
// of a repository, and kills it: before each step in turn (all of them at full
// size, else a seeded tenth), and some times at a moment that is random.
type slaughter struct {
	name    string
	task    task  // what the child does
	from    *Repo // what it does it to; a copy for each child
	minimum int   // steps that there must be
	seed    uint64
	examine func(t *testing.T, r *Repo, nth int, died bool)
}

func (s slaughter) run(t *testing.T) {
	t.Helper()
	steps := s.perform(t, 0, func(do *task) { do.Tell = true }, func(p process) int { return p.lines() })
	if steps < s.minimum {
		t.Errorf("the %s has %d steps only", s.name, steps)
	}
	rng := rand.New(rand.NewPCG(s.seed, 0))
	points := rng.Perm(steps)[:tenth(steps)]
	for i, k := range points {
		s.perform(t, i, func(do *task) { do.KillAt = k + 1 }, nil)
	}
	random := tenth(100)
	for i := range random {
		last := rng.IntN(steps)
		s.perform(t, i, func(do *task) { do.Tell = true }, func(p process) int {
			for n := 0; n < last && p.out.Scan(); n++ {
			}
			p.Process.Kill()
			return 0
		})
	}
	t.Logf("%s of %d steps was killed before %d of them, and %d times at random (seed %d)", s.name, steps, len(points), random, s.seed)
}

// perform lets one child do its work on a copy and examines what it leaves.
func (s slaughter) perform(t *testing.T, nth int, change func(*task), attend func(process) int) (n int) {
	t.Helper()
	r := copied(t, s.from)
	do := s.task
	do.Dir = r.Dir()
	change(&do)
	p := child(t, do)
	if attend != nil {
		n = attend(p)
	}
	died := p.died(t)
	if do.KillAt > 0 && !died {
		t.Errorf("nobody died before step %d", do.KillAt)
	}
	s.examine(t, r, nth, died)
	if t.Failed() {
		t.Fatalf("killed before step %d (0: elsewhere), died: %v", do.KillAt, died)
	}
	if err := os.RemoveAll(r.Dir()); err != nil {
		t.Fatal(err)
	}
	return n
}

// furnished is a history each of whose snapshots has a proof and marks.
func furnished(t *testing.T, r *Repo, n int) []Entry {
	t.Helper()
	for _, e := range history(t, r, n) {
		if err := r.WriteProof(t.Context(), e, proof(e, snapshot.Passed)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.UpdateMarks(t.Context(), e, func(m *snapshot.Marks) error { m.Tags = []string{"daily"}; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return listAll(t, r).Snapshots
}

// TestFault47KilledPrune: whenever a prune dies, each snapshot is wholly there
// or not listed, none that was to stay is gone, and the next prune ends where
// the first would have.
func TestFault47KilledPrune(t *testing.T) {
	template := newRepo(t)
	all := furnished(t, template, 27)
	stay, doomed := idsOf(all[:2]), idsOf(all[2:])
	slaughter{
		name: "prune", task: task{Do: "prune", IDs: doomed}, from: template, minimum: 200, seed: 47,
		examine: func(t *testing.T, r *Repo, _ int, died bool) {
			// It goes through them in their order.
			left := len(listAll(t, r).Snapshots) - len(stay)
			if left < 0 || left > len(doomed) || (left > 0) && !died {
				t.Fatalf("%d of the doomed are left, died: %v", left, died)
			}
			mustBeWhole(t, r, slices.Concat(stay, doomed[len(doomed)-left:])...)
			pruneAgain(t, r, all[:2])
		},
	}.run(t)
}

// TestFault31KilledImport: whenever an import dies, what has arrived is whole,
// nothing else is listed, nothing that was there is touched, and the next one
// brings the rest, whether or not a sweep comes first.
func TestFault31KilledImport(t *testing.T) {
	source, template := newRepo(t), newRepo(t)
	all := furnished(t, source, 5)
	own := commit(t, template, "sessions", day(28), 28, nil)
	slaughter{
		name: "import", task: task{Do: "import", From: source.Dir(), IDs: idsOf(all)}, from: template, minimum: 200, seed: 31,
		examine: func(t *testing.T, r *Repo, nth int, died bool) {
			arrived := len(listAll(t, r).Snapshots) - 1
			if arrived < 0 || (arrived < len(all)) && !died {
				t.Fatalf("%d arrived, died: %v", arrived, died)
			}
			mustBeWhole(t, r, append([]snapshot.ID{own.Manifest.ID}, idsOf(all[:arrived])...)...)
			if nth%2 == 0 {
				if err := r.Sweep(t.Context(), "sessions"); err != nil {
					t.Fatal(err)
				}
				mustBeTidy(t, r)
			}
			importAgain(t, r, own, all)
		},
	}.run(t)
}

// importAgain brings what is missing.
func importAgain(t *testing.T, r *Repo, own Entry, all []Entry) {
	t.Helper()
	for _, e := range all {
		if there, err := r.Has(t.Context(), e); err != nil {
			t.Fatal(err)
		} else if there {
			continue
		}
		if _, err := imported(t, r, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	mustBeTidy(t, r)
	mustBeWhole(t, r, append([]snapshot.ID{own.Manifest.ID}, idsOf(all)...)...)
	for i, e := range listAll(t, r).Snapshots[1:] {
		mustBeCopy(t, all[i].Dir, e.Dir)
	}
}

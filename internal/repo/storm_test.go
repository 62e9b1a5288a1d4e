package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/redisbak/redisbak/snapshot"
)

// deed is what somebody in a storm has done for certain.
type deed struct {
	Source string
	ID     snapshot.ID
	Gone   bool
}

// sailor does one thing after the other to a repository in which others do too.
// What it meets must be right at any time; what it has done it tells.
type sailor struct {
	r, from *Repo
	rng     *rand.Rand
	seed    uint64
	count   int
	tell    func(deed)
}

func stormSources() []string { return []string{"carts", "sessions"} }

// sail does so many things.
func (s *sailor) sail(ctx context.Context, rounds int) error {
	acts := []struct {
		name string
		do   func(context.Context, string) error
	}{
		{"commit", s.commit}, {"commit", s.commit}, {"import", s.importOne}, {"prune", s.prune}, {"list", s.list}, {"list", s.list},
		{"mark", s.mark}, {"prove", s.prove}, {"check", s.check}, {"sweep", s.sweep}, {"repair", s.repair},
	}
	for range rounds {
		act := acts[s.rng.IntN(len(acts))]
		source := stormSources()[s.rng.IntN(2)]
		// Others may be in the way, or have removed what was just chosen.
		var unsteady *UnsteadyError
		err := act.do(ctx, source)
		if err != nil && !errors.Is(err, ErrLocked) && !errors.Is(err, ErrNotFound) && !errors.As(err, &unsteady) {
			return fmt.Errorf("%s %s: %w", act.name, source, err)
		}
	}
	return nil
}

var errGone = errors.New("the server has gone")

const stormWait = 5 * time.Second // for a lock that others pass round

func (s *sailor) commit(ctx context.Context, source string) error {
	lock, err := s.r.LockWriter(ctx, source, stormWait, "")
	if err != nil {
		return err
	}
	defer lock.Release()
	s.count++
	at := day(1).Add(time.Duration(s.seed)*1000*time.Hour + time.Duration(s.count)*time.Second)
	id, err := snapshot.NewID(at, randomBytes(s.seed))
	if err != nil {
		return err
	}
	o := draftOptions{source: source, id: id, content: payload(4000, s.rng.Uint64())}
	if s.rng.IntN(5) == 0 {
		o.stream = iotest.ErrReader(errGone)
	}
	_, err = takeUntil(ctx, s.r, lock, o)
	if err == nil {
		s.tell(deed{Source: source, ID: id})
	}
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

func (s *sailor) importOne(ctx context.Context, source string) error {
	all, err := s.from.List(source)
	if err != nil {
		return err
	}
	e := all.Snapshots[s.rng.IntN(len(all.Snapshots))]
	lock, err := s.r.LockWriter(ctx, source, stormWait, "")
	if err != nil {
		return err
	}
	defer lock.Release()
	there, err := s.r.Has(ctx, e)
	if there || err != nil {
		return err
	}
	if _, err = s.r.Import(ctx, e, lock, nil); err == nil {
		s.tell(deed{Source: source, ID: e.Manifest.ID})
	}
	return err
}

// prune keeps the newest three, and half of the others.
func (s *sailor) prune(ctx context.Context, source string) error {
	lock, err := s.r.LockRemove(ctx, source, stormWait, "")
	if err != nil {
		return err
	}
	defer lock.Release()
	listing, err := s.r.Survey(ctx, source)
	if err != nil {
		return err
	}
	doomed := slices.DeleteFunc(slices.Clone(listing.Snapshots[min(3, len(listing.Snapshots)):]), func(Entry) bool { return s.rng.IntN(2) == 0 })
	removed, _, err := s.r.Prune(ctx, lock, doomed)
	for _, id := range removed {
		s.tell(deed{Source: source, ID: id, Gone: true})
	}
	return err
}

// list takes no lock, and yet must show nothing that is half there.
func (s *sailor) list(_ context.Context, source string) error {
	l, err := s.r.List(source)
	if err == nil && len(l.Problems) > 0 {
		err = fmt.Errorf("listed with problems: %v", l.Problems)
	}
	return err
}

// one chooses a snapshot that cannot go until the lock is released.
func (s *sailor) one(ctx context.Context, source string) (Entry, *Lock, error) {
	lock, err := s.r.LockKeep(ctx, source, stormWait)
	if err != nil {
		return Entry{}, nil, err
	}
	l, err := s.r.List(source)
	if err == nil && len(l.Snapshots) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Entry{}, nil, errors.Join(err, lock.Release())
	}
	return l.Snapshots[s.rng.IntN(len(l.Snapshots))], lock, nil
}

func (s *sailor) mark(ctx context.Context, source string) error {
	e, lock, err := s.one(ctx, source)
	if err != nil {
		return err
	}
	defer lock.Release()
	_, err = s.r.UpdateMarks(ctx, e, func(m *snapshot.Marks) error {
		m.Pinned = s.rng.IntN(4) == 0
		m.Tags = append(m.Tags, fmt.Sprintf("t%d", s.seed))
		return nil
	})
	return err
}

func (s *sailor) prove(ctx context.Context, source string) error {
	e, lock, err := s.one(ctx, source)
	if err != nil {
		return err
	}
	defer lock.Release()
	return s.r.WriteProof(ctx, e, proof(e, snapshot.Passed))
}

// check holds shares of all sources, as one who checks does.
func (s *sailor) check(ctx context.Context, _ string) error {
	for _, source := range stormSources() {
		lock, err := s.r.LockKeep(ctx, source, stormWait)
		if err != nil {
			return err
		}
		defer lock.Release()
	}
	report, err := s.r.Check(ctx, CheckOptions{ReadData: true})
	if err == nil && len(report.Problems) > 0 {
		err = fmt.Errorf("it found %v", report.Problems)
	}
	return err
}

func (s *sailor) sweep(ctx context.Context, source string) error { return s.r.Sweep(ctx, source) }

func (s *sailor) repair(ctx context.Context, source string) error {
	_, err := s.r.sweep(ctx, source)
	return err
}

// storm is the chore of a child: it tells its deeds line by line.
func (e *errand) storm(ctx context.Context) error {
	from, err := Open(e.From)
	if err != nil {
		return err
	}
	var failed error
	s := sailor{r: e.r, from: from, rng: rand.New(rand.NewPCG(e.Seed, 0)), seed: e.Seed, tell: func(d deed) {
		failed = errors.Join(failed, json.NewEncoder(os.Stdout).Encode(d))
	}}
	return errors.Join(s.sail(ctx, e.Rounds), failed)
}

// chart is what must be there after a storm.
type chart struct {
	mu    sync.Mutex
	count map[deed]int // commits less removals, by source and id
}

func (c *chart) note(d deed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	step := 1
	if d.Gone {
		step, d.Gone = -1, false
	}
	c.count[d] += step
}

// TestFault38Storm: processes, and goroutines with handles of their own, commit,
// import, prune, mark, prove, check, list, sweep and repair at once. Nothing
// half-made is seen at any time, and at the end all is there, whole, that
// somebody was told is committed, and nobody that it is removed.
func TestFault38Storm(t *testing.T) {
	const processes, goroutines, seed = 3, 3, 38
	rounds := tenth(1000)
	r, from := newRepo(t), newRepo(t)
	for _, source := range stormSources() {
		for i := range 5 {
			commit(t, from, source, day(1+i), uint64(1+i), nil)
		}
	}
	c := chart{count: make(map[deed]int)}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // a deadlock
	defer cancel()
	var all sync.WaitGroup
	for i := range processes {
		p := child(t, task{Do: "storm", Dir: r.Dir(), From: from.Dir(), Seed: uint64(seed + i), Rounds: rounds})
		all.Go(func() {
			stop := context.AfterFunc(ctx, func() { p.Process.Kill() })
			defer stop()
			for p.out.Scan() {
				var d deed
				if err := json.Unmarshal(p.out.Bytes(), &d); err != nil {
					t.Error(err)
				}
				c.note(d)
			}
			if err := p.Wait(); err != nil {
				t.Errorf("a process: %v: %s", err, p.err)
			}
		})
	}
	for i := range goroutines {
		seed := uint64(seed + processes + i)
		s := sailor{r: opened(t, r.Dir()), from: from, rng: rand.New(rand.NewPCG(seed, 0)), seed: seed, tell: c.note}
		s.r.disk = quickDisk{}
		all.Go(func() {
			if err := s.sail(ctx, rounds); err != nil {
				t.Errorf("a goroutine: %v", err)
			}
		})
	}
	all.Wait()
	c.mustBeThere(t, r)
	gone := 0
	for _, n := range c.count {
		if n == 0 {
			gone++
		}
	}
	if gone == 0 || gone == len(c.count) {
		t.Errorf("of %d snapshots %d went", len(c.count), gone)
	}
	t.Logf("%d processes and %d goroutines did %d things each (seed %d); %d snapshots came, %d of them went again",
		processes, goroutines, rounds, seed, len(c.count), gone)
}

func (c *chart) mustBeThere(t *testing.T, r *Repo) {
	t.Helper()
	l := listAll(t, r)
	there := make(map[deed]int)
	for _, e := range l.Snapshots {
		there[deed{Source: e.Manifest.Source.Name, ID: e.Manifest.ID}] = 1
	}
	for d, n := range c.count {
		if there[d] != n {
			t.Errorf("%s of %s is there %d times, want %d", d.ID, d.Source, there[d], n)
		}
	}
	for d := range there {
		if c.count[d] == 0 {
			t.Errorf("%s of %s is there, and nobody has put it there", d.ID, d.Source)
		}
	}
	mustBeWhole(t, r, idsOf(l.Snapshots)...)
	for _, source := range stormSources() {
		if err := r.Sweep(t.Context(), source); err != nil {
			t.Fatal(err)
		}
		if left, err := r.leftover(source); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", source, left, err)
		}
	}
	mustBeTidy(t, r)
}

// lateDisk lets something happen after each time that a source was read.
type lateDisk struct {
	disk
	happens func()
}

func (d lateDisk) ReadDir(path string) ([]fs.DirEntry, error) {
	entries, err := d.disk.ReadDir(path)
	if filepath.Base(path) == "sessions" {
		d.happens()
	}
	return entries, err
}

// One who takes no lock may read a name that is gone a moment later. That is a
// snapshot which is not there, and no damaged one.
func TestSnapshotThatIsPrunedWhileItIsLookedAt(t *testing.T) {
	r := newRepo(t)
	all := history(t, r, 2)
	gone := all[1]
	back := func() { os.Rename(filepath.Join(r.Dir(), "away"), gone.Dir) }
	r.disk = lateDisk{disk: osDisk{}, happens: func() { os.Rename(gone.Dir, filepath.Join(r.Dir(), "away")) }}
	l, err := r.List("sessions")
	if err != nil || len(l.Problems) > 0 || !equal(idsOf(l.Snapshots), idsOf(all[:1])) {
		t.Errorf("listed %v with %v, %v", ids(l.Snapshots), l.Problems, err)
	}
	back()
	if _, err := r.Get(string(gone.Manifest.ID)); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	back()
	if there, err := r.Has(t.Context(), gone); there || err != nil {
		t.Errorf("has: %v, %v", there, err)
	}
	back()
	r.disk = osDisk{}
	if err := os.Remove(filepath.Join(gone.Dir, snapshot.ManifestName)); err != nil {
		t.Fatal(err)
	}
	if l, err := r.List("sessions"); err != nil || len(l.Problems) != 1 {
		t.Errorf("one whose manifest alone is gone: %v, %v", l.Problems, err)
	}
}

// What its writer has committed meanwhile was not swept.
func TestRepairTellsOnlyWhatItRemoved(t *testing.T) {
	r := newRepo(t)
	history(t, r, 1)
	source := r.sourceDir("sessions")
	var names []string
	for i := range 2 {
		names = append(names, draftPrefix+string(newID(t, day(8+i), uint64(8+i))))
		mkdir(t, filepath.Join(source, names[i]))
	}
	committed := filepath.Join(source, strings.TrimPrefix(names[0], draftPrefix))
	r.disk = lateDisk{disk: osDisk{}, happens: func() { os.Rename(filepath.Join(source, names[0]), committed) }}
	if gone, err := r.sweep(t.Context(), "sessions"); err != nil || !equal(gone, names[1:]) {
		t.Errorf("repaired %v, %v", gone, err)
	}
	if _, err := os.Stat(committed); err != nil {
		t.Error(err)
	}
}

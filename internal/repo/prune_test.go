package repo

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// history commits so many snapshots of sessions, a day apart, and returns them
// newest first.
func history(t testing.TB, r *Repo, n int) []Entry {
	t.Helper()
	for i := range n {
		commit(t, r, "sessions", day(1+i), uint64(1+i), nil)
	}
	l, err := r.List("sessions")
	if err != nil || len(l.Snapshots) != n {
		t.Fatalf("%d snapshots were listed: %v", len(l.Snapshots), err)
	}
	return l.Snapshots
}

func remover(t testing.TB, r *Repo) *Lock {
	t.Helper()
	lock, err := r.LockRemove(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

func idsOf(entries []Entry) (all []snapshot.ID) {
	for _, e := range entries {
		all = append(all, e.Manifest.ID)
	}
	return all
}

// What is retired is gone from the list at once; what is left on the disk has a
// name that is no snapshot's, and that name lasts before the first file goes.
func TestPruneOrderOfSteps(t *testing.T) {
	r := newRepo(t)
	all := history(t, r, 2)
	lock := remover(t, r)
	defer lock.Release()
	d := &faultyDisk{disk: osDisk{}}
	r.disk = d
	removed, spared, err := r.Prune(t.Context(), lock, all[1:])
	if err != nil || len(removed) != 1 || len(spared) > 0 {
		t.Fatalf("removed %v, spared %v, %v", removed, spared, err)
	}
	name := prunedPrefix + string(all[1].Manifest.ID)
	want := []string{
		"rename " + name, "syncdir sessions",
		"remove " + name, "unlink manifest.json", "unlink dump.rdb.gz", "unlink SHA256SUMS",
	}
	if !equal(d.steps, want) {
		t.Errorf("the steps are %q, want %q", d.steps, want)
	}
	mustBeWhole(t, r, all[0].Manifest.ID)
	if left, err := r.leftover("sessions"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestFault47EachStepOfAPrune fails each step of a prune in turn, once and for
// good. Whatever happens, each snapshot is wholly there or not listed, those
// that were to stay are there, and another prune finishes the work.
func TestFault47EachStepOfAPrune(t *testing.T) {
	for name, at := range map[string]func(k int) func(int) error{
		"EIO":    func(k int) func(int) error { return failAt(k, errIO) },
		"ENOSPC": func(k int) func(int) error { return failAt(k, unix.ENOSPC) },
		"crash":  crashAt,
	} {
		t.Run(name, func(t *testing.T) {
			steps := 0
			for k := 0; k <= steps; k++ {
				r := newRepo(t)
				all := history(t, r, 4)
				taken := failingPrune(t, r, all[1:], k, at(k))
				if k == 0 {
					steps = len(taken)
				}
				pruneAgain(t, r, all[:1])
			}
			if steps < 15 {
				t.Errorf("a prune of three has %d steps only", steps)
			}
		})
	}
}

// failingPrune prunes on a disk that fails at step k and checks what is there.
func failingPrune(t *testing.T, r *Repo, doomed []Entry, k int, fail func(int) error) []string {
	t.Helper()
	before := listAll(t, r).Snapshots
	lock := remover(t, r)
	d := &faultyDisk{disk: osDisk{}, fail: fail}
	r.disk = d
	removed, _, err := r.Prune(t.Context(), lock, doomed)
	lock.die()
	r.disk = osDisk{}
	// Where there is no room for one name there may be for another.
	mended := k > 0 && errors.Is(fail(k), unix.ENOSPC) && strings.HasPrefix(d.steps[k-1], "rename ")
	if (err == nil) != (k == 0 || mended) {
		t.Errorf("step %d failed: %v", k, err)
	}
	var want []snapshot.ID
	for _, id := range idsOf(before) {
		if !slices.Contains(removed, id) {
			want = append(want, id)
		}
	}
	mustBeWhole(t, r, want...)
	return d.steps
}

// pruneAgain: the next run sweeps, and prunes what a failed one has not. The one
// after that has nothing to do.
func pruneAgain(t *testing.T, r *Repo, stay []Entry) {
	t.Helper()
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	mustBeTidy(t, r)
	lock := remover(t, r)
	defer lock.Release()
	for again := range 2 {
		listing, err := r.Survey(t.Context(), "sessions")
		if err != nil {
			t.Fatal(err)
		}
		doomed := slices.DeleteFunc(listing.Snapshots, func(e Entry) bool {
			return slices.Contains(idsOf(stay), e.Manifest.ID)
		})
		removed, spared, err := r.Prune(t.Context(), lock, doomed)
		if err != nil || len(spared) > 0 || again > 0 && len(removed) > 0 {
			t.Fatalf("prune %d removed %v and spared %v: %v", again+1, removed, spared, err)
		}
		mustBeWhole(t, r, idsOf(stay)...)
	}
	mustBeTidy(t, r)
}

// mustBeTidy checks that no draft, no retired snapshot and no run is left.
func mustBeTidy(t testing.TB, r *Repo) {
	t.Helper()
	left, err := r.leftover("sessions")
	runs, runsErr := os.ReadDir(r.runsDir())
	if errors.Is(runsErr, fs.ErrNotExist) {
		runsErr = nil
	}
	if err := errors.Join(err, runsErr); err != nil || len(left) > 0 || len(runs) > 0 {
		t.Errorf("left: %v and runs %v, %v", left, runs, err)
	}
}

// Who deletes must hold the lock for it, and must still hold it.
func TestPruneNeedsItsLock(t *testing.T) {
	r := newRepo(t)
	all := history(t, r, 2)
	ctx := t.Context()
	share, err := r.LockKeep(ctx, "sessions", 0)
	if err != nil {
		t.Fatal(err)
	}
	writer, err := r.LockWriter(ctx, "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, r, "carts", day(1), 1, nil)
	other, err := r.LockRemove(ctx, "carts", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, lock := range map[string]*Lock{"none": nil, "a share": share, "the writer's": writer, "another source's": other} {
		if removed, _, err := r.Prune(ctx, lock, all[1:]); err == nil || len(removed) > 0 {
			t.Errorf("with the lock %q: removed %v, %v", name, removed, err)
		}
	}
	for _, l := range []*Lock{share, writer, other} {
		l.Release()
	}
	lost := remover(t, r)
	defer lost.Release()
	write(t, filepath.Join(r.sourceDir("sessions"), keepLock), padded([]byte(`{"host":"other","pid":1,"since":"2026-02-08T03:15:02Z","token":"00"}`)))
	if removed, _, err := r.Prune(ctx, lost, all[1:]); !errors.Is(err, ErrLockLost) || len(removed) > 0 || !strings.Contains(err.Error(), "host other") {
		t.Errorf("FAULT 39, a lock that another host has taken: removed %v, %v", removed, err)
	}
	if l := listAll(t, r); len(l.Snapshots) != 3 {
		t.Errorf("%v are left", ids(l.Snapshots))
	}
}

// A token that is lost between two deletes stops before the second.
func TestFault39ALockThatIsLostBetweenTwoDeletes(t *testing.T) {
	r := newRepo(t)
	all := history(t, r, 3)
	lock := remover(t, r)
	defer lock.Release()
	d := &faultyDisk{disk: osDisk{}}
	d.fail = func(step int) error {
		if strings.HasPrefix(d.steps[step-1], "remove ") {
			write(t, filepath.Join(r.sourceDir("sessions"), keepLock), padded([]byte(`{"host":"other","pid":1,"since":"2026-02-08T03:15:02Z","token":"00"}`)))
		}
		return nil
	}
	r.disk = d
	removed, _, err := r.Prune(t.Context(), lock, all[1:])
	r.disk = osDisk{}
	if !errors.Is(err, ErrLockLost) || !equal(removed, idsOf(all[1:2])) {
		t.Errorf("removed %v, %v", removed, err)
	}
	mustBeWhole(t, r, all[0].Manifest.ID, all[2].Manifest.ID)
}

// FAULT 48: while a snapshot is restored or verified, none of its source goes.
func TestFault48PruneWhileASnapshotIsInUse(t *testing.T) {
	r := newRepo(t)
	history(t, r, 2)
	share, err := r.LockKeep(t.Context(), "sessions", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.LockRemove(t.Context(), "sessions", 50*time.Millisecond, ""); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "need its snapshots") {
		t.Errorf("beside one in use: %v", err)
	}
	share.Release()
	lock := remover(t, r)
	defer lock.Release()
	if _, err := r.LockKeep(t.Context(), "sessions", 0); !errors.Is(err, ErrLocked) {
		t.Errorf("in use beside a prune: %v", err)
	}
}

// A pin that comes between the decision and the delete counts, and so do marks
// that cannot be read any more.
func TestPruneSparesWhatWasPinnedMeanwhile(t *testing.T) {
	r := newRepo(t)
	all := history(t, r, 4)
	if _, err := r.UpdateMarks(t.Context(), all[1], func(m *snapshot.Marks) error { m.Pinned = true; return nil }); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(all[2].Dir, snapshot.MarksName), []byte("torn"))
	lock := remover(t, r)
	defer lock.Release()
	removed, spared, err := r.Prune(t.Context(), lock, all[1:])
	if err != nil || !equal(spared, idsOf(all[1:3])) || !equal(removed, idsOf(all[3:])) {
		t.Errorf("removed %v, spared %v, %v", removed, spared, err)
	}
}

func TestPruneStopsWhenItIsTold(t *testing.T) {
	r := newRepo(t)
	all := history(t, r, 3)
	ctx, cancel := context.WithCancel(t.Context())
	d := &faultyDisk{disk: osDisk{}}
	d.fail = func(step int) error {
		if strings.HasPrefix(d.steps[step-1], "rename ") {
			cancel()
		}
		return nil
	}
	lock := remover(t, r)
	defer lock.Release()
	r.disk = d
	removed, _, err := r.Prune(ctx, lock, all[1:])
	r.disk = osDisk{}
	if !errors.Is(err, context.Canceled) || !equal(removed, idsOf(all[1:2])) {
		t.Errorf("removed %v, %v", removed, err)
	}
	mustBeWhole(t, r, all[0].Manifest.ID, all[2].Manifest.ID)
}

// shortDisk shows less of a directory than there is, and tells nobody.
type shortDisk struct {
	disk
	hide func(reading int, name string) bool
	n    int
}

func (d *shortDisk) ReadDir(path string) ([]fs.DirEntry, error) {
	entries, err := d.disk.ReadDir(path)
	if filepath.Base(path) == "sessions" {
		d.n++
	}
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return d.hide(d.n, e.Name()) }), err
}

// TestFault41ASurveyThatShowsTooLittle: a listing that failed, came back partial
// or empty where there were snapshots is an error for one who wants to delete.
func TestFault41ASurveyThatShowsTooLittle(t *testing.T) {
	r := newRepo(t)
	all := history(t, r, 3)
	newest := all[0].Manifest.ID
	isSnapshot := func(name string) bool { _, err := snapshot.ParseID(name); return err == nil }
	for name, c := range map[string]struct {
		hide func(reading int, name string) bool
		want any
	}{
		"all are gone":         {func(_ int, name string) bool { return isSnapshot(name) }, new(*NoSnapshotError)},
		"one is gone at first": {func(n int, name string) bool { return n == 1 && name == string(all[2].Manifest.ID) }, new(*UnsteadyError)},
		"one is gone later":    {func(n int, name string) bool { return n == 3 && name == string(all[2].Manifest.ID) }, new(*UnsteadyError)},
	} {
		r.disk = &shortDisk{disk: osDisk{}, hide: c.hide}
		if _, err := r.Survey(t.Context(), "sessions"); err == nil || !errors.As(err, c.want) {
			t.Errorf("%s: %v, want %T", name, err, c.want)
		}
	}
	r.disk = &shortDisk{disk: osDisk{}, hide: func(_ int, name string) bool { return name == string(newest) }}
	var unsteady *UnsteadyError
	if _, err := r.Survey(t.Context(), "sessions", newest); !errors.As(err, &unsteady) {
		t.Errorf("the snapshot that was just committed is not shown: %v", err)
	}
	d := &faultyDisk{disk: osDisk{}}
	r.disk = d
	if _, err := r.Survey(t.Context(), "sessions", newest); err != nil {
		t.Fatal(err)
	}
	for k := range d.steps {
		r.disk = &faultyDisk{disk: osDisk{}, fail: failAt(k+1, errIO)}
		if _, err := r.Survey(t.Context(), "sessions"); !errors.Is(err, errIO) {
			t.Errorf("step %s failed: %v", d.steps[k], err)
		}
	}
	r.disk = osDisk{}
	if _, err := r.Survey(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a source that is not there: %v", err)
	}
}

// Repair removes drafts and retired snapshots and nothing else, not even what
// nobody can read.
func TestRepairRemovesDraftsAndRetiredOnesOnly(t *testing.T) {
	r := newRepo(t)
	all := history(t, r, 3)
	source := r.sourceDir("sessions")
	write(t, filepath.Join(all[1].Dir, snapshot.ManifestName), nil)
	draft, retired := draftPrefix+string(newID(t, day(20), 20)), prunedPrefix+string(newID(t, day(21), 21))
	for _, name := range []string{draft, retired, "unknown", ".hidden"} {
		write(t, filepath.Join(mkdir(t, filepath.Join(source, name)), "dump.rdb.gz"), []byte("x"))
	}
	gone, err := r.Repair(t.Context(), 0)
	if err != nil || !equal(gone, []string{"sessions/" + draft, "sessions/" + retired}) {
		t.Errorf("repaired %v, %v", gone, err)
	}
	for _, path := range []string{all[1].Dir, filepath.Join(source, "unknown"), filepath.Join(source, ".hidden")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if gone, err := r.Repair(t.Context(), 0); err != nil || len(gone) > 0 {
		t.Errorf("a second time: %v, %v", gone, err)
	}
}

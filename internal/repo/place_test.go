package repo

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// copied is what `cp -a` makes of a repository.
func copied(t *testing.T, r *Repo) *Repo {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if out, err := exec.Command("cp", "-a", r.Dir(), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := opened(t, dir)
	c.disk = r.disk
	return c
}

func opened(t testing.TB, dir string) *Repo {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func begun(t testing.TB, r *Repo) *Run {
	t.Helper()
	run, err := r.StartRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.End() })
	return run
}

// killed is the id of a run that died: its file is there, its lock is free.
func killed(t testing.TB, r *Repo) string {
	t.Helper()
	run := begun(t, r)
	run.f.Close()
	return run.ID()
}

// A repository that was copied has the same id. What a live run of the one has
// at the engine is not for the other to remove, whether the run began before
// the copy or after it, in the original or in the copy.
func TestFault53ACopiedRepositorySparesTheRunsOfTheOther(t *testing.T) {
	r := newRepo(t)
	before, dead := begun(t, r), killed(t, r)
	other := copied(t, r)
	if other.ID() != r.ID() {
		t.Fatal("the copy has another id")
	}
	after, inCopy, deadInCopy := begun(t, r), begun(t, other), killed(t, other)
	for _, c := range []struct {
		name string
		in   *Repo
		run  string
		want bool
	}{
		{"a live run of before, in the copy", other, before.ID(), false},
		{"a live run of after, in the copy", other, after.ID(), false},
		{"a dead run of the original, in the copy", other, dead, false},
		{"a live run of the copy, in the original", r, inCopy.ID(), false},
		{"a dead run of the copy, in the original", r, deadInCopy, false},
		{"a live run of its own", r, before.ID(), false},
		{"a live run of its own, in the copy", other, inCopy.ID(), false},
		{"a dead run of its own", r, dead, true},
		{"a dead run of its own, in the copy", other, deadInCopy, true},
	} {
		if got := c.in.RunDead(c.run); got != c.want {
			t.Errorf("%s is dead: %v", c.name, got)
		}
	}
	if err := after.End(); err != nil || other.RunDead(after.ID()) || !r.RunDead(after.ID()) {
		t.Errorf("%v: a run of the original that has ended is for the original alone to judge", err)
	}
}

// Inside the directory the files and their locks decide, wherever they came
// from: a copy was made of drafts that nobody will ever finish there.
func TestFault53ACopySweepsItsOwnDirectory(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 8, nil)
	run := begun(t, r)
	draft := restoreDraft + run.ID()
	write(t, filepath.Join(r.sourceDir("sessions"), draft), []byte("{"))
	other := copied(t, r)
	report, err := other.Check(t.Context(), CheckOptions{})
	if err != nil || len(report.Notes) != 1 {
		t.Errorf("check of the copy: %+v, %v", report, err)
	}
	for _, c := range []struct {
		name string
		in   *Repo
		want bool
	}{{"original", r, true}, {"copy", other, false}} {
		if err := c.in.Sweep(t.Context(), "sessions"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(c.in.sourceDir("sessions"), draft)); (err == nil) != c.want {
			t.Errorf("after the sweep of the %s its record's draft: %v", c.name, err)
		}
		if _, err := os.Lstat(filepath.Join(c.in.runsDir(), run.ID())); (err == nil) != c.want {
			t.Errorf("after the sweep of the %s the run's file: %v", c.name, err)
		}
		mustBeWhole(t, c.in, e.Manifest.ID)
	}
	if r.RunDead(run.ID()) {
		t.Error("the original's run is dead")
	}
}

// A repository that was moved is the same one.
func TestFault53AMovedRepositoryKnowsItsRuns(t *testing.T) {
	r := newRepo(t)
	live, dead := begun(t, r), killed(t, r)
	to := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(r.Dir(), to); err != nil {
		t.Fatal(err)
	}
	moved := opened(t, to)
	if moved.RunDead(live.ID()) || !moved.RunDead(dead) {
		t.Error("dead and alive are mistaken after the move")
	}
	if r.RunDead(dead) {
		t.Error("where no repository is any more, a run is called dead")
	}
	if err := moved.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	if moved.RunDead(live.ID()) || !moved.RunDead(dead) {
		t.Error("dead and alive are mistaken after the sweep")
	}
	commit(t, moved, "sessions", day(8), 8, nil)
	if run := begun(t, moved); run.ID()[:placeLength] != live.ID()[:placeLength] {
		t.Errorf("run %s is of another place than %s", run.ID(), live.ID())
	}
}

// A container sees the directory through a mount of its own.
func TestFault53ABindMountIsTheSamePlace(t *testing.T) {
	r := newRepo(t)
	dir := mkdir(t, filepath.Join(t.TempDir(), "mounted"))
	if err := unix.Mount(r.Dir(), dir, "", unix.MS_BIND, ""); err != nil {
		t.Logf("no mount of our own (%v): the move stands for it", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	mounted := opened(t, dir)
	live, dead := begun(t, r), killed(t, r)
	if mounted.RunDead(live.ID()) || !mounted.RunDead(dead) {
		t.Error("dead and alive are mistaken through a mount")
	}
	if run := begun(t, mounted); r.RunDead(run.ID()) || run.End() != nil || !r.RunDead(run.ID()) {
		t.Error("dead and alive are mistaken behind a mount")
	}
}

// The records of restores are copied too. What one says that began elsewhere is
// nothing to act on.
func TestFault53ARecordOfAnotherPlaceIsOfNoDeadRun(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 8, nil)
	id := killed(t, r)
	if _, err := r.StartRestore(record(id, e)); err != nil {
		t.Fatal(err)
	}
	other := copied(t, r)
	for _, c := range []struct {
		in   *Repo
		dead bool
	}{{r, true}, {other, false}} {
		records, err := c.in.Restores("sessions")
		if err != nil || len(records) != 1 || c.in.RunDead(records[0].Run) != c.dead {
			t.Errorf("%s: %+v, %v", c.in.Dir(), records, err)
		}
	}
}

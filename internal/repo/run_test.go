package repo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestRunIsAliveUntilItsEnd(t *testing.T) {
	r := newRepo(t)
	run, err := r.StartRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.StartRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.End()
	if !isHex(run.ID(), 16) || run.ID() == other.ID() {
		t.Errorf("ids %q and %q", run.ID(), other.ID())
	}
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	if r.RunDead(run.ID()) {
		t.Error("a live run is dead")
	}
	if err := errors.Join(run.End(), run.End()); err != nil {
		t.Fatal(err)
	}
	if !r.RunDead(run.ID()) || r.RunDead(other.ID()) {
		t.Error("the end of a run is not seen, or of the wrong one")
	}
}

func TestFault20RunOfADeadProcess(t *testing.T) {
	r := newRepo(t)
	live, err := r.StartRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer live.End()
	dead, err := r.StartRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dead.f.Close() // as its death does
	foreign := filepath.Join(r.runsDir(), "README")
	write(t, foreign, nil)
	if !r.RunDead(dead.ID()) || r.RunDead(live.ID()) {
		t.Error("dead and alive are mistaken")
	}
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	if !r.RunDead(dead.ID()) || r.RunDead(live.ID()) {
		t.Error("dead and alive are mistaken after the sweep")
	}
	if _, err := os.Stat(dead.path); err == nil {
		t.Error("the dead run's file was not swept")
	}
	for _, path := range []string{live.path, foreign} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	// What we never named is not ours to judge.
	for _, id := range []string{"", "none", "README", "../redisbak.json", strings.Repeat("A", 16)} {
		if r.RunDead(id) {
			t.Errorf("run %q is dead", id)
		}
	}
}

// Runs that begin while others sweep are never taken for dead.
func TestRunsStartWhileOthersSweep(t *testing.T) {
	r := newRepo(t)
	var all sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := r.sweepRuns(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var runners sync.WaitGroup
	for range 4 {
		runners.Go(func() {
			for range 200 {
				run, err := r.StartRun(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if r.RunDead(run.ID()) {
					t.Errorf("run %s is dead, and it has just begun", run.ID())
				}
				if err := run.End(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	runners.Wait()
	close(stop)
	all.Wait()
	if err := r.sweepRuns(); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(r.runsDir()); err != nil || len(names) > 0 {
		t.Errorf("left: %v %v", names, err)
	}
}

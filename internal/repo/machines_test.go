package repo

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// otherHost takes a lock as a host does to which flock does not reach: by the
// same code, but for the flock. With anew, the file is another one than the
// first holder has open, as after somebody's repair of a shared disk.
func otherHost(t *testing.T, r *Repo, file string, anew bool) *Lock {
	t.Helper()
	path := filepath.Join(r.sourceDir("sessions"), file)
	if anew {
		write(t, path+".new", padded(nil))
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := &Lock{path: path, source: "sessions", kind: "write", f: f}
	if err := l.record(request{exclusive: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Release() })
	return l
}

// mustBeLost checks that a holder knows of its loss, and that its release does
// not take the lock from the one who has it now.
func mustBeLost(t *testing.T, loser, winner *Lock) {
	t.Helper()
	if err := loser.Held(); !errors.Is(err, ErrLockLost) {
		t.Errorf("the loser holds it: %v", err)
	}
	if err := loser.Release(); err != nil {
		t.Error(err)
	}
	if err := winner.Held(); err != nil {
		t.Errorf("the winner, after the loser's release: %v", err)
	}
}

// bothWays runs a test with the lock's file as it was and with another one.
func bothWays(t *testing.T, test func(t *testing.T, anew bool)) {
	t.Run("the same file", func(t *testing.T) { test(t, false) })
	t.Run("another file", func(t *testing.T) { test(t, true) })
}

// TestFault38CommitBesideAnotherHost: two hosts write the same source, whose
// locks do not reach each other. The one whose token is gone commits nothing;
// the other one's snapshot, and all earlier ones, are whole. Who of them has the
// flock does not matter.
func TestFault38CommitBesideAnotherHost(t *testing.T) {
	second := func(r *Repo, anew bool) *Lock { return otherHost(t, r, writerLock, anew) }
	flocked := func(r *Repo, _ bool) *Lock {
		lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
		if err != nil {
			t.Fatal(err)
		}
		return lock
	}
	for name, c := range map[string]struct{ first, then func(*Repo, bool) *Lock }{
		"the second has no flock": {flocked, second},
		"the first has no flock":  {second, flocked},
		"neither has one":         {second, second},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, anew bool) {
				r := newRepo(t)
				earlier := commit(t, r, "sessions", day(7), 7, nil).Manifest.ID
				loser := c.first(r, false)
				lost, kept := newID(t, day(8), 8), newID(t, day(9), 9)
				d, err := r.Begin(t.Context(), "sessions", lost, loser)
				if err != nil {
					t.Fatal(err)
				}
				f, err := fill(d, snapshot.Gzip, payload(1000, 8))
				if err != nil {
					t.Fatal(err)
				}
				winner := c.then(r, anew)
				if _, err := take(t, r, winner, draftOptions{source: "sessions", id: kept, content: payload(1000, 9)}); err != nil {
					t.Fatal(err)
				}
				if _, err := d.Commit(t.Context(), describe(lost, "sessions", f)); !errors.Is(err, ErrLockLost) {
					t.Errorf("the loser's commit: %v", err)
				}
				if err := d.Abort(); err != nil {
					t.Error(err)
				}
				mustBeLost(t, loser, winner)
				mustBeWhole(t, r, kept, earlier)
				mustBeTidy(t, r)
			})
		})
	}
}

// An import is no different.
func TestFault38ImportBesideAnotherHost(t *testing.T) {
	bothWays(t, func(t *testing.T, anew bool) {
		from, r := newRepo(t), newRepo(t)
		e := commit(t, from, "sessions", day(8), 8, nil)
		earlier := commit(t, r, "sessions", day(7), 7, nil).Manifest.ID
		loser, err := r.LockWriter(t.Context(), "sessions", 0, "")
		if err != nil {
			t.Fatal(err)
		}
		var winner *Lock
		_, err = r.Import(t.Context(), e, loser, func(int64) {
			if winner == nil {
				winner = otherHost(t, r, writerLock, anew)
			}
		})
		if !errors.Is(err, ErrLockLost) {
			t.Errorf("import: %v", err)
		}
		mustBeLost(t, loser, winner)
		mustBeWhole(t, r, earlier)
		mustBeTidy(t, r)
		if _, err := r.Import(t.Context(), e, winner, nil); err != nil {
			t.Errorf("the winner's import: %v", err)
		}
		mustBeWhole(t, r, e.Manifest.ID, earlier)
	})
}

// TestFault38PruneBesideAnotherHost: two hosts prune the same source after
// policies that differ. The loser stops before its next delete.
func TestFault38PruneBesideAnotherHost(t *testing.T) {
	bothWays(t, func(t *testing.T, anew bool) {
		r := newRepo(t)
		all := history(t, r, 6)
		loser := remover(t, r)
		var winner *Lock
		var others []snapshot.ID
		d := &faultyDisk{disk: osDisk{}}
		d.fail = func(int) error {
			if winner != nil || !strings.HasPrefix(d.steps[len(d.steps)-1], "unlink ") {
				return nil
			}
			winner = otherHost(t, r, keepLock, anew)
			host := opened(t, r.Dir())
			var err error
			others, _, err = host.Prune(t.Context(), winner, all[4:])
			return err
		}
		r.disk = d
		removed, _, err := r.Prune(t.Context(), loser, all[1:4])
		r.disk = osDisk{}
		if !errors.Is(err, ErrLockLost) || !equal(removed, idsOf(all[1:2])) || !equal(others, idsOf(all[4:])) {
			t.Errorf("the loser removed %v (%v), the winner %v", removed, err, others)
		}
		mustBeLost(t, loser, winner)
		mustBeWhole(t, r, idsOf([]Entry{all[0], all[2], all[3]})...)
		mustBeTidy(t, r)
	})
}

// A sweep stops where its lock is gone, too: what it listed may be another
// host's work by now.
func TestFault38SweepBesideAnotherHost(t *testing.T) {
	bothWays(t, func(t *testing.T, anew bool) {
		r := newRepo(t)
		e := commit(t, r, "sessions", day(7), 7, nil)
		for i := range 2 {
			mkdir(t, filepath.Join(r.sourceDir("sessions"), draftPrefix+string(newID(t, day(8), uint64(i)))))
		}
		d := &faultyDisk{disk: osDisk{}}
		d.fail = func(step int) error {
			if strings.HasPrefix(d.steps[step-1], "remove ") {
				otherHost(t, r, writerLock, anew)
			}
			return nil
		}
		r.disk = d
		if err := r.Sweep(t.Context(), "sessions"); !errors.Is(err, ErrLockLost) {
			t.Errorf("sweep: %v", err)
		}
		if left, err := r.leftover("sessions"); err != nil || len(left) != 1 {
			t.Errorf("left %v, %v", left, err)
		}
		mustBeWhole(t, r, e.Manifest.ID)
	})
}

// untilStopped waits until a child has stopped.
func untilStopped(t *testing.T, p process) {
	t.Helper()
	_, err := again(func() (int, error) {
		return 0, unix.Waitid(unix.P_PID, p.Process.Pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wakes lets a stopped child go on, and returns what it said as it failed.
func (p process) wakes(t *testing.T) string {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := p.in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err == nil || wasKilled(err) {
		t.Errorf("it ended with %v", err)
	}
	return p.err.String()
}

// TestFault39StoppedHolderWakes: a process that was stopped just before it
// would commit, or between two deletes, finds on waking that another host has
// taken its lock, and does neither.
func TestFault39StoppedHolderWakes(t *testing.T) {
	bothWays(t, func(t *testing.T, anew bool) {
		r := newRepo(t)
		all := history(t, r, 4)
		late := newID(t, day(20), 20)
		writer := child(t, task{Do: "commit", Dir: r.Dir(), ID: late, Size: 10_000, StopAt: "syncdir " + draftPrefix})
		untilStopped(t, writer)
		if _, err := r.LockWriter(t.Context(), "sessions", 0, ""); !errors.Is(err, ErrLocked) {
			t.Errorf("beside a stopped writer: %v", err)
		}
		winner := otherHost(t, r, writerLock, anew)
		other := newID(t, day(21), 21)
		if _, err := take(t, r, winner, draftOptions{source: "sessions", id: other, content: payload(1000, 21)}); err != nil {
			t.Fatal(err)
		}
		if told := writer.wakes(t); !strings.Contains(told, ErrLockLost.Error()) {
			t.Errorf("the writer said %q", told)
		}
		mustBeWhole(t, r, append([]snapshot.ID{other}, idsOf(all)...)...)
		if err := winner.Held(); err != nil {
			t.Error(err)
		}

		pruner := child(t, task{Do: "prune", Dir: r.Dir(), IDs: idsOf(all[1:]), StopAt: "remove " + prunedPrefix})
		untilStopped(t, pruner)
		if _, err := r.LockKeep(t.Context(), "sessions", 0); !errors.Is(err, ErrLocked) {
			t.Errorf("beside a stopped prune: %v", err)
		}
		winner = otherHost(t, r, keepLock, anew)
		if told := pruner.wakes(t); !strings.Contains(told, ErrLockLost.Error()) {
			t.Errorf("the prune said %q", told)
		}
		mustBeWhole(t, r, append([]snapshot.ID{other}, idsOf([]Entry{all[0], all[2], all[3]})...)...)
		if err := winner.Held(); err != nil {
			t.Error(err)
		}
		mustBeTidy(t, r)
	})
}

// TestFault39ReusedPID: the record of a dead holder names a process id that is
// another process's by now. The flock decides, so the lock is free.
func TestFault39ReusedPID(t *testing.T) {
	r := newRepo(t)
	history(t, r, 2)
	p := child(t, task{Do: "hold", Dir: r.Dir()})
	if !p.out.Scan() {
		t.Fatalf("no lock: %s", p.err)
	}
	run := p.out.Text()
	p.Process.Kill()
	if !p.died(t) {
		t.Fatal("it was not killed")
	}
	path := filepath.Join(r.sourceDir("sessions"), writerLock)
	h, err := readHolder(path)
	if err != nil || h.Run != run {
		t.Fatalf("the dead one's record is %+v, %v", h, err)
	}
	h.PID = os.Getpid()
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{writerLock, keepLock} {
		write(t, filepath.Join(r.sourceDir("sessions"), file), padded(text))
	}
	if !r.RunDead(run) {
		t.Error("the dead one's run is alive")
	}
	commit(t, r, "sessions", day(8), 8, nil)
	remover(t, r).Release()
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	mustBeTidy(t, r)
}

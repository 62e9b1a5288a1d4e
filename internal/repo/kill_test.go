package repo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redisbak/redisbak/snapshot"
)

// victim is a repository in which processes die.
type victim struct {
	r     *Repo
	taken int
	there []snapshot.ID // newest first
}

func (v *victim) nextID(t *testing.T) snapshot.ID {
	v.taken++
	return newID(t, day(1).Add(time.Duration(v.taken)*time.Hour), uint64(v.taken))
}

// examine checks what a death has left: the snapshot is whole or not there,
// all earlier ones are, and the next run finds nothing in its way.
func (v *victim) examine(t *testing.T, id snapshot.ID, survived bool) {
	t.Helper()
	if _, err := v.r.Get(string(id)); err == nil {
		v.there = slices.Insert(v.there, 0, id)
	} else if survived || !errors.Is(err, ErrNotFound) {
		t.Errorf("snapshot %s: %v", id, err)
	}
	mustBeWhole(t, v.r, v.there...)
	if err := v.r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	mustBeTidy(t, v.r)
}

func TestFault31KillBeforeEachStepOfACommit(t *testing.T) {
	v := victim{r: newRepo(t)}
	for k := 1; ; k++ {
		id := v.nextID(t)
		p := child(t, task{Do: "commit", Dir: v.r.Dir(), ID: id, Size: 10_000, KillAt: k})
		died := p.died(t)
		v.examine(t, id, !died)
		if !died {
			if k < 20 {
				t.Errorf("a commit has %d steps only", k)
			}
			t.Logf("commit was killed before each of its %d steps", k-1)
			return
		}
	}
}

func TestFault31KillAtRandom(t *testing.T) {
	const seed = 31
	kills := tenth(200)
	t.Logf("commit was killed %d times at random (seed %d)", kills, seed)
	v := victim{r: newRepo(t)}
	rng := rand.New(rand.NewPCG(seed, 0))
	steps := 0
	for i := range kills + 1 {
		id := v.nextID(t)
		p := child(t, task{Do: "commit", Dir: v.r.Dir(), ID: id, Size: 2 << 20, Tell: true})
		// The first one lives, to see how many steps there are. The others die
		// somewhere after a step, or have ended by then.
		last := rng.IntN(steps + 5)
		for n := 0; (i == 0 || n < last) && p.out.Scan(); n++ {
			steps = max(steps, n+1)
		}
		if i > 0 {
			p.Process.Kill()
		}
		v.examine(t, id, !p.died(t))
	}
	if len(v.there) == v.taken {
		t.Error("nobody was killed in time")
	}
}

// The holder of a lock that dies frees it at once, one that is stopped keeps
// it and is named.
func TestFault39HolderThatIsStoppedOrDead(t *testing.T) {
	r := newRepo(t)
	p := child(t, task{Do: "hold", Dir: r.Dir()})
	if !p.out.Scan() {
		t.Fatalf("no lock: %s", p.err)
	}
	run := p.out.Text()
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, err := r.LockWriter(t.Context(), "sessions", 100*time.Millisecond, "")
	if want := fmt.Sprintf("process %d on host", p.Process.Pid); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("beside a stopped holder: %v, want %s", err, want)
	}
	if r.RunDead(run) {
		t.Error("a stopped run is dead")
	}
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Error(err)
	}
	p.Process.Kill()
	if err := p.Wait(); !wasKilled(err) {
		t.Fatal(err)
	}
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatalf("after its death: %v", err)
	}
	lock.Release()
	if !r.RunDead(run) {
		t.Error("a killed run is alive")
	}
}

func TestFault38SweepLeavesALiveDraftAlone(t *testing.T) {
	r := newRepo(t)
	p := child(t, task{Do: "hold", Dir: r.Dir()})
	if !p.out.Scan() {
		t.Fatalf("no lock: %s", p.err)
	}
	id := newID(t, day(8), 8)
	draft := mkdir(t, r.sourceDir("sessions")+"/"+draftPrefix+string(id))
	write(t, draft+"/dump.rdb.gz", []byte("being written"))
	report, err := r.Check(t.Context(), CheckOptions{})
	if err != nil || len(report.Notes)+len(report.Problems) > 0 {
		t.Errorf("check tells of a draft in use: %+v %v", report, err)
	}
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(draft); err != nil {
		t.Errorf("a draft in use was swept: %v", err)
	}
	p.in.Close()
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	report, err = r.Check(t.Context(), CheckOptions{})
	if err != nil || len(report.Notes) != 1 || report.Notes[0].File != "sessions/"+draftPrefix+string(id) {
		t.Errorf("check of a stale draft: %+v %v", report, err)
	}
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(draft); err == nil {
		t.Error("a stale draft was not swept")
	}
}

// A file that may not grow any more is a full disk to the process; this one
// needs no rights.
func TestFault33FileSizeLimit(t *testing.T) {
	v := victim{r: newRepo(t)}
	v.there = []snapshot.ID{commit(t, v.r, "sessions", day(1), 1, nil).Manifest.ID}
	for _, limit := range []uint64{1, 600, 30_000, 59_000} {
		id := v.nextID(t)
		p := child(t, task{Do: "commit", Dir: v.r.Dir(), ID: id, Size: 100_000, FileSize: limit})
		err := p.Wait()
		told := p.err.String()
		if limit < 50_000 && (err == nil || !strings.Contains(told, "file too large")) {
			t.Errorf("limit of %d bytes: %v, told %q", limit, err, told)
		}
		if left, err := v.r.leftover("sessions"); err != nil || len(left) > 0 {
			t.Errorf("limit of %d bytes: the run left %v", limit, left)
		}
		v.examine(t, id, err == nil)
	}
}

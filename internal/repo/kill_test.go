package repo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// The tests of this file need processes that die. They are this test binary
// again, which finds its task in the environment.
const taskVariable = "REDISBAK_REPO_TEST_TASK"

type task struct {
	Do     string // "commit" or "hold"
	Dir    string
	ID     snapshot.ID
	Size   int    // of the payload
	KillAt int    // the step before which to die, 0: never
	Tell   bool   // write a line before each step
	Limit  uint64 // of the size of a file, 0: none
}

func TestMain(m *testing.M) {
	if text := os.Getenv(taskVariable); text != "" {
		if err := perform(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func perform(text string) error {
	var do task
	if err := json.Unmarshal([]byte(text), &do); err != nil {
		return err
	}
	r, err := Open(do.Dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	run, err := r.StartRun(ctx)
	if err != nil {
		return err
	}
	lock, err := r.LockWriter(ctx, "sessions", 0, run.ID())
	if err != nil {
		return err
	}
	if do.Do == "hold" {
		fmt.Println(run.ID())
		_, err := io.Copy(io.Discard, os.Stdin)
		return errors.Join(err, lock.Release(), run.End())
	}
	if do.Limit > 0 {
		limit := unix.Rlimit{Cur: do.Limit, Max: do.Limit}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	}
	r.disk = &faultyDisk{disk: osDisk{}, fail: func(step int) error {
		if do.Tell {
			fmt.Println(step)
		}
		if step == do.KillAt {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it comes
		}
		return nil
	}}
	d, err := r.Begin(ctx, "sessions", do.ID, lock)
	if err != nil {
		return err
	}
	f, err := fill(d, snapshot.Gzip, payload(do.Size, 8))
	if err != nil {
		return errors.Join(err, d.Abort())
	}
	if _, err := d.Commit(ctx, describe(do.ID, "sessions", f)); err != nil {
		return errors.Join(err, d.Abort())
	}
	return errors.Join(d.Abort(), lock.Release(), run.End())
}

// child starts a process that performs a task; it is gone when the test ends.
func child(t *testing.T, do task) (cmd *exec.Cmd, in io.WriteCloser, out *bufio.Scanner) {
	t.Helper()
	text, err := json.Marshal(do)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	cmd.Stderr = new(strings.Builder)
	in, err = cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, in, bufio.NewScanner(stdout)
}

func wasKilled(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

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
	left, err := v.r.leftover("sessions")
	runs, runsErr := os.ReadDir(v.r.runsDir())
	if err := errors.Join(err, runsErr); err != nil || len(left) > 0 || len(runs) > 0 {
		t.Errorf("the sweep left drafts %v and runs %v, %v", left, runs, err)
	}
}

func TestFault31KillBeforeEachStepOfACommit(t *testing.T) {
	v := victim{r: newRepo(t)}
	for k := 1; ; k++ {
		id := v.nextID(t)
		cmd, _, out := child(t, task{Do: "commit", Dir: v.r.Dir(), ID: id, Size: 10_000, KillAt: k})
		for out.Scan() {
		}
		err := cmd.Wait()
		if err != nil && !wasKilled(err) {
			t.Fatalf("step %d: %v: %s", k, err, cmd.Stderr)
		}
		v.examine(t, id, err == nil)
		if err == nil {
			if k < 20 {
				t.Errorf("a commit has %d steps only", k)
			}
			return
		}
	}
}

func TestFault31KillAtRandom(t *testing.T) {
	kills := 20
	if os.Getenv("REDISBAK_TEST_FULL") == "1" {
		kills = 200
	}
	v := victim{r: newRepo(t)}
	rng := rand.New(rand.NewPCG(31, 0))
	steps := 0
	for i := range kills + 1 {
		id := v.nextID(t)
		cmd, _, out := child(t, task{Do: "commit", Dir: v.r.Dir(), ID: id, Size: 2 << 20, Tell: true})
		// The first one lives, to see how many steps there are. The others die
		// somewhere after a step, or have ended by then.
		last := rng.IntN(steps + 5)
		for n := 0; (i == 0 || n < last) && out.Scan(); n++ {
			steps = max(steps, n+1)
		}
		if i > 0 {
			cmd.Process.Kill()
		}
		err := cmd.Wait()
		if err != nil && !wasKilled(err) {
			t.Fatalf("%v: %s", err, cmd.Stderr)
		}
		v.examine(t, id, err == nil)
	}
	if len(v.there) == v.taken {
		t.Error("nobody was killed in time")
	}
}

// The holder of a lock that dies frees it at once, one that is stopped keeps
// it and is named.
func TestFault39HolderThatIsStoppedOrDead(t *testing.T) {
	r := newRepo(t)
	cmd, _, out := child(t, task{Do: "hold", Dir: r.Dir()})
	if !out.Scan() {
		t.Fatalf("no lock: %s", cmd.Stderr)
	}
	run := out.Text()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, err := r.LockWriter(t.Context(), "sessions", 100*time.Millisecond, "")
	if want := fmt.Sprintf("process %d on host", cmd.Process.Pid); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("beside a stopped holder: %v, want %s", err, want)
	}
	if r.RunDead(run) {
		t.Error("a stopped run is dead")
	}
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Error(err)
	}
	cmd.Process.Kill()
	if err := cmd.Wait(); !wasKilled(err) {
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
	cmd, in, out := child(t, task{Do: "hold", Dir: r.Dir()})
	if !out.Scan() {
		t.Fatalf("no lock: %s", cmd.Stderr)
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
	in.Close()
	if err := cmd.Wait(); err != nil {
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
		cmd, _, out := child(t, task{Do: "commit", Dir: v.r.Dir(), ID: id, Size: 100_000, Limit: limit})
		for out.Scan() {
		}
		err := cmd.Wait()
		told := fmt.Sprint(cmd.Stderr)
		if limit < 50_000 && (err == nil || !strings.Contains(told, "file too large")) {
			t.Errorf("limit of %d bytes: %v, told %q", limit, err, told)
		}
		if left, err := v.r.leftover("sessions"); err != nil || len(left) > 0 {
			t.Errorf("limit of %d bytes: the run left %v", limit, left)
		}
		v.examine(t, id, err == nil)
	}
}

package repo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// Some tests need processes that die, stop, or have little. They are this test
// binary again, which finds its task in the environment.
const taskVariable = "REDISBAK_REPO_TEST_TASK"

type task struct {
	Do     string // a name of chores
	Dir    string
	From   string        // the repository to import from
	ID     snapshot.ID   // to commit
	IDs    []snapshot.ID // to prune or to import
	Size   int           // of the payload
	Seed   uint64        // of a storm
	Rounds int           // of a storm

	KillAt int    // the step before which to die, 0: never
	StopAt string // the beginning of the step before which to stop, once
	Tell   bool   // write a line before each step

	FileSize  uint64 // limit of the size of a file, 0: none
	OpenFiles uint64 // limit of open files, 0: none
	Memory    int64  // limit of the heap, for the collector, 0: none
}

// errand is a task that is being performed.
type errand struct {
	task
	r   *Repo
	run *Run
}

func chores() map[string]func(*errand, context.Context) error {
	return map[string]func(*errand, context.Context) error{
		"hold": (*errand).hold, "commit": (*errand).commit, "prune": (*errand).prune, "import": (*errand).imports,
		"storm": (*errand).storm, "frugal": (*errand).frugal, "large": (*errand).large,
	}
}

func TestMain(m *testing.M) {
	if text := os.Getenv(taskVariable); text != "" {
		if err := perform(context.Background(), text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func perform(ctx context.Context, text string) error {
	var e errand
	if err := json.Unmarshal([]byte(text), &e.task); err != nil {
		return err
	}
	if err := e.limit(); err != nil {
		return err
	}
	var err error
	if e.r, err = Open(e.Dir); err != nil {
		return err
	}
	if e.run, err = e.r.StartRun(ctx); err != nil {
		return err
	}
	return errors.Join(chores()[e.Do](&e, ctx), e.run.End())
}

// limit takes from the process what the task says.
func (e *errand) limit() error {
	if e.Memory > 0 {
		debug.SetMemoryLimit(e.Memory)
	}
	return setLimit(unix.RLIMIT_NOFILE, e.OpenFiles)
}

func setLimit(which int, limit uint64) error {
	if limit == 0 {
		return nil
	}
	return syscall.Setrlimit(which, &syscall.Rlimit{Cur: limit, Max: limit})
}

// suffer makes the disk one that has its limit, and before whose steps the
// process dies or stops. Death takes nothing that the kernel has: nothing need
// be flushed.
func (e *errand) suffer() error {
	d := &faultyDisk{disk: quickDisk{}}
	d.fail = func(step int) error {
		if e.Tell {
			fmt.Println(step)
		}
		if step == e.KillAt {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it comes
		}
		if e.StopAt != "" && strings.HasPrefix(d.steps[step-1], e.StopAt) {
			e.StopAt = ""
			syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			_, err := io.ReadFull(os.Stdin, make([]byte, 1)) // the signal may take its time
			return err
		}
		return nil
	}
	e.r.disk = d
	return setLimit(unix.RLIMIT_FSIZE, e.FileSize)
}

func (e *errand) hold(ctx context.Context) error {
	lock, err := e.r.LockWriter(ctx, "sessions", 0, e.run.ID())
	if err != nil {
		return err
	}
	fmt.Println(e.run.ID())
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, lock.Release())
}

func (e *errand) commit(ctx context.Context) error {
	lock, err := e.r.LockWriter(ctx, "sessions", 0, e.run.ID())
	if err != nil {
		return err
	}
	if err := e.suffer(); err != nil {
		return err
	}
	o := draftOptions{source: "sessions", id: e.ID, content: payload(e.Size, 8)}
	_, err = takeUntil(ctx, e.r, lock, o)
	return errors.Join(err, lock.Release())
}

// prune removes what the task names and is still there.
func (e *errand) prune(ctx context.Context) error {
	lock, err := e.r.LockRemove(ctx, "sessions", 0, e.run.ID())
	if err != nil {
		return err
	}
	listing, err := e.r.Survey(ctx, "sessions")
	if err != nil {
		return err
	}
	if err := e.suffer(); err != nil {
		return err
	}
	_, _, err = e.r.Prune(ctx, lock, only(listing.Snapshots, e.IDs))
	return errors.Join(err, lock.Release())
}

// imports copies what the task names and is not there yet.
func (e *errand) imports(ctx context.Context) error {
	from, err := Open(e.From)
	if err != nil {
		return err
	}
	listing, err := from.List("sessions")
	if err != nil {
		return err
	}
	lock, err := e.r.LockWriter(ctx, "sessions", 0, e.run.ID())
	if err != nil {
		return err
	}
	if err := e.suffer(); err != nil {
		return err
	}
	for _, s := range only(listing.Snapshots, e.IDs) {
		there, err := e.r.Has(ctx, s)
		if err == nil && !there {
			_, err = e.r.Import(ctx, s, lock, nil)
		}
		if err != nil {
			return errors.Join(err, lock.Release())
		}
	}
	return lock.Release()
}

// only returns the entries with these ids.
func only(entries []Entry, ids []snapshot.ID) []Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return !slices.Contains(ids, e.Manifest.ID) })
}

// process is a child that performs a task; it is gone when the test ends.
type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	err *strings.Builder
}

func child(t *testing.T, do task) process {
	t.Helper()
	text, err := json.Marshal(do)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := process{Cmd: exec.Command(self), err: new(strings.Builder)}
	p.Env = append(os.Environ(), taskVariable+"="+string(text))
	p.Stderr = p.err
	if p.in, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(stdout)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	return p
}

// lines reads what a child says until it has ended, and returns how many lines
// that were.
func (p process) lines() (n int) {
	for p.out.Scan() {
		n++
	}
	return n
}

// died waits for the end of a child that may have been killed; any other end
// than that and success fails the test.
func (p process) died(t *testing.T) bool {
	t.Helper()
	err := p.Wait()
	if err != nil && !wasKilled(err) {
		t.Fatalf("%v: %s", err, p.err)
	}
	return err != nil
}

func wasKilled(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

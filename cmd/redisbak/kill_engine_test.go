//go:build engine

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// process is the real binary at work on a repository.
type process struct {
	cmd    *exec.Cmd
	output strings.Builder
	ended  chan struct{}
	began  time.Time
	took   time.Duration
}

// launch starts the real binary with the environment of h.
func (h *home) launch(args ...string) *process {
	h.t.Helper()
	p := &process{cmd: exec.Command(binary(h.t), args...), ended: make(chan struct{}), began: time.Now()}
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.t.TempDir()}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		p.cmd.Env = append(p.cmd.Env, "DOCKER_HOST="+host)
	}
	for name, value := range h.env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is asked for
		p.took = time.Since(p.began)
		close(p.ended)
	}()
	h.t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.ended })
	return p
}

// wait returns the exit code, and -1 after a signal.
func (p *process) wait() int { <-p.ended; return p.cmd.ProcessState.ExitCode() }

// killAfter kills the process at that time, unless it has ended before.
func (p *process) killAfter(d time.Duration) (killed bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		_ = p.cmd.Process.Kill()
	case <-p.ended:
	}
	return p.wait() == -1
}

// swept fails the test if the next command does not remove what a killed one
// has left at the engine. A container that the engine was still making when its
// client died may come after that; then it is the next command but one.
func (h *home) swept() {
	h.t.Helper()
	var left []string
	if !enginetest.Poll(10*time.Second, func() bool {
		h.run("restore", "--dry-run").must(h.t, exitOK)
		containers, volumes := h.objects()
		left = nil
		for _, role := range []string{"helper", "verify"} {
			left = append(append(left, named(containers, role)...), named(volumes, role)...)
		}
		return len(left) == 0
	}) {
		h.t.Errorf("not swept: %q", left)
	}
}

// latecomers removes, before the source's volume is, what the engine was still
// making when the last client was killed.
func (h *home) latecomers() {
	enginetest.Poll(3*time.Second, func() bool {
		containers, volumes := h.objects()
		return len(containers)+len(volumes) > 0
	})
	h.removeAll()
}

func (h *home) list() []snapshotJSON {
	h.t.Helper()
	doc := document[struct {
		Snapshots []snapshotJSON `json:"snapshots"`
		Problems  []problemJSON  `json:"problems"`
	}](h.t, h.run("list", "--json").must(h.t, exitOK))
	if len(doc.Problems) > 0 {
		h.t.Errorf("list shows something half-made: %v", doc.Problems)
	}
	return doc.Snapshots
}

// FAULT 20: kill -9 at random moments of each command. What was committed
// stays, nothing half-made is listed, the next command sweeps, and the source
// does not notice.
func TestKilledAtRandomMoments(t *testing.T) {
	for _, c := range []struct {
		name    string
		options enginetest.Options
	}{
		{"rdb", enginetest.Options{Image: enginetest.Redis80, Network: "none"}},
		// Without save points: after a minute it would make a dump.rdb of its own.
		{"aof", enginetest.Options{Image: enginetest.Valkey81, Args: []string{"--appendonly", "yes", "--save", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) { killedAtRandomMoments(t, c.options) })
	}
}

func killedAtRandomMoments(t *testing.T, o enginetest.Options) {
	t.Parallel()
	h := newHome(t)
	source := enginetest.Start(t, o)
	source.Load(1)
	source.Fill(2000, 2000)
	want := contentOf(t, source)
	h.snapshot(source.Name)
	before := stateOf(source)

	volume := func(n int) string { return fmt.Sprintf("%s-killed-%d", source.Name, n) }
	commands := []func(n int) []string{
		func(int) []string { return []string{"snapshot", source.Name} },
		func(n int) []string { return []string{"restore", "--verify", "--volume", volume(n)} },
		func(int) []string { return []string{"verify", "latest"} },
		func(n int) []string { return []string{"restore", "--volume", volume(n)} },
	}
	length := make([]time.Duration, len(commands))
	for i, command := range commands {
		p := h.launch(command(1000 + i)...)
		if code := p.wait(); code != exitOK {
			t.Fatalf("exit code %d: %s", code, p.output.String())
		}
		length[i] = p.took
	}
	rng, killed := rand.New(rand.NewPCG(20, 2026)), 0
	for n := range sized(8, 60) {
		command := commands[n%len(commands)](n)
		known := h.list()
		at := time.Duration(rng.Float64() * 1.1 * float64(length[n%len(commands)]))
		p := h.launch(command...)
		if p.killAfter(at) {
			killed++
		}
		t.Logf("%s: killed after %v of %v, exit code %d", strings.Join(command, " "), at, length[n%len(commands)], p.wait())
		now := h.list()
		for _, e := range known {
			if !slices.ContainsFunc(now, func(s snapshotJSON) bool { return s.ID == e.ID }) {
				t.Errorf("%s is lost", e.ID)
			}
		}
		h.run("check").must(t, exitOK)
		h.swept()
		if command[0] == "restore" {
			h.againInto(volume(n))
		}
	}
	if killed == 0 {
		t.Error("no command was killed: this test shows nothing")
	}
	h.afterTheKills(source, before, want)
}

// againInto restores into the volume of a killed restore: either that works, or
// what stands against it is said.
func (h *home) againInto(volume string) (restored bool) {
	h.t.Helper()
	r := h.run("restore", "--volume", volume, "--json")
	switch r.code {
	case exitOK:
		if doc := document[restoreJSON](h.t, r); doc.Verified != "passed" {
			h.t.Errorf("restored anew: %s", r)
		}
	default:
		r.must(h.t, exitFailure).says(h.t, volume, "not empty", "hint: restore into another volume")
	}
	return r.code == exitOK
}

// afterTheKills: one more snapshot leaves no trace of the dead ones, all of them
// are whole and proven, and the source is as it was.
func (h *home) afterTheKills(source *enginetest.Redis, before state, want content) {
	t := h.t
	t.Helper()
	h.snapshot(source.Name)
	traces, err := filepath.Glob(filepath.Join(h.dir, "*", ".draft-*"))
	if err != nil || len(traces) > 0 {
		t.Errorf("drafts are left: %q, %v", traces, err)
	}
	if runs, err := filepath.Glob(filepath.Join(h.dir, ".runs", "*")); err != nil || len(runs) > 0 {
		t.Errorf("runs are left: %q, %v", runs, err)
	}
	h.run("check", "--read-data").must(t, exitOK)
	h.run("verify", "--all").must(t, exitOK)
	var after state
	if !enginetest.Poll(20*time.Second, func() bool { after = stateOf(source); return after.equal(before) }) {
		t.Errorf("the source afterwards:\n%v\nbefore:\n%v", after, before)
	}
	oldest := h.list()
	started := h.restore("--start", "--id", string(oldest[len(oldest)-1].ID))
	recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
	same(t, "the oldest snapshot", want, contentOf(t, recovered))
}

// A sweep leaves the objects of a run alone that is alive, though it does not
// move.
func TestSweepSparesALiveRun(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	source := enginetest.Start(t, enginetest.Options{})
	t.Cleanup(h.latecomers)
	source.Fill(2000, 1000)
	h.snapshot(source.Name)

	live := h.launch("snapshot", source.Name)
	var objects []string
	ours := func() []string {
		containers, volumes := h.objects()
		return append(containers, volumes...)
	}
	enginetest.Eventually(t, time.Minute, "the run is stopped with objects at the engine", func() bool {
		if len(ours()) == 0 {
			return false
		}
		send(t, live, syscall.SIGSTOP)
		if objects = ours(); len(objects) > 0 {
			return true
		}
		send(t, live, syscall.SIGCONT)
		return false
	})
	h.run("restore", "--dry-run").must(t, exitOK)
	h.run("verify").must(t, exitOK)
	if now := ours(); !slices.Equal(now, objects) {
		t.Errorf("after the other commands' sweeps there are %q, the stopped run had %q", now, objects)
	}
	send(t, live, syscall.SIGCONT)
	if code := live.wait(); code != exitOK {
		t.Errorf("the run that was stopped: exit code %d: %s", code, live.output.String())
	}
	h.holds(nil, nil)

	// The same run, dead: its objects go.
	dead := h.launch("snapshot", source.Name)
	enginetest.Eventually(t, time.Minute, "the run has objects at the engine", func() bool { return len(ours()) > 0 })
	dead.killAfter(0)
	h.swept()
}

func send(t *testing.T, p *process, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v: %v: %s", s, err, p.output.String())
	}
}

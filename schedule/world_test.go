package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errRun = errors.New("no such server")

// testClock is a wall clock that can be set. Its timers are those of the
// bubble: they stand still while the machine sleeps, and do not see a jump.
type testClock struct {
	mu     sync.Mutex
	ahead  time.Duration
	timers int // how often somebody waited
	open   int // timers that nobody stopped
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *testClock) Timer(wait time.Duration) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timers++
	c.open++
	t := time.NewTimer(wait)
	return t.C, func() {
		t.Stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open--
	}
}

// jump sets the wall clock.
func (c *testClock) jump(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
}

// world is a Runner in a bubble, and all that happened in it. Time passes there
// in no time, whenever all wait.
type world struct {
	*testing.T
	clock  *testClock
	runner *Runner
	stop   func() // ends the Runner, and waits until Run has returned

	mu     sync.Mutex           // for whoever looks while the Runner does something
	begun  []string             // names, in the order of their beginning
	last   map[string]time.Time // as a daemon would keep it on disk
	events []Event
}

// inWorld runs a test in a bubble whose clock shows an instant.
func inWorld(t *testing.T, now string, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, clock: &testClock{}, last: map[string]time.Time{}}
		w.clock.jump(time.Until(instant(t, now)))
		test(w)
		if w.stop != nil {
			w.stop()
		}
		if w.clock.open != 0 {
			t.Errorf("%d timers were left", w.clock.open)
		}
		w.checkEnds()
	})
}

// boot makes a Runner of these jobs, as after a start of the process.
func (w *world) boot(atOnce int, jobs ...Job) {
	w.Helper()
	w.runner = New(Options{
		Clock: w.clock, AtOnce: atOnce,
		Random: func(most time.Duration) time.Duration { return most },
		Observe: func(e Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
			if e.Kind == Started {
				w.begun = append(w.begun, e.Job)
				if e.Tick.Cause != Manual {
					w.last[e.Job] = e.Tick.Due
				}
			}
		},
	})
	for _, j := range jobs {
		j.Last = w.last[j.Name]
		w.add(j)
	}
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.runner.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
		w.stop = nil
	}
	synctest.Wait()
}

func (w *world) add(j Job) {
	w.Helper()
	if err := w.runner.Add(j); err != nil {
		w.Fatal(err)
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// sleep is a machine that sleeps: the clock goes on, the timers do not.
func (w *world) sleep(d time.Duration) {
	w.clock.jump(d)
	synctest.Wait()
}

// kept is when a job was last begun.
func (w *world) kept(name string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[name]
}

// until lets time pass until the clock shows an instant.
func (w *world) until(at string) {
	w.Helper()
	w.pass(instant(w, at).Sub(w.clock.Now()))
}

// missed is the sum of the ticks that had no run of their own.
func (w *world) missed() (sum int64) {
	for _, e := range w.events {
		sum += e.Missed
	}
	return sum
}

func (w *world) count(kind Kind) (n int) {
	for _, e := range w.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// said is what was told since it was asked last, without what is planned.
func (w *world) said(z *time.Location) string {
	synctest.Wait()
	var lines []string
	for _, e := range w.events {
		if e.Kind == Planned {
			continue
		}
		line := fmt.Sprintf("%s %s %s", e.Time.In(z).Format("02 15:04:05"), e.Job, e.Kind)
		if e.Tick.Cause != "" && e.Tick.Cause != Regular {
			line += " " + string(e.Tick.Cause)
		}
		if e.Missed > 0 {
			line += fmt.Sprint(" ", e.Missed)
		}
		if e.Tick.Attempt > 1 {
			line += fmt.Sprint(" attempt ", e.Tick.Attempt)
		}
		if e.Wait > 0 {
			line += fmt.Sprint(" wait ", e.Wait)
		}
		lines = append(lines, line)
	}
	w.forget()
	return strings.Join(lines, "\n")
}

// forget drops what was told up to now.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = nil
}

// expect compares what was said with lines.
func (w *world) expect(want string) {
	w.Helper()
	want = strings.ReplaceAll(strings.TrimSpace(want), "\t", "")
	if got := w.said(time.UTC); got != want {
		w.Errorf("said\n%s\nwant\n%s", got, want)
	}
}

// checkEnds holds what Event promises: what is due ends, once, by one of three.
func (w *world) checkEnds() {
	w.Helper()
	open := map[string]int{}
	for _, e := range w.events {
		switch {
		case e.Kind == Due:
			open[e.Job]++
		case e.Kind == Succeeded || e.Kind == Failed || e.Kind == Skipped && e.Missed == 0:
			open[e.Job]--
		}
		if n := open[e.Job]; n > 1 {
			w.Errorf("%s: %d runs on their way at %s", e.Job, n, e.Time)
		}
	}
	for name, n := range open {
		if n > 0 {
			w.Errorf("%s: %d runs are due and have no end", name, n)
		}
	}
}

// status is that of one job.
func (w *world) status(name string) Status {
	w.Helper()
	synctest.Wait()
	all := w.runner.Jobs()
	i := slices.IndexFunc(all, func(s Status) bool { return s.Name == name })
	if i < 0 {
		w.Fatalf("no job %q among %v", name, all)
	}
	return all[i]
}

// lasting is a run that takes so long, and ends early with its context.
func lasting(d time.Duration, err error) func(context.Context, Tick) error {
	return func(ctx context.Context, _ Tick) error {
		select {
		case <-time.After(d):
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

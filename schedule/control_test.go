package schedule

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAddRefuses(t *testing.T) {
	r := New(Options{Clock: WallClock()})
	whole := testJob(t, "a", "@daily")
	for want, spoil := range map[string]func(*Job){
		"has no name":        func(j *Job) { j.Name = "" },
		"has no schedule":    func(j *Job) { j.Spec = Spec{} },
		"has nothing to run": func(j *Job) { j.Run = nil },
	} {
		j := whole
		spoil(&j)
		var jobErr *JobError
		if err := r.Add(j); !errors.As(err, &jobErr) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if n := len(r.Jobs()); n != 0 {
		t.Errorf("%d jobs were added", n)
	}
}

// RunNow runs at once, without jitter, and the schedule stays as it is.
func TestRunNow(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a, b := testJob(t, "a", "@every 1h"), testJob(t, "b", "@every 1h")
		b.Run = lasting(time.Minute, errRun)
		w.boot(1, a, b)
		w.pass(5 * time.Minute)
		next := w.status("a").Next
		if err := errors.Join(w.runner.RunNow("a"), w.runner.RunNow("b")); err != nil {
			t.Error(err)
		}
		var busy *BusyError
		if err := w.runner.RunNow("b"); !errors.As(err, &busy) || busy.State != Waiting {
			t.Errorf("b, which waits for a: %v", err)
		}
		w.pass(time.Second)
		if err := w.runner.RunNow("a"); !errors.As(err, &busy) || busy.State != Running {
			t.Errorf("a, which runs: %v", err)
		}
		var unknown *UnknownError
		if err := w.runner.RunNow("c"); !errors.As(err, &unknown) {
			t.Errorf("c, which is not there: %v", err)
		}
		w.pass(30 * time.Minute)
		if got := w.status("a").Next; !got.Equal(next) || len(w.last) != 0 {
			t.Errorf("next was %s and is %s, last is %s", next, got, w.last)
		}
		w.expect(`
			01 12:05:00 a due manual
			01 12:05:00 b due manual
			01 12:05:00 a started manual
			01 12:15:00 a succeeded manual
			01 12:15:00 b started manual
			01 12:16:00 b failed manual`)
	})
}

// RunNow ends the wait of a run that is on its way: there is no second one.
func TestRunNowOfWhatWaits(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a := testJob(t, "a", "15 * * * *")
		a.Run = lasting(0, errRun)
		a.Retry.Times = 1
		w.boot(1, a)
		w.until("2026-05-01 12:15:10 +0000")
		for range 2 {
			if err := w.runner.RunNow("a"); err != nil {
				t.Error(err)
			}
			w.pass(10 * time.Second)
		}
		w.until("2026-05-01 13:00:00 +0000")
		w.expect(`
			01 12:15:00 a due wait 30s
			01 12:15:10 a started
			01 12:15:10 a retrying wait 1m0s
			01 12:15:20 a started attempt 2
			01 12:15:20 a failed attempt 2`)
	})
}

// A tick that comes while a run by hand waits for room has its run in it.
func TestTickJoinsARunByHandThatWaits(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a, b := testJob(t, "a", "10 12 * * *"), testJob(t, "b", "15 * * * *")
		a.Jitter = -1
		w.boot(1, a, b)
		w.until("2026-05-01 12:12:00 +0000")
		if err := w.runner.RunNow("b"); err != nil {
			t.Error(err)
		}
		w.until("2026-05-01 13:00:00 +0000")
		w.expect(`
			01 12:10:00 a due
			01 12:10:00 a started
			01 12:12:00 b due manual
			01 12:20:00 a succeeded
			01 12:20:00 b started
			01 12:30:00 b succeeded`)
	})
}

// A job that is removed does not begin any more; its run goes on to its end, and
// until then there is no second one under its name.
func TestRemove(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a, b, c := testJob(t, "a", "15 * * * *"), testJob(t, "b", "15 * * * *"), testJob(t, "c", "15 * * * *")
		a.Jitter, c.Jitter, c.Run = -1, -1, lasting(0, errRun)
		w.boot(3, a, b, c)
		w.until("2026-05-01 12:15:10 +0000") // a runs, b is delayed, c waits to be tried again
		for _, name := range []string{"a", "b", "c"} {
			if err := w.runner.Remove(name); err != nil {
				t.Error(err)
			}
		}
		var unknown *UnknownError
		if err := w.runner.Remove("a"); !errors.As(err, &unknown) {
			t.Errorf("removed twice: %v", err)
		}
		if err := w.runner.RunNow("a"); !errors.As(err, &unknown) {
			t.Errorf("run, and it is removed: %v", err)
		}
		if all := w.runner.Jobs(); len(all) != 1 || all[0].Name != "a" || !all[0].Next.IsZero() || all[0].State != Running {
			t.Errorf("left: %+v", all)
		}
		w.pass(2 * time.Hour)
		if all := w.runner.Jobs(); len(all) != 0 {
			t.Errorf("left: %+v", all)
		}
		w.expect(`
			01 12:15:00 a due
			01 12:15:00 b due wait 30s
			01 12:15:00 c due
			01 12:15:00 a started
			01 12:15:00 c started
			01 12:15:00 c retrying wait 1m0s
			01 12:15:10 b skipped
			01 12:15:10 c failed
			01 12:25:00 a succeeded`)
	})
}

// A removed job that comes back while its run is on the way has that run.
func TestRemovedAndAddedAgainDoesNotOverlap(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a := testJob(t, "a", "*/5 * * * *")
		a.Jitter, a.Run = -1, lasting(9*time.Minute, nil)
		w.boot(3, a)
		w.until("2026-05-01 12:06:00 +0000")
		if err := w.runner.Remove("a"); err != nil {
			t.Error(err)
		}
		w.pass(time.Second)
		w.add(a)
		w.until("2026-05-01 12:26:00 +0000")
		w.expect(`
			01 12:05:00 a due
			01 12:05:00 a started
			01 12:10:00 a skipped 1
			01 12:14:00 a succeeded
			01 12:15:00 a due
			01 12:15:00 a started
			01 12:20:00 a skipped 1
			01 12:24:00 a succeeded
			01 12:25:00 a due
			01 12:25:00 a started`)
		w.stop()
		w.forget()
	})
}

// A replaced job keeps its run and its last tick; another spec owes nothing.
func TestReplace(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a := testJob(t, "a", "15 3 * * *")
		w.last["a"] = instant(t, "2026-05-01 03:15:00 +0000")
		w.boot(1, a)
		replaced := testJob(t, "a", "@every 10m")
		replaced.Jitter, replaced.Run = -1, lasting(0, errRun)
		w.add(replaced)
		w.until("2026-05-01 12:10:30 +0000")
		replaced.Run = lasting(0, nil)
		w.add(replaced) // the retry is one of the new job
		w.until("2026-05-01 12:20:00 +0000")
		w.expect(`
			01 12:10:00 a due
			01 12:10:00 a started
			01 12:10:00 a retrying wait 1m0s
			01 12:11:00 a started attempt 2
			01 12:11:00 a succeeded attempt 2
			01 12:20:00 a due
			01 12:20:00 a started
			01 12:20:00 a succeeded`)
	})
}

// When the context ends, nothing begins, and Run waits for what runs.
func TestEndOfTheContext(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		slow, waiting, failed, delayed := testJob(t, "slow", "15 * * * *"), testJob(t, "waiting", "15 * * * *"), testJob(t, "failed", "14 * * * *"), testJob(t, "delayed", "15 * * * *")
		slow.Jitter, waiting.Jitter, failed.Jitter, delayed.Jitter = -1, -1, -1, time.Hour
		failed.Run = lasting(0, errRun)
		failed.Retry.First = 10 * time.Minute
		slow.Run = func(ctx context.Context, _ Tick) error {
			<-ctx.Done()
			<-time.After(30 * time.Second) // it cleans up
			return ctx.Err()
		}
		w.boot(1, slow, waiting, failed, delayed)
		w.until("2026-05-01 12:15:10 +0000")
		w.stop()
		if err := w.runner.RunNow("slow"); !errors.Is(err, ErrStopped) {
			t.Errorf("run after the end: %v", err)
		}
		if err := w.runner.Run(t.Context()); !errors.Is(err, ErrTwice) {
			t.Errorf("run twice: %v", err)
		}
		if at := w.clock.Now(); !at.Equal(instant(t, "2026-05-01 12:15:40 +0000")) {
			t.Errorf("Run returned at %s, and not when the last run had ended", at)
		}
		if e := w.events[len(w.events)-1]; !errors.Is(e.Err, context.Canceled) {
			t.Errorf("the slow one failed with %v", e.Err)
		}
		for _, e := range w.events {
			if want := e.Kind == Failed; e.Stopped != want {
				t.Errorf("%s of %s: stopped %v, want %v", e.Kind, e.Job, e.Stopped, want)
			}
		}
		w.expect(`
			01 12:14:00 failed due
			01 12:14:00 failed started
			01 12:14:00 failed retrying wait 10m0s
			01 12:15:00 delayed due wait 1h0m0s
			01 12:15:00 slow due
			01 12:15:00 waiting due
			01 12:15:00 slow started
			01 12:15:10 delayed skipped
			01 12:15:10 failed failed
			01 12:15:10 waiting skipped
			01 12:15:40 slow failed`)
	})
}

// A run that panics, or ends its goroutine, has failed. The others go on.
func TestPanicIsAFailure(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a, b := testJob(t, "a", "15 * * * *"), testJob(t, "b", "15 * * * *")
		a.Retry.Times, b.Retry.Times = -1, -1
		a.Run = func(context.Context, Tick) error { panic("no more") }
		b.Run = func(context.Context, Tick) error { runtime.Goexit(); return nil }
		w.boot(1, a, b)
		w.until("2026-05-01 14:00:00 +0000")
		var panicked *PanicError
		if err := w.status("a").Last.Err; !errors.As(err, &panicked) || panicked.Value != "no more" || !strings.Contains(string(panicked.Stack), "control_test.go") {
			t.Errorf("a: %v", err)
		}
		if err := w.status("b").Last.Err; !errors.Is(err, errGone) {
			t.Errorf("b: %v", err)
		}
		if n := w.count(Failed); n != 4 {
			t.Errorf("%d runs failed, want 4", n)
		}
	})
}

// The observer may ask and tell the Runner anything. It knows of a run before
// that begins, so that what it keeps is never behind.
func TestObserverMayCallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &testClock{}
		var r *Runner
		ctx, cancel := context.WithCancel(t.Context())
		var kinds []Kind
		r = New(Options{Clock: clock, Observe: func(e Event) {
			kinds = append(kinds, e.Kind)
			switch {
			case e.Kind == Planned && e.Job == "a":
				if err := r.RunNow("a"); err != nil {
					t.Error(err)
				}
			case e.Kind == Started:
				if all := r.Jobs(); len(all) != 1 || all[0].State != Running {
					t.Errorf("jobs: %+v", all)
				}
			case e.Kind == Succeeded:
				if err := r.Remove("a"); err != nil {
					t.Error(err)
				}
				cancel()
			}
		}})
		if err := r.RunNow("a"); !errors.Is(err, ErrStopped) {
			t.Errorf("run before the start: %v", err)
		}
		a := testJob(t, "a", "@yearly")
		a.Run = func(context.Context, Tick) error {
			if kinds[len(kinds)-1] != Started {
				t.Errorf("runs, and was told %v", kinds)
			}
			return nil
		}
		if err := r.Add(a); err != nil {
			t.Fatal(err)
		}
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(kinds) != 4 || len(r.Jobs()) != 0 {
			t.Errorf("told %v, left %+v", kinds, r.Jobs())
		}
	})
}

// The jitter is what was drawn, between nothing and the most, and is never
// asked for where there is none.
func TestJitter(t *testing.T) {
	for _, tt := range []struct {
		name         string
		jitter, draw time.Duration
		spec         string
		most, want   time.Duration
	}{
		{"default", 0, 7 * time.Second, "@hourly", 30 * time.Second, 7 * time.Second},
		{"a tenth", 0, 7 * time.Second, "* * * * *", 6 * time.Second, 6 * time.Second},
		{"its own", time.Hour, 20 * time.Minute, "@hourly", time.Hour, 20 * time.Minute},
		{"none", -1, time.Second, "@hourly", 0, 0},
		{"never before", time.Hour, -time.Minute, "@hourly", time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := time.Duration(0)
			r := New(Options{Clock: &testClock{}, Random: func(most time.Duration) time.Duration { asked = most; return tt.draw }})
			j := &job{Job: Job{Jitter: tt.jitter, Spec: spec(t, tt.spec, time.UTC)}, anchor: instant(t, "2026-05-01 12:00:00 +0000")}
			j.plan(j.anchor)
			if got := r.jitter(j); got != tt.want || asked != tt.most {
				t.Errorf("delay %s of at most %s, want %s of %s", got, asked, tt.want, tt.most)
			}
		})
	}
	r := New(Options{Clock: &testClock{}})
	for range 1000 {
		if d := r.random(time.Second); d < 0 || d > time.Second {
			t.Fatalf("drawn %s", d)
		}
	}
}

// The one test that waits in real time: two seconds of @every 1s.
func TestRealClock(t *testing.T) {
	ran := make(chan Tick, 10)
	r := New(Options{Clock: WallClock()})
	err := r.Add(Job{Name: "a", Spec: spec(t, "@every 1s", time.Local), Run: func(_ context.Context, tick Tick) error {
		ran <- tick
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var due []time.Time
	for len(due) < 2 {
		select {
		case tick := <-ran:
			due = append(due, tick.Due)
		case <-ctx.Done():
			t.Fatalf("%d runs within a minute", len(due))
		}
	}
	if d := due[1].Sub(due[0]); d <= 0 || d%time.Second != 0 {
		t.Errorf("due %s apart", d)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

package schedule

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// FAULT 52: a run that is longer than its interval.
func TestFault52OverrunIsSkippedAndCounted(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		long := testJob(t, "a", "*/20 * * * *")
		long.Run = lasting(50*time.Minute, nil)
		w.boot(2, long)
		w.until("2026-05-01 14:00:00 +0000")
		w.expect(`
			01 12:20:00 a due wait 30s
			01 12:20:30 a started
			01 12:40:00 a skipped 1
			01 13:00:00 a skipped 1
			01 13:10:30 a succeeded
			01 13:20:00 a due wait 30s
			01 13:20:30 a started
			01 13:40:00 a skipped 1
			01 14:00:00 a skipped 1`)
		w.pass(19 * time.Minute)
		w.forget()
	})
}

// FAULT 52: two jobs in one second, and room for one: one after the other, in
// order, and none is missed.
func TestFault52TwoInOneSecondWithRoomForOne(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a, b := testJob(t, "a", "15 * * * *"), testJob(t, "b", "15 * * * *")
		a.Jitter, b.Jitter = -1, -1
		w.boot(1, b, a)
		w.until("2026-05-01 12:20:00 +0000")
		if s := w.status("b"); s.State != Waiting || !s.Since.Equal(instant(t, "2026-05-01 12:15:00 +0000")) {
			t.Errorf("b: %+v, want it waiting", s)
		}
		w.until("2026-05-01 13:00:00 +0000")
		w.expect(`
			01 12:15:00 a due
			01 12:15:00 b due
			01 12:15:00 a started
			01 12:25:00 a succeeded
			01 12:25:00 b started
			01 12:35:00 b succeeded`)
	})
}

// FAULT 52: what waits for room when its next tick comes is run once for both.
func TestFault52TickThatComesWhileItsRunWaits(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		long, b := testJob(t, "a", "10 12 * * *"), testJob(t, "b", "15 * * * *")
		long.Jitter, b.Jitter, long.Run = -1, -1, lasting(90*time.Minute, nil)
		w.boot(1, long, b)
		w.until("2026-05-01 14:00:00 +0000")
		w.expect(`
			01 12:10:00 a due
			01 12:10:00 a started
			01 12:15:00 b due
			01 13:15:00 b skipped 1
			01 13:40:00 a succeeded
			01 13:40:00 b started
			01 13:50:00 b succeeded`)
	})
}

// FAULT 52: fifty due at once and room for four: all run, four at once and
// never more, those that were due first begin first.
func TestFault52FiftyAtOnceWithRoomForFour(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		running, most := make(chan int, 1), 0
		running <- 0
		change := func(by int) {
			n := <-running + by
			most = max(most, n)
			running <- n
		}
		var jobs []Job
		var names []string
		for i := range 50 {
			j := testJob(t, fmt.Sprintf("job %02d", i), "15 * * * *")
			names = append(names, j.Name)
			j.Jitter = time.Duration(i+1) * time.Millisecond
			j.Run = func(ctx context.Context, tick Tick) error {
				change(1)
				defer change(-1)
				return lasting(time.Duration(1+i%7)*time.Minute, nil)(ctx, tick)
			}
			jobs = append(jobs, j)
		}
		slices.Reverse(jobs)
		w.boot(4, jobs...)
		w.until("2026-05-01 13:14:00 +0000")
		if most != 4 {
			t.Errorf("%d at once, want 4", most)
		}
		if !slices.Equal(w.begun, names) {
			t.Errorf("begun in the order %q", w.begun)
		}
		if w.count(Succeeded) != 50 || w.missed() != 0 {
			t.Errorf("%d succeeded, %d missed", w.count(Succeeded), w.missed())
		}
	})
}

// A failed run is tried again with waits that double, up to a cap.
func TestRetriesWaitTwiceAsLongEachTime(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a := testJob(t, "a", "15 3 * * *")
		a.Jitter, a.Run = -1, lasting(time.Minute, errRun)
		a.Retry = Retry{Times: 4, Most: 5 * time.Minute}
		w.boot(1, a)
		w.until("2026-05-02 12:00:00 +0000")
		if s := w.status("a"); s.State != Idle || s.Last.Err != errRun || s.Last.Tick.Attempt != 5 || s.Last.Ended.Sub(s.Last.Started) != time.Minute {
			t.Errorf("status %+v", s)
		}
		w.expect(`
			02 03:15:00 a due
			02 03:15:00 a started
			02 03:16:00 a retrying wait 1m0s
			02 03:17:00 a started attempt 2
			02 03:18:00 a retrying attempt 2 wait 2m0s
			02 03:20:00 a started attempt 3
			02 03:21:00 a retrying attempt 3 wait 4m0s
			02 03:25:00 a started attempt 4
			02 03:26:00 a retrying attempt 4 wait 5m0s
			02 03:31:00 a started attempt 5
			02 03:32:00 a failed attempt 5`)
	})
}

func TestRetryWaits(t *testing.T) {
	for _, tt := range []struct {
		retry Retry
		want  string
	}{
		{Retry{}, "1m0s 2m0s 4m0s 8m0s 16m0s"},
		{Retry{Times: -1}, ""},
		{Retry{Times: 3, First: 20 * time.Minute}, "20m0s 30m0s 30m0s"},
		{Retry{Times: 2, First: time.Hour}, "30m0s 30m0s"},
		{Retry{Times: 2, First: time.Second, Most: time.Hour}, "1s 2s"},
	} {
		got := ""
		for failed := 1; ; failed++ {
			wait, ok := tt.retry.wait(failed)
			if !ok {
				break
			}
			if got != "" {
				got += " "
			}
			got += wait.String()
		}
		if got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.retry, got, tt.want)
		}
	}
	if wait, ok := (Retry{Times: 1 << 40}).wait(1 << 30); wait != 30*time.Minute || !ok {
		t.Errorf("after very many: %s, %t", wait, ok)
	}
}

// No retry begins at or after the next tick: not where it would have to wait
// for that long, not where the machine slept, not where there was no room.
func TestNoRetryBeyondTheNextTick(t *testing.T) {
	failing := testJob(t, "a", "*/5 * * * *")
	failing.Jitter, failing.Run = -1, lasting(0, errRun)
	t.Run("the wait is too long", func(t *testing.T) {
		inWorld(t, "2026-05-01 12:01:00 +0000", func(w *world) {
			w.boot(1, failing)
			w.until("2026-05-01 12:10:00 +0000")
			w.stop()
			w.expect(`
				01 12:05:00 a due
				01 12:05:00 a started
				01 12:05:00 a retrying wait 1m0s
				01 12:06:00 a started attempt 2
				01 12:06:00 a retrying attempt 2 wait 2m0s
				01 12:08:00 a started attempt 3
				01 12:08:00 a failed attempt 3
				01 12:10:00 a due
				01 12:10:00 a started
				01 12:10:00 a retrying wait 1m0s
				01 12:10:00 a failed`)
		})
	})
	t.Run("the machine slept", func(t *testing.T) {
		inWorld(t, "2026-05-01 12:01:00 +0000", func(w *world) {
			w.boot(1, failing)
			w.until("2026-05-01 12:06:10 +0000")
			w.forget()
			w.sleep(time.Hour)
			w.pass(recheck)
			w.stop()
			w.expect(`
				01 13:07:00 a failed attempt 2
				01 13:07:00 a missed 12
				01 13:07:00 a due catch-up
				01 13:07:00 a started catch-up
				01 13:07:00 a retrying catch-up wait 1m0s
				01 13:07:10 a failed catch-up`)
		})
	})
	t.Run("there was no room", func(t *testing.T) {
		inWorld(t, "2026-05-01 12:01:00 +0000", func(w *world) {
			long := testJob(t, "b", "5 12 * * *")
			long.Jitter, long.Run = -1, lasting(11*time.Minute, nil)
			w.boot(1, failing, long)
			w.until("2026-05-01 12:18:00 +0000")
			w.stop()
			w.expect(`
				01 12:05:00 a due
				01 12:05:00 b due
				01 12:05:00 a started
				01 12:05:00 a retrying wait 1m0s
				01 12:05:00 b started
				01 12:10:00 a failed
				01 12:10:00 a due
				01 12:15:00 a skipped 1
				01 12:16:00 b succeeded
				01 12:16:00 a started
				01 12:16:00 a retrying wait 1m0s
				01 12:17:00 a started attempt 2
				01 12:17:00 a retrying attempt 2 wait 2m0s
				01 12:18:00 a failed attempt 2`)
		})
	})
}

// FAULT 52: whatever a run is for, a tick that comes while it runs is skipped,
// and the run stays what it is.
func TestFault52TickDuringACatchUpAndARunByHand(t *testing.T) {
	inWorld(t, "2026-05-01 12:10:00 +0000", func(w *world) {
		w.last["a"] = instant(t, "2026-05-01 10:15:00 +0000")
		a, b := testJob(t, "a", "15 * * * *"), testJob(t, "b", "15 * * * *")
		a.Jitter, a.Run = -1, lasting(9*time.Minute, nil)
		w.boot(2, a, b)
		if err := w.runner.RunNow("b"); err != nil {
			t.Error(err)
		}
		w.until("2026-05-01 13:00:00 +0000")
		w.expect(`
			01 12:10:00 a missed 1
			01 12:10:00 a due catch-up
			01 12:10:00 a started catch-up
			01 12:10:00 b due manual
			01 12:10:00 b started manual
			01 12:15:00 a skipped 1
			01 12:15:00 b skipped 1
			01 12:19:00 a succeeded catch-up
			01 12:20:00 b succeeded manual`)
	})
}

// FAULT 52: of those that may begin at once, who was due first is first,
// whatever its name.
func TestFault52WhoWasDueFirstIsFirst(t *testing.T) {
	inWorld(t, "2026-05-01 12:14:30 +0000", func(w *world) {
		a, b := testJob(t, "a", "15 * * * *"), testJob(t, "b", "15 * * * *")
		a.Jitter, b.Jitter = 20*time.Second, 10*time.Second
		w.boot(1, a, b)
		w.until("2026-05-01 12:15:05 +0000")
		w.sleep(10 * time.Minute)
		w.pass(30 * time.Minute)
		if !slices.Equal(w.begun, []string{"b", "a"}) {
			t.Errorf("begun in the order %q", w.begun)
		}
	})
}

// FAULT 52: more ticks than are counted, during one run.
func TestFault52MoreAreSkippedThanAreCounted(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a := testJob(t, "a", "* * * * * *")
		a.Jitter = -1
		w.boot(1, a)
		w.pass(time.Minute)
		w.forget()
		w.sleep(30 * 24 * time.Hour)
		w.pass(2 * time.Second)
		if e := w.events[0]; e.Kind != Skipped || e.Missed != countLimit || !e.AtLeast {
			t.Errorf("told %+v", e)
		}
		w.stop()
		w.forget()
	})
}

package schedule

import (
	"testing"
	"time"
)

// job is one that takes ten minutes and is well.
func testJob(t testing.TB, name, text string) Job {
	return Job{Name: name, Spec: spec(t, text, time.UTC), Run: lasting(10*time.Minute, nil)}
}

// FAULT 51: the process was down at three ticks.
func TestFault51DownAtThreeTicks(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		w.last["a"] = instant(t, "2026-05-01 08:15:00 +0000")
		w.boot(1, testJob(t, "a", "15 * * * *"))
		w.until("2026-05-01 13:30:00 +0000")
		w.expect(`
			01 12:00:00 a missed 3
			01 12:00:00 a due catch-up wait 30s
			01 12:00:30 a started catch-up
			01 12:10:30 a succeeded catch-up
			01 12:15:00 a due wait 30s
			01 12:15:30 a started
			01 12:25:30 a succeeded
			01 13:15:00 a due wait 30s
			01 13:15:30 a started
			01 13:25:30 a succeeded`)
	})
}

// FAULT 51: nothing is owed to a job that was never run.
func TestFault51NoCatchUpOnFirstInstall(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		w.boot(1, testJob(t, "a", "15 3 * * *"), testJob(t, "b", "@every 6h"))
		w.until("2026-05-01 17:59:59 +0000")
		w.expect("")
		w.until("2026-05-01 18:00:00 +0000")
		w.expect("01 18:00:00 b due wait 30s")
		if got := w.status("a").Next; !got.Equal(instant(t, "2026-05-02 03:15:00 +0000")) {
			t.Errorf("next is %s", got)
		}
		w.stop()
		w.forget()
	})
}

// FAULT 51: the machine slept. Its timers did not.
func TestFault51SuspendedForNineHours(t *testing.T) {
	inWorld(t, "2026-05-01 20:40:00 +0000", func(w *world) {
		w.boot(1, testJob(t, "a", "15 * * * *"))
		w.sleep(9 * time.Hour)
		w.expect("") // it is noticed within a minute
		w.pass(recheck)
		w.expect(`
			02 05:41:00 a missed 9
			02 05:41:00 a due catch-up wait 30s`)
		w.pass(time.Hour)
		w.expect(`
			02 05:41:30 a started catch-up
			02 05:51:30 a succeeded catch-up
			02 06:15:00 a due wait 30s
			02 06:15:30 a started
			02 06:25:30 a succeeded`)
	})
}

// FAULT 51: it slept while a run was on its way: what came is skipped, and the
// run that is delayed is the one that is run.
func TestFault51SuspendedInTheMiddle(t *testing.T) {
	inWorld(t, "2026-05-01 20:14:00 +0000", func(w *world) {
		w.boot(1, testJob(t, "a", "15 * * * *"))
		w.until("2026-05-01 20:15:10 +0000")
		w.sleep(9 * time.Hour)
		w.pass(recheck)
		w.expect(`
			01 20:15:00 a due wait 30s
			02 05:15:30 a skipped 9
			02 05:15:30 a started`)
		w.sleep(2 * time.Hour)
		w.pass(15 * time.Minute)
		w.expect(`
			02 07:16:30 a skipped 2
			02 07:25:30 a succeeded`)
		w.forget()
	})
}

// FAULT 51: a restart at the very tick is no miss.
func TestFault51ATickThatIsALittleLateIsInTime(t *testing.T) {
	inWorld(t, "2026-05-01 12:15:59 +0000", func(w *world) {
		w.last["a"] = instant(t, "2026-05-01 10:15:00 +0000")
		w.boot(1, testJob(t, "a", "15 * * * *"))
		w.pass(20 * time.Minute)
		w.expect(`
			01 12:15:59 a missed 1
			01 12:15:59 a due wait 30s
			01 12:16:29 a started
			01 12:26:29 a succeeded`)
	})
}

// FAULT 51: a tick that comes while the catch-up is delayed has its run in it.
func TestFault51ATickJoinsTheCatchUp(t *testing.T) {
	inWorld(t, "2026-05-01 12:14:45 +0000", func(w *world) {
		w.last["a"] = instant(t, "2026-05-01 09:15:00 +0000")
		w.boot(1, testJob(t, "a", "15 * * * *"))
		w.pass(40 * time.Minute)
		w.expect(`
			01 12:14:45 a missed 2
			01 12:14:45 a due catch-up wait 30s
			01 12:15:15 a started
			01 12:25:15 a succeeded`)
		if got := w.last["a"]; !got.Equal(instant(t, "2026-05-01 12:15:00 +0000")) {
			t.Errorf("run for %s", got)
		}
	})
}

// FAULT 51: a year of seconds is one run, and a number.
func TestFault51AYearOfSecondsIsOneRun(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		w.last["every"], w.last["cron"] = instant(t, "2025-05-01 12:00:00 +0000"), instant(t, "2025-05-01 12:00:00 +0000")
		every, cron := testJob(t, "every", "@every 1s"), testJob(t, "cron", "* * * * * *")
		every.Jitter, cron.Jitter = -1, -1
		w.boot(2, every, cron)
		if n := w.count(Started); n != 2 {
			t.Errorf("%d runs were begun, want one of each", n)
		}
		for _, e := range w.events {
			want := map[string]int64{"every": 365*24*3600 - 1, "cron": countLimit - 1}[e.Job]
			if e.Kind == Missed && (e.Missed != want || e.AtLeast != (e.Job == "cron")) {
				t.Errorf("%s: missed %d, at least: %t; want %d", e.Job, e.Missed, e.AtLeast, want)
			}
		}
		if n := w.count(Missed); n != 2 {
			t.Errorf("told %d times of misses", n)
		}
	})
}

// FAULT 51: the wall clock is set forward, and back.
func TestFault51ClockSetForwardIsOneRun(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		w.boot(1, testJob(t, "a", "15 3 * * *"))
		w.clock.jump(5 * 365 * 24 * time.Hour)
		w.pass(time.Hour)
		if n, missed := w.count(Started), w.missed(); n != 1 || missed != 5*365 {
			t.Errorf("%d runs, %d missed", n, missed)
		}
		w.clock.jump(-5 * 365 * 24 * time.Hour)
		w.pass(3 * 24 * time.Hour)
		if n := w.count(Started); n != 1+3 {
			t.Errorf("%d runs, want one a day after the clock was right again", n)
		}
	})
}

// A clock that is set back makes no storm, and no pause of more than two
// intervals and what it was set back within them.
func TestClockSetBack(t *testing.T) {
	for _, tt := range []struct {
		name, spec string
		back       time.Duration
		want       string // the first tick after that
	}{
		{"a little, daily", "15 12 * * *", time.Hour, "2026-05-02 12:15:00 +0000"},
		{"a day, daily", "15 12 * * *", 24 * time.Hour, "2026-05-02 12:15:00 +0000"},
		{"three days, daily", "15 12 * * *", 72 * time.Hour, "2026-04-29 12:15:00 +0000"},
		{"a little, hourly", "15 * * * *", 50 * time.Minute, "2026-05-01 13:15:00 +0000"},
		{"three hours, hourly", "15 * * * *", 3 * time.Hour, "2026-05-01 10:15:00 +0000"},
		{"thirty years, hourly", "15 * * * *", 30 * 365 * 24 * time.Hour, "1996-05-08 13:15:00 +0000"},
		{"a little, every", "@every 15m", 10 * time.Minute, "2026-05-01 12:30:00 +0000"},
		{"a year, every", "@every 15m", 365 * 24 * time.Hour, "2025-05-01 12:35:30 +0000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
				w.boot(1, testJob(t, "a", tt.spec))
				w.until("2026-05-01 12:20:00 +0000")
				if n := w.count(Started); n != 1 {
					t.Fatalf("%d runs before the clock is set back", n)
				}
				w.clock.jump(-tt.back)
				w.pass(recheck)
				next := w.status("a").Next
				if !next.Equal(instant(t, tt.want)) {
					t.Errorf("next is %s, want %s", next, tt.want)
				}
				w.pass(next.Sub(w.clock.Now()) + time.Minute)
				if n := w.count(Started); n != 2 {
					t.Errorf("%d runs, want the one before and the one after", n)
				}
			})
		})
	}
}

// A clock that is set back by years does not hold up a run that waits.
func TestClockSetBackWhileARunWaits(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		a, b := testJob(t, "a", "15 * * * *"), testJob(t, "b", "15 * * * *")
		b.Jitter, b.Run = -1, lasting(0, errRun)
		w.boot(2, a, b)
		w.until("2026-05-01 12:15:10 +0000") // a is delayed, b waits to be tried again
		w.clock.jump(-365 * 24 * time.Hour)
		w.pass(3 * time.Minute)
		if n := w.count(Started); n < 3 {
			t.Errorf("%d runs were begun, want both and a retry:\n%s", n, w.said(time.UTC))
		}
		w.stop()
		w.forget()
	})
}

// A clock that goes back and forth by a day each time makes no storm.
func TestClockThatSwings(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		w.boot(1, testJob(t, "a", "15 3 * * *"))
		for range 100 {
			w.clock.jump(24 * time.Hour)
			w.pass(recheck)
			w.clock.jump(-24 * time.Hour)
			w.pass(recheck)
		}
		if n := w.count(Started); n > 1 {
			t.Errorf("%d runs in %d minutes", n, 200)
		}
	})
}

// A last run in the future, which a clock wrote that was ahead.
func TestLastRunInTheFuture(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		w.last["a"] = instant(t, "2031-05-01 12:00:00 +0000")
		w.boot(1, testJob(t, "a", "15 3 * * *"))
		if got := w.status("a").Next; !got.Equal(instant(t, "2026-05-02 03:15:00 +0000")) {
			t.Errorf("next is %s", got)
		}
	})
}

// A restart by day changes no tick, not those of @every either.
func TestRestartChangesNoTick(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		jobs := []Job{testJob(t, "a", "@every 7h"), testJob(t, "b", "15 3 * * *"), testJob(t, "c", "@every 50m")}
		w.boot(3, jobs...)
		w.until("2026-05-02 20:33:00 +0000")
		var before []time.Time
		for _, s := range w.runner.Jobs() {
			before = append(before, s.Next)
		}
		w.stop()
		w.boot(3, jobs...)
		for i, s := range w.runner.Jobs() {
			if !s.Next.Equal(before[i]) {
				t.Errorf("%s: next is %s, and was %s before the restart", s.Name, s.Next, before[i])
			}
		}
		if w.missed() != 0 {
			t.Errorf("%d missed", w.missed())
		}
	})
}

// FAULT 51: @every counts from the catch-up on.
func TestFault51EveryCountsFromTheCatchUp(t *testing.T) {
	inWorld(t, "2026-05-01 12:00:00 +0000", func(w *world) {
		w.last["a"] = instant(t, "2026-05-01 00:10:00 +0000")
		w.boot(1, testJob(t, "a", "@every 5h"))
		if got := w.status("a").Next; !got.Equal(instant(t, "2026-05-01 17:00:00 +0000")) || w.missed() != 2 {
			t.Errorf("next is %s, missed %d", got, w.missed())
		}
	})
}

package schedule

import (
	"context"
	"testing"
	"time"
)

// FAULT 50, FAULT 51: a year in Berlin, at a time that is skipped in spring and
// doubled in autumn, with a week without the process, nights in which the
// machine slept, and servers that fail. Each day has one run that succeeds, but
// for the days of that week, which have one together.
func TestFault51AYearOfNightsInBerlin(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	inWorld(t, "2026-01-01 00:00:00 +0100", func(w *world) {
		runs := 0
		good := map[string]int{}
		night := Job{Name: "night", Spec: spec(t, "30 2 * * *", berlin), Run: func(ctx context.Context, tick Tick) error {
			if err := lasting(40*time.Minute, nil)(ctx, tick); err != nil {
				return err
			}
			if runs++; runs%10 == 0 {
				return errRun // and the retry is well
			}
			good[w.clock.Now().In(berlin).Format(time.DateOnly)]++
			return nil
		}}
		w.boot(1, night)
		day := func(date string) string { return date + " 12:00:00 +0000" }

		w.until(day("2026-02-08"))
		w.stop()
		w.until(day("2026-02-15")) // seven nights without the process
		w.boot(1, night)
		w.until("2026-06-01 20:00:00 +0000")
		w.sleep(9 * time.Hour) // over 02:30
		w.until(day("2026-08-01"))
		w.stop()
		w.until("2026-08-01 13:00:00 +0000") // by day
		w.boot(1, night)
		w.until("2026-12-31 23:00:00 +0000")

		for at := time.Date(2026, 1, 1, 12, 0, 0, 0, berlin); at.Year() == 2026; at = at.AddDate(0, 0, 1) {
			date, want := at.Format(time.DateOnly), 1
			if date > "2026-02-08" && date < "2026-02-15" {
				want = 0
			}
			if good[date] != want {
				t.Errorf("%s: %d good runs, want %d", date, good[date], want)
			}
		}
		if got := w.missed(); got != 7+1 {
			t.Errorf("%d ticks missed, want the 7 of the week and the 1 of the night", got)
		}
		var caught []Tick
		for _, e := range w.events {
			if e.Kind == Started && e.Tick.Cause == CatchUp && e.Tick.Attempt == 1 {
				caught = append(caught, e.Tick)
			}
		}
		if len(caught) != 2 || caught[0].Missed != 7 || caught[1].Missed != 1 {
			t.Errorf("caught up by %+v, want one run for 7 ticks and one for 1", caught)
		}
		if failed := w.count(Failed); failed != 0 || w.count(Retrying) < 30 {
			t.Errorf("%d runs failed, and %d were tried again", failed, w.count(Retrying))
		}
		if minutes := 365 * 24 * 60; w.clock.timers > minutes+5000 {
			t.Errorf("looked at the clock %d times in a year of %d minutes", w.clock.timers, minutes)
		}
	})
}

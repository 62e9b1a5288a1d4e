package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redisbak/redisbak/schedule"
)

// hourly is a source whose run comes to what results say, one after the other.
func (h *house) hourly(name string, outcome func(run int) (Outcome, error)) Source {
	run := 0
	s := h.daily(name, func(context.Context, bool) (Outcome, error) {
		run++
		return outcome(run)
	})
	spec, err := schedule.Parse("0 * * * *", time.UTC)
	if err != nil {
		h.t.Fatal(err)
	}
	s.Spec = spec
	return s
}

// A failure that goes on is told once a day, and not at each tick; another one
// is told at once, and a restart tells nothing again.
func TestAFailureThatGoesOnIsToldOnceADay(t *testing.T) {
	bubble(t, func(h *house) {
		cause := "no space on /dev/sda"
		s := h.hourly("sessions", func(run int) (Outcome, error) {
			return Outcome{}, fmt.Errorf("%s, run %d at 127.0.0.1:%d", cause, run, 40000+run)
		})
		s.OverdueAfter = 300 * time.Hour
		h.live(10*time.Hour, s)
		if said := h.heard(); !slices.Equal(said, []string{"failure sessions"}) {
			t.Errorf("told: %q", said)
		}
		h.live(10*time.Hour, s)
		if said := h.heard(); len(said) > 0 {
			t.Errorf("told after a restart: %q", said)
		}
		h.live(20*time.Hour, s)
		if said := h.heard(); !slices.Equal(said, []string{"failure sessions"}) {
			t.Errorf("told on the next day: %q", said)
		}
		cause = "the server is gone"
		h.live(2*time.Hour, s)
		if said := h.heard(); !slices.Equal(said, []string{"failure sessions"}) {
			t.Errorf("told of another failure: %q", said)
		}
	})
}

// A snapshot that could not be verified, or after which nothing was pruned, is
// told once, and so is its end.
func TestWhatIsNotVerifiedOrPrunedIsToldOnce(t *testing.T) {
	for _, weak := range []Result{Unverified, NotPruned} {
		bubble(t, func(h *house) {
			result := weak
			s := h.hourly("sessions", func(run int) (Outcome, error) {
				return Outcome{Result: result, Note: fmt.Sprintf("snapshot %d and a reason", run)}, nil
			})
			h.live(30*time.Hour, s)
			h.live(10*time.Hour, s)
			if said := h.heard(); !slices.Equal(said, []string{"failure sessions"}) {
				t.Errorf("%s: told %q", weak, said)
			}
			if want := "sessions is backed up, but: snapshot 1 and a reason"; h.texts[0] != want {
				t.Errorf("%s: told %q, want %q", weak, h.texts[0], want)
			}
			result = Success
			h.live(10*time.Hour, s)
			if said := h.heard(); !slices.Equal(said, []string{"recovered sessions"}) {
				t.Errorf("after %s: told %q", weak, said)
			}
		})
	}
}

// A drill that came to nothing is told, and is done again until it has a
// verdict.
func TestADrillWithoutAVerdictIsStillToBeDone(t *testing.T) {
	bubble(t, func(h *house) {
		s := h.hourly("sessions", func(int) (Outcome, error) { return Outcome{Result: Success}, nil })
		s.DrillEvery = 7 * aDay
		drills := 0
		s.Drill = func(context.Context) (Outcome, error) {
			switch drills++; drills {
			case 1:
				return Outcome{Result: Unverified, Note: "no image"}, nil
			case 2:
				return Outcome{}, errors.New("no engine")
			}
			return Outcome{Result: Success}, nil
		}
		h.live(10*time.Hour+time.Minute, s)
		if r, _ := h.journal.Load("sessions"); drills != 3 || !r.LastDrill.Equal(time.Date(2000, 1, 1, 3, 0, 0, 0, time.UTC)) {
			t.Errorf("%d drills, the last one at %s", drills, r.LastDrill)
		}
		if said := h.heard(); !slices.Equal(said, []string{"failure sessions", "failure sessions", "recovered sessions"}) {
			t.Errorf("told: %q", said)
		}
	})
}

func TestAJournalThatCannotBeWrittenIsToldAndStopsNothing(t *testing.T) {
	bubble(t, func(h *house) {
		h.journal.fail = errors.New("read-only file system")
		h.live(4*time.Hour, h.daily("sessions", good))
		if h.called() != 1 {
			t.Errorf("runs: %q", h.calls)
		}
		if said := h.heard(); !slices.Equal(said, []string{"journal sessions"}) {
			t.Errorf("told: %q", said)
		}
	})
}

// What goes on being out of reach is told once, and again after it was reached.
func TestWhatIsOutOfReachIsToldOnce(t *testing.T) {
	bubble(t, func(h *house) {
		lost := func(run int) bool { return run != 5 } // at five o'clock all is well
		sessions := h.hourly("sessions", func(run int) (Outcome, error) {
			h.journal.breaks(lost(run))
			return Outcome{Result: Success}, nil
		})
		carts := h.hourly("carts", func(int) (Outcome, error) { return Outcome{Result: Success}, nil })
		carts.Tell = func(context.Context, Phase, string) error {
			if time.Now().Hour() != 5 {
				return errors.New("not reached")
			}
			return nil
		}
		h.live(9*time.Hour+time.Minute, sessions, carts)
		count := map[string]int{}
		for _, s := range h.heard() {
			kind, _, _ := strings.Cut(s, " ")
			count[kind]++
		}
		if count["journal"] != 2 || count["configuration"] != 2 || len(count) != 2 {
			t.Errorf("told: %v", count)
		}
	})
}

func (n *notes) breaks(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail = nil; yes {
		n.fail = errors.New("read-only file system")
	}
}

// After downtime a source is overdue only if it is not caught up, and a restart
// does not tell it again.
func TestOverdueWaitsForTheCatchUpAndIsToldOnce(t *testing.T) {
	bubble(t, func(h *house) {
		var takes atomic.Int64
		takes.Store(int64(20 * time.Minute))
		s := h.hourly("sessions", nil)
		s.Capture = taking(&takes)
		h.live(2*time.Hour+30*time.Minute, s)
		pass(5 * time.Hour) // down
		h.live(50*time.Minute, s)
		if said := h.heard(); len(said) > 0 {
			t.Errorf("told before it was caught up: %q", said)
		}
		pass(5 * time.Hour)
		takes.Store(int64(100 * time.Hour)) // it hangs
		h.live(5*time.Hour, s)
		if said := h.heard(); !slices.Equal(said, []string{"overdue sessions"}) {
			t.Errorf("told of one that hangs: %q", said)
		}
		h.live(5*time.Hour, s)
		if said := h.heard(); len(said) > 0 {
			t.Errorf("told after a restart: %q", said)
		}
		takes.Store(int64(time.Minute))
		h.live(2*time.Hour, s)
		if said := h.heard(); !slices.Equal(said, []string{"recovered sessions"}) {
			t.Errorf("told: %q", said)
		}
	})
}

// A run that takes longer than from tick to tick makes no source overdue; one
// that hangs does.
func TestARunLongerThanItsIntervalIsNotOverdue(t *testing.T) {
	bubble(t, func(h *house) {
		var takes atomic.Int64
		takes.Store(int64(65 * time.Minute))
		s := h.hourly("sessions", nil)
		s.Capture = taking(&takes)
		ctx, stop := context.WithCancel(h.t.Context())
		d := New(Options{Clock: schedule.WallClock(), Journal: &h.journal, Tell: h.tell})
		if err := d.Set([]Source{s}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		pass(2*time.Hour + 30*time.Minute) // one is done; the first of all has no measure
		h.heard()
		pass(2 * aDay)
		if said := h.heard(); len(said) > 0 {
			t.Errorf("told: %q", said)
		}
		takes.Store(int64(100 * time.Hour))
		pass(8 * time.Hour)
		if said := h.heard(); !slices.Equal(said, []string{"overdue sessions"}) {
			t.Errorf("told of one that hangs: %q", said)
		}
		stop()
		<-done
	})
}

// taking is a run that takes so long as it says when it begins.
func taking(d *atomic.Int64) func(context.Context, bool) (Outcome, error) {
	return func(ctx context.Context, _ bool) (Outcome, error) {
		select {
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		case <-time.After(time.Duration(d.Load())):
			return Outcome{Result: Success}, nil
		}
	}
}

// Nobody is told in the first minutes: what is owed is being begun.
func TestOverdueIsNotToldAtOnceAfterTheStart(t *testing.T) {
	bubble(t, func(h *house) {
		s := h.daily("sessions", good)
		s.OverdueAfter = time.Hour
		h.live(30*time.Minute, s)
		pass(time.Hour) // down
		h.live(2*time.Minute, s)
		if said := h.heard(); len(said) > 0 {
			t.Errorf("told: %q", said)
		}
		h.live(5*time.Minute, s)
		if said := h.heard(); !slices.Equal(said, []string{"overdue sessions"}) {
			t.Errorf("told: %q", said)
		}
	})
}

// A clock that was ahead once silences nothing for good: neither in what was
// kept, nor in a daemon that goes on.
func TestAClockThatWasAheadSilencesNothing(t *testing.T) {
	bubble(t, func(h *house) {
		ahead := time.Now().Add(1000 * aDay).UTC()
		h.journal.kept = map[string]Record{"sessions": {
			FirstSeen: ahead, LastDue: ahead, LastSuccess: ahead, LastDrill: ahead, ToldAt: ahead, Told: gist("no space"),
		}}
		s := h.hourly("sessions", func(int) (Outcome, error) { return Outcome{}, errors.New("no space") })
		d := New(Options{Clock: schedule.WallClock(), Journal: &h.journal, Tell: h.tell})
		if err := d.Set([]Source{s}); err != nil {
			t.Fatal(err)
		}
		r, _ := h.journal.Load("sessions")
		for _, at := range []time.Time{r.FirstSeen, r.LastDue, r.LastSuccess, r.LastDrill, r.ToldAt} {
			if !at.Equal(time.Now()) {
				t.Errorf("kept: %+v", r)
			}
		}
		h.live(2*aDay, s)
		if said := h.heard(); !slices.Contains(said, "overdue sessions") || !slices.Contains(said, "failure sessions") {
			t.Errorf("told: %q", said)
		}

		ctx, stop := context.WithCancel(h.t.Context())
		d = New(Options{Clock: schedule.WallClock(), Journal: &notes{}, Tell: h.tell})
		var hangs atomic.Int64
		hangs.Store(int64(100 * aDay))
		carts := h.hourly("carts", nil)
		carts.Capture = taking(&hangs)
		if err := d.Set([]Source{carts}); err != nil {
			t.Fatal(err)
		}
		d.change("carts", func(st *state) { st.record.LastSuccess = ahead }) // and the clock was set back
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		pass(aDay)
		if said := h.heard(); !slices.Contains(said, "overdue carts") {
			t.Errorf("told: %q", said)
		}
		stop()
		<-done

		st := state{record: Record{LastDue: ahead}}
		if st.done(schedule.Tick{Due: time.Now()}, time.Now()); !st.record.LastDue.Equal(time.Now()) {
			t.Errorf("done: %s", st.record.LastDue)
		}
	})
}

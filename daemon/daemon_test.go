package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redisbak/redisbak/schedule"
)

// notes is a Journal in memory that outlives a Daemon.
type notes struct {
	mu   sync.Mutex
	kept map[string]Record
	fail error
}

func (n *notes) Load(source string) (Record, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, ok := n.kept[source]
	return r, ok
}

func (n *notes) Store(source string, r Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return n.fail
	}
	if n.kept == nil {
		n.kept = map[string]Record{}
	}
	n.kept[source] = r
	return nil
}

// house is where daemons live one after the other. It runs in a bubble of its
// own time, which begins with the year 2000.
type house struct {
	t       *testing.T
	journal notes
	mu      sync.Mutex
	said    []string // "kind source"
	texts   []string
	calls   []string // what sources were asked
}

func (h *house) tell(m Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, string(m.Kind)+" "+m.Source)
	h.texts = append(h.texts, m.Text)
}

// heard returns what was told since the last time, without successes.
func (h *house) heard() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	said := slices.DeleteFunc(h.said, func(s string) bool { return strings.HasPrefix(s, string(Done)) })
	h.said = nil
	return said
}

func (h *house) called() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.calls)
}

// daily is a source with a run at three o'clock.
func (h *house) daily(name string, capture func(ctx context.Context, verify bool) (Outcome, error)) Source {
	h.t.Helper()
	spec, err := schedule.Parse("0 3 * * *", time.UTC)
	if err != nil {
		h.t.Fatal(err)
	}
	return Source{Name: name, Spec: spec, Jitter: -1, VerifyEvery: 1, Capture: func(ctx context.Context, verify bool) (Outcome, error) {
		h.mu.Lock()
		h.calls = append(h.calls, fmt.Sprintf("%s %s %v", name, time.Now().UTC().Format("02T15:04"), verify))
		h.mu.Unlock()
		return capture(ctx, verify)
	}}
}

func good(context.Context, bool) (Outcome, error) {
	return Outcome{Result: Success, Note: "5 keys"}, nil
}

// live runs a daemon with these sources for a while.
func (h *house) live(d time.Duration, sources ...Source) *Daemon {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	dm := New(Options{Clock: schedule.WallClock(), AtOnce: 2, Journal: &h.journal, Tell: h.tell})
	if err := dm.Set(sources); err != nil {
		h.t.Error(err)
	}
	done := make(chan error, 1)
	go func() { done <- dm.Run(ctx) }()
	pass(d)
	synctest.Wait()
	stop()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		h.t.Error(err)
	}
	return dm
}

func bubble(t *testing.T, f func(h *house)) {
	synctest.Test(t, func(t *testing.T) { f(&house{t: t}) })
}

const aDay = 24 * time.Hour

// FAULT 51: on the first day nothing is owed; after three days down there is one
// run in their place, and three ticks are counted.
func TestFault51OneCatchUpAfterDaysDown(t *testing.T) {
	bubble(t, func(h *house) {
		h.live(2*aDay, h.daily("sessions", good)) // from midnight on
		if want := []string{"sessions 01T03:00 true", "sessions 02T03:00 true"}; !slices.Equal(h.calls, want) {
			t.Errorf("runs: %q, want %q", h.calls, want)
		}
		pass(3 * aDay) // down
		d := h.live(time.Hour, h.daily("sessions", good))
		if n := h.called(); n != 3 {
			t.Errorf("runs: %q", h.calls)
		}
		if s := d.Standings()[0]; s.Missed != 3 || s.Overdue || !s.LastSuccess.Equal(time.Date(2000, 1, 6, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("standing: %+v", s)
		}
		if said := h.heard(); len(said) > 0 {
			t.Errorf("told: %q", said)
		}
	})
}

// A daemon that is killed in a run owes it: what is kept says so until the end.
func TestARunThatWasKilledIsCaughtUp(t *testing.T) {
	bubble(t, func(h *house) {
		hang := h.daily("sessions", func(ctx context.Context, _ bool) (Outcome, error) {
			<-ctx.Done()
			return Outcome{}, ctx.Err()
		})
		h.live(4*time.Hour, hang) // stopped at four, in the run of three
		if said := h.heard(); len(said) > 0 {
			t.Errorf("told of a run that was stopped with the daemon: %q", said)
		}
		if r, _ := h.journal.Load("sessions"); !r.LastDue.IsZero() || r.Result != "" {
			t.Errorf("kept: %+v", r)
		}
		h.live(time.Hour, h.daily("sessions", good))
		if n := h.called(); n != 2 {
			t.Errorf("runs: %q", h.calls)
		}
	})
}

// A run that is stopped while it waits to be tried again is owed as well.
func TestARunThatIsStoppedBeforeItsRetryIsCaughtUp(t *testing.T) {
	bubble(t, func(h *house) {
		bad := h.daily("sessions", func(context.Context, bool) (Outcome, error) { return Outcome{}, errors.New("no space") })
		h.live(3*time.Hour+30*time.Second, bad) // the first retry would come after a minute
		if said := h.heard(); len(said) > 0 || h.called() != 1 {
			t.Errorf("told %q after %q", said, h.calls)
		}
		if r, _ := h.journal.Load("sessions"); !r.LastDue.IsZero() {
			t.Errorf("kept: %+v", r)
		}
		h.live(time.Hour, h.daily("sessions", good))
		if n := h.called(); n != 2 {
			t.Errorf("runs: %q", h.calls)
		}
	})
}

// What a run says as it is stopped is no failure, however it words it; and what
// is wrong while nobody stops it is one, even if something in it was canceled.
func TestOnlyTheDaemonsEndIsNoFailure(t *testing.T) {
	bubble(t, func(h *house) {
		h.live(4*time.Hour, h.daily("sessions", func(ctx context.Context, _ bool) (Outcome, error) {
			<-ctx.Done()
			return Outcome{}, errors.New("use of closed network connection")
		}))
		if r, _ := h.journal.Load("sessions"); !r.LastDue.IsZero() || r.Result != "" {
			t.Errorf("kept: %+v", r)
		}
		if said := h.heard(); len(said) > 0 {
			t.Errorf("told: %q", said)
		}
		h.live(2*time.Hour, h.daily("sessions", func(context.Context, bool) (Outcome, error) {
			return Outcome{}, fmt.Errorf("copy: %w", context.Canceled)
		}))
		if r, _ := h.journal.Load("sessions"); r.LastDue.IsZero() || r.Result != Failure {
			t.Errorf("kept: %+v", r)
		}
		if said := h.heard(); !slices.Contains(said, "failure sessions") {
			t.Errorf("told: %q", said)
		}
	})
}

// A failure is tried again, then told once; that it is well again is told once.
func TestAFailureIsToldOnceAndSoIsTheRecovery(t *testing.T) {
	bubble(t, func(h *house) {
		var mended atomic.Bool
		s := h.daily("sessions", func(context.Context, bool) (Outcome, error) {
			if !mended.Load() {
				return Outcome{}, errors.New("no space")
			}
			return Outcome{Result: Success, Note: "5 keys"}, nil
		})
		ctx, stop := context.WithCancel(h.t.Context())
		d := New(Options{Clock: schedule.WallClock(), Journal: &h.journal, Tell: h.tell})
		if err := d.Set([]Source{s}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		pass(20 * time.Hour)
		if n := h.called(); n < 3 || n > 10 {
			t.Errorf("%d attempts", n)
		}
		if said := h.heard(); !slices.Equal(said, []string{"failure sessions"}) {
			t.Errorf("told: %q", said)
		}
		if s := d.Standings()[0]; s.Result != Failure || s.Note != "no space" || s.Runs[Failure] < 3 || !s.Failing || s.Overdue {
			t.Errorf("standing: %+v", s)
		}
		mended.Store(true)
		pass(aDay)
		if said := h.heard(); !slices.Equal(said, []string{"recovered sessions"}) {
			t.Errorf("told: %q", said)
		}
		pass(aDay)
		if said := h.heard(); len(said) > 0 {
			t.Errorf("told of a source that is well: %q", said)
		}
		stop()
		<-done
	})
}

// What failed before a restart is well again after it: that is told too.
func TestARecoveryAfterARestartIsTold(t *testing.T) {
	bubble(t, func(h *house) {
		h.live(20*time.Hour, h.daily("sessions", func(context.Context, bool) (Outcome, error) { return Outcome{}, errors.New("no space") }))
		h.heard()
		h.live(aDay, h.daily("sessions", good))
		if said := h.heard(); !slices.Equal(said, []string{"recovered sessions"}) {
			t.Errorf("told: %q", said)
		}
	})
}

// What was committed and is no good is not tried again, and is told.
func TestASuspectSnapshotIsNoSuccessAndNotTriedAgain(t *testing.T) {
	for _, result := range Results() {
		bubble(t, func(h *house) {
			h.live(4*time.Hour, h.daily("sessions", func(context.Context, bool) (Outcome, error) {
				return Outcome{Result: result, Note: "half of the keys"}, nil
			}))
			want := []string{"failure sessions"}
			if result == Success {
				want = nil
			}
			if said := h.heard(); !slices.Equal(said, want) || h.called() != 1 {
				t.Errorf("%s: told %q after %q", result, said, h.calls)
			}
			if r, _ := h.journal.Load("sessions"); r.LastSuccess.IsZero() == result.Committed() || r.Result != result {
				t.Errorf("%s: kept %+v", result, r)
			}
		})
	}
}

// What nobody did is told too: a source whose runs never end, or never begin,
// is overdue, and so is one that was never backed up at all.
func TestASourceThatIsNotBackedUpIsOverdue(t *testing.T) {
	bubble(t, func(h *house) {
		s := h.daily("sessions", func(ctx context.Context, _ bool) (Outcome, error) {
			<-ctx.Done()
			return Outcome{}, ctx.Err()
		})
		d := h.live(26*time.Hour, s) // the first tick went by, the second is to come
		if said := h.heard(); len(said) > 0 || d.Standings()[0].Overdue {
			t.Errorf("told: %q", said)
		}
		d = h.live(3*time.Hour, s)
		if said := h.heard(); !slices.Equal(said, []string{"overdue sessions"}) || !d.Standings()[0].Overdue {
			t.Errorf("told: %q", said)
		}
		if !strings.Contains(h.texts[0], "never backed up since it was first seen, at 2000-01-01T00:00:00Z") {
			t.Errorf("told: %q", h.texts)
		}
		s.OverdueAfter = time.Hour
		s.Capture = good
		h.live(30*time.Minute, s)
		h.heard()
		h.live(2*time.Hour, s)
		if said := h.heard(); !slices.Equal(said, []string{"overdue sessions"}) {
			t.Errorf("with an age of its own: %q", said)
		}
	})
}

func TestVerifyEveryNthAndDrillsFromTimeToTime(t *testing.T) {
	bubble(t, func(h *house) {
		s := h.daily("sessions", good)
		s.VerifyEvery, s.DrillEvery = 3, 7*aDay
		drills := 0
		s.Drill = func(context.Context) (Outcome, error) {
			if drills++; drills == 2 {
				return Outcome{Result: Unrestorable, Note: "an older one does not boot"}, nil
			}
			return Outcome{Result: Success}, nil
		}
		h.live(9*aDay, s)
		var verified []int
		for i, call := range h.calls {
			if strings.HasSuffix(call, " true") {
				verified = append(verified, i)
			}
		}
		if !slices.Equal(verified, []int{0, 3, 6}) || len(h.calls) != 9 || drills != 2 {
			t.Errorf("verified %v of %q, %d drills", verified, h.calls, drills)
		}
		if said := h.heard(); !slices.Equal(said, []string{"failure sessions", "recovered sessions"}) {
			t.Errorf("told: %q", said)
		}
	})
}

// Sources come and go while it runs; a run of one that goes comes to its end.
func TestSetChangesSourcesWithoutEndingARun(t *testing.T) {
	bubble(t, func(h *house) {
		var ended atomic.Bool
		slow := h.daily("carts", func(ctx context.Context, _ bool) (Outcome, error) {
			select {
			case <-ctx.Done():
				return Outcome{}, ctx.Err()
			case <-time.After(2 * time.Hour):
				ended.Store(true)
				return Outcome{Result: Success}, nil
			}
		})
		ctx, stop := context.WithCancel(h.t.Context())
		d := New(Options{Clock: schedule.WallClock(), AtOnce: 2, Journal: &h.journal, Tell: h.tell})
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		if err := d.Set([]Source{slow}); err != nil {
			t.Fatal(err)
		}
		pass(3*time.Hour + time.Minute)
		if s := d.Standings()[0]; s.State != schedule.Running {
			t.Errorf("standing: %+v", s)
		}
		twice := []Source{h.daily("sessions", good), h.daily("sessions", good)}
		if err := d.Set(twice); err == nil || !strings.Contains(err.Error(), "sessions: it is there twice") {
			t.Errorf("twice: %v", err)
		}
		pass(20 * time.Hour)
		if !ended.Load() || h.called() != 1 {
			t.Errorf("ended %v, runs %q", ended.Load(), h.calls)
		}
		if all := d.Standings(); len(all) != 1 || all[0].Name != "sessions" {
			t.Errorf("standings: %+v", all)
		}
		if err := d.RunNow("sessions"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if h.called() != 2 {
			t.Errorf("runs: %q", h.calls)
		}
		if r, _ := h.journal.Load("sessions"); !r.LastDue.IsZero() {
			t.Errorf("a run by hand took a tick's place: %+v", r)
		}
		stop()
		<-done
	})
}

// A dead man's switch hears of each attempt's beginning and end, also of one
// that is stopped; that it cannot be reached is told and harms no run.
func TestTheSwitchHearsEachRun(t *testing.T) {
	bubble(t, func(h *house) {
		var heard []string
		s := h.daily("sessions", good)
		s.Tell = func(_ context.Context, p Phase, note string) error {
			heard = append(heard, string(p)+" "+note)
			return errors.New("not reached")
		}
		h.live(4*time.Hour, s)
		if !slices.Equal(heard, []string{"began ", "good 5 keys"}) {
			t.Errorf("heard: %q", heard)
		}
		if said := h.heard(); !slices.Equal(said, []string{"configuration sessions"}) {
			t.Errorf("told: %q", said)
		}
		if r, _ := h.journal.Load("sessions"); r.Result != Success {
			t.Errorf("kept: %+v", r)
		}
	})
}

// pass lets the bubble's time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// FAULT 52: fifty sources that are due in one second are worked off, two at
// once, without one being missed.
func TestFault52FiftySourcesDueInOneSecond(t *testing.T) {
	bubble(t, func(h *house) {
		var now, most atomic.Int64
		var sources []Source
		for n := range 50 {
			sources = append(sources, h.daily(fmt.Sprintf("source%02d", n), func(context.Context, bool) (Outcome, error) {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				<-time.After(time.Minute)
				return Outcome{Result: Success}, nil
			}))
		}
		d := h.live(2*aDay, sources...)
		if h.called() != 100 || most.Load() != 2 {
			t.Errorf("%d runs, %d at once", h.called(), most.Load())
		}
		for _, s := range d.Standings() {
			if s.Missed != 0 || s.Runs[Success] != 2 || s.Overdue {
				t.Errorf("standing: %+v", s)
			}
		}
	})
}

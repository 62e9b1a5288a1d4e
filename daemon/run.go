package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redisbak/redisbak/schedule"
)

// errStopped is what a run ends with that was told to stop, which is no failure
// of the source, whatever it said as it went.
var errStopped = errors.New("stopped with the daemon")

// run is one attempt of one source.
func (d *Daemon) run(ctx context.Context, name string, t schedule.Tick) error {
	var s Source
	var verify bool
	began := d.clock.Now().UTC()
	d.change(name, func(st *state) {
		s = st.Source
		verify = s.VerifyEvery > 0 && st.record.Runs%int64(s.VerifyEvery) == 0
		st.record.Began = began
	})
	if s.Capture == nil {
		return fmt.Errorf("source %s is gone", name)
	}
	d.ping(ctx, s, Began, "")
	outcome, err := s.Capture(ctx, verify)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", errStopped, err)
	}
	if err != nil {
		outcome = Outcome{Result: Failure, Note: err.Error()}
	}
	d.ended(name, outcome)
	if err == nil {
		err = final(outcome, d.drill(ctx, name, s))
	}
	if err != nil {
		d.ping(ctx, s, NoGood, err.Error())
		return err
	}
	d.ping(ctx, s, Good, outcome.Note)
	return nil
}

// final is the error of a run that committed something, if that or its drill is
// no good: there is nothing to be tried again.
func final(o Outcome, drilled error) error {
	if drilled == nil && !o.Result.Committed() {
		drilled = errors.New(o.Note)
	}
	return schedule.Final(drilled)
}

// ended records how an attempt ended.
func (d *Daemon) ended(name string, o Outcome) {
	now := d.clock.Now().UTC()
	d.change(name, func(st *state) {
		st.record.Ended, st.record.Result, st.record.Note = now, o.Result, o.Note
		st.runs[o.Result]++
		if o.Result != Failure {
			st.record.Runs++
		}
		if o.Result.Committed() {
			st.record.LastSuccess = now
			st.record.Took = max(0, now.Sub(st.record.Began))
		}
	})
}

// drill verifies an older snapshot when it is time to. One that came to no
// verdict has failed, and is still to be done; one that was told to stop is only
// that.
func (d *Daemon) drill(ctx context.Context, name string, s Source) error {
	if s.DrillEvery == 0 || s.Drill == nil {
		return nil
	}
	due := false
	d.change(name, func(st *state) { due = d.clock.Now().Sub(st.record.LastDrill) >= s.DrillEvery })
	if !due {
		return nil
	}
	outcome, err := s.Drill(ctx)
	verdict := err == nil && (outcome.Result == Success || outcome.Result == Unrestorable)
	switch {
	case verdict:
		d.change(name, func(st *state) { st.record.LastDrill = d.clock.Now().UTC() })
	case ctx.Err() != nil:
		return nil
	}
	if err == nil && outcome.Result != Success {
		err = errors.New(outcome.Note)
	}
	if err != nil {
		return fmt.Errorf("the drill with an older snapshot: %w", err)
	}
	return nil
}

// ping tells a dead man's switch. That it cannot be reached is told once, until
// it is reached again, and is no failure of the run: it will raise the alarm
// itself.
func (d *Daemon) ping(ctx context.Context, s Source, p Phase, note string) {
	if s.Tell == nil {
		return
	}
	// A run may have come to its end just as the daemon's came.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellLimit)
	defer cancel()
	err := s.Tell(ctx, p, note)
	known := false
	d.change(s.Name, func(st *state) { known, st.unreached = st.unreached, err != nil })
	if err != nil && !known {
		d.say(Misadvised, s.Name, fmt.Sprintf("%s: %v", s.Name, err))
	}
}

// observe hears all that the schedule does.
func (d *Daemon) observe(e schedule.Event) {
	switch e.Kind {
	case schedule.Planned:
		d.change(e.Job, func(st *state) { st.next = e.Next })
	case schedule.Due:
		if e.Tick.Cause == schedule.CatchUp {
			d.change(e.Job, func(st *state) { st.catchUp = e.Time })
		}
	case schedule.Missed, schedule.Skipped:
		d.change(e.Job, func(st *state) { st.missed += e.Missed })
	case schedule.Succeeded:
		d.well(e)
	case schedule.Failed:
		d.ill(e)
	}
}

// well ends what was wrong with a source. A snapshot that was not verified, or
// after which nothing was pruned, is one, but it does not make a source well:
// that is told, once.
func (d *Daemon) well(e schedule.Event) {
	var before, news bool
	var note string
	now := d.clock.Now().UTC()
	d.change(e.Job, func(st *state) {
		r := &st.record
		before = r.Told != "" || r.ToldOverdue
		if r.Result == Success {
			r.Told, r.ToldAt = "", time.Time{}
		} else {
			before, news = false, r.Told != string(r.Result) || r.ToldOverdue
			r.Told, r.ToldAt = string(r.Result), now
		}
		st.failing, r.ToldOverdue, st.catchUp = false, false, time.Time{}
		st.done(e.Tick, now)
		note = r.Note
	})
	if news {
		d.say(Failed, e.Job, e.Job+" is backed up, but: "+note)
	}
	if before {
		d.say(Recovered, e.Job, e.Job+" is well again: "+note)
	}
	d.say(Done, e.Job, e.Job+": "+note)
}

// done says that nothing is owed for a tick any more. It comes at the end of a
// run: one that was killed on its way is caught up after the next start.
func (st *state) done(t schedule.Tick, now time.Time) {
	st.record.clamp(now)
	if t.Cause != schedule.Manual {
		st.record.LastDue = later(st.record.LastDue, t.Due.UTC())
	}
}

// ill tells of a run that failed for good. One that was stopped with the daemon,
// on its way or before it was tried again, has not: its tick is still owed.
func (d *Daemon) ill(e schedule.Event) {
	if e.Stopped || errors.Is(e.Err, errStopped) {
		return
	}
	news := true // of a source that is gone
	now := d.clock.Now().UTC()
	what := gist(e.Err.Error())
	d.change(e.Job, func(st *state) {
		r := &st.record
		if news = r.Told != what || now.Sub(r.ToldAt) >= tellAgain; news {
			r.Told, r.ToldAt = what, now
		}
		st.failing, st.catchUp = true, time.Time{}
		st.done(e.Tick, now)
	})
	if news {
		d.say(Failed, e.Job, fmt.Sprintf("%s failed: %v", e.Job, e.Err))
	}
}

// gist is what an error says without the words that are others each time:
// those with digits, as ports, sizes and ids.
func gist(text string) string {
	words := slices.DeleteFunc(strings.Fields(text), func(w string) bool { return strings.ContainsAny(w, "0123456789") })
	return "failed: " + strings.Join(words, " ")
}

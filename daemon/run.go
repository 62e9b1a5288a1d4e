package daemon

import (
	"context"
	"errors"
	"fmt"

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
		}
	})
}

// drill verifies an older snapshot when it is time to.
func (d *Daemon) drill(ctx context.Context, name string, s Source) error {
	if s.DrillEvery == 0 || s.Drill == nil {
		return nil
	}
	due, now := false, d.clock.Now().UTC()
	d.change(name, func(st *state) {
		due = now.Sub(st.record.LastDrill) >= s.DrillEvery
		if due {
			st.record.LastDrill = now
		}
	})
	if !due {
		return nil
	}
	outcome, err := s.Drill(ctx)
	if err == nil && outcome.Result == Unrestorable {
		err = errors.New(outcome.Note)
	}
	return err
}

// ping tells a dead man's switch. That it cannot be reached is told, and is no
// failure of the run: it will raise the alarm itself.
func (d *Daemon) ping(ctx context.Context, s Source, p Phase, note string) {
	if s.Tell == nil {
		return
	}
	// A run may have come to its end just as the daemon's came.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellLimit)
	defer cancel()
	if err := s.Tell(ctx, p, note); err != nil {
		d.say(Misadvised, s.Name, fmt.Sprintf("%s: %v", s.Name, err))
	}
}

// observe hears all that the schedule does.
func (d *Daemon) observe(e schedule.Event) {
	switch e.Kind {
	case schedule.Planned:
		d.change(e.Job, func(st *state) { st.next = e.Next })
	case schedule.Missed, schedule.Skipped:
		d.change(e.Job, func(st *state) { st.missed += e.Missed })
	case schedule.Started:
		d.change(e.Job, func(st *state) { st.running = true })
	case schedule.Retrying:
		d.change(e.Job, func(st *state) { st.running = false })
	case schedule.Succeeded:
		d.well(e)
	case schedule.Failed:
		d.ill(e)
	}
}

// well ends what was wrong with a source.
func (d *Daemon) well(e schedule.Event) {
	var before bool
	var note string
	d.change(e.Job, func(st *state) {
		before = st.failing || st.overdue
		st.running, st.failing, st.overdue = false, false, false
		st.done(e.Tick)
		note = st.record.Note
	})
	if before {
		d.say(Recovered, e.Job, e.Job+" is well again: "+note)
	}
	d.say(Done, e.Job, e.Job+": "+note)
}

// done says that nothing is owed for a tick any more. It comes at the end of a
// run: one that was killed on its way is caught up after the next start.
func (st *state) done(t schedule.Tick) {
	if t.Cause != schedule.Manual {
		st.record.LastDue = later(st.record.LastDue, t.Due.UTC())
	}
}

// ill tells of a run that failed for good. One that was stopped with the daemon,
// on its way or before it was tried again, has not: its tick is still owed.
func (d *Daemon) ill(e schedule.Event) {
	stopped := e.Stopped || errors.Is(e.Err, errStopped)
	d.change(e.Job, func(st *state) {
		st.running = false
		if !stopped {
			st.failing = true
			st.done(e.Tick)
		}
	})
	if stopped {
		return
	}
	d.say(Failed, e.Job, fmt.Sprintf("%s failed: %v", e.Job, e.Err))
}

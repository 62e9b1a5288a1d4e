package schedule

import (
	"context"
	"runtime/debug"
	"slices"
	"time"
)

// All here is done with the Runner locked, but for attempt.

// job is a Job and what became of it.
type job struct {
	Job
	removed bool // it goes when its run has ended

	anchor time.Time // ticks up to here are dealt with, and @every counts from here
	next   time.Time // the first tick after that
	told   time.Time // the next tick that was told last

	run  *run // nil: nothing is due
	last Result
}

// run is what is done for one tick, retries included.
type run struct {
	job    *job
	tick   Tick
	state  State
	since  time.Time
	failed int           // attempts
	at     time.Time     // when a wait ends
	wait   time.Duration // and how long it was from its beginning
}

// ending is how an attempt ended.
type ending struct {
	run *run
	at  time.Time
	err error
}

// waits says whether a run waits for an instant.
func (u *run) waits() bool { return u.state == Delayed || u.state == Backoff }

// retries says whether the next thing that becomes of a run is a retry.
func (u *run) retries() bool { return u.failed > 0 && u.state != Running }

// plan finds the next tick. Where the clock was set back, or shows a time
// before that of the last run, what was done is not done again, unless the next
// tick would be far off because of that.
func (j *job) plan(now time.Time) {
	j.next = j.Spec.Next(j.anchor)
	if j.anchor.After(now) && j.next.Sub(now) > 2*j.interval() {
		j.anchor = now
		j.next = j.Spec.Next(now)
	}
}

// interval is the time from the next tick to the one after it.
func (j *job) interval() time.Duration { return j.Spec.Next(j.next).Sub(j.next) }

// advance does what the clock says for one job.
func (r *Runner) advance(j *job, now time.Time) {
	if u := j.run; u != nil && u.waits() && u.at.Sub(now) > u.wait {
		u.at = now.Add(u.wait) // the clock was set back
	}
	if j.removed {
		return
	}
	if j.anchor.After(now) {
		j.plan(now)
	}
	if !now.Before(j.next) {
		r.tick(j, now)
	}
	if !j.next.Equal(j.told) {
		j.told = j.next
		r.tell(Event{Kind: Planned, Job: j.Name, Time: now, Next: j.next})
	}
}

// tick deals with the ticks since the last one that was dealt with: there is
// one run for all of them, or none where one is on its way.
func (r *Runner) tick(j *job, now time.Time) {
	p := j.Spec.passed(j.anchor, now)
	j.anchor = p.counted
	if j.run != nil && j.run.retries() {
		r.giveUp(j, now)
	}
	u := j.run
	if u != nil && (u.state == Running || u.tick.Cause == Regular) {
		r.tell(Event{Kind: Skipped, Job: j.Name, Time: now, Missed: p.count, AtLeast: p.more})
		j.plan(now)
		return
	}
	// A run that waits and is for no tick of its own is for this one now.
	t := Tick{Due: p.last, Cause: Regular}
	missed := p.count - 1
	if inTime := !p.last.IsZero() && now.Sub(p.last) < late; !inTime {
		missed = p.count
		t = Tick{Due: now, Cause: CatchUp, Missed: missed}
		j.anchor = now
	}
	if missed > 0 {
		r.tell(Event{Kind: Missed, Job: j.Name, Time: now, Missed: missed, AtLeast: p.more})
	}
	j.plan(now)
	if u != nil {
		u.tick = t
		return
	}
	j.run = &run{job: j, tick: t, state: Delayed, since: now, wait: r.jitter(j)}
	j.run.at = now.Add(j.run.wait)
	r.tell(Event{Kind: Due, Job: j.Name, Time: now, Tick: t, Wait: j.run.wait})
}

// jitter draws by how much the run of a tick is delayed.
func (r *Runner) jitter(j *job) time.Duration {
	most := j.Jitter
	if most == 0 {
		most = DefaultJitter(j.interval())
	}
	if most <= 0 {
		return 0
	}
	return min(max(0, r.random(most)), most)
}

// ripen lets all whose wait is over join the queue, in the order in which they
// are to begin.
func (r *Runner) ripen(now time.Time) {
	var ripe []*run
	for _, j := range r.sorted() {
		if u := j.run; u != nil && u.waits() && !now.Before(u.at) {
			ripe = append(ripe, u)
		}
	}
	slices.SortStableFunc(ripe, func(a, b *run) int { return a.at.Compare(b.at) })
	for _, u := range ripe {
		r.enqueue(u, now)
	}
}

func (r *Runner) enqueue(u *run, now time.Time) {
	u.state, u.since = Waiting, now
	r.queue = append(r.queue, u)
}

// beginning is all that an attempt needs to know.
type beginning struct {
	run  *run
	tick Tick
	work func(ctx context.Context, t Tick) error
}

// begin takes from the queue as many as there is room for.
func (r *Runner) begin(now time.Time) (begin []beginning) {
	for ; r.running < r.atOnce && len(r.queue) > 0; r.running++ {
		u := r.queue[0]
		r.queue = slices.Delete(r.queue, 0, 1)
		u.state, u.since = Running, now
		u.tick.Attempt = u.failed + 1
		r.tell(Event{Kind: Started, Job: u.job.Name, Time: now, Tick: u.tick})
		begin = append(begin, beginning{run: u, tick: u.tick, work: u.job.Run})
	}
	return begin
}

// attempt runs a job once.
func (r *Runner) attempt(ctx context.Context, b beginning) {
	err := errGone // it stays where the work never returns
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = append(r.ended, ending{run: b.run, at: r.now(), err: err})
		r.nudge()
	}()
	err = b.work(ctx, b.tick)
}

// reckon deals with the attempts that have ended.
func (r *Runner) reckon(ctx context.Context, now time.Time) {
	for _, e := range r.ended {
		r.end(e, now, ctx.Err() == nil)
	}
	r.ended = nil
}

// end deals with one of them.
func (r *Runner) end(e ending, now time.Time, again bool) {
	u, j := e.run, e.run.job
	r.running--
	j.last = Result{Tick: u.tick, Started: u.since, Ended: e.at, Err: e.err}
	if e.err == nil {
		r.finish(j, Event{Kind: Succeeded, Time: now})
		return
	}
	u.failed++
	wait, more := j.Retry.wait(u.failed)
	// A job that was removed has no next tick: nothing is before that.
	more = more && !final(e.err) && u.tick.Cause != Manual && now.Add(wait).Before(j.next)
	if !again || !more {
		r.finish(j, Event{Kind: Failed, Time: now, Err: e.err, Stopped: more})
		return
	}
	u.state, u.since, u.at, u.wait = Backoff, now, now.Add(wait), wait
	r.tell(Event{Kind: Retrying, Job: j.Name, Time: now, Tick: u.tick, Wait: wait, Err: e.err})
}

// giveUp ends a run that waits for whatever it is. One that failed before has
// failed.
func (r *Runner) giveUp(j *job, now time.Time) {
	u := j.run
	if u == nil || u.state == Running {
		return
	}
	r.queue = slices.DeleteFunc(r.queue, func(q *run) bool { return q == u })
	e := Event{Kind: Skipped, Time: now}
	if u.failed > 0 {
		e = Event{Kind: Failed, Time: now, Err: j.last.Err, Stopped: r.stopped}
	}
	r.finish(j, e)
}

// finish tells how a run ended, after which nothing is left of it.
func (r *Runner) finish(j *job, e Event) {
	e.Job, e.Tick = j.Name, j.run.tick
	r.tell(e)
	j.run = nil
	if j.removed && r.jobs[j.Name] == j {
		delete(r.jobs, j.Name)
	}
}

package schedule

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// recheck is the longest time for which nobody looks at the wall clock.
	recheck = time.Minute
	// late is how much later a tick is noticed that was missed.
	late = recheck
)

// Options are what a Runner is made of. Only the clock must be given.
type Options struct {
	Clock Clock

	// AtOnce is how many jobs may run at once; zero: one.
	AtOnce int

	// Observe is told all that happens, in order, by one goroutine, which does
	// nothing else meanwhile. It may ask and tell the Runner anything. Nil: nobody.
	Observe func(Event)

	// Random draws a delay of at most this much. Nil: evenly, at random.
	Random func(most time.Duration) time.Duration
}

// Runner runs jobs by their specs. Its methods may be called at any time, from
// anywhere.
type Runner struct {
	clock   Clock
	atOnce  int
	observe func(Event)
	random  func(most time.Duration) time.Duration

	wake chan struct{}  // there may be something to do
	runs sync.WaitGroup // goroutines of runs

	mu      sync.Mutex
	begun   bool // Run was called
	stopped bool // nothing begins any more
	jobs    map[string]*job
	queue   []*run   // due, and waiting for room
	running int      // attempts that have not been reckoned up
	ended   []ending // those that ended, and are to be
	events  []Event  // not told yet
}

// New makes a Runner without jobs. It panics without a clock.
func New(o Options) *Runner {
	if o.Clock == nil {
		panic("schedule: a Runner without a clock")
	}
	r := &Runner{
		clock: o.Clock, atOnce: max(1, o.AtOnce), observe: o.Observe, random: o.Random,
		wake: make(chan struct{}, 1), jobs: map[string]*job{},
	}
	if r.observe == nil {
		r.observe = func(Event) {}
	}
	if r.random == nil {
		r.random = func(most time.Duration) time.Duration { return rand.N(most + 1) }
	}
	return r
}

// Add adds a job, or puts it in the place of the one of its name. What was of
// that one stays: its run, its last tick, its last result. Where the spec is
// another one, it begins now and owes nothing. The error is a *JobError.
func (r *Runner) Add(a Job) error {
	if err := a.check(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	j, there := r.jobs[a.Name]
	switch {
	case !there:
		j = &job{Job: a, anchor: a.Last.Round(0)}
		if a.Last.IsZero() {
			j.anchor = now
		}
		r.jobs[a.Name] = j
	case !j.Spec.equal(a.Spec):
		j.anchor = now
	}
	j.Job, j.removed = a, false
	j.plan(now)
	r.nudge()
	return nil
}

// Remove takes a job away. A run that has begun goes on to its end; one that has
// not does not begin. The error is an *UnknownError.
func (r *Runner) Remove(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.jobs[name]
	if j == nil || j.removed {
		return &UnknownError{Name: name}
	}
	j.removed, j.next, j.told = true, time.Time{}, time.Time{}
	r.giveUp(j, r.now())
	if j.run == nil {
		delete(r.jobs, name)
	}
	r.nudge()
	return nil
}

// RunNow makes a job run at once, or as soon as fewer others run, and returns.
// Of a run that is due and waits for its jitter or to be tried again, it ends
// the wait. The schedule stays as it is. The error is an *UnknownError, a
// *BusyError, or ErrStopped.
func (r *Runner) RunNow(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun || r.stopped {
		return ErrStopped
	}
	j := r.jobs[name]
	if j == nil || j.removed {
		return &UnknownError{Name: name}
	}
	now := r.now()
	switch {
	case j.run == nil:
		j.run = &run{job: j, tick: Tick{Due: now, Cause: Manual}}
		r.tell(Event{Kind: Due, Job: name, Time: now, Tick: j.run.tick})
	case j.run.state == Running || j.run.state == Waiting:
		return &BusyError{Name: name, State: j.run.state}
	}
	r.enqueue(j.run, now)
	r.nudge()
	return nil
}

// Jobs lists all jobs by their names.
func (r *Runner) Jobs() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Status, 0, len(r.jobs))
	for _, j := range r.sorted() {
		s := Status{Name: j.Name, Spec: j.Spec.String(), Next: j.next, State: Idle, Last: j.last}
		if j.run != nil {
			s.State, s.Since = j.run.state, j.run.since
		}
		list = append(list, s)
	}
	return list
}

// Run runs the jobs until the context ends, and returns when the last run has
// ended. The error is ErrTwice: a Runner runs once.
func (r *Runner) Run(ctx context.Context) error {
	r.mu.Lock()
	twice := r.begun
	r.begun = true
	r.mu.Unlock()
	if twice {
		return ErrTwice
	}
	for ctx.Err() == nil {
		fires, stop := r.clock.Timer(r.step(ctx))
		select {
		case <-fires:
		case <-r.wake:
		case <-ctx.Done():
		}
		stop()
	}
	r.stop()
	return nil
}

// step does all that is to be done now, and returns when to look again.
func (r *Runner) step(ctx context.Context) time.Duration {
	r.mu.Lock()
	now := r.now()
	r.reckon(ctx, now)
	for _, j := range r.sorted() {
		r.advance(j, now)
	}
	r.ripen(now)
	begin := r.begin(now)
	wait := r.idle(now)
	r.mu.Unlock()

	r.flush()
	for _, b := range begin {
		r.runs.Go(func() { r.attempt(ctx, b) })
	}
	return wait
}

// stop gives up what has not begun, and waits for what has.
func (r *Runner) stop() {
	r.mu.Lock()
	r.stopped = true
	for _, j := range r.sorted() {
		r.giveUp(j, r.now())
	}
	r.mu.Unlock()
	r.flush()
	r.runs.Wait()
	r.mu.Lock()
	for _, e := range r.ended {
		r.end(e, r.now(), false)
	}
	r.ended = nil
	r.mu.Unlock()
	r.flush()
}

// idle is how long nothing will be to do, as far as the clock is to be trusted.
func (r *Runner) idle(now time.Time) time.Duration {
	wait := recheck
	for _, j := range r.jobs {
		if !j.removed {
			wait = min(wait, j.next.Sub(now))
		}
		if j.run != nil && j.run.waits() {
			wait = min(wait, j.run.at.Sub(now))
		}
	}
	return max(wait, 0)
}

// flush tells what happened. Only Run's goroutine does, so that the order stays.
func (r *Runner) flush() {
	for {
		r.mu.Lock()
		events := r.events
		r.events = nil
		r.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			r.observe(e)
		}
	}
}

func (r *Runner) tell(e Event) { r.events = append(r.events, e) }

// now is the wall clock alone: what a Time knows of the monotonic clock would
// hide that it was set.
func (r *Runner) now() time.Time { return r.clock.Now().Round(0) }

// nudge wakes Run up.
func (r *Runner) nudge() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// sorted lists the jobs by their names.
func (r *Runner) sorted() []*job {
	return slices.SortedFunc(maps.Values(r.jobs), func(a, b *job) int { return cmp.Compare(a.Name, b.Name) })
}

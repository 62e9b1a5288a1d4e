package schedule

import (
	"context"
	"time"
)

// Job is what is to run, and when.
type Job struct {
	Name string // its identity: one job of a name
	Spec Spec

	// Jitter is the most by which a run begins later than its tick. Zero: the
	// DefaultJitter; below zero: none.
	Jitter time.Duration

	// Last is the Due of the last run that was begun, as it was told by a Started
	// event whose cause is not Manual; zero: there never was one, and nothing is
	// owed. From here on missed ticks are counted, and @every counts. Of a job
	// that the Runner has already, it knows better, and does not look at this.
	Last time.Time

	// Run does it. It should end soon after its context. A panic is a failure.
	Run func(ctx context.Context, t Tick) error

	Retry Retry
}

// Retry is how often, and after how long, a run that failed is tried again. The
// wait doubles each time. No retry begins at or after the next tick, and a run
// that was asked for by hand has none.
type Retry struct {
	Times int           // zero: 5; below zero: never
	First time.Duration // zero: a minute
	Most  time.Duration // zero: half an hour
}

// wait is how long to wait after so many attempts have failed, if there is to
// be another one.
func (r Retry) wait(failed int) (time.Duration, bool) {
	times, wait, most := r.Times, r.First, r.Most
	if times == 0 {
		times = 5
	}
	if wait <= 0 {
		wait = time.Minute
	}
	if most <= 0 {
		most = 30 * time.Minute
	}
	for range failed - 1 {
		if wait >= most {
			break
		}
		wait *= 2
	}
	return min(wait, most), failed <= times
}

// check says what keeps a job from being meant.
func (j Job) check() error {
	why := ""
	switch {
	case j.Name == "":
		why = "has no name"
	case j.Spec.IsZero():
		why = "has no schedule"
	case j.Run == nil:
		why = "has nothing to run"
	default:
		return nil
	}
	return &JobError{Name: j.Name, Why: why}
}

// Cause is why a run is due.
type Cause string

const (
	Regular Cause = "regular"  // a tick of the spec
	CatchUp Cause = "catch-up" // ticks that were missed, one run for all of them
	Manual  Cause = "manual"   // RunNow
)

// Tick is what a run is for.
type Tick struct {
	Due     time.Time // by the spec; of a catch-up when the miss was noticed, of a manual run when it was asked for
	Cause   Cause
	Missed  int64 // of a catch-up: how many ticks it stands for
	Attempt int   // 1, and one more with each retry
}

// Kind is what an Event tells.
type Kind string

const (
	Due       Kind = "due"       // a run is due, and begins after Wait when there is room
	Missed    Kind = "missed"    // nobody was there at Missed ticks
	Skipped   Kind = "skipped"   // Missed ticks came while a run was on its way; or a run was given up before it began
	Started   Kind = "started"   // an attempt begins as soon as the observer returns
	Retrying  Kind = "retrying"  // an attempt failed with Err; the next one comes after Wait
	Succeeded Kind = "succeeded" // the run is done
	Failed    Kind = "failed"    // the run failed with Err, and there is no further attempt
	Planned   Kind = "planned"   // the next tick is at Next
)

// Event is one thing that happened. The sum of Missed over all events of a job
// is how many of its ticks had no run of their own. For each run that is Due
// there is one Succeeded, Failed, or Skipped with no ticks.
type Event struct {
	Kind    Kind
	Job     string
	Time    time.Time // when it was noticed
	Tick    Tick      // of all but Missed, Planned, and Skipped with ticks
	Missed  int64
	AtLeast bool // there were more, and they were not counted
	Wait    time.Duration
	Err     error
	Stopped bool // of Failed: it would have been tried again, had the Runner not been stopped
	Next    time.Time
}

// State is where a job is.
type State string

const (
	Idle    State = "idle"
	Delayed State = "delayed" // due, and waits for its jitter
	Waiting State = "waiting" // waits until fewer others run
	Running State = "running"
	Backoff State = "backoff" // failed, and waits to be tried again
)

// Status is one job as a page shows it.
type Status struct {
	Name  string
	Spec  string
	Next  time.Time // zero: it was removed, and goes when its run has ended
	State State
	Since time.Time // of the state; of an idle job zero
	Last  Result    // of the last attempt; its Ended is zero if there was none
}

// Result is how an attempt ended.
type Result struct {
	Tick           Tick
	Started, Ended time.Time
	Err            error
}

package daemon

import (
	"context"
	"time"

	"github.com/redisbak/redisbak/schedule"
)

// Source is one Redis that is backed up by schedule.
type Source struct {
	Name   string // in the repository: its identity
	Spec   schedule.Spec
	Jitter time.Duration // as of schedule.Job

	// OverdueAfter is how old the last success may be; zero: until a whole
	// interval of the schedule has gone by in vain.
	OverdueAfter time.Duration

	// VerifyEvery is which snapshots are verified: 1: each, 7: each seventh, 0:
	// none.
	VerifyEvery int
	// DrillEvery is how often a random older snapshot is verified; zero: never.
	DrillEvery time.Duration

	// Capture takes a snapshot, verifies it if asked, and prunes. An error is
	// that of a run that committed nothing: it is tried again.
	Capture func(ctx context.Context, verify bool) (Outcome, error)
	// Drill verifies an older snapshot.
	Drill func(ctx context.Context) (Outcome, error)
	// Tell is told of runs as they begin and end, for a dead man's switch; nil:
	// nobody.
	Tell func(ctx context.Context, phase Phase, note string) error
}

// Result is what a run came to.
type Result string

// The results.
const (
	Success      Result = "success"
	Suspect      Result = "suspect"      // committed, and suspiciously small
	Unverified   Result = "unverified"   // committed, and its verification came to nothing
	NotPruned    Result = "not_pruned"   // committed and good, and nothing was pruned
	Unrestorable Result = "unrestorable" // committed, and its verification failed
	Failure      Result = "failure"      // nothing was committed
)

// Results lists them.
func Results() []Result {
	return []Result{Success, Suspect, Unverified, NotPruned, Unrestorable, Failure}
}

// Committed says whether a good snapshot came of it.
func (r Result) Committed() bool { return r == Success || r == Unverified || r == NotPruned }

// Outcome is what became of a run that did not fail as a whole.
type Outcome struct {
	Result Result
	Note   string // one line for people
}

// Phase is what a dead man's switch is told.
type Phase string

// The phases.
const (
	Began  Phase = "began"
	Good   Phase = "good"
	NoGood Phase = "no good"
)

// Record is what is kept of a source.
type Record struct {
	FirstSeen   time.Time
	LastDue     time.Time // the tick for which the last run was begun
	Began       time.Time // of the last attempt
	Ended       time.Time
	Result      Result
	Note        string
	LastSuccess time.Time // the end of the last run of which a good snapshot came
	LastDrill   time.Time // the last one that came to a verdict
	Runs        int64     // that committed something
	// Told is what is wrong and was told, and ToldAt when: a restart does not
	// tell it again. Empty: nothing is.
	Told        string
	ToldAt      time.Time
	ToldOverdue bool
	// Took is how long the run took of which the last good snapshot came.
	Took time.Duration
}

// clamp takes what was noted of the future for now: the clock was ahead then,
// and nothing would be owed or overdue until that time has come.
func (r *Record) clamp(now time.Time) {
	for _, t := range []*time.Time{&r.FirstSeen, &r.LastDue, &r.LastSuccess, &r.LastDrill, &r.ToldAt} {
		if t.After(now) {
			*t = now.UTC()
		}
	}
}

// Journal keeps the records over a restart.
type Journal interface {
	Load(source string) (Record, bool)
	Store(source string, r Record) error
}

// Kind of a message.
type Kind string

// The kinds.
const (
	Failed      Kind = "failure"
	Overdue     Kind = "overdue"
	Recovered   Kind = "recovered"
	Done        Kind = "success"
	Misadvised  Kind = "configuration" // a label or a file that cannot be meant
	JournalLost Kind = "journal"       // what is owed cannot be kept
)

// Message is something that people may want to hear.
type Message struct {
	Kind   Kind
	Source string // empty: of none
	Text   string
	Time   time.Time
}

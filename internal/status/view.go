package status

import (
	"context"
	"time"
)

// Viewer makes the view. It is called for each request, and from several at
// once. An error says that the repository cannot be read.
type Viewer func(context.Context) (View, error)

// View is all that is known at one moment. Slices are shown in their order,
// snapshots newest first. A zero time, a zero duration and a nil pointer mean
// that something is not known.
type View struct {
	Now        time.Time
	Version    string
	Repository string         // its directory, as --repo takes it
	FreeBytes  *int64         // on its file system
	Zone       *time.Location // of the times for people; nil is UTC
	Sources    []Source
	Problems   []Problem
	Trouble    []string // what keeps the daemon from its work: it is not ready
}

// Source is one server that is backed up, or was.
type Source struct {
	Name      string
	Container string
	Schedule  string // as it is configured: "15 3 * * *"

	State        State
	Next         time.Time // the next run
	RunningSince time.Time // of the run that is under way
	LastAttempt  Attempt
	Overdue      bool
	OverdueSince time.Time // when the run that is missing was due
	MissedRuns   int64     // times at which a run was due and none began
	Runs         []Runs    // since the daemon started

	Snapshots []Snapshot
}

// State of a source in one word.
type State string

// The states of a source. One that is overdue and runs again is Running, and
// Source.Overdue stays true until there is a new good snapshot.
const (
	OK      State = "ok"
	Running State = "running"
	Overdue State = "overdue"
	Failed  State = "failed"
	Suspect State = "suspect"
	Never   State = "never"             // no attempt yet
	Unknown State = "unknown container" // there is none of that name
)

// states in the order of their urgency, as a summary names them.
func states() []State { return []State{Failed, Overdue, Unknown, Suspect, Never, Running, OK} }

// Attempt is a run that has ended. Result is "success", or another word that
// says how it ended.
type Attempt struct {
	At       time.Time
	Result   string
	Error    string
	Duration time.Duration
}

// Success is the Result of a run that did all that it was asked for.
const Success = "success"

// Runs counts those that ended with one result.
type Runs struct {
	Result string
	N      int64
}

// Verdicts of booting a snapshot.
const (
	VerifyPassed = "passed"
	VerifyFailed = "failed"
	VerifyNever  = "never"
)

// Snapshot is one in the repository, in the words of `redisbak list --json`.
type Snapshot struct {
	ID          string
	PointInTime time.Time
	FinishedAt  time.Time // its commit
	Method      string
	State       string // "good" or "suspect"; good once accepted
	StateReason string // why it is suspect
	Accepted    bool
	Good        bool // may be chosen without being named

	Verified     string // VerifyPassed, VerifyFailed or VerifyNever
	VerifiedAt   time.Time
	VerifyReason string // why it has not passed

	Keys        *int64
	SizeBytes   int64
	StoredBytes int64
	Pinned      bool
	Tags        []string

	Phases []Phase // of its capture and its last verification; none is a part of another
}

// Phase is a part of the work on a snapshot, and the time that it took.
type Phase struct {
	Name     string
	Duration time.Duration
}

// The phases that are known by name here: what a restore takes is the time to
// fill a volume and the time until a server on it has loaded the data.
const (
	PhaseCapture  = "capture"
	PhaseFill     = "fill"
	PhaseLoad     = "load"
	PhaseQuestion = "question"
)

// Problem is something that is wrong with one snapshot in the repository.
type Problem struct {
	ID      string // the name of its directory
	File    string // relative to that, "" for the directory itself
	Problem string
}

func (v View) zone() *time.Location {
	if v.Zone == nil {
		return time.UTC
	}
	return v.Zone
}

func (v View) source(name string) (Source, bool) {
	for _, s := range v.Sources {
		if s.Name == name {
			return s, true
		}
	}
	return Source{}, false
}

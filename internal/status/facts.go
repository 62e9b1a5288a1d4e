package status

import (
	"fmt"
	"strconv"
	"time"
)

// fact is one of the numbers at the head of a source: a label, the number, and
// a line below it.
type fact struct {
	Label, Big, Small string
	At                moment // where the number is an instant
	Data              []datum
	Bar               *bar
}

// datum is a fact for a machine.
type datum struct{ Name, Value string }

// bar is how much of the time between two backups has passed.
type bar struct{ Tone, Text, Width string }

func factsOf(v View, s Source) []fact {
	all := []fact{recoverableFact(v, s), nextFact(v, s), attemptFact(v, s), provenFact(v, s), countFact(s), storedFact(s)}
	if s.MissedRuns > 0 {
		all = append(all, fact{Label: "Missed runs", Big: countText(s.MissedRuns), Small: "due, and not begun",
			Data: []datum{{"missed-runs", strconv.FormatInt(s.MissedRuns, 10)}}})
	}
	return all
}

// instant is a fact that is a time: its age, and below it the time itself.
func instant(v View, label string, t time.Time, none string) fact {
	m := momentOf(v, t)
	if !m.Known {
		return fact{Label: label, Big: none}
	}
	return fact{Label: label, Big: m.Ago, Small: m.Text, At: m}
}

func recoverableFact(v View, s Source) fact {
	f := instant(v, "Can be restored to", s.recoverablePoint(), "nothing yet")
	f.Bar = barOf(v, s)
	return f
}

// barOf is the age of the newest good snapshot against the schedule.
func barOf(v View, s Source) *bar {
	share, ok := s.share(v.Now)
	if !ok {
		return nil
	}
	b := &bar{Tone: "ok", Width: coordinate(100 * share), Text: fmt.Sprintf("%d of 100 of the time from this one to the next run have passed", int(100*share))}
	if s.Overdue {
		b.Tone, b.Width, b.Text = "bad", "100.0", "the next one is overdue"
	}
	return b
}

func nextFact(v View, s Source) fact { return instant(v, "Next run", s.Next, "none planned") }

func attemptFact(v View, s Source) fact {
	f := instant(v, "Last run", s.LastAttempt.At, "none yet")
	if f.At.Known {
		f.Small = s.LastAttempt.Result
		if s.LastAttempt.Duration > 0 {
			f.Small += ", took " + durationText(s.LastAttempt.Duration)
			f.Data = []datum{{"last-attempt-seconds", strconv.FormatFloat(s.LastAttempt.Duration.Seconds(), 'f', -1, 64)}}
		}
	}
	return f
}

func provenFact(v View, s Source) fact {
	f := instant(v, "Last proven", s.lastVerified(), "never")
	e, _ := s.newest(func(e Snapshot) bool { return e.Verified == VerifyPassed })
	if took, ok := e.restoreTime(); ok {
		f.Small = "restored in " + durationText(took)
		f.Data = []datum{{"restore-seconds", strconv.FormatFloat(took.Seconds(), 'f', -1, 64)}}
	}
	return f
}

func countFact(s Source) fact {
	f := fact{Label: "Good snapshots", Big: countText(int64(s.good())), Data: []datum{{"good", strconv.Itoa(s.good())}}}
	if rest := len(s.Snapshots) - s.good(); rest > 0 {
		f.Small = fmt.Sprintf("and %s not good", countText(int64(rest)))
	}
	return f
}

func storedFact(s Source) fact {
	f := fact{Label: "On disk", Big: bytesText(s.stored()), Data: []datum{{"stored-bytes", strconv.FormatInt(s.stored(), 10)}}}
	if n := len(s.Snapshots); n > 0 {
		f.Small = "in " + plural(int64(n), "snapshot")
	}
	return f
}

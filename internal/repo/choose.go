package repo

import (
	"fmt"
	"slices"
	"time"
)

// Choice is the snapshot that was chosen. Skipped are those that would have
// come before it but are not good, newest first.
type Choice struct {
	Entry   Entry
	Skipped []Entry
}

// Latest chooses the newest good one of a source's snapshots, which may be in
// any order. The error is a *NoSnapshotError.
func Latest(entries []Entry) (Choice, error) {
	return choose(entries, time.Time{}, time.Time{}, "")
}

// AtOrBefore chooses the newest good one that shows an instant not after t.
func AtOrBefore(entries []Entry, t time.Time) (Choice, error) {
	return choose(entries, time.Time{}, t.Add(1), " at or before "+stamp(t))
}

// InDay chooses the newest good one that shows an instant from from up to but
// not including to.
func InDay(entries []Entry, from, to time.Time) (Choice, error) {
	return choose(entries, from, to, fmt.Sprintf(" from %s to %s", stamp(from), stamp(to)))
}

// choose takes the newest good one in [from, to), where zero is no bound.
func choose(entries []Entry, from, to time.Time, wanted string) (Choice, error) {
	miss := &NoSnapshotError{Wanted: wanted, From: from, To: to}
	for _, e := range slices.SortedFunc(slices.Values(entries), newestFirst) {
		at := e.Manifest.PointInTime
		miss.Source = e.Manifest.Source.Name
		switch {
		case !to.IsZero() && !at.Before(to):
			if e.Good() {
				miss.After = &e // the last one that comes here is the nearest
			}
		case at.Before(from):
			if e.Good() {
				miss.Before = &e
				return Choice{}, miss
			}
		case e.Good():
			return Choice{Entry: e, Skipped: miss.Skipped}, nil
		default:
			miss.Skipped = append(miss.Skipped, e)
		}
	}
	return Choice{}, miss
}

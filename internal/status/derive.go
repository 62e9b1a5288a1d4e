package status

import "time"

// What follows from the facts of a view. The page and the metrics take it from
// here, so that they cannot differ.

// newest is the snapshot with the latest point in time, of those that pass.
func (s Source) newest(pass func(Snapshot) bool) (Snapshot, bool) {
	var found Snapshot
	var ok bool
	for _, e := range s.Snapshots {
		if pass(e) && (!ok || e.PointInTime.After(found.PointInTime) || e.PointInTime.Equal(found.PointInTime) && e.ID > found.ID) {
			found, ok = e, true
		}
	}
	return found, ok
}

// newestGood is the snapshot that a restore takes where none is named.
func (s Source) newestGood() (Snapshot, bool) {
	return s.newest(func(e Snapshot) bool { return e.Good })
}

func (s Source) newestAny() (Snapshot, bool) {
	return s.newest(func(Snapshot) bool { return true })
}

// recoverablePoint is the instant to which a restore can go back at best: what
// was written after it would be lost.
func (s Source) recoverablePoint() time.Time {
	e, _ := s.newestGood()
	return e.PointInTime
}

// lastSuccess is the last commit of a good snapshot. It is known after a
// restart of the daemon too, for the repository says it.
func (s Source) lastSuccess() time.Time {
	return s.latest(func(e Snapshot) (time.Time, bool) { return e.FinishedAt, e.Good })
}

// lastVerified is the end of the last verification that a snapshot passed.
func (s Source) lastVerified() time.Time {
	return s.latest(func(e Snapshot) (time.Time, bool) { return e.VerifiedAt, e.Verified == VerifyPassed })
}

func (s Source) latest(of func(Snapshot) (time.Time, bool)) (last time.Time) {
	for _, e := range s.Snapshots {
		if t, ok := of(e); ok && t.After(last) {
			last = t
		}
	}
	return last
}

// good and suspect count snapshots. One whose verification failed is neither.
func (s Source) good() int {
	return s.count(func(e Snapshot) bool { return e.Good })
}

func (s Source) suspect() int {
	return s.count(func(e Snapshot) bool { return e.State == string(Suspect) })
}

func (s Source) count(pass func(Snapshot) bool) (n int) {
	for _, e := range s.Snapshots {
		if pass(e) {
			n++
		}
	}
	return n
}

// stored is what all snapshots of the source take on the disk.
func (s Source) stored() (n int64) {
	for _, e := range s.Snapshots {
		n += e.StoredBytes
	}
	return n
}

// verdict is 1 where the newest snapshot has passed its verification, 0 where
// it failed; ok is false where nobody knows.
func (s Source) verdict() (passed float64, ok bool) {
	e, _ := s.newestAny()
	switch e.Verified {
	case VerifyPassed:
		return 1, true
	case VerifyFailed:
		return 0, true
	}
	return 0, false
}

// restoreTime is what a restore took when it was last tried: to fill a volume,
// and to load it. ok is false unless both were measured.
func (e Snapshot) restoreTime() (total time.Duration, ok bool) {
	fill, filled := e.phase(PhaseFill)
	load, loaded := e.phase(PhaseLoad)
	return fill + load, filled && loaded
}

// duration is the time of all phases together.
func (e Snapshot) duration() (total time.Duration, ok bool) {
	for _, p := range e.Phases {
		total += p.Duration
	}
	return total, len(e.Phases) > 0
}

func (e Snapshot) phase(name string) (time.Duration, bool) {
	for _, p := range e.Phases {
		if p.Name == name {
			return p.Duration, true
		}
	}
	return 0, false
}

// share is the part of the time from the newest good snapshot to the next run
// that has passed; ok is false where one of the two is not known.
func (s Source) share(now time.Time) (part float64, ok bool) {
	from := s.recoverablePoint()
	if from.IsZero() || !s.Next.After(from) {
		return 0, false
	}
	return min(1, max(0, float64(now.Sub(from))/float64(s.Next.Sub(from)))), true
}

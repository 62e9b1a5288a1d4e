package retention

import (
	"slices"
	"time"
)

// naive decides a second time, from the promises as they are written and with
// nothing of the code that is tested: each snapshot is asked by itself, the
// calendar is counted from seconds, and it takes the square of the time.
type naive struct {
	p    Policy
	all  []Snapshot
	now  time.Time
	zone *time.Location
}

func (n naive) sane(s Snapshot) bool {
	begin := time.Unix(1767225600, 0) // 2026-01-01 UTC
	soon := n.now.Add(5 * time.Minute)
	return !s.Time.After(soon) && !s.Started.After(soon) &&
		!s.Time.Before(begin) && !s.Started.Before(begin) &&
		s.Started.Sub(s.Time) <= 24*time.Hour && s.Time.Sub(s.Finished) <= 24*time.Hour
}

func newer(a, b Snapshot) bool {
	return a.Time.After(b.Time) || a.Time.Equal(b.Time) && a.ID > b.ID
}

// those are the snapshots that are sane, without doubt, and so.
func (n naive) those(so func(Snapshot) bool) (found []Snapshot) {
	for _, s := range n.all {
		if n.sane(s) && !s.Doubt && so(s) {
			found = append(found, s)
		}
	}
	return found
}

func (n naive) good(and func(Snapshot) bool) []Snapshot {
	return n.those(func(s Snapshot) bool { return s.Good && and(s) })
}

func (n naive) reference() time.Time {
	good := n.good(func(Snapshot) bool { return true })
	if len(good) == 0 {
		return n.now
	}
	last := slices.MaxFunc(good, func(a, b Snapshot) int { return a.Time.Compare(b.Time) }).Time
	if last.After(n.now) {
		return n.now
	}
	return last
}

// keeps is the whole contract.
func (n naive) keeps(s Snapshot) bool {
	after := func(o Snapshot) bool { return newer(o, s) }
	proven := func(o Snapshot) bool { return newer(o, s) && o.Passed }
	switch {
	case s.Pinned, s.PinnedUnknown, s.Doubt, !n.sane(s):
		return true
	case s.Passed && len(n.those(proven)) == 0, s.Passed && s.Good && len(n.good(proven)) == 0:
		return true
	case !s.Good:
		return len(n.good(proven)) == 0 || n.reference().Sub(s.Time) < 7*24*time.Hour
	case len(n.good(after)) < n.p.Last:
		return true
	case n.p.Within > 0 && n.reference().Sub(s.Time) <= n.p.Within:
		return true
	case n.p.Within > 0 && len(n.good(func(o Snapshot) bool { return newer(o, s) && n.reference().Sub(o.Time) >= n.p.Within })) == 0:
		return true
	}
	for _, tag := range s.Tags {
		if slices.Contains(n.p.Tags, tag) {
			return true
		}
	}
	full := n.p.Last > 0 || n.p.Within > 0 // for one that they do not keep
	return n.calendarKeeps(s, !s.Passed && len(n.good(proven)) == 0, full)
}

func (n naive) calendarKeeps(s Snapshot, unverified, full bool) bool {
	for kind, count := range []int{n.p.Hourly, n.p.Daily, n.p.Weekly, n.p.Monthly, n.p.Yearly} {
		if count == 0 {
			continue
		}
		same := func(o Snapshot) bool { return n.number(kind, o.Time) == n.number(kind, s.Time) }
		after := n.numbers(kind, n.good(func(o Snapshot) bool { return newer(o, s) }))
		first := len(n.good(func(o Snapshot) bool { return newer(o, s) && same(o) })) == 0
		oldest := len(n.good(func(o Snapshot) bool { return newer(s, o) })) == 0
		if (first || oldest) && after < count {
			return true
		}
		full = full || after >= count
	}
	return unverified && !full
}

func (n naive) numbers(kind int, of []Snapshot) int {
	different := map[[2]int]bool{}
	for _, s := range of {
		different[n.number(kind, s.Time)] = true
	}
	return len(different)
}

// number counts hours, days, weeks (from a Monday), months and years.
func (n naive) number(kind int, t time.Time) [2]int {
	_, offset := t.In(n.zone).Zone()
	local := int(t.Unix()) + offset
	day := local / 86400
	date := time.Unix(int64(day)*86400, 0).UTC()
	switch kind {
	case 0:
		return [2]int{local / 3600, offset}
	case 1:
		return [2]int{day}
	case 2:
		return [2]int{(day + 3) / 7}
	case 3:
		return [2]int{date.Year()*12 + int(date.Month())}
	}
	return [2]int{date.Year()}
}

package retention

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// periods is a rule that keeps the newest snapshot of each of the newest count
// periods that have one. name tells the period of an instant.
type periods struct {
	name   string
	count  int
	period func(time.Time) string
}

// applyRules notes with each good snapshot which rules keep it. good is newest
// first.
func (p Policy) applyRules(good []*candidate, reference time.Time, zone *time.Location) {
	for i, c := range good {
		switch {
		case i < p.Last:
			c.keptBy(fmt.Sprintf("last %d of %d", i+1, p.Last))
		case p.Last > 0:
			c.full = true
		}
	}
	for _, r := range p.calendar(zone) {
		r.apply(good)
	}
	if p.Within > 0 {
		applyWithin(p.Within, good, reference)
	}
	for _, c := range good {
		for i, tag := range p.Tags {
			if slices.Contains(c.Tags, tag) && !slices.Contains(p.Tags[:i], tag) {
				c.keptBy("tag " + tag)
			}
		}
	}
}

// apply keeps one snapshot of each period, and, as restic does, the oldest of
// all while the count is not full: a history that has just begun keeps its
// beginning. That breaks no promise of order: the rule is full for good once it
// is full, and until then the oldest one has never gone.
//
// It also says for which snapshots the rule is full: count periods have a newer
// one.
func (r periods) apply(good []*candidate) {
	filled := map[string]bool{}
	for i, c := range good {
		period := r.period(c.Time)
		switch room := len(filled) < r.count; {
		case room && !filled[period]:
			c.keptBy(r.name + " " + period)
		case room && i == len(good)-1:
			c.keptBy(fmt.Sprintf("oldest, %s %d of %d", r.name, len(filled), r.count))
		}
		if len(filled) < r.count {
			c.room = append(c.room, fmt.Sprintf("%s %d of %d", r.name, len(filled), r.count))
		} else {
			c.full = true
		}
		filled[period] = true
	}
}

// applyWithin counts back from the reference, not from now: the snapshots of a
// source that is backed up no longer must not age away.
func applyWithin(within time.Duration, good []*candidate, reference time.Time) {
	reached, passed := false, false // one that stays is exactly as old, or older
	for _, c := range good {
		age := reference.Sub(c.Time)
		switch {
		case age <= within:
			c.keptBy("within " + span(within))
			reached = age == within
		case reached || passed:
			c.full = true
		default:
			c.keptBy("the state " + span(within) + " ago")
			passed = true
		}
	}
}

// span writes a duration as it is written in a policy: "7d", "1d12h", "90s".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	var b strings.Builder
	for _, unit := range []struct {
		is   time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / unit.is; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			d %= unit.is
		}
	}
	if d > 0 {
		b.WriteString(d.String())
	}
	return b.String()
}

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
	for i := range min(p.Last, len(good)) {
		good[i].keptBy(fmt.Sprintf("last %d of %d", i+1, p.Last))
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
// It also says which unverified snapshots the rule is not full for: fewer than
// count periods, beside the snapshot's own, have a newer one.
func (r periods) apply(good []*candidate) {
	filled := map[string]bool{}
	for i, c := range good {
		period := r.period(c.Time)
		others := len(filled)
		if filled[period] {
			others--
		}
		switch room := len(filled) < r.count; {
		case room && !filled[period]:
			c.keptBy(r.name + " " + period)
		case room && i == len(good)-1:
			c.keptBy(fmt.Sprintf("oldest, %s %d of %d", r.name, len(filled), r.count))
		}
		if c.unverified && others < r.count {
			c.notFull = append(c.notFull, fmt.Sprintf("%s %d of %d", r.name, others, r.count))
		}
		filled[period] = true
	}
}

// applyWithin counts back from the reference, not from now: the snapshots of a
// source that is backed up no longer must not age away.
func applyWithin(within time.Duration, good []*candidate, reference time.Time) {
	reached := false // one that stays is exactly as old
	for _, c := range good {
		age := reference.Sub(c.Time)
		if age > within {
			if !reached {
				c.keptBy("the state " + span(within) + " ago")
			}
			return
		}
		c.keptBy("within " + span(within))
		reached = age == within
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

package retention

import (
	"fmt"
	"time"
)

// Policy is the rules by which good snapshots stay. Each rule keeps what it
// keeps, whatever the others do; a rule that is zero is not there.
type Policy struct {
	Last int // the newest ones

	// The newest one of each of the newest hours, days, ISO weeks, months and
	// years that have one.
	Hourly, Daily, Weekly, Monthly, Yearly int

	// Within keeps all that are no older than this, and the newest one that is
	// at least as old, so that the state of that long ago can be restored.
	Within time.Duration

	Tags []string // all that carry one of them
}

// Empty says whether there is no rule at all.
func (p Policy) Empty() bool { return !p.counts() && len(p.Tags) == 0 }

// counts says whether there is a rule that can be full. Tags never are.
func (p Policy) counts() bool {
	return p.Last != 0 || p.Within != 0 || len(p.calendar(time.UTC)) > 0
}

// Validate returns a *PolicyError for a policy that cannot be meant: an empty
// one too, by which everything would go.
func (p Policy) Validate() error {
	if p.Last < 0 {
		return &PolicyError{Rule: "last", Why: fmt.Sprintf("%d is negative", p.Last)}
	}
	for _, r := range p.calendar(time.UTC) {
		if r.count < 0 {
			return &PolicyError{Rule: r.name, Why: fmt.Sprintf("%d is negative", r.count)}
		}
	}
	if p.Within < 0 {
		return &PolicyError{Rule: "within", Why: fmt.Sprintf("%s is negative", p.Within)}
	}
	for _, tag := range p.Tags {
		if tag == "" {
			return &PolicyError{Rule: "tag", Why: "is empty"}
		}
	}
	if p.Empty() {
		return &PolicyError{Why: "is empty: it would keep nothing"}
	}
	return nil
}

// calendar lists the rules that keep one snapshot of each period.
func (p Policy) calendar(zone *time.Location) []periods {
	layout := func(layout string) func(time.Time) string {
		return func(t time.Time) string { return t.In(zone).Format(layout) }
	}
	week := func(t time.Time) string {
		year, week := t.In(zone).ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	}
	all := []periods{
		// The hour that clocks go through twice is two hours: with the offset
		// they differ. restic takes them for one, and keeps one snapshot of both.
		{"hourly", p.Hourly, layout("2006-01-02 15:00 -0700")},
		{"daily", p.Daily, layout("2006-01-02")},
		{"weekly", p.Weekly, week},
		{"monthly", p.Monthly, layout("2006-01")},
		{"yearly", p.Yearly, layout("2006")},
	}
	var rules []periods
	for _, r := range all {
		if r.count != 0 {
			rules = append(rules, r)
		}
	}
	return rules
}

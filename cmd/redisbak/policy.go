package main

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/redisbak/redisbak/internal/config"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/retention"
)

// policyFlags are the options that say which snapshots stay.
type policyFlags struct {
	policy retention.Policy
	within string
	flags  *pflag.FlagSet
}

func (p *policyFlags) add(f *pflag.FlagSet) {
	p.flags = f
	for _, c := range p.counts() {
		f.IntVar(c.n, c.flag, 0, c.help)
	}
	f.StringVar(&p.within, "keep-within", "", "keep those of the last `D` before the newest, and the newest that is as old")
	f.StringArrayVar(&p.policy.Tags, "keep-tag", nil, "keep those that are marked with `T`; may be repeated")
}

type count struct {
	n          *int
	flag, help string
}

func (p *policyFlags) counts() []count {
	return []count{
		{&p.policy.Last, "keep-last", "keep the newest `N`"},
		{&p.policy.Hourly, "keep-hourly", "keep the newest of each of the last `N` hours that have one"},
		{&p.policy.Daily, "keep-daily", "keep the newest of each of the last `N` days that have one"},
		{&p.policy.Weekly, "keep-weekly", "keep the newest of each of the last `N` weeks that have one"},
		{&p.policy.Monthly, "keep-monthly", "keep the newest of each of the last `N` months that have one"},
		{&p.policy.Yearly, "keep-yearly", "keep the newest of each of the last `N` years that have one"},
	}
}

// given says whether there is a policy on the command line at all.
func (p *policyFlags) given() bool {
	return slices.ContainsFunc(p.counts(), func(c count) bool { return p.flags.Changed(c.flag) }) ||
		p.flags.Changed("keep-within") || p.flags.Changed("keep-tag")
}

// read returns the policy. A rule that was given and keeps nothing is a mistake
// that nobody should find out about afterwards.
func (a *app) readPolicy(p *policyFlags) (retention.Policy, error) {
	for _, c := range p.counts() {
		if p.flags.Changed(c.flag) && *c.n < 1 {
			return retention.Policy{}, hinted(usagef("--%s %d: a rule keeps at least 1", c.flag, *c.n), "leave the rule out where it is not wanted")
		}
	}
	if p.flags.Changed("keep-within") {
		within, err := config.ParseDuration(p.within)
		if err != nil {
			return retention.Policy{}, usagef("--keep-within %q: %w", p.within, err)
		}
		if within == 0 {
			return retention.Policy{}, hinted(usagef("--keep-within %s: it would keep nothing", p.within), "leave the rule out where it is not wanted")
		}
		p.policy.Within = within
	}
	if err := p.policy.Validate(); err != nil {
		return retention.Policy{}, &usageError{err: err, hints: []string{"say which snapshots stay: " + examplePolicy}}
	}
	// In which zone a day begins decides which snapshot is its last.
	return p.policy, a.zoneErr
}

// decide applies a policy to a source's snapshots, and to more that are not
// there yet.
func (a *app) decide(p retention.Policy, source string, listing repo.Listing, more ...retention.Snapshot) ([]retention.Decision, error) {
	all := more
	for _, e := range listing.Snapshots {
		m := e.Manifest
		all = append(all, retention.Snapshot{
			ID: m.ID, Time: m.PointInTime, Started: m.StartedAt, Finished: m.FinishedAt, Container: m.Source.ContainerID,
			Good: e.Good(), Passed: e.Verified() == repo.Passed, Doubt: e.ProofUnknown, Damaged: e.Damage != nil,
			Pinned: e.Marks.Pinned, PinnedUnknown: e.MarksUnknown, Tags: e.Marks.Tags,
		})
	}
	decisions, err := retention.Decide(p, all, a.now(), a.zone)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", source, err)
	}
	return decisions, nil
}

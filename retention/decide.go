package retention

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/redisbak/redisbak/snapshot"
)

// Snapshot is what has to be known of one to decide.
type Snapshot struct {
	ID   snapshot.ID
	Time time.Time // the instant that the data show

	Started, Finished time.Time // the capture
	Container         string    // id of the container that it is of

	Good   bool // judged good or accepted, and no verification failed
	Passed bool // its last verdict is: passed
	Doubt  bool // its proof cannot be read: it may have failed
	// Damaged: its payload or what describes it is not what was committed.
	Damaged bool

	Pinned        bool
	PinnedUnknown bool // its marks cannot be read: it may be pinned
	Tags          []string
}

// Decision says whether a snapshot stays, and why. There is always a reason;
// of one that stays, each that would do.
type Decision struct {
	ID      snapshot.ID
	Keep    bool
	Reasons []string
}

const (
	// A snapshot that is not good is kept this long, for whoever wants to know
	// what went wrong.
	keepBad = 7 * 24 * time.Hour

	// The clocks of two hosts may differ by this much.
	ahead = 5 * time.Minute
	// The instant of the data is the source's to say, and may be this far from
	// the capture as redisbak's host saw it.
	apart = 24 * time.Hour
)

// Decide says of each snapshot of one source whether it stays. The decisions
// come newest first. Days and weeks are those of zone.
//
// The error is a *PolicyError, a *DeleteAllError, a *SharedError or an
// *InputError.
func Decide(p Policy, all []Snapshot, now time.Time, zone *time.Location) ([]Decision, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := checkInput(all, now, zone); err != nil {
		return nil, err
	}
	h := newHistory(all, now)
	if err := h.shared(); err != nil {
		return nil, err
	}
	p.applyRules(h.good, h.reference, zone)
	if len(h.good) > 0 && !slices.ContainsFunc(h.good, func(c *candidate) bool { return len(c.rules) > 0 }) {
		return nil, &DeleteAllError{Good: len(h.good)}
	}
	decisions := make([]Decision, 0, len(all))
	for _, c := range h.all {
		decisions = append(decisions, h.decide(c))
	}
	return decisions, nil
}

// checkInput refuses what the caller cannot have meant.
func checkInput(all []Snapshot, now time.Time, zone *time.Location) error {
	switch {
	case now.IsZero():
		return &InputError{Why: "no time is given"}
	case zone == nil:
		return &InputError{Why: "no time zone is given"}
	}
	seen := make(map[snapshot.ID]bool, len(all))
	for _, s := range all {
		switch {
		case s.ID == "":
			return &InputError{Why: "a snapshot has no id"}
		case seen[s.ID]:
			return &InputError{ID: s.ID, Why: "is there twice"}
		case s.Time.IsZero() || s.Started.IsZero() || s.Finished.IsZero():
			return &InputError{ID: s.ID, Why: "a time is missing"}
		}
		seen[s.ID] = true
	}
	return nil
}

// candidate is a snapshot with what speaks for it.
type candidate struct {
	Snapshot
	clock      string   // why its clock cannot be right
	unfollowed bool     // no newer one is good and verified
	unverified bool     // good, and neither it nor a newer good one is verified
	rules      []string // the rules that keep it
	full       bool     // a rule has its count full of newer ones
	room       []string // the rules that do not
}

func (c *candidate) keptBy(rule string) { c.rules = append(c.rules, rule) }

// history is all snapshots, newest first, and those that the others are
// measured by.
type history struct {
	all  []*candidate
	good []*candidate // those that count

	reference    time.Time  // the newest good one's, or now if that is before it
	verified     *candidate // the newest verified one
	goodVerified *candidate // the newest verified one of those that count
}

func newHistory(all []Snapshot, now time.Time) *history {
	h := &history{all: make([]*candidate, 0, len(all)), reference: now}
	for _, s := range all {
		h.all = append(h.all, &candidate{Snapshot: s, clock: wrongClock(s, now)})
	}
	slices.SortFunc(h.all, func(a, b *candidate) int {
		return cmp.Or(b.Time.Compare(a.Time), strings.Compare(string(b.ID), string(a.ID)))
	})
	for _, c := range h.all {
		c.unfollowed = h.goodVerified == nil
		if c.Doubt || c.Damaged || c.clock != "" {
			continue
		}
		if c.Passed && h.verified == nil {
			h.verified = c
		}
		if !c.Good {
			continue
		}
		if len(h.good) == 0 && c.Time.Before(now) {
			h.reference = c.Time
		}
		if c.Passed && h.goodVerified == nil {
			h.goodVerified = c
		}
		c.unverified = h.goodVerified == nil
		h.good = append(h.good, c)
	}
	return h
}

// recent is how many snapshots, from the newest on, show whether two containers
// share a source. It is all over as many snapshots after they were parted.
const recent = 7

// shared finds a container that comes back after another one.
func (h *history) shared() error {
	var seen []string // each container's id once, newest first
	for _, c := range h.all[:min(recent, len(h.all))] {
		at := slices.Index(seen, c.Container)
		switch {
		case at < 0:
			seen = append(seen, c.Container)
		case at < len(seen)-1:
			return &SharedError{Containers: [2]string{c.Container, seen[at+1]}}
		}
	}
	return nil
}

// wrongClock says what in the times of a snapshot cannot be, or nothing. The
// clock that is wrong may be the one that now was read from.
func wrongClock(s Snapshot, now time.Time) string {
	limit := now.Add(ahead)
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // no redisbak was there before
	switch {
	case s.Time.After(limit):
		return "clock: shows data of the future"
	case s.Started.After(limit):
		return "clock: begun in the future"
	case s.Time.Before(first):
		return "clock: shows data of before 2026"
	case s.Started.Before(first):
		return "clock: begun before 2026"
	case s.Time.Before(s.Started.Add(-apart)), s.Time.After(s.Finished.Add(apart)):
		return "clock: data and capture are days apart"
	}
	return ""
}

// decide puts together what speaks for one snapshot.
func (h *history) decide(c *candidate) Decision {
	var keep []string
	reason := func(holds bool, why string) {
		if holds {
			keep = append(keep, why)
		}
	}
	reason(c.Pinned, "pinned")
	reason(c.PinnedUnknown, "marks cannot be read")
	reason(c.Doubt, "proof cannot be read")
	reason(c.Damaged, "damaged")
	reason(c.clock != "", c.clock)
	reason(c == h.verified, "newest verified")
	reason(c == h.goodVerified && c != h.verified, "newest good verified")
	keep = append(keep, c.rules...)

	gone := "no rule keeps it"
	switch sound := !c.Doubt && !c.Damaged && c.clock == ""; {
	case sound && !c.Good:
		young := h.reference.Sub(c.Time) < keepBad
		reason(c.unfollowed, "not good, no newer verified one")
		reason(!c.unfollowed && young, "not good, younger than "+span(keepBad))
		gone = "not good, a newer one is verified"
	case c.unverified && len(c.rules) == 0:
		reason(!c.full, strings.Join(append([]string{"unverified"}, c.room...), ", "))
	}
	if len(keep) > 0 {
		return Decision{ID: c.ID, Keep: true, Reasons: keep}
	}
	return Decision{ID: c.ID, Reasons: []string{gone}}
}

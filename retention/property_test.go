package retention

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redisbak/redisbak/snapshot"
)

// drawHistory makes up to most snapshots, oldest first, with all that can be
// wrong with one, and an instant just after the last of them.
func drawHistory(t *rapid.T, most int, zone *time.Location) (all []Snapshot, now time.Time) {
	seconds := func(units ...time.Duration) *rapid.Generator[time.Duration] { return rapid.SampledFrom(units) }
	gaps := seconds(0, time.Minute, 25*time.Minute, time.Hour, 7*time.Hour, testDay, 3*testDay, 11*testDay, 45*testDay)
	begin := rapid.SampledFrom([]time.Time{
		time.Date(2026, 3, 28, 20, 0, 0, 0, zone), time.Date(2026, 10, 24, 20, 0, 0, 0, zone), time.Date(2026, 12, 25, 12, 0, 0, 0, zone),
	}).Draw(t, "begin")
	rarely := rapid.Custom(func(t *rapid.T) bool { return rapid.IntRange(0, 11).Draw(t, "1 of 12") == 7 })
	often := rapid.Bool().Draw(t, "often verified")
	now = begin
	for i := range rapid.IntRange(0, most).Draw(t, "snapshots") {
		now = now.Add(gaps.Draw(t, "gap"))
		s := newSnapshot(now, i)
		s.Good = !rarely.Draw(t, "bad")
		s.Passed = often && rapid.Bool().Draw(t, "passed") || rarely.Draw(t, "passed, rarely")
		s.Doubt = rarely.Draw(t, "doubt")
		s.Pinned = rarely.Draw(t, "pinned")
		s.PinnedUnknown = rarely.Draw(t, "marks?")
		if rarely.Draw(t, "tagged") {
			s.Tags = []string{rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "tag")}
		}
		if rarely.Draw(t, "clock") {
			breakClock(&s, rapid.IntRange(0, 5).Draw(t, "how"))
		}
		all = append(all, s)
	}
	return all, now.Add(rapid.SampledFrom([]time.Duration{time.Minute, testDay, 400 * testDay}).Draw(t, "now"))
}

// breakClock makes the times of a snapshot such that they cannot be right, if
// now is not years later.
func breakClock(s *Snapshot, how int) {
	switch how {
	case 0:
		s.Time = s.Time.Add(20000 * testDay)
	case 1:
		s.Started = s.Started.Add(20000 * testDay)
	case 2:
		s.Time, s.Started = s.Time.AddDate(-40, 0, 0), s.Started.AddDate(-40, 0, 0)
	case 3:
		s.Started = s.Time.Add(25 * time.Hour)
	case 4:
		s.Started, s.Finished = s.Time.Add(-50*time.Hour), s.Time.Add(-49*time.Hour)
	case 5: // wrong today, and right tomorrow
		s.Time = s.Time.Add(20 * time.Hour)
	}
}

func drawPolicy(t *rapid.T) Policy {
	count := rapid.Custom(func(t *rapid.T) int { return max(0, rapid.IntRange(-4, 4).Draw(t, "count")) })
	p := Policy{
		Last: count.Draw(t, "last"), Hourly: count.Draw(t, "hourly"), Daily: count.Draw(t, "daily"),
		Weekly: count.Draw(t, "weekly"), Monthly: count.Draw(t, "monthly"), Yearly: count.Draw(t, "yearly"),
	}
	p.Within = rapid.SampledFrom([]time.Duration{0, 0, 0, time.Hour, 36 * time.Hour, 7 * testDay, 60 * testDay}).Draw(t, "within")
	p.Tags = rapid.SampledFrom([][]string{nil, nil, {"x"}, {"y", "nobody"}}).Draw(t, "tags")
	if p.Empty() {
		p.Last = 1
	}
	return p
}

func drawZone(t *rapid.T) *time.Location {
	return zoned(t, rapid.SampledFrom([]string{
		"UTC", "Europe/Berlin", "America/New_York", "America/Nuuk", "Australia/Lord_Howe", "Antarctica/Troll", "Asia/Kathmandu", "Pacific/Apia",
	}).Draw(t, "zone"))
}

// choice is one drawn case.
type choice struct {
	p    Policy
	all  []Snapshot
	now  time.Time
	zone *time.Location
}

// draw makes a case on which can be decided: not one that would delete all.
func draw(t *rapid.T, most int) choice {
	c := choice{p: drawPolicy(t), zone: drawZone(t)}
	c.all, c.now = drawHistory(t, most, c.zone)
	var refused *DeleteAllError
	if _, err := Decide(c.p, c.all, c.now, c.zone); errors.As(err, &refused) {
		c.p.Last = 1
	}
	return c
}

// kept is the set of those that stay.
func (c choice) kept(t rapid.TB) map[snapshot.ID]bool {
	t.Helper()
	decisions, err := Decide(c.p, c.all, c.now, c.zone)
	if err != nil {
		t.Fatal(err)
	}
	stay := map[snapshot.ID]bool{}
	for _, d := range decisions {
		if d.Keep {
			stay[d.ID] = true
		}
	}
	return stay
}

// after is the case with only those that stay.
func (c choice) after(stay map[snapshot.ID]bool) choice {
	var left []Snapshot
	for _, s := range c.all {
		if stay[s.ID] {
			left = append(left, s)
		}
	}
	c.all = left
	return c
}

// difference is what one set has and the other has not.
func difference(a, b map[snapshot.ID]bool) string {
	var lines []string
	for id := range a {
		if !b[id] {
			lines = append(lines, "only the first keeps "+string(id))
		}
	}
	for id := range b {
		if !a[id] {
			lines = append(lines, "only the second keeps "+string(id))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// checkCases holds each drawn case against a promise.
func checkCases(t *testing.T, most int, promise func(*rapid.T, choice)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) { promise(t, draw(t, most)) })
}

func TestDecidesAsTheNaiveOneDoes(t *testing.T) {
	compare := func(t *rapid.T, c choice) {
		want := map[snapshot.ID]bool{}
		for _, s := range c.all {
			if naive(c).keeps(s) {
				want[s.ID] = true
			}
		}
		if d := difference(c.kept(t), want); d != "" {
			t.Errorf("second is the naive one:\n%s", d)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 5 { // what is rare is to be met in each run
			compare(t, draw(t, 40))
		}
	})
}

func TestAGoodOneAlwaysStays(t *testing.T) {
	checkCases(t, 30, func(t *rapid.T, c choice) {
		stay := c.kept(t)
		good := naive(c).good(func(Snapshot) bool { return true })
		if len(good) == 0 {
			return
		}
		newest := slices.MaxFunc(good, func(a, b Snapshot) int {
			if newer(a, b) {
				return 1
			}
			return -1
		})
		if !stay[newest.ID] {
			t.Errorf("the newest good one, %s, goes", newest.ID)
		}
	})
}

func TestNeverGoes(t *testing.T) {
	checkCases(t, 30, func(t *rapid.T, c choice) {
		stay, n := c.kept(t), naive(c)
		for _, s := range c.all {
			newestVerified := s.Passed && n.sane(s) && len(n.those(func(o Snapshot) bool { return o.Passed && newer(o, s) })) == 0
			if !stay[s.ID] && (s.Pinned || s.PinnedUnknown || s.Doubt || !n.sane(s) || newestVerified) {
				t.Errorf("%+v goes", s)
			}
		}
	})
}

func TestEachHasAReasonAndTheOrderIsThatOfTheData(t *testing.T) {
	checkCases(t, 30, func(t *rapid.T, c choice) {
		decisions, err := Decide(c.p, c.all, c.now, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		byID := map[snapshot.ID]Snapshot{}
		for _, s := range c.all {
			byID[s.ID] = s
		}
		if len(decisions) != len(c.all) {
			t.Fatalf("%d decisions on %d snapshots", len(decisions), len(c.all))
		}
		for i, d := range decisions {
			if len(d.Reasons) == 0 || slices.Contains(d.Reasons, "") {
				t.Errorf("%s: reasons %q", d.ID, d.Reasons)
			}
			if i > 0 && !newer(byID[decisions[i-1].ID], byID[d.ID]) {
				t.Errorf("%s comes before %s", decisions[i-1].ID, d.ID)
			}
		}
	})
}

func TestOrderOfTheInputDoesNotMatter(t *testing.T) {
	checkCases(t, 30, func(t *rapid.T, c choice) {
		want, err := Decide(c.p, c.all, c.now, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		mixed := slices.Clone(c.all)
		seed := rapid.Uint64().Draw(t, "order")
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		given := slices.Clone(mixed)
		got, err := Decide(c.p, mixed, c.now, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("\n got %v\nwant %v", got, want)
		}
		if fmt.Sprint(mixed) != fmt.Sprint(given) {
			t.Error("the input was changed")
		}
	})
}

func TestWhatStaysStaysAgain(t *testing.T) {
	checkCases(t, 40, func(t *rapid.T, c choice) {
		once := c.kept(t)
		if d := difference(once, c.after(once).kept(t)); d != "" {
			t.Error(d)
		}
	})
}

// A bigger count never keeps less. A rule where there was none may: unverified
// snapshots stay while no count is full, and its may be.
func TestABiggerCountNeverKeepsLess(t *testing.T) {
	checkCases(t, 30, func(t *rapid.T, c choice) {
		bigger := c
		more := rapid.IntRange(1, 3).Draw(t, "more")
		counts := []*int{&bigger.p.Last, &bigger.p.Hourly, &bigger.p.Daily, &bigger.p.Weekly, &bigger.p.Monthly, &bigger.p.Yearly}
		counts = slices.DeleteFunc(counts, func(n *int) bool { return *n == 0 })
		which := rapid.IntRange(0, len(counts)).Draw(t, "which")
		switch {
		case which < len(counts):
			*counts[which] += more
		case c.p.Within > 0:
			bigger.p.Within += time.Duration(more) * 40 * time.Hour
		default:
			return
		}
		less, stay := c.kept(t), bigger.kept(t)
		maps.DeleteFunc(less, func(id snapshot.ID, _ bool) bool { return stay[id] })
		if len(less) > 0 {
			t.Errorf("%+v keeps %v, and %+v does not", c.p, less, bigger.p)
		}
	})
}

// Snapshots with clocks that cannot be right stay, and change nothing for the
// others, however many there are.
func TestWrongClocksChangeNothingForOthers(t *testing.T) {
	checkCases(t, 30, func(t *rapid.T, c choice) {
		without := c.kept(t)
		with := c
		with.all = slices.Clone(c.all)
		for i := range rapid.IntRange(1, 30).Draw(t, "wrong") {
			s := newSnapshot(c.now.Add(-time.Duration(i)*13*time.Hour), 1000+i)
			s.Passed = true
			breakClock(&s, i%5)
			with.all = append(with.all, s)
			without[s.ID] = true
		}
		if d := difference(without, with.kept(t)); d != "" {
			t.Error(d)
		}
	})
}

// This host's clock costs nothing either: where it is behind, everything stays;
// where it is ahead, all is as it was.
func TestAWrongNowCostsNothing(t *testing.T) {
	checkCases(t, 30, func(t *rapid.T, c choice) {
		c.all = slices.DeleteFunc(c.all, func(s Snapshot) bool { return !naive(c).sane(s) })
		ahead, behind := c, c
		ahead.now = c.now.AddDate(rapid.IntRange(1, 300).Draw(t, "years"), 0, 0)
		if d := difference(c.kept(t), ahead.kept(t)); d != "" {
			t.Errorf("second is years ahead:\n%s", d)
		}
		behind.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if stay := behind.kept(t); len(stay) != len(c.all) {
			t.Errorf("%d of %d stay", len(stay), len(c.all))
		}
	})
}

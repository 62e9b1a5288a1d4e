package retention

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redisbak/redisbak/snapshot"
)

// pruneEach prunes after each snapshot, in the order in which they come, and
// returns what is left. now is when the last of those was finished whose clocks
// can be right.
func pruneEach(t rapid.TB, c choice) map[snapshot.ID]bool {
	t.Helper()
	left, now := c, time.Time{}
	left.all = nil
	prune := func() {
		decisions, err := Decide(left.p, left.all, left.now, left.zone)
		var refused *DeleteAllError // nobody carries the tag yet
		if errors.As(err, &refused) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		gone := map[snapshot.ID]bool{}
		for _, d := range decisions {
			gone[d.ID] = !d.Keep
		}
		left.all = slices.DeleteFunc(left.all, func(s Snapshot) bool { return gone[s.ID] })
	}
	for _, s := range c.all {
		if naive(c).sane(s) && s.Finished.After(now) {
			now = s.Finished
		}
		left.all = append(left.all, s)
		if left.now = now; now.IsZero() {
			left.now = s.Finished
		}
		prune()
	}
	left.now = c.now
	prune()
	ids := map[snapshot.ID]bool{}
	for _, s := range left.all {
		ids[s.ID] = true
	}
	return ids
}

// To prune after each snapshot leaves what one prune at the end leaves, by each
// rule, and with the oldest one kept too. For what a rule keeps at the end it
// has kept all the time: newer ones only come, so that places are only taken;
// the reference only moves on; a history that is not full at the end never was.
// And what takes the places at the end is kept itself.
//
// It holds in whatever order they come: late ones, copied from elsewhere, and
// those whose clock is wrong today and right tomorrow. It cannot hold where
// what is known of one changes in between. Where the newest of a day fails its
// verification a week later, the one before it is gone, and would have its
// place; where one is verified late, older unverified ones stayed until then,
// and go now; where a pin is taken off, or one is deleted by hand, nothing that
// it had replaced comes back. Here all that stays fixed.
func TestPruningAfterEachOneIsPruningOnce(t *testing.T) {
	checkCases(t, 60, func(t *rapid.T, c choice) {
		for range rapid.IntRange(0, 3).Draw(t, "late ones") {
			if len(c.all) > 0 {
				from, to := rapid.IntRange(0, len(c.all)-1).Draw(t, "from"), rapid.IntRange(0, len(c.all)-1).Draw(t, "to")
				s := c.all[from]
				c.all = slices.Insert(slices.Delete(slices.Clone(c.all), from, from+1), to, s)
			}
		}
		if d := difference(c.kept(t), pruneEach(t, c)); d != "" {
			t.Errorf("second is pruned after each:\n%s", d)
		}
	})
}

// A year of two snapshots a day, of which each fiftieth is not good, until
// Sunday, 28 February 2027, with usual policies. The numbers are counted by
// hand.
func TestAYear(t *testing.T) {
	everyOne := func(int) bool { return true }
	weekly := func(i int) bool { return i%14 == 0 }
	never := func(int) bool { return false }
	untilMay := func(i int) bool { return i < 120 }
	usual := Policy{Last: 3, Daily: 7, Weekly: 4}
	within := Policy{Within: 7 * testDay}
	long := Policy{Hourly: 24, Monthly: 12, Yearly: 3}
	for _, tt := range []struct {
		name   string
		p      Policy
		passed func(i int) bool
		stay   int
	}{
		{"usual, each verified", usual, everyOne, 8 + 3},               // of 7 days, with 2 of the last; of 3 more weeks
		{"usual, one a week verified", usual, weekly, 8 + 3},           // it frees all before it
		{"usual, never verified", usual, never, 8 + 3 + 15},            // and all that are not good
		{"usual, verified until May", usual, untilMay, 8 + 3 + 1 + 12}, // the newest verified one, and what was not good since
		{"within, each verified", within, everyOne, 15},
		{"within, one a week verified", within, weekly, 15},
		{"within, never verified", within, never, 15 + 15},
		{"within, verified until May", within, untilMay, 15 + 1 + 12},
		{"long, each verified", long, everyOne, 24 + 11 + 1}, // hours, months before, the oldest
		{"long, one a week verified", long, weekly, 24 + 11 + 1},
		{"long, never verified", long, never, 24 + 11 + 1 + 15},
		{"long, verified until May", long, untilMay, 24 + 11 + 1 + 1 + 12},
		{"last, each verified", Policy{Last: 1}, everyOne, 1},
		{"last, one a week verified", Policy{Last: 1}, weekly, 1 + 1},
		{"last, never verified", Policy{Last: 1}, never, 1 + 15},
		{"last, verified until May", Policy{Last: 1}, untilMay, 1 + 1 + 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := choice{p: tt.p, zone: zoned(t, "Europe/Berlin")}
			begin := time.Date(2026, 3, 1, 3, 15, 0, 0, c.zone)
			for i := range 730 {
				s := newSnapshot(begin.Add(time.Duration(i)*12*time.Hour), i)
				s.Passed, s.Good = tt.passed(i), i%50 != 3
				c.all = append(c.all, s)
			}
			c.now = c.all[len(c.all)-1].Finished
			once := c.kept(t)
			if len(once) != tt.stay {
				t.Errorf("%d stay, want %d", len(once), tt.stay)
			}
			if d := difference(once, pruneEach(t, c)); d != "" {
				t.Errorf("second is pruned after each:\n%s", d)
			}
		})
	}
}

// A long history is decided in one walk: see the benchmark, by snapshot. Here
// it must only be right.
func TestTenThousand(t *testing.T) {
	c := long(10_000)
	decisions, err := Decide(c.p, c.all, c.now, c.zone)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, d := range decisions {
		for _, reason := range d.Reasons {
			rule, _, _ := strings.Cut(reason, " ")
			got[rule]++
		}
	}
	// They begin in November 2039: of years there are two.
	want := map[string]int{"last": 10, "hourly": 48, "daily": 14, "weekly": 8, "monthly": 12, "yearly": 2, "oldest,": 1, "within": 49, "newest": 1}
	for rule, n := range want {
		if got[rule] != n {
			t.Errorf("%s keeps %d, want %d", rule, got[rule], n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := long(n)
			for b.Loop() {
				if _, err := Decide(c.p, c.all, c.now, c.zone); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/snapshot")
		})
	}
}

// long is one snapshot an hour until the end of 2040, all of them verified.
func long(n int) choice {
	end := time.Date(2040, 12, 31, 23, 30, 0, 0, time.UTC)
	c := choice{zone: time.UTC, now: end.Add(time.Hour), p: Policy{
		Last: 10, Hourly: 48, Daily: 14, Weekly: 8, Monthly: 12, Yearly: 3, Within: 48 * time.Hour,
	}}
	for i := range n {
		s := newSnapshot(end.Add(-time.Duration(i)*time.Hour), 0)
		s.Passed = true
		c.all = append(c.all, s)
	}
	return c
}

package repo

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redisbak/redisbak/snapshot"
)

// series is one snapshot per letter, a day apart: g good, s suspect, f failed.
func series(t testing.TB, kinds string) []Entry {
	var all []Entry
	for i, kind := range kinds {
		e := Entry{Manifest: describe(newID(t, day(1+i), uint64(i)), "sessions")}
		switch kind {
		case 's':
			e.Manifest.State = snapshot.Suspect
		case 'f':
			e.Proof = &snapshot.Proof{Result: snapshot.Failed}
		}
		all = append(all, e)
	}
	return all
}

func TestChooseTakesTheNewestGoodOne(t *testing.T) {
	midnight := func(n int) time.Time { return time.Date(2026, 2, n, 0, 0, 0, 0, time.UTC) }
	latest := Latest
	before := func(at time.Time) func([]Entry) (Choice, error) {
		return func(e []Entry) (Choice, error) { return AtOrBefore(e, at) }
	}
	in := func(n int) func([]Entry) (Choice, error) {
		return func(e []Entry) (Choice, error) { return InDay(e, midnight(n), midnight(n+1)) }
	}
	pit := func(n int) time.Time { return day(n).Add(time.Second) }
	for _, c := range []struct {
		name          string
		kinds         string
		choose        func([]Entry) (Choice, error)
		want          int   // the day that is chosen, 0: none
		skipped       []int // days
		before, after int   // of the error
	}{
		{"the last", "ggg", latest, 3, nil, 0, 0},
		{"past what is not good", "ggsf", latest, 2, []int{4, 3}, 0, 0},
		{"none good", "sf", latest, 0, []int{2, 1}, 0, 0},
		{"none at all", "", latest, 0, nil, 0, 0},
		{"at an instant", "ggg", before(pit(2)), 2, nil, 0, 0},
		{"just before an instant", "ggg", before(pit(2).Add(-1)), 1, nil, 0, 0},
		{"before, past what is not good", "gsgg", before(day(3)), 1, []int{2}, 0, 0},
		{"before the first", "sgg", before(day(2)), 0, []int{1}, 0, 2},
		{"a day", "ggg", in(2), 2, nil, 0, 0},
		{"a day whose only one is not good", "gsg", in(2), 0, []int{2}, 1, 3},
		{"a day without any, with others near", "gsgsg", in(4), 0, []int{4}, 3, 5},
		{"a day after all", "gs", in(9), 0, nil, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := series(t, c.kinds)
			at := func(n int) *Entry {
				if n == 0 {
					return nil
				}
				return &all[n-1]
			}
			var skipped []Entry
			for _, n := range c.skipped {
				skipped = append(skipped, all[n-1])
			}
			got, err := c.choose(all)
			if c.want > 0 {
				if err != nil || !reflect.DeepEqual(got, Choice{Entry: all[c.want-1], Skipped: skipped}) {
					t.Errorf("chose %v past %v, %v", got.Entry.Manifest, ids(got.Skipped), err)
				}
				return
			}
			var none *NoSnapshotError
			if !errors.As(err, &none) || !errors.Is(err, ErrNotFound) {
				t.Fatalf("chose %v, %v", got.Entry.Manifest, err)
			}
			if !reflect.DeepEqual(none.Before, at(c.before)) || !reflect.DeepEqual(none.After, at(c.after)) || !reflect.DeepEqual(none.Skipped, skipped) {
				t.Errorf("%v, skipped %v", err, ids(none.Skipped))
			}
		})
	}
}

func TestChooseSaysWhatIsNear(t *testing.T) {
	all := series(t, "gsg")
	_, err := InDay(all, day(2).Truncate(24*time.Hour), day(3).Truncate(24*time.Hour))
	want := "no good snapshot of sessions from 2026-02-02T00:00:00Z to 2026-02-03T00:00:00Z; " +
		"nearest before: " + string(all[0].Manifest.ID) + " (2026-02-01T03:15:03Z); " +
		"nearest after: " + string(all[2].Manifest.ID) + " (2026-02-03T03:15:03Z)"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// Whatever lies there, in whatever order: what is chosen is good and in the
// window, and no good one in the window is newer.
func TestChooseProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kinds := rapid.StringOfN(rapid.RuneFrom([]rune("gsf")), 0, 20, -1).Draw(rt, "kinds")
		all := series(t, kinds)
		from := day(rapid.IntRange(0, 22).Draw(rt, "from"))
		to := from.Add(time.Duration(rapid.IntRange(0, 100).Draw(rt, "hours")) * time.Hour)
		inside := func(e Entry) bool {
			at := e.Manifest.PointInTime
			return !at.Before(from) && at.Before(to)
		}
		shuffled := rapid.Permutation(all).Draw(rt, "order")
		got, err := InDay(shuffled, from, to)
		var best *Entry
		skipped := 0
		for i := range all {
			if inside(all[i]) && all[i].Good() {
				best, skipped = &all[i], 0
			} else if inside(all[i]) {
				skipped++
			}
		}
		var none *NoSnapshotError
		switch {
		case best == nil && !errors.As(err, &none):
			rt.Fatalf("chose %v, %v", got.Entry.Manifest, err)
		case best == nil:
			if len(none.Skipped) != skipped {
				rt.Fatalf("skipped %v", ids(none.Skipped))
			}
		case err != nil || got.Entry.Manifest.ID != best.Manifest.ID || len(got.Skipped) != skipped:
			rt.Fatalf("chose %v past %v, %v, want %s", got.Entry.Manifest, ids(got.Skipped), err, best.Manifest.ID)
		}
	})
}

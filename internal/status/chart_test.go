package status

import (
	"testing"
	"time"
)

// Three snapshots, the first with a tenth of the keys, in numbers that can be
// worked out by hand: the field is 1000 by 100, and a tenth of the highest
// value is left free above it.
func TestChartIsDrawnToScale(t *testing.T) {
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	s := Source{Name: "a", Snapshots: []Snapshot{
		{PointInTime: at.Add(4 * time.Hour), Keys: pointer[int64](1100), Good: true},
		{PointInTime: at.Add(1 * time.Hour), Keys: pointer[int64](550), Good: true, Verified: VerifyFailed},
		{PointInTime: at, Keys: pointer[int64](110)},
	}}
	all := charts(s, time.UTC)
	if len(all) != 2 || all[0].Name != "size" || all[1].Name != "keys" {
		t.Fatalf("charts %+v, want size and keys: nothing is known of the duration", all)
	}
	c := all[1]
	if want := "M0.0 90.9L250.0 54.5L1000.0 9.1"; c.Line != want {
		t.Errorf("line %s, want %s", c.Line, want)
	}
	if want := "M0.0 90.9L250.0 54.5L1000.0 9.1L1000.0 100L0.0 100Z"; c.Area != want {
		t.Errorf("area %s, want %s", c.Area, want)
	}
	if len(c.Dots) != 3 || c.Dots[0].Class != "is-suspect" || c.Dots[1].Class != "is-failed" || c.Dots[2].Class != "is-good" {
		t.Errorf("dots %+v", c.Dots)
	}
	if want := "2026-02-01 01:00: 550, verification failed"; c.Dots[1].Title != want {
		t.Errorf("title %q, want %q", c.Dots[1].Title, want)
	}
	if want := "Keys of a in 3\u00a0snapshots from 2026-02-01 to 2026-02-01: 110 to 1,100, last 1,100"; c.Text != want {
		t.Errorf("text %q, want %q", c.Text, want)
	}
}

// A value that is not known is a gap, and no 0.
func TestChartLeavesAGapWhereNothingIsKnown(t *testing.T) {
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	var s Source
	for i, keys := range []*int64{pointer[int64](10), pointer[int64](10), nil, pointer[int64](10), pointer[int64](10)} {
		s.Snapshots = append(s.Snapshots, Snapshot{PointInTime: at.Add(time.Duration(i) * time.Hour), Keys: keys, Good: true})
	}
	c := charts(s, time.UTC)[1]
	if want := "M0.0 9.1L250.0 9.1M750.0 9.1L1000.0 9.1"; c.Line != want {
		t.Errorf("line %s, want %s", c.Line, want)
	}
	if want := "M0.0 9.1L250.0 9.1L250.0 100L0.0 100ZM750.0 9.1L1000.0 9.1L1000.0 100L750.0 100Z"; c.Area != want {
		t.Errorf("area %s, want %s", c.Area, want)
	}
	if c.Points != 4 || c.Range != "always 10" {
		t.Errorf("%d points, %s", c.Points, c.Range)
	}
}

func TestChartsAreOfTheNewestAndBounded(t *testing.T) {
	s := Source{Snapshots: history(1000, now(), time.Hour)}
	c := charts(s, time.UTC)[0]
	if c.Points != maxPoints || len(c.Dots) != 0 || c.Last != "2026-02-08" {
		t.Errorf("%d points, %d dots, until %s", c.Points, len(c.Dots), c.Last)
	}
	s.Snapshots[50].Good = false
	if c := charts(s, time.UTC)[0]; len(c.Dots) != 1 {
		t.Errorf("%d dots, want one, of the one that is not good", len(c.Dots))
	}
	if got := charts(Source{Snapshots: history(1, now(), time.Hour)}, time.UTC); len(got) != 0 {
		t.Errorf("%d charts of one snapshot", len(got))
	}
	zero := charts(Source{Snapshots: []Snapshot{{PointInTime: now()}, {PointInTime: now()}}}, time.UTC)[0]
	if zero.Line != "M500.0 100.0L500.0 100.0" {
		t.Errorf("two empty ones of one instant: %s", zero.Line)
	}
}

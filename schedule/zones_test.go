package schedule

import (
	"testing"
	"time"
	_ "time/tzdata" // a host without zone files must run these tests too
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func spec(t testing.TB, text string, z *time.Location) Spec {
	t.Helper()
	s, err := Parse(text, z)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05 -0700", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// ticks lists the ticks after one instant and not after another, by the clock
// of the spec's zone.
func ticks(t testing.TB, s Spec, from, to string) (list []string) {
	t.Helper()
	end := instant(t, to)
	for at := s.Next(instant(t, from)); !at.After(end); at = s.Next(at) {
		list = append(list, at.Format("02 15:04:05 -0700"))
		if len(list) > 500 {
			t.Fatalf("more than 500 ticks, the last at %s", at)
		}
	}
	return list
}

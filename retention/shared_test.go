package retention

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// FAULT 53: where two containers write snapshots of one source in turn, the
// newest of a day would hide the other's. A container that was made anew does
// not come back.
func TestFault53TwoContainersThatShareASource(t *testing.T) {
	for name, c := range map[string]struct {
		history string // a letter a container, newest first
		shared  string // the two
	}{
		"one":                         {"AAAAAAAAA", ""},
		"made anew":                   {"AAABBB", ""},
		"made anew twice":             {"ABBC", ""},
		"in turn":                     {"ABA", "AB"},
		"in turn, much more of one":   {"AAABAA", "AB"},
		"three of them":               {"ACBBC", "CB"},
		"in turn, until a week ago":   {"AAAAAAABABAB", ""},
		"in turn, just in the window": {"AAAAABABAB", "AB"},
		"nothing":                     {"", ""},
	} {
		now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
		var all []Snapshot
		for i, letter := range c.history {
			s := newSnapshot(now.Add(-time.Duration(i)*12*time.Hour), i)
			s.Good, s.Container = true, strings.Repeat(string(letter), 64)
			all = append(all, s)
		}
		_, err := Decide(Policy{Last: 2}, all, now, time.UTC)
		var shared *SharedError
		if errors.As(err, &shared) != (c.shared != "") || err != nil && shared == nil {
			t.Errorf("%s: %v", name, err)
		}
		if shared != nil && shared.Containers[0][:1]+shared.Containers[1][:1] != c.shared {
			t.Errorf("%s: %v, want %s", name, err, c.shared)
		}
	}
}

package retention

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // a host without zone files must run these tests too

	"pgregory.net/rapid"

	"github.com/redisbak/redisbak/snapshot"
)

// A history is written with what is expected of it, newest first:
//
//	2026-02-08 03:15  passed tag=x  | keep | last 1 of 3, tag x
//
// The words are what is known of the snapshot; without one it is good, and
// never verified.
func readHistory(t testing.TB, text string, zone *time.Location) (all []Snapshot, want []Decision) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		columns := strings.Split(line, "|")
		if len(columns) != 3 {
			t.Fatalf("%q: not three columns", line)
		}
		words := strings.Fields(columns[0])
		at, words := readTime(t, words, zone)
		s := newSnapshot(at, len(all))
		for _, word := range words {
			describe(t, &s, word)
		}
		all = append(all, s)
		want = append(want, Decision{ID: s.ID, Keep: strings.TrimSpace(columns[1]) == "keep", Reasons: []string{strings.TrimSpace(columns[2])}})
	}
	return all, want
}

// readTime takes an instant from the first words, local or with its offset.
func readTime(t testing.TB, words []string, zone *time.Location) (time.Time, []string) {
	t.Helper()
	if at, err := time.Parse(time.RFC3339, words[0]); err == nil {
		return at, words[1:]
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", words[0]+" "+words[1], zone)
	if err != nil {
		t.Fatal(err)
	}
	return at, words[2:]
}

// newSnapshot is a good snapshot of an instant; of two of one instant, the lower number
// is the newer one.
func newSnapshot(at time.Time, number int) Snapshot {
	return Snapshot{
		ID:   snapshot.ID(fmt.Sprintf("%s-%04d", at.UTC().Format("20060102T150405Z"), 9999-number)),
		Time: at.UTC(), Started: at.Add(-10 * time.Second), Finished: at.Add(time.Minute), Good: true,
	}
}

func describe(t testing.TB, s *Snapshot, word string) {
	t.Helper()
	name, value, _ := strings.Cut(word, "=")
	switch name {
	case "passed":
		s.Passed = true
	case "bad":
		s.Good = false
	case "doubt":
		s.Doubt = true
	case "damaged":
		s.Damaged = true
	case "pinned":
		s.Pinned = true
	case "marks?":
		s.PinnedUnknown = true
	case "tag":
		s.Tags = append(s.Tags, value)
	case "began", "ended":
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			t.Fatal(err)
		}
		if name == "began" {
			s.Started = at
		} else {
			s.Finished = at
		}
	default:
		t.Fatalf("%q: no such word", word)
	}
}

// checkHistory decides on a history, and on its reverse, and compares.
func checkHistory(t *testing.T, p Policy, now time.Time, zone *time.Location, text string) {
	t.Helper()
	all, want := readHistory(t, text, zone)
	for _, order := range []string{"newest first", "oldest first"} {
		got, err := Decide(p, all, now, zone)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %d decisions on %d snapshots", order, len(got), len(want))
		}
		for i, d := range got {
			if d.ID != want[i].ID || d.Keep != want[i].Keep || strings.Join(d.Reasons, ", ") != want[i].Reasons[0] {
				t.Errorf("%s: %s\n got keep=%v: %s\nwant %s keep=%v: %s", order, d.ID, d.Keep, strings.Join(d.Reasons, ", "), want[i].ID, want[i].Keep, want[i].Reasons[0])
			}
		}
		slices.Reverse(all)
	}
}

func zoned(t rapid.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

const testDay = 24 * time.Hour

// Fault 46: a policy that cannot be meant is refused, and says which rule.
func TestFault46PolicyThatCannotBeMeant(t *testing.T) {
	one := []Snapshot{newSnapshot(instant(t, "2026-02-08T03:15:00Z"), 0)}
	for want, p := range map[string]Policy{
		"retention policy: is empty: it would keep nothing": {},
		"retention policy: last: -1 is negative":            {Last: -1},
		"retention policy: hourly: -2 is negative":          {Last: 1, Hourly: -2},
		"retention policy: daily: -1 is negative":           {Last: 1, Daily: -1},
		"retention policy: weekly: -1 is negative":          {Last: 1, Weekly: -1},
		"retention policy: monthly: -1 is negative":         {Last: 1, Monthly: -1},
		"retention policy: yearly: -1 is negative":          {Last: 1, Yearly: -1},
		"retention policy: within: -1h0m0s is negative":     {Last: 1, Within: -time.Hour},
		"retention policy: tag: is empty":                   {Last: 1, Tags: []string{"x", ""}},
	} {
		for _, all := range [][]Snapshot{nil, one} {
			_, err := Decide(p, all, instant(t, "2026-02-09T00:00:00Z"), time.UTC)
			var refused *PolicyError
			if !errors.As(err, &refused) || err.Error() != want {
				t.Errorf("%+v: %v, want %s", p, err, want)
			}
		}
	}
	for _, p := range []Policy{
		{Last: 1}, {Hourly: 1}, {Daily: 1}, {Weekly: 1}, {Monthly: 1}, {Yearly: 1}, {Within: 1}, {Tags: []string{"x"}},
	} {
		if err := p.Validate(); err != nil || p.Empty() {
			t.Errorf("%+v: %v, empty %v", p, err, p.Empty())
		}
	}
}

func TestInputThatCannotBeRightIsRefused(t *testing.T) {
	now := instant(t, "2026-02-09T00:00:00Z")
	sound := newSnapshot(instant(t, "2026-02-08T03:15:00Z"), 0)
	broken := func(change func(*Snapshot)) []Snapshot {
		s := newSnapshot(instant(t, "2026-02-07T03:15:00Z"), 0)
		change(&s)
		return []Snapshot{sound, s}
	}
	const id = "retention: snapshot 20260207T031500Z-9999: "
	for _, tt := range []struct {
		want string
		all  []Snapshot
		now  time.Time
		zone *time.Location
	}{
		{"retention: no time is given", nil, time.Time{}, time.UTC},
		{"retention: no time zone is given", nil, now, nil},
		{"retention: a snapshot has no id", broken(func(s *Snapshot) { s.ID = "" }), now, time.UTC},
		{"retention: snapshot " + string(sound.ID) + ": is there twice", broken(func(s *Snapshot) { s.ID = sound.ID }), now, time.UTC},
		{id + "a time is missing", broken(func(s *Snapshot) { s.Time = time.Time{} }), now, time.UTC},
		{id + "a time is missing", broken(func(s *Snapshot) { s.Started = time.Time{} }), now, time.UTC},
		{id + "a time is missing", broken(func(s *Snapshot) { s.Finished = time.Time{} }), now, time.UTC},
	} {
		_, err := Decide(Policy{Last: 1}, tt.all, tt.now, tt.zone)
		var refused *InputError
		if !errors.As(err, &refused) || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

// Fault 46: nothing that would delete all of the good ones is carried out.
func TestFault46PolicyThatWouldDeleteAll(t *testing.T) {
	p := Policy{Tags: []string{"nobody"}}
	all := []Snapshot{newSnapshot(instant(t, "2026-02-08T03:15:00Z"), 0), newSnapshot(instant(t, "2026-02-07T03:15:00Z"), 1)}
	all[0].Pinned, all[1].Passed = true, true // neither a pin nor a proof is the policy's rule
	now := instant(t, "2026-02-09T00:00:00Z")
	_, err := Decide(p, all, now, time.UTC)
	var refused *DeleteAllError
	if !errors.As(err, &refused) || refused.Good != 2 || !strings.Contains(err.Error(), "none of the good snapshots, of which there are 2") {
		t.Errorf("%v", err)
	}
	for i := range all {
		all[i].Good = false
	}
	if got, err := Decide(p, all, now, time.UTC); err != nil || len(got) != 2 {
		t.Errorf("none is good, so none that is good would go: %v %v", got, err)
	}
}

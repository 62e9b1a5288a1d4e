package backup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// The shrink guard: a capture below half of the median of its last good
// predecessors is suspect. Whoever flushed, or attached an empty volume, hears
// of it on that very night, and no retention rule counts it as a good copy.
const (
	judgeBy    = 7
	judgeBelow = 0.5
)

// Measure is what the shrink guard compares.
type Measure struct {
	Method string
	Keys   *int64 // nil: unknown
	Bytes  int64  // raw size of the payload
}

// Verdict of Judge.
type Verdict struct {
	State    snapshot.State
	Reason   string
	Warnings []string
}

// Judge compares a capture with its predecessors, newest first, of which only
// the good ones count, and none older than the newest accepted one: accepting
// a drop makes a new baseline.
func Judge(m Measure, history []repo.Entry) Verdict {
	var keys, bytes []int64
	for _, e := range history {
		if !e.Good() {
			continue
		}
		if len(keys) < judgeBy {
			if k := e.Keys(); k != nil {
				keys = append(keys, *k)
			}
		}
		if len(bytes) < judgeBy && m.Method == snapshot.MethodRDB && e.Manifest.Method == snapshot.MethodRDB {
			bytes = append(bytes, e.Bytes())
		}
		if e.Marks.Accepted {
			break
		}
	}
	var reasons []string
	if mid := median(keys); m.Keys != nil && float64(*m.Keys) < judgeBelow*mid {
		reasons = append(reasons, fmt.Sprintf("%d %s, and %s", *m.Keys, noun(*m.Keys, "key"), usual(len(keys), mid)))
	}
	if mid := median(bytes); float64(m.Bytes) < judgeBelow*mid {
		reasons = append(reasons, fmt.Sprintf("%d %s, and %s", m.Bytes, noun(m.Bytes, "byte"), usual(len(bytes), mid)))
	}
	if len(reasons) > 0 {
		return Verdict{State: snapshot.Suspect, Reason: joinReasons(reasons)}
	}
	v := Verdict{State: snapshot.Good}
	if m.Keys != nil && *m.Keys == 0 {
		v.Warnings = append(v.Warnings, "the server holds no keys: the snapshot is empty")
	}
	return v
}

func usual(predecessors int, mid float64) string {
	if predecessors == 1 {
		return fmt.Sprintf("the last good snapshot has %.0f", mid)
	}
	return fmt.Sprintf("the median of the last %d good snapshots is %.0f", predecessors, mid)
}

func noun(n int64, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

// measure of a captured manifest.
func measure(m *snapshot.Manifest) Measure {
	got := Measure{Method: m.Method}
	for _, f := range m.Files {
		got.Bytes += f.Size
	}
	if m.Keyspace != nil {
		total := int64(0)
		for _, k := range m.Keyspace {
			total += k.Keys
		}
		got.Keys = &total
	}
	return got
}

// median is 0 for no values at all, so that nothing is below it.
func median(values []int64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return float64(sorted[mid])
	}
	return (float64(sorted[mid-1]) + float64(sorted[mid])) / 2
}

func joinReasons(reasons []string) string { return strings.Join(reasons, "; ") }

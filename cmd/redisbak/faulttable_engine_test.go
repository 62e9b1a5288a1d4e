//go:build engine

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// The table's points are drawn from this seed, the same in each run.
const tableSeed = 2160

// tableRow is a command whose requests to the engine fail, and kill it, in
// turn. What is done to it at full size is said here; the normal run does a
// tenth.
type tableRow struct {
	name            string
	kills, failures int
	// args says what is typed; volume is the restore's, and made for it first
	// where it is to be the user's own.
	args func(source, volume string) []string
	own  bool
}

func tableRows() []tableRow {
	snapshot := func(source, _ string) []string { return []string{"snapshot", source} }
	restore := func(_, volume string) []string { return []string{"restore", "--verify", "--volume", volume} }
	return []tableRow{
		{"snapshot", 230, 165, snapshot, false},
		{"restore into a fresh volume", 230, 130, restore, false},
		{"restore into the user's own volume", 60, 40, restore, true},
	}
}

// FAULTS 20 to 23 and 60 as one table: each request that a command makes is in
// turn the one before which it is killed, after which it is killed, in the
// middle of whose body it is killed, and the one that fails, is not answered or
// is answered in part. What must hold afterwards is in faulted.after.
func TestFaultTableAtTheEngine(t *testing.T) {
	for _, row := range tableRows() {
		t.Run(row.name, func(t *testing.T) { t.Parallel(); row.run(t) })
	}
}

// tally counts what a row came to.
type tally struct {
	points, kills, killed, failures, met, committed, rebooted atomic.Int64
}

func (row tableRow) run(t *testing.T) {
	clean := newFaulted(t, row).cleanRun()
	rng := rand.New(rand.NewPCG(tableSeed, uint64(len(row.name))))
	points := append(tenth(killPoints(rng, clean, row.kills)), tenth(failPoints(rng, clean, row.failures))...)
	rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	var sum tally
	const shard = 24 // a repository with many more snapshots is slow to check
	t.Run("points", func(t *testing.T) {
		for from := 0; from < len(points); from += shard {
			some := points[from:min(from+shard, len(points))]
			t.Run(fmt.Sprint(from), func(t *testing.T) {
				t.Parallel()
				f := newFaulted(t, row)
				f.sum = &sum
				for _, p := range some {
					f.at(p)
				}
				f.end()
			})
		}
	})
	t.Logf("seed %d: %d requests in a clean run; %d points: %d kills of which %d hit, %d failures of which %d hit; %d snapshots came of the faulted runs, %d restored and compared key by key",
		tableSeed, len(clean), sum.points.Load(), sum.kills.Load(), sum.killed.Load(), sum.failures.Load(), sum.met.Load(), sum.committed.Load(), sum.rebooted.Load())
	// A run on a busy machine asks more or less often than the clean one did,
	// and a point may then hit nothing. Of few points that may be some.
	if enough := int64(sized(row.kills/20, row.kills*87/100)); sum.killed.Load() < enough && !t.Failed() {
		t.Errorf("%d kills hit, want %d: this table shows less than it says", sum.killed.Load(), enough)
	}
	if sum.met.Load()*2 < sum.failures.Load() {
		t.Error("half of the failures hit nothing: this table shows less than it says")
	}
}

// tenth is all of them at full size, and else every tenth.
func tenth(points []point) []point { return points[:sized(len(points)/10, len(points))] }

// point is one moment of a command at which something happens to it.
type point struct {
	what  string
	fault enginetest.Fault
	kill  bool
}

func (p point) String() string { return fmt.Sprintf("%s, request %d", p.what, p.fault.Skip) }

// killPoints: before each request, after it, and n in all by offsets within
// bodies and streams.
func killPoints(rng *rand.Rand, clean []enginetest.Request, n int) []point {
	var points, inside []point
	for k, r := range clean {
		points = append(points,
			point{"killed before " + nameOf(r), enginetest.Fault{Drop: true, Skip: k, Times: 1}, true},
			point{"killed after " + nameOf(r), enginetest.Fault{Then: enginetest.Lost, Skip: k, Times: 1}, true})
		// Some bytes less than there were: the next run's stream may be shorter.
		const short = 100
		streams := r.Status == 0 || strings.HasSuffix(r.Path, "/archive")
		for range 40 {
			if streams && r.Up > 2*short {
				at := 1 + rng.Int64N(r.Up-short)
				inside = append(inside, point{fmt.Sprintf("killed after %d bytes of %s", at, nameOf(r)),
					enginetest.Fault{Upload: at, Skip: k, Times: 1}, true})
			}
			if streams && r.Down > 2*short {
				at := rng.Int64N(r.Down - short)
				inside = append(inside, point{fmt.Sprintf("killed after %d bytes of the answer to %s", at, nameOf(r)),
					enginetest.Fault{Bytes: at, Then: enginetest.Broken, Skip: k, Times: 1}, true})
			}
		}
	}
	rng.Shuffle(len(inside), func(i, j int) { inside[i], inside[j] = inside[j], inside[i] })
	if more := n - len(points); more > 0 {
		points = append(points, inside[:min(more, len(inside))]...)
	}
	rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points[:min(n, len(points))]
}

// failPoints: each request is refused, or its connection broken, or its answer
// cut.
func failPoints(rng *rand.Rand, clean []enginetest.Request, n int) []point {
	var points []point
	for k, r := range clean {
		ending, bytes := enginetest.Broken, int64(0)
		if rng.IntN(2) == 0 {
			ending = enginetest.Clean
		}
		if r.Down > 1 {
			bytes = rng.Int64N(r.Down - 1)
		}
		points = append(points,
			point{"500 for " + nameOf(r), enginetest.Fault{Status: 500, Skip: k, Times: 1}, false},
			point{"no connection for " + nameOf(r), enginetest.Fault{Drop: true, Skip: k, Times: 1}, false},
			point{"no answer to " + nameOf(r), enginetest.Fault{Then: enginetest.Lost, Skip: k, Times: 1}, false},
			point{fmt.Sprintf("%d bytes of the answer to %s, ending %d", bytes, nameOf(r), ending),
				enginetest.Fault{Bytes: bytes, Then: ending, Skip: k, Times: 1}, false})
	}
	rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points[:min(n, len(points))]
}

// nameOf is a request without what differs from run to run.
func nameOf(r enginetest.Request) string {
	parts := strings.Split(r.Path, "/")
	if len(parts) > 2 && r.Path != "/containers/create" && r.Path != "/containers/json" && r.Path != "/volumes/create" {
		parts[2] = "…"
	}
	return r.Method + " " + strings.Join(parts, "/")
}

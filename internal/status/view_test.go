package status

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// now is the moment of all views in these tests.
func now() time.Time { return time.Date(2026, 2, 8, 13, 4, 30, 0, time.UTC) }

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func pointer[T any](x T) *T { return &x }

// id is that of a snapshot begun then.
func id(at time.Time, random string) string {
	return at.UTC().Format("20060102T150405Z") + "-" + random
}

// history is a source's snapshots, one each interval, the newest first, with
// numbers that differ from one to the next.
func history(n int, newest time.Time, interval time.Duration) []Snapshot {
	var all []Snapshot
	for i := range n {
		at := newest.Add(-time.Duration(i) * interval)
		grown := int64(n - i)
		all = append(all, Snapshot{
			ID: id(at, fmt.Sprintf("%04d", i)), PointInTime: at.Add(123 * time.Millisecond), FinishedAt: at.Add(9 * time.Second),
			Method: "rdb", State: "good", Good: true,
			Verified: VerifyPassed, VerifiedAt: at.Add(21 * time.Second),
			Keys: pointer(1_200_000 + 4_321*grown + 977*(grown%5)), SizeBytes: 812_345_678 + 6_543_210*grown + 999_999*(grown%3), StoredBytes: 201_234_567 + 1_234_567*grown,
			Phases: []Phase{
				{PhaseCapture, time.Duration(8_000+137*(grown%7)) * time.Millisecond},
				{PhaseFill, time.Duration(2_100+11*grown) * time.Millisecond},
				{PhaseLoad, time.Duration(3_050+29*grown) * time.Millisecond},
				{PhaseQuestion, 1_500 * time.Millisecond},
			},
		})
	}
	return all
}

// sessions is a source of all that can be said of snapshots.
func sessions() Source {
	s := Source{
		Name: "sessions", Container: "redis-server", Schedule: "15 3 * * *", State: OK,
		Next: time.Date(2026, 2, 9, 2, 15, 0, 0, time.UTC), MissedRuns: 2,
		LastAttempt: Attempt{At: time.Date(2026, 2, 8, 2, 15, 2, 0, time.UTC), Result: Success, Duration: 23*time.Second + 400*time.Millisecond},
		Runs:        []Runs{{Success, 31}, {"failed", 1}},
		Snapshots:   history(30, time.Date(2026, 2, 8, 2, 15, 2, 0, time.UTC), day),
	}
	s.Snapshots[4].Pinned, s.Snapshots[4].Tags = true, []string{"before-upgrade", "v8"}
	suspect := &s.Snapshots[7]
	suspect.State, suspect.Good, suspect.StateReason = "suspect", false, "12,345 keys, where the median of the last 7 good ones is 1,300,000"
	suspect.Keys, suspect.SizeBytes, suspect.StoredBytes = pointer[int64](12_345), 8_765_432, 2_345_678
	failed := &s.Snapshots[11]
	failed.Verified, failed.Good, failed.VerifyReason = VerifyFailed, false, "the digest is not that of the proof before"
	never := &s.Snapshots[15]
	never.Verified, never.VerifiedAt, never.VerifyReason = VerifyNever, time.Time{}, "no memory for a throw-away server: 512 MB are free, 1.1 GB are needed"
	never.Phases = never.Phases[:1]
	never.Keys = nil
	accepted := &s.Snapshots[20]
	accepted.Accepted, accepted.Method = true, "aof"
	return s
}

// full is a view with a source in every state.
func full(t testing.TB) View {
	t.Helper()
	hour := time.Date(2026, 2, 8, 12, 0, 5, 0, time.UTC)
	long := strings.Repeat("a-very-long-name.", 3) + "of_a_source"
	return View{
		Now: now(), Version: "v1.4.0", Repository: "/backups/all redis", FreeBytes: pointer[int64](73_400_320_512), Zone: berlin(t),
		Sources: []Source{
			sessions(),
			{
				Name: "queue", Container: "compose-queue-1", Schedule: "@every 1h", State: Running, Next: hour.Add(2 * time.Hour), RunningSince: hour.Add(time.Hour),
				Overdue: true, OverdueSince: hour.Add(-2 * time.Hour),
				LastAttempt: Attempt{At: hour, Result: "failed", Duration: 3 * time.Second, Error: "MISCONF: the server cannot save: No space left on device (/data is full)"},
				Runs:        []Runs{{Success, 300}, {"failed", 3}, {"skipped", 1}},
				Snapshots:   history(80, hour.Add(-3*time.Hour), time.Hour),
			},
			{
				Name: "cache", Container: "cache", Schedule: "@daily", State: Suspect, Next: hour.Add(11 * time.Hour),
				LastAttempt: Attempt{At: hour.Add(-13 * time.Hour), Result: "suspect", Duration: 420 * time.Millisecond},
				Runs:        []Runs{{"suspect", 1}},
				Snapshots: []Snapshot{{
					ID: id(hour.Add(-13*time.Hour), "zzzz"), PointInTime: hour.Add(-13 * time.Hour), FinishedAt: hour.Add(-13*time.Hour + time.Second), Method: "aof",
					State: "suspect", StateReason: "empty", Verified: VerifyNever, Keys: pointer[int64](0), SizeBytes: 92, StoredBytes: 104,
					Phases: []Phase{{PhaseCapture, 420 * time.Millisecond}},
				}},
			},
			{Name: "brand-new", Container: "shop-redis", Schedule: "0 4 * * *", State: Never, Next: hour.Add(14*time.Hour + 55*time.Second)},
			{
				Name: long, Container: long + "-container", Schedule: "15 3 * * *", State: Unknown,
				LastAttempt: Attempt{At: hour.Add(-10 * time.Hour), Result: "failed", Error: "no such container: " + long + "-container"},
			},
		},
		Problems: []Problem{{ID: "20260201T021502Z-brkn", File: "manifest.json", Problem: "unexpected end of JSON input"}},
	}
}

// quiet is a view in which all is well.
func quiet(t testing.TB) View {
	v := full(t)
	v.Sources, v.Problems = v.Sources[:1], nil
	return v
}

package status

import (
	"testing"
	"time"
)

// What follows from a view, in numbers that somebody worked out by hand.
func TestWhatFollowsFromSnapshots(t *testing.T) {
	s := sessions()
	first := time.Date(2026, 2, 8, 2, 15, 2, 0, time.UTC)
	if got, want := s.recoverablePoint(), first.Add(123*time.Millisecond); !got.Equal(want) {
		t.Errorf("recoverable point %s, want %s", got, want)
	}
	if got, want := s.lastSuccess(), first.Add(9*time.Second); !got.Equal(want) {
		t.Errorf("last success %s, want %s", got, want)
	}
	if got, want := s.lastVerified(), first.Add(21*time.Second); !got.Equal(want) {
		t.Errorf("last verified %s, want %s", got, want)
	}
	if s.good() != 28 || s.suspect() != 1 {
		t.Errorf("%d good, %d suspect; want 28 of 30, for one of the others failed, and 1", s.good(), s.suspect())
	}
	// 201,234,567 thirty times, 1,234,567 times the sum of 1 to 30, and the
	// suspect one, the 23rd to be taken, is 2,345,678 instead.
	if got, want := s.stored(), int64(30*201_234_567+1_234_567*465-(201_234_567+23*1_234_567)+2_345_678); got != want {
		t.Errorf("stored %d, want %d", got, want)
	}
	if took, ok := s.Snapshots[0].restoreTime(); !ok || took != 2_430*time.Millisecond+3_920*time.Millisecond {
		t.Errorf("restore takes %s, %v", took, ok)
	}
	if part, ok := s.share(now()); !ok || part < 0.450 || part > 0.452 {
		t.Errorf("share %f of 24 h have passed in 10:49:28, %v", part, ok)
	}
}

// The newest snapshot need not be the one that can be restored.
func TestANewerOneThatIsNotGoodIsNotTheRecoverablePoint(t *testing.T) {
	s := sessions()
	s.Snapshots[0].Good, s.Snapshots[0].Verified = false, VerifyFailed
	if got, want := s.recoverablePoint(), s.Snapshots[1].PointInTime; !got.Equal(want) {
		t.Errorf("recoverable point %s, want the second's, %s", got, want)
	}
	if got, want := s.lastSuccess(), s.Snapshots[1].FinishedAt; !got.Equal(want) {
		t.Errorf("last success %s, want the second's, %s", got, want)
	}
	if got, want := s.lastVerified(), s.Snapshots[1].VerifiedAt; !got.Equal(want) {
		t.Errorf("last verified %s, want the second's, %s", got, want)
	}
	if passed, ok := s.verdict(); !ok || passed != 0 {
		t.Errorf("verdict %v %v, want 0: the newest one failed", passed, ok)
	}
}

// An old one that is verified today is a proof of today.
func TestLastVerifiedIsOfTheProofsTime(t *testing.T) {
	s := sessions()
	s.Snapshots[29].VerifiedAt = now()
	if got := s.lastVerified(); !got.Equal(now()) {
		t.Errorf("last verified %s, want %s", got, now())
	}
}

// The order in which a view has them does not matter.
func TestNewestIsByPointInTime(t *testing.T) {
	s := sessions()
	want := s.recoverablePoint()
	for i, j := 0, len(s.Snapshots)-1; i < j; i, j = i+1, j-1 {
		s.Snapshots[i], s.Snapshots[j] = s.Snapshots[j], s.Snapshots[i]
	}
	if got := s.recoverablePoint(); !got.Equal(want) {
		t.Errorf("recoverable point %s, want %s", got, want)
	}
}

func TestOfNothingNothingFollows(t *testing.T) {
	var s Source
	for name, at := range map[string]time.Time{"recoverable": s.recoverablePoint(), "success": s.lastSuccess(), "verified": s.lastVerified()} {
		if !at.IsZero() {
			t.Errorf("%s: %s", name, at)
		}
	}
	if _, ok := s.verdict(); ok {
		t.Error("there is a verdict on no snapshot")
	}
	if _, ok := s.share(now()); ok {
		t.Error("there is an age of no snapshot")
	}
	e := Snapshot{Phases: []Phase{{PhaseFill, time.Second}}}
	if _, ok := e.restoreTime(); ok {
		t.Error("the time of a restore is known without the time to load it")
	}
}

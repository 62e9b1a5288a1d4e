package schedule

import "time"

// Clock is the time as the Runner sees it.
type Clock interface {
	// Now is what the wall clock says. It may jump.
	Now() time.Time
	// Timer fires once after a while. It need not see that the wall clock was
	// set, nor that the machine slept. Stop frees it, also when it has fired.
	Timer(wait time.Duration) (fires <-chan time.Time, stop func())
}

// WallClock is this machine's clock.
func WallClock() Clock { return wallClock{} }

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Timer(wait time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(wait)
	return t.C, func() { t.Stop() }
}

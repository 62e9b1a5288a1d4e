package server

import (
	"context"
	"fmt"
	"time"
)

// Bounds of the time between two looks at the server.
const (
	shortestPause = 10 * time.Millisecond
	longestPause  = 200 * time.Millisecond
)

// pace spaces the looks at something that runs: at a tenth of its age, so that
// its end is seen soon and a long run is not asked about too often.
type pace struct{ began time.Time }

func (p *pace) next() time.Duration {
	if p.began.IsZero() {
		p.began = time.Now()
	}
	return min(max(time.Since(p.began)/10, shortestPause), longestPause)
}

// pause waits, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for redis: %w", context.Cause(ctx))
	case <-t.C:
		return nil
	}
}

// untilNextSecond is the time to just after the next full second.
func untilNextSecond(now time.Time) time.Duration {
	return time.Second - time.Duration(now.Nanosecond()) + time.Millisecond
}

// waiting is the time spent on what others began.
type waiting struct {
	purpose  string // what it is waited for: "save", "AOF rewrite"
	notify   func(what string)
	patience time.Duration

	began time.Time
	told  string
	pace  pace
	seen  child
}

// child tells one child process of the server from the next.
type child struct {
	what  string
	saved int64
	saves int64
}

// newWaiting is for one purpose; a patience of 0 is DefaultPatience.
func newWaiting(purpose string, notify func(what string), patience time.Duration) waiting {
	if patience <= 0 {
		patience = DefaultPatience
	}
	return waiting{purpose: purpose, notify: notify, patience: patience}
}

// child waits a little for the child process that runs now.
func (w *waiting) child(ctx context.Context, i Info) error {
	seen := child{what: i.OtherChild(), saved: i.LastSaveTime, saves: i.RDBSaves}
	if seen != w.seen {
		w.seen, w.pace = seen, pace{}
	}
	if seen.what == "" {
		return w.wait(ctx, "another child process", w.pace.next())
	}
	return w.wait(ctx, "another "+seen.what, w.pace.next())
}

// second waits for the server's next second.
func (w *waiting) second(ctx context.Context, now time.Time) error {
	return w.wait(ctx, "", untilNextSecond(now))
}

func (w *waiting) wait(ctx context.Context, what string, d time.Duration) error {
	if w.began.IsZero() {
		w.began = time.Now()
	}
	if what != "" && what != w.told {
		w.told = what
		if w.notify != nil {
			w.notify(what)
		}
	}
	if waited := time.Since(w.began); waited >= w.patience {
		told := w.told
		if told == "" {
			told = "a second without a save"
		}
		return &BusyError{For: w.purpose, What: told, Waited: waited}
	}
	return pause(ctx, d)
}

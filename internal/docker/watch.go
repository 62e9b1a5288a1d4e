package docker

import (
	"context"
	"io"
	"time"
)

// watch cancels a stream's context when the engine makes no progress. It runs
// only while we wait for the engine: a slow consumer is not its fault.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	after  time.Duration
}

func newWatch(ctx context.Context, after time.Duration, what string) *watch {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{ctx: ctx, cancel: cancel, after: after}
	w.timer = time.AfterFunc(after, func() { cancel(&IdleError{What: what, After: after}) })
	w.timer.Stop()
	return w
}

func (w *watch) arm()    { w.timer.Reset(w.after) }
func (w *watch) disarm() { w.timer.Stop() }

// end releases the watch; the stream cannot be used after it.
func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// watchedReader is armed during each read.
type watchedReader struct {
	r io.Reader
	w *watch
}

func (r *watchedReader) Read(p []byte) (int, error) {
	r.w.arm()
	defer r.w.disarm()
	return r.r.Read(p)
}

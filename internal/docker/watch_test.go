package docker

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// A consumer that takes its time is no reason to give the engine up; an engine
// that does is.
func TestWatchCountsOnlyTheEnginesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t.Context(), time.Minute, "read")
		defer w.end()
		r := &watchedReader{r: iotest.OneByteReader(&slowReader{after: 59 * time.Second}), w: w}
		for range 3 {
			if _, err := r.Read(make([]byte, 1)); err != nil || w.ctx.Err() != nil {
				t.Fatalf("slow engine: %v, %v", err, w.ctx.Err())
			}
			<-time.After(time.Hour) // of the bubble, not ours
		}
		r.r = &slowReader{after: 61 * time.Second}
		r.Read(make([]byte, 1))
		idle := (*IdleError)(nil)
		if cause := context.Cause(w.ctx); !errors.As(cause, &idle) || *idle != (IdleError{"read", time.Minute}) {
			t.Errorf("idle engine: %v", cause)
		}
	})
}

func TestWatchThatEndedStaysSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t.Context(), time.Minute, "read")
		w.arm()
		w.end()
		<-time.After(time.Hour)
		if cause := context.Cause(w.ctx); !errors.Is(cause, context.Canceled) {
			t.Errorf("cause %v", cause)
		}
	})
}

// slowReader takes a while for each read.
type slowReader struct{ after time.Duration }

func (s *slowReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, io.ErrShortBuffer
	}
	<-time.After(s.after)
	p[0] = 1
	return 1, nil
}

package instance

import (
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/server"
)

// A load that takes an hour is waited for, one that hangs is not.
func TestPatienceLastsWhileTheLoadGetsOn(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := newPatience(now)
	for loaded := range int64(60) {
		now = now.Add(time.Minute)
		if p.over(now, server.Info{Loading: true, LoadedBytes: loaded + 1}) {
			t.Fatalf("given up at %d bytes, after %d minutes of progress", loaded+1, loaded+1)
		}
	}
	for _, silent := range []server.Info{{Loading: true, LoadedBytes: 60}, {}} {
		if p.over(now.Add(standstill), silent) {
			t.Errorf("given up within the limit, %v", silent.Loading)
		}
		if !p.over(now.Add(standstill+time.Second), silent) {
			t.Errorf("not given up after the limit, %v", silent.Loading)
		}
	}
}

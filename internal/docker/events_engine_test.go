//go:build engine

package docker

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// ears note of which containers they were told.
type ears struct {
	mu    sync.Mutex
	heard map[string]int
}

func (h *ears) hear(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.heard == nil {
		h.heard = map[string]int{}
	}
	h.heard[id]++
}

func (h *ears) times(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heard[id]
}

// Containers that come and go are told of, our own helpers are not, and an
// engine that stops to tell is an error, not a silence.
func TestFollowTellsOfContainersThatComeAndGo(t *testing.T) {
	e, p := behindProxy(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var h ears
	ended := make(chan error, 1)
	go func() { ended <- e.Follow(ctx, h.hear) }()
	enginetest.Eventually(t, 30*time.Second, "it listens", func() bool { return h.times("") == 1 })

	r := startRedis(t)
	enginetest.Eventually(t, 30*time.Second, "a container that came", func() bool { return h.times(r.ID) > 0 })
	helper := newHelper(t, e, r.Volume, false)
	if err := helper.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := h.times(r.ID)
	r.Stop()
	enginetest.Eventually(t, 30*time.Second, "a container that stopped", func() bool { return h.times(r.ID) > before })
	if n := h.times(helper.id); n > 0 {
		t.Errorf("told %d times of a helper of ours", n)
	}
	stop := errors.New("the test is over")
	cancel(stop)
	if err := <-ended; !errors.Is(err, stop) {
		t.Errorf("after its context has ended: %v", err)
	}

	p.Inject(enginetest.Fault{Method: http.MethodGet, Path: "^/events$", Then: enginetest.Broken})
	if err := e.Follow(t.Context(), h.hear); err == nil {
		t.Error("an engine that breaks off is silent")
	}
	p.Clear()
	p.Inject(enginetest.Fault{Method: http.MethodGet, Path: "^/events$", Status: http.StatusForbidden})
	var denied *DeniedError
	if err := e.Follow(t.Context(), h.hear); !errors.As(err, &denied) || denied.Endpoint != "GET /events" {
		t.Errorf("denied: %v", err)
	}
}

package docker

import "sync"

// tail is a writer that keeps the last bytes of what it is given.
type tail struct {
	max int

	mu      sync.Mutex
	buf     []byte
	dropped bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	// Cutting at twice the size moves each byte once, not at every write.
	if len(t.buf) > 2*t.max {
		t.cut()
	}
	return len(p), nil
}

func (t *tail) cut() {
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
		t.dropped = true
	}
}

// Bytes returns a copy of what was kept.
func (t *tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut()
	return append([]byte(nil), t.buf...)
}

func (t *tail) String() string { return string(t.Bytes()) }

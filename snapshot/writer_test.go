package snapshot

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// failing takes n bytes and then fails, or takes less than it was given.
type failing struct {
	n      int
	err    error
	faults int
}

func (f *failing) Write(b []byte) (int, error) {
	if len(b) <= f.n && f.faults == 0 {
		f.n -= len(b)
		return len(b), nil
	}
	f.faults++
	return min(f.n, len(b)-1), f.err
}

func TestWriterPassesOnFaults(t *testing.T) {
	raw := likeRDB(4 * gzipBlock)
	full := errors.New("no space left on device")
	for _, c := range compressions() {
		stored, _ := pack(t, raw, c)
		for _, n := range []int{0, 5, 10, 11, len(stored) / 3, len(stored) - 9, len(stored) - 8, len(stored) - 1} {
			for _, fault := range []error{full, nil} {
				want := fault
				if want == nil {
					want = io.ErrShortWrite
				}
				goroutines := runtime.NumGoroutine()
				below := &failing{n: n, err: fault}
				w, err := NewWriter(below, c)
				if err != nil {
					t.Fatal(err)
				}
				_, wrote := io.Copy(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(raw)})
				closed := w.Close()
				if !errors.Is(closed, want) || wrote != nil && !errors.Is(wrote, want) {
					t.Errorf("%s: fault after %d of %d: write %v, close %v", c, n, len(stored), wrote, closed)
				}
				if again := w.Close(); !errors.Is(again, want) {
					t.Errorf("%s: second close: %v", c, again)
				}
				if _, err := w.Write([]byte("x")); err == nil {
					t.Errorf("%s: a write after close is taken", c)
				}
				settled(t, goroutines)
				// What comes after a hole has no place in the file.
				if below.faults != 1 {
					t.Errorf("%s: %d writes after the first fault", c, below.faults-1)
				}
			}
		}
	}
}

// A writer that nobody waits for must not go on for long after a fault.
func TestWriterStopsSoonAfterAFault(t *testing.T) {
	full := errors.New("no space left on device")
	for _, c := range compressions() {
		w, err := NewWriter(&failing{err: full}, c)
		if err != nil {
			t.Fatal(err)
		}
		noise := &endless{piece: string(likeRDB(1 << 20)), left: 1 << 40}
		if _, err := io.Copy(struct{ io.Writer }{w}, noise); !errors.Is(err, full) {
			t.Errorf("%s: %v", c, err)
		}
		if noise.given > 32<<20 {
			t.Errorf("%s: %d bytes were taken after the fault", c, noise.given)
		}
		if err := w.Close(); !errors.Is(err, full) {
			t.Errorf("%s: close: %v", c, err)
		}
	}
}

func TestNoGoroutineStays(t *testing.T) {
	raw := likeRDB(2 * gzipBlock)
	before := runtime.NumGoroutine()
	for _, c := range compressions() {
		stored, f := pack(t, raw, c)
		if _, err := unpack(stored, f); err != nil {
			t.Error(err)
		}
		// Left in the middle.
		r, err := NewReader(bytes.NewReader(stored), f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, 1000); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		// Closed without a byte.
		w, err := NewWriter(io.Discard, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	settled(t, before)
}

func settled(t *testing.T, want int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for runtime.NumGoroutine() > want {
		select {
		case <-tick.C:
		case <-deadline:
			stacks := make([]byte, 64<<10)
			t.Fatalf("%d goroutines, were %d\n%s", runtime.NumGoroutine(), want, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestMemoryStaysFlat: what a stream of any size holds at once, garbage that is
// not yet collected included, is under 20 MiB.
func TestMemoryStaysFlat(t *testing.T) {
	size := int64(rounds(memoryStream))
	pieces := string(likeRDB(4 << 20))
	for _, c := range compressions() {
		debug.FreeOSMemory()
		base := heap()
		peak := base
		watch := writerFunc(func(b []byte) { peak = max(peak, heap()) })

		stored, err := os.Create(filepath.Join(t.TempDir(), "payload"))
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(io.MultiWriter(stored, watch), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(struct{ io.Writer }{w}, &endless{piece: pieces, left: size}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		writing := peak - base

		if _, err := stored.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		debug.FreeOSMemory()
		base = heap()
		peak = base
		r, err := NewReader(stored, described(w, c))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(watch, r); n != size || err != nil {
			t.Fatalf("%d of %d, %v", n, size, err)
		}
		r.Close()
		stored.Close()
		reading := peak - base
		t.Logf("%s: %.1f MiB to write, %.1f MiB to read %d MiB", c, float64(writing)/(1<<20), float64(reading)/(1<<20), size>>20)
		if writing > memoryLimit || reading > memoryLimit {
			t.Errorf("%s: %d bytes to write, %d to read", c, writing, reading)
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

type writerFunc func(b []byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

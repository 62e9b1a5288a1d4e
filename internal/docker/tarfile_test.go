package docker

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// archiveOf makes the answer that the engine gives for a path.
func archiveOf(t testing.TB, entries ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func regular(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, Uid: 999, Gid: 1000, Format: tar.FormatPAX, ModTime: time.Unix(1, 5)}
}

// helperOn is a helper whose archive is what body writes.
func helperOn(t *testing.T, body func(io.Writer)) (*fake, *Helper) {
	t.Helper()
	f := newFake(t)
	f.handle("GET /containers/h/archive", func(w http.ResponseWriter, _ *http.Request) {
		stat := base64.StdEncoding.EncodeToString([]byte(`{"name":"f","size":1,"mode":384,"mtime":"2026-01-01T00:00:00Z"}`))
		w.Header().Set("X-Docker-Container-Path-Stat", stat)
		w.Header().Set("Content-Type", "application/x-tar")
		body(w)
	})
	f.handle("GET /containers/h/json", answers(200, map[string]string{"Id": "h"}))
	return f, &Helper{engine: f.connect(t), id: "h", mount: dataMountOf("v")}
}

// readAll opens and reads one file and says what came of it.
func readAll(t *testing.T, h *Helper) (int64, error) {
	t.Helper()
	f, err := h.Open(t.Context(), "/data/f")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := io.Copy(io.Discard, f)
	if _, again := f.Read(make([]byte, 1)); err == nil && again != io.EOF || err != nil && again != err {
		t.Errorf("after the end: %v and then %v", err, again)
	}
	return n, err
}

// cuts are the places where a stream of n bytes is cut: round the borders of
// the blocks and some more; all of them in a full run.
func cuts(n int) []int {
	full := os.Getenv("REDISBAK_TEST_FULL") == "1"
	var at []int
	for i := range n {
		if round := (i + 1) % tarBlock; full || round <= 2 || i%97 == 0 {
			at = append(at, i)
		}
	}
	return at
}

// FAULT 22: a stream that ends early but cleanly, at any byte. The content is
// zeros on purpose: they look like the end of the archive.
func TestFileThatIsCutAnywhereIsNotWhole(t *testing.T) {
	for _, size := range []int64{0, 1, 511, 512, 513, 2048} {
		whole := archiveOf(t, regular("f", size))
		cut := 0
		_, h := helperOn(t, func(w io.Writer) { w.Write(whole[:cut]) })
		for _, cut = range cuts(len(whole)) {
			if n, err := readAll(t, h); !errors.Is(err, ErrShortStream) {
				t.Fatalf("%d bytes of an archive of %d (file of %d): read %d, %v", cut, len(whole), size, n, err)
			}
		}
		cut = len(whole)
		if n, err := readAll(t, h); n != size || err != nil {
			t.Errorf("whole archive of a file of %d: read %d, %v", size, n, err)
		}
	}
}

func TestFileWithMoreThanItsArchive(t *testing.T) {
	one := archiveOf(t, regular("f", 700))
	two := archiveOf(t, regular("f", 700), regular("g", 1))
	padded := slices.Concat(one, make([]byte, 8<<10))
	for name, test := range map[string]struct {
		body []byte
		ok   bool
	}{
		"padding":       {padded, true},
		"second entry":  {two, false},
		"garbage":       {slices.Concat(one, []byte("garbage")), false},
		"inner garbage": {slices.Concat(one, []byte("garbage"), make([]byte, 4096-7)), false},
		"late garbage":  {slices.Concat(padded, []byte{1}), false},
		"endless zeros": {slices.Concat(one, make([]byte, 3<<20)), false},
		"no tar":        {bytes.Repeat([]byte("x"), 4096), false},
		"gzip":          {[]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0}, false},
	} {
		_, h := helperOn(t, func(w io.Writer) { w.Write(test.body) })
		if _, err := readAll(t, h); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDirectoryThatIsCutAnywhereIsNotListed(t *testing.T) {
	whole := archiveOf(t, &tar.Header{Typeflag: tar.TypeDir, Name: "data/", Mode: 0o755}, regular("data/a", 1024),
		&tar.Header{Typeflag: tar.TypeDir, Name: "data/d/", Mode: 0o755}, regular("data/d/deep", 3), regular("data/z", 0))
	cut := 0
	_, h := helperOn(t, func(w io.Writer) { w.Write(whole[:cut]) })
	for _, cut = range cuts(len(whole)) {
		if names, err := h.Paths(t.Context(), "/data", 99); !errors.Is(err, ErrShortStream) {
			t.Fatalf("%d bytes of %d: %q, %v", cut, len(whole), names, err)
		}
	}
	cut = len(whole)
	if names, err := h.Paths(t.Context(), "/data", 99); err != nil || !slices.Equal(names, []string{"a", "d", "d/deep", "z"}) {
		t.Errorf("whole: %q, %v", names, err)
	}
	cut = 4 * 512 // the rest is not needed for one name
	if names, err := h.Paths(t.Context(), "/data", 1); err != nil || !slices.Equal(names, []string{"a"}) {
		t.Errorf("one name: %q, %v", names, err)
	}
}

// FAULT 23: the same through a proxy that breaks and stalls.
func TestStreamThatBreaksOrStalls(t *testing.T) {
	whole := archiveOf(t, regular("f", 100_000))
	f, h := helperOn(t, func(w io.Writer) { w.Write(whole) })
	p := enginetest.StartProxyTo(t, f.socket)
	e, err := Connect(t.Context(), Env{Host: p.Host()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	h.engine = e
	// What follows the file is shorter than what the transport reads ahead.
	offsets := []int64{0, 100, 512, 1536, 50_000, 51_200, int64(len(whole)) - 1024, int64(len(whole)) - 1}
	for _, at := range offsets {
		for _, then := range []enginetest.Ending{enginetest.Clean, enginetest.Broken} {
			p.Clear()
			p.Inject(enginetest.Fault{Path: "/archive$", Bytes: at, Then: then})
			if _, err := readAll(t, h); !errors.Is(err, ErrShortStream) {
				t.Errorf("ending %d after %d bytes: %v", then, at, err)
			}
		}
		p.Clear()
		p.Inject(enginetest.Fault{Path: "/archive$", Bytes: at, Then: enginetest.Stall})
		e.idle = 60 * time.Millisecond
		idle := (*IdleError)(nil)
		if _, err := readAll(t, h); !errors.As(err, &idle) || errors.Is(err, ErrShortStream) {
			t.Errorf("stall after %d bytes: %v", at, err)
		}
		e.idle = idleLimit
	}
	p.Clear()
	p.Inject(enginetest.Fault{Path: "/archive$", Bytes: int64(len(whole)), Then: enginetest.Broken})
	if _, err := readAll(t, h); !errors.Is(err, ErrShortStream) {
		t.Errorf("broken after the last byte: %v", err)
	}
	denied := (*DeniedError)(nil)
	for _, status := range []int{403, 404, 409, 500} {
		p.Clear()
		p.Inject(enginetest.Fault{Path: "/archive$", Status: status})
		n, err := readAll(t, h)
		if n != 0 || err == nil || errors.As(err, &denied) != (status == 403) {
			t.Errorf("status %d: %d bytes, %v", status, n, err)
		}
		if status == 403 && !strings.Contains(err.Error(), "GET /containers/h/archive") {
			t.Errorf("403 does not name the call: %v", err)
		}
	}
}

func TestLastBytesAreThoseOfTheStream(t *testing.T) {
	text := make([]byte, 5000)
	for i := range text {
		text[i] = byte(i % 251)
	}
	for _, chunk := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, func(r io.Reader) io.Reader { return r }} {
		l := &lastBytes{r: chunk(bytes.NewReader(text))}
		if _, err := io.Copy(io.Discard, l); err != nil {
			t.Fatal(err)
		}
		if l.n != 5000 || !bytes.Equal(l.last[:], text[5000-tarTrailer:]) {
			t.Error("the last bytes are others")
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	k := &tail{max: 10}
	for i := range 100 {
		fmt.Fprintf(k, "%03d", i)
	}
	if got := k.String(); got != "6097098099" {
		t.Errorf("kept %q", got)
	}
}

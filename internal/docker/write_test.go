package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// FAULT 66: whatever a payload says, only plain files and directories below
// the mount point reach the engine.
func TestEntriesThatAreNotPlainAreRefused(t *testing.T) {
	good := []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "srv/data/", Mode: 0o700, Uid: 999, Gid: 1000},
		{Typeflag: tar.TypeDir, Name: "srv/data", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "srv/data/dump.rdb", Mode: 0o600, Size: 5},
		{Typeflag: tar.TypeReg, Name: "srv/data/appendonlydir/appendonly.aof.1.base.rdb", Mode: 0o777},
	}
	for _, h := range good {
		if _, err := plainEntry("/srv/data", h); err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
	}
	reg := func(name string) *tar.Header { return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600} }
	typed := func(flag byte) *tar.Header {
		return &tar.Header{Typeflag: flag, Name: "srv/data/f", Linkname: "/etc/passwd", Mode: 0o600}
	}
	moded := func(mode int64) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeReg, Name: "srv/data/f", Mode: mode}
	}
	bad := []*tar.Header{
		reg(""), reg("."), reg(".."), reg("srv"), reg("srv/data"), reg("srv/data/"), reg("srv/datax/f"), reg("etc/passwd"), reg("/srv/data/f"),
		reg("./srv/data/f"), reg("srv/data/../../etc/f"), reg("srv/data/./f"), reg("srv/data//f"), reg("srv/data/a\x00b"), reg("srv/data/a\nb"),
		reg(`srv/data/a\b`), reg("srv/data/\x7f"), {Typeflag: tar.TypeDir, Name: "srv/"}, {Typeflag: tar.TypeDir, Name: "srv/data/../x/"}, {Typeflag: tar.TypeDir, Name: "/"},
		typed(tar.TypeSymlink), typed(tar.TypeLink), typed(tar.TypeChar), typed(tar.TypeBlock), typed(tar.TypeFifo), typed(tar.TypeXGlobalHeader),
		typed(tar.TypeGNUSparse), typed('7'), typed('Z'), moded(0o4755), moded(0o2755), moded(0o1777), moded(-1), moded(0o100600),
		{Typeflag: tar.TypeReg, Name: "srv/data/f", Uid: -1}, {Typeflag: tar.TypeReg, Name: "srv/data/f", Gid: -1},
	}
	for _, h := range bad {
		if plain, err := plainEntry("/srv/data", h); !refused(err) {
			t.Errorf("%q of type %q and mode %o: %v, %v", h.Name, h.Typeflag, h.Mode, plain, err)
		}
	}
	if _, err := plainEntry("/BZh", reg("BZh/f")); !refused(err) {
		t.Errorf("name that looks compressed: %v", err)
	}
	// What is not asked for does not pass either.
	odd := reg("srv/data/f")
	odd.Uname, odd.Linkname = "root", "x"
	odd.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "y"}
	plain, err := plainEntry("/srv/data", odd)
	if err != nil || plain.Uname != "" || plain.Linkname != "" || plain.PAXRecords != nil {
		t.Errorf("%+v, %v", plain, err)
	}
}

// upload is what a fake engine got.
type upload struct {
	names []string
	raw   []byte
	err   error // io.EOF never; ErrUnexpectedEOF where the client broke it off
	query string
}

// writerOn is a writing helper on an engine that takes all it is given.
func writerOn(t *testing.T) (*Helper, <-chan upload) {
	t.Helper()
	f := newFake(t)
	got := make(chan upload, 1)
	f.handle("PUT /containers/h/archive", func(w http.ResponseWriter, r *http.Request) {
		u := upload{query: r.URL.RawQuery}
		u.raw, u.err = io.ReadAll(r.Body)
		for in := tar.NewReader(bytes.NewReader(u.raw)); ; {
			h, err := in.Next()
			if err != nil {
				break
			}
			u.names = append(u.names, h.Name)
		}
		got <- u
	})
	return &Helper{engine: f.connect(t), id: "h", mount: dataMountOf("v"), write: true}, got
}

func TestWriteSendsOnePlainUncompressedTar(t *testing.T) {
	h, got := writerOn(t)
	err := h.Write(t.Context(), func(w *tar.Writer) error {
		header := regular("data/f", 3)
		header.Uname, header.PAXRecords = "redis", map[string]string{"SCHILY.xattr.user.x": "y"}
		return errors.Join(
			w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "data/", Mode: 0o700, Uid: 999, Gid: 1000}),
			w.WriteHeader(header), func() error { _, err := io.WriteString(w, "abc"); return err }())
	})
	u := <-got
	if err != nil || u.err != nil || strings.Join(u.names, " ") != "data/ data/f" {
		t.Fatalf("%v; the engine got %q, %v", err, u.names, u.err)
	}
	if u.query != "noOverwriteDirNonDir=true&path=%2F" {
		t.Errorf("query %s", u.query)
	}
	if want := 2*512 + 512 + 1024; len(u.raw) != want || !bytes.Contains(u.raw, []byte("abc")) || bytes.Contains(u.raw, []byte("xattr")) {
		t.Errorf("%d bytes, want %d", len(u.raw), want)
	}
}

func TestWriteBreaksOffWithoutAWholeArchive(t *testing.T) {
	torn := errors.New("torn payload")
	dir := &tar.Header{Typeflag: tar.TypeDir, Name: "data/", Mode: 0o700}
	for name, test := range map[string]struct {
		fill func(*tar.Writer) error
		want func(error) bool
	}{
		"before all":   {func(*tar.Writer) error { return torn }, func(err error) bool { return errors.Is(err, torn) }},
		"between":      {func(w *tar.Writer) error { return errors.Join(w.WriteHeader(dir), torn) }, func(err error) bool { return errors.Is(err, torn) }},
		"in a file":    {func(w *tar.Writer) error { return errors.Join(w.WriteHeader(regular("data/f", 9)), torn) }, func(err error) bool { return errors.Is(err, torn) }},
		"short file":   {func(w *tar.Writer) error { return w.WriteHeader(regular("data/f", 9)) }, func(err error) bool { return err != nil }},
		"outside":      {func(w *tar.Writer) error { return w.WriteHeader(regular("etc/f", 0)) }, refused},
		"then outside": {func(w *tar.Writer) error { return errors.Join(w.WriteHeader(dir), w.WriteHeader(regular("etc/f", 0))) }, refused},
		"twice":        {func(w *tar.Writer) error { return errors.Join(w.WriteHeader(dir), w.WriteHeader(dir)) }, refused},
		"symlink": {func(w *tar.Writer) error {
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "data/l", Linkname: "/etc"})
		}, refused},
	} {
		h, got := writerOn(t)
		if err := h.Write(t.Context(), test.fill); !test.want(err) {
			t.Errorf("%s: %v", name, err)
		}
		if u := <-got; u.err == nil {
			t.Errorf("%s: the engine got a whole request with %q", name, u.names)
		}
	}
	reading := &Helper{}
	if err := reading.Write(t.Context(), nil); !refused(err) {
		t.Errorf("helper that reads: %v", err)
	}
}

// endlessFill writes until it is stopped, and reports that it was.
func endlessFill(stopped *bool) func(*tar.Writer) error {
	return func(w *tar.Writer) error {
		if err := w.WriteHeader(regular("data/f", 1<<40)); err != nil {
			return err
		}
		for buf := make([]byte, 64<<10); ; {
			if _, err := w.Write(buf); err != nil {
				*stopped = true
				return fmt.Errorf("payload: %w", err)
			}
		}
	}
}

func TestWriteTellsWhoEndedIt(t *testing.T) {
	f := newFake(t)
	e := f.connect(t)
	h := &Helper{engine: e, id: "h", mount: dataMountOf("v"), write: true}
	const put = "PUT /containers/h/archive"
	write := func(ctx context.Context) error {
		stopped := false
		err := h.Write(ctx, endlessFill(&stopped))
		if !stopped {
			t.Error("the producer was not stopped")
		}
		return err
	}

	f.handle(put, func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 1<<20)
		refuses(500, "write /data/f: no space left on device")(w, r)
	})
	if err := write(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "no space left on device") {
		t.Errorf("full volume: %v", err)
	}
	f.handle(put, refuses(403, "no entry"))
	denied := (*DeniedError)(nil)
	if err := write(t.Context()); !errors.As(err, &denied) || denied.Endpoint != put {
		t.Errorf("denied: %v", err)
	}
	f.handle(put, func(http.ResponseWriter, *http.Request) {})
	if err := write(t.Context()); err == nil {
		t.Error("an engine that says done at once is believed")
	}
	f.handle(put, func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 1<<20)
		panic(http.ErrAbortHandler)
	})
	unreachable := (*UnreachableError)(nil)
	if err := write(t.Context()); !errors.As(err, &unreachable) {
		t.Errorf("broken connection: %v", err)
	}
	hang := make(chan struct{})
	defer close(hang)
	f.handle(put, func(http.ResponseWriter, *http.Request) { <-hang })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := write(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	e.idle = 60 * time.Millisecond
	idle := (*IdleError)(nil)
	if err := write(t.Context()); !errors.As(err, &idle) {
		t.Errorf("engine that stops reading: %v", err)
	}
	f.handle(put, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-hang })
	if err := h.Write(t.Context(), func(w *tar.Writer) error { return nil }); !errors.As(err, &idle) {
		t.Errorf("engine that does not answer: %v", err)
	}
}

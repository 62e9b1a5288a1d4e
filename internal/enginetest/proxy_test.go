package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const payloadSize = 10_000

// fakeEngine answers every GET with the same bytes, tells how many bytes a PUT
// brought, and echoes on a connection that was taken over.
func fakeEngine(t *testing.T) (socket string, uploads <-chan int64) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rbk")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int64, 16)
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				n = -n
			}
			got <- n
		case r.Header.Get("Upgrade") != "":
			io.Copy(io.Discard, r.Body)
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
			io.Copy(conn, rw)
			conn.Close()
		default:
			w.Write(bytes.Repeat([]byte("x"), payloadSize))
		}
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "e"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(handler)}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close(); os.RemoveAll(dir) })
	return filepath.Join(dir, "e"), got
}

func through(p *Proxy) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", strings.TrimPrefix(p.Host(), "unix://"))
	}}}
}

func get(t *testing.T, p *Proxy, path string) (status, n int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := through(p).Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, len(body), err
}

func TestProxyDoesTheHarmItIsToldTo(t *testing.T) {
	socket, _ := fakeEngine(t)
	none := func(err error) bool { return err == nil }
	late := func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
	broken := func(err error) bool { return err != nil && !errors.Is(err, context.DeadlineExceeded) }
	tests := map[string]struct {
		fault     Fault
		status, n int
		ok        func(error) bool
	}{
		"none":       {Fault{Path: "^/other$", Status: 500}, 200, payloadSize, none},
		"status":     {Fault{Path: "^/containers/x/archive$", Status: 403}, 403, len(`{"message":"injected 403"}`), none},
		"clean":      {Fault{Path: "archive", Then: Clean, Bytes: 512}, 200, 512, none},
		"clean at 0": {Fault{Path: "archive", Then: Clean}, 200, 0, none},
		"broken":     {Fault{Path: "archive", Then: Broken, Bytes: 700}, 200, 700, broken},
		"stall":      {Fault{Path: "archive", Then: Stall, Bytes: 700}, 200, 700, late},
		"hang":       {Fault{Path: "archive", Hang: true}, 0, 0, late},
		"delay":      {Fault{Path: "archive", Delay: time.Hour}, 0, 0, late},
		"resume":     {Fault{Path: "archive", Then: Resume, Bytes: 700}, 200, payloadSize, none},
		"drop":       {Fault{Path: "archive", Drop: true}, 0, 0, broken},
		"lost":       {Fault{Path: "archive", Then: Lost}, 0, 0, broken},
		"other verb": {Fault{Path: "archive", Method: http.MethodPut, Hang: true}, 200, payloadSize, none},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := StartProxyTo(t, socket)
			p.Inject(test.fault)
			status, n, err := get(t, p, "/v1.41/containers/x/archive?path=/data")
			if status != test.status || n != test.n || !test.ok(err) {
				t.Errorf("got status %d, %d bytes, %v", status, n, err)
			}
			asked := p.Requests()
			if len(asked) != 1 || asked[0].Path != "/containers/x/archive" || asked[0].Query.Get("path") != "/data" {
				t.Errorf("noted %+v", asked)
			}
		})
	}
}

func TestProxyCountsAndForgives(t *testing.T) {
	socket, _ := fakeEngine(t)
	p := StartProxyTo(t, socket)
	p.Inject(Fault{Path: "x", Skip: 1, Times: 2, Status: 500})
	want := []int{200, 500, 500, 200}
	for i, status := range want {
		if got, _, _ := get(t, p, "/x"); got != status {
			t.Errorf("request %d: %d, want %d", i, got, status)
		}
	}
	p.Inject(Fault{Path: "x", Status: 404})
	p.Clear()
	if got, _, _ := get(t, p, "/x"); got != 200 {
		t.Errorf("after Clear: %d", got)
	}
}

func TestProxyCutsAnUpload(t *testing.T) {
	socket, uploads := fakeEngine(t)
	p := StartProxyTo(t, socket)
	put := func() error {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://engine/archive", io.LimitReader(endless{}, 100_000))
		resp, err := through(p).Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := put(); err != nil || <-uploads != 100_000 {
		t.Errorf("whole upload: %v", err)
	}
	p.Inject(Fault{Method: http.MethodPut, Upload: 5000})
	if err := put(); err == nil {
		t.Error("cut upload: no error")
	}
	if n := <-uploads; n != -5000 {
		t.Errorf("the engine got %d bytes and a whole request", n)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// takeOver asks for a connection of one's own, sends text on it and returns
// what comes back.
func takeOver(t *testing.T, p *Proxy, text string) (string, error) {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(p.Host(), "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, "POST /exec/x/start HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}")
	io.WriteString(conn, text)
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func TestProxyJoinsConnections(t *testing.T) {
	socket, _ := fakeEngine(t)
	for name, c := range map[string]struct {
		fault   Fault
		head    bool
		comes   string
		strikes int
	}{
		"whole":             {Fault{Path: "^/other$", Drop: true}, true, "hello", 0},
		"never passed on":   {Fault{Drop: true}, false, "", 1},
		"no answer":         {Fault{Then: Lost}, false, "", 1},
		"cut on its way":    {Fault{Upload: 3}, true, "", 1},
		"cut on the return": {Fault{Then: Broken, Bytes: 2}, true, "he", 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := StartProxyTo(t, socket)
			strikes := make(chan bool, 2)
			c.fault.Strike = func() { strikes <- true }
			p.Inject(c.fault)
			answer, err := takeOver(t, p, "hello")
			if c.strikes == 0 && err != nil {
				t.Error(err)
			}
			if strings.HasPrefix(answer, "HTTP/1.1 101 ") != c.head || !strings.HasSuffix(answer, c.comes) || c.strikes > 0 && strings.HasSuffix(answer, "hello") {
				t.Errorf("got %q, %v", answer, err)
			}
			if len(strikes) != c.strikes {
				t.Errorf("struck %d times, want %d", len(strikes), c.strikes)
			}
		})
	}
}

func TestProxyNotesWhatPasses(t *testing.T) {
	socket, uploads := fakeEngine(t)
	p := StartProxyTo(t, socket)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://engine/archive", io.LimitReader(endless{}, 2*keptBody))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := through(p).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n := <-uploads; n != 2*keptBody {
		t.Errorf("the engine got %d bytes", n)
	}
	if _, _, err := get(t, p, "/x"); err != nil {
		t.Fatal(err)
	}
	if _, err := takeOver(t, p, "hello"); err != nil {
		t.Fatal(err)
	}
	got := p.Requests()
	if len(got) != 3 {
		t.Fatalf("noted %+v", got)
	}
	if r := got[0]; r.Up != 2*keptBody || len(r.Body) != keptBody || r.Status != 200 {
		t.Errorf("of the upload: %d bytes, %d kept, status %d", r.Up, len(r.Body), r.Status)
	}
	if r := got[1]; r.Up != 0 || r.Down != payloadSize || r.Status != 200 {
		t.Errorf("of the download: %d up, %d down, status %d", r.Up, r.Down, r.Status)
	}
	if r := got[2]; string(r.Body) != "{}hello" || r.Down != int64(len("hello")) {
		t.Errorf("of the connection that was taken over: %q, %d down", r.Body, r.Down)
	}
	if p.Forget(); len(p.Requests()) != 0 {
		t.Error("nothing is forgotten")
	}
}

func TestProxyPlaysAnEngineThatIsGone(t *testing.T) {
	socket, _ := fakeEngine(t)
	p := StartProxyTo(t, socket)
	conn, err := net.Dial("unix", strings.TrimPrefix(p.Host(), "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, "POST /exec/x/start HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n")
	io.WriteString(conn, "hello")
	if !Poll(5*time.Second, func() bool { r := p.Requests(); return len(r) == 1 && r[0].Down == 5 }) {
		t.Fatal("the connection is not joined")
	}
	p.Refuse(true)
	if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("an open connection outlives the engine")
	}
	if _, _, err := get(t, p, "/x"); err == nil {
		t.Error("a new connection is taken")
	}
	p.Refuse(false)
	if status, _, err := get(t, p, "/x"); status != 200 || err != nil {
		t.Errorf("afterwards: %d, %v", status, err)
	}
}

package enginetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Ending is what happens to an answer after some bytes of its body.
type Ending int

// The endings.
const (
	Whole  Ending = iota // the answer passes as it is
	Clean                // it ends there, as if that were all
	Broken               // the connection breaks
	Stall                // nothing more comes, and nothing ends
)

// Fault is something that goes wrong between a client and the engine.
type Fault struct {
	Method string // empty: any
	Path   string // regular expression for the path without the API version
	Skip   int    // so many matching requests pass first
	Times  int    // and so many are hit; 0: all

	Delay  time.Duration // before the request is passed on
	Hang   bool          // it is never passed on, and never answered
	Status int           // answered with this, and never passed on
	// Upload breaks the connection after so many bytes of the request's body.
	Upload int64
	// Bytes of the answer's body come through before Then happens.
	Bytes int64
	Then  Ending
}

// Request is one that came through a proxy.
type Request struct {
	Method string
	Path   string // without the API version
	Query  url.Values
	Header http.Header
}

// Proxy stands between a client and a Docker engine, notes what is asked, and
// does the harm it is told to.
type Proxy struct {
	socket   string
	upstream string
	stop     context.Context
	rt       *http.Transport

	mu       sync.Mutex
	faults   []*planned
	requests []Request
	met      bool
}

type planned struct {
	Fault
	path *regexp.Regexp
	seen int
}

// StartProxy puts a proxy before the machine's own engine. It ends with the
// test.
func StartProxy(t testing.TB) *Proxy {
	t.Helper()
	socket := "/var/run/docker.sock"
	if host, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		socket = host
	}
	return StartProxyTo(t, socket)
}

// StartProxyTo puts a proxy before whatever serves HTTP on a unix socket.
func StartProxyTo(t testing.TB, upstream string) *Proxy {
	t.Helper()
	// Not in t.TempDir: a socket's path must be short.
	dir, err := os.MkdirTemp("", "rbk")
	if err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(context.Background())
	p := &Proxy{socket: filepath.Join(dir, "s"), upstream: upstream, stop: stop}
	p.rt = &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return p.dial(ctx)
	}}
	listener, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends by Close
	}()
	t.Cleanup(func() {
		cancel()
		server.Close()
		<-done
		p.rt.CloseIdleConnections()
		os.RemoveAll(dir)
	})
	return p
}

// Host is the proxy's address as DOCKER_HOST.
func (p *Proxy) Host() string { return "unix://" + p.socket }

// Inject plans a fault. The first one that matches a request hits it.
func (p *Proxy) Inject(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &planned{Fault: f, path: regexp.MustCompile(f.Path)})
}

// Clear takes all faults back.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Requests returns what was asked so far.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// Met tells whether a fault has hit a request yet.
func (p *Proxy) Met() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.met
}

func (p *Proxy) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", p.upstream)
}

var apiVersion = regexp.MustCompile(`^/v[0-9]+\.[0-9]+/`)

// note records a request and picks the fault that hits it.
func (p *Proxy) note(r *http.Request) Fault {
	path := apiVersion.ReplaceAllString(r.URL.Path, "/")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, Request{Method: r.Method, Path: path, Query: r.URL.Query(), Header: r.Header.Clone()})
	for _, f := range p.faults {
		if f.Method != "" && f.Method != r.Method || !f.path.MatchString(path) {
			continue
		}
		f.seen++
		if f.seen > f.Skip && (f.Times == 0 || f.seen <= f.Skip+f.Times) {
			p.met = true
			return f.Fault
		}
	}
	return Fault{}
}

// ServeHTTP passes one request on.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.note(r)
	if f.Delay > 0 {
		p.wait(r, time.After(f.Delay))
	}
	switch {
	case f.Hang:
		p.wait(r, nil)
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, `{"message":"injected %d"}`, f.Status)
	case r.Header.Get("Upgrade") != "":
		p.splice(w, r)
	default:
		p.forward(w, r, f)
	}
}

// wait holds a request until its client goes away, the test ends or a time
// has come.
func (p *Proxy) wait(r *http.Request, until <-chan time.Time) {
	select {
	case <-until:
	case <-r.Context().Done():
	case <-p.stop.Done():
	}
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, f Fault) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = "http", "engine"
	if f.Upload > 0 {
		out.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, f.Upload), brokenReader{}))
	}
	answer, err := p.rt.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	header := w.Header()
	for name, values := range answer.Header {
		header[name] = values
	}
	if f.Then != Whole {
		header.Del("Content-Length")
	}
	w.WriteHeader(answer.StatusCode)
	var body io.Reader = answer.Body
	if f.Then != Whole {
		body = io.LimitReader(answer.Body, f.Bytes)
	}
	if err := pass(w, body); err != nil {
		panic(http.ErrAbortHandler)
	}
	switch f.Then {
	case Broken:
		panic(http.ErrAbortHandler)
	case Stall:
		p.wait(r, nil)
		panic(http.ErrAbortHandler)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// pass copies a body, and sends each piece at once.
func pass(w http.ResponseWriter, body io.Reader) error {
	flush := http.NewResponseController(w)
	if err := flush.Flush(); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			if err := flush.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// splice joins the two connections of a request that takes its own over.
func (p *Proxy) splice(w http.ResponseWriter, r *http.Request) {
	up, err := p.dial(r.Context())
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer up.Close()
	if err := r.Write(up); err != nil {
		panic(http.ErrAbortHandler)
	}
	down, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer down.Close()
	defer context.AfterFunc(p.stop, func() { up.Close(); down.Close() })()
	both := make(chan struct{}, 2)
	go func() { pump(up, buffered.Reader); both <- struct{}{} }()
	go func() { pump(down, bufio.NewReader(up)); both <- struct{}{} }()
	<-both
	<-both
}

// pump copies one direction and hands its end on.
func pump(to net.Conn, from io.Reader) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

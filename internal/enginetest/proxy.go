package enginetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	Lost                 // nothing of it comes, not even its head: the connection breaks
	Resume               // Strike is called, and then the rest comes, as far as there is one
)

// Fault is something that goes wrong between a client and the engine.
type Fault struct {
	Method string // empty: any
	Path   string // regular expression for the path without the API version
	Skip   int    // so many matching requests pass first
	Times  int    // and so many are hit; 0: all

	Delay  time.Duration // before the request is passed on
	Hang   bool          // it is never passed on, and never answered
	Drop   bool          // it is never passed on, and the connection breaks
	Status int           // answered with this, and never passed on
	// Upload breaks the connection after so many bytes of the request's body,
	// or of what is sent on a connection that was taken over.
	Upload int64
	// Bytes of the answer's body come through before Then happens.
	Bytes int64
	Then  Ending
	// Strike is called just before the connection breaks, or goes on.
	Strike func()
}

func (f Fault) strike() {
	if f.Strike != nil {
		f.Strike()
	}
}

// Request is one that came through a proxy.
type Request struct {
	Method string
	Path   string // without the API version
	Query  url.Values
	Header http.Header
	// Body is what the client sent, what came on a connection that was taken
	// over included, as far as it is kept. Up counts all of it, Down what came
	// back.
	Body     []byte
	Up, Down int64
	Status   int // of the answer; 0: there was none, or it took the connection over
}

// keptBody is how much of each request's body a proxy keeps.
const keptBody = 1 << 20

// Proxy stands between a client and a Docker engine, notes what is asked, and
// does the harm it is told to.
type Proxy struct {
	socket   string
	upstream string
	stop     context.Context
	rt       *http.Transport

	mu       sync.Mutex
	faults   []*planned
	requests []*Request
	met      bool
	refuses  bool
	open     map[net.Conn]bool
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
	p := &Proxy{socket: filepath.Join(dir, "s"), upstream: upstream, stop: stop, open: map[net.Conn]bool{}}
	p.rt = &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return p.dial(ctx)
	}}
	listener, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p, ConnState: p.admit}
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
	requests := make([]Request, len(p.requests))
	for i, r := range p.requests {
		requests[i] = *r
		requests[i].Body = slices.Clone(r.Body)
	}
	return requests
}

// Forget starts the notes anew.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.met = nil, false
}

// Refuse breaks all connections and takes no new one, as an engine does that
// is gone; and Refuse(false) lets it come back.
func (p *Proxy) Refuse(refuses bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = refuses
	for c := range p.open {
		if refuses {
			c.Close()
		}
	}
}

// admit keeps account of connections, and breaks them while there is to be no
// engine.
func (p *Proxy) admit(c net.Conn, state http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case state == http.StateClosed:
		delete(p.open, c)
	case p.refuses:
		c.Close()
	default:
		p.open[c] = true
	}
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
func (p *Proxy) note(r *http.Request) (*traffic, Fault) {
	path := apiVersion.ReplaceAllString(r.URL.Path, "/")
	p.mu.Lock()
	defer p.mu.Unlock()
	noted := &Request{Method: r.Method, Path: path, Query: r.URL.Query(), Header: r.Header.Clone()}
	p.requests = append(p.requests, noted)
	about := &traffic{p, noted}
	for _, f := range p.faults {
		if f.Method != "" && f.Method != r.Method || !f.path.MatchString(path) {
			continue
		}
		f.seen++
		if f.seen > f.Skip && (f.Times == 0 || f.seen <= f.Skip+f.Times) {
			p.met = true
			return about, f.Fault
		}
	}
	return about, Fault{}
}

// traffic is where the bytes of one request are noted.
type traffic struct {
	p *Proxy
	r *Request
}

func (t *traffic) up(b []byte) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.r.Up += int64(len(b))
	t.r.Body = append(t.r.Body, b[:min(len(b), keptBody-len(t.r.Body))]...)
}

func (t *traffic) down(b []byte) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.r.Down += int64(len(b))
}

func (t *traffic) answered(status int) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.r.Status = status
}

// seen notes what is read.
type seen struct {
	io.Reader
	note func([]byte)
}

func (s seen) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	s.note(b[:n])
	return n, err
}

// ServeHTTP passes one request on.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	about, f := p.note(r)
	r.Body = struct {
		io.Reader
		io.Closer
	}{seen{r.Body, about.up}, r.Body}
	if f.Delay > 0 {
		p.wait(r, time.After(f.Delay))
	}
	if (f.Drop || f.Status != 0) && r.ContentLength > 0 {
		_, _ = io.Copy(io.Discard, r.Body) // it is noted, not passed on
	}
	switch {
	case f.Hang:
		p.wait(r, nil)
		panic(http.ErrAbortHandler)
	case f.Drop:
		f.strike()
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		about.answered(f.Status)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, `{"message":"injected %d"}`, f.Status)
	case r.Header.Get("Upgrade") != "":
		p.splice(w, r, f, about)
	default:
		p.forward(w, r, f, about)
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

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, f Fault, about *traffic) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = "http", "engine"
	switch {
	case f.Upload > 0:
		out.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, f.Upload), brokenReader{f}))
	case r.ContentLength == 0:
		out.Body = http.NoBody // the wrapped one would be sent in chunks
	}
	answer, err := p.rt.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	about.answered(answer.StatusCode)
	if f.Then == Lost {
		f.strike()
		panic(http.ErrAbortHandler)
	}
	header := w.Header()
	for name, values := range answer.Header {
		header[name] = values
	}
	if f.Then != Whole {
		header.Del("Content-Length")
	}
	w.WriteHeader(answer.StatusCode)
	var body io.Reader = seen{answer.Body, about.down}
	if f.Then != Whole {
		body = io.LimitReader(body, f.Bytes)
	}
	if err := pass(w, body); err != nil {
		panic(http.ErrAbortHandler)
	}
	switch f.Then {
	case Resume:
		f.strike()
		if err := pass(w, seen{answer.Body, about.down}); err != nil {
			panic(http.ErrAbortHandler)
		}
	case Broken:
		f.strike()
		panic(http.ErrAbortHandler)
	case Stall:
		p.wait(r, nil)
		panic(http.ErrAbortHandler)
	}
}

// brokenReader is the end of an upload that a fault breaks off.
type brokenReader struct{ f Fault }

func (b brokenReader) Read([]byte) (int, error) {
	b.f.strike()
	return 0, io.ErrUnexpectedEOF
}

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

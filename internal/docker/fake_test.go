package docker

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
)

// fake is an engine that answers as a test wants it to.
type fake struct {
	socket string

	mu    sync.Mutex
	asked []string // "METHOD /path" without the version
	on    map[string]http.HandlerFunc
}

var versioned = regexp.MustCompile(`^/v1\.[0-9]+/`)

// newFake serves /_ping as API 1.41 and nothing else.
func newFake(t *testing.T) *fake {
	t.Helper()
	dir, err := os.MkdirTemp("", "rbk")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{socket: filepath.Join(dir, "e"), on: map[string]http.HandlerFunc{}}
	f.handle("HEAD /_ping", pong("1.41"))
	listener, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: f}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close(); os.RemoveAll(dir) })
	return f
}

func pong(version string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", version)
		w.Header().Set("Ostype", "linux")
	}
}

// handle sets the answer to a request, by method and path.
func (f *fake) handle(request string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on[request] = h
}

// answers makes a handler that says v.
func answers(status int, v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
}

// refuses makes a handler that says no, as the engine does.
func refuses(status int, message string) http.HandlerFunc {
	return answers(status, map[string]string{"message": message})
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := r.Method + " " + versioned.ReplaceAllString(r.URL.Path, "/")
	f.mu.Lock()
	f.asked = append(f.asked, request)
	h := f.on[request]
	f.mu.Unlock()
	if h == nil {
		h = refuses(http.StatusNotFound, "page not found")
	}
	h(w, r)
}

// requests returns what was asked, pings aside.
func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, r := range f.asked {
		if r != "HEAD /_ping" && r != "GET /_ping" {
			list = append(list, r)
		}
	}
	return list
}

func (f *fake) host() string { return "unix://" + f.socket }

func (f *fake) connect(t *testing.T) *Engine {
	t.Helper()
	e, err := Connect(t.Context(), Env{Host: f.host()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

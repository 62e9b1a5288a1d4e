package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// site answers requests.
type site struct {
	view    Viewer
	options Options
	limits  limits
	log     *slog.Logger
	names   hostNames
	page    *pages
	process *prometheus.Registry
	handler http.Handler
}

func newSite(look Viewer, o Options, listen net.Addr, l limits) (*site, error) {
	p, err := newPages()
	if err != nil {
		return nil, err
	}
	s := &site{view: look, options: o, limits: l, log: o.Log, names: namesOf(listen, o.Hosts), page: p, process: ofProcess()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", s.health)
	mux.HandleFunc("/readyz", s.ready)
	mux.Handle("/metrics", s.locked(!o.OpenMetrics, s.metrics))
	mux.Handle("/{$}", s.locked(true, s.overview))
	mux.Handle("/source/{name}", s.locked(true, s.single))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusNotFound, "there is no such page\n") })
	s.handler = s.unbroken(s.hardened(s.called(reading(mux))))
	return s, nil
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// look makes the view of a request, or answers that there is none.
func (s *site) look(w http.ResponseWriter, r *http.Request) (View, bool) {
	v, err := s.viewed(r)
	if err != nil {
		s.fail(w, r, err)
		return View{}, false
	}
	return v, true
}

func (s *site) viewed(r *http.Request) (View, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.look)
	defer cancel()
	return s.view(ctx)
}

// fail answers with what went wrong. Nothing has been written yet.
func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, context.Canceled) { // else the client has gone
		s.log.Error("status request failed", "path", r.URL.Path, "error", err)
	}
	text(w, http.StatusInternalServerError, fmt.Sprintf("the status cannot be shown: %v\n", err))
}

// health says that the process is up, and nothing more.
func (s *site) health(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") }

// ready says whether the backups are as they should be.
func (s *site) ready(w http.ResponseWriter, r *http.Request) {
	v, err := s.viewed(r)
	if err != nil {
		text(w, http.StatusServiceUnavailable, fmt.Sprintf("the repository cannot be read: %v\n", err))
		return
	}
	var late bytes.Buffer
	for _, source := range v.Sources {
		if source.Overdue {
			fmt.Fprintf(&late, "%s is overdue%s\n", source.Name, since(source.OverdueSince))
		}
	}
	for _, trouble := range v.Trouble {
		fmt.Fprintln(&late, trouble)
	}
	if late.Len() > 0 {
		text(w, http.StatusServiceUnavailable, late.String())
		return
	}
	text(w, http.StatusOK, "ready\n")
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // a client that went away is its own affair
}

// unbroken turns a panic into an answer. The server would survive it too, and
// say nothing to the client.
func (s *site) unbroken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p) // the server's own word for: hang up
			}
			s.log.Error("panic in a status request", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			text(w, http.StatusInternalServerError, "the status cannot be shown: a defect of redisbak; its log has the details\n")
		}()
		next.ServeHTTP(w, r)
	})
}

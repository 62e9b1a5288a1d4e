package status

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func serving(t *testing.T, v View) http.Handler {
	t.Helper()
	return answering(t, func() (View, error) { return v, nil }, Options{})
}

func answering(t *testing.T, look func() (View, error), o Options) http.Handler {
	t.Helper()
	return listening(t, "127.0.0.1:9467", look, o)
}

func listening(t *testing.T, address string, look func() (View, error), o Options) http.Handler {
	t.Helper()
	listen, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSite(func(context.Context) (View, error) { return look() }, o, listen, usual())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	return ask(t, h, http.MethodGet, path, func(*http.Request) {})
}

func ask(t *testing.T, h http.Handler, method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Host = "localhost:9467"
	change(r)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	return answer
}

func everyPath() []string {
	return []string{"/", "/source/sessions", "/metrics", "/healthz", "/readyz"}
}

func TestEveryPathAnswers(t *testing.T) {
	h := serving(t, quiet(t))
	for _, path := range everyPath() {
		if answer := get(t, h, path); answer.Code != http.StatusOK {
			t.Errorf("%s: %d: %s", path, answer.Code, answer.Body)
		}
	}
	for _, path := range []string{"/nothing", "/source/", "/source/nobody", "/source/sessions/x", "/metrics/", "/favicon.ico"} {
		if answer := get(t, h, path); answer.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, answer.Code)
		}
	}
	for _, query := range []string{"?from=x", "?from=-1", "?from=1e3"} {
		if answer := get(t, h, "/source/sessions"+query); answer.Code != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", query, answer.Code)
		}
	}
}

// A health check says that the process is up; readiness, that backups are as
// they should be.
func TestReadinessFailsWhereASourceIsOverdue(t *testing.T) {
	late := serving(t, full(t))
	if answer := get(t, late, "/healthz"); answer.Code != http.StatusOK {
		t.Errorf("/healthz: %d: a late backup is no reason to restart the daemon", answer.Code)
	}
	answer := get(t, late, "/readyz")
	if want := "queue is overdue since 2026-02-08T10:00:05Z\n"; answer.Code != http.StatusServiceUnavailable || answer.Body.String() != want {
		t.Errorf("/readyz: %d %q, want 503 %q", answer.Code, answer.Body, want)
	}
	if answer := get(t, serving(t, quiet(t)), "/readyz"); answer.Code != http.StatusOK || answer.Body.String() != "ready\n" {
		t.Errorf("/readyz: %d %q", answer.Code, answer.Body)
	}
	gone := answering(t, func() (View, error) { return View{}, errors.New("/backups: input/output error") }, Options{User: "u", Password: "p"})
	if answer := get(t, gone, "/readyz"); answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "/backups: input/output error") {
		t.Errorf("/readyz: %d %q", answer.Code, answer.Body)
	}
	if answer := get(t, gone, "/healthz"); answer.Code != http.StatusOK {
		t.Errorf("/healthz: %d", answer.Code)
	}
}

// A page of another site that makes its own name lead here gets nothing.
func TestHostHeaderIsChecked(t *testing.T) {
	look := func() (View, error) { return quiet(t), nil }
	for _, tt := range []struct {
		listen, host string
		want         int
	}{
		{"127.0.0.1:9467", "localhost", 200}, {"127.0.0.1:9467", "LOCALHOST.:9467", 200}, {"127.0.0.1:9467", "127.0.0.1:9467", 200},
		{"127.0.0.1:9467", "127.8.8.8", 200}, {"127.0.0.1:9467", "[::1]:9467", 200}, {"127.0.0.1:9467", "[::ffff:127.0.0.1]:9467", 200},
		{"127.0.0.1:9467", "redisbak:9467", 200}, {"127.0.0.1:9467", "Backup.Example.org", 200}, // these two are configured
		{"127.0.0.1:9467", "evil.example.org", 421}, {"127.0.0.1:9467", "", 421}, {"127.0.0.1:9467", "localhost.evil.org", 421},
		{"127.0.0.1:9467", "127.0.0.1.evil.org", 421}, {"127.0.0.1:9467", "192.0.2.7:9467", 421}, {"127.0.0.1:9467", "0x7f000001", 421},
		{"192.0.2.7:9467", "192.0.2.7:9467", 200}, {"192.0.2.7:9467", "192.0.2.8:9467", 421}, {"192.0.2.7:9467", "localhost", 200},
		{"0.0.0.0:9467", "192.0.2.8:9467", 200}, {"[::]:9467", "[2001:db8::1]:9467", 200}, {"[::]:9467", "evil.example.org", 421},
		{"[2001:db8::1]:9467", "[2001:DB8:0::1]", 200},
	} {
		h := listening(t, tt.listen, look, Options{Hosts: []string{"redisbak", "BACKUP.example.org."}})
		for _, path := range everyPath() {
			answer := ask(t, h, http.MethodGet, path, func(r *http.Request) { r.Host = tt.host })
			if answer.Code != tt.want {
				t.Errorf("listening on %s, called %q: %s answers %d, want %d", tt.listen, tt.host, path, answer.Code, tt.want)
			}
			if tt.want == 421 && strings.Contains(answer.Body.String(), "sessions") {
				t.Errorf("called %q, %s tells of sources", tt.host, path)
			}
		}
	}
}

func TestOnlyReading(t *testing.T) {
	h := serving(t, quiet(t))
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "FOO"} {
		for _, path := range everyPath() {
			answer := ask(t, h, method, path, func(*http.Request) {})
			if answer.Code != http.StatusMethodNotAllowed || answer.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, answer.Code, answer.Header().Get("Allow"))
			}
		}
	}
	for _, path := range everyPath() {
		if answer := ask(t, h, http.MethodHead, path, func(*http.Request) {}); answer.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, answer.Code)
		}
	}
}

func TestHeadersKeepABrowserFromMore(t *testing.T) {
	for _, path := range append(everyPath(), "/nothing") {
		h := get(t, serving(t, quiet(t)), path).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s %q, want %q", path, name, got, want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'; ", "style-src 'sha256-", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q lacks %q", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
}

func TestPassword(t *testing.T) {
	look := func() (View, error) { return quiet(t), nil }
	for _, tt := range []struct {
		user, password string
		open           bool
		path           string
		want           int
	}{
		{"", "", false, "/", 401}, {"ops", "s3cret", false, "/", 200}, {"ops", "s3cret", false, "/metrics", 200}, {"ops", "s3cret", false, "/source/sessions", 200},
		{"ops", "s3cre", false, "/", 401}, {"ops", "s3cret ", false, "/", 401}, {"op", "s3cret", false, "/", 401}, {"", "s3cret", false, "/", 401}, {"ops", "", false, "/", 401},
		{"", "", false, "/source/sessions", 401}, {"", "", false, "/source/nobody", 401}, {"", "", false, "/metrics", 401},
		{"", "", true, "/metrics", 200}, {"", "", true, "/", 401}, {"", "", false, "/healthz", 200}, {"", "", false, "/readyz", 200},
	} {
		h := answering(t, look, Options{User: "ops", Password: "s3cret", OpenMetrics: tt.open})
		answer := ask(t, h, http.MethodGet, tt.path, func(r *http.Request) {
			if tt.user+tt.password != "" {
				r.SetBasicAuth(tt.user, tt.password)
			}
		})
		if answer.Code != tt.want {
			t.Errorf("%q %q: %s answers %d, want %d", tt.user, tt.password, tt.path, answer.Code, tt.want)
		}
		if asked := strings.HasPrefix(answer.Header().Get("WWW-Authenticate"), "Basic "); asked != (tt.want == 401) {
			t.Errorf("%s: a browser is asked for a password: %v", tt.path, asked)
		}
	}
}

// A defect in one request is answered, logged, and ends nothing else.
func TestPanicEndsOneRequest(t *testing.T) {
	var log strings.Builder
	boom := true
	h := answering(t, func() (View, error) {
		if boom {
			panic("a defect: secret detail")
		}
		return quiet(t), nil
	}, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, path := range []string{"/", "/source/sessions", "/metrics", "/readyz"} {
		answer := get(t, h, path)
		if answer.Code != http.StatusInternalServerError || strings.Contains(answer.Body.String(), "secret detail") {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
		if !strings.Contains(log.String(), "secret detail") || !strings.Contains(log.String(), path) {
			t.Errorf("%s: not in the log: %s", path, &log)
		}
		log.Reset()
	}
	boom = false
	if answer := get(t, h, "/"); answer.Code != http.StatusOK {
		t.Errorf("afterwards: %d", answer.Code)
	}
}

func TestNoViewIsSaid(t *testing.T) {
	h := answering(t, func() (View, error) { return View{}, errors.New("read /backups: input/output error") }, Options{})
	for _, path := range []string{"/", "/source/sessions", "/metrics"} {
		answer := get(t, h, path)
		if answer.Code != http.StatusInternalServerError || !strings.Contains(answer.Body.String(), "read /backups: input/output error") {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
		if got := answer.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
}

package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// heard notes what a service was told.
type heard struct {
	mu   sync.Mutex
	said []string // "METHOD path body"
}

func (h *heard) note(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, body)))
}

func (h *heard) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.said, "\n")
}

// listen answers with a status and notes who called.
func listen(t *testing.T, status int) (*heard, string) {
	t.Helper()
	h := &heard{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.note(r)
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return h, strings.TrimPrefix(s.URL, "http://")
}

func generic(address, path string) string { return "generic://" + address + path + "?disabletls=yes" }

// One service that is down keeps none of the others from hearing, and the error
// names it without its secrets (FAULT 69).
func TestFault69EachServiceHearsAndNoSecretIsTold(t *testing.T) {
	good, goodAt := listen(t, http.StatusOK)
	bad, badAt := listen(t, http.StatusForbidden)
	gone := httptest.NewServer(http.NotFoundHandler())
	goneAt := strings.TrimPrefix(gone.URL, "http://")
	gone.Close()
	n, err := New([]string{
		generic(badAt, "/hooks/canary-token-1"), generic(goneAt, "/hooks/canary-token-2"), generic(goodAt, "/hooks/canary-token-3"),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.waits = []time.Duration{time.Millisecond}
	err = n.Send(t.Context(), Message{Title: "redisbak", Body: "sessions: failed"})
	if err == nil || !strings.Contains(err.Error(), "generic (URL 1)") || !strings.Contains(err.Error(), "generic (URL 2)") || strings.Contains(err.Error(), "URL 3") {
		t.Errorf("Send: %v", err)
	}
	for _, secret := range []string{"canary", badAt, goneAt} {
		if strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("%q is in %v", secret, err)
		}
	}
	for name, h := range map[string]*heard{"good": good, "bad": bad} {
		if !strings.Contains(h.all(), "sessions: failed") {
			t.Errorf("the %s one heard %q", name, h.all())
		}
	}
}

// A service that is down for a moment hears all the same, and one that has heard
// is not told again.
func TestSendAsksAgain(t *testing.T) {
	good, goodAt := listen(t, http.StatusOK)
	var asked atomic.Int64
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer flaky.Close()
	n, err := New([]string{generic(goodAt, "/hook"), generic(strings.TrimPrefix(flaky.URL, "http://"), "/hook")})
	if err != nil {
		t.Fatal(err)
	}
	n.waits = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	if err := n.Send(t.Context(), Message{Body: "x"}); err != nil || asked.Load() != 3 || strings.Count(good.all(), "POST") != 1 {
		t.Errorf("Send: %v, asked %d times; the other heard %q", err, asked.Load(), good.all())
	}
}

func TestNewTellsEveryWrongURLAndShowsNone(t *testing.T) {
	_, err := New([]string{"nosuch://canary-user:canary-pass@host/canary-path", "canary-without-a-scheme", "ntfy://ntfy.example/topic", "://canary"})
	var wrong *URLError
	if !errors.As(err, &wrong) || wrong.Place != 1 {
		t.Fatalf("New: %v", err)
	}
	for _, place := range []string{"URL 1: ", "URL 2: ", "URL 4: "} {
		if !strings.Contains(err.Error(), place) {
			t.Errorf("no %q in %v", place, err)
		}
	}
	if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "URL 3") {
		t.Errorf("New: %v", err)
	}
}

// The kinds that people ask for are there.
func TestServicesThatPeopleUse(t *testing.T) {
	urls := []string{
		"smtp://user:password@mail.example:587/?from=a@example.org&to=b@example.org",
		"slack://hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456@webhook",
		"telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=@channel",
		"discord://token@id", "ntfy://ntfy.example/topic", "gotify://host/AbCdEfGhIjKlMnO",
		"matrix://user:password@host:8448/", "pushover://shoutrrr:token@user/", "generic+https://example.org/hook",
	}
	n, err := New(urls)
	if err != nil || n.Len() != len(urls) {
		t.Errorf("New: %v", err)
	}
}

func TestSendDoesNotWaitForOneThatHangs(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	n, err := New([]string{generic(strings.TrimPrefix(s.URL, "http://"), "/hook")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.Send(ctx, Message{Body: "x"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send: %v", err)
	}
}

func TestSwitchTellsStartSuccessAndFailure(t *testing.T) {
	h, at := listen(t, http.StatusOK)
	s, err := NewSwitch("http://" + at + "/canary-token")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := errors.Join(s.Start(ctx), s.Success(ctx, "5 keys"), s.Fail(ctx, "no space")); err != nil {
		t.Fatal(err)
	}
	if want := "POST /canary-token/start\nPOST /canary-token 5 keys\nPOST /canary-token/fail no space"; h.all() != want {
		t.Errorf("it heard\n%s\nwant\n%s", h.all(), want)
	}
	_, at = listen(t, http.StatusNotFound)
	lost, err := NewSwitch("http://" + at + "/canary-token?rid=canary-query")
	if err != nil {
		t.Fatal(err)
	}
	if err := lost.Success(ctx, ""); err == nil || !strings.Contains(err.Error(), "404") || strings.Contains(err.Error(), "canary") {
		t.Errorf("a switch that is not there: %v", err)
	}
	for _, wrong := range []string{"canary", "ftp://canary/x", "https://", "https:canary"} {
		if _, err := NewSwitch(wrong); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("NewSwitch(%q): %v", wrong, err)
		}
	}
	var none Switch
	if err := errors.Join(none.Start(ctx), none.Success(ctx, ""), none.Fail(ctx, "")); err != nil {
		t.Errorf("no switch: %v", err)
	}
}

package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Switch is a dead man's switch: a URL that is called when a run starts, when
// it succeeds and when it fails, and that raises the alarm itself when it hears
// nothing for too long. It speaks as Healthchecks does, and others after it:
// URL/start, URL, URL/fail. The zero value calls nobody.
type Switch struct {
	url     *url.URL
	secrets []string
}

// NewSwitch reads the URL of a dead man's switch, http or https; "" is none.
func NewSwitch(text string) (Switch, error) {
	if text == "" {
		return Switch{}, nil
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Switch{}, errors.New("ping URL: not a URL like https://host/token")
	}
	return Switch{url: u, secrets: secrets(u)}, nil
}

// Start says that a run began.
func (s Switch) Start(ctx context.Context) error { return s.call(ctx, "start", "") }

// Success says that a run is done and good.
func (s Switch) Success(ctx context.Context, note string) error { return s.call(ctx, "", note) }

// Fail says that a run was no success, and why.
func (s Switch) Fail(ctx context.Context, note string) error { return s.call(ctx, "fail", note) }

func (s Switch) call(ctx context.Context, what, note string) error {
	if s.url == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	u := *s.url
	if what != "" {
		u = *u.JoinPath(what)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(note))
	if err != nil {
		return s.failed(err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s.failed(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode/100 != 2 {
		return s.failed(fmt.Errorf("it answered %s", res.Status))
	}
	return nil
}

func (s Switch) failed(err error) error {
	return fmt.Errorf("dead man's switch: %s", redact(err.Error(), s.secrets))
}

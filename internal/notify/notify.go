// Package notify tells people and watchers what happened: it sends messages to
// the services that URLs name (mail, Slack, Telegram, ntfy, a webhook and many
// more), and reports runs to a dead man's switch, which calls when it hears
// nothing.
//
// It promises that one service that fails keeps none of the others from
// hearing, that nothing waits longer than the limit for any of them, and that
// no error shows a URL or a part of one that may be a secret: most have a
// token in their path.
//
// It does not decide what is worth a message, and repeats none but those that
// did not get through.
package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"strings"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// limit is how long one service may take.
const limit = 30 * time.Second

// Notifier sends to a number of services. It may be used from several
// goroutines. The zero value sends to none.
type Notifier struct {
	services []service
	waits    []time.Duration // between two tries
}

type service struct {
	name    string // of its kind, and its place in the list: "slack (URL 2)"
	secrets []string
	open    func() (types.Service, error)
}

// URLError says that a URL names no service that messages can be sent to. It
// does not show the URL.
type URLError struct {
	Place  int // in the list, from 1
	Reason string
}

func (e *URLError) Error() string { return fmt.Sprintf("notification URL %d: %s", e.Place, e.Reason) }

// New reads the URLs of services, as https://shoutrrr.nickfedor.com describes
// them: "ntfy://…", "smtp://…", "generic+https://…". All that are wrong are
// told, each as a *URLError.
func New(urls []string) (*Notifier, error) {
	n := &Notifier{waits: patience()}
	var wrong []error
	for i, text := range urls {
		s, err := newService(text)
		if err != nil {
			wrong = append(wrong, &URLError{Place: i + 1, Reason: err.Error()})
			continue
		}
		s.name = fmt.Sprintf("%s (URL %d)", s.name, i+1)
		n.services = append(n.services, s)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return n, nil
}

func newService(text string) (service, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme == "" {
		return service{}, errors.New("it is no URL with a service in front, like ntfy://host/topic")
	}
	s := service{name: u.Scheme, secrets: secrets(u)}
	quiet, err := router.New(log.New(io.Discard, "", 0))
	if err != nil {
		return service{}, err
	}
	s.open = func() (types.Service, error) { return quiet.Locate(u.String()) }
	if logsIn(u.Scheme) {
		return s, nil
	}
	opened, err := s.open()
	if err != nil {
		return service{}, errors.New(redact(err.Error(), s.secrets))
	}
	s.open = func() (types.Service, error) { return opened, nil }
	return s, nil
}

// logsIn says of a kind that to open it is to log in there: a daemon must start
// also while its host cannot be reached.
func logsIn(kind string) bool { return kind == "matrix" }

// Len is the number of services.
func (n *Notifier) Len() int {
	if n == nil {
		return 0
	}
	return len(n.services)
}

// Message is what is sent. Not every service shows a title.
type Message struct{ Title, Body string }

// Send sends a message to every service. One that does not take it is asked
// again after a while, longer each time, for about an hour or until ctx ends.
// The error names those that never took it, and why.
func (n *Notifier) Send(ctx context.Context, m Message) error {
	if n == nil {
		return nil
	}
	failed := make(chan error, len(n.services))
	for _, s := range n.services {
		go func() { failed <- s.persist(ctx, m, n.waits) }()
	}
	var all []error
	for range n.services {
		all = append(all, <-failed)
	}
	return errors.Join(all...)
}

func patience() []time.Duration {
	return []time.Duration{10 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute}
}

func (s service) persist(ctx context.Context, m Message, waits []time.Duration) error {
	err := s.send(ctx, m)
	for _, wait := range waits {
		if err == nil {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
			err = s.send(ctx, m)
		}
	}
	return err
}

// send waits no longer than the limit and the context allow. The library takes
// neither; what hangs is left behind.
func (s service) send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		sender, err := s.open()
		if err == nil {
			params := types.Params{}
			if m.Title != "" {
				params.SetTitle(m.Title)
			}
			err = sender.Send(m.Body, &params)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("notify by %s: %s", s.name, redact(err.Error(), s.secrets))
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("notify by %s: no answer: %w", s.name, ctx.Err())
	}
}

// shortest is the length from which on a part of a URL may be a secret. What is
// shorter is in every other word too.
const shortest = 4

// secrets are the parts of a URL that no error may show, the longest first, so
// that none is left of which another is a part.
func secrets(u *url.URL) []string {
	var all []string
	add := func(parts ...string) {
		for _, p := range parts {
			if len(p) >= shortest {
				all = append(all, p, url.PathEscape(p), url.QueryEscape(p))
			}
		}
	}
	add(u.String(), u.Opaque, u.Path, u.RawQuery, u.Host, u.Hostname(), u.Fragment)
	add(strings.Split(u.Path, "/")...)
	if u.User != nil {
		password, _ := u.User.Password()
		add(u.User.String(), u.User.Username(), password)
	}
	for _, values := range u.Query() {
		add(values...)
	}
	return longestFirst(all)
}

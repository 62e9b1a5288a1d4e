package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// Sentinels: facts that need no detail beyond the text they are wrapped in.
var (
	// ErrNoServer is returned when a container runs no Redis or Valkey server.
	ErrNoServer = errors.New("no redis-server or valkey-server process")
	// ErrShortStream is returned when the engine's answer ended before the
	// file that it announced was complete.
	ErrShortStream = errors.New("stream from docker ended early")
	// ErrNotRegular is returned when a path is not a regular file.
	ErrNotRegular = errors.New("not a regular file")
	// ErrNotDir is returned when a path is not a directory.
	ErrNotDir = errors.New("not a directory")
	// ErrNoTunnel is returned when a container has no program that could
	// carry a connection: no shell, or neither bash nor nc.
	ErrNoTunnel = errors.New("no shell with bash or nc in the container")
	// ErrRefused is returned when nothing listens on the port inside of the
	// container.
	ErrRefused = errors.New("connection refused inside the container")
	// ErrNoRedis is returned when no running container runs a server.
	ErrNoRedis = errors.New("no running container runs redis or valkey")
)

// UnreachableError is returned when the engine does not answer.
type UnreachableError struct {
	Host string
	Err  error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("docker at %s: %v", e.Host, e.Err) }
func (e *UnreachableError) Unwrap() error { return e.Err }

// DeniedError is returned when the engine, or a proxy before it, answers that
// a call is not allowed.
type DeniedError struct {
	Endpoint string // method and path
	Err      error
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("docker denied %s: %v", e.Endpoint, e.Err)
}
func (e *DeniedError) Unwrap() error { return e.Err }

// NotFoundError is returned when an object does not exist.
type NotFoundError struct {
	Kind string // "container", "volume", "image", "network" or "file"
	Name string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("no such %s: %s", e.Kind, e.Name) }

// ExistsError is returned when an object that was to be created is there.
type ExistsError struct {
	Kind string
	Name string
}

func (e *ExistsError) Error() string { return fmt.Sprintf("%s %s exists already", e.Kind, e.Name) }

// AmbiguousError is returned when a name or a search has several answers.
type AmbiguousError struct {
	Kind    string
	Name    string // empty: none was given
	Matches []string
}

func (e *AmbiguousError) Error() string {
	what := "several " + e.Kind + "s"
	if e.Name != "" {
		what += " match " + e.Name
	}
	return what + ": " + strings.Join(e.Matches, ", ")
}

// IdleError is returned when the engine made no progress for too long.
type IdleError struct {
	What  string
	After time.Duration
}

func (e *IdleError) Error() string {
	return fmt.Sprintf("%s: no progress for %s", e.What, e.After)
}

// GuardError is returned when a request to the engine does not fit the rules
// of this package. It was not sent.
type GuardError struct {
	Reason string
}

func (e *GuardError) Error() string { return "refused to ask docker: " + e.Reason }

// VersionError is returned when the engine is too old.
type VersionError struct {
	Host string
	API  string // what the engine speaks
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("docker at %s: API %s is older than %s", e.Host, e.API, minAPI)
}

// HostError is returned when a Docker host or context cannot be used.
type HostError struct {
	What   string // "context" or "configuration"; empty: host
	Name   string // as the user wrote it
	Reason string
}

func (e *HostError) Error() string {
	return fmt.Sprintf("docker %s %q: %s", cmp.Or(e.What, "host"), e.Name, e.Reason)
}

// PublishError is returned when a port to publish cannot be understood.
type PublishError struct {
	Spec string
	Err  error
}

func (e *PublishError) Error() string { return fmt.Sprintf("publish %q: %v", e.Spec, e.Err) }
func (e *PublishError) Unwrap() error { return e.Err }

// answer is an error that the engine answered with, in its own words.
type answer struct{ err error }

func (a answer) Error() string {
	return strings.TrimPrefix(a.err.Error(), "Error response from daemon: ")
}
func (a answer) Unwrap() error { return a.err }

// operation describes one call for the errors that it may end with.
type operation struct {
	method, path string // of the API, for DeniedError
	what         string // for people: "create container x"
	kind, name   string // of the object that a 404 is about
}

func (o operation) endpoint() string { return o.method + " " + o.path }

// fail turns an error of the client into one of this package. ctx is the one
// that the call was made with.
func (e *Engine) fail(ctx context.Context, op operation, err error) error {
	if err == nil {
		return nil
	}
	if stopped := stopCause(ctx); stopped != nil {
		if idle := (*IdleError)(nil); errors.As(stopped, &idle) {
			return stopped
		}
		return fmt.Errorf("%s: %w", op.what, stopped)
	}
	switch {
	case ours(err):
		return fmt.Errorf("%s: %w", op.what, err)
	case client.IsErrConnectionFailed(err), isDial(err):
		return &UnreachableError{Host: e.host, Err: e.dialCause(err)}
	case cerrdefs.IsPermissionDenied(err), cerrdefs.IsUnauthorized(err), refusedUpgrade(err, "403"), refusedUpgrade(err, "401"):
		return &DeniedError{Endpoint: op.endpoint(), Err: answer{err}}
	case cerrdefs.IsNotFound(err), refusedUpgrade(err, "404"):
		return op.missing(err)
	}
	return fmt.Errorf("%s: %w", op.what, answer{err})
}

// missing tells which object a 404 is about.
func (o operation) missing(err error) error {
	text := strings.ToLower(err.Error())
	for _, kind := range []string{"container", "volume", "image", "network"} {
		if _, name, ok := strings.Cut(text, "no such "+kind+": "); ok && kind != o.kind {
			return fmt.Errorf("%s: %w", o.what, &NotFoundError{Kind: kind, Name: name})
		}
	}
	if o.kind == "" {
		return fmt.Errorf("%s: %w", o.what, answer{err})
	}
	return &NotFoundError{Kind: o.kind, Name: o.name}
}

// stopCause says why a context ended, nil while it has not. A cancellation
// stays context.Canceled, whatever its cause was.
func stopCause(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if idle := (*IdleError)(nil); errors.As(context.Cause(ctx), &idle) {
		return idle
	}
	return ctx.Err()
}

// ours reports whether an error was made by this package already.
func ours(err error) bool {
	var guard *GuardError
	var idle *IdleError
	return errors.As(err, &guard) || errors.As(err, &idle)
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// refusedUpgrade recognises the client's answer to a status other than 101
// where it asked for a raw connection: it has no type.
func refusedUpgrade(err error, status string) bool {
	return strings.HasPrefix(err.Error(), "unable to upgrade to ") && strings.HasSuffix(err.Error(), "received "+status)
}

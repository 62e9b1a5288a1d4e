package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

const (
	minAPI = "1.41"

	// idleLimit ends a stream, or a question to the engine, without progress.
	idleLimit = 60 * time.Second
	// changeLimit ends a call that changes something: removing a large volume
	// on a slow disk takes its time.
	changeLimit = 5 * time.Minute
	// pingLimit is for the first answer of a local engine. Another one has as
	// long as any question: ssh takes its time.
	pingLimit = 15 * time.Second
	// undoLimit bounds what cleans up after the context has ended.
	undoLimit = 2 * time.Minute
)

// Engine is a connection to one Docker engine. It is safe for concurrent use.
type Engine struct {
	api     *client.Client
	tr      *http.Transport
	host    string // for messages
	local   bool
	idle    time.Duration
	change  time.Duration
	objects atomic.Int64 // counts the names given by this process

	dialErr atomic.Pointer[error] // of the latest attempt; the client drops it
}

// Connect finds the engine that env names and asks it for its version. Nothing
// else is sent.
func Connect(ctx context.Context, env Env) (*Engine, error) {
	target, err := env.resolve()
	if err != nil {
		return nil, err
	}
	e := &Engine{host: target.name, local: target.local, idle: idleLimit, change: changeLimit}
	if env.Idle > 0 {
		e.idle, e.change = env.Idle, env.Idle
	}
	if err := e.open(target); err != nil {
		return nil, &UnreachableError{Host: e.host, Err: err}
	}
	if err := e.negotiate(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// open makes the client. It does not connect.
func (e *Engine) open(t target) error {
	e.tr = &http.Transport{}
	api, err := client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{Transport: e.tr, CheckRedirect: client.CheckRedirect}),
		client.WithHost(t.url),
		client.WithUserAgent("redisbak"),
		client.WithHTTPHeaders(map[string]string{"Accept-Encoding": "identity"}),
	)
	if err != nil {
		return err
	}
	// WithHost has set the transport up for its kind of host. It is set again
	// here, after it: every kind is dialled by us, nothing goes through an
	// HTTP proxy, and nothing is compressed. The engine gzips an archive of
	// its own accord where the request allows it, ten times slower.
	e.tr.Proxy = nil
	e.tr.DisableCompression = true
	e.tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx, t.dial) }
	e.tr.MaxIdleConns = 6
	e.tr.IdleConnTimeout = 30 * time.Second
	e.tr.ReadBufferSize = 128 << 10
	e.tr.WriteBufferSize = 128 << 10
	e.api = api
	return nil
}

// negotiate settles on the newest API version that both sides speak.
func (e *Engine) negotiate(ctx context.Context) error {
	limit := e.idle
	if e.local {
		limit = min(limit, pingLimit)
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ping, err := e.api.Ping(bounded)
	if err != nil {
		if ctx.Err() == nil && bounded.Err() != nil {
			return &UnreachableError{Host: e.host, Err: errors.New("no answer in time")}
		}
		op := operation{method: http.MethodGet, path: "/_ping", what: "ping docker at " + e.host}
		return e.unanswered(e.fail(ctx, op, err))
	}
	if ping.OSType != "" && ping.OSType != "linux" {
		return &HostError{Name: e.host, Reason: "it runs " + ping.OSType + " containers"}
	}
	if ping.APIVersion == "" || versions.LessThan(ping.APIVersion, minAPI) {
		return &VersionError{Host: e.host, API: ping.APIVersion}
	}
	e.api.NegotiateAPIVersionPing(ping)
	return nil
}

// unanswered makes an error of a ping one that says that the engine cannot be
// used, unless it says so already.
func (e *Engine) unanswered(err error) error {
	var denied *DeniedError
	var unreachable *UnreachableError
	if errors.As(err, &denied) || errors.As(err, &unreachable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &UnreachableError{Host: e.host, Err: err}
}

// Local reports whether the engine is reached by a unix socket, and so its
// containers' addresses may be reachable too.
func (e *Engine) Local() bool { return e.local }

// Host names the engine, for messages.
func (e *Engine) Host() string { return e.host }

// Close ends the idle connections. Those in use end with their streams.
func (e *Engine) Close() error {
	e.tr.CloseIdleConnections()
	return nil
}

// newer reports whether the negotiated API has what came with version v.
func (e *Engine) newer(v string) bool {
	return versions.GreaterThanOrEqualTo(e.api.ClientVersion(), v)
}

// call makes one bounded call and turns its error into one of ours.
func call[T any](ctx context.Context, e *Engine, op operation, do func(context.Context) (T, error)) (T, error) {
	limit := e.change
	if op.method == http.MethodGet || op.method == http.MethodHead {
		limit = e.idle
	}
	bounded, cancel := context.WithTimeoutCause(ctx, limit, &IdleError{What: op.what, After: limit})
	defer cancel()
	v, err := do(bounded)
	if err != nil {
		var zero T
		return zero, e.fail(bounded, op, err)
	}
	return v, nil
}

// act is call for what has no answer.
func act(ctx context.Context, e *Engine, op operation, do func(context.Context) error) error {
	_, err := call(ctx, e, op, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return err
}

// undo gives cleaning up its own time, whatever ended ctx.
func undo(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
}

// objectName makes a name for a container or volume of a run.
func (e *Engine) objectName(o Owner) string {
	return fmt.Sprintf("redisbak-%s-%s-%d", o.Role, o.Run, e.objects.Add(1))
}

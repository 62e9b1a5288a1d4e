package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	engine "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// request is one command. Its name is what errors call it.
type request struct {
	name string
	args []any
}

func command(name string, args ...string) request {
	r := request{name: name}
	for _, word := range strings.Fields(name) {
		r.args = append(r.args, word)
	}
	for _, a := range args {
		r.args = append(r.args, a)
	}
	return r
}

// reply is the answer to one command: a value, or the server's refusal.
type reply struct {
	value any
	err   error
}

func (r reply) text() (string, error) {
	if r.err != nil {
		return "", r.err
	}
	s, ok := r.value.(string)
	if !ok {
		return "", ErrNotRedis
	}
	return s, nil
}

// link is one authenticated connection. It never dials again: once broken it
// stays broken, so no command can be sent twice behind our back.
type link struct {
	wire    *wire
	client  *engine.Client
	timeout time.Duration
}

// open dials, authenticates and pings.
func open(ctx context.Context, o Options) (*link, error) {
	conn, err := dial(ctx, o)
	if err != nil {
		return nil, err
	}
	l := newLink(conn, o.Timeout)
	if err := l.greet(ctx, o.Username, o.Password); err != nil {
		_ = l.close()
		return nil, err
	}
	return l, nil
}

func dial(ctx context.Context, o Options) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	conn, err := o.Dial(ctx)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	if o.TLS == nil {
		return conn, nil
	}
	secured := tls.Client(conn, o.TLS)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, unreachable(ctx, fmt.Errorf("handshake: %w", explainTLS(err)))
	}
	return secured, nil
}

// newLink puts the client library on a connection that is already there. All
// that the library would do on its own is switched off: retries (a retried
// pipeline is a second BGSAVE), dialing, pools, HELLO and CLIENT commands,
// which an ACL user made for backups may not run.
func newLink(conn net.Conn, timeout time.Duration) *link {
	// The library logs to stderr, through a global. Switching that off is
	// atomic and can be done any number of times.
	logging.Disable()

	w := &wire{Conn: conn}
	var taken atomic.Bool
	client := engine.NewClient(&engine.Options{
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			if !taken.CompareAndSwap(false, true) {
				return nil, errLost
			}
			return w, nil
		},
		Protocol:              2,
		DisableIdentity:       true,
		MaxRetries:            -1,
		DialerRetries:         1,
		PoolSize:              1,
		PipelinePoolSize:      -1,
		ConnMaxIdleTime:       -1,
		DialTimeout:           timeout,
		ReadTimeout:           timeout,
		WriteTimeout:          timeout,
		ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	})
	client.AddHook(noHello{})
	return &link{wire: w, client: client, timeout: timeout}
}

func (l *link) close() error {
	err := l.client.Close()
	if cerr := l.wire.Close(); err == nil && cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = cerr
	}
	return err
}

func (l *link) greet(ctx context.Context, username, password string) error {
	auth := command("AUTH", password)
	if username != "" {
		auth = command("AUTH", username, password)
	}
	if password != "" || username != "" {
		if _, err := l.one(ctx, auth); err != nil {
			return err
		}
	}
	answer, err := l.one(ctx, command("PING"))
	var loading *LoadingError
	switch {
	case isReply(err, "MISCONF"), errors.As(err, &loading):
		return nil // INFO, which both let pass, says so and more
	case err != nil:
		return err
	case answer != "PONG":
		return ErrNotRedis
	}
	return nil
}

func (l *link) one(ctx context.Context, r request) (string, error) {
	replies, err := l.do(ctx, r)
	if err != nil {
		return "", err
	}
	return replies[0].text()
}

// do sends the requests in one write and reads their answers. Its error means
// that the connection is of no use any more; what the server refused is in the
// replies.
func (l *link) do(ctx context.Context, requests ...request) ([]reply, error) {
	// The library heeds ctx's deadline, but not its cancellation.
	stop := context.AfterFunc(ctx, func() { _ = l.wire.Close() })
	defer stop()

	pipe := l.client.Pipeline()
	commands := make([]*engine.Cmd, len(requests))
	for i, r := range requests {
		commands[i] = engine.NewCmd(ctx, r.args...)
		_ = pipe.Process(ctx, commands[i]) // only queues
	}
	_, err := pipe.Exec(ctx)
	if !stop() { // cancelled: the connection is closed or being closed
		return nil, ctxError(ctx, requests[0].name)
	}
	if err != nil && !isServerReply(err) && !errors.Is(err, engine.Nil) {
		return nil, l.broken(ctx, requests[0].name, err)
	}
	replies := make([]reply, len(commands))
	for i, c := range commands {
		value, err := c.Result()
		switch {
		case err == nil, errors.Is(err, engine.Nil):
			replies[i].value = value
		case isServerReply(err):
			replies[i].err = refusal(requests[i].name, err.Error())
		default:
			return nil, l.broken(ctx, requests[i].name, err)
		}
	}
	return replies, nil
}

// broken explains an error that is not the server's answer: the connection's,
// or else an answer that is not of the Redis protocol.
func (l *link) broken(ctx context.Context, name string, err error) error {
	cause := l.wire.failure()
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return ctxError(ctx, name)
	}
	switch {
	case cause == nil && errors.Is(err, errLost):
		return &UnreachableError{What: name, Err: errLost}
	case cause == nil:
		return ErrNotRedis // err quotes the answer, and that may hold anything
	case isTimeout(cause):
		return &UnreachableError{What: name, Err: &noAnswerError{after: l.timeout}}
	default:
		return &UnreachableError{What: name, Err: &lostError{err: explainTLS(cause)}}
	}
}

// wire remembers why its connection broke. The client library does not tell a
// broken connection from a broken answer.
type wire struct {
	net.Conn
	failed atomic.Pointer[error]
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.note(err)
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.note(err)
	return n, err
}

func (w *wire) note(err error) {
	if err != nil {
		w.failed.CompareAndSwap(nil, &err)
	}
}

func (w *wire) failure() error {
	if p := w.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// noHello answers the library's HELLO in the server's place, as a server of
// the old protocol would. RESP2 is all that is needed here.
type noHello struct{}

func (noHello) Error() string { return "ERR unknown command 'HELLO'" }
func (noHello) RedisError()   {}

func (noHello) DialHook(next engine.DialHook) engine.DialHook { return next }

func (noHello) ProcessHook(next engine.ProcessHook) engine.ProcessHook {
	return func(ctx context.Context, cmd engine.Cmder) error {
		if cmd.Name() != "hello" {
			return next(ctx, cmd)
		}
		cmd.SetErr(noHello{})
		return noHello{}
	}
}

func (noHello) ProcessPipelineHook(next engine.ProcessPipelineHook) engine.ProcessPipelineHook {
	return next
}

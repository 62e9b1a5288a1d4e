package docker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"
)

const dialLimit = 10 * time.Second

// dialer opens one connection to the engine.
type dialer func(ctx context.Context) (net.Conn, error)

func dialNet(network, addr string) dialer {
	return func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}
		return d.DialContext(ctx, network, addr)
	}
}

// dialTLS does the handshake itself, so that the client sees a plain
// connection: where it sees a TLS one it dials raw connections on its own,
// without a context.
func dialTLS(addr string, config *tls.Config) dialer {
	return func(ctx context.Context) (net.Conn, error) {
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}, Config: config}
		return d.DialContext(ctx, "tcp", addr)
	}
}

// hijack is carried by the context of a call that takes the connection over.
// The client does not watch the context after it has dialled; this does.
type hijack struct{ stop func() bool }

type hijackKey struct{}

func (e *Engine) dial(ctx context.Context, open dialer) (net.Conn, error) {
	conn, err := open(ctx)
	if err != nil {
		e.dialErr.Store(&err)
		return nil, err
	}
	e.dialErr.Store(nil)
	if h, ok := ctx.Value(hijackKey{}).(*hijack); ok {
		h.stop = context.AfterFunc(ctx, func() { conn.Close() })
	}
	return conn, nil
}

// dialCause is the reason why the latest connection failed, where there is
// one: the client replaces it by a sentence of its own.
func (e *Engine) dialCause(err error) error {
	if cause := e.dialErr.Load(); cause != nil {
		return *cause
	}
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		return inner.Err
	}
	return err
}

// Package server talks to one live Redis or Valkey server: it reads INFO and
// CONFIG, and asks for a save in a way that tells a save of its own from every
// other one.
//
// It promises that a [Save] it returns was forked at or after the request,
// whatever other clients do meanwhile, and that on a source it sends nothing
// but AUTH, PING, INFO, TIME, BGSAVE, BGREWRITEAOF and CONFIG GET. No password,
// and no text in which a server may echo one, appears in an error.
//
// It does not find servers, does not read files, never changes a
// configuration and never asks for a save twice to get over a failed one.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// DefaultTimeout bounds one answer where [Options] names no other bound. It is
// long because a fork of a big data set stops the server for seconds.
const DefaultTimeout = 15 * time.Second

// Options say how to reach a server.
type Options struct {
	// Dial opens the connection; its context ends when the connection stands.
	// It is called again where a connection was lost between two questions.
	Dial func(context.Context) (net.Conn, error)

	Username string
	Password string
	TLS      *tls.Config   // nil: no TLS. It must name the server or not check it
	Timeout  time.Duration // of one answer; 0: DefaultTimeout
}

// Server is a connection to one server. It is for one goroutine at a time.
type Server struct {
	options Options
	link    *link // nil after a loss, until the next question
}

// Connect dials, authenticates and pings. A server that refuses writes
// (MISCONF) or still loads its data is connected like any other: its INFO says
// so.
//
// Errors: [UnreachableError], [ErrDenied], [ErrNotRedis], [*AuthError], or
// ctx's.
func Connect(ctx context.Context, o Options) (*Server, error) {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	s := &Server{options: o}
	l, err := open(ctx, s.options)
	if err != nil {
		return nil, err
	}
	s.link = l
	return s, nil
}

// Close closes the connection.
func (s *Server) Close() error {
	if s.link == nil {
		return nil
	}
	err := s.link.close()
	s.link = nil
	return err
}

// once sends the requests in one write and returns their answers. After a loss
// the connection is gone, and the next question opens a new one; what was sent
// is never sent again.
func (s *Server) once(ctx context.Context, requests ...request) ([]reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, ctxError(ctx, requests[0].name)
	}
	if s.link != nil {
		replies, err := s.ask(ctx, requests...)
		if !errors.Is(err, errLost) {
			return replies, err
		}
		// The library gives a connection up after some refusals (READONLY,
		// MOVED), and says so at the next question, before it is sent.
	}
	l, err := open(ctx, s.options)
	if err != nil {
		return nil, err
	}
	s.link = l
	return s.ask(ctx, requests...)
}

func (s *Server) ask(ctx context.Context, requests ...request) ([]reply, error) {
	replies, err := s.link.do(ctx, requests...)
	if err != nil {
		_ = s.Close() // it is of no use any more, and err says why
		return nil, err
	}
	return replies, nil
}

// read is once for requests that change nothing: where an idle connection
// turns out to have been cut (a server's own idle limit, a tunnel's end), it
// asks a second time over a new one.
func (s *Server) read(ctx context.Context, requests ...request) ([]reply, error) {
	idle := s.link
	replies, err := s.once(ctx, requests...)
	if err == nil || idle == nil || !isLost(err) || ctx.Err() != nil {
		return replies, err
	}
	return s.once(ctx, requests...)
}

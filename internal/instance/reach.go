package instance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/server"
)

// Access is how the user wants a server to be reached.
type Access struct {
	Address  string // host:port; empty: find a way
	Username string
	Password string
	TLS      *tls.Config // nil: no TLS
}

const (
	// directTimeout bounds a connection to the container's own address: from
	// a host that has a route to it, it takes less than a millisecond.
	directTimeout = 300 * time.Millisecond
	addressWait   = 10 * time.Second
	defaultPort   = 6379
)

// way is one path to a server.
type way struct {
	name string
	dial func(context.Context) (net.Conn, error)
}

// reach connects by the first way that leads to the server. Refusal, time-out
// and protected mode mean "try the next"; a refused password does not.
func reach(ctx context.Context, e *docker.Engine, c docker.Container, p docker.Process, a Access) (*server.Server, string, error) {
	var failed []error
	for _, w := range ways(e, c, p, a) {
		s, err := server.Connect(ctx, server.Options{Dial: w.dial, Username: a.Username, Password: a.Password, TLS: a.TLS})
		if err == nil {
			return s, w.name, nil
		}
		if ctx.Err() != nil || !closed(err) {
			return nil, "", fmt.Errorf("container %q: %w", c.Name, err)
		}
		failed = append(failed, fmt.Errorf("by %s: %w", w.name, err))
	}
	return nil, "", &UnreachableError{Container: c.Name, Tried: failed}
}

// UnreachableError says that no way leads to a container's server.
type UnreachableError struct {
	Container string
	Tried     []error
}

func (e *UnreachableError) Error() string {
	text := fmt.Sprintf("container %q: its server cannot be reached", e.Container)
	for _, err := range e.Tried {
		text += "; " + err.Error()
	}
	return text
}

func (e *UnreachableError) Unwrap() []error { return e.Tried }

// closed tells a way that is closed from a server that answered no.
func closed(err error) bool {
	var unreachable *server.UnreachableError
	return errors.As(err, &unreachable) || errors.Is(err, server.ErrDenied)
}

func ways(e *docker.Engine, c docker.Container, p docker.Process, a Access) []way {
	if a.Address != "" {
		return []way{{"address " + a.Address, tcp(a.Address, addressWait)}}
	}
	port := p.Port
	if port == 0 {
		port = defaultPort
	}
	var ways []way
	if e.Local() {
		for _, n := range c.Networks {
			if n.IP != "" {
				address := net.JoinHostPort(n.IP, strconv.Itoa(port))
				ways = append(ways, way{"container address " + address, tcp(address, directTimeout)})
			}
		}
	}
	return append(ways, way{"docker exec", func(ctx context.Context) (net.Conn, error) {
		return e.DialExec(ctx, c.ID, port, "")
	}})
}

func tcp(address string, limit time.Duration) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{Timeout: limit}).DialContext(ctx, "tcp", address)
	}
}

func isNoServer(err error) bool { return errors.Is(err, docker.ErrNoServer) }

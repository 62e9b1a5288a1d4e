package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Options of the server. The zero value serves everything to this host alone.
type Options struct {
	// Hosts are names by which this server may be called, beside loopback's and
	// the address that it listens on: in a compose file the service's name.
	Hosts []string
	// User and Password protect the page and the metrics, where either is set.
	User, Password string
	// OpenMetrics leaves the metrics without a password.
	OpenMetrics bool
	// Log gets what goes wrong while a request is served. Nil: nothing does.
	Log *slog.Logger
}

// limits are the times that anything may take.
type limits struct {
	look     time.Duration // to make a view
	read     time.Duration // to read a request
	write    time.Duration // from there to the end of the response
	idle     time.Duration // of a connection between two requests
	shutdown time.Duration // for those under way when the daemon ends
}

func usual() limits {
	return limits{look: 20 * time.Second, read: 10 * time.Second, write: 40 * time.Second, idle: time.Minute, shutdown: 5 * time.Second}
}

// maxHeader is the size of a request's header that is read.
const maxHeader = 16 << 10

// Serve answers on ln until ctx ends, and then gives the requests that are
// under way a few seconds. It closes ln, and returns nil where all went well.
func Serve(ctx context.Context, ln net.Listener, look Viewer, o Options) error {
	return serve(ctx, ln, look, o, usual())
}

func serve(ctx context.Context, ln net.Listener, look Viewer, o Options, l limits) error {
	handler, err := newSite(look, o, ln.Addr(), l)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	server := &http.Server{
		Handler:     handler,
		ReadTimeout: l.read, ReadHeaderTimeout: l.read, WriteTimeout: l.write, IdleTimeout: l.idle,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(handler.log.Handler(), slog.LevelDebug), // clients that went away
		// A request that is under way outlives ctx, by what shutdown allows.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("status server on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.shutdown)
	defer cancel()
	err = server.Shutdown(patience)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // it has had its time, and holds nothing
	}
	<-ended
	return err
}

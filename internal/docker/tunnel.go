package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/pkg/stdcopy"
)

// tunnelScript carries a connection to a port of the container's own loopback.
// The port is $1. It tells on stderr how it went; stdout is the connection's.
//
// Whichever direction ends first takes the other with it, and so the script:
// without that, each tunnel would leave a process and a client of the server
// behind, for ever. It ends too when our side dies: the engine closes its
// stdin. Where bash is missing, nc does the same by closing what it has
// nothing more to send to; those that do not by themselves have an option.
const tunnelScript = `
unset BASH_ENV ENV
if command -v bash >/dev/null 2>&1; then
  exec bash -c '
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || { echo refused >&2; exit 3; }
    echo connected >&2
    exec 4<&0
    cat <&3 & r=$!
    cat <&4 >&3 & w=$!
    exec 4<&-
    wait -n
    kill $r $w 2>/dev/null
    exit 0' redisbak "$1"
fi
if command -v nc >/dev/null 2>&1; then
  case "$(nc -h 2>&1)" in
    *-N*) half=-N ;;
    *-q*) half="-q 0" ;;
    *) half= ;;
  esac
  echo connecting >&2
  nc $half 127.0.0.1 "$1" 2>/dev/null || { echo refused >&2; exit 3; }
  exit 0
fi
echo missing >&2
exit 4
`

const (
	// tunnelOpen bounds the wait for the script's first word.
	tunnelOpen = 10 * time.Second
	// tunnelClose bounds the wait for the script's end.
	tunnelClose = 3 * time.Second
)

// DialExec connects to a port of a container's loopback through a script that
// runs in it, as the given user or else the container's own. After Close
// nothing of it is left there, nor after our death. ErrRefused: nothing
// listens there; ErrNoTunnel: the container has no program for it.
//
// A connection whose peer refused may also be told by the first Read.
func (e *Engine) DialExec(ctx context.Context, id string, port int, user string) (net.Conn, error) {
	if port < 1 || port > 65535 {
		return nil, guard("port %d", port)
	}
	cmd := []string{"sh", "-c", tunnelScript, "redisbak", strconv.Itoa(port)}
	run, err := e.startExec(ctx, id, ExecSpec{User: user, Cmd: cmd}, true)
	if err != nil {
		return nil, err
	}
	t := newTunnel(run, fmt.Sprintf("container %.12s port %d", id, port))
	if err := t.greeting(ctx, min(tunnelOpen, e.idle)); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// tunnel is the connection. What comes out of the script is taken apart by a
// goroutine and read through a pipe that knows deadlines.
type tunnel struct {
	what string
	run  *execution
	near net.Conn // we read here …
	far  net.Conn // … what the goroutine writes here

	opened chan struct{} // the script said its first word
	ended  chan struct{} // its output is over
	words  *words
	served atomic.Bool // something came out of it
	closed sync.Once
}

func newTunnel(run *execution, what string) *tunnel {
	t := &tunnel{what: what, run: run, opened: make(chan struct{}), ended: make(chan struct{})}
	t.near, t.far = net.Pipe()
	t.words = &words{first: t.opened}
	go t.demux()
	return t
}

func (t *tunnel) demux() {
	defer close(t.ended)
	// Its error says no more than the end of the stream does.
	_, _ = stdcopy.StdCopy(outlet{t}, t.words, t.run.conn.Reader)
	t.far.Close()
}

// outlet takes the script's stdout. Before the script's first word it is not
// the connection's but the engine's, which could not run the script. After
// Close it is dropped, so that the stream is followed to its end and not ours.
type outlet struct{ t *tunnel }

func (o outlet) Write(p []byte) (int, error) {
	select {
	case <-o.t.opened:
		_, _ = o.t.far.Write(p)
	default:
		_, _ = o.t.words.Write(p)
	}
	return len(p), nil
}

// greeting waits for the script's first word.
func (t *tunnel) greeting(ctx context.Context, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.opened:
	case <-t.ended:
	case <-timer.C:
		return &IdleError{What: "tunnel to " + t.what, After: limit}
	case <-ctx.Done():
		return fmt.Errorf("tunnel to %s: %w", t.what, ctx.Err())
	}
	switch word := t.words.word(); word {
	case "connected", "connecting":
		return nil
	default:
		return t.refusal(word)
	}
}

// refusal turns the script's word into an error.
func (t *tunnel) refusal(word string) error {
	switch word {
	case "refused":
		return fmt.Errorf("tunnel to %s: %w", t.what, ErrRefused)
	case "missing", "":
		return fmt.Errorf("tunnel to %s: %w", t.what, ErrNoTunnel)
	}
	// The engine's own words, where it could not even run a shell.
	return fmt.Errorf("tunnel to %s: %w (%.200s)", t.what, ErrNoTunnel, word)
}

func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.near.Read(p)
	if n > 0 {
		t.served.Store(true)
	}
	if n == 0 && errors.Is(err, io.EOF) {
		return 0, t.end()
	}
	return n, err
}

// end says why there is nothing more to read.
func (t *tunnel) end() error {
	<-t.ended
	if t.words.last() == "refused" && !t.served.Load() {
		return t.refusal("refused")
	}
	return io.EOF
}

func (t *tunnel) Write(p []byte) (int, error) { return t.run.conn.Conn.Write(p) }

// Close ends the script and waits, for a moment, until it has gone.
func (t *tunnel) Close() error {
	t.closed.Do(func() {
		t.near.Close() // the goroutine has nobody to write to any more
		_ = t.run.conn.CloseWrite()
		timer := time.NewTimer(tunnelClose)
		defer timer.Stop()
		select {
		case <-t.ended:
		case <-timer.C:
		}
		t.run.conn.Close()
		t.far.Close()
	})
	return nil
}

func (t *tunnel) LocalAddr() net.Addr  { return tunnelAddr(t.what) }
func (t *tunnel) RemoteAddr() net.Addr { return tunnelAddr(t.what) }

func (t *tunnel) SetDeadline(at time.Time) error {
	return errors.Join(t.SetReadDeadline(at), t.SetWriteDeadline(at))
}
func (t *tunnel) SetReadDeadline(at time.Time) error { return t.near.SetReadDeadline(at) }
func (t *tunnel) SetWriteDeadline(at time.Time) error {
	return t.run.conn.Conn.SetWriteDeadline(at)
}

type tunnelAddr string

func (tunnelAddr) Network() string  { return "exec" }
func (a tunnelAddr) String() string { return string(a) }

// words collects the script's stderr, a little of it.
type words struct {
	first chan struct{}

	mu   sync.Mutex
	buf  []byte
	told bool
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if room := 4096 - len(w.buf); room > 0 {
		w.buf = append(w.buf, p[:min(room, len(p))]...)
	}
	if !w.told && bytes.IndexByte(w.buf, '\n') >= 0 {
		w.told = true
		close(w.first)
	}
	return len(p), nil
}

// word is the first line so far.
func (w *words) word() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, _, _ := strings.Cut(string(w.buf), "\n")
	return strings.TrimSpace(line)
}

func (w *words) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(w.buf)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

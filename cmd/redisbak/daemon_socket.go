package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// The socket of a daemon is in its repository, where only its owner can reach
// it. One line asks, "run-now SOURCE" or "ready"; one line answers, "ok" or
// "error: …".
const (
	socketName  = "socket"
	socketLimit = 10 * time.Second
	lineLimit   = 4 << 10
	pathLimit   = 100 // of a socket, a little less than what any system takes
)

// socketPath is a path of the daemon's socket that is short enough for one: its
// own, or through a descriptor of its directory; the caller closes that.
func socketPath(r *repo.Repo) (path string, dir *os.File, err error) {
	dir, err = os.Open(r.DaemonDir())
	if err != nil {
		return "", nil, err
	}
	if path = filepath.Join(r.DaemonDir(), socketName); len(path) <= pathLimit {
		return path, dir, nil
	}
	return filepath.Join("/proc/self/fd", fmt.Sprint(dir.Fd()), socketName), dir, nil
}

// openSocket listens. What a daemon that was killed has left is taken away: the
// lock says that no other one is alive.
func (k *keeper) openSocket() (net.Listener, error) {
	path, dir, err := socketPath(k.repo)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket of the daemon: %w", err)
	}
	// Its name goes through a descriptor that is closed by then.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return l, os.Chmod(path, 0o600)
}

// answer serves the socket until the context ends.
func (k *keeper) answer(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			go k.answerOne(c)
		case ctx.Err() != nil:
			_ = os.Remove(filepath.Join(k.repo.DaemonDir(), socketName))
			return ctx.Err()
		default: // out of descriptors, most likely: it is no reason to end
			k.talk.warn(fmt.Sprintf("socket of the daemon: %v", err))
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func (k *keeper) answerOne(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(socketLimit))
	reply := "ok"
	line, err := readLine(c)
	verb, name, _ := strings.Cut(line, " ")
	switch {
	case err != nil:
		return
	case verb == "ready":
		err = k.ready()
	case verb == "run-now":
		err = k.crew.RunNow(name)
	default:
		err = errors.New("unknown request")
	}
	if err != nil {
		reply = "error: " + oneLine(err.Error())
	}
	_, _ = fmt.Fprintln(c, reply)
}

// ready is what /readyz says: whether the repository can be read, and no source
// is overdue.
func (k *keeper) ready() error {
	if _, err := k.repo.Sources(); err != nil {
		return err
	}
	if text := k.unfollowed(); text != "" {
		return errors.New(text)
	}
	var overdue []string
	for _, s := range k.crew.Standings() {
		if s.Overdue {
			overdue = append(overdue, s.Name)
		}
	}
	if len(overdue) > 0 {
		return fmt.Errorf("overdue: %s", list(overdue))
	}
	return nil
}

func readLine(c net.Conn) (string, error) {
	r := bufio.NewReaderSize(c, lineLimit)
	line, isPrefix, err := r.ReadLine()
	if isPrefix {
		err = errors.New("a line that is too long")
	}
	return string(line), err
}

// daemonError is what a daemon answers that does not do what it is asked for.
type daemonError struct{ text string }

func (e *daemonError) Error() string { return "daemon: " + e.text }

// noDaemonError says that no daemon works on a repository.
type noDaemonError struct {
	dir string
	err error
}

func (e *noDaemonError) Error() string {
	return fmt.Sprintf("no daemon runs on repository %s: %v", e.dir, e.err)
}

func (a *app) runNowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run-now SOURCE",
		Short: "Have the daemon run a source at once",
		Long: `Have the daemon that works on this repository begin a run of SOURCE, as if its
time had come. The command does not wait for the end of it: the daemon's log,
its page and "redisbak list" show what it came to.`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.completeSources,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.runNow(cmd.Context(), args[0]) },
	}
}

func (a *app) runNow(ctx context.Context, name string) error {
	if err := snapshot.ValidSourceName(name); err != nil {
		return &usageError{err: err}
	}
	if err := a.ask(ctx, "run-now "+name); err != nil {
		return err
	}
	a.talk.info("%s runs", name)
	return nil
}

func (a *app) readyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ready",
		Short: "Say whether the daemon runs and no source is overdue",
		Long: `Ask the daemon that works on this repository whether all is well: it runs, its
repository can be read, and no source is overdue. It is for the health check of
a container: the exit code is 0 only then.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.ask(cmd.Context(), "ready"); err != nil {
				return err
			}
			a.talk.info("ready")
			return nil
		},
	}
}

// ask sends a line to the daemon of the repository.
func (a *app) ask(ctx context.Context, line string) error {
	r, err := a.openRepo()
	if err != nil {
		return err
	}
	path, dir, err := socketPath(r)
	if err != nil {
		return &noDaemonError{r.Dir(), err}
	}
	defer dir.Close()
	dialer := net.Dialer{Timeout: socketLimit}
	c, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return &noDaemonError{r.Dir(), errors.Unwrap(err)}
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(socketLimit))
	if _, err := fmt.Fprintln(c, line); err != nil {
		return err
	}
	reply, err := readLine(c)
	if err != nil {
		return &noDaemonError{r.Dir(), err}
	}
	if text, bad := strings.CutPrefix(reply, "error: "); bad {
		return &daemonError{text}
	}
	return nil
}

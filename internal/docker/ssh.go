package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// parseSSH makes an engine's address out of ssh://[user@]host[:port][/socket].
// The system's own ssh carries the connection, with the user's configuration,
// agent and known hosts.
func parseSSH(host string) (target, error) {
	u, err := url.Parse(host)
	if err != nil {
		return target{}, &HostError{Name: redact(host), Reason: "not of the form ssh://user@host:port"}
	}
	if _, secret := u.User.Password(); secret {
		return target{}, &HostError{Name: redact(host), Reason: "a password in the address is not supported"}
	}
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") || u.RawQuery != "" || u.Fragment != "" {
		return target{}, &HostError{Name: host, Reason: "not of the form ssh://user@host:port"}
	}
	args := []string{"-o", "ConnectTimeout=30", "-T"}
	if user := u.User.Username(); user != "" {
		args = append(args, "-l", user)
	}
	if port := u.Port(); port != "" {
		args = append(args, "-p", port)
	}
	args = append(args, "--", u.Hostname(), "docker")
	if u.Path != "" && u.Path != "/" {
		args = append(args, "--host", "unix://"+u.Path)
	}
	args = append(args, "system", "dial-stdio")
	dial := func(ctx context.Context) (net.Conn, error) { return startSSH(ctx, "ssh", args) }
	return target{name: host, url: "http://" + dummyHost, dial: dial}, nil
}

// childConn is a connection through the standard streams of a child process.
type childConn struct {
	in     *os.File // what we write is the child's stdin
	out    *os.File
	cmd    *exec.Cmd
	exited chan struct{}
	stderr *tail
	once   sync.Once
}

// startSSH starts the program; it ends when the connection is closed, and by
// itself when we die.
func startSSH(ctx context.Context, program string, args []string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer childIn.Close()
	out, childOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer childOut.Close()
	c := &childConn{in: in, out: out, exited: make(chan struct{}), stderr: &tail{max: 4 << 10}}
	c.cmd = exec.Command(program, args...)
	c.cmd.WaitDelay = time.Second // a master connection may keep stderr open
	ownSession(c.cmd)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = childIn, childOut, c.stderr
	if err := c.cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	go func() {
		defer close(c.exited)
		c.cmd.Wait() // its verdict is read from ProcessState
	}()
	return c, nil
}

// Read gives the child's own words instead of a bare end where it failed.
func (c *childConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		if died := c.failure(); died != nil {
			return 0, died
		}
	}
	return n, err
}

func (c *childConn) failure() error {
	select {
	case <-c.exited:
	case <-time.After(time.Second):
		return nil
	}
	if c.cmd.ProcessState == nil || c.cmd.ProcessState.Success() {
		return nil
	}
	words := strings.Join(strings.Fields(c.stderr.String()), " ")
	if words == "" {
		words = c.cmd.ProcessState.String()
	}
	return fmt.Errorf("ssh: %s", words)
}

func (c *childConn) Write(p []byte) (int, error) { return c.in.Write(p) }

// CloseWrite tells the other side that nothing follows.
func (c *childConn) CloseWrite() error { return c.in.Close() }

// Close ends the connection. The child has a moment to end by itself.
func (c *childConn) Close() error {
	c.once.Do(func() {
		c.in.Close()
		c.out.Close()
		go func() {
			select {
			case <-c.exited:
			case <-time.After(2 * time.Second):
				c.cmd.Process.Kill()
			}
		}()
	})
	return nil
}

func (c *childConn) LocalAddr() net.Addr  { return childAddr{} }
func (c *childConn) RemoteAddr() net.Addr { return childAddr{} }

func (c *childConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
func (c *childConn) SetReadDeadline(t time.Time) error  { return c.out.SetReadDeadline(t) }
func (c *childConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }

type childAddr struct{}

func (childAddr) Network() string { return "ssh" }
func (childAddr) String() string  { return "ssh" }

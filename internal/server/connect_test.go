package server

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	engine "github.com/redis/go-redis/v9"
)

const secret = "c4nary-Secret"

// answering is a fake that gives one raw answer to everything.
func answering(t *testing.T, raw string) *fake {
	f := newFake(t)
	f.onOther = func([]string) string { return raw }
	return f
}

// speaking is a fake that says something, in whatever protocol, and reads on
// without an answer.
func speaking(t *testing.T, text string) *fake {
	f := newFake(t)
	f.onAccept = func(c net.Conn) bool {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
		return false
	}
	return f
}

func TestConnectSendsNoOtherCommand(t *testing.T) {
	tests := []struct {
		username, password string
		want               []string
	}{
		{"", "", []string{"PING"}},
		{"", secret, []string{"AUTH", "PING"}},
		{"backup", secret, []string{"AUTH", "PING"}},
	}
	for _, test := range tests {
		f := newFake(t)
		var sent []string
		f.onOther = func(args []string) string {
			if args[0] == "AUTH" {
				sent = args[1:]
				return "+OK\r\n"
			}
			return ""
		}
		o := f.options()
		o.Username, o.Password = test.username, test.password
		s, err := Connect(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(f.log, test.want) {
			t.Errorf("commands %v, want %v", f.log, test.want)
		}
		if test.username != "" && !slices.Equal(sent, []string{"backup", secret}) {
			t.Errorf("AUTH %v", sent)
		}
	}
}

func TestConnectErrors(t *testing.T) {
	tests := []struct {
		name string
		fake func(*testing.T) *fake
		want string
		is   func(error) bool
	}{
		{"wrong password", func(t *testing.T) *fake {
			return answering(t, "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
		}, "redis refused AUTH: WRONGPASS wrong user name or password, or the user is disabled", isAuth("AUTH")},
		{"wrong password before 6.0", func(t *testing.T) *fake {
			return answering(t, "-ERR invalid password\r\n")
		}, "redis refused AUTH: WRONGPASS wrong user name or password, or the user is disabled", isAuth("AUTH")},
		{"no password there", func(t *testing.T) *fake {
			return answering(t, "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n")
		}, "redis refused AUTH: a password was given, but the server has none", isAuth("AUTH")},
		{"AUTH renamed", func(t *testing.T) *fake { return newFake(t) }, // which quotes the arguments
			"redis refused AUTH: the command is renamed or disabled", isAuth("AUTH")},
		{"AUTH refused in words that quote", func(t *testing.T) *fake {
			return answering(t, "-ERR do not like "+secret+"\r\n")
		}, "redis refused AUTH: ERR", isAuth("AUTH")},
		{"PING not permitted", func(t *testing.T) *fake {
			f := newFake(t)
			f.onOther = func(args []string) string {
				if args[0] == "AUTH" {
					return "+OK\r\n"
				}
				return "-NOPERM this user has no permissions to run the 'ping' command\r\n"
			}
			return f
		}, "redis refused PING: NOPERM this user has no permissions to run the 'ping' command", isAuth("PING")},
		{"protected mode", func(t *testing.T) *fake {
			return speaking(t, "-DENIED Redis is running in protected mode because …\r\n")
		}, "protected mode refuses this connection", func(err error) bool { return errors.Is(err, ErrDenied) }},
		{"too many clients", func(t *testing.T) *fake {
			return speaking(t, "-ERR max number of clients reached\r\n")
		}, "connect to redis: the server has as many clients as it allows", isUnreachable},
		{"a web server", func(t *testing.T) *fake {
			return speaking(t, "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html>"+secret)
		}, "not a Redis server: its answer is not of the Redis protocol", func(err error) bool { return errors.Is(err, ErrNotRedis) }},
		{"an echo", func(t *testing.T) *fake {
			f := newFake(t)
			f.onAccept = func(c net.Conn) bool { _, _ = io.Copy(c, c); return false }
			return f
		}, "not a Redis server: its answer is not of the Redis protocol", func(err error) bool { return errors.Is(err, ErrNotRedis) }},
		{"another kind of answer", func(t *testing.T) *fake { return answering(t, ":1\r\n") },
			"not a Redis server: its answer is not of the Redis protocol", func(err error) bool { return errors.Is(err, ErrNotRedis) }},
		{"closes", func(t *testing.T) *fake {
			f := newFake(t)
			f.onAccept = func(net.Conn) bool { return false }
			return f
		}, "", isUnreachable},
		{"says nothing", func(t *testing.T) *fake { return speaking(t, "") },
			"redis AUTH: no answer within 300ms", isUnreachable},
		{"is not there", func(t *testing.T) *fake {
			f := newFake(t)
			_ = f.ln.Close()
			return f
		}, "", isUnreachable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := test.fake(t).options()
			o.Username, o.Password = "backup", secret
			if test.name == "says nothing" {
				o.Timeout = 300 * time.Millisecond
			}
			_, err := Connect(t.Context(), o)
			switch {
			case err == nil:
				t.Fatal("connected")
			case test.want != "" && err.Error() != test.want:
				t.Errorf("got  %v\nwant %s", err, test.want)
			case !test.is(err):
				t.Errorf("%v is of the wrong class (%T)", err, err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the password is told: %v", err)
			}
		})
	}
}

func isAuth(command string) func(error) bool {
	return func(err error) bool {
		var a *AuthError
		return errors.As(err, &a) && a.Command == command
	}
}

func isUnreachable(err error) bool {
	var u *UnreachableError
	return errors.As(err, &u)
}

// A server that refuses writes refuses PING too, and must still be reached.
func TestConnectToAServerThatRefusesWrites(t *testing.T) {
	f := answering(t, "-MISCONF Redis is configured to save RDB snapshots, but …\r\n")
	f.connect()
}

// How far it has come is told by the connection.
func TestConnectToAServerThatLoads(t *testing.T) {
	f := answering(t, "-LOADING Redis is loading the dataset in memory\r\n")
	f.connect()
}

func TestConnectWithoutThePassword(t *testing.T) {
	f := answering(t, "-NOAUTH Authentication required.\r\n")
	_, err := Connect(t.Context(), f.options())
	if !isAuth("PING")(err) || err.Error() != "redis refused PING: NOAUTH Authentication required." {
		t.Errorf("got %v", err)
	}
}

// A wrong password is tried once: servers count failures, and some lock out.
func TestConnectTriesAPasswordOnce(t *testing.T) {
	f := answering(t, "-WRONGPASS …\r\n")
	o := f.options()
	o.Password = secret
	if _, err := Connect(t.Context(), o); err == nil {
		t.Fatal("connected")
	}
	if !slices.Equal(f.log, []string{"AUTH"}) {
		t.Errorf("commands: %v", f.log)
	}
}

func TestQuestionsEndWithTheirContext(t *testing.T) {
	silent := func(t *testing.T) *Server {
		f := newFake(t)
		hold := make(chan struct{})
		t.Cleanup(func() { close(hold) })
		f.onOther = func(args []string) string {
			if args[0] == "INFO" {
				<-hold
			}
			return ""
		}
		return f.connect()
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := silent(t)
		timer := time.AfterFunc(50*time.Millisecond, cancel)
		defer timer.Stop()
		began := time.Now()
		_, err := s.Info(ctx)
		if d := time.Since(began); !errors.Is(err, context.Canceled) || isUnreachable(err) || d > 3*time.Second {
			t.Errorf("got %v after %s", err, d)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := silent(t).Info(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !isUnreachable(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("before it began", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := silent(t).Info(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("dialing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Connect(ctx, Options{Dial: func(ctx context.Context) (net.Conn, error) {
			cancel()
			return nil, ctx.Err()
		}})
		if !errors.Is(err, context.Canceled) || isUnreachable(err) {
			t.Errorf("got %v", err)
		}
	})
}

// A connection that was cut while nobody used it is no failure.
func TestIdleConnectionIsReplaced(t *testing.T) {
	f := newFake(t)
	s := f.connect()
	f.set(func() {
		f.onOther = func(args []string) string {
			if args[0] == "AUTH" {
				return "+OK\r\n"
			}
			return ""
		}
		first := true
		f.onDone = func([]string) bool {
			if first {
				first = false
				return true // after this answer
			}
			return false
		}
	})
	for range 3 {
		if _, err := s.Info(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.calls("PING"); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// One that is cut under every question is a failure, and no endless loop.
func TestConnectionCutAgainAndAgain(t *testing.T) {
	f := newFake(t)
	s := f.connect()
	f.set(func() {
		f.onOther = func(args []string) string {
			if args[0] == "INFO" {
				return "$"
			}
			return ""
		}
		f.onDone = func(args []string) bool { return args[0] == "INFO" }
	})
	if _, err := s.Info(t.Context()); !isUnreachable(err) {
		t.Errorf("got %v", err)
	}
	if n := f.calls("INFO"); n != 2 {
		t.Errorf("INFO was asked %d times", n)
	}
}

// The library closes a connection on which a server said READONLY. The next
// question must go out all the same, and go out once.
func TestConnectionGivenUpByTheLibrary(t *testing.T) {
	f := newFake(t)
	s := f.connect()
	f.set(func() {
		f.onOther = func(args []string) string {
			if args[0] == "SET" {
				return "-READONLY You can't write against a read only replica.\r\n"
			}
			return ""
		}
	})
	trial := &Trial{s}
	var refused *ReplyError
	if err := trial.WriteProbe(t.Context()); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	if _, err := s.once(t.Context(), command("INFO")); err != nil {
		t.Error(err)
	}
	if f.calls("INFO") != 1 || f.calls("PING") != 2 {
		t.Errorf("commands: %v", f.log)
	}
}

// recorder takes what the library would print to stderr.
type recorder struct{ lines atomic.Int32 }

func (r *recorder) Printf(context.Context, string, ...any) { r.lines.Add(1) }

func TestNothingIsPrinted(t *testing.T) {
	var printed recorder
	engine.SetLogger(&printed)
	f := newFake(t)
	s := f.connect()
	f.set(func() {
		f.onOther = func([]string) string { return "-READONLY no\r\n" }
		f.onDone = func([]string) bool { return true }
	})
	for range 3 { // the library complains about a connection that is gone
		_, _ = s.Info(t.Context())
	}
	if n := printed.lines.Load(); n > 0 {
		t.Errorf("%d lines are printed", n)
	}
}

func TestConfig(t *testing.T) {
	f := newFake(t)
	var asked [][]string
	f.onOther = func(args []string) string {
		if args[0] != "CONFIG" {
			return ""
		}
		asked = append(asked, args)
		switch args[2] {
		case "dir":
			return "*2\r\n" + bulk("dir") + bulk("/data")
		case "save":
			return "*2\r\n" + bulk("save") + bulk("")
		}
		return "*0\r\n"
	}
	got, err := f.connect().Config(t.Context(), "dir", "save", "appenddirname")
	if err != nil || len(got) != 2 || got["dir"] != "/data" {
		t.Errorf("got %v, %v", got, err)
	}
	if save, ok := got["save"]; !ok || save != "" {
		t.Errorf("save: %q, %v", save, ok)
	}
	if len(asked) != 3 || len(asked[0]) != 3 {
		t.Errorf("asked %v", asked)
	}
}

func TestConfigDenied(t *testing.T) {
	for _, raw := range []string{
		"-ERR unknown command 'CONFIG', with args beginning with: 'GET' 'dir' \r\n",
		"-ERR unknown command `CONFIG`, with args beginning with: `GET`, `dir`, \r\n",
		"-NOPERM this user has no permissions to run the 'config|get' command\r\n",
		"-NOPERM User redisbak has no permissions to run the 'config|get' command\r\n",
		"-NOPERM this user has no permissions to run the 'config' command or its subcommand\r\n",
	} {
		f := newFake(t)
		f.onOther = func(args []string) string {
			if args[0] == "CONFIG" {
				return raw
			}
			return ""
		}
		if _, err := f.connect().Config(t.Context(), "dir", "save"); !errors.Is(err, ErrConfigDenied) {
			t.Errorf("%q: got %v", raw, err)
		}
	}
}

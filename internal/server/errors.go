package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	engine "github.com/redis/go-redis/v9"
)

// Facts without further detail.
var (
	// ErrDenied is the answer of a server in protected mode to a connection
	// from another host: not a refused password, but a way that is closed.
	ErrDenied = errors.New("protected mode refuses this connection")
	// ErrNotRedis means that something else answered.
	ErrNotRedis = errors.New("not a Redis server: its answer is not of the Redis protocol")
	// ErrConfigDenied means that CONFIG GET is renamed, disabled or forbidden.
	ErrConfigDenied = errors.New("the configuration cannot be read")
	// ErrRestarted means that the process which took the request is gone.
	ErrRestarted = errors.New("the server was restarted")
	// ErrAborted is the reason of a SaveError whose save was killed on purpose
	// (FLUSHALL, a cancelled save): Redis counts it neither as done nor failed.
	ErrAborted = errors.New("snapshot aborted")

	// errLost means that nothing was sent, as the connection was given up.
	errLost = errors.New("connection lost")
)

// UnreachableError means that there was no connection, or none any more.
type UnreachableError struct {
	What string // the command that got no answer; empty while connecting
	Err  error
}

func (e *UnreachableError) Error() string {
	if e.What == "" {
		return "connect to redis: " + e.Err.Error()
	}
	return "redis " + e.What + ": " + e.Err.Error()
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// AuthError is a refusal for want of a password or of a permission.
type AuthError struct {
	Command string // what was refused: "AUTH", "BGSAVE", "CONFIG GET", …
	Reason  string // Redis's class and words: "NOPERM this user has no …"
}

func (e *AuthError) Error() string { return "redis refused " + e.Command + ": " + e.Reason }

// NoCommandError means that the server has no command of that name: it was
// renamed or disabled.
type NoCommandError struct{ Command string }

func (e *NoCommandError) Error() string {
	return "redis has no command " + e.Command + ": renamed or disabled"
}

// LoadingError means that the server is reading its data set from disk.
type LoadingError struct{ Command string }

func (e *LoadingError) Error() string { return "redis is loading its data set" }

// ReplyError is any other error reply.
type ReplyError struct {
	Command string
	Text    string // begins with Redis's class: "ERR", "MISCONF", …
}

func (e *ReplyError) Error() string { return "redis " + e.Command + ": " + e.Text }

// refusal sorts an error reply by its class, the first word: the rest of the
// text differs between versions.
func refusal(name, text string) error {
	class, rest, _ := strings.Cut(text, " ")
	switch {
	case class == "DENIED":
		return ErrDenied
	case class == "LOADING":
		return &LoadingError{Command: name}
	case class == "ERR" && strings.HasPrefix(rest, "max number of clients"):
		return &UnreachableError{Err: errors.New("the server has as many clients as it allows")}
	case name == "AUTH":
		return &AuthError{Command: name, Reason: authReason(class, rest)}
	case class == "NOAUTH", class == "WRONGPASS", class == "NOPERM":
		return &AuthError{Command: name, Reason: text}
	case class == "ERR" && strings.HasPrefix(rest, "unknown command"):
		return &NoCommandError{Command: name}
	}
	return &ReplyError{Command: name, Text: text}
}

// authReason says why AUTH was refused in our own words: Redis may quote the
// arguments of a command that it does not know.
func authReason(class, rest string) string {
	switch {
	case class == "ERR" && strings.HasPrefix(rest, "unknown command"):
		return "the command is renamed or disabled"
	case class == "ERR" && strings.HasPrefix(rest, "AUTH <password> called without"),
		class == "ERR" && strings.HasPrefix(rest, "Client sent AUTH, but no password is set"):
		return "a password was given, but the server has none"
	case class == "WRONGPASS", class == "ERR" && strings.HasPrefix(rest, "invalid password"):
		return "WRONGPASS wrong user name or password, or the user is disabled"
	}
	return class
}

func isServerReply(err error) bool {
	var r engine.Error
	return errors.As(err, &r) && !errors.Is(err, engine.Nil)
}

func isReply(err error, class string) bool {
	var r *ReplyError
	return errors.As(err, &r) && (r.Text == class || strings.HasPrefix(r.Text, class+" "))
}

// lostError is a connection that ended under a question.
type lostError struct{ err error }

func (e *lostError) Error() string {
	if errors.Is(e.err, io.EOF) || errors.Is(e.err, io.ErrUnexpectedEOF) {
		return "connection closed before an answer"
	}
	return "connection lost: " + e.err.Error()
}

func (e *lostError) Unwrap() error { return e.err }

func isLost(err error) bool {
	var l *lostError
	return errors.As(err, &l)
}

// noAnswerError is a server that keeps the connection and says nothing.
type noAnswerError struct{ after time.Duration }

func (e *noAnswerError) Error() string { return fmt.Sprintf("no answer within %s", e.after) }

// Timeout and Is make it recognisable as any other expired time.
func (e *noAnswerError) Timeout() bool        { return true }
func (e *noAnswerError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// ctxError is for a question that ctx ended: at its deadline the server counts
// as unreachable, which a cancellation says nothing about. A deadline of the
// connection can pass an instant before ctx's own.
func ctxError(ctx context.Context, name string) error {
	err := context.Cause(ctx)
	switch {
	case err == nil:
		return &UnreachableError{What: name, Err: context.DeadlineExceeded}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &UnreachableError{What: name, Err: err}
	}
	return fmt.Errorf("redis %s: %w", name, err)
}

// unreachable is for a connection that could not be opened.
func unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("connect to redis: %w", context.Cause(ctx))
	}
	return &UnreachableError{Err: err}
}

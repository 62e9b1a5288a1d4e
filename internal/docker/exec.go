package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// execOutput bounds what is kept of a script's output.
const execOutput = 1 << 20

// ExecSpec is a fixed script of ours to run in a container. What varies goes
// in as a positional argument, and never a secret: others can read it.
type ExecSpec struct {
	User string // empty: the container's own
	Cmd  []string
}

// ExecResult is what a script ended with.
type ExecResult struct {
	Stdout   []byte // the last 1 MiB
	Stderr   []byte
	ExitCode int
}

// Exec runs a script and waits for its end. An exit code other than zero is
// no error; one that could not be learnt is. When ctx ends first, the script
// goes on by itself: it must be short.
func (e *Engine) Exec(ctx context.Context, id string, s ExecSpec) (ExecResult, error) {
	run, err := e.startExec(ctx, id, s, false)
	if err != nil {
		return ExecResult{}, err
	}
	defer run.conn.Close()
	w := newWatch(ctx, e.idle, run.op.what)
	defer w.end()
	defer context.AfterFunc(w.ctx, func() { run.conn.Close() })()
	stdout, stderr := &tail{max: execOutput}, &tail{max: execOutput}
	if _, err := stdcopy.StdCopy(stdout, stderr, &watchedReader{r: run.conn.Reader, w: w}); err != nil {
		return ExecResult{}, e.fail(w.ctx, run.op, err)
	}
	code, err := e.exitCode(w.ctx, run)
	if err != nil {
		return ExecResult{}, err
	}
	return ExecResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: code}, nil
}

// execution is a script that was started, and its streams.
type execution struct {
	id   string
	op   operation
	conn types.HijackedResponse
}

func (e *Engine) startExec(ctx context.Context, id string, s ExecSpec, stdin bool) (*execution, error) {
	op := operation{method: http.MethodPost, path: "/containers/" + id + "/exec", what: "exec in container " + id, kind: "container", name: id}
	made, err := call(ctx, e, op, func(ctx context.Context) (container.ExecCreateResponse, error) {
		return e.api.ContainerExecCreate(ctx, id, container.ExecOptions{
			User: s.User, Cmd: s.Cmd, AttachStdin: stdin, AttachStdout: true, AttachStderr: true,
		})
	})
	if err != nil {
		return nil, err
	}
	op.path = "/exec/" + made.ID + "/start"
	conn, err := e.attach(ctx, op, made.ID)
	if err != nil {
		return nil, err
	}
	return &execution{id: made.ID, op: op, conn: conn}, nil
}

// attach starts the script and takes the connection over.
func (e *Engine) attach(ctx context.Context, op operation, id string) (types.HijackedResponse, error) {
	return e.hijacked(ctx, op, func(ctx context.Context) (types.HijackedResponse, error) {
		return e.api.ContainerExecAttach(ctx, id, container.ExecAttachOptions{})
	})
}

// hijacked makes a call that takes its connection over. The client forgets the
// context while it does so; the dialer does not.
func (e *Engine) hijacked(ctx context.Context, op operation, take func(context.Context) (types.HijackedResponse, error)) (types.HijackedResponse, error) {
	taken := &hijack{}
	conn, err := call(ctx, e, op, func(ctx context.Context) (types.HijackedResponse, error) {
		conn, err := take(context.WithValue(ctx, hijackKey{}, taken))
		if err == nil && taken.stop != nil && !taken.stop() {
			conn.Close()
			return conn, ctx.Err()
		}
		return conn, err
	})
	return conn, err
}

// exitCode asks until the engine has noticed the end of the script.
func (e *Engine) exitCode(ctx context.Context, run *execution) (int, error) {
	op := operation{method: http.MethodGet, path: "/exec/" + run.id + "/json", what: run.op.what}
	limit := time.NewTimer(e.idle)
	defer limit.Stop()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		in, err := call(ctx, e, op, func(ctx context.Context) (container.ExecInspect, error) {
			return e.api.ContainerExecInspect(ctx, run.id)
		})
		if err != nil {
			return 0, err
		}
		if !in.Running {
			return in.ExitCode, nil
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-limit.C:
			pause.Stop()
			return 0, fmt.Errorf("%s: %w", op.what, errors.New("output ended, script did not"))
		case <-ctx.Done():
			pause.Stop()
			return 0, e.fail(ctx, op, ctx.Err())
		}
	}
}

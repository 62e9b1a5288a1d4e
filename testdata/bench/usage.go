package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// measureCommand is the argument that makes this program run another one and
// report what it used. The kernel counts for a process also what was in memory
// where it was started, and that is much in a program that compresses and
// holds lists. So a fresh process, which holds nothing yet, stands between.
const measureCommand = "measure"

// usage is what a run of redisbak took.
type usage struct {
	took   time.Duration
	peak   int64 // bytes of memory
	stdout []byte
}

// use runs redisbak. What it says goes on to standard error.
func (b *bench) use(ctx context.Context, args ...string) (usage, error) {
	self, err := os.Executable()
	if err != nil {
		return usage{}, err
	}
	from, to, err := os.Pipe()
	if err != nil {
		return usage{}, err
	}
	defer from.Close()
	cmd := interruptible(ctx, self, append([]string{measureCommand, b.binary}, args...)...)
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &stdout, os.Stderr, []*os.File{to}
	err = errors.Join(cmd.Run(), to.Close())
	if err != nil {
		return usage{}, fmt.Errorf("redisbak %s: %w", args[0], err)
	}
	u := usage{stdout: stdout.Bytes()}
	if _, err := fmt.Fscan(from, (*int64)(&u.took), &u.peak); err != nil {
		return usage{}, fmt.Errorf("what redisbak %s used: %w", args[0], err)
	}
	return u, nil
}

// measure runs a program and writes to descriptor 3 how many nanoseconds it
// took and how many bytes of memory it had at most. It returns its exit code.
func measure(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := interruptible(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode()
	}
	if err == nil {
		used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		_, err = fmt.Fprintln(os.NewFile(3, "report"), took.Nanoseconds(), used.Maxrss<<10)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// interruptible is a command that is asked to end, and not killed: it has
// containers to clear away.
func interruptible(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

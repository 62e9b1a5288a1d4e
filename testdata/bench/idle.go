package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	idleSources = 50
	idleSettle  = 5 * time.Second
	idleWatch   = 60 * time.Second
)

// idle measures a daemon that has nothing to do: its memory, and its processor
// time over a minute, with many sources whose time does not come.
func (b *bench) idle(ctx context.Context) error {
	dir, err := os.MkdirTemp(b.dir, "idle-")
	if err != nil {
		return err
	}
	var file strings.Builder
	fmt.Fprintf(&file, "repository: %s\nlisten: 127.0.0.1:0\ndefaults: {schedule: \"0 0 1 1 *\"}\nsources:\n", filepath.Join(dir, "repo"))
	for n := range idleSources {
		fmt.Fprintf(&file, "  - {name: source%d, container: nobody%d}\n", n, n)
	}
	path := filepath.Join(dir, "redisbak.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		return err
	}
	note("a daemon with %d sources that waits for %v", idleSources, idleWatch)
	cmd := exec.CommandContext(ctx, b.binary, "daemon", "--config", path)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := func() error { return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()) }
	if err := wait(ctx, idleSettle); err != nil {
		return errors.Join(err, stop())
	}
	before, err := processorTime(cmd.Process.Pid)
	if err == nil {
		err = wait(ctx, idleWatch)
	}
	after, timeErr := processorTime(cmd.Process.Pid)
	resident, memErr := residentBytes(cmd.Process.Pid)
	if err := errors.Join(err, timeErr, memErr, stop()); err != nil {
		return err
	}
	say("\n### A daemon with %d sources and nothing to do\n", idleSources)
	heading("memory", fmt.Sprintf("processor time in %v", idleWatch))
	row(mib(resident), (after - before).String())
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// processorTime is what the kernel has counted for a process, in its ticks of
// ten milliseconds.
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name of the program, in brackets, may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, userErr := strconv.ParseInt(fields[11], 10, 64)
	system, systemErr := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(userErr, systemErr)
}

// residentBytes is what a process holds in memory now.
func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}

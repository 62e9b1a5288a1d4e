//go:build engine

package docker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// traces is what a tunnel could leave: clients of the server and processes in
// its container.
func traces(t *testing.T, r *enginetest.Redis) (clients, processes int) {
	t.Helper()
	clients = strings.Count(r.Cmd("CLIENT", "LIST"), "id=")
	processes = strings.Count(docker(t, "top", r.Name), "\n")
	return clients, processes
}

// 20 runs, 5 of them killed; nothing is left in the source.
func TestTunnelLeavesNothingBehind(t *testing.T) {
	t.Run("bash", func(t *testing.T) { comeAndGo(t, startRedis(t)) })
	t.Run("busybox", func(t *testing.T) {
		r := enginetest.Start(t, enginetest.Options{Image: enginetest.Busybox})
		comeAndGo(t, r)
		refusesPort(t, r)
	})
	t.Run("nc", func(t *testing.T) {
		r := startRedis(t)
		onlyNC(t, r)
		comeAndGo(t, r)
		refusesPort(t, r)
	})
}

// refusesPort: nc tells of a refusal only when it has tried.
func refusesPort(t *testing.T, r *enginetest.Redis) {
	t.Helper()
	conn, err := connect(t).DialExec(t.Context(), r.ID, 6999, "")
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, ErrRefused) {
		t.Errorf("port without a listener: %v", err)
	}
}

// onlyNC puts an nc in the place of a container's bash.
func onlyNC(t *testing.T, r *enginetest.Redis) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "nc")
	build := exec.Command("go", "build", "-o", program, "./testdata/nc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	docker(t, "cp", program, r.Name+":/usr/local/bin/nc")
	r.Cmd("PING") // the test's own connection needs bash
	r.Exec("sh", "-c", "rm /bin/bash")
}

func comeAndGo(t *testing.T, r *enginetest.Redis) {
	t.Helper()
	e := connect(t)
	clients, processes := traces(t, r)
	same := func() bool { c, p := traces(t, r); return c == clients && p == processes }
	for i := range 20 {
		if i%4 == 3 {
			killed(t, r)
			// The engine notices a death in its own time.
			enginetest.Eventually(t, 20*time.Second, "nothing left of a killed child", same)
			continue
		}
		conn, err := e.DialExec(t.Context(), r.ID, 6379, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := ping(conn); got != "+PONG" {
			t.Fatalf("run %d: %s", i, got)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if p := strings.Count(docker(t, "top", r.Name), "\n"); p != processes {
			t.Errorf("run %d: %d processes after Close, %d before", i, p, processes)
		}
	}
	enginetest.Eventually(t, 5*time.Second, "clients and processes as before", same)
}

// killed runs a child that opens a tunnel, and kills it as hard as can be.
func killed(t *testing.T, r *enginetest.Redis) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), tunnelChild+"="+r.ID)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	child.Process.Kill()
	child.Wait()
	if line != "+PONG\n" {
		t.Fatalf("child said %q", line)
	}
}

func TestTunnelEndsWhenTheServerHangsUp(t *testing.T) {
	e := connect(t)
	r := startRedis(t)
	_, processes := traces(t, r)
	conn, err := e.DialExec(t.Context(), r.ID, 6379, "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := ping(conn); got != "+PONG" {
		t.Fatal(got)
	}
	io.WriteString(conn, "QUIT\r\n")
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != "+OK\r\n" {
		t.Errorf("after QUIT: %q, %v", rest, err)
	}
	enginetest.Eventually(t, 5*time.Second, "script gone by itself", func() bool { _, p := traces(t, r); return p == processes })
}

func TestTunnelCarriesBulk(t *testing.T) {
	for _, image := range shells() {
		t.Run(enginetest.Short(image), func(t *testing.T) { carriesBulk(t, enginetest.Start(t, enginetest.Options{Image: image})) })
	}
}

func carriesBulk(t *testing.T, r *enginetest.Redis) {
	e := connect(t)
	conn, err := e.DialExec(t.Context(), r.ID, 6379, "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const size = 20 << 20
	payload, _ := io.ReadAll(random(size))
	go func() {
		fmt.Fprintf(conn, "*2\r\n$4\r\nECHO\r\n$%d\r\n", size)
		conn.Write(payload)
		io.WriteString(conn, "\r\n")
	}()
	head := fmt.Sprintf("$%d\r\n", size)
	got := make([]byte, len(head)+size+2)
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[len(head):len(head)+size], payload) {
		t.Error("the echo differs")
	}
}

func TestTunnelKnowsDeadlines(t *testing.T) {
	e := connect(t)
	r := startRedis(t)
	conn, err := e.DialExec(t.Context(), r.ID, 6379, "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past the deadline: %v", err)
	}
	if got := ping(conn); got != "+PONG" {
		t.Errorf("after a deadline: %s", got)
	}
	// A read that waits is woken by Close.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	woken := make(chan error, 1)
	go func() { _, err := conn.Read(make([]byte, 1)); woken <- err }()
	conn.Close()
	if err := <-woken; err == nil {
		t.Error("read went on after Close")
	}
	if _, err := conn.Write([]byte("PING\r\n")); err == nil {
		t.Error("write went on after Close")
	}
}

func TestTunnelIsRefused(t *testing.T) {
	e := connect(t)
	r := startRedis(t)
	if _, err := e.DialExec(t.Context(), r.ID, 6999, ""); !errors.Is(err, ErrRefused) {
		t.Errorf("port without a listener: %v", err)
	}
	missing := (*NotFoundError)(nil)
	if _, err := e.DialExec(t.Context(), "redisbak-test-none", 6379, ""); !errors.As(err, &missing) || missing.Kind != "container" {
		t.Errorf("missing container: %v", err)
	}
	r.Exec("sh", "-c", "rm -f /bin/bash /usr/bin/bash")
	if _, err := e.DialExec(t.Context(), r.ID, 6379, ""); !errors.Is(err, ErrNoTunnel) {
		t.Errorf("container without bash and nc: %v", err)
	}
	r.Exec("/bin/rm", "-f", "/bin/sh", "/usr/bin/sh")
	if _, err := e.DialExec(t.Context(), r.ID, 6379, ""); !errors.Is(err, ErrNoTunnel) {
		t.Errorf("container without a shell: %v", err)
	}
}

func TestExecTellsOutputAndCode(t *testing.T) {
	e := connect(t)
	r := startRedis(t)
	script := `printf out; printf err >&2; id -u; exit "$1"`
	for _, code := range []int{0, 7} {
		got, err := e.Exec(t.Context(), r.ID, ExecSpec{User: "999", Cmd: []string{"sh", "-c", script, "redisbak", strconv.Itoa(code)}})
		if err != nil || string(got.Stdout) != "out999\n" || string(got.Stderr) != "err" || got.ExitCode != code {
			t.Errorf("got %q, %q, %d, %v", got.Stdout, got.Stderr, got.ExitCode, err)
		}
	}
	got, err := e.Exec(t.Context(), r.ID, ExecSpec{Cmd: []string{"sh", "-c", "head -c 5000000 /dev/zero; echo end"}})
	if err != nil || len(got.Stdout) != execOutput || !bytes.HasSuffix(got.Stdout, []byte("end\n")) {
		t.Errorf("long output: %d bytes, %v", len(got.Stdout), err)
	}
	got, err = e.Exec(t.Context(), r.ID, ExecSpec{Cmd: []string{"no-such-program"}})
	if err == nil && got.ExitCode != 127 && got.ExitCode != 126 {
		t.Errorf("missing program: %+v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := e.Exec(ctx, r.ID, ExecSpec{Cmd: []string{"sh", "-c", "read x </dev/null; exec tail -f /dev/null"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("script without end: %v", err)
	}
	docker(t, "pause", r.Name)
	defer docker(t, "unpause", r.Name)
	if _, err := e.Exec(t.Context(), r.ID, ExecSpec{Cmd: []string{"true"}}); err == nil || !strings.Contains(err.Error(), "paused") {
		t.Errorf("paused container: %v", err)
	}
}

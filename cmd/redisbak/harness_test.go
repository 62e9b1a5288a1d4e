package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// result is what one command line came to.
type result struct {
	args           []string
	code           int
	stdout, stderr string
}

// redisbak carries out one command line in this process, by the very function
// that main calls. Of the machine's environment it sees only what leads to the
// engine; env comes first.
func redisbak(t testing.TB, env map[string]string, args ...string) result {
	t.Helper()
	return redisbakInput(t, "", env, args...)
}

// redisbakInput is redisbak with text at its standard input.
func redisbakInput(t testing.TB, stdin string, env map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	began := time.Now()
	code := run(t.Context(), args, world{
		stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr,
		getenv: func(name string) string { return lookup(env, name) },
	})
	// A test that fails shows what it had done.
	t.Logf("redisbak %s: exit code %d after %.1f s", strings.Join(args, " "), code, time.Since(began).Seconds())
	return result{args: args, code: code, stdout: stdout.String(), stderr: stderr.String()}
}

func lookup(env map[string]string, name string) string {
	if value, ok := env[name]; ok {
		return value
	}
	if strings.HasPrefix(name, "DOCKER_") || name == "HOME" {
		return os.Getenv(name)
	}
	return ""
}

func (r result) String() string {
	return strings.Join(append([]string{"redisbak"}, r.args...), " ") + "\nstdout: " + r.stdout + "\nstderr: " + r.stderr
}

// must fails the test unless the exit code is this one.
func (r result) must(t testing.TB, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d: %s", r.code, code, r)
	}
	return r
}

// says fails the test unless stderr holds all of the texts.
func (r result) says(t testing.TB, texts ...string) result {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Fatalf("stderr lacks %q: %s", text, r)
		}
	}
	return r
}

// never fails the test if stdout or stderr holds one of the texts.
func (r result) never(t testing.TB, texts ...string) result {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(r.stdout+r.stderr, text) {
			t.Fatalf("output holds %q: %s", text, r)
		}
	}
	return r
}

// document reads the one JSON document of stdout.
func document[T any](t testing.TB, r result) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		t.Fatalf("stdout is no JSON document: %v: %s", err, r)
	}
	return v
}

// builds is where the real binary lies once a test asked for it.
type builds struct {
	once sync.Once
	dir  string
	err  error
}

var built builds

// binary builds the real command once for all tests and returns its path.
func binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "redisbak-test-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", filepath.Join(built.dir, "redisbak"), ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("go build: %s", out)
			built.err = err
		}
	})
	if built.err != nil {
		t.Fatalf("build redisbak: %v", built.err)
	}
	return filepath.Join(built.dir, "redisbak")
}

// TestMain makes the test binary the command too: under the name redisbak it
// is in PATH of every script and test, and calls main itself.
func TestMain(m *testing.M) {
	testscript.Main(tidying{m}, map[string]func(){"redisbak": main})
}

// tidying removes what was built when the tests have run.
type tidying struct{ m *testing.M }

func (t tidying) Run() int {
	code := t.m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	return code
}

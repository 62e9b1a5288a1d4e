package main

import (
	"bytes"
	"os"
	"strings"
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
	var stdout, stderr bytes.Buffer
	began := time.Now()
	code := run(t.Context(), args, world{
		stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr,
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

// TestMain makes the test binary the command too: under the name redisbak it
// is in PATH of every script and test, and calls main itself.
func TestMain(m *testing.M) {
	testscript.Main(tidying{m}, map[string]func(){"redisbak": main})
}

// tidying removes what the tests share when all of them have run.
type tidying struct{ m *testing.M }

func (t tidying) Run() int {
	code := t.m.Run()
	if shared != "" {
		_ = os.RemoveAll(shared)
	}
	return code
}

// shared is a directory that outlives a single test, if any has asked for one.
var shared string

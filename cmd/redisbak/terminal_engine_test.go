//go:build engine && linux

package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// What takes long shows how far it has come, on a terminal and nowhere else.
func TestBarsShowWhatTakesLong(t *testing.T) {
	h := newHome(t)
	h.run("init").must(t, exitOK)
	// A server that starts with these takes its time in the recovery container too.
	redis := enginetest.Start(t, enginetest.Options{Args: []string{
		"--rdb-key-save-delay", "1500", "--key-load-delay", "400", "--loading-process-events-interval-bytes", "65536"}})
	redis.Fill(3500, 3000) // a child that saves tells of every 1024th key, once a second
	h.env["TERM"] = "xterm"

	shows := func(args []string, bars ...string) {
		t.Helper()
		code, stdout, screen := shownBy(t, h.env, args...)
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, screen)
		}
		if strings.Contains(stdout, "\x1b") {
			t.Errorf("escapes on stdout: %q", stdout)
		}
		for _, bar := range bars {
			if !regexp.MustCompile(`\r` + bar).MatchString(screen) {
				t.Errorf("%v: no bar like %s: %q", args, bar, screen)
			}
		}
	}
	shows([]string{"snapshot", redis.Name, "--no-verify"}, `save +[1-9][0-9]?% .*/3500`, `copy +[0-9]+%`)
	shows([]string{"restore", "--start"}, `stage +[0-9]+%`, `load +[1-9][0-9]?% .* MB/s`)
	redis.Cmd("CONFIG", "SET", "rdb-key-save-delay", "0")
	if r := h.run("snapshot", redis.Name, "--no-verify", "--accept-drop").must(t, exitOK); strings.ContainsAny(r.stderr, "\r\x1b") {
		t.Errorf("bars through a pipe: %q", r.stderr)
	}
}

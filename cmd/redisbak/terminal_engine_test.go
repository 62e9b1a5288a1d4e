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
		"--rdb-key-save-delay", "700", "--key-load-delay", "400", "--loading-process-events-interval-bytes", "65536"}})
	redis.Fill(3500, 3000) // a child that saves tells of every 1024th key, once a second
	h.env["TERM"] = "xterm"

	shows := func(args []string, phases ...string) {
		t.Helper()
		code, stdout, screen := shownBy(t, h.env, args...)
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, screen)
		}
		if strings.Contains(stdout, "\x1b") {
			t.Errorf("escapes on stdout: %q", stdout)
		}
		for _, phase := range phases {
			// A share of the whole, and neither none nor all of it.
			bar := regexp.MustCompile(`\r` + phase + ` +(\x1b\[[0-9;]*m)*[1-9][0-9]?%`)
			if !bar.MatchString(screen) {
				t.Errorf("%v: no bar for %s: %q", args, phase, screen)
			}
		}
	}
	shows([]string{"snapshot", redis.Name, "--no-verify"}, "save", "copy")
	shows([]string{"restore", "--start"}, "stage", "load")
	if r := h.run("snapshot", redis.Name, "--no-verify", "--accept-drop").must(t, exitOK); strings.ContainsAny(r.stderr, "\r\x1b") {
		t.Errorf("bars through a pipe: %q", r.stderr)
	}
}

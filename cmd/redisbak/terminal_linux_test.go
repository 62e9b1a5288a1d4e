package main

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a terminal of 80 columns that a command may talk to.
type terminal struct {
	*os.File // the command's end
	keyboard *os.File
	screen   bytes.Buffer
	reading  sync.WaitGroup
}

func newTerminal(t testing.TB) *terminal {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	term := &terminal{File: end, keyboard: keyboard}
	term.reading.Go(func() { _, _ = io.Copy(&term.screen, keyboard) })
	return term
}

// shown closes the command's end and returns all that was written to it.
func (t *terminal) shown() string {
	t.Close()
	t.reading.Wait()
	return t.screen.String()
}

// shownBy runs a command whose stderr is a terminal.
func shownBy(t testing.TB, env map[string]string, args ...string) (code int, stdout, screen string) {
	t.Helper()
	term, out := newTerminal(t), bytes.Buffer{}
	code = run(t.Context(), args, world{
		stdin: strings.NewReader(""), stdout: &out, stderr: term.File,
		getenv: func(name string) string { return lookup(env, name) },
	})
	return code, out.String(), term.shown()
}

func TestColoursAreForTerminalsThatWantThem(t *testing.T) {
	const red = "\x1b[31merror:\x1b[0m "
	repo := map[string]string{"REDISBAK_REPO": t.TempDir()}
	for _, tt := range []struct {
		name, value string
		colour      bool
	}{
		{"TERM", "xterm", true}, {"NO_COLOR", "1", false}, {"TERM", "dumb", false},
	} {
		env := map[string]string{"REDISBAK_REPO": repo["REDISBAK_REPO"], tt.name: tt.value}
		code, _, screen := shownBy(t, env, "list")
		if code != exitNotFound || strings.HasPrefix(screen, red) != tt.colour || strings.Contains(screen, "\x1b") != tt.colour {
			t.Errorf("%s=%s: exit code %d, shown %q", tt.name, tt.value, code, screen)
		}
	}
	redisbak(t, repo, "list").never(t, "\x1b").says(t, "error: ")
}

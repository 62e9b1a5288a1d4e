package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/redisbak/redisbak/internal/repo"
)

// TestScripts types commands as a user does, a file a topic: what they print,
// to the letter, how they end, and that what they refuse they leave alone. No
// engine is needed: DOCKER_HOST names a socket that is not there.
//
// Beside testscript's own commands there are:
//
//	exits CODE redisbak ARG...      run it; the exit code must be CODE
//	powerless CODE redisbak ARG...  the same, without root's power over modes
//	mkrepo DIR FILE                 write the snapshots that FILE lists, see parseFixture
//	alter FILE OFFSET               change one byte
//	hold DIR SOURCE write|keep|remove   hold a lock until the script ends
//	remember DIR                    note all that is in it …
//	unchanged DIR                   … and fail if anything of that has changed
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("DOCKER_HOST", "unix://"+env.WorkDir+"/no-docker.sock")
			env.Setenv("TZ", "UTC")
			env.Setenv("HOME", env.WorkDir+"/home")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"powerless": powerless,
			"mkrepo":    mkrepo,
			"alter":     alter,
			"hold":      hold,
			"remember":  remember,
			"unchanged": unchanged,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// powerless takes from root what lets it pass over modes. For any other user
// it is exits.
func powerless(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) > 1 && os.Geteuid() == 0 {
		args = append([]string{args[0], "setpriv", "--inh-caps=-all", "--bounding-set=-all"}, args[1:]...)
	}
	exits(ts, neg, args)
}

func mkrepo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mkrepo DIR FILE")
	}
	ts.Check(makeRepo(context.Background(), ts.MkAbs(args[0]), ts.ReadFile(args[1]), func(name string) []byte {
		return []byte(ts.ReadFile(name))
	}))
}

func alter(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: alter FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	content[at] ^= 1
	ts.Check(os.WriteFile(path, content, 0o600))
}

// hold sets $HOLDER to the words by which others name this process.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: hold DIR SOURCE write|keep|remove")
	}
	r, err := repo.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	lock, err := map[string]func() (*repo.Lock, error){
		"write":  func() (*repo.Lock, error) { return r.LockWriter(context.Background(), args[1], 0, "another") },
		"keep":   func() (*repo.Lock, error) { return r.LockKeep(context.Background(), args[1], 0) },
		"remove": func() (*repo.Lock, error) { return r.LockRemove(context.Background(), args[1], 0, "another") },
	}[args[2]]()
	ts.Check(err)
	ts.Defer(func() { ts.Check(lock.Release()) })
	host, err := os.Hostname()
	ts.Check(err)
	ts.Setenv("HOLDER", fmt.Sprintf("process %d on host %s", os.Getpid(), host))
}

// remembered is where a directory's inventory is kept in the environment.
func remembered(dir string) string { return "INVENTORY_" + strings.ReplaceAll(dir, "/", "_") }

func remember(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: remember DIR")
	}
	text, err := inventory(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Setenv(remembered(args[0]), text)
}

func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unchanged DIR")
	}
	text, err := inventory(ts.MkAbs(args[0]))
	ts.Check(err)
	if was := ts.Getenv(remembered(args[0])); text != was {
		ts.Fatalf("%s has changed:\n%swas:\n%s", args[0], text, was)
	}
}

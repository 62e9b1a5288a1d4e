package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/redisbak/redisbak/internal/repo"
)

// TestScripts types commands as a user does, a file a topic: what they print,
// to the letter, how they end, and that what they refuse they leave alone. No
// engine is needed: DOCKER_HOST names a socket that is not there.
//
// Beside testscript's own commands there are:
//
//	transcript FILE             run FILE's lines that begin with "$ ", and write what came to the file ran
//	mkrepo DIR FILE             write the snapshots that FILE lists, see parseFixture
//	alter FILE OFFSET           change one byte
//	hold DIR SOURCE LOCK        hold a lock (write, keep, remove) until the script ends
//	remember DIR                note all that is in it …
//	unchanged DIR               … and fail if anything of that has changed
//
// In a transcript, a line of standard output begins with "| ", one of standard
// error with nothing, and an exit code other than 0 stands in brackets. With
// REDISBAK_TEST_UPDATE=1 the scripts are brought up to date; read the
// difference as the one who is woken up by it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("REDISBAK_TEST_UPDATE") == "1",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DOCKER_HOST", "unix://"+env.WorkDir+"/no-docker.sock")
			env.Setenv("TZ", "UTC")
			env.Setenv("HOME", env.WorkDir+"/home")
			env.Setenv("REDISBAK_REPO", env.WorkDir+"/repo")
			if os.Geteuid() == 0 {
				// Modes mean nothing to root, unless it gives up the power.
				env.Setenv("POWERLESS", "setpriv --inh-caps=-all --bounding-set=-all")
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"transcript": transcript,
			"mkrepo":     mkrepo,
			"alter":      alter,
			"hold":       hold,
			"remember":   remember,
			"unchanged":  unchanged,
		},
	})
}

func transcript(ts *testscript.TestScript, neg bool, args []string) {
	checkArgs(ts, neg, args, 1, "transcript FILE")
	var ran strings.Builder
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			ran.WriteString(line)
			ran.WriteString(perform(ts, command))
		case line == "\n" || line[0] == '#':
			ran.WriteString(line)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs("ran"), []byte(ran.String()), 0o600))
}

// perform runs one line by a shell and returns what it printed and how it
// ended, with the names of variables in place of what differs from run to run.
func perform(ts *testscript.TestScript, line string) string {
	err := ts.Exec("sh", "-c", line)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Check(err)
	}
	var b strings.Builder
	for l := range strings.Lines(ts.ReadFile("stdout")) {
		b.WriteString("| " + l)
	}
	b.WriteString(ts.ReadFile("stderr"))
	if exit != nil {
		fmt.Fprintf(&b, "[%d]\n", exit.ExitCode())
	}
	text := madeID.ReplaceAllString(b.String(), "${1}$$ID")
	for _, name := range []string{"HOLDER", "WORK"} {
		if value := ts.Getenv(name); value != "" {
			text = strings.ReplaceAll(text, value, "$"+name)
		}
	}
	return text
}

// madeID finds the random id of a new repository.
var madeID = regexp.MustCompile(`^(repository )[0-9a-f]{32}`)

func mkrepo(ts *testscript.TestScript, neg bool, args []string) {
	checkArgs(ts, neg, args, 2, "mkrepo DIR FILE")
	ts.Check(makeRepo(context.Background(), ts.MkAbs(args[0]), ts.ReadFile(args[1]), func(name string) []byte {
		return []byte(ts.ReadFile(name))
	}))
}

func alter(ts *testscript.TestScript, neg bool, args []string) {
	checkArgs(ts, neg, args, 2, "alter FILE OFFSET")
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	content[at] ^= 1
	ts.Check(os.WriteFile(path, content, 0o600))
}

// hold sets $HOLDER to the words by which others name the holder.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	checkArgs(ts, neg, args, 3, "hold DIR SOURCE write|keep|remove")
	r, err := repo.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	take := map[string]func(wait time.Duration) (*repo.Lock, error){
		"write": func(wait time.Duration) (*repo.Lock, error) {
			return r.LockWriter(context.Background(), args[1], wait, "another")
		},
		"keep": func(wait time.Duration) (*repo.Lock, error) { return r.LockKeep(context.Background(), args[1], wait) },
		"remove": func(wait time.Duration) (*repo.Lock, error) {
			return r.LockRemove(context.Background(), args[1], wait, "another")
		},
	}
	lock, err := take[args[2]](10 * time.Second)
	ts.Check(err)
	ts.Defer(func() { ts.Check(lock.Release()) })
	if args[2] == "keep" {
		args[2] = "remove"
	}
	_, err = take[args[2]](0)
	locked := get[*repo.LockedError](err)
	if locked == nil {
		ts.Fatalf("a second one gets the lock: %v", err)
	}
	ts.Setenv("HOLDER", locked.Holder)
}

func remember(ts *testscript.TestScript, neg bool, args []string) {
	checkArgs(ts, neg, args, 1, "remember DIR")
	text, err := inventory(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Setenv(remembered(args[0]), text)
}

func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	checkArgs(ts, neg, args, 1, "unchanged DIR")
	text, err := inventory(ts.MkAbs(args[0]))
	ts.Check(err)
	if was := ts.Getenv(remembered(args[0])); text != was {
		ts.Fatalf("%s has changed:\n%swas:\n%s", args[0], text, was)
	}
}

// remembered is where a directory's inventory is kept.
func remembered(dir string) string { return "INVENTORY_" + strings.ReplaceAll(dir, "/", "_") }

func checkArgs(ts *testscript.TestScript, neg bool, args []string, count int, usage string) {
	if neg || len(args) != count {
		ts.Fatalf("usage: %s", usage)
	}
}

//go:build engine

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// TestDocuments types what the documents tell people to type, in one shell a
// document, and compares what comes with what they show. Ids, times, sizes and
// versions may differ, and so may the breaking of lines. With
// REDISBAK_TEST_UPDATE=1 the documents get what came.
func TestDocuments(t *testing.T) {
	for _, document := range documents() {
		t.Run(filepath.Base(document), func(t *testing.T) {
			stage := newStage(t)
			todo := steps(t, document)
			ran := stage.perform(t, todo)
			for i, s := range todo {
				compareOutput(t, stage, s, ran[i])
			}
			if os.Getenv("REDISBAK_TEST_UPDATE") == "1" && !t.Failed() {
				stage.rewrite(t, document, todo, ran)
			}
		})
	}
}

// stage is where a document's commands are carried out: what they call
// /srv, shop-… and redis:7.0 are places and names of this test, and an image
// of ours.
type stage struct {
	dir   string // in the place of /srv
	names string // in the place of "shop-"
	today string
}

func newStage(t *testing.T) *stage {
	s := &stage{
		dir: t.TempDir(), names: strings.ToLower(rand.Text()[:4]) + "-", // as long as "shop-": tables keep their shape
		today: time.Now().UTC().Format("20060102"),
	}
	t.Cleanup(func() { s.clean(t) })
	return s
}

// clean removes all that has a name of this stage, and what redisbak made for
// its repositories.
func (s *stage) clean(t *testing.T) {
	for _, name := range s.own(dockerLines(t, "ps", "--all", "--format", "{{.Names}}")) {
		if _, err := enginetest.Docker("rm", "--force", "--volumes", name); err != nil {
			t.Errorf("remove container: %v", err)
		}
	}
	h := &home{t: t, dir: filepath.Join(s.dir, "redisbak")}
	h.removeAll() // volumes of restores among it, that those containers used
	for _, name := range s.own(dockerLines(t, "volume", "ls", "--quiet")) {
		if _, err := enginetest.Docker("volume", "rm", name); err != nil {
			t.Errorf("remove volume: %v", err)
		}
	}
}

// own are the names that are this stage's.
func (s *stage) own(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, s.names) })
}

var (
	idPattern    = regexp.MustCompile(`\b\d{8}T\d{6}Z-[a-z0-9]{4}\b`)
	imagePattern = regexp.MustCompile(`\b(redis|valkey):(\d\.\d)\b`)
	dayPattern   = regexp.MustCompile(`(--date )\d{8}\b`)
)

// inside turns a document's command into the stage's. The n-th id of the
// document, in order of time, stands for the n-th snapshot that there is.
func (s *stage) inside(command string, ids []string) string {
	command = idPattern.ReplaceAllStringFunc(command, func(id string) string {
		return fmt.Sprintf(`"$(nth_snapshot %d)"`, slices.Index(ids, id)+1)
	})
	command = strings.ReplaceAll(command, "shop-", s.names)
	command = strings.ReplaceAll(command, "/srv/", s.dir+"/")
	command = strings.ReplaceAll(command, "/usr/local/bin/redisbak", "redisbak")
	command = imagePattern.ReplaceAllString(command, "redisbak-test/$1:$2")
	return dayPattern.ReplaceAllString(command, "${1}"+s.today)
}

// outside turns what came into the document's terms.
func (s *stage) outside(output string) string {
	output = strings.ReplaceAll(output, s.names, "shop-")
	output = strings.ReplaceAll(output, s.dir+"/", "/srv/")
	return strings.ReplaceAll(output, "redisbak-test/", "")
}

// commandLimit bounds a document's commands, or a demo.
const commandLimit = 5 * time.Minute

// command is one in an environment without what would lead redisbak elsewhere.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second // for what a killed shell leaves running
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "REDISBAK_") }), "TZ=UTC")
	return cmd
}

// perform carries out the commands in one shell and returns what each printed,
// standard output and error together. The first that fails ends it all.
func (s *stage) perform(t *testing.T, todo []step) []string {
	t.Helper()
	ids := idsOf(todo)
	const mark = "\x01"
	var script strings.Builder
	fmt.Fprintf(&script, "nth_snapshot() { basename -a %s/redisbak/*/2* | sort | sed -n \"$1p\"; }\n", s.dir)
	for i, step := range todo {
		fmt.Fprintf(&script, "%s\nstatus=$?; printf '%s%%d %%d%s' %d $status; [ $status -eq 0 ] || exit $status\n",
			s.inside(step.command, ids), mark, mark, i)
	}
	var out bytes.Buffer
	cmd := command(t, "bash", "-c", script.String())
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(binary(t))+":"+os.Getenv("PATH"))
	err := cmd.Run()

	parts := strings.Split(out.String(), mark)
	var ran []string
	for i := 0; i+1 < len(parts); i += 2 {
		ran = append(ran, parts[i])
	}
	if err != nil || len(ran) != len(todo) {
		failed := todo[min(max(len(ran)-1, 0), len(todo)-1)]
		t.Fatalf("%s:%d: %s: %v\n%s", failed.document, failed.line, failed.command, err, s.outside(out.String()))
	}
	return ran
}

// idsOf are the ids that a document has, the oldest first.
func idsOf(todo []step) []string {
	var ids []string
	for _, s := range todo {
		ids = append(ids, idPattern.FindAllString(s.command, -1)...)
		ids = append(ids, idPattern.FindAllString(strings.Join(s.output, "\n"), -1)...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// compareOutput fails the test if what came is not what the document shows. A
// line of three dots in the document stands for any lines.
func compareOutput(t *testing.T, s *stage, want step, got string) {
	t.Helper()
	if !want.after {
		return
	}
	if missing := missingFrom(stable(s.outside(got)), want.output); missing != "" && os.Getenv("REDISBAK_TEST_UPDATE") != "1" {
		t.Errorf("%s:%d: $ %s\nprinted:\n%s\nand not, in the document's words:\n%s\n(REDISBAK_TEST_UPDATE=1 writes what came into the document)",
			want.document, want.line, want.command, s.outside(got), missing)
	}
}

// missingFrom is the first part of the shown output, between lines of three
// dots, that is not in the printed one at its place.
func missingFrom(printed string, shown []string) string {
	parts := strings.Split("\n"+strings.Join(shown, "\n")+"\n", "\n...\n")
	for i, part := range parts {
		part = stable(part)
		switch at := strings.Index(printed, part); {
		case len(parts) == 1 && printed == part:
			return ""
		case len(parts) == 1, at < 0, i == 0 && at != 0, i == len(parts)-1 && !strings.HasSuffix(printed, part):
			return part
		default:
			printed = printed[at+len(part):]
		}
	}
	return ""
}

// stable leaves of an output what is the same in every run.
func stable(text string) string {
	for _, r := range []struct{ pattern, by string }{
		{`\b\d{8}T\d{6}Z-[a-z0-9]{4}\b`, "ID"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`, "TIME"},
		{`\b[0-9a-f]{12,64}\b`, "HEX"},
		{`\b\d{8}\b`, "DAY"},
		{`\S*/redisbak-demo\.\w+`, "/tmp/redisbak-demo.X"},
		{`\bdemo-[0-9a-f]{4}\b`, "demo-X"},
		{`\b\d+(\.\d+)?[kMG]?B\b`, "SIZE"},
		{`\b\d+ bytes`, "SIZE bytes"},
		{`\[offset \d+\]`, "[offset N]"},
		{`"way": "[^"]*"`, `"way": WAY`}, // how a server is reached hangs on the machine
		{`"(size|size_bytes|stored_size|stored_bytes|used_memory_bytes|memory_bytes|duration_seconds|fill_ns|load_ns|total_ns)": [0-9.e+]+`, `"$1": N`},
		{`\b\d+(\.\d+)? s\b`, "N s"},
		{`\bgo\d+\.\d+(\.\d+)?`, "goVERSION"},
		{`\b\d+\.\d+\.\d+\b`, "VERSION"},
		{`"version": "[^"]*"`, `"version": "VERSION"`},
		{`redisbak \S+, repository`, "redisbak VERSION, repository"},
		{`-{3,}`, "---"},
		{`\s+`, " "},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.by)
	}
	return strings.TrimSpace(text)
}

// rewrite puts what came into the document, outputs and ids, so that every
// transcript in it is from one run. Outputs with three dots in them stay.
func (s *stage) rewrite(t *testing.T, document string, todo []step, ran []string) {
	t.Helper()
	path := filepath.Join(project, document)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, step := range slices.Backward(todo) {
		if !step.after || slices.Contains(step.output, "...") {
			continue
		}
		came := strings.Split(strings.TrimRight(folded(s.outside(ran[i])), "\n"), "\n")
		lines = slices.Replace(lines, step.outputAt-1, step.outputAt-1+len(step.output), came...)
	}
	result := strings.Join(lines, "\n")
	var new []string
	for _, out := range ran {
		new = append(new, idPattern.FindAllString(out, -1)...)
	}
	slices.Sort(new)
	new = slices.Compact(new)
	for i, old := range idsOf(todo) {
		if i < len(new) {
			result = strings.ReplaceAll(result, old, new[i])
		}
	}
	result = dayPattern.ReplaceAllString(result, "${1}"+s.today)
	if err := os.WriteFile(path, []byte(result), 0o644); err != nil {
		t.Fatal(err)
	}
}

// folded breaks lines of talk as the demo does; JSON and tables stay whole.
func folded(output string) string {
	const width = 80
	if strings.HasPrefix(output, "{") {
		return output
	}
	var lines []string
	for line := range strings.SplitSeq(output, "\n") {
		for len(line) > width && strings.Count(line, "  ") < 4 {
			at := strings.LastIndex(line[:width+1], " ")
			if at <= 4 {
				break
			}
			lines = append(lines, line[:at])
			line = "    " + line[at+1:]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// demo shows what redisbak, or what is in its place, does, in all acts or in
// certain ones. A docker beside it is in the place of the real one.
func demo(t *testing.T, redisbak string, acts ...string) *exec.Cmd {
	cmd := command(t, filepath.Join(project, "testdata/demo/demo.sh"), append([]string{redisbak}, acts...)...)
	cmd.Env = append(cmd.Env, "REDISBAK_DEMO_IMAGE="+enginetest.Redis70, "PATH="+filepath.Dir(redisbak)+":"+os.Getenv("PATH"))
	return cmd
}

func demonstrate(t *testing.T, redisbak string, acts ...string) (string, int) {
	t.Helper()
	cmd := demo(t, redisbak, acts...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// demoFence finds the demo's transcript in README.md.
var demoFence = regexp.MustCompile("(?s)(<!-- make demo -->\n```text\n)(.*?)(```\n)")

// README.md shows what the demo prints.
func TestDemo(t *testing.T) {
	out, code := demonstrate(t, binary(t))
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	path := filepath.Join(project, "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shown := demoFence.FindSubmatch(readme)
	if shown == nil {
		t.Fatal("README.md has no transcript of make demo")
	}
	out = strings.TrimLeft(out, "\n")
	if os.Getenv("REDISBAK_TEST_UPDATE") == "1" {
		quoted := []byte(strings.ReplaceAll(out, "$", "$$"))
		if err := os.WriteFile(path, demoFence.ReplaceAll(readme, append(append([]byte("${1}"), quoted...), "${3}"...)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, want := stable(out), stable(string(shown[2])); got != want {
		t.Errorf("the demo printed\n%s\nand README.md shows\n%s", out, shown[2])
	}
}

// The demo must see every kind of harm, and whatever else makes what it says
// untrue: each is done behind its back.
func TestDemoSeesEveryDifference(t *testing.T) {
	const restored = `"$redisbak" "$@" || exit
[ "$1" = restore ] || exit 0
repo=$(sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' "$REDISBAK_REPO/redisbak.json")
container=$(docker ps --quiet --filter "label=redisbak.repo=$repo")
docker exec -i "$container" redis-cli >/dev/null <<'END'
`
	const harm = restored + `HSET user:7 visits 50
DEL list:3
SET new key
PEXPIRE session:9 100000000
XACK orders billing 1700000031000-1
FUNCTION FLUSH
SREM online 3
ZINCRBY board 0.001 player-400
END
`
	complaints := []string{
		"db0 user:7: another value", "db0 list:3: missing", "db0 new: was not there", "db0 session:9: expires ",
		"db0 orders: another value", "functions: missing", "db0 online: another value", "db0 board: another value",
		"VERDICT: what came back is not what was there",
	}
	for _, c := range []struct {
		name, act, redisbak, docker string
		complaints                  []string
	}{
		{name: "a dump that came back otherwise", act: "1", redisbak: harm, complaints: complaints},
		{name: "append-only files that came back otherwise", act: "2", redisbak: harm, complaints: complaints},
		{
			name: "back without appendonly", act: "2", redisbak: restored + "CONFIG SET appendonly no\nEND\n",
			complaints: []string{"VERDICT: it does not run with appendonly yes"},
		},
		{
			name: "a dump again", act: "2", redisbak: `[ "$1" = snapshot ] && set -- "$@" --method rdb; exec "$redisbak" "$@"`,
			complaints: []string{"VERDICT: no append-only file was captured"},
		},
		{
			name: "a dump that is loaded", act: "2", docker: `[ "$1" = create ] && set -- "${@:1:$#-1}" no; exec "$docker" "$@"`,
			complaints: []string{"VERDICT: a server with appendonly yes has loaded a dump"},
		},
		{
			name: "no dump to be loaded", act: "2", docker: `[ "$1" = cp ] && exit; exec "$docker" "$@"`,
			complaints: []string{"VERDICT: the dump was not there to be loaded"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			liar := filepath.Join(t.TempDir(), "redisbak")
			script(t, liar, "redisbak="+strconv.Quote(binary(t)), cmp.Or(c.redisbak, `exec "$redisbak" "$@"`))
			if c.docker != "" {
				real, err := exec.LookPath("docker")
				if err != nil {
					t.Fatal(err)
				}
				script(t, filepath.Join(filepath.Dir(liar), "docker"), "docker="+strconv.Quote(real), c.docker)
			}
			out, code := demonstrate(t, liar, c.act)
			if code != exitFailure {
				t.Errorf("exit code %d, want %d", code, exitFailure)
			}
			for _, complaint := range c.complaints {
				if !strings.Contains(out, complaint) {
					t.Errorf("the demo does not say %q", complaint)
				}
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// script makes an executable script of lines.
func script(t *testing.T, file string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("#!/bin/bash\n"+strings.Join(lines, "\n")+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// Interrupted in the middle of a snapshot, of a dump or of append-only files,
// the demo leaves nothing behind.
func TestDemoCleansUpAfterInterrupt(t *testing.T) {
	for act, at := range map[string]string{"1": `^\$ redisbak snapshot demo-\w+$`, "2": `^\$ redisbak snapshot demo-\w+-aof$`} {
		t.Run("act "+act, func(t *testing.T) {
			t.Parallel()
			interruptDemo(t, act, regexp.MustCompile(at))
		})
	}
}

func interruptDemo(t *testing.T, act string, at *regexp.Regexp) {
	cmd := demo(t, binary(t), act)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a terminal does
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if at.MatchString(lines.Text()) {
			if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // the code tells
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d\n%s", code, exitInterrupted, said.String())
	}
	name := regexp.MustCompile(`\bdemo-[0-9a-f]{4}\b`).FindString(said.String())
	if left := dockerLines(t, "ps", "--all", "--filter", "name="+name, "--format", "{{.Names}}"); name == "" || len(left) > 0 {
		t.Errorf("containers left of %q: %v", name, left)
	}
	if left := dockerLines(t, "volume", "ls", "--quiet", "--filter", "name="+name); len(left) > 0 {
		t.Errorf("volumes left of %q: %v", name, left)
	}
	dir := regexp.MustCompile(`\S+/redisbak-demo\.\w+`).FindString(strings.ReplaceAll(said.String(), "=", " "))
	if dir == "" {
		t.Fatalf("no repository named in\n%s", said.String())
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

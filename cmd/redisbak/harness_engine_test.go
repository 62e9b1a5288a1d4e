//go:build engine

package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// full tells whether sweeps and storms run at full size.
func full() bool { return os.Getenv("REDISBAK_TEST_FULL") == "1" }

// sized is how often something is done: all times, or few in the normal run.
func sized(few, all int) int {
	if full() {
		return all
	}
	return few
}

// must fails the test unless the exit code is this one.
func (r result) must(t testing.TB, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d: %s", r.code, code, r)
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

// build makes the real command, once for all tests.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "redisbak-test-")
	if err != nil {
		return "", err
	}
	shared = dir
	path := filepath.Join(dir, "redisbak")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// binary is the path of the real command.
func binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// home is one test's repository. What commands made for it at the engine goes
// when the test ends, also what is meant to stay: recovery volumes and
// containers.
type home struct {
	t   testing.TB
	dir string
	env map[string]string
}

// newHome prepares a repository that does not exist yet: the first snapshot
// makes it.
func newHome(t testing.TB) *home {
	t.Helper()
	h := &home{t: t, dir: filepath.Join(t.TempDir(), "repo"), env: map[string]string{}}
	h.env["REDISBAK_REPO"] = h.dir
	t.Cleanup(h.removeAll)
	return h
}

// run carries out one command line on this repository.
func (h *home) run(args ...string) result { h.t.Helper(); return redisbak(h.t, h.env, args...) }

// id is the repository's id, and empty where there is none yet.
func (h *home) id() string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, "redisbak.json"))
	if os.IsNotExist(err) {
		return ""
	}
	if err != nil {
		h.t.Fatal(err)
	}
	var marker struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(text, &marker); err != nil || marker.ID == "" {
		h.t.Fatalf("redisbak.json: no id: %v: %s", err, text)
	}
	return marker.ID
}

// objects are the containers and volumes of this repository, "role name".
func (h *home) objects() (containers, volumes []string) {
	h.t.Helper()
	id := h.id()
	if id == "" {
		return nil, nil
	}
	filter := "label=redisbak.repo=" + id
	return dockerLines(h.t, "ps", "--all", "--no-trunc", "--filter", filter, "--format", `{{.Label "redisbak.role"}} {{.Names}}`),
		dockerLines(h.t, "volume", "ls", "--filter", filter, "--format", `{{.Label "redisbak.role"}} {{.Name}}`)
}

func (h *home) removeAll() {
	containers, volumes := h.objects()
	for _, c := range containers {
		_, name, _ := strings.Cut(c, " ")
		if _, err := enginetest.Docker("rm", "--force", "--volumes", name); err != nil {
			h.t.Errorf("remove container: %v", err)
		}
	}
	for _, v := range volumes {
		_, name, _ := strings.Cut(v, " ")
		if _, err := enginetest.Docker("volume", "rm", "--force", name); err != nil {
			h.t.Errorf("remove volume: %v", err)
		}
	}
}

// network makes one that goes when the test ends, after what commands have
// started on it.
func (h *home) network(options ...string) string {
	h.t.Helper()
	name := "redisbak-test-" + strings.ToLower(rand.Text()[:10])
	if _, err := enginetest.Docker(append(append([]string{"network", "create", "--label", enginetest.Label}, options...), name)...); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		h.removeAll()
		if _, err := enginetest.Docker("network", "rm", name); err != nil {
			h.t.Errorf("remove network: %v", err)
		}
	})
	return name
}

func dockerLines(t testing.TB, args ...string) []string {
	t.Helper()
	out, err := enginetest.Docker(args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
}

// names are those of objects ("role name") of one role.
func named(objects []string, role string) []string {
	var names []string
	for _, o := range objects {
		if is, name, _ := strings.Cut(o, " "); is == role {
			names = append(names, name)
		}
	}
	return names
}

// holds fails the test unless the engine has exactly these recovery containers
// and volumes of the repository, and nothing else of it.
func (h *home) holds(containers, volumes []string) {
	h.t.Helper()
	haveContainers, haveVolumes := h.objects()
	for _, c := range []struct {
		kind       string
		have, want []string
	}{{"containers", haveContainers, containers}, {"volumes", haveVolumes, volumes}} {
		want := make([]string, len(c.want))
		for i, name := range c.want {
			want[i] = "recovery " + name
		}
		slices.Sort(want)
		slices.Sort(c.have)
		if !slices.Equal(c.have, want) {
			h.t.Errorf("%s of the repository: %q, want %q", c.kind, c.have, want)
		}
	}
}

// snapshot takes one of a container, which must be good and proven.
func (h *home) snapshot(container string, args ...string) snapshotJSON {
	h.t.Helper()
	r := h.run(append([]string{"snapshot", container, "--json"}, args...)...).must(h.t, exitOK)
	doc := document[struct {
		Snapshots []snapshotJSON `json:"snapshots"`
	}](h.t, r)
	if len(doc.Snapshots) != 1 || doc.Snapshots[0].State != "good" || doc.Snapshots[0].Verified != "passed" || doc.Snapshots[0].Keys == nil {
		h.t.Fatalf("not one good and proven snapshot: %s", r)
	}
	return doc.Snapshots[0]
}

// restore puts the newest good snapshot back, which must be proven.
func (h *home) restore(args ...string) restoreJSON {
	h.t.Helper()
	r := h.run(append([]string{"restore", "--json"}, args...)...).must(h.t, exitOK)
	doc := document[restoreJSON](h.t, r)
	if doc.Verified != "passed" || doc.Volume == "" || doc.Keys == nil {
		h.t.Fatalf("not restored and proven: %s", r)
	}
	return doc
}

// configOf is all of a server's configuration. The server tells it in another
// order while a child of it runs.
func configOf(r *enginetest.Redis) string {
	lines := strings.Split(r.Cmd("CONFIG", "GET", "*"), "\n")
	var options []string
	for n := 0; n+1 < len(lines); n += 2 {
		options = append(options, lines[n]+" "+lines[n+1])
	}
	slices.Sort(options)
	return strings.Join(options, "\n")
}

// content is all that a server holds.
type content struct {
	digest string // empty: DEBUG is locked
	keys   enginetest.Dump
}

func contentOf(t testing.TB, r *enginetest.Redis) content {
	t.Helper()
	c := content{keys: r.Dump(t)}
	// The test's servers have DEBUG open unless it is theirs to be like others.
	if _, err := r.Try("DEBUG", "DIGEST"); err == nil {
		c.digest = r.Digest(t)
	}
	return c
}

// same fails the test unless got is want, key by key and, where both servers
// tell it, by digest.
func same(t testing.TB, what string, want, got content) {
	t.Helper()
	if len(want.keys) == 0 && want.digest == "" {
		t.Fatalf("%s: there is nothing to compare with", what)
	}
	diff := enginetest.Diff(want.keys, got.keys)
	if len(diff) > 5 {
		diff = append(diff[:5], fmt.Sprintf("and %d more", len(diff)-5))
	}
	for _, d := range diff {
		t.Errorf("%s: %s", what, d)
	}
	if want.digest != got.digest && want.digest != "" && got.digest != "" {
		t.Errorf("%s: digest %s, want %s", what, got.digest, want.digest)
	}
}

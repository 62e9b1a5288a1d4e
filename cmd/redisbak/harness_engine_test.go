//go:build engine

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
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

func dockerLines(t testing.TB, args ...string) []string {
	t.Helper()
	out, err := enginetest.Docker(args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
}

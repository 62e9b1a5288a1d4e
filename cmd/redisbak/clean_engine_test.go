//go:build engine

package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// gate stands before the engine and looks at each container just before it is
// deleted: which volumes without a name does it have, that only its own
// deletion takes along?
type gate struct {
	proxy  *enginetest.Proxy
	socket string

	mu        sync.Mutex
	anonymous []string
}

func startGate(t *testing.T) *gate {
	t.Helper()
	dir, err := os.MkdirTemp("", "rbk") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{proxy: enginetest.StartProxy(t), socket: filepath.Join(dir, "g")}
	listener, err := net.Listen("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: g}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		<-ended
		os.RemoveAll(dir)
	})
	return g
}

var (
	aContainer = regexp.MustCompile(`/containers/([0-9a-zA-Z_.-]+)$`)
	unnamed    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m := aContainer.FindStringSubmatch(r.URL.Path); m != nil && r.Method == http.MethodDelete {
		if out, err := enginetest.Docker("inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", m[1]); err == nil {
			g.mu.Lock()
			for _, name := range strings.Fields(out) {
				if unnamed.MatchString(name) {
					g.anonymous = append(g.anonymous, name)
				}
			}
			g.mu.Unlock()
		}
	}
	g.proxy.ServeHTTP(w, r)
}

func volumesIn(t *testing.T, container string) []string {
	t.Helper()
	out, err := enginetest.Docker("inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", container)
	if err != nil || len(strings.Fields(out)) != 2 {
		t.Fatalf("mounts of %s: %q, %v", container, out, err)
	}
	return strings.Fields(out)
}

// left are the anonymous volumes of deleted containers that are still there.
func (g *gate) left(t *testing.T) []string {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	var left []string
	for _, name := range g.anonymous {
		if _, err := enginetest.Docker("volume", "inspect", name); err == nil {
			left = append(left, name)
		} else if !strings.Contains(err.Error(), "no such volume") {
			t.Fatal(err)
		}
	}
	return left
}

// After each command nothing of ours is left at the engine beyond what was
// asked for, anonymous volumes included. A Redis image declares /data as a
// volume: with the data elsewhere, each container that is made of it has an
// anonymous one.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	g := startGate(t)
	h := newHome(t)
	h.env["DOCKER_HOST"] = "unix://" + g.socket
	source := enginetest.Start(t, enginetest.Options{Mount: "/srv/redis", Args: []string{"--dir", "/srv/redis"}})
	source.Exec("chown", "999:999", "/srv/redis")
	source.Load(1)
	var containers, volumes []string
	step := func(code int, args ...string) result {
		t.Helper()
		r := h.run(args...).must(t, code)
		h.holds(containers, volumes)
		if left := g.left(t); len(left) > 0 {
			t.Errorf("%s left anonymous volumes behind: %q", args[0], left)
		}
		return r
	}
	taken := document[struct {
		Snapshots []snapshotJSON `json:"snapshots"`
	}](t, step(exitOK, "snapshot", source.Name, "--json"))
	id := string(taken.Snapshots[0].ID)
	if len(g.anonymous) == 0 {
		t.Error("no container had an anonymous volume: this test shows nothing")
	}
	step(exitOK, "snapshot", source.Name, "--no-verify", "--compression", "zstd")
	step(exitFailure, "snapshot", source.Name+"-typo")
	step(exitOK, "list")
	step(exitOK, "show", "latest")
	step(exitOK, "cat", id, "dump.rdb")
	step(exitOK, "check", "--read-data")
	step(exitOK, "verify", id)
	step(exitOK, "verify", "--unverified")
	step(exitFailure, "verify", "--image", "redisbak-test/no-such-image:1")
	step(exitOK, "restore", "--dry-run")
	step(exitUsage, "restore", "--id", id, "--date", "20260208")
	step(exitFailure, "restore", "--volume", source.Volume) // in use

	volumes = []string{source.Name + "-a"}
	step(exitOK, "restore", "--volume", source.Name+"-a", "--verify")
	step(exitFailure, "restore", "--volume", source.Name+"-a") // not empty
	containers, volumes = []string{source.Name + "-c"}, append(volumes, source.Name+"-b")
	step(exitOK, "restore", "--volume", source.Name+"-b", "--start", "--name", source.Name+"-c")
	for _, v := range volumesIn(t, source.Name) {
		if slices.Contains(volumesIn(t, source.Name+"-c"), v) {
			t.Errorf("the restored container mounts %s of the source", v)
		}
	}
	step(exitFailure, "restore", "--volume", source.Name+"-d", "--start", "--name", source.Name+"-c") // the name is taken
	step(exitOK, "snapshot", source.Name)

	// A user's own, empty volume is filled and stays the user's.
	own := enginetest.NewVolume(t)
	step(exitOK, "restore", "--volume", own)
	// A snapshot of what is restored, by its container.
	step(exitOK, "snapshot", source.Name+"-c")
}

//go:build engine

package docker

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// connect reaches the machine's own engine.
func connect(t *testing.T) *Engine {
	t.Helper()
	return connectTo(t, Environment(os.Getenv))
}

func connectTo(t *testing.T, env Env) *Engine {
	t.Helper()
	e, err := Connect(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// newOwner is a run of a repository that no other test has. What it leaves
// behind fails the test, and is removed.
func newOwner(t *testing.T, role string) Owner {
	t.Helper()
	o := Owner{Role: role, Repo: "test-" + strings.ToLower(rand.Text()[:12]), Run: "run-" + strings.ToLower(rand.Text()[:8])}
	t.Cleanup(func() {
		filter := "label=" + labelRepo + "=" + o.Repo
		for _, id := range lines(t, "ps", "--all", "--quiet", "--filter", filter) {
			t.Errorf("container %s is left", id)
			docker(t, "rm", "--force", "--volumes", id)
		}
		for _, name := range lines(t, "volume", "ls", "--quiet", "--filter", filter) {
			t.Errorf("volume %s is left", name)
			docker(t, "volume", "rm", name)
		}
	})
	return o
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := enginetest.Docker(args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func lines(t *testing.T, args ...string) []string {
	t.Helper()
	return strings.Fields(docker(t, args...))
}

func imageOf(t *testing.T, e *Engine, ref string) string {
	t.Helper()
	image, err := e.Image(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return image.ID
}

// dataMount is a volume at its usual place.
func dataMount(volume string) Mount {
	return Mount{Type: MountVolume, Name: volume, Destination: "/data"}
}

func newHelper(t *testing.T, e *Engine, volume string, write bool) *Helper {
	t.Helper()
	spec := HelperSpec{ImageID: imageOf(t, e, enginetest.Redis70), Mount: dataMount(volume), Write: write}
	h, err := e.CreateHelper(t.Context(), newOwner(t, RoleHelper), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// startRedis runs a server that needs no network: it is asked through exec.
func startRedis(t *testing.T) *enginetest.Redis {
	t.Helper()
	return enginetest.Start(t, enginetest.Options{Network: "none"})
}

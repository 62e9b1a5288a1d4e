//go:build engine

package main

import (
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// The main job: a snapshot, a disaster, a restore, and the original's own
// command line serves exactly what the snapshot holds, on every generation of
// servers.
func TestMainJob(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		t.Run(enginetest.Short(image), func(t *testing.T) { mainJob(t, image) })
	}
}

func mainJob(t *testing.T, image string) {
	t.Parallel()
	h := newHome(t)
	args := []string{"--maxmemory-policy", "allkeys-lru", "--save", "3600 1"}
	source := enginetest.Start(t, enginetest.Options{Image: image, Args: args})
	source.Load(3)
	want := contentOf(t, source)
	if want.digest == "" || len(want.keys) < 300 {
		t.Fatalf("a poor data set: digest %q, %d keys", want.digest, len(want.keys))
	}
	taken := h.snapshot(source.Name)
	if keys := int64(len(want.keys)) - functionsOf(want); *taken.Keys != keys {
		t.Errorf("snapshot of %d keys, the server has %d", *taken.Keys, keys)
	}
	h.holds(nil, nil)
	same(t, "the source after the snapshot", want, contentOf(t, source))

	// Somebody empties the server, and its save points empty its dump, too.
	source.Cmd("FLUSHALL")
	started := h.restore("--start")
	if started.Container == nil || *started.Keys != *taken.Keys {
		t.Fatalf("restored to %v", started)
	}
	recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
	same(t, "restore --start beside the flushed source", want, contentOf(t, recovered))
	h.holds([]string{*started.Container}, []string{started.Volume})

	own := h.restore("--volume", source.Name+"-own")
	h.holds([]string{*started.Container}, []string{started.Volume, own.Volume})
	again := enginetest.Start(t, enginetest.Options{Image: image, Args: args, Volume: own.Volume})
	same(t, "the original command line on the restored volume", want, contentOf(t, again))
	livesOn(t, again, want)

	mainJobWithoutSource(t, h, source, image, args, want)
}

// functionsOf is 1 where the content has functions, which are no key.
func functionsOf(c content) int64 {
	if _, ok := c.keys["functions"]; ok {
		return 1
	}
	return 0
}

// livesOn shows that the restored data are a server's as any other: it saves
// them, is restarted, and still has them.
func livesOn(t *testing.T, r *enginetest.Redis, want content) {
	t.Helper()
	r.Cmd("SET", "written after the restore", "1")
	r.Cmd("SAVE")
	r.Kill()
	r.Restart()
	if r.Cmd("GET", "written after the restore") != "1" {
		t.Error("what was written after the restore is lost")
	}
	r.Cmd("DEL", "written after the restore")
	same(t, "saved and started again", want, contentOf(t, r))
}

// mainJobWithoutSource is the same after container and volume are gone.
func mainJobWithoutSource(t *testing.T, h *home, source *enginetest.Redis, image string, args []string, want content) {
	t.Helper()
	for _, gone := range [][]string{{"rm", "--force", "--volumes", source.Name}, {"volume", "rm", source.Volume}} {
		if _, err := enginetest.Docker(gone...); err != nil {
			t.Fatal(err)
		}
	}
	r := h.run("restore", "--start", "--volume", source.Name+"-gone", "--name", source.Name+"-gone", "--json").must(t, exitOK)
	r.says(t, "is gone")
	started := document[restoreJSON](t, r)
	// The image's own start has protected mode on: only from inside of the
	// container can it be switched off.
	if _, err := enginetest.Docker("exec", *started.Container, "sh", "-c", "$(command -v redis-cli || command -v valkey-cli) CONFIG SET protected-mode no"); err != nil {
		t.Fatal(err)
	}
	recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
	same(t, "restore --start without the source", want, contentOf(t, recovered))

	// The default volume's name is taken by the first restore.
	r = h.run("restore").must(t, exitFailure)
	r.says(t, "in use")
	own := h.restore("--volume", source.Name+"-gone-own")
	again := enginetest.Start(t, enginetest.Options{Image: image, Args: args, Volume: own.Volume})
	same(t, "the original command line without the source", want, contentOf(t, again))

	if _, err := enginetest.Docker("volume", "inspect", source.Volume); err == nil || !strings.Contains(err.Error(), "no such volume") {
		t.Errorf("the source's volume came back: %v", err)
	}
}

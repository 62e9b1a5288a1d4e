//go:build engine

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// FAULT 60: what a conversion that fails leaves of a user's own volume, and that
// it says exactly that.
func TestFault60_AConversionIntoAVolumeOfTheUser(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault enginetest.Fault
		code  int
		says  string
		whole bool
	}{
		// The first of the two archives goes onto the scratch volume.
		{"before the volume's turn", enginetest.Fault{Method: "PUT", Path: archivePath, Upload: 1000}, exitDocker,
			"is as it was, nothing was written to it: ", false},
		{"on the volume", enginetest.Fault{Method: "PUT", Path: archivePath, Skip: 1, Upload: 20_000}, exitDocker,
			"may hold a part of the restored files: ", false},
		{"after it", enginetest.Fault{Method: "DELETE", Path: `^/volumes/`, Status: 500}, exitFailure, "is restored and checked; ", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, e := archiveWithCommands(t, enginetest.Redis70)
			volume := enginetest.NewVolume(t)
			before := seen(t, volume)
			proxy := enginetest.StartProxy(t)
			h.through(proxy)
			proxy.Inject(c.fault)
			r := h.run("restore", "--volume", volume, "--layout", "rdb").must(t, c.code)
			r.says(t, `error: volume "`+volume+`" `+c.says)
			proxy.Clear()
			after := seen(t, volume)
			switch {
			case c.whole:
				again := enginetest.Start(t, enginetest.Options{Volume: volume})
				if keys := keysOf(again); keys != *h.list()[0].Keys {
					t.Errorf("the volume serves %d keys, the snapshot has %d", keys, *h.list()[0].Keys)
				}
			case strings.Contains(c.says, "nothing") && !slices.Equal(before, after):
				t.Errorf("the volume holds\n%q\nand held\n%q", after, before)
			case strings.Contains(c.says, "a part") && slices.Equal(before, after):
				t.Error("nothing came into the volume: this test shows nothing")
			}
			h.run("check", "--read-data").must(t, exitOK) // sweeps, too
			h.run("snapshot", e.Manifest.Source.Container, "--no-verify").must(t, exitOK)
			h.holds(nil, nil)
		})
	}
}

// A snapshot that no longer shows the keys that were captured is not converted,
// and the volume does not come to know of it.
func TestFault57_AForgedAppendOnlyFileIsNotConverted(t *testing.T) {
	t.Parallel()
	h, e := archiveWithCommands(t, enginetest.Redis70)
	n := len(e.Manifest.Files) - 2
	h.forgeFile(e, n, before(t, h.files(e.Manifest.ID)[n].content, "*3\r\n$3\r\nSET\r\n$9\r\nvery:last"))
	volume := enginetest.NewVolume(t)
	was := seen(t, volume)
	r := h.run("restore", "--id", string(e.Manifest.ID), "--volume", volume, "--layout", "rdb", "--no-verify").must(t, exitFailure)
	r.says(t, `error: volume "`+volume+`" is as it was, nothing was written to it: snapshot `+string(e.Manifest.ID)+": convert its append-only file into a dump: keys differ: ",
		"hint: redisbak verify tells whether the snapshot boots; --layout aof lays it down as it is")
	if now := seen(t, volume); !slices.Equal(was, now) {
		t.Errorf("the volume holds\n%q\nand held\n%q", now, was)
	}
	h.holds(nil, nil)
}

// seen is all that a volume holds, its root included, with owners, modes and
// times. Looking changes nothing: the engine fills an empty volume from the
// image otherwise.
func seen(t *testing.T, volume string) []string {
	t.Helper()
	return dockerLines(t, "run", "--rm", "--label", enginetest.Label, "--network", "none", "--user", "0",
		"--mount", "type=volume,source="+volume+",target=/looked,readonly,volume-nocopy", "--entrypoint", "find", enginetest.Redis70,
		"/looked", "-printf", `%P %y %U:%G %m %s %T@\n`)
}

// What is converted goes where the target looks for its dump.
func TestAConversionUnderAnotherName(t *testing.T) {
	for _, image := range []string{enginetest.Redis60, enginetest.Redis70} {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			volume := enginetest.NewVolume(t)
			inVolume(t, volume, `mkdir "$1/main" && chown -R 999:999 "$1" && chmod 710 "$1/main"`)
			args := []string{"--dir", "/data/main", "--dbfilename", "main store.rdb", "--save", "3600 1"}
			source := enginetest.Start(t, enginetest.Options{Image: image, Args: args, Volume: volume})
			source.Load(1)
			source.Cmd("CONFIG", "SET", "appendonly", "yes")
			enginetest.Eventually(t, time.Minute, "the first rewrite", func() bool {
				return source.Field("aof_rewrite_in_progress") == "0" && source.Field("aof_rewrite_scheduled") == "0"
			})
			source.Cmd("SET", "after it was switched", "1")
			want := contentOf(t, source)
			if taken := h.snapshot(source.Name); taken.Method != "aof" {
				t.Fatalf("method %s", taken.Method)
			}
			restored := h.restore()
			if have := seen(t, restored.Volume); len(have) != 3 || !strings.HasPrefix(have[1], "main d 999:999 710 ") || !strings.HasPrefix(have[2], "main/main store.rdb f 999:999 600 ") {
				t.Errorf("the volume holds %q", have)
			}
			again := enginetest.Start(t, enginetest.Options{Image: image, Args: args, Volume: restored.Volume})
			same(t, "the original command line on the restored volume", want, contentOf(t, again))
			livesOn(t, again, want)
		})
	}
}

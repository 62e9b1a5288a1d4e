//go:build engine

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// ways are those in which the matrix captures.
var ways = []struct {
	name string
	args []string
}{
	{"rdb", []string{"--method", "rdb"}},
	{"aof", []string{"--method", "aof"}},
	{"aof without a rewrite", []string{"--method", "aof", "--no-rewrite"}},
}

// The matrix: whatever is captured of whatever server, the original's own
// command line on the restored volume serves exactly that; or it is refused,
// with its reason (FAULT 55).
func TestMatrix(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		for _, appendonly := range []string{"yes", "no"} {
			t.Run(enginetest.Short(image)+" appendonly "+appendonly, func(t *testing.T) { matrix(t, image, appendonly) })
		}
	}
}

func matrix(t *testing.T, image, appendonly string) {
	t.Parallel()
	h := newHome(t)
	args := []string{"--appendonly", appendonly, "--save", "3600 1"}
	source := enginetest.Start(t, enginetest.Options{Image: image, Args: args})
	source.Load(1)
	want := contentOf(t, source)
	for _, way := range ways {
		if appendonly == "no" && way.name != "rdb" {
			h.comesTo(exitFailure, "error: container \"NAME\": appendonly is off: there is no append-only file to capture\n"+
				"hint: --method rdb captures its dump; --method auto takes what there is\n",
				h.run(append([]string{"snapshot", source.Name}, way.args...)...), "NAME="+source.Name)
			continue
		}
		taken := h.snapshot(source.Name, way.args...)
		if method, _, _ := strings.Cut(way.name, " "); taken.Method != method {
			t.Errorf("%s: method %s", way.name, taken.Method)
		}
		volume := source.Volume + "-" + strings.ReplaceAll(way.name, " ", "-")
		h.restore("--volume", volume)
		again := enginetest.Start(t, enginetest.Options{Image: image, Args: args, Volume: volume})
		same(t, way.name+": the original command line on the restored volume", want, contentOf(t, again))
		livesOn(t, again, want)
	}
	same(t, "the source afterwards", want, contentOf(t, source))
}

// auto takes what the server itself would start from, and a list takes one of
// each.
func TestMethodIsWhatTheServerStartsFrom(t *testing.T) {
	h := newHome(t)
	on := enginetest.Start(t, enginetest.Options{Args: []string{"--appendonly", "yes"}})
	off := enginetest.Start(t, enginetest.Options{Args: []string{"--save", "3600 1"}})
	on.Load(1)
	off.Load(1)
	if taken := h.snapshot(on.Name); taken.Method != "aof" {
		t.Errorf("appendonly yes: method %s", taken.Method)
	}
	if taken := h.snapshot(off.Name); taken.Method != "rdb" {
		t.Errorf("appendonly no: method %s", taken.Method)
	}
	doc := document[struct {
		Snapshots []snapshotJSON `json:"snapshots"`
	}](t, h.run("snapshot", on.Name, "--method", "rdb,aof", "--json").must(t, exitOK))
	if len(doc.Snapshots) != 2 || doc.Snapshots[0].Method != "rdb" || doc.Snapshots[1].Method != "aof" || *doc.Snapshots[0].Keys != *doc.Snapshots[1].Keys {
		t.Errorf("rdb,aof: %+v", doc.Snapshots)
	}
	h.holds(nil, nil)
}

// What counts is how the server will start, not what was switched at run time,
// also where its container is gone (FAULT 55). What is captured as an
// append-only file is converted for a start without one, by a boot on a
// throw-away copy.
func TestSwitchedAtRunTimeOnly(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		for _, starts := range []string{"no", "yes"} {
			t.Run(enginetest.Short(image)+" starts with "+starts, func(t *testing.T) {
				t.Parallel()
				switchedAtRunTime(t, image, starts)
			})
		}
	}
}

func switchedAtRunTime(t *testing.T, image, starts string) {
	h := newHome(t)
	runs := map[string]string{"no": "yes", "yes": "no"}[starts]
	args := []string{"--save", "3600 1", "--appendonly", starts}
	source := enginetest.Start(t, enginetest.Options{Image: image, Args: args})
	source.Load(1)
	source.Cmd("CONFIG", "SET", "appendonly", runs)
	enginetest.Eventually(t, time.Minute, "the first rewrite", func() bool {
		return source.Field("aof_rewrite_in_progress") == "0" && source.Field("aof_rewrite_scheduled") == "0"
	})
	source.Cmd("SET", "after it was switched", "1")
	want := contentOf(t, source)
	r := h.run("snapshot", source.Name, "--json").must(t, exitOK)
	r.says(t, "appendonly was switched at run time only: it is "+runs+`, and by its command line, container "`+source.Name+`" starts with `+starts)
	if method := map[string]string{"yes": `"method": "aof"`, "no": `"method": "rdb"`}[runs]; !strings.Contains(r.stdout, method) {
		t.Errorf("not %s: %s", method, r.stdout)
	}

	started := h.restore("--start")
	recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
	same(t, "restored and started", want, contentOf(t, recovered))
	onlyWhatItStartsFrom(t, recovered, image, starts)

	if _, err := enginetest.Docker("rm", "--force", "--volumes", source.Name); err != nil {
		t.Fatal(err)
	}
	gone := h.restore("--volume", source.Volume+"-gone")
	again := enginetest.Start(t, enginetest.Options{Image: image, Args: args, Volume: gone.Volume})
	same(t, "the original command line, when the container was gone", want, contentOf(t, again))
	onlyWhatItStartsFrom(t, again, image, starts)
	h.holds([]string{*started.Container}, []string{started.Volume, gone.Volume})
}

// onlyWhatItStartsFrom: a stale twin would be loaded one day.
func onlyWhatItStartsFrom(t *testing.T, r *enginetest.Redis, image, appendonly string) {
	t.Helper()
	files := strings.Fields(r.Exec("ls", "-A", "/data"))
	want := []string{"dump.rdb"}
	switch {
	case appendonly == "yes" && image == enginetest.Redis60:
		want = []string{"appendonly.aof"}
	case appendonly == "yes":
		want = []string{"appendonlydir"}
	}
	if !slices.Equal(files, want) {
		t.Errorf("the volume holds %q, want %q", files, want)
	}
}

// Data of a server before 7.0 go into one that keeps its append-only file in
// several parts.
func TestSnapshotOf60IntoA70WithAppendOnly(t *testing.T) {
	for _, way := range []struct{ name, appendonly string }{{"rdb", "no"}, {"aof", "yes"}} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis60, Args: []string{"--appendonly", way.appendonly}})
			source.Load(1)
			want := contentOf(t, source)
			if taken := h.snapshot(source.Name); taken.Method != way.name {
				t.Fatalf("method %s", taken.Method)
			}
			volume := source.Volume + "-70"
			h.restore("--volume", volume, "--image", enginetest.Redis70, "--layout", "aof-legacy")
			args := []string{"--appendonly", "yes"}
			upgraded := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70, Args: args, Volume: volume})
			// Newer servers digest some types otherwise.
			same(t, "7.0 with appendonly yes", content{keys: want.keys}, content{keys: contentOf(t, upgraded).keys})
			livesOn(t, upgraded, content{keys: want.keys})
		})
	}
}

// Names and places are the target's own, wherever they are set.
func TestAppendOnlyFilesUnderOtherNames(t *testing.T) {
	for _, c := range []struct {
		image string
		args  []string
	}{
		{enginetest.Redis60, []string{"--appendonly", "yes", "--appendfilename", "sessions log.aof", "--dir", "/data/redis"}},
		{enginetest.Redis70, []string{"--appendonly", "yes", "--appendfilename", "sessions log.aof", "--appenddirname", "aof dir", "--dir", "/data/redis"}},
	} {
		t.Run(enginetest.Short(c.image), func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			volume := enginetest.NewVolume(t)
			if _, err := enginetest.Docker("run", "--rm", "--volume", volume+":/data", "--entrypoint", "install", c.image, "-d", "-o", "999", "-g", "999", "-m", "750", "/data/redis"); err != nil {
				t.Fatal(err)
			}
			source := enginetest.Start(t, enginetest.Options{Image: c.image, Volume: volume, Args: c.args})
			source.Load(1)
			want := contentOf(t, source)
			for _, way := range ways {
				h.snapshot(source.Name, way.args...)
				volume := volume + "-" + strings.ReplaceAll(way.name, " ", "-")
				h.restore("--volume", volume)
				again := enginetest.Start(t, enginetest.Options{Image: c.image, Args: c.args, Volume: volume})
				same(t, way.name, want, contentOf(t, again))
				if mode := strings.TrimSpace(again.Exec("stat", "-c", "%a %u %g", "/data/redis")); mode != "750 999 999" {
					t.Errorf("%s: the directory is %s", way.name, mode)
				}
			}
			h.holds(nil, recoveryVolumes(volume, ways))
		})
	}
}

func recoveryVolumes(volume string, of []struct {
	name string
	args []string
}) (names []string) {
	for _, way := range of {
		names = append(names, volume+"-"+strings.ReplaceAll(way.name, " ", "-"))
	}
	return names
}

// A server that nobody configured to keep anything on disk gets a file by the
// save, and is told so.
func TestCacheIsToldThatTheDumpStays(t *testing.T) {
	h := newHome(t)
	source := enginetest.Start(t, enginetest.Options{Args: []string{"--save", "", "--appendonly", "no"}})
	source.Load(1)
	h.run("snapshot", source.Name, "--no-verify").must(t, exitOK).
		says(t, `the server keeps nothing on disk (save "", appendonly no): the dump that it saves now stays at /data/dump.rdb, and it will load it at its next start`)
	kept := enginetest.Start(t, enginetest.Options{Args: []string{"--save", "3600 1"}})
	h.run("snapshot", kept.Name, "--no-verify").must(t, exitOK).never(t, "keeps nothing on disk")
}

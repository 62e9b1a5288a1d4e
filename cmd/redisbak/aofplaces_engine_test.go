//go:build engine

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// The server that answers must be the one that writes to this volume. The
// rewrite tells, for it changes nothing here; and without one the length does:
// the server has written less than there is, or more.
func TestAppendOnlyFilesOfAnotherServer(t *testing.T) {
	for _, image := range []string{enginetest.Redis70, enginetest.Redis60} {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			h.run("init").must(t, exitOK)
			args := []string{"--appendonly", "yes"}
			long, short := enginetest.Start(t, enginetest.Options{Image: image, Args: args}), enginetest.Start(t, enginetest.Options{Image: image, Args: args})
			long.Fill(200, 100)
			short.Cmd("SET", "k", "v")
			unharmed, otherUnharmed := h.unharmed(long), h.unharmed(short)
			bytes := regexp.MustCompile(`\d+ bytes|(written|have) \d+`)
			file := map[string]string{enginetest.Redis70: "appendonlydir/appendonly.aof.1.incr.aof", enginetest.Redis60: "appendonly.aof"}[image]
			comesTo := func(of, at *enginetest.Redis, want string) {
				t.Helper()
				r := h.run("snapshot", of.Name, "--address", at.Addr(), "--no-rewrite")
				r.stderr = bytes.ReplaceAllString(r.stderr, "N")
				h.comesTo(exitFailure, want, r, "NAME="+of.Name)
			}
			comesTo(long, short, "error: container \"NAME\": the server reached is not the one on this volume: "+file+" has N, and the server has N\n"+
				"hint: name the container of the server that you mean, or its own --address\n")
			if image != enginetest.Redis60 { // it waits half a minute for the rest: once is enough
				comesTo(short, long, "error: container \"NAME\": its append-only file does not end where the server says that it does: "+file+" has N, and should N\n"+
					"hint: run it again, without --no-rewrite; --method rdb does without the append-only file\n")
			}
			h.comesTo(exitFailure, "error: container \"NAME\": redis AOF rewrite: the base on disk is still the one from before: stopped by another command, FLUSHALL perhaps, or the server writes elsewhere\n"+
				"hint: docker logs of that container tells more; --no-rewrite takes the append-only file as it is\n", h.run("snapshot", long.Name, "--address", short.Addr()), "NAME="+long.Name)
			if listed := h.list(); len(listed) != 0 {
				t.Errorf("listed: %+v", listed)
			}
			unharmed()
			otherUnharmed()
		})
	}
}

// A server whose appendonly was switched on a moment ago still has an old set
// under the names of its manifest, or an old file, until its first rewrite is
// done. That is never archived: it is refused, or the end is waited for.
func TestNoOldAppendOnlyFileBeforeTheFirstRewrite(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			h.run("init").must(t, exitOK)
			args := []string{"--appendonly", "yes"}
			source := enginetest.Start(t, enginetest.Options{Image: image, Args: args})
			source.Fill(100, 10)
			source.Cmd("CONFIG", "SET", "appendonly", "no")
			source.Cmd("FLUSHALL")
			source.Fill(40, 10)
			source.Cmd("SET", "not in the old one", "1")
			want := contentOf(t, source)
			source.Cmd("CONFIG", "SET", "rdb-key-save-delay", "100000") // four seconds
			source.Cmd("CONFIG", "SET", "appendonly", "yes")
			if source.Field("aof_rewrite_in_progress") != "1" {
				t.Fatal("no rewrite is running: this test shows nothing")
			}
			r := h.run("snapshot", source.Name, "--method", "aof", "--no-rewrite", "--no-verify")
			running := source.Field("aof_rewrite_in_progress") == "1"
			source.Cmd("CONFIG", "SET", "rdb-key-save-delay", "0")
			if image == enginetest.Redis60 {
				// There the one file does not tell; that no rewrite runs does.
				r.must(t, exitOK)
			} else {
				if !running {
					t.Error("the rewrite was done before the snapshot: this test shows nothing")
				}
				h.comesTo(exitFailure, "error: container \"NAME\": its append-only file is not complete: appendonly was switched on, and the first rewrite is not done\n"+
					"hint: redis-cli BGREWRITEAOF has the server make its files anew; --method rdb does without them\n", r, "NAME="+source.Name)
				if listed := h.list(); len(listed) != 0 {
					t.Errorf("listed: %+v", listed)
				}
				enginetest.Eventually(t, time.Minute, "the first rewrite is done", func() bool { return source.Field("aof_rewrite_in_progress") == "0" })
				h.run("snapshot", source.Name, "--method", "aof", "--no-rewrite", "--no-verify").must(t, exitOK)
			}
			h.run("verify", "--unverified").must(t, exitOK)
			restored := h.restore()
			same(t, "restored", want, contentOf(t, enginetest.Start(t, enginetest.Options{Image: image, Args: args, Volume: restored.Volume})))
		})
	}
}

// What a helper sees below the data directory is not what the server sees where
// that has a mount of its own. Its dump lies where it should.
func TestAppendOnlyFilesOnAMountOfTheirOwn(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.run("init").must(t, exitOK)
	// Such a server cannot make its files, nor rewrite them: it renames them
	// across the border. It runs on those that are there.
	args := []string{"--appendonly", "yes"}
	before := enginetest.Start(t, enginetest.Options{Args: args})
	before.Load(1)
	before.Stop()
	inner := enginetest.NewVolume(t)
	inVolume(t, before.Volume, `mv "$1"/appendonlydir/* "$1"; rmdir "$1/appendonlydir"`)
	source := enginetest.Start(t, enginetest.Options{Args: args, Volume: inner, Docker: []string{"--volume", before.Volume + ":/data/appendonlydir"}})
	unharmed := h.unharmed(source)
	for _, options := range [][]string{nil, {"--method", "aof"}, {"--no-rewrite"}} {
		h.comesTo(exitFailure, "error: container \"NAME\": its append-only files are on a mount of their own, at /data/appendonlydir\n"+
			"hint: --method rdb captures its dump; or keep them on the same mount as the data directory\n",
			h.run(append([]string{"snapshot", source.Name}, options...)...), "NAME="+source.Name)
		unharmed()
	}
	if listed := h.list(); len(listed) != 0 {
		t.Errorf("listed: %+v", listed)
	}
	h.snapshot(source.Name, "--method", "rdb")
	// It would start from the mount that is not restored.
	h.run("restore").must(t, exitFailure).says(t, "looks for its data in /data/appendonlydir, which is on another mount than /data")
	restored := h.restore("--layout", "rdb")
	same(t, "its dump", contentOf(t, source), contentOf(t, enginetest.Start(t, enginetest.Options{Volume: restored.Volume})))
}

// A wrapper that brings a configuration file of its own: the command line shows
// options, and not those that count. What the server ran with is what is laid
// down, and that this is the ground is said.
func TestAWrapperWithItsOwnConfiguration(t *testing.T) {
	for _, appendonly := range []string{"yes", "no"} {
		t.Run("appendonly "+appendonly, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			wrapper := filepath.Join(t.TempDir(), "docker-entrypoint.sh")
			script := "#!/bin/sh\nset -eu\n" +
				"printf 'dir /data\\ndbfilename wrapped.rdb\\nappendonly " + appendonly + "\\nappenddirname wrapped\\n' >/run/own.conf\n" +
				"exec redis-server /run/own.conf \"$@\"\n"
			if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			source := enginetest.Start(t, enginetest.Options{
				Args:   []string{"--save", "3600 1"},
				Docker: []string{"--volume", wrapper + ":/usr/local/bin/docker-entrypoint.sh:ro"},
			})
			source.Load(1)
			want := contentOf(t, source)
			taken := h.snapshot(source.Name)
			if method := map[string]string{"yes": "aof", "no": "rdb"}[appendonly]; taken.Method != method {
				t.Errorf("method %s, want %s", taken.Method, method)
			}
			if !h.entry(taken.ID).Manifest.Source.Options.Live {
				t.Error("the manifest takes the command line for what the server starts with")
			}
			r := h.run("restore", "--start", "--json").must(t, exitOK)
			r.says(t, "how container \""+source.Name+"\" starts could not be read", "laid down as it ran when it was captured, for how it started could not be read then")
			started := document[restoreJSON](t, r)
			recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
			same(t, "started", want, contentOf(t, recovered))
			files := map[string]string{"yes": "wrapped", "no": "wrapped.rdb"}[appendonly]
			if have := strings.TrimSpace(recovered.Exec("ls", "-A", "/data")); have != files {
				t.Errorf("the volume holds %q, want %q", have, files)
			}
		})
	}
}

// FAULT 63 where a dump becomes the base of an append-only file: that keeps
// what has expired at first, and the server drops it when it comes across it.
func TestExpiredKeysOfADumpThatIsLaidDownAsAppendOnlyFile(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			const short = 25
			h := newHome(t)
			source := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--appendonly", "yes"}})
			source.Load(1)
			lasting := contentOf(t, source)
			at := shortLived(t, source, short, 4*time.Second)
			taken := h.snapshot(source.Name, "--method", "rdb")
			waitUntil(t, source, at)
			// They are not dropped as it loads: so none are announced.
			planned := h.run("restore", "--dry-run", "--json").must(t, exitOK).never(t, "will be dropped")
			if keys := document[restoreJSON](t, planned).Keys; *keys != *taken.Keys {
				t.Errorf("%d keys are planned, want %d", *keys, *taken.Keys)
			}
			started := h.restore("--start")
			if *started.Keys > *taken.Keys || *started.Keys < *taken.Keys-short {
				t.Errorf("started with %d keys, want %d, or up to %d less", *started.Keys, *taken.Keys, short)
			}
			recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
			enginetest.Eventually(t, time.Minute, "what has expired is gone", func() bool { return keysOf(recovered) == *taken.Keys-short })
			same(t, "what has not expired", lasting, contentOf(t, recovered))
			onlyWhatItStartsFrom(t, recovered, image, "yes")
		})
	}
}

// keysOf counts the keys of all databases.
func keysOf(r *enginetest.Redis) (n int64) {
	for line := range strings.Lines(r.Cmd("INFO", "keyspace")) {
		var db, keys int64
		if _, err := fmt.Sscanf(line, "db%d:keys=%d", &db, &keys); err == nil {
			n += keys
		}
	}
	return n
}

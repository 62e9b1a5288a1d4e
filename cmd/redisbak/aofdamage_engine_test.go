//go:build engine

package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
	"github.com/redisbak/redisbak/internal/repo"
)

// FAULT 56: what lies on the source's volume is no whole append-only file. As
// it is, it is refused; where a rewrite makes a whole one of it, that one is
// captured.
func TestFault56_AnIncompleteAppendOnlyFileOfTheSource(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	args := []string{"--appendonly", "yes"}
	source := enginetest.Start(t, enginetest.Options{Args: args})
	source.Load(1)
	h.run("init").must(t, exitOK)
	taken := 0
	const (
		dir     = "/data/appendonlydir"
		nothing = "the server has appendonly on, and there is no /data/appendonlydir"
		half    = "its append-only file is not complete: appendonly.aof.manifest names "
		torn    = "appendonly.aof.manifest: AOF manifest, "
	)
	last := func(kind string) string {
		return strings.TrimSpace(source.Exec("sh", "-c", "awk '/type "+kind+"/ {n=$2} END {print n}' "+dir+"/appendonly.aof.manifest"))
	}
	for _, c := range []struct {
		name   string
		broken func() (why string)
		healed bool // by a rewrite
		dump   bool // is captured instead, unless a method is asked for
	}{
		{"no directory", func() string { source.Exec("mv", dir, "/tmp/away"); return nothing + " on its volume" }, false, true},
		{"no manifest", func() string {
			source.Exec("rm", dir+"/appendonly.aof.manifest")
			return nothing + "/appendonly.aof.manifest on its volume"
		}, false, true},
		{"an empty manifest", func() string {
			source.Exec("truncate", "-s", "0", dir+"/appendonly.aof.manifest")
			return torn + "line 1: the manifest is empty"
		}, false, false},
		{"a torn manifest", func() string {
			source.Exec("truncate", "-s", "-9", dir+"/appendonly.aof.manifest")
			return torn + "line 2: no newline at its end: the manifest was cut"
		}, false, false},
		{"a manifest of a base alone", func() string {
			source.Exec("sed", "-i", "/type i/d", dir+"/appendonly.aof.manifest")
			return half + "no base, or no file to append to"
		}, true, false},
		{"no base", func() string {
			name := last("b")
			source.Exec("rm", dir+"/"+name)
			return half + name + ", which is not there"
		}, true, false},
		{"not the file that is appended to", func() string {
			name := last("i")
			source.Exec("rm", dir+"/"+name)
			return half + name + ", which is not there"
		}, true, false},
		{"not the file before that", func() string {
			name := last("i")
			failedRewrite(t, source)
			source.Exec("rm", dir+"/"+name)
			return half + name + ", which is not there"
		}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			why := "error: container \"NAME\": " + c.broken() + "\nhint: redis-cli BGREWRITEAOF has the server make its files anew; --method rdb does without them\n"
			unharmed := h.unharmed(source)
			h.comesTo(exitFailure, why, h.run("snapshot", source.Name, "--method", "aof", "--no-rewrite"), "NAME="+source.Name)
			if now := len(h.list()); now != taken {
				t.Errorf("%d snapshots listed, were %d", now, taken)
			}
			unharmed()
			if c.healed {
				h.run("snapshot", source.Name, "--no-verify").must(t, exitOK)
				taken++
				unharmed()
				return
			}
			h.comesTo(exitFailure, why, h.run("snapshot", source.Name, "--method", "aof"), "NAME="+source.Name)
			unharmed()
			if c.dump {
				h.run("snapshot", source.Name, "--no-verify").must(t, exitOK).says(t, "appendonly is on, and there is no "+dir+"/appendonly.aof.manifest: the server's dump is captured instead")
				if method := h.list()[0].Method; method != "rdb" {
					t.Errorf("method %s", method)
				}
				taken++
			}
			// The server's own next rewrite heals that, too.
			source.Exec("sh", "-c", "[ ! -d /tmp/away ] || mv /tmp/away "+dir)
			rewriteAndWait(t, source)
		})
	}
	h.run("verify", "--unverified").must(t, exitOK)
	restored := h.restore()
	same(t, "restored", contentOf(t, source), contentOf(t, enginetest.Start(t, enginetest.Options{Args: args, Volume: restored.Volume})))
}

// FAULT 56: files that the manifest does not name, and numbers that it leaves
// out, make no set incomplete.
func TestFault56_AnOddButCompleteAppendOnlyFile(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	args := []string{"--appendonly", "yes"}
	first := enginetest.Start(t, enginetest.Options{Args: args})
	first.Load(1)
	failedRewrite(t, first)
	first.Cmd("SET", "in the second incremental file", "1")
	first.Kill()
	volume := first.Volume
	inVolume(t, volume, `cd "$1/appendonlydir"; mv appendonly.aof.2.incr.aof appendonly.aof.7.incr.aof
		sed -i 's/file appendonly.aof.2.incr.aof seq 2/file appendonly.aof.7.incr.aof seq 7/' appendonly.aof.manifest
		for n in appendonly.aof.2.incr.aof appendonly.aof.3.base.rdb appendonly.aof temp-appendonly.aof.incr; do echo 'not ours' >$n; done`)
	source := enginetest.Start(t, enginetest.Options{Args: args, Volume: volume})
	for _, options := range [][]string{{"--no-rewrite"}, nil} {
		taken := h.snapshot(source.Name, options...)
		var files []string
		for _, f := range h.entry(taken.ID).Manifest.Files {
			files = append(files, strings.TrimPrefix(f.Path, "appendonlydir/"))
		}
		want := []string{"appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof", "appendonly.aof.7.incr.aof", "appendonly.aof.manifest"}
		if options == nil {
			want = []string{"appendonly.aof.2.base.rdb", "appendonly.aof.8.incr.aof", "appendonly.aof.manifest"}
		}
		if !slices.Equal(files, want) {
			t.Errorf("%v: the archive holds %q, want %q", options, files, want)
		}
		restored := h.restore("--id", string(taken.ID), "--volume", fmt.Sprintf("%s-%d", volume, len(want)))
		same(t, "restored", contentOf(t, source), contentOf(t, enginetest.Start(t, enginetest.Options{Args: args, Volume: restored.Volume})))
	}
}

// FAULT 56: the one file of a server before 7.0.
func TestFault56_NoAppendOnlyFileOf60(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis60, Args: []string{"--appendonly", "yes"}})
	source.Load(1)
	h.run("init").must(t, exitOK)
	source.Exec("rm", "/data/appendonly.aof")
	h.comesTo(exitFailure, "error: container \"NAME\": the server has appendonly on, and there is no /data/appendonly.aof on its volume\n"+
		"hint: redis-cli BGREWRITEAOF has the server make its files anew; --method rdb does without them\n", h.run("snapshot", source.Name, "--method", "aof", "--no-rewrite"), "NAME="+source.Name)
	if listed := h.list(); len(listed) != 0 {
		t.Errorf("listed: %+v", listed)
	}
	h.holds(nil, nil)
	if taken := h.snapshot(source.Name, "--method", "aof"); taken.Method != "aof" {
		t.Errorf("method %s", taken.Method)
	}
}

// failedRewrite leaves a server with two incremental files.
func failedRewrite(t *testing.T, r *enginetest.Redis) {
	t.Helper()
	r.Cmd("CONFIG", "SET", "rdb-key-save-delay", "1000000")
	r.Cmd("BGREWRITEAOF")
	enginetest.Eventually(t, time.Minute, "a rewrite runs", func() bool { return r.Field("aof_rewrite_in_progress") == "1" })
	r.Exec("sh", "-c", `for p in /proc/[0-9]*; do grep -qs '^PPid:.*[[:space:]]1$' $p/status && grep -qs redis-aof-rewrite $p/cmdline && kill -9 ${p#/proc/}; done; true`)
	enginetest.Eventually(t, time.Minute, "the rewrite has failed", func() bool { return r.Field("aof_last_bgrewrite_status") == "err" })
	r.Cmd("CONFIG", "SET", "rdb-key-save-delay", "0")
}

func rewriteAndWait(t *testing.T, r *enginetest.Redis) {
	t.Helper()
	r.Cmd("BGREWRITEAOF")
	enginetest.Eventually(t, time.Minute, "the rewrite is done", func() bool {
		return r.Field("aof_rewrite_in_progress") == "0" && r.Field("aof_rewrite_scheduled") == "0" && r.Field("aof_last_bgrewrite_status") == "ok"
	})
}

// FAULT 57: each change of a stored file is found by check, and stops a restore
// before it touches anything.
func TestFault57_DamagedFilesOfAnAppendOnlyFile(t *testing.T) {
	for _, image := range []string{enginetest.Redis60, enginetest.Redis70} {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			h, e := archiveWithCommands(t, image)
			proxy := enginetest.StartProxy(t)
			h.through(proxy)
			rng := rand.New(rand.NewPCG(57, 2026))
			for _, f := range e.Manifest.Files {
				for n := range sized(20, 200) {
					damage, mend := h.damage(e, f.Name, rng, n)
					found := document[struct {
						Problems []problemJSON `json:"problems"`
					}](t, h.run("check", "--read-data", "--json").must(t, exitVerify))
					if !slices.ContainsFunc(found.Problems, func(p problemJSON) bool { return p.ID == string(e.Manifest.ID) && p.File == f.Name }) {
						t.Errorf("%s: check found %+v", damage, found.Problems)
					}
					asked := len(proxy.Requests())
					h.run("restore", "--volume", e.Manifest.Source.Mount.Name+"-damaged").must(t, exitVerify).says(t, f.Name)
					for _, r := range proxy.Requests()[asked:] {
						if r.Method != "GET" && r.Method != "HEAD" {
							t.Errorf("%s: the restore asked for %s %s", damage, r.Method, r.Path)
						}
					}
					mend()
				}
			}
			h.holds(nil, nil)
			h.run("check", "--read-data").must(t, exitOK)
			h.run("restore").must(t, exitOK)
		})
	}
}

// damage flips a bit of a stored file, or cuts its end off; mend puts it right.
func (h *home) damage(e repo.Entry, name string, rng *rand.Rand, n int) (what string, mend func()) {
	h.t.Helper()
	file := filepath.Join(h.dir, e.Manifest.Source.Name, string(e.Manifest.ID), name)
	good, err := os.ReadFile(file)
	if err != nil {
		h.t.Fatal(err)
	}
	bad, at := bytes.Clone(good), rng.IntN(len(good))
	if n%2 == 0 {
		bit := rng.IntN(8)
		bad[at] ^= 1 << bit
		what = fmt.Sprintf("bit %d of byte %d of %s", bit, at, name)
	} else {
		bad = bad[:at]
		what = fmt.Sprintf("%s cut to %d of %d bytes", name, at, len(good))
	}
	write := func(content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	write(bad)
	return what, func() { write(good) }
}

// archiveWithCommands is a proven snapshot of which the last file ends with a
// transaction and one more command.
func archiveWithCommands(t *testing.T, image string) (*home, repo.Entry) {
	t.Helper()
	h := newHome(t)
	source := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--appendonly", "yes"}})
	source.Load(1)
	rewriteAndWait(t, source)
	source.Fill(50, 100)
	answers, err := source.Client().Pipe([][]string{{"MULTI"}, {"SET", "one:a", "1"}, {"SET", "one:b", "1"}, {"EXEC"}, {"SET", "very:last", "1"}})
	if err != nil || len(answers) != 5 {
		t.Fatalf("%v: %v", answers, err)
	}
	return h, h.entry(h.snapshot(source.Name, "--no-rewrite").ID)
}

// FAULT 57: a file that was cut before its checksums were made, so that all of
// them are right. Only a boot can tell.
func TestFault57_AForgedEndOfAnAppendOnlyFile(t *testing.T) {
	for _, c := range []struct {
		image string
		file  int // from the end of the list
	}{{enginetest.Redis60, 1}, {enginetest.Redis70, 2}} {
		t.Run(enginetest.Short(c.image), func(t *testing.T) {
			t.Parallel()
			h, e := archiveWithCommands(t, c.image)
			n := len(e.Manifest.Files) - c.file
			whole := h.files(e.Manifest.ID)[n].content
			const refused = "refused the data: "
			for _, forged := range []struct {
				name    string
				content []byte
				why     string
			}{
				{"inside of a command", whole[:len(whole)-3], refused},
				{"between two commands", before(t, whole, "*3\r\n$3\r\nSET\r\n$9\r\nvery:last"), "keys differ: "},
				{"inside of a transaction", before(t, whole, "*1\r\n$4\r\nEXEC"), refused},
			} {
				h.forgeFile(e, n, forged.content)
				h.run("check", "--read-data").must(t, exitOK)
				r := h.run("verify", string(e.Manifest.ID)).must(t, exitVerify)
				r.says(t, "error: snapshot "+string(e.Manifest.ID)+": verification failed: ", forged.why)
				t.Logf("%s: %s", forged.name, strings.SplitN(r.stderr, "\n", 2)[0])
				h.holds(nil, nil)
			}
			// A restore does not believe it either.
			h.run("restore", "--id", string(e.Manifest.ID)).must(t, exitVerify)
			h.holds(nil, nil)
		})
	}
}

// before is what comes before the last occurrence of a text.
func before(t *testing.T, content []byte, text string) []byte {
	t.Helper()
	at := bytes.LastIndex(content, []byte(text))
	if at < 0 {
		t.Fatalf("no %q in %d bytes", text, len(content))
	}
	return content[:at]
}

// forgeFile puts other content in the place of one of a snapshot's files, with
// sums to match.
func (h *home) forgeFile(e repo.Entry, n int, content []byte) {
	h.t.Helper()
	var stored bytes.Buffer
	z := gzip.NewWriter(&stored)
	if _, err := z.Write(content); err != nil {
		h.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		h.t.Fatal(err)
	}
	m := *e.Manifest
	m.Files = slices.Clone(m.Files)
	f := &m.Files[n]
	sum, storedSum := sha256.Sum256(content), sha256.Sum256(stored.Bytes())
	f.Size, f.SHA256 = int64(len(content)), hex.EncodeToString(sum[:])
	f.StoredSize, f.StoredSHA256 = int64(stored.Len()), hex.EncodeToString(storedSum[:])
	if err := os.WriteFile(filepath.Join(h.dir, m.Source.Name, string(m.ID), f.Name), stored.Bytes(), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.forge(m.Source.Name, &m)
}

//go:build engine

package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// The server's own clock decides what has expired.
func serverMillis(t testing.TB, r *enginetest.Redis) int64 {
	t.Helper()
	sec, usec, _ := strings.Cut(r.Cmd("TIME"), "\n")
	s, err1 := strconv.ParseInt(sec, 10, 64)
	u, err2 := strconv.ParseInt(usec, 10, 64)
	if err1 != nil || err2 != nil {
		t.Fatalf("TIME: %v, %v", err1, err2)
	}
	return s*1000 + u/1000
}

// shortLived adds n keys that expire soon, and returns when. The server keeps
// what has expired until somebody asks for it: so each of them is in the dump,
// however slow the machine is.
func shortLived(t testing.TB, r *enginetest.Redis, n int, within time.Duration) int64 {
	t.Helper()
	r.Cmd("DEBUG", "SET-ACTIVE-EXPIRE", "0")
	at := serverMillis(t, r) + within.Milliseconds()
	for i := range n {
		r.Cmd("SET", fmt.Sprintf("short:%d", i), "x")
		r.Cmd("PEXPIREAT", fmt.Sprintf("short:%d", i), strconv.FormatInt(at, 10))
	}
	return at
}

func waitUntil(t testing.TB, r *enginetest.Redis, at int64) {
	t.Helper()
	enginetest.Eventually(t, time.Minute, "the keys' time comes", func() bool { return serverMillis(t, r) > at })
}

// FAULT 63: what expires between snapshot and restore was in the snapshot, is
// counted and proven there, is announced as dropped by the plan, and makes
// neither a failure nor an empty snapshot.
func TestKeysThatExpireBetweenSnapshotAndRestore(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			const short = 25
			h := newHome(t)
			source := enginetest.Start(t, enginetest.Options{Image: image})
			source.Load(1)
			lasting := contentOf(t, source)
			at := shortLived(t, source, short, 4*time.Second)
			taken := h.snapshot(source.Name)
			if want := int64(len(lasting.keys)) - functionsOf(lasting) + short; *taken.Keys != want {
				t.Errorf("snapshot of %d keys, want %d", *taken.Keys, want)
			}
			waitUntil(t, source, at)

			r := h.run("restore", "--dry-run", "--json").must(t, exitOK).says(t, fmt.Sprintf("%d keys will be dropped as it loads", short))
			if planned := document[restoreJSON](t, r); *planned.Keys != *taken.Keys-short {
				t.Errorf("%d keys are planned, want %d", *planned.Keys, *taken.Keys-short)
			}
			started := h.restore("--start")
			if *started.Keys != *taken.Keys-short {
				t.Errorf("restored to %d keys, want %d", *started.Keys, *taken.Keys-short)
			}
			recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
			same(t, "what has not expired", lasting, contentOf(t, recovered))
			// The proof counts the snapshot, not what is left of it today.
			h.run("verify").must(t, exitOK).says(t, fmt.Sprintf("%d keys counted", *taken.Keys))
		})
	}
}

// FAULT 63 for append-only files: how many keys will have expired is known only
// to the server that loads them, and the proof counts them all.
func TestKeysThatExpireInAnAppendOnlyFile(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			const short = 25
			h := newHome(t)
			source := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--appendonly", "yes"}})
			source.Load(1)
			lasting := contentOf(t, source)
			waitUntil(t, source, shortLived(t, source, short, 300*time.Millisecond))
			taken := h.snapshot(source.Name, "--no-rewrite")
			if want := int64(len(lasting.keys)) - functionsOf(lasting) + short; *taken.Keys != want {
				t.Errorf("snapshot of %d keys, want %d", *taken.Keys, want)
			}
			h.run("verify").must(t, exitOK).says(t, fmt.Sprintf("%d keys counted", *taken.Keys))
			started := h.restore("--start")
			recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
			same(t, "what has not expired", lasting, contentOf(t, recovered))
		})
	}
}

func TestSnapshotOfNothingButExpiredKeys(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			const short = 40
			h := newHome(t)
			source := enginetest.Start(t, enginetest.Options{Image: image})
			waitUntil(t, source, shortLived(t, source, short, 100*time.Millisecond))

			r := h.run("snapshot", source.Name).must(t, exitOK)
			r.says(t, fmt.Sprintf("%d keys counted", short)).never(t, "empty", "suspect", "corrupt")
			started := h.restore("--start")
			if *started.Keys != 0 {
				t.Errorf("restored to %d keys, all have expired", *started.Keys)
			}
			recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
			if got := recovered.Cmd("DBSIZE"); got != "0" {
				t.Errorf("the restored server has %s keys", got)
			}
		})
	}
}

func TestSnapshotOfAnEmptyServer(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			source := enginetest.Start(t, enginetest.Options{Image: image})
			h.run("snapshot", source.Name).must(t, exitOK).says(t, "warning: the server holds no keys", "0 keys counted")
			started := h.restore("--start")
			recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
			if got := recovered.Cmd("DBSIZE"); got != "0" || *started.Keys != 0 {
				t.Errorf("the restored server has %s keys, the document says %d", got, *started.Keys)
			}
			recovered.Cmd("SET", "it", "lives")
			recovered.Cmd("SAVE")
		})
	}
}

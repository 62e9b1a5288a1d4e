//go:build engine

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

func (h *home) ids() (ids []string) {
	for _, s := range h.list() {
		ids = append(ids, string(s.ID))
	}
	return ids
}

// prunedJSON is the document of snapshot --json with a policy.
type prunedJSON struct {
	Snapshots []snapshotJSON `json:"snapshots"`
	Decisions []decisionJSON `json:"decisions"`
}

// A snapshot with a policy prunes after a success, and only then: not after one
// that is suspect, that failed, or that could not be verified (promise 5).
func TestSnapshotPrunesAfterASuccessOnly(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	source := enginetest.Start(t, enginetest.Options{Args: []string{"--save", ""}})
	source.Load(1)
	want := contentOf(t, source)
	take := func(code int, args ...string) (prunedJSON, result) {
		t.Helper()
		r := h.run(append([]string{"snapshot", source.Name, "--json", "--keep-last", "2"}, args...)...).must(t, code)
		if r.stdout == "" {
			return prunedJSON{}, r
		}
		return document[prunedJSON](t, r), r
	}
	first, _ := take(exitOK)
	if d := first.Decisions; len(d) != 1 || !d[0].Keep || d[0].ID != first.Snapshots[0].ID || d[0].Source != source.Name {
		t.Errorf("decisions about the first snapshot: %+v", d)
	}
	take(exitOK)
	third, r := take(exitOK)
	if d := third.Decisions; len(d) != 3 || d[2].Keep || !d[2].Removed || d[2].ID != first.Snapshots[0].ID {
		t.Errorf("decisions about the third snapshot: %+v", d)
	}
	r.says(t, "kept 2 snapshots, removed 1")
	before := h.ids()
	if len(before) != 2 || slices.Contains(before, string(first.Snapshots[0].ID)) {
		t.Errorf("left after the third snapshot: %v", before)
	}

	// A suspect one makes no other superfluous.
	source.Cmd("FLUSHALL")
	suspect, r := take(exitReserved)
	r.says(t, "warning: "+source.Name+" is not pruned: only a snapshot that is good")
	if d := suspect.Decisions; len(d) > 0 {
		t.Errorf("decisions after a suspect snapshot: %+v", d)
	}
	before = append(h.ids()[:1], before...)
	if got := h.ids(); !slices.Equal(got, before) {
		t.Errorf("left after a suspect snapshot: %v, want %v", got, before)
	}

	// Nor does a failure.
	source.Stop()
	take(exitUnreachable)
	if got := h.ids(); !slices.Equal(got, before) {
		t.Errorf("left after a failure: %v, want %v", got, before)
	}
	source.Restart()
	source.Load(1)
	accepted, _ := take(exitOK)
	if got := h.ids(); len(got) != 3 || got[0] != string(accepted.Snapshots[0].ID) || got[1] != string(suspect.Snapshots[0].ID) {
		t.Errorf("left after the next success: %v", got)
	}
	if left := leftIn(t, h, source.Name); len(left) > 0 {
		t.Errorf("left in the source's directory: %q", left)
	}
	h.run("check", "--read-data").must(t, exitOK)
	h.holds(nil, nil)
	same(t, "the server", want, contentOf(t, source))
}

// FAULT 48: while a snapshot of a source is restored, none of its snapshots
// goes: not by hand, and not after another snapshot, which is no failure of its
// own.
func TestFault48_PruneWhileASnapshotIsRestored(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	source := enginetest.Start(t, enginetest.Options{})
	t.Cleanup(h.latecomers)
	source.Load(1)
	source.Fill(2000, 2000)
	want := contentOf(t, source)
	oldest := h.snapshot(source.Name)
	h.snapshot(source.Name)

	volume := source.Name + "-recovered"
	restoring := h.launch("restore", "--id", string(oldest.ID), "--volume", volume)
	enginetest.Eventually(t, time.Minute, "the restore is stopped with objects at the engine", func() bool {
		if containers, volumes := h.objects(); len(containers)+len(volumes) == 0 {
			return false
		}
		send(t, restoring, syscall.SIGSTOP)
		return true
	})
	h.run("prune", "--keep-last", "1").must(t, exitLocked).says(t, "source "+source.Name+" is locked by", "hint: wait for it")
	r := h.run("snapshot", source.Name, "--keep-last", "1").must(t, exitReserved)
	r.says(t, "warning: "+source.Name+" is not pruned: source "+source.Name+" is locked by")
	if got := h.ids(); len(got) != 3 {
		t.Errorf("left: %v", got)
	}
	h.run("prune", "--keep-last", "1", "--dry-run").must(t, exitOK).says(t, "would keep 1 snapshot and remove 2")
	send(t, restoring, syscall.SIGCONT)
	if code := restoring.wait(); code != exitOK {
		t.Fatalf("the restore that was stopped: exit code %d: %s", code, restoring.output.String())
	}
	h.run("prune", "--keep-last", "1").must(t, exitOK).says(t, "kept 1 snapshot, removed 2")
	if got := h.ids(); len(got) != 1 || got[0] == string(oldest.ID) {
		t.Errorf("left: %v", got)
	}
	recovered := enginetest.Start(t, enginetest.Options{Volume: volume})
	same(t, "what was restored beside a prune", want, contentOf(t, recovered))
	h.run("check", "--read-data").must(t, exitOK)
}

// A dry run looks at the server, says what a snapshot would do, and changes
// nothing: no save, no repository, nothing left at the engine.
func TestSnapshotDryRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"rdb", nil, []string{"have it save its dump (BGSAVE), and copy dump.rdb out of volume "}},
		{"aof", []string{"--appendonly", "yes"}, []string{"have it rewrite its append-only files (BGREWRITEAOF), and copy them out of volume "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			source := enginetest.Start(t, enginetest.Options{Args: append([]string{"--save", ""}, c.args...)})
			source.Load(1)
			state := func() string {
				return source.Exec("sh", "-c", "ls -lARi --time-style=full-iso /data") + source.Cmd("LASTSAVE") + configOf(source)
			}
			before := state()
			r := h.run("snapshot", source.Name, "--dry-run", "--keep-last", "1").must(t, exitOK)
			r.says(t, append(c.says, "snapshot of "+source.Name+": container "+source.Name, "a new repository", "verify it: boot", "dry run: nothing was changed")...)
			if _, err := os.Lstat(h.dir); !os.IsNotExist(err) {
				t.Errorf("a dry run made a repository: %v", err)
			}
			if now := state(); now != before {
				t.Errorf("the source is\n%s\nit was\n%s", now, before)
			}
			first := h.snapshot(source.Name)
			before = state()
			doc := document[struct {
				DryRun    bool           `json:"dry_run"`
				Snapshots []snapshotJSON `json:"snapshots"`
				Planned   []plannedJSON  `json:"planned"`
				Decisions []decisionJSON `json:"decisions"`
			}](t, h.run("snapshot", source.Name, "--dry-run", "--keep-last", "1", "--json").must(t, exitOK))
			if !doc.DryRun || len(doc.Snapshots) > 0 || len(doc.Planned) != 1 || doc.Planned[0].Method != c.name || doc.Planned[0].Source != source.Name {
				t.Errorf("what would be done: %+v", doc)
			}
			// The one that would be taken takes the only place.
			if d := doc.Decisions; len(d) != 1 || d[0].ID != first.ID || d[0].Keep || d[0].Removed {
				t.Errorf("what would be pruned: %+v", d)
			}
			if got := h.ids(); len(got) != 1 || state() != before {
				t.Errorf("left: %v", got)
			}
			h.holds(nil, nil)
			if left := dockerLines(t, "ps", "--all", "--quiet", "--filter", "label=redisbak.run=rehearsal"); len(left) > 0 {
				t.Errorf("a helper of the dry run is left: %q", left)
			}
		})
	}
}

// What stands against a snapshot stands against a dry run of it.
func TestSnapshotDryRunOfWhatWouldFail(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	source := enginetest.Start(t, enginetest.Options{Password: "of the test"})
	h.run("snapshot", source.Name, "--dry-run").must(t, exitAuth)
	h.run("snapshot", source.Name+"-typo", "--dry-run").must(t, exitFailure).says(t, "docker ps -a lists")
	h.run("snapshot", source.Name, "--dry-run", "--keep-last", "0").must(t, exitUsage)
	if _, err := os.Lstat(h.dir); !os.IsNotExist(err) {
		t.Errorf("a dry run made a repository: %v", err)
	}
}

// leftIn are the names in a source's directory that are no snapshots.
func leftIn(t *testing.T, h *home, source string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(h.dir, source))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".draft-") || strings.HasPrefix(e.Name(), ".pruned-") {
			names = append(names, e.Name())
		}
	}
	return names
}

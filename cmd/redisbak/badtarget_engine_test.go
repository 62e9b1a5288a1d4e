//go:build engine

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// contentsScript lists all that a volume holds, with owners, modes, times and
// sums: what a refused restore must leave as it is.
const contentsScript = `cd "$1"; find . -printf '%p %y %U:%G %m %T@\n' | LC_ALL=C sort; find . -type f -exec sha256sum {} + | LC_ALL=C sort`

func TestFault59_VolumesThatCannotTakeARestore(t *testing.T) {
	h := newHome(t)
	redis := enginetest.Start(t, enginetest.Options{})
	redis.Cmd("SET", "k", "v")
	taken := h.snapshot(redis.Name)
	unharmed := h.unharmed(redis)

	full := enginetest.NewVolume(t)
	inVolume(t, full, `echo somebody >"$1/note"; mkdir "$1/a" "$1/b" "$1/c"`)
	hidden := enginetest.NewVolume(t)
	inVolume(t, hidden, `mkdir "$1/lost+found"; echo somebody >"$1/.note"`)
	used := enginetest.Start(t, enginetest.Options{})
	used.Cmd("SET", "other", "data")
	paused := enginetest.Start(t, enginetest.Options{})
	dockerLines(t, "pause", paused.ID)
	t.Cleanup(func() { dockerLines(t, "unpause", paused.ID) })
	stopped := enginetest.Start(t, enginetest.Options{})
	stopped.Cmd("SET", "other", "data")
	stopped.Stop()

	const another = "hint: restore into another volume: --volume NAME\n"
	remove := another + "hint: or, if nobody needs what it holds: docker volume rm VOLUME\n"
	for what, c := range map[string]struct{ volume, why, hints string }{
		"the source's own":                       {redis.Volume, `it is in use by container "SOURCE"`, another},
		"in use":                                 {used.Volume, `it is in use by container "` + used.Name + `"`, another},
		"in use by a paused one":                 {paused.Volume, `it is in use by container "` + paused.Name + `"`, another},
		"left by a stopped one, with its data":   {stopped.Volume, `it is not empty: it holds "dump.rdb"`, remove},
		"not empty":                              {full, `it is not empty: it holds "a", "b", "c", …`, remove},
		"not empty, though it looks as if it is": {hidden, `it is not empty: it holds ".note"`, remove},
	} {
		t.Run(what, func(t *testing.T) {
			before := inVolume(t, c.volume, contentsScript)
			for _, more := range [][]string{nil, {"--dry-run"}, {"--start"}, {"--verify"}, {"--layout", "rdb"}, {"--yes"}} {
				h.comesTo(exitFailure, "snapshot ID of SOURCE, taken THEN\nerror: volume \"VOLUME\": "+c.why+"\n"+c.hints,
					h.run(append([]string{"restore", "--volume", c.volume}, more...)...), "VOLUME="+c.volume, "SOURCE="+redis.Name)
			}
			if after := inVolume(t, c.volume, contentsScript); after != before {
				t.Errorf("it has changed:\n%swas:\n%s", after, before)
			}
			unharmed()
		})
	}

	// The source's own again, when it does not run: its data are still there.
	redis.Stop()
	before := inVolume(t, redis.Volume, contentsScript)
	h.comesTo(exitFailure, "snapshot ID of SOURCE, taken THEN\nerror: volume \"VOLUME\": it is not empty: it holds \"dump.rdb\"\n"+another,
		h.run("restore", "--volume", redis.Volume), "VOLUME="+redis.Volume, "SOURCE="+redis.Name)
	if after := inVolume(t, redis.Volume, contentsScript); after != before {
		t.Errorf("the source's volume has changed:\n%swas:\n%s", after, before)
	}
	redis.Restart()

	// What a file system brings along is no data.
	fresh := enginetest.NewVolume(t)
	inVolume(t, fresh, `mkdir -m 700 "$1/lost+found"`)
	if back := h.restore("--volume", fresh); back.Volume != fresh || back.Snapshot.ID != taken.ID {
		t.Errorf("restored: %+v", back)
	}
	again := enginetest.Start(t, enginetest.Options{Volume: fresh})
	if got := again.Cmd("GET", "k"); got != "v" {
		t.Errorf("k is %q in the restored volume", got)
	}
	h.holds(nil, nil)
}

// A name that is taken is told of before anything is laid down for it.
func TestAContainerNameThatIsTaken(t *testing.T) {
	h := newHome(t)
	redis := enginetest.Start(t, enginetest.Options{})
	redis.Cmd("SET", "k", "v")
	taken := h.snapshot(redis.Name)
	unharmed := h.unharmed(redis)
	usual := redis.Name + "-recovery-" + string(taken.ID)
	dockerLines(t, "create", "--label", enginetest.Label, "--name", usual, "--network", "none", enginetest.Redis70)
	t.Cleanup(func() { dockerLines(t, "rm", "--force", "--volumes", usual) })
	for name, args := range map[string][]string{"SOURCE": {"--name", redis.Name}, "SOURCE-recovery-ID": nil} {
		h.comesTo(exitFailure, "snapshot ID of SOURCE, taken THEN\nerror: container "+name+" exists already\nhint: give the new container another name: --name\n",
			h.run(append([]string{"restore", "--start"}, args...)...), "SOURCE="+redis.Name)
		unharmed()
	}
}

// FAULT 55: a server looks at a dump or at its append-only file and never at
// both. What is asked for with --layout must be what the container that we are
// to start will look at; for a user's own server, it is as asked for.
func TestFault55_ALayoutThatTheTargetWouldIgnore(t *testing.T) {
	for _, c := range []struct{ appendonly, starts, asked, other string }{
		{"yes", "aof", "rdb", "no"},
		{"no", "rdb", "aof", "yes"},
		{"no", "rdb", "aof-legacy", "yes"},
	} {
		t.Run(c.asked, func(t *testing.T) {
			h := newHome(t)
			redis := enginetest.Start(t, enginetest.Options{Args: []string{"--save", "3600 1", "--appendonly", c.appendonly}})
			redis.Load(1)
			want := contentOf(t, redis)
			h.snapshot(redis.Name)
			unharmed := h.unharmed(redis)
			for _, args := range [][]string{{"--start"}, {"--start", "--dry-run"}} {
				h.comesTo(exitFailure, "snapshot ID of SOURCE, taken THEN\nerror: the container would start from layout "+c.starts+
					" and ignore what is laid down as "+c.asked+": appendonly "+c.appendonly+" by the command line of container \"SOURCE\"\n"+
					"hint: leave --layout out; or leave --start out, and start it yourself with the options for that layout\n",
					h.run(append([]string{"restore", "--layout", c.asked}, args...)...), "SOURCE="+redis.Name)
			}
			unharmed()

			back := h.restore("--layout", c.asked)
			again := enginetest.Start(t, enginetest.Options{Volume: back.Volume, Args: []string{"--appendonly", c.other}})
			same(t, "laid down as "+c.asked, want, contentOf(t, again))
		})
	}
}

// Of two snapshots of one source at a time the second gives way, and names the
// first. Who only reads is let in.
func TestFault38_ASecondSnapshotOfTheSameSource(t *testing.T) {
	h := newHome(t)
	redis := enginetest.Start(t, enginetest.Options{Args: []string{"--rdb-key-save-delay", "10000"}})
	redis.Fill(1000, 10)
	other := enginetest.Start(t, enginetest.Options{})
	other.Cmd("SET", "k", "v")
	h.run("init").must(t, exitOK)

	first := make(chan result)
	go func() { first <- h.run("snapshot", redis.Name, "--json") }()
	enginetest.Eventually(t, time.Minute, "the first one saves", func() bool { return redis.Field("rdb_bgsave_in_progress") == "1" })
	locked := "error: source NAME is locked by HOLDER\nhint: wait for it: --lock-wait 10m\n"
	h.comesTo(exitLocked, locked, h.run("snapshot", redis.Name), "NAME="+redis.Name)
	h.comesTo(exitLocked, locked, h.run("snapshot", redis.Name, "--lock-wait", "1s"), "NAME="+redis.Name)
	h.comesTo(exitOK, "no snapshots\n", h.run("list", redis.Name))
	h.run("check").must(t, exitOK)
	h.run("snapshot", other.Name, "--no-verify").must(t, exitOK)
	if redis.Field("rdb_bgsave_in_progress") != "1" {
		t.Fatal("the first one is done too soon for this test to mean anything")
	}
	waits := h.run("snapshot", redis.Name, "--lock-wait", "5m", "--no-verify").must(t, exitOK)
	if r := (<-first).must(t, exitOK); strings.Contains(r.stderr, "error") {
		t.Errorf("the first one: %s", r)
	}
	if listed := h.listed(t); len(listed) != 3 {
		t.Errorf("%d snapshots listed after three: %s", len(listed), waits)
	}
	h.holds(nil, nil)
}

// Several sources, one of which fails: the others are taken, and the exit code
// tells.
func TestOneOfSeveralFails(t *testing.T) {
	h := newHome(t)
	h.run("init").must(t, exitOK)
	good, locked := enginetest.Start(t, enginetest.Options{}), enginetest.Start(t, enginetest.Options{Password: "canary-77"})
	good.Cmd("SET", "k", "v")
	r := h.run("snapshot", locked.Name, good.Name, "--json").must(t, exitFailure).never(t, "canary-77")
	r.says(t, "error: container \""+locked.Name+"\": redis refused PING: NOAUTH Authentication required.\nhint: give the password: ")
	doc := document[struct {
		Snapshots []snapshotJSON `json:"snapshots"`
	}](t, r)
	if len(doc.Snapshots) != 1 || doc.Snapshots[0].Source != good.Name || doc.Snapshots[0].Verified != "passed" {
		t.Errorf("taken: %+v", doc.Snapshots)
	}
	first := h.snapshot(good.Name)
	h.comesTo(exitUsage, "error: 2 snapshots begin with 20: ID, ID\nhint: give more of the id\n", h.run("restore", "--id", string(first.ID[:2])))
	h.holds(nil, nil)
}

// A container whose name the repository cannot use as a directory's is refused
// before it is asked for anything.
func TestALabelThatIsNoName(t *testing.T) {
	h := newHome(t)
	h.run("init").must(t, exitOK)
	redis := enginetest.Start(t, enginetest.Options{Docker: []string{"--label", "redisbak.name=../outside"}})
	redis.Cmd("SET", "k", "v")
	unharmed := h.unharmed(redis)
	saves := redis.Field("rdb_saves")
	h.comesTo(exitUsage, "error: source name \"../outside\": begins with '.'\nhint: redisbak snapshot --help shows what it takes\n", h.run("snapshot", redis.Name))
	if got := redis.Field("rdb_saves"); got != saves {
		t.Errorf("saves begun: %s, were %s", got, saves)
	}
	if _, err := os.Lstat(filepath.Join(filepath.Dir(h.dir), "outside")); !os.IsNotExist(err) {
		t.Errorf("a directory outside of the repository: %v", err)
	}
	unharmed()
}

//go:build engine

package main

import (
	"bytes"
	"context"
	le "encoding/binary"
	"fmt"
	"hash/crc64"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

const (
	misconf = "hint: docker logs of that container tells more; nothing was committed\n" +
		"hint: the server refuses writes (MISCONF) until a save succeeds: mend the cause, then run redis-cli BGSAVE, or CONFIG SET stop-writes-on-bgsave-error no\n"
	failedSave = "error: container \"NAME\": redis save: the saving process failed (disk full, not writable, or killed; the log of redis says which); redis now refuses writes (MISCONF)\n" + misconf
	mend       = "hint: mend that; --force asks for the save all the same, and a save that fails can stop the server's writes (MISCONF)\n"
)

// smallVolume is one that holds no more than size.
func smallVolume(t testing.TB, size string) string {
	t.Helper()
	name := strings.Replace(enginetest.NewVolume(t), "redisbak-test-", "redisbak-test-small-", 1)
	dockerLines(t, "volume", "create", "--label", enginetest.Label, "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=uid=999,gid=999,size="+size, name)
	t.Cleanup(func() { dockerLines(t, "volume", "rm", "--force", name) })
	return name
}

// refusesWrites says whether the server is in the state that a failed save
// leaves it in.
func refusesWrites(r *enginetest.Redis) bool {
	_, err := r.Try("SET", "k", "v")
	return err != nil && strings.HasPrefix(err.Error(), "MISCONF")
}

func TestFault4_AFullDataDirectory(t *testing.T) {
	h := newHome(t)
	h.run("init").must(t, exitOK)
	redis := enginetest.Start(t, enginetest.Options{Volume: smallVolume(t, "8m"), Args: []string{"--save", "3600 1"}})
	redis.Fill(500, 20000)
	unharmed := h.unharmed(redis)
	saves := redis.Field("rdb_saves")
	const full = "its data directory /data has SIZE free, and the dump may take SIZE"

	// Nothing was asked of the server: a save that fails would stop its writes.
	h.comesTo(exitFailure, "error: source \"NAME\": no save asked for: "+full+"\n"+mend, h.run("snapshot", redis.Name), "NAME="+redis.Name)
	if got := redis.Field("rdb_saves"); got != saves {
		t.Errorf("saves begun: %s, were %s", got, saves)
	}
	unharmed()

	h.comesTo(exitFailure, "warning: forced: "+full+"\n"+failedSave, h.run("snapshot", redis.Name, "--force"), "NAME="+redis.Name)
	if !refusesWrites(redis) {
		t.Error("it takes writes, and the message says that it does not")
	}
	if listed := h.listed(t); len(listed) != 0 {
		t.Errorf("listed: %v", listed)
	}
	h.holds(nil, nil)

	// The ways out that the hint names: not to stop writes for it, and a save
	// once the cause is mended.
	redis.Cmd("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
	for i := range 400 {
		redis.Cmd("DEL", fmt.Sprintf("fill:%d", i))
	}
	redis.Cmd("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
	if !refusesWrites(redis) {
		t.Error("it takes writes before a save has succeeded")
	}
	redis.Cmd("BGSAVE")
	enginetest.Eventually(t, time.Minute, "writes are taken again", func() bool { return !refusesWrites(redis) })
	unharmed()
	h.snapshot(redis.Name)
}

func TestFault5_ADirectoryThatTheServerMayNotWrite(t *testing.T) {
	h := newHome(t)
	h.run("init").must(t, exitOK)
	redis := enginetest.Start(t, enginetest.Options{Args: []string{"--save", "3600 1"}})
	redis.Cmd("SET", "k", "v")
	redis.Exec("chown", "0:0", redis.Mount)
	unharmed := h.unharmed(redis)
	saves := redis.Field("rdb_saves")
	const why = "its user (uid 999) cannot write to its data directory /data"

	h.comesTo(exitFailure, "error: source \"NAME\": no save asked for: "+why+"\n"+mend, h.run("snapshot", redis.Name), "NAME="+redis.Name)
	if got := redis.Field("rdb_saves"); got != saves {
		t.Errorf("saves begun: %s, were %s", got, saves)
	}
	unharmed()

	h.comesTo(exitFailure, "warning: forced: "+why+"\n"+failedSave, h.run("snapshot", redis.Name, "--force"), "NAME="+redis.Name)
	if !refusesWrites(redis) {
		t.Error("it takes writes, and the message says that it does not")
	}
	// A second run makes it no worse, and says the same.
	h.comesTo(exitFailure, "error: source \"NAME\": no save asked for: "+why+"\n"+mend, h.run("snapshot", redis.Name), "NAME="+redis.Name)
	redis.Exec("chown", "999:999", redis.Mount)
	h.snapshot(redis.Name)
	if refusesWrites(redis) {
		t.Error("it does not take writes again after a snapshot")
	}

	readOnly := enginetest.Start(t, enginetest.Options{Volume: redis.Volume + "", Mount: "/data:ro", Args: []string{"--save", "3600 1"}})
	readOnly.Mount = "/data"
	unharmed = h.unharmed(readOnly)
	h.comesTo(exitFailure, "error: source \"NAME\": no save asked for: "+why+"\n"+mend, h.run("snapshot", readOnly.Name), "NAME="+readOnly.Name)
	unharmed()
}

// suspicious is what a snapshot of too little comes to.
func suspicious(keys, size string) string {
	return "snapshot ID of NAME: " + keys + ", SIZE stored as SIZE\nwarning: ID is suspect: " + size + "\nhint: if the drop was meant: redisbak accept ID\n"
}

// keepsNothing is what is said of a server like the one below.
const keepsNothing = `warning: the server keeps nothing on disk (save "", appendonly no): ` +
	"the dump that it saves now stays at /data/dump.rdb, and it will load it at its next start\n"

func TestFault9_AnEmptyOrHalfFlushedServer(t *testing.T) {
	h := newHome(t)
	redis := enginetest.Start(t, enginetest.Options{Args: []string{"--save", ""}})
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			redis.Cmd("SET", fmt.Sprintf("key:%03d", i), strings.Repeat("v", 100)+fmt.Sprint(i))
		}
	}
	fill(0, 100)
	whole := h.snapshot(redis.Name)
	name := "NAME=" + redis.Name

	// Empty after a restart: somebody took the dump away.
	redis.Exec("rm", "/data/dump.rdb")
	redis.Restart()
	unharmed := h.unharmed(redis)
	r := h.run("snapshot", redis.Name, "--no-verify")
	h.comesTo(exitReserved, keepsNothing+strings.Replace(suspicious("0 keys", "0 keys, and the last good snapshot has 100; 89 bytes, and the last good snapshot has BYTES"),
		"BYTES", fmt.Sprint(whole.Bytes()), 1), r, name)
	unharmed()

	// Half flushed, or a little more. The empty one does not count as usual.
	fill(0, 40)
	doc := document[struct {
		Snapshots []snapshotJSON `json:"snapshots"`
	}](t, h.run("snapshot", redis.Name, "--json").must(t, exitReserved))
	half := doc.Snapshots[0]
	if half.State != "suspect" || half.Verified != "passed" || *half.Keys != 40 {
		t.Errorf("a snapshot of 40 keys after one of 100: %+v", half)
	}

	// It is listed, and never taken by itself.
	listed := h.listed(t)
	if len(listed) != 3 || listed[0].State != "suspect" || listed[1].State != "suspect" || listed[2].ID != whole.ID {
		t.Errorf("listed: %+v", listed)
	}
	today := whole.PointInTime.Format("20060102")
	for _, args := range [][]string{{"--date", today}, {"--at", "0s ago"}, {}} {
		plan := document[restoreJSON](t, h.run(append([]string{"restore", "--tz", "UTC", "--dry-run", "--json"}, args...)...).must(t, exitOK))
		if plan.Snapshot.ID != whole.ID {
			t.Errorf("%v takes %s, not %s", args, plan.Snapshot.ID, whole.ID)
		}
	}
	h.run("restore", "--dry-run").must(t, exitOK).says(t, "warning: "+string(half.ID)+" is newer and passed over: suspect: 40 keys")
	h.run("restore", "--dry-run", "--id", string(half.ID)).must(t, exitOK).says(t, "warning: "+string(half.ID)+" is not a good snapshot: suspect: 40 keys")

	// A user's word makes it good, and what is usual from now on.
	h.comesTo(exitOK, "ID is accepted: it counts as good from now on\n", h.run("accept", string(half.ID)))
	if plan := document[restoreJSON](t, h.run("restore", "--dry-run", "--json").must(t, exitOK)); plan.Snapshot.ID != half.ID || plan.Snapshot.State != "good" || !plan.Snapshot.Accepted {
		t.Errorf("after accept: %+v", plan.Snapshot)
	}
	fill(0, 41)
	h.snapshot(redis.Name)

	// Said beforehand.
	redis.Cmd("FLUSHALL")
	r = h.run("snapshot", redis.Name, "--accept-drop", "--json").must(t, exitOK).says(t, "its drop is accepted: 0 keys, and the median of the last 2 good snapshots is 40")
	r.never(t, "suspect")
	if listed := h.listed(t); listed[0].State != "good" || !listed[0].Accepted || *listed[0].Keys != 0 {
		t.Errorf("with --accept-drop: %+v", listed[0])
	}
	h.snapshot(redis.Name)
	unharmed()
}

// bytes of the payload, for messages.
func (s snapshotJSON) Bytes() int64 { return s.SizeBytes }

// brokenHash makes a dump whose structure and checksum are right, and in which
// a hash says of itself to be longer than it is: no server loads that.
func brokenHash(t testing.TB, dump []byte) []byte {
	t.Helper()
	const key = "broken"
	i := bytes.Index(dump, []byte(key))
	if i < 0 {
		t.Fatal("the key is not in the dump")
	}
	broken := bytes.Clone(dump)
	length := broken[i+len(key)+1:][:4] // after the length of the value: that of the listpack
	le.LittleEndian.PutUint32(length, le.LittleEndian.Uint32(length)+1)
	// The check sum of Redis is a CRC without the inversions at both ends.
	table := crc64.MakeTable(0x95AC9329AC4BC9B5)
	body, sum := broken[:len(broken)-8], broken[len(broken)-8:]
	if le.LittleEndian.Uint64(dump[len(dump)-8:]) != ^crc64.Update(^uint64(0), table, dump[:len(dump)-8]) {
		t.Fatal("the check sum of the dump as it was is not understood")
	}
	le.LittleEndian.PutUint64(sum, ^crc64.Update(^uint64(0), table, body))
	return broken
}

func TestFault16_ADumpThatNoServerLoads(t *testing.T) {
	h := newHome(t)
	redis := enginetest.Start(t, enginetest.Options{})
	redis.Cmd("HSET", "broken", "f", "v")
	good := h.snapshot(redis.Name)
	unharmed := h.unharmed(redis)
	name := "NAME=" + redis.Name

	r, err := repo.Open(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.Get(string(good.ID))
	if err != nil {
		t.Fatal(err)
	}
	payload := brokenHash(t, []byte(h.run("cat", string(good.ID)).must(t, exitOK).stdout))
	var bad []string
	for _, suffix := range []string{"-bad0", "-bad1"} {
		f := fixture{manifest: *e.Manifest, payload: payload, store: snapshot.Gzip}
		f.manifest.PointInTime = f.manifest.PointInTime.Add(time.Second)
		f.manifest.ID = snapshot.ID(f.manifest.PointInTime.Format("20060102T150405Z") + suffix)
		if _, err := f.write(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		bad = append(bad, string(f.manifest.ID))
	}
	// Every byte is as it was written.
	h.run("check", "--read-data").must(t, exitOK)

	const why = "verification failed: redis 7.0.15 refused the data: Internal error in RDB reading offset N, function at rdb.c:N -> Hash listpack integrity check failed.; Terminating server after rdb file reading failure."
	plainer := func(r result) result {
		r.stderr = numbers.ReplaceAllString(r.stderr, "${1}N${2}N")
		return r
	}
	h.comesTo(exitVerify, "error: snapshot ID: "+why+"\nhint: it is kept and never chosen by itself; look at the server's disk and log, and take another\n", plainer(h.run("verify", bad[0])))
	listed := h.listed(t)
	if len(listed) != 3 || listed[0].Verified != "never" || listed[1].Verified != "failed" || listed[2].Verified != "passed" {
		t.Errorf("listed: %+v", listed)
	}

	// Nobody has tried the other one yet: a restore does, before a volume.
	passed := "warning: ID is newer and passed over: " + why + "\n"
	refused := "error: snapshot ID: " + why + "\nhint: choose an older one: redisbak list\n"
	steps := func(r result) result {
		lines := strings.SplitAfter(r.stderr, "\n")
		r.stderr = strings.Join(deleteIf(lines, func(l string) bool {
			for _, action := range []string{"check ", "verify ", "create ", "stage ", "re-read ", "start "} {
				if strings.HasPrefix(strings.TrimSpace(l), action) {
					return true
				}
			}
			return false
		}), "")
		return plainer(r)
	}
	h.comesTo(exitVerify, "snapshot ID of NAME, taken THEN\n"+refused, steps(h.run("restore", "--id", bad[1])), name)
	unharmed()

	// Both are known now: they are passed over, by every way but their id.
	for _, args := range [][]string{nil, {"--date", good.PointInTime.Format("20060102"), "--tz", "UTC"}, {"--at", "0s ago"}} {
		r := h.run(append([]string{"restore", "--dry-run"}, args...)...)
		h.comesTo(exitOK, passed+passed+"snapshot ID of NAME, taken THEN\ndry run: nothing was changed\n", steps(r), name)
	}
	h.comesTo(exitVerify, "snapshot ID of NAME, taken THEN\nwarning: ID is not a good snapshot: "+why+"\n"+refused, steps(h.run("restore", "--id", bad[0])), name)
	h.comesTo(exitVerify, "snapshot ID of NAME, taken THEN\nwarning: ID is not a good snapshot: "+why+"\n"+refused,
		steps(h.run("restore", "--id", bad[0], "--volume", redis.Volume+"-copy", "--start")), name)
	unharmed()
	if back := h.restore(); back.Snapshot.ID != good.ID {
		t.Errorf("restored %s, not %s", back.Snapshot.ID, good.ID)
	}
}

// numbers are what differs in a server's complaint from build to build.
var numbers = regexp.MustCompile(`(offset )\d+(, function at rdb\.c:)\d+`)

func deleteIf(lines []string, is func(string) bool) []string { return slices.DeleteFunc(lines, is) }

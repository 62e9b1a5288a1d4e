//go:build engine

package repo

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Two file systems number their files alike. The copy on the other disk is
// another place all the same, and each is the same one after it was mounted
// again.
func TestFault53ACopyOnAnotherDisk(t *testing.T) {
	var disks []*loopDisk
	var repos []*Repo
	var markers []os.FileInfo
	for range 2 {
		l := newLoopDisk(t)
		r, err := Init(filepath.Join(l.dir, "repo"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(r.Dir(), markerName))
		if err != nil {
			t.Fatal(err)
		}
		disks, repos, markers = append(disks, l), append(repos, r), append(markers, info)
	}
	if inode(t, markers[0]) != inode(t, markers[1]) {
		t.Fatal("the markers differ in their inodes: this test tests nothing")
	}
	dead := []string{killed(t, repos[0]), killed(t, repos[1])}
	for _, l := range disks {
		l.run("umount", l.dir)
		l.mount()
	}
	for i, r := range repos {
		if !r.RunDead(dead[i]) {
			t.Error("after another mount, a dead run of its own is alive")
		}
		if r.RunDead(dead[1-i]) {
			t.Error("a run of the copy on the other disk is dead")
		}
	}
}

func inode(t *testing.T, info os.FileInfo) uint64 {
	t.Helper()
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no inode")
	}
	return st.Ino
}

//go:build engine

package repo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// fillUp takes the last block of the disk.
func (l *loopDisk) fillUp() {
	l.t.Helper()
	l.flush() // what has no block yet would be missing one later
	f, err := os.OpenFile(filepath.Join(l.dir, "ballast"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	for step := int64(32 << 20); step >= 512; {
		info, err := f.Stat()
		if err != nil {
			l.t.Fatal(err)
		}
		err = unix.Fallocate(int(f.Fd()), 0, info.Size(), step)
		if errors.Is(err, unix.ENOSPC) {
			step /= 2
		} else if err != nil {
			l.t.Fatal(err)
		}
	}
}

// TestFault33PruneOnAFullExt4: a rename to a longer name can need another block
// for the directory. Which number of snapshots fills one to the last byte is
// found by trying them all; the large ones are hashed trees.
func TestFault33PruneOnAFullExt4(t *testing.T) {
	l := newLoopDisk(t, "-b", "1024", "-N", "8192")
	r, err := Init(filepath.Join(l.dir, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	r.disk = quickDisk{}
	sizes := []int{50, 70, 90, 120, 150}
	for n := 24; n < 33; n++ {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		for i := range n {
			commit(t, r, fmt.Sprintf("source%d", n), day(1+i), uint64(1+i), nil)
		}
	}
	l.fillUp()
	d := &faultyDisk{disk: osDisk{}}
	r.disk = d
	for _, n := range sizes {
		pruneAllButNewest(t, r, fmt.Sprintf("source%d", n))
		l.fillUp() // what one has freed must not help the next
	}
	short := 0
	for _, step := range d.steps {
		if len(step) == len("rename "+prunedPrefix)+shortName {
			short++
		}
	}
	if short == 0 {
		t.Error("no directory was full: this test tests nothing")
	}
	t.Logf("%d sources; %d snapshots had room for a short name only", len(sizes), short)
}

// pruneAllButNewest prunes one of the sources, and reads what is left of it.
func pruneAllButNewest(t *testing.T, r *Repo, source string) {
	t.Helper()
	lock, err := r.LockRemove(t.Context(), source, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	listing, err := r.Survey(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	doomed := listing.Snapshots[1:]
	removed, _, err := r.Prune(t.Context(), lock, doomed)
	if err != nil || len(removed) != len(doomed) {
		t.Errorf("%s: removed %d of %d snapshots: %v", source, len(removed), len(doomed), err)
		return
	}
	left, err := r.leftover(source)
	if err != nil || len(left) > 0 {
		t.Errorf("%s: left %v, %v", source, left, err)
	}
	after, err := r.List(source)
	if err != nil || !equal(idsOf(after.Snapshots), idsOf(listing.Snapshots[:1])) {
		t.Errorf("%s: listed %v, %v", source, ids(after.Snapshots), err)
	}
	problems, err := after.Snapshots[0].Check(t.Context(), CheckOptions{ReadData: true})
	if err != nil || len(problems) > 0 {
		t.Errorf("%s: what stays has %v, %v", source, problems, err)
	}
}

// TestFault33PruneWithoutAFreeInode: nothing that prune does needs a new file.
func TestFault33PruneWithoutAFreeInode(t *testing.T) {
	l := newLoopDisk(t, "-N", "256")
	r, err := Init(filepath.Join(l.dir, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		commit(t, r, "sessions", day(1+i), uint64(1+i), nil)
	}
	write(t, filepath.Join(l.dir, "ballast"), nil) // it needs one too
	useUpInodes(t, mkdir(t, filepath.Join(l.dir, "files")))
	l.fillUp()
	pruneAllButNewest(t, r, "sessions")
}

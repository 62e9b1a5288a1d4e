package repo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// smallDisk makes a repository on a file system of its own, of so many bytes
// and names. It is false where this process may not mount.
func smallDisk(t *testing.T, options string) (*Repo, bool) {
	t.Helper()
	dir := mkdir(t, filepath.Join(t.TempDir(), "disk"))
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,"+options); err != nil {
		t.Logf("no file system of our own (%v): the seam's faults stand for it", err)
		return nil, false
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	r, err := Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, true
}

// ballast takes all of a disk but so many bytes.
func ballast(t *testing.T, r *Repo, free int64) {
	t.Helper()
	path := filepath.Join(r.Dir(), ".ballast")
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(r.Dir(), &st); err != nil {
		t.Fatal(err)
	}
	fill := int64(st.Bavail)*st.Bsize - free
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, fill); err != nil {
		t.Fatal(err)
	}
}

func TestFault33FullDisk(t *testing.T) {
	r, ok := smallDisk(t, "size=4m")
	if !ok {
		// Each step of a commit is failed with ENOSPC by TestFault31And34, and a
		// real limit is met by TestFault33FileSizeLimit.
		return
	}
	before := commit(t, r, "sessions", day(1), 1, nil)
	keep, err := r.LockKeep(t.Context(), "sessions", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := keep.Release(); err != nil {
		t.Fatal(err)
	}
	there := []snapshot.ID{before.Manifest.ID}
	content := payload(1<<20, 33) // half of it compresses
	const stored = 1 << 19
	for i, free := range []int64{0, 4096, stored / 100, stored / 2, stored * 99 / 100, stored + 4096, stored + 8192} {
		ballast(t, r, free)
		lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
		if err != nil {
			t.Fatalf("%d bytes free: %v", free, err)
		}
		_, err = take(t, r, lock, draftOptions{source: "sessions", id: newID(t, day(2+i), uint64(i)), content: content})
		lock.Release()
		if !errors.Is(err, unix.ENOSPC) || !errors.Is(err, ErrNotWritable) {
			t.Errorf("%d bytes free: %v", free, err)
		}
		if left, err := r.leftover("sessions"); err != nil || len(left) > 0 {
			t.Errorf("%d bytes free: left %v", free, left)
		}
		mustBeWhole(t, r, there...)
	}

	// What frees space works without any.
	draft := mkdirAndFill(t, r)
	ballast(t, r, 0)
	remove, err := r.LockRemove(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Errorf("prune's lock on a full disk: %v", err)
	} else {
		remove.Release()
	}
	if _, err := r.UpdateMarks(t.Context(), before, func(m *snapshot.Marks) error { m.Pinned = true; return nil }); !errors.Is(err, ErrNotWritable) {
		t.Errorf("marks on a full disk: %v", err)
	}
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Errorf("sweep on a full disk: %v", err)
	}
	if _, err := os.Stat(draft); err == nil {
		t.Error("a full disk keeps its stale draft")
	}
	ballast(t, r, 2<<20)
	there = append([]snapshot.ID{commit(t, r, "sessions", day(20), 20, nil).Manifest.ID}, there...)
	mustBeWhole(t, r, there...)
}

func mkdirAndFill(t *testing.T, r *Repo) string {
	if err := os.RemoveAll(filepath.Join(r.Dir(), ".ballast")); err != nil {
		t.Fatal(err)
	}
	draft := mkdir(t, filepath.Join(r.sourceDir("sessions"), draftPrefix+"20260208T031502Z-dead"))
	write(t, filepath.Join(draft, "dump.rdb.gz"), make([]byte, 1<<20))
	return draft
}

func TestFault33NoMoreFiles(t *testing.T) {
	r, ok := smallDisk(t, "size=4m,nr_inodes=24")
	if !ok {
		return
	}
	var there []snapshot.ID
	for i := range 20 {
		lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
		if err != nil {
			t.Fatal(err)
		}
		id := newID(t, day(1+i), uint64(i))
		_, err = take(t, r, lock, draftOptions{source: "sessions", id: id, content: payload(1000, 1)})
		lock.Release()
		if err != nil {
			if !errors.Is(err, ErrNotWritable) {
				t.Errorf("snapshot %d: %v", i, err)
			}
			mustBeWhole(t, r, there...)
			if _, err := r.StartRun(t.Context()); err != nil && !errors.Is(err, ErrNotWritable) {
				t.Errorf("run: %v", err)
			}
			return
		}
		there = append([]snapshot.ID{id}, there...)
	}
	t.Error("the names never ran out")
}

func TestReadOnlyFileSystemIsToldApart(t *testing.T) {
	r, ok := smallDisk(t, "size=4m")
	if !ok {
		return // TestRepositoryThatCannotBeWrittenIsTold does it by rights
	}
	e := commit(t, r, "sessions", day(1), 1, nil)
	if err := unix.Mount("", r.Dir(), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.LockKeep(t.Context(), "sessions", 0); !errors.Is(err, ErrNotWritable) || !errors.Is(err, unix.EROFS) {
		t.Errorf("keep lock: %v", err)
	}
	if _, err := r.StartRun(t.Context()); !errors.Is(err, ErrNotWritable) {
		t.Errorf("run: %v", err)
	}
	if _, err := r.LockWriter(t.Context(), "sessions", 0, ""); !errors.Is(err, ErrNotWritable) {
		t.Errorf("writer lock: %v", err)
	}
	mustBeWhole(t, r, e.Manifest.ID)
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Errorf("a sweep that finds nothing: %v", err)
	}
	if got := fmt.Sprint(r.Warnings()); got != "[]" {
		t.Errorf("warnings %s", got)
	}
}

// useUpInodes makes files in dir until the file system has no more.
func useUpInodes(t *testing.T, dir string) {
	t.Helper()
	for i := range 10_000 {
		err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600)
		if errors.Is(err, unix.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the inodes never ran out")
}

// Prune is what one does when the disk is full: it works without a free byte
// and a free inode, also where nobody ever took its lock before.
func TestFault33PruneOnAFullDisk(t *testing.T) {
	r, ok := smallDisk(t, "size=4m,nr_inodes=100")
	if !ok {
		return // each step of a prune is failed with ENOSPC by TestFault47
	}
	from := newRepo(t)
	all := history(t, from, 6)
	for _, e := range all {
		if _, err := imported(t, r, e); err != nil {
			t.Fatal(err)
		}
	}
	mkdirAndFill(t, r)
	ballast(t, r, 0)
	useUpInodes(t, mkdir(t, filepath.Join(r.Dir(), "files")))
	lock := remover(t, r)
	defer lock.Release()
	listing, err := r.Survey(t.Context(), "sessions", all[0].Manifest.ID)
	if err != nil {
		t.Fatal(err)
	}
	removed, _, err := r.Prune(t.Context(), lock, listing.Snapshots[2:])
	if err != nil || !equal(removed, idsOf(all[2:])) {
		t.Errorf("prune on a full disk: removed %v, %v", removed, err)
	}
	if gone, err := r.sweep(t.Context(), "sessions"); err != nil || len(gone) != 1 {
		t.Errorf("repair on a full disk: %v, %v", gone, err)
	}
	mustBeWhole(t, r, idsOf(all[:2])...)
}

//go:build engine

package repo

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// loopDisk is an ext4 file system in a file, whose power can be cut. It needs
// root.
type loopDisk struct {
	t      *testing.T
	device string
	dir    string
}

func newLoopDisk(t *testing.T, options ...string) *loopDisk {
	t.Helper()
	base := t.TempDir()
	image := filepath.Join(base, "image")
	l := &loopDisk{t: t, dir: mkdir(t, filepath.Join(base, "disk"))}
	write(t, image, nil)
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	l.run(append(append([]string{"mkfs.ext4", "-q", "-F"}, options...), image)...)
	// One device for all mounts: one that umount takes away may still be going
	// when the next mount finds it.
	l.device = strings.TrimSpace(l.run("losetup", "--find", "--show", image))
	t.Cleanup(func() {
		if err := exec.Command("losetup", "--detach", l.device).Run(); err != nil {
			t.Error(err)
		}
	})
	l.mount()
	t.Cleanup(func() {
		if err := exec.Command("umount", l.dir).Run(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *loopDisk) run(args ...string) string {
	l.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

func (l *loopDisk) mount() {
	l.t.Helper()
	l.run("mount", l.device, l.dir)
}

// cut drops all that was not flushed, as a loss of power does.
func (l *loopDisk) cut() error {
	const shutdown = 0x8004587d // FS_IOC_SHUTDOWN
	const noLogFlush = 2
	d, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.IoctlSetPointerInt(int(d.Fd()), shutdown, noLogFlush)
}

// flush writes all that waits in memory.
func (l *loopDisk) flush() {
	l.t.Helper()
	d, err := os.Open(l.dir)
	if err != nil {
		l.t.Fatal(err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		l.t.Fatal(err)
	}
}

// restart mounts the disk as it is after the cut. A container that starts at this
// very moment has a copy of all mounts for an instant, and keeps the file system
// of before alive in it: then that one is mounted once more.
func (l *loopDisk) restart() {
	l.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		l.run("umount", l.dir)
		l.mount()
		err := os.Mkdir(filepath.Join(l.dir, "alive"), 0o700) // what is read may come from memory
		if err == nil {
			l.run("rmdir", filepath.Join(l.dir, "alive"))
			return
		}
		if !errors.Is(err, unix.EIO) || time.Now().After(deadline) {
			l.t.Fatalf("mounted again: %v", err)
		}
	}
}

// TestFault32PowerLossAtEachStep cuts the power before each step of a commit,
// and after the last one. What was told to be committed is there; what was not
// is there whole or not at all, and never under its name with nothing in it.
func TestFault32PowerLossAtEachStep(t *testing.T) {
	l := newLoopDisk(t)
	made, err := Init(filepath.Join(l.dir, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	there := []snapshot.ID{commit(t, made, "sessions", day(1), 1, nil).Manifest.ID}
	for k := 1; ; k++ {
		r, err := Open(made.Dir())
		if err != nil {
			t.Fatal(err)
		}
		source := "sessions"
		if k%2 == 0 {
			source = "source" + string(newID(t, day(1), uint64(k))[17:]) // a new one: its own name must last too
		}
		lock, err := r.LockWriter(t.Context(), source, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		d := &faultyDisk{disk: osDisk{}, fail: func(step int) error {
			if step == k {
				if err := l.cut(); err != nil {
					t.Error(err)
				}
			}
			return nil
		}}
		r.disk = d
		id := newID(t, day(1+k), uint64(k))
		_, commitErr := take(t, r, lock, draftOptions{source: source, id: id, content: payload(200_000, uint64(k))})
		over := commitErr == nil && len(d.steps) < k
		if over {
			if err := l.cut(); err != nil {
				t.Fatal(err)
			}
		}
		lock.die()
		l.restart()
		r, err = Open(made.Dir())
		if err != nil {
			t.Fatalf("step %d: %v", k, err)
		}
		if _, err := r.Get(string(id)); err == nil {
			there = slices.Insert(there, 0, id)
		} else if commitErr == nil || !errors.Is(err, ErrNotFound) {
			t.Errorf("step %d: the commit said %v, and then: %v", k, commitErr, err)
		}
		mustBeWhole(t, r, there...)
		for _, s := range []string{"sessions", source} {
			if err := r.Sweep(t.Context(), s); err != nil {
				t.Errorf("step %d: %v", k, err)
			}
		}
		if over {
			if len(there) < 3 {
				t.Errorf("%d snapshots survived %d cuts", len(there), k)
			}
			return
		}
	}
}

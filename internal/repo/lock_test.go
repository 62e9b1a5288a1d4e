package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFault38LocksExcludeEachOther(t *testing.T) {
	r := newRepo(t)
	ctx := t.Context()
	writer := func() (*Lock, error) { return r.LockWriter(ctx, "sessions", 0, strings.Repeat("1", 16)) }
	keep := func() (*Lock, error) { return r.LockKeep(ctx, "sessions", 0) }
	remove := func() (*Lock, error) { return r.LockRemove(ctx, "sessions", 0, "") }
	other := func() (*Lock, error) { return r.LockWriter(ctx, "other", 0, "") }
	marks := func() (*Lock, error) {
		return r.wait(ctx, request{source: "sessions", file: marksLock, kind: "marks", exclusive: true}, 0)
	}
	type take = func() (*Lock, error)
	for _, c := range []struct {
		name          string
		first, second take
		lock          string // that the second one finds taken
	}{
		{"two snapshots", writer, writer, "write"},
		{"two restores", keep, keep, ""},
		{"prune while a restore runs", keep, remove, "remove"},
		{"restore while a prune runs", remove, keep, "keep"},
		{"two prunes", remove, remove, "remove"},
		{"snapshot and prune", writer, remove, ""},
		{"snapshots of two sources", writer, other, ""},
		{"marks and snapshot", marks, writer, ""},
		{"marks and marks", marks, marks, "marks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			made, err := writer() // the source must be there
			if err != nil {
				t.Fatal(err)
			}
			made.Release()
			first, err := c.first()
			if err != nil {
				t.Fatal(err)
			}
			second, err := c.second()
			var taken *LockedError
			switch {
			case c.lock == "" && err != nil:
				t.Fatal(err)
			case c.lock == "":
				second.Release()
			case !errors.Is(err, ErrLocked) || !errors.As(err, &taken):
				t.Fatalf("the second one got %v", err)
			case taken.Lock != c.lock || taken.Source != "sessions" || taken.Holder == "":
				t.Errorf("the second one got %+v", taken)
			}
			if err := first.Release(); err != nil {
				t.Fatal(err)
			}
			if second, err = c.second(); err != nil {
				t.Fatalf("after the release: %v", err)
			}
			second.Release()
		})
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	r := newRepo(t)
	run := strings.Repeat("ab", 8)
	lock, err := r.LockWriter(t.Context(), "sessions", 0, run)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.LockWriter(t.Context(), "sessions", 0, "")
	host, _ := os.Hostname()
	want := fmt.Sprintf("source sessions is locked by process %d on host %s (", os.Getpid(), host)
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "run "+run) {
		t.Errorf("%v, want %s", err, want)
	}
	var h holder
	if err := json.Unmarshal(read(t, filepath.Join(r.Dir(), "sessions", writerLock)), &h); err != nil {
		t.Fatal(err)
	}
	if h.PID != os.Getpid() || h.Host != host || h.BootID == "" || !isHex(h.Token, 32) || h.Run != run {
		t.Errorf("the lock file holds %+v", h)
	}
	if err := errors.Join(lock.Release(), lock.Release()); err != nil {
		t.Errorf("release: %v", err)
	}
	if text := strings.TrimSpace(string(read(t, filepath.Join(r.Dir(), "sessions", writerLock)))); text != "" {
		t.Errorf("a lock that was released names %q", text)
	}
}

// An earlier holder of the exclusive lock, which died, is not to be blamed for
// a share of it.
func TestLockDoesNotNameTheDead(t *testing.T) {
	r := newRepo(t)
	commit(t, r, "sessions", day(8), 1, nil)
	dead, err := r.LockRemove(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	dead.f.Close() // as its death would
	keep, err := r.LockKeep(t.Context(), "sessions", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Release()
	_, err = r.LockRemove(t.Context(), "sessions", 0, "")
	if want := "source sessions is locked by others who need its snapshots to stay"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestLockWaitsAsLongAsItIsTold(t *testing.T) {
	r := newRepo(t)
	first, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := r.LockWriter(t.Context(), "sessions", 120*time.Millisecond, ""); !errors.Is(err, ErrLocked) {
		t.Errorf("after the wait: %v", err)
	}
	if waited := time.Since(start); waited < 120*time.Millisecond {
		t.Errorf("waited %v only", waited)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 80*time.Millisecond)
	defer cancel()
	if _, err := r.LockWriter(ctx, "sessions", time.Hour, ""); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrLocked) {
		t.Errorf("when the context ends: %v", err)
	}
	got := make(chan error)
	go func() {
		second, err := r.LockWriter(t.Context(), "sessions", time.Minute, "")
		if err == nil {
			err = second.Release()
		}
		got <- err
	}()
	timer := time.NewTimer(70 * time.Millisecond)
	select {
	case err := <-got:
		t.Fatalf("while the first is held: %v", err)
	case <-timer.C:
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("after the release: %v", err)
	}
}

func TestFault39LockThatWasLost(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"another host took it": func(path string) error {
			return os.WriteFile(path, []byte(`{"host":"elsewhere","pid":7,"token":"f00d"}`), 0o600)
		},
		"its file was removed":  os.Remove,
		"its file was replaced": func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
		"its source was moved":  func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+"2") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			earlier := commit(t, r, "sessions", day(7), 1, nil)
			lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := lock.Held(); err != nil {
				t.Fatalf("a lock that is held: %v", err)
			}
			id := newID(t, day(8), 2)
			d, err := r.Begin(t.Context(), "sessions", id, lock)
			if err != nil {
				t.Fatal(err)
			}
			f, err := fill(d, "gzip", payload(1000, 2))
			if err != nil {
				t.Fatal(err)
			}
			if err := lose(filepath.Join(r.Dir(), "sessions", writerLock)); err != nil {
				t.Fatal(err)
			}
			if err := lock.Held(); !errors.Is(err, ErrLockLost) {
				t.Errorf("held: %v", err)
			}
			if _, err := d.Commit(t.Context(), describe(id, "sessions", f)); err == nil {
				t.Error("it was committed without the lock")
			}
			if err := errors.Join(d.Abort(), lock.Release()); err != nil {
				t.Error(err)
			}
			if name == "its source was moved" {
				return
			}
			mustBeWhole(t, r, earlier.Manifest.ID)
			if _, err := r.Begin(t.Context(), "sessions", id, lock); !errors.Is(err, ErrLockLost) {
				t.Errorf("begin after the release: %v", err)
			}
		})
	}
}

func TestLockThatIsUnheardOf(t *testing.T) {
	r := newRepo(t)
	var none *NotFoundError
	if _, err := r.LockKeep(t.Context(), "nobody", 0); !errors.As(err, &none) || none.Source != "nobody" {
		t.Errorf("keep lock of an unknown source: %v", err)
	}
	for _, name := range []string{"", ".runs", "..", "a/b", "-x"} {
		if _, err := r.LockWriter(t.Context(), name, 0, ""); err == nil {
			t.Errorf("a lock on source %q", name)
		}
	}
	names, err := os.ReadDir(r.Dir())
	if err != nil || len(names) != 1 {
		t.Errorf("locks left %v", names)
	}
}

// Between the opening of a lock file and the lock on it, the file may be removed
// and made again. Who has locked what is gone has locked nothing.
func TestLockIsOnTheFileThatHasTheName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	for name, happen := range map[string]func() error{
		"removed":         func() error { return os.Remove(path) },
		"made again":      func() error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
		"nothing happens": func() error { return nil },
	} {
		write(t, path, nil)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := happen(); err != nil {
			t.Fatal(err)
		}
		same, err := lockOpen(f, path, unix.LOCK_EX)
		if want := name == "nothing happens"; same != want || err != nil {
			t.Errorf("%s: locked %v, %v", name, same, err)
		}
		f.Close()
	}
	if _, err := lockDir(filepath.Join(dir, "renamed meanwhile")); !errors.Is(err, ErrExists) {
		t.Errorf("a directory that was there: %v", err)
	}
}

func TestLockFileThatIsSomethingElse(t *testing.T) {
	r := newRepo(t)
	commit(t, r, "sessions", day(8), 1, nil)
	path := filepath.Join(r.sourceDir("sessions"), keepLock)
	for name, lay := range map[string]func() error{
		"FIFO":      func() error { return unix.Mkfifo(path, 0o600) },
		"directory": func() error { return os.Mkdir(path, 0o700) },
		"link":      func() error { return os.Symlink(writerLock, path) },
	} {
		os.Remove(path)
		if err := lay(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.LockKeep(t.Context(), "sessions", 0); err == nil || errors.Is(err, ErrLocked) {
			t.Errorf("a lock on a %s: %v", name, err)
		}
	}
}

// asNobody lets do run without the rights of root.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	defer unix.SetfsuidRetUid(0)
	do()
}

func TestRepositoryThatCannotBeWrittenIsTold(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	err := filepath.WalkDir(r.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o444)
		if d.IsDir() {
			mode = 0o555
			t.Cleanup(func() { os.Chmod(path, 0o700) })
		}
		return os.Chmod(path, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
	// The test's own directories let nobody through.
	for dir := filepath.Dir(r.Dir()); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		ctx := t.Context()
		for what, do := range map[string]func() error{
			"keep lock":   func() error { _, err := r.LockKeep(ctx, "sessions", 0); return err },
			"writer lock": func() error { _, err := r.LockWriter(ctx, "sessions", 0, ""); return err },
			"new source":  func() error { _, err := r.LockWriter(ctx, "other", 0, ""); return err },
			"run":         func() error { _, err := r.StartRun(ctx); return err },
			"restore":     func() error { _, err := r.StartRestore(record(strings.Repeat("0", 16), e)); return err },
			"marks":       func() error { _, err := r.UpdateMarks(ctx, e, nil); return err },
		} {
			if err := do(); !errors.Is(err, ErrNotWritable) {
				t.Errorf("%s: %v", what, err)
			}
		}
		var unusable *UnusableError
		if _, _, err := Create(filepath.Join(r.Dir(), "new")); !errors.As(err, &unusable) || !strings.Contains(unusable.Reason, "cannot be written") {
			t.Errorf("a repository where nothing can be written: %v", err)
		}
		got, err := r.Get(string(e.Manifest.ID))
		if err != nil {
			t.Fatal(err)
		}
		problems, err := got.Check(ctx, CheckOptions{ReadData: true})
		if err != nil || len(problems) > 0 {
			t.Errorf("check of what can only be read: %v %v", problems, err)
		}
	})
}

func TestContainerIDFromMountinfo(t *testing.T) {
	id := strings.Repeat("0af3", 16)
	inside := "1 2 0:3 / / rw - overlay overlay rw\n" +
		"650 638 254:1 /var/lib/docker/containers/" + id + "/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw\n"
	for text, want := range map[string]string{
		inside: id, "": "", "1 2 0:3 / / rw - ext4 /dev/vda rw\n": "",
		"1 2 0:3 /home/containers/mine/x /x rw - ext4 /dev/vda rw\n": "",
	} {
		if got := containerID(text); got != want {
			t.Errorf("container id is %q, want %q, in %q", got, want, text)
		}
	}
}

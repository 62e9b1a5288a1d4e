package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/snapshot"
)

func TestCommittedSnapshotReadsBack(t *testing.T) {
	for _, c := range []snapshot.Compression{snapshot.Gzip, snapshot.Zstd, snapshot.None} {
		for _, size := range []int{0, 1, 100_000, 3 << 20} {
			t.Run(fmt.Sprintf("%s %d", c, size), func(t *testing.T) {
				r := newRepo(t)
				lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
				if err != nil {
					t.Fatal(err)
				}
				defer lock.Release()
				id := newID(t, day(8), 8)
				d, err := r.Begin(t.Context(), "sessions", id, lock)
				if err != nil {
					t.Fatal(err)
				}
				content := payload(size, 8)
				f, err := fill(d, c, content)
				if err != nil {
					t.Fatal(err)
				}
				if l := listAll(t, r); len(l.Snapshots)+len(l.Problems) > 0 {
					t.Errorf("a draft is listed: %+v", l)
				}
				e, err := d.Commit(t.Context(), describe(id, "sessions", f))
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Abort(); err != nil {
					t.Fatal(err)
				}
				mustBeWhole(t, r, id)
				got, err := r.Get(string(id))
				if err != nil {
					t.Fatal(err)
				}
				if got.Dir != e.Dir || got.ManifestSHA256 != e.ManifestSHA256 || e.Bytes() != int64(size) {
					t.Errorf("read %+v, committed %+v", got, e)
				}
				in, err := got.Open(t.Context(), got.Manifest.Files[0])
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				if back, err := io.ReadAll(in); err != nil || string(back) != string(content) {
					t.Errorf("%d bytes came back, %v", len(back), err)
				}
				if size > 1<<20 { // more than is read ahead
					mustEndWithItsContext(t, got)
				}
			})
		}
	}
}

func mustEndWithItsContext(t *testing.T, e Entry) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, err := e.Open(ctx, e.Manifest.Files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cancel()
	if n, err := io.Copy(io.Discard, in); !errors.Is(err, context.Canceled) {
		t.Errorf("%d bytes were read after its context had ended: %v", n, err)
	}
}

// Promise 7: what is there is checked and restored by anybody's tools.
func TestSnapshotIsCheckedBySha256sum(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 8, nil)
	for _, args := range [][]string{{"sha256sum", "--strict", "-c", "SHA256SUMS"}, {"gzip", "-t", "dump.rdb.gz"}} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = e.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestDraftIsRefused(t *testing.T) {
	r := newRepo(t)
	there := commit(t, r, "sessions", day(7), 7, nil)
	id := newID(t, day(8), 8)
	writer := func(source string) *Lock {
		l, err := r.LockWriter(t.Context(), source, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Release() })
		return l
	}
	lock, otherLock := writer("sessions"), writer("other")
	keep, err := r.LockKeep(t.Context(), "sessions", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Release()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, begin := range map[string]func() (*Draft, error){
		"no lock":        func() (*Draft, error) { return r.Begin(t.Context(), "sessions", id, nil) },
		"another's lock": func() (*Draft, error) { return r.Begin(t.Context(), "sessions", id, otherLock) },
		"keep lock":      func() (*Draft, error) { return r.Begin(t.Context(), "sessions", id, keep) },
		"no id":          func() (*Draft, error) { return r.Begin(t.Context(), "sessions", "../x", lock) },
		"ended":          func() (*Draft, error) { return r.Begin(ended, "sessions", id, lock) },
	} {
		if d, err := begin(); err == nil {
			t.Errorf("%s: a draft begins in %s", name, d.dir)
		}
	}
	good := func(d *Draft) (*snapshot.Manifest, error) {
		f, err := fill(d, snapshot.Gzip, payload(1000, 8))
		return describe(d.id, "sessions", f), err
	}
	for name, prepare := range map[string]func(d *Draft) (context.Context, *snapshot.Manifest, error){
		"no file": func(d *Draft) (context.Context, *snapshot.Manifest, error) {
			return t.Context(), describe(id, "sessions"), nil
		},
		"other id": func(d *Draft) (context.Context, *snapshot.Manifest, error) {
			m, err := good(d)
			m.ID = there.Manifest.ID
			return t.Context(), m, err
		},
		"other source": func(d *Draft) (context.Context, *snapshot.Manifest, error) {
			m, err := good(d)
			m.Source.Name = "other"
			return t.Context(), m, err
		},
		"other content": func(d *Draft) (context.Context, *snapshot.Manifest, error) {
			m, err := good(d)
			m.Files[0].SHA256 = strings.Repeat("0", 64)
			return t.Context(), m, err
		},
		"other stored size": func(d *Draft) (context.Context, *snapshot.Manifest, error) {
			m, err := good(d)
			m.Files[0].StoredSize++
			return t.Context(), m, err
		},
		"invalid manifest": func(d *Draft) (context.Context, *snapshot.Manifest, error) {
			m, err := good(d)
			m.Files[0].Path = "../dump.rdb"
			return t.Context(), m, err
		},
		"file that was not closed": func(d *Draft) (context.Context, *snapshot.Manifest, error) {
			m, err := good(d)
			d.files[0].closed = false
			return t.Context(), m, err
		},
		"interrupted": func(d *Draft) (context.Context, *snapshot.Manifest, error) {
			m, err := good(d)
			return ended, m, err
		},
		"name that is taken": func(d *Draft) (context.Context, *snapshot.Manifest, error) {
			m, err := good(d)
			mkdir(t, filepath.Join(r.Dir(), "sessions", string(id)))
			return t.Context(), m, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := r.Begin(t.Context(), "sessions", id, lock)
			if err != nil {
				t.Fatal(err)
			}
			ctx, m, err := prepare(d)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Commit(ctx, m); err == nil {
				t.Error("it was committed")
			}
			if _, err := d.Commit(t.Context(), m); err == nil {
				t.Error("it was committed at the second time")
			}
			if _, err := d.Create("dump.rdb", snapshot.None); err == nil {
				t.Error("a file is created in what has ended")
			}
			if err := errors.Join(d.Abort(), d.Abort()); err != nil {
				t.Fatal(err)
			}
			if name == "name that is taken" {
				taken := filepath.Join(r.Dir(), "sessions", string(id))
				if names, err := os.ReadDir(taken); err != nil || len(names) > 0 {
					t.Errorf("what had the name before is changed: %v %v", names, err)
				}
				os.Remove(taken)
			}
			if left, err := r.leftover("sessions"); err != nil || len(left) > 0 {
				t.Errorf("left %v %v", left, err)
			}
			mustBeWhole(t, r, there.Manifest.ID)
		})
	}
}

func TestDraftTakesOnlyNamesOfTheFormat(t *testing.T) {
	r := newRepo(t)
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	d, err := r.Begin(t.Context(), "sessions", newID(t, day(8), 8), lock)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Abort()
	for _, name := range []string{
		"", ".", "..", "../dump.rdb.gz", "/dump.rdb.gz", "a/dump.rdb.gz", "dump.rdb", "dump.rdb.zst",
		snapshot.ManifestName, snapshot.SumsName, snapshot.ProofName, snapshot.MarksName, "x.gz", "temp-1.rdb.gz",
	} {
		if _, err := d.Create(name, snapshot.Gzip); err == nil {
			t.Errorf("%q was created", name)
		}
	}
	df, err := d.Create("dump.rdb.gz", snapshot.Gzip)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create("dump.rdb.gz", snapshot.Gzip); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second file of one name: %v", err)
	}
	if err := errors.Join(df.Close(), df.Close()); err != nil {
		t.Error(err)
	}
}

// A capture that has to be made again leaves nothing of the first one.
func TestDraftFileThatIsDiscarded(t *testing.T) {
	r := newRepo(t)
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	id := newID(t, day(8), 8)
	d, err := r.Begin(t.Context(), "sessions", id, lock)
	if err != nil {
		t.Fatal(err)
	}
	for _, finished := range []bool{false, true} {
		df, err := d.Create("dump.rdb.gz", snapshot.Gzip)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := df.Write(payload(100_000, 1)); err != nil {
			t.Fatal(err)
		}
		if finished {
			err = df.Close()
		}
		if err := errors.Join(err, d.Discard(df)); err != nil {
			t.Errorf("discard, finished %v: %v", finished, err)
		}
	}
	f, err := fill(d, snapshot.Zstd, payload(1000, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), describe(id, "sessions", f)); err != nil {
		t.Fatal(err)
	}
	mustBeWhole(t, r, id)
	if err := d.Discard(d.files[0]); err == nil {
		t.Error("a file was taken out of a committed snapshot")
	}
	mustBeWhole(t, r, id)
}

// An interruption counts up to the rename.
func TestCommitThatIsInterruptedLate(t *testing.T) {
	r := newRepo(t)
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	id := newID(t, day(8), 8)
	disk := &faultyDisk{disk: osDisk{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	disk.fail = func(step int) error {
		if disk.steps[step-1] == "read SHA256SUMS" {
			cancel()
		}
		return nil
	}
	r.disk = disk
	d, err := r.Begin(ctx, "sessions", id, lock)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fill(d, snapshot.Gzip, payload(1000, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(ctx, describe(id, "sessions", f)); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}
	if err := d.Abort(); err != nil {
		t.Error(err)
	}
	mustBeWhole(t, r)
}

// A rename must never take the place of what is there, also where the file
// system cannot promise it.
func TestRenameNeverReplaces(t *testing.T) {
	for name, rename := range map[string]func(from, to string) error{
		"by the kernel": renameNoReplace, "by looking first": renameChecked,
	} {
		dir := t.TempDir()
		from, to := mkdir(t, filepath.Join(dir, "from")), mkdir(t, filepath.Join(dir, "to"))
		if err := rename(from, to); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: onto an empty directory: %v", name, err)
		}
		if err := rename(from, filepath.Join(dir, "new")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := rename(from, filepath.Join(dir, "new2")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: of nothing: %v", name, err)
		}
	}
}

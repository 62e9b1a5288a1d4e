package repo

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// imported copies e into r under the lock that it takes.
func imported(t testing.TB, r *Repo, e Entry) (Entry, error) {
	t.Helper()
	lock, err := r.LockWriter(t.Context(), e.Manifest.Source.Name, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.die()
	return r.Import(t.Context(), e, lock, nil)
}

// contentOf reads all files below a directory.
func contentOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			all[name] = string(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mustBeCopy(t testing.TB, from, to string) {
	t.Helper()
	want, got := contentOf(t, from), contentOf(t, to)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s differs in the copy", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the copy has %d files, the original %d", len(got), len(want))
	}
}

// A copy is the same snapshot: every byte, its proof and its marks.
func TestImportCopiesEveryByte(t *testing.T) {
	from, to := newRepo(t), newRepo(t)
	e := commit(t, from, "sessions", day(8), 8, nil)
	if err := from.WriteProof(t.Context(), e, proof(e, snapshot.Passed)); err != nil {
		t.Fatal(err)
	}
	if _, err := from.UpdateMarks(t.Context(), e, func(m *snapshot.Marks) error {
		m.Pinned, m.Tags = true, []string{"release"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	e, err := from.Get(string(e.Manifest.ID))
	if err != nil {
		t.Fatal(err)
	}
	got, err := imported(t, to, e)
	if err != nil {
		t.Fatal(err)
	}
	if got.Verified() != Passed || !got.Marks.Pinned || got.Dir == e.Dir || got.ManifestSHA256 != e.ManifestSHA256 {
		t.Errorf("the copy is %+v", got)
	}
	mustBeCopy(t, e.Dir, got.Dir)
	mustBeWhole(t, to, e.Manifest.ID)
	again, err := to.Get(string(e.Manifest.ID))
	if err != nil || again.Verified() != Passed || !again.Marks.Pinned || len(again.Problems) > 0 {
		t.Errorf("read again: %+v, %v", again, err)
	}
}

// A copy of many snapshots takes hours, and marks are set meanwhile: those that
// a snapshot has when it is copied count.
func TestImportCopiesMarksAndProofAsTheyAreThen(t *testing.T) {
	from, to := newRepo(t), newRepo(t)
	e := commit(t, from, "sessions", day(8), 8, nil)
	if err := from.WriteProof(t.Context(), e, proof(e, snapshot.Passed)); err != nil {
		t.Fatal(err)
	}
	if _, err := from.UpdateMarks(t.Context(), e, func(m *snapshot.Marks) error { m.Pinned = true; return nil }); err != nil {
		t.Fatal(err)
	}
	got, err := imported(t, to, e) // as it was listed before
	if err != nil || !got.Marks.Pinned || got.Verified() != Passed {
		t.Errorf("the copy is %+v, %v", got, err)
	}
	mustBeCopy(t, e.Dir, got.Dir)
}

// The text of the manifest is copied, not written anew.
func TestImportKeepsMembersOfALaterVersion(t *testing.T) {
	from, to := newRepo(t), newRepo(t)
	e := commit(t, from, "sessions", day(8), 8, nil)
	text := bytes.Replace(read(t, filepath.Join(e.Dir, snapshot.ManifestName)), []byte("{\n"), []byte("{\n  \"later\": true,\n"), 1)
	write(t, filepath.Join(e.Dir, snapshot.ManifestName), text)
	write(t, filepath.Join(e.Dir, snapshot.SumsName), snapshot.EncodeSums(snapshot.SumsFor(e.Manifest, text)))
	e, err := from.Get(string(e.Manifest.ID))
	if err != nil {
		t.Fatal(err)
	}
	got, err := imported(t, to, e)
	if err != nil {
		t.Fatal(err)
	}
	mustBeCopy(t, e.Dir, got.Dir)
}

// Nothing damaged arrives: not what lies damaged there, not what is damaged on
// its way, and not what the disk here gives back otherwise than it got it.
func TestFault35And43ADamagedSnapshotIsNotImported(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, from, to *Repo, e Entry){
		"a flipped bit of the payload": func(t *testing.T, _, _ *Repo, e Entry) {
			b := read(t, filepath.Join(e.Dir, "dump.rdb.gz"))
			b[len(b)/2] ^= 4
			write(t, filepath.Join(e.Dir, "dump.rdb.gz"), b)
		},
		"a payload cut short": func(t *testing.T, _, _ *Repo, e Entry) {
			if err := os.Truncate(filepath.Join(e.Dir, "dump.rdb.gz"), 100); err != nil {
				t.Fatal(err)
			}
		},
		"a manifest that says something else": func(t *testing.T, _, _ *Repo, e Entry) {
			text := strings.Replace(string(read(t, filepath.Join(e.Dir, snapshot.ManifestName))), `"uid": 999`, `"uid": 0`, 1)
			write(t, filepath.Join(e.Dir, snapshot.ManifestName), []byte(text))
		},
		"a payload that is gone": func(t *testing.T, _, _ *Repo, e Entry) {
			if err := os.Remove(filepath.Join(e.Dir, "dump.rdb.gz")); err != nil {
				t.Fatal(err)
			}
		},
		"a bit that flips on its way": func(_ *testing.T, _, to *Repo, _ Entry) {
			to.disk = &faultyDisk{disk: osDisk{}, flip: func(file string, b []byte) {
				if file == "dump.rdb.gz" && len(b) > 0 {
					b[len(b)/2] ^= 4
				}
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := newRepo(t), newRepo(t)
			e := commit(t, from, "sessions", day(8), 8, nil)
			damage(t, from, to, e)
			var damaged *DamagedError
			var mismatch *snapshot.MismatchError
			if _, err := imported(t, to, e); !errors.As(err, &damaged) && !errors.As(err, &mismatch) {
				t.Errorf("import: %v", err)
			}
			to.disk = osDisk{}
			mustBeWhole(t, to)
			if left, err := to.leftover("sessions"); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestHasTellsASnapshotFromAnotherOfItsName(t *testing.T) {
	from, to := newRepo(t), newRepo(t)
	e := commit(t, from, "sessions", day(8), 8, nil)
	if there, err := to.Has(t.Context(), e); there || err != nil {
		t.Errorf("before: %v, %v", there, err)
	}
	got, err := imported(t, to, e)
	if err != nil {
		t.Fatal(err)
	}
	if there, err := to.Has(t.Context(), e); !there || err != nil {
		t.Errorf("after: %v, %v", there, err)
	}
	other := newRepo(t)
	commit(t, other, "sessions", day(8), 8, func(m *snapshot.Manifest) { m.Server.RunID = strings.Repeat("b", 40) })
	var conflict *ConflictError
	if _, err := other.Has(t.Context(), e); !errors.As(err, &conflict) {
		t.Errorf("another of its name: %v", err)
	}
	if _, err := imported(t, other, e); !errors.Is(err, fs.ErrExist) {
		t.Errorf("import over another of its name: %v", err)
	}
	if err := os.Remove(filepath.Join(got.Dir, "dump.rdb.gz")); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := to.Has(t.Context(), e); !errors.As(err, &damaged) {
		t.Errorf("a damaged copy: %v", err)
	}
}

// Every byte is flushed and read back before the copy takes its name.
func TestImportOrderOfSteps(t *testing.T) {
	from, to := newRepo(t), newRepo(t)
	e := furnished(t, from, 1)[0]
	d := &faultyDisk{disk: osDisk{}}
	to.disk = d
	if _, err := imported(t, to, e); err != nil {
		t.Fatal(err)
	}
	want := []string{"mkdir sessions", "mkdir draft", "create dump.rdb.gz", "write dump.rdb.gz", "sync dump.rdb.gz",
		"close dump.rdb.gz", "open dump.rdb.gz", "read dump.rdb.gz"}
	for _, name := range []string{snapshot.ManifestName, snapshot.SumsName, snapshot.ProofName, snapshot.MarksName} {
		for _, op := range []string{"create ", "write ", "sync ", "close ", "open ", "read "} {
			want = append(want, op+name)
		}
	}
	want = append(want, "syncdir draft", "rename "+string(e.Manifest.ID), "syncdir sessions", "syncdir repo")
	if got := inShort(d.steps); !equal(got, want) {
		t.Errorf("the steps of an import are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Each step of a copy fails in turn; nothing half-made is ever listed.
func TestFault31And34EachStepOfAnImport(t *testing.T) {
	from := newRepo(t)
	e := commit(t, from, "sessions", day(8), 8, nil)
	for name, at := range map[string]func(k int) func(int) error{
		"EIO":    func(k int) func(int) error { return failAt(k, errIO) },
		"ENOSPC": func(k int) func(int) error { return failAt(k, unix.ENOSPC) },
		"crash":  crashAt,
	} {
		steps := 0
		for k := 0; k <= steps; k++ {
			to := newRepo(t)
			d := &faultyDisk{disk: osDisk{}, fail: at(k)}
			lock, err := to.LockWriter(t.Context(), "sessions", 0, "")
			if err != nil {
				t.Fatal(err)
			}
			to.disk = d
			_, err = to.Import(t.Context(), e, lock, nil)
			lock.die()
			to.disk = osDisk{}
			if k == 0 {
				steps = len(d.steps)
			}
			var weak *NotDurableError
			switch {
			case (err == nil) != (k == 0):
				t.Errorf("%s at step %d of %d: %v", name, k, steps, err)
			case err == nil || errors.As(err, &weak):
				mustBeWhole(t, to, e.Manifest.ID)
			default:
				mustBeWhole(t, to)
			}
		}
	}
}

package repo

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

const errIO = unix.EIO

// faultyDisk counts what is asked of a disk and can fail it.
type faultyDisk struct {
	disk
	fail func(step int) error        // may be nil; steps count from 1
	flip func(name string, b []byte) // changes what is written, on its way; may be nil

	mu    sync.Mutex // a compressor may write from a goroutine of its own
	steps []string
}

func (d *faultyDisk) step(op, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps = append(d.steps, op+" "+filepath.Base(path))
	if d.fail == nil {
		return nil
	}
	return d.fail(len(d.steps))
}

// failAt fails one step.
func failAt(k int, err error) func(int) error {
	return func(step int) error {
		if step == k {
			return err
		}
		return nil
	}
}

// crashAt fails a step and all that follow: nothing reaches the disk any more.
func crashAt(k int) func(int) error {
	return func(step int) error {
		if k > 0 && step >= k {
			return errIO
		}
		return nil
	}
}

func (d *faultyDisk) Mkdir(path string) error {
	return cmpOr(d.step("mkdir", path), func() error { return d.disk.Mkdir(path) })
}

func (d *faultyDisk) Rename(from, to string) error {
	return cmpOr(d.step("rename", to), func() error { return d.disk.Rename(from, to) })
}

func (d *faultyDisk) Replace(from, to string) error {
	return cmpOr(d.step("replace", to), func() error { return d.disk.Replace(from, to) })
}

func (d *faultyDisk) SyncDir(path string) error {
	return cmpOr(d.step("syncdir", path), func() error { return d.disk.SyncDir(path) })
}

// RemoveAll is a step, and so is each file of a directory that it removes.
func (d *faultyDisk) RemoveAll(path string) error {
	if err := d.step("remove", path); err != nil {
		return err
	}
	var inside []string
	_ = filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		if err == nil && name != path {
			inside = append(inside, name)
		}
		return nil
	})
	for _, name := range slices.Backward(inside) {
		if err := d.step("unlink", name); err != nil {
			return err
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return d.disk.RemoveAll(path)
}

func cmpOr(err error, do func() error) error {
	if err != nil {
		return err
	}
	return do()
}

func (d *faultyDisk) ReadDir(path string) ([]fs.DirEntry, error) {
	entries, err := d.disk.ReadDir(path)
	if fault := d.step("readdir", path); fault != nil {
		return entries[:len(entries)/2], fault // as a disk does that fails half-way
	}
	return entries, err
}

func (d *faultyDisk) Create(path string) (file, error) {
	if err := d.step("create", path); err != nil {
		return nil, err
	}
	f, err := d.disk.Create(path)
	return &faultyFile{file: f, disk: d, path: path}, err
}

func (d *faultyDisk) Open(path string) (readback, error) {
	if err := d.step("open", path); err != nil {
		return nil, err
	}
	r, err := d.disk.Open(path)
	return &faultyReader{readback: r, disk: d, path: path}, err
}

type faultyFile struct {
	file
	disk *faultyDisk
	path string
}

// Write writes in two halves, each a step of its own.
func (f *faultyFile) Write(b []byte) (int, error) {
	if f.disk.flip != nil {
		b = bytes.Clone(b)
		f.disk.flip(filepath.Base(f.path), b)
	}
	done := 0
	for _, part := range [][]byte{b[:len(b)/2], b[len(b)/2:]} {
		if err := f.disk.step("write", f.path); err != nil {
			return done, err
		}
		n, err := f.file.Write(part)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (f *faultyFile) Sync() error {
	return cmpOr(f.disk.step("sync", f.path), f.file.Sync)
}

func (f *faultyFile) Close() error {
	return errors.Join(f.disk.step("close", f.path), f.file.Close())
}

type faultyReader struct {
	readback
	disk *faultyDisk
	path string
}

func (r *faultyReader) Read(b []byte) (int, error) {
	if err := r.disk.step("read", r.path); err != nil {
		return 0, err
	}
	return r.readback.Read(b)
}

// die gives up a lock as the death of its process does.
func (l *Lock) die() { l.f.Close() }

// TestFault31And34EachStepOfACommit fails each step of a snapshot in turn,
// once (the process goes on, and cleans up) and for good (as if it had died).
// Whatever happens, the snapshot is either wholly there or not at all.
func TestFault31And34EachStepOfACommit(t *testing.T) {
	for name, at := range map[string]func(k int) func(int) error{
		"EIO":    func(k int) func(int) error { return failAt(k, errIO) },
		"ENOSPC": func(k int) func(int) error { return failAt(k, unix.ENOSPC) },
		"crash":  crashAt,
	} {
		t.Run(name, func(t *testing.T) {
			s := sufferer{r: newRepo(t)}
			for k := range len(s.suffer(t, 0, nil)) {
				s.suffer(t, k+1, at(k+1))
			}
			s.suffer(t, 0, nil)
		})
	}
}

// sufferer is a repository that meets one fault after the other.
type sufferer struct {
	r     *Repo
	taken int
	there []snapshot.ID // newest first
}

// suffer takes a snapshot on a disk that fails at step k, checks what is there
// after it, and returns the steps that were taken.
func (s *sufferer) suffer(t *testing.T, k int, fail func(int) error) []string {
	t.Helper()
	lock, err := s.r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	d := &faultyDisk{disk: osDisk{}, fail: fail}
	s.r.disk = d
	s.taken++
	id := newID(t, day(s.taken), uint64(s.taken))
	_, err = take(t, s.r, lock, draftOptions{source: "sessions", id: id, content: payload(10_000, 8)})
	lock.die()
	s.r.disk = osDisk{}

	failed := "no step"
	if k > 0 {
		failed = d.steps[k-1]
		mustNotSyncAgain(t, d.steps, k)
	}
	var weak *NotDurableError
	switch {
	case errors.As(err, &weak):
		if !strings.HasPrefix(failed, "syncdir ") {
			t.Errorf("%s failed: %v", failed, err)
		}
		s.there = slices.Insert(s.there, 0, id)
	case (err == nil) != (k == 0):
		t.Errorf("%s failed: %v", failed, err)
	case err == nil:
		s.there = slices.Insert(s.there, 0, id)
	}
	mustBeWhole(t, s.r, s.there...)
	if err := s.r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	if left, err := s.r.leftover("sessions"); err != nil || len(left) > 0 {
		t.Errorf("%s failed: the sweep left %v, %v", failed, left, err)
	}
	return d.steps
}

// mustNotSyncAgain: after a failed fsync the pages count as clean, and a second
// one says that all is well.
func mustNotSyncAgain(t *testing.T, steps []string, k int) {
	failed := steps[k-1]
	if strings.HasPrefix(failed, "sync") && slices.Contains(steps[k:], failed) {
		t.Errorf("%s was tried again after it had failed", failed)
	}
}

func TestCommitOrderOfSteps(t *testing.T) {
	s := sufferer{r: newRepo(t)}
	short := inShort(s.suffer(t, 0, nil))
	want := []string{
		"mkdir draft",
		"create dump.rdb.gz", "write dump.rdb.gz", "sync dump.rdb.gz", "close dump.rdb.gz",
		"open dump.rdb.gz", "read dump.rdb.gz",
		"create manifest.json", "write manifest.json", "sync manifest.json", "close manifest.json",
		"open manifest.json", "read manifest.json",
		"create SHA256SUMS", "write SHA256SUMS", "sync SHA256SUMS", "close SHA256SUMS",
		"open SHA256SUMS", "read SHA256SUMS",
		"syncdir draft",
		"rename " + string(s.there[0]),
		"syncdir sessions", "syncdir repo",
	}
	if !equal(short, want) {
		t.Errorf("the steps of a commit are\n%s\nwant\n%s", strings.Join(short, "\n"), strings.Join(want, "\n"))
	}
}

// inShort takes repetitions and the ids of drafts out of a list of steps.
func inShort(steps []string) (short []string) {
	for _, step := range steps {
		op, name, _ := strings.Cut(step, " ")
		if strings.HasPrefix(name, draftPrefix) {
			name = "draft"
		}
		if s := op + " " + name; len(short) == 0 || short[len(short)-1] != s {
			short = append(short, s)
		}
	}
	return short
}

// A bit that flips between the compressor and the disk is found while the
// source can still be asked again.
func TestFault43FlipOnTheWayToTheDisk(t *testing.T) {
	for _, name := range []string{"dump.rdb.gz", snapshot.ManifestName, snapshot.SumsName} {
		r := newRepo(t)
		before := commit(t, r, "sessions", day(7), 7, nil).Manifest.ID
		lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(43, 0))
		r.disk = &faultyDisk{disk: osDisk{}, flip: func(file string, b []byte) {
			if file == name && len(b) > 0 {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
		}}
		_, err = take(t, r, lock, draftOptions{source: "sessions", id: newID(t, day(8), 8), content: payload(10_000, 8)})
		if err == nil || !strings.Contains(err.Error(), "read back: ") || !strings.Contains(err.Error(), name) {
			t.Errorf("a flip in %s: %v", name, err)
		}
		r.disk = osDisk{}
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
		mustBeWhole(t, r, before)
	}
}

// A directory that cannot be read to its end is an error, never a short list.
func TestFault41ListingThatFails(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(7), 7, nil)
	commit(t, r, "carts", day(8), 8, nil)
	for what, do := range map[string]func() error{
		"sources":  func() error { _, err := r.Sources(); return err },
		"list":     func() error { _, err := r.List(""); return err },
		"list one": func() error { _, err := r.List("sessions"); return err },
		"get":      func() error { _, err := r.Get(string(e.Manifest.ID)); return err },
		"check":    func() error { _, err := r.Check(t.Context(), CheckOptions{}); return err },
		"sweep":    func() error { return r.Sweep(t.Context(), "sessions") },
	} {
		d := &faultyDisk{disk: osDisk{}}
		r.disk = d
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if len(d.steps) == 0 {
			t.Errorf("%s reads no directory", what)
		}
		for k := range d.steps {
			r.disk = &faultyDisk{disk: osDisk{}, fail: failAt(k+1, errIO)}
			if err := do(); !errors.Is(err, errIO) {
				t.Errorf("%s, whose step %s failed: %v", what, d.steps[k], err)
			}
		}
	}
}

// An fsync that fails after the rename is no success, and what was renamed
// stays.
func TestFault32NameThatMayNotLast(t *testing.T) {
	r := newRepo(t)
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	d := &faultyDisk{disk: osDisk{}}
	d.fail = func(step int) error {
		if strings.HasPrefix(d.steps[step-1], "syncdir sessions") {
			return errIO
		}
		return nil
	}
	r.disk = d
	id := newID(t, day(8), 8)
	e, err := take(t, r, lock, draftOptions{source: "sessions", id: id, content: payload(1000, 8)})
	var weak *NotDurableError
	if !errors.As(err, &weak) || weak.ID != id || !errors.Is(err, errIO) || e.Manifest == nil {
		t.Errorf("commit: %v, entry %+v", err, e)
	}
	if err == nil || !strings.Contains(err.Error(), "may not survive a loss of power") {
		t.Errorf("commit: %v", err)
	}
	r.disk = osDisk{}
	mustBeWhole(t, r, id)
}

// A rewrite that fails leaves the old content or the new one.
func TestFault34EachStepOfMarksAndProof(t *testing.T) {
	steps := 0
	for k := 0; k == 0 || k <= steps; k++ {
		r := newRepo(t)
		e := commit(t, r, "sessions", day(8), 1, nil)
		pin := func(m *snapshot.Marks) error { m.Pinned = true; return nil }
		if _, err := r.UpdateMarks(t.Context(), e, pin); err != nil {
			t.Fatal(err)
		}
		f := &faultyDisk{disk: osDisk{}, fail: failAt(k, errIO)}
		r.disk = f
		_, err := r.UpdateMarks(t.Context(), e, func(m *snapshot.Marks) error { m.Tags = []string{"new"}; return nil })
		r.disk = osDisk{}
		if k == 0 {
			steps = len(f.steps)
		}
		if (err == nil) != (k == 0) || (k > 0 && !errors.Is(err, errIO)) {
			t.Errorf("step %d: %v", k, err)
		}
		got, err := r.Get(string(e.Manifest.ID))
		if err != nil || !got.Marks.Pinned || len(got.Problems) > 0 {
			t.Errorf("step %d: marks %+v, %v", k, got.Marks, err)
		}
		if left, err := r.leftover("sessions"); err != nil || len(left) > 0 {
			t.Errorf("step %d left %v", k, left)
		}
		mustBeWhole(t, r, e.Manifest.ID)
	}
}

func TestRewriteOrderOfSteps(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	d := &faultyDisk{disk: osDisk{}}
	r.disk = d
	if err := r.WriteProof(t.Context(), e, proof(e, snapshot.Passed)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"remove .draft-marks", "create .draft-marks", "write .draft-marks", "write .draft-marks", "sync .draft-marks",
		"close .draft-marks", "replace proof.json", "syncdir " + string(e.Manifest.ID),
	}
	if !equal(d.steps, want) {
		t.Errorf("the steps are %q, want %q", d.steps, want)
	}
}

// A reader that fails tells it; it is not taken for a file that ended.
func TestFault35ReadErrorWhileReadingBack(t *testing.T) {
	r := newRepo(t)
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	d := &faultyDisk{disk: osDisk{}}
	d.fail = func(step int) error {
		if strings.HasPrefix(d.steps[step-1], "read dump") {
			return errIO
		}
		return nil
	}
	r.disk = d
	_, err = take(t, r, lock, draftOptions{source: "sessions", id: newID(t, day(8), 8), content: payload(1000, 8)})
	if !errors.Is(err, errIO) || errors.Is(err, io.EOF) {
		t.Errorf("commit: %v", err)
	}
	if left, err := r.leftover("sessions"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

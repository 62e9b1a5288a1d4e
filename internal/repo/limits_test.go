package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
)

// crowd commits so many small snapshots under one lock.
func crowd(t *testing.T, r *Repo, n int) {
	t.Helper()
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	for i := range n {
		id := newID(t, day(1+i), uint64(i))
		if _, err := take(t, r, lock, draftOptions{source: "sessions", id: id, content: []byte("REDIS0010")}); err != nil {
			t.Fatal(err)
		}
	}
}

// frugal commits, lists, checks and prunes with what little the process has,
// and tells how many snapshots it saw.
func (e *errand) frugal(ctx context.Context) error {
	e.r.disk = quickDisk{}
	writer, err := e.r.LockWriter(ctx, "sessions", 0, e.run.ID())
	if err != nil {
		return err
	}
	o := draftOptions{source: "sessions", id: e.ID, content: payload(e.Size, 8)}
	if _, err := takeUntil(ctx, e.r, writer, o); err != nil {
		return err
	}
	// The writer's lock is held until the end, as a snapshot that prunes does.
	keep, err := e.r.LockKeep(ctx, "sessions", 0)
	if err != nil {
		return err
	}
	report, err := e.r.Check(ctx, CheckOptions{ReadData: true})
	if err := errors.Join(err, keep.Release()); err != nil || len(report.Problems) > 0 {
		return fmt.Errorf("check: %v, %w", report.Problems, err)
	}
	remove, err := e.r.LockRemove(ctx, "sessions", 0, e.run.ID())
	if err != nil {
		return err
	}
	listing, err := e.r.Survey(ctx, "sessions", e.ID)
	if err != nil || len(listing.Problems) > 0 {
		return fmt.Errorf("list: %v, %w", listing.Problems, err)
	}
	removed, _, err := e.r.Prune(ctx, remove, listing.Snapshots[1000:])
	fmt.Println(len(listing.Snapshots), report.Checked, len(removed))
	return errors.Join(err, remove.Release(), writer.Release())
}

// TestFault42FewOpenFiles: with `ulimit -n 32`, and 2,000 snapshots.
func TestFault42FewOpenFiles(t *testing.T) {
	r := newRepo(t)
	crowd(t, r, 2000)
	p := child(t, task{Do: "frugal", Dir: r.Dir(), ID: newID(t, day(3000), 1), Size: 100_000, OpenFiles: 32})
	said := ""
	if p.out.Scan() {
		said = p.out.Text()
	}
	if err := p.Wait(); err != nil || said != "2001 2001 1001" {
		t.Errorf("it said %q, and ended with %v: %s", said, err, p.err)
	}
	if l := listAll(t, r); len(l.Snapshots) != 1000 || len(l.Problems) > 0 {
		t.Errorf("%d snapshots are left, %v", len(l.Snapshots), l.Problems)
	}
	mustBeTidy(t, r)
}

// TestFault42SlowDisk: however long a step takes, the lock is held from before
// the first to after the last, and nobody else gets it meanwhile.
func TestFault42SlowDisk(t *testing.T) {
	r := newRepo(t)
	all := history(t, r, 3)
	other := opened(t, r.Dir())
	slow := func(try func() (*Lock, error)) *faultyDisk {
		d := &faultyDisk{disk: quickDisk{}}
		d.fail = func(step int) error {
			if l, err := try(); !errors.Is(err, ErrLocked) {
				t.Errorf("during %q another got the lock: %v", d.steps[step-1], err)
				l.Release()
			}
			return nil
		}
		return d
	}
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	d := slow(func() (*Lock, error) { return other.LockWriter(t.Context(), "sessions", 0, "") })
	r.disk = d
	if _, err := take(t, r, lock, draftOptions{source: "sessions", id: newID(t, day(8), 8), content: payload(10_000, 8)}); err != nil {
		t.Error(err)
	}
	if err := errors.Join(lock.Held(), lock.Release()); err != nil || len(d.steps) < 20 {
		t.Errorf("after %d steps: %v", len(d.steps), err)
	}
	r.disk = quickDisk{}
	remove := remover(t, r)
	d = slow(func() (*Lock, error) { return other.LockKeep(t.Context(), "sessions", 0) })
	r.disk = d
	if _, _, err := r.Prune(t.Context(), remove, all[1:]); err != nil {
		t.Error(err)
	}
	if err := errors.Join(remove.Held(), remove.Release()); err != nil || len(d.steps) < 10 {
		t.Errorf("after %d steps: %v", len(d.steps), err)
	}
}

// large commits a payload that is never whole in memory, checks it and imports
// it elsewhere, and tells how large the heap ever was.
func (e *errand) large(ctx context.Context) error {
	lock, err := e.r.LockWriter(ctx, "sessions", 0, e.run.ID())
	if err != nil {
		return err
	}
	o := draftOptions{source: "sessions", id: e.ID, stream: io.LimitReader(randomBytes(42), int64(e.Size))}
	made, err := takeUntil(ctx, e.r, lock, o)
	if err := errors.Join(err, lock.Release()); err != nil {
		return err
	}
	problems, err := made.Check(ctx, CheckOptions{ReadData: true})
	if err != nil || len(problems) > 0 {
		return fmt.Errorf("check: %v, %w", problems, err)
	}
	to, err := Open(e.From)
	if err != nil {
		return err
	}
	if lock, err = to.LockWriter(ctx, "sessions", 0, ""); err != nil {
		return err
	}
	_, err = to.Import(ctx, made, lock, nil)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Println(m.HeapSys) // it never shrinks
	return errors.Join(err, lock.Release())
}

// TestFault42SmallMemory: what passes through is never held.
func TestFault42SmallMemory(t *testing.T) {
	const size, bound = 64 << 20, 32 << 20
	r, to := newRepo(t), newRepo(t)
	id := newID(t, day(8), 8)
	p := child(t, task{Do: "large", Dir: r.Dir(), From: to.Dir(), ID: id, Size: size, Memory: 16 << 20})
	var peak int64
	if p.out.Scan() {
		if _, err := fmt.Sscan(p.out.Text(), &peak); err != nil {
			t.Error(err)
		}
	}
	if err := p.Wait(); err != nil || peak == 0 || peak > bound {
		t.Errorf("a heap of %d bytes for a payload of %d, %v: %s", peak, size, err, p.err)
	}
	t.Logf("a heap of %d KiB for a payload of %d KiB", peak>>10, size>>10)
	mustBeWhole(t, to, id)
}

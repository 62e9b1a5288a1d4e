package repo

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redisbak/redisbak/snapshot"
)

func TestMarksAreReadChangedAndWritten(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	for i, change := range []func(m *snapshot.Marks) error{
		func(m *snapshot.Marks) error { m.Pinned = true; return nil },
		func(m *snapshot.Marks) error { m.Tags = append(m.Tags, "nightly"); return nil },
		func(m *snapshot.Marks) error { m.ID = "another"; return nil },
	} {
		got, err := r.UpdateMarks(t.Context(), e, change)
		if err != nil {
			t.Fatal(err)
		}
		now, err := r.Get(string(e.Manifest.ID))
		if err != nil || !reflect.DeepEqual(now.Marks, got) || !got.Pinned || got.ID != e.Manifest.ID {
			t.Errorf("change %d: wrote %+v, read %+v, %v", i, got, now.Marks, err)
		}
	}
	no := errors.New("no")
	if _, err := r.UpdateMarks(t.Context(), e, func(m *snapshot.Marks) error { m.Pinned = false; return no }); !errors.Is(err, no) {
		t.Errorf("a change that is refused: %v", err)
	}
	if _, err := r.UpdateMarks(t.Context(), e, func(m *snapshot.Marks) error { m.Tags = []string{"a b"}; return nil }); err == nil {
		t.Error("a tag that is none was written")
	}
	if now, err := r.Get(string(e.Manifest.ID)); err != nil || !now.Marks.Pinned || !equal(now.Marks.Tags, []string{"nightly"}) {
		t.Errorf("after the refusals: %+v %v", now.Marks, err)
	}
	mustBeWhole(t, r, e.Manifest.ID)
}

// Every change counts, whoever makes it at the same time.
func TestFault38MarksChangedByManyAtOnce(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	var all sync.WaitGroup
	var want []string
	for i := range 8 {
		tag := fmt.Sprintf("tag%d", i)
		want = append(want, tag)
		all.Go(func() {
			if _, err := r.UpdateMarks(t.Context(), e, func(m *snapshot.Marks) error { m.Tags = append(m.Tags, tag); return nil }); err != nil {
				t.Error(err)
			}
			if err := r.WriteProof(t.Context(), e, proof(e, snapshot.Passed)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	now, err := r.Get(string(e.Manifest.ID))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(now.Marks.Tags)
	if !equal(now.Marks.Tags, want) || now.Verified() != Passed {
		t.Errorf("marks %v, verified %s", now.Marks, now.Verified())
	}
	mustBeWhole(t, r, e.Manifest.ID)
}

func TestProofThatIsInvalidIsNotWritten(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	p := proof(e, snapshot.Passed)
	p.Result = "perhaps"
	err := r.WriteProof(t.Context(), e, p)
	if err == nil || !strings.Contains(err.Error(), "result") {
		t.Errorf("an invalid proof: %v", err)
	}
	mustBeWhole(t, r, e.Manifest.ID)
}

package repo

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func record(run string, e Entry) RestoreRecord {
	return RestoreRecord{
		Run: run, Source: e.Manifest.Source.Name, ID: e.Manifest.ID, Volume: "sessions-recovery",
		Paths: []string{"appendonlydir", "dump.rdb"}, Bootable: "dump.rdb", Created: true, StartedAt: day(9),
	}
}

func TestRestoreIsRecordedBeforeAndAfter(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	if got, err := r.Restores("sessions"); err != nil || len(got) != 0 {
		t.Fatalf("restores before any: %v %v", got, err)
	}
	run, err := r.StartRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer run.End()
	want := record(run.ID(), e)
	restore, err := r.StartRestore(want)
	if err != nil {
		t.Fatal(err)
	}
	want.State = RestoreStarted
	if got, err := r.Restores("sessions"); err != nil || !reflect.DeepEqual(got, []RestoreRecord{want}) {
		t.Errorf("started: %+v %v, want %+v", got, err, want)
	}
	later := record(strings.Repeat("f", 16), e)
	later.StartedAt = day(10)
	if _, err := r.StartRestore(later); err != nil {
		t.Fatal(err)
	}
	if err := restore.Finish(day(11)); err != nil {
		t.Fatal(err)
	}
	want.State, want.DoneAt = RestoreDone, day(11)
	got, err := r.Restores("sessions")
	if err != nil || len(got) != 2 || !reflect.DeepEqual(got[1], want) || got[0].Run != later.Run {
		t.Errorf("done: %+v %v, want %+v last", got, err, want)
	}
	mustBeWhole(t, r, e.Manifest.ID)
	for _, bad := range []string{"", "..", "../../x", strings.Repeat("F", 16)} {
		if _, err := r.StartRestore(record(bad, e)); err == nil {
			t.Errorf("a restore of run %q was recorded", bad)
		}
	}
}

// A torn record must not count as one: on its word, a volume would be emptied.
func TestRestoreRecordThatIsTornIsNone(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	rec := record(strings.Repeat("a", 16), e)
	if _, err := r.StartRestore(rec); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.Dir(), "sessions", restoresName, rec.Run+".json")
	whole := read(t, path)
	for name, text := range map[string][]byte{
		"empty":         nil,
		"cut":           whole[:len(whole)/2],
		"other run":     bytes.Replace(whole, []byte(rec.Run), []byte(strings.Repeat("b", 16)), 1),
		"other source":  bytes.Replace(whole, []byte(`"sessions"`), []byte(`"other"`), 1),
		"other state":   bytes.Replace(whole, []byte(`"started"`), []byte(`"stalled"`), 1),
		"unknown field": bytes.Replace(whole, []byte(`{`), []byte("{\n  \"x\": 1,"), 1),
		"more after it": append(bytes.Clone(whole), '\n'),
	} {
		write(t, path, text)
		if got, err := r.Restores("sessions"); err != nil || len(got) != 0 {
			t.Errorf("%s: %v %v", name, got, err)
		}
		report, err := r.Check(t.Context(), CheckOptions{})
		if err != nil || len(report.Notes) != 1 || report.Notes[0].File != "sessions/restores/"+rec.Run+".json" {
			t.Errorf("%s: check notes %v %v", name, report.Notes, err)
		}
	}
	write(t, path, whole)
	if got, err := r.Restores("sessions"); err != nil || len(got) != 1 {
		t.Errorf("whole again: %v %v", got, err)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Restores("sessions"); err != nil || got != nil {
		t.Errorf("no records: %v %v", got, err)
	}
}

func TestRestoreRecordFailsAtEachStep(t *testing.T) {
	steps := 0
	for k := 0; k == 0 || k <= steps; k++ {
		r := newRepo(t)
		e := commit(t, r, "sessions", day(8), 1, nil)
		run, err := r.StartRun(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f := &faultyDisk{disk: osDisk{}, fail: failAt(k, errIO)}
		r.disk = f
		restore, err := r.StartRestore(record(run.ID(), e))
		if err == nil {
			err = restore.Finish(day(9))
		}
		if k == 0 {
			steps = len(f.steps)
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !errors.Is(err, errIO) {
			t.Errorf("step %d, %s: %v", k, f.steps[k-1], err)
		}
		r.disk = osDisk{}
		got, err := r.Restores("sessions")
		if err != nil || len(got) > 1 {
			t.Errorf("step %d, %s: %v %v", k, f.steps[k-1], got, err)
		}
		if err := errors.Join(run.End(), r.Sweep(t.Context(), "sessions")); err != nil {
			t.Fatal(err)
		}
		if left, err := r.leftover("sessions"); err != nil || len(left) > 0 {
			t.Errorf("step %d, %s left %v", k, f.steps[k-1], left)
		}
		mustBeWhole(t, r, e.Manifest.ID)
	}
}

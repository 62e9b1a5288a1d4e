package repo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDiaryIsReadAsItWasWritten(t *testing.T) {
	r := newRepo(t)
	release, err := r.LockDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.ReadDiary("sessions"); ok {
		t.Error("a diary that nobody wrote")
	}
	want := Diary{Source: "sessions", FirstSeen: day(1), LastDue: day(2), Began: day(3), Ended: day(4), Result: "failed", Note: "no space", Runs: 7, Told: "no space", ToldAt: day(4), ToldOverdue: true, Took: time.Hour}
	for _, d := range []Diary{{Source: "sessions", FirstSeen: day(1)}, want} {
		if err := r.WriteDiary(d); err != nil {
			t.Fatal(err)
		}
		if got, ok := r.ReadDiary("sessions"); !ok || got != d {
			t.Errorf("read %+v %v, want %+v", got, ok, d)
		}
	}
	odd := Diary{Source: "sessions", FirstSeen: day(1), Note: "torn \xff\xfe" + strings.Repeat("é", noteLimit)}
	if err := r.WriteDiary(odd); err != nil {
		t.Fatal(err)
	}
	if got, ok := r.ReadDiary("sessions"); !ok || !strings.HasPrefix(got.Note, "torn ?é") || len(got.Note) > noteLimit || !utf8.ValidString(got.Note) {
		t.Errorf("an error that holds anything: %v %d bytes", ok, len(got.Note))
	}
	// It is no source and no leftover.
	if sources, err := r.Sources(); err != nil || len(sources) > 0 {
		t.Errorf("sources: %v %v", sources, err)
	}
	if report, err := r.Check(t.Context(), CheckOptions{}); err != nil || len(report.Problems)+len(report.Notes) > 0 {
		t.Errorf("check: %+v %v", report, err)
	}
	path := filepath.Join(r.DaemonDir(), "sessions.json")
	for name, text := range map[string]string{"torn": "{", "of another": `{"source":"carts"}`, "empty": ""} {
		write(t, path, []byte(text))
		if d, ok := r.ReadDiary("sessions"); ok {
			t.Errorf("%s: %+v", name, d)
		}
	}
	for _, wrong := range []string{"../x", "", ".x"} {
		if err := r.WriteDiary(Diary{Source: wrong}); err == nil {
			t.Errorf("a diary of %q was written", wrong)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != fileMode {
		t.Errorf("%v %v", info, err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

// One daemon a repository: two would do everything twice.
func TestLockDaemonIsForOne(t *testing.T) {
	r := newRepo(t)
	release, err := r.LockDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.LockDaemon(); !errors.Is(err, ErrLocked) {
		t.Errorf("a second daemon: %v", err)
	}
	// It is nobody else's lock.
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	lock.Release()
	if err := release(); err != nil {
		t.Fatal(err)
	}
	again, err := r.LockDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
}

// A diary that fails to be written leaves the old one.
func TestDiaryKeepsTheOldOneWhereTheNewCannotBeWritten(t *testing.T) {
	r := newRepo(t)
	release, err := r.LockDaemon()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	old := Diary{Source: "sessions", FirstSeen: day(1), Runs: 1}
	if err := r.WriteDiary(old); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for k := 0; k <= steps; k++ {
		d := &faultyDisk{disk: osDisk{}, fail: failAt(k, errIO)}
		r.disk = d
		next := Diary{Source: "sessions", FirstSeen: day(1), Runs: 2, Ended: time.Now().UTC().Truncate(time.Second)}
		err := r.WriteDiary(next)
		r.disk = quickDisk{}
		if k == 0 {
			steps = len(d.steps)
			continue
		}
		if got, ok := r.ReadDiary("sessions"); err == nil || !ok || got.Runs < 1 {
			t.Errorf("step %d failed: %v; read %+v %v", k, err, got, ok)
		}
	}
}

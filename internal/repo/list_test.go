package repo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

func TestListIsNewestFirstAcrossSources(t *testing.T) {
	r := newRepo(t)
	a := commit(t, r, "sessions", day(8), 1, nil)
	b := commit(t, r, "carts", day(9), 2, nil)
	c := commit(t, r, "sessions", day(10), 3, nil)
	// Taken last of a server that had stopped long before.
	cold := commit(t, r, "sessions", day(11), 4, func(m *snapshot.Manifest) { m.PointInTime = day(1) })
	mustList := func(source string, want ...Entry) {
		t.Helper()
		l, err := r.List(source)
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(l.Snapshots); !equal(got, ids(want)) || len(l.Problems) > 0 {
			t.Errorf("list %q: %v %v, want %v", source, got, l.Problems, ids(want))
		}
	}
	mustList("", c, b, a, cold)
	mustList("sessions", c, a, cold)
	mustList("carts", b)
	if got, err := r.Sources(); err != nil || !equal(got, []string{"carts", "sessions"}) {
		t.Errorf("sources %v, %v", got, err)
	}
	var none *NotFoundError
	if _, err := r.List("nobody"); !errors.As(err, &none) || none.Source != "nobody" || !errors.Is(err, ErrNotFound) {
		t.Errorf("list of an unknown source: %v", err)
	}
	if _, err := r.List("../x"); err == nil {
		t.Error("a source outside of the repository was listed")
	}
	if got := listAll(t, r).Snapshots[0]; !reflect.DeepEqual(got, c) {
		t.Errorf("listed %+v, committed %+v", got, c)
	}
}

func TestListPassesOverWhatIsNoSnapshot(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	source := filepath.Join(r.Dir(), "sessions")
	mkdir(t, filepath.Join(source, draftPrefix+string(e.Manifest.ID)))
	mkdir(t, filepath.Join(source, prunedPrefix+string(e.Manifest.ID)))
	mkdir(t, filepath.Join(source, restoresName))
	mkdir(t, filepath.Join(source, "notes"))
	write(t, filepath.Join(source, "README"), nil)
	write(t, filepath.Join(r.Dir(), "README"), nil)
	mkdir(t, filepath.Join(r.Dir(), "lost+found"))
	mkdir(t, filepath.Join(r.Dir(), "other"))
	mustBeWhole(t, r, e.Manifest.ID)
	if got, err := r.Sources(); err != nil || !equal(got, []string{"sessions"}) {
		t.Errorf("sources %v, %v", got, err)
	}
}

func TestSourceMayBeALink(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(r.sourceDir("sessions"), elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, r.sourceDir("sessions")); err != nil {
		t.Fatal(err)
	}
	next := commit(t, r, "sessions", day(9), 2, nil)
	mustBeWhole(t, r, next.Manifest.ID, e.Manifest.ID)
}

// A source whose disk is not mounted is a problem, never "no snapshots"; it
// hides none of the others, and no one who wants to delete believes it.
func TestFault41ASourceWhoseDiskIsNotMounted(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	if err := os.Symlink("nowhere", r.sourceDir("carts")); err != nil {
		t.Fatal(err)
	}
	want := Problem{File: "carts", Problem: "it is a link to what cannot be reached: missing"}
	l, err := r.List("")
	if err != nil || len(l.Snapshots) != 1 || len(l.Problems) != 1 || l.Problems[0] != want {
		t.Errorf("list: %+v %v", l, err)
	}
	report, err := r.Check(t.Context(), CheckOptions{})
	if err != nil || report.Checked != 1 || len(report.Problems) != 1 || report.Problems[0] != want {
		t.Errorf("check: %+v %v", report, err)
	}
	if _, err := r.Get(string(e.Manifest.ID)); err != nil {
		t.Errorf("get of another source's: %v", err)
	}
	if names, err := r.Sources(); err != nil || !equal(names, []string{"carts", "sessions"}) {
		t.Errorf("sources: %v %v", names, err)
	}
	var unsteady *UnsteadyError
	if _, err := r.List("carts"); !errors.As(err, &unsteady) {
		t.Errorf("list of it: %v", err)
	}
	if _, err := r.Survey(t.Context(), "carts"); !errors.As(err, &unsteady) {
		t.Errorf("survey of it: %v", err)
	}
}

// One damaged snapshot is named; its neighbours are listed, checked and found.
func TestFault37HostileManifest(t *testing.T) {
	good := func(dir string) string { return string(read(t, filepath.Join(dir, snapshot.ManifestName))) }
	edit := func(old, new string) func(dir string) []byte {
		return func(dir string) []byte {
			text := good(dir)
			if !strings.Contains(text, old) {
				t.Fatalf("no %s in %s", old, text)
			}
			return []byte(strings.Replace(text, old, new, 1))
		}
	}
	for name, change := range map[string]func(dir string) []byte{
		"empty":          func(string) []byte { return []byte{} },
		"truncated":      func(dir string) []byte { return []byte(good(dir)[:100]) },
		"not JSON":       func(string) []byte { return []byte("REDIS0011") },
		"null":           func(string) []byte { return []byte("null\n") },
		"deep":           func(string) []byte { return bytes.Repeat([]byte(`{"a":`), 10_000) },
		"duplicate key":  edit(`"format": 1,`, `"format": 1, "format": 1,`),
		"wrong type":     edit(`"method": "rdb"`, `"method": 7`),
		"newer format":   edit(`"format": 1,`, `"format": 2,`),
		"needed feature": edit(`"format": 1,`, `"format": 1, "requires": ["encryption"],`),
		"name outside":   edit(`"name": "dump.rdb.gz"`, `"name": "../../../etc/passwd"`),
		"path outside":   edit(`"path": "dump.rdb"`, `"path": "../dump.rdb"`),
		"other source":   edit(`"name": "sessions"`, `"name": "carts"`),
		"other id":       edit(`"id": "20260208`, `"id": "20260209`),
		"more after it":  func(dir string) []byte { return []byte(good(dir) + "{}") },
		"missing":        func(dir string) []byte { return nil },
		"directory": func(dir string) []byte {
			os.Remove(filepath.Join(dir, snapshot.ManifestName))
			mkdir(t, filepath.Join(dir, snapshot.ManifestName))
			return nil
		},
		"link to another": func(dir string) []byte {
			os.Rename(filepath.Join(dir, snapshot.ManifestName), filepath.Join(dir, "m"))
			if err := os.Symlink("m", filepath.Join(dir, snapshot.ManifestName)); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		"FIFO": func(dir string) []byte {
			os.Remove(filepath.Join(dir, snapshot.ManifestName))
			if err := unix.Mkfifo(filepath.Join(dir, snapshot.ManifestName), 0o600); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		"100 MB": func(dir string) []byte {
			if err := os.Truncate(filepath.Join(dir, snapshot.ManifestName), 100<<20); err != nil {
				t.Fatal(err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			older := commit(t, r, "sessions", day(7), 7, nil)
			bad := commit(t, r, "sessions", day(8), 8, nil)
			newer := commit(t, r, "sessions", day(9), 9, nil)
			path := filepath.Join(bad.Dir, snapshot.ManifestName)
			if text := change(bad.Dir); text != nil {
				write(t, path, text)
			} else if name == "missing" {
				os.Remove(path)
			}
			l := listAll(t, r)
			if got := ids(l.Snapshots); !equal(got, ids([]Entry{newer, older})) {
				t.Errorf("listed %v", got)
			}
			id := string(bad.Manifest.ID)
			if len(l.Problems) != 1 || l.Problems[0].ID != id || l.Problems[0].File != snapshot.ManifestName || l.Problems[0].Problem == "" {
				t.Fatalf("problems %v", l.Problems)
			}
			if strings.Contains(l.Problems[0].Problem, r.Dir()) || strings.Contains(l.Problems[0].Problem, "\n") {
				t.Errorf("problem %q", l.Problems[0].Problem)
			}
			want := map[string]string{
				"100 MB": "read: 104857600 bytes, more than the 1048576 it may have", "missing": "missing",
				"FIFO": "not a regular file", "directory": "not a regular file", "link to another": "not a regular file",
			}[name]
			if want != "" && l.Problems[0].Problem != want {
				t.Errorf("problem %q, want %q", l.Problems[0].Problem, want)
			}
			var damaged *DamagedError
			if _, err := r.Get(id); !errors.As(err, &damaged) || damaged.Problem != l.Problems[0] {
				t.Errorf("get: %v", err)
			}
			var format *snapshot.NewerFormatError
			if _, err := r.Get(id); errors.As(err, &format) != (name == "newer format" || name == "needed feature") {
				t.Errorf("get: %v, is it of a newer format: %v", err, format)
			}
			if _, err := r.Get(string(newer.Manifest.ID)); err != nil {
				t.Errorf("get of a neighbour: %v", err)
			}
			report, err := r.Check(t.Context(), CheckOptions{ReadData: true})
			if err != nil || report.Checked != 3 || len(report.Problems) != 1 || report.Problems[0] != l.Problems[0] {
				t.Errorf("check: %+v %v", report, err)
			}
			if err := r.Sweep(t.Context(), "sessions"); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(bad.Dir); err != nil {
				t.Errorf("what may be the only copy is gone: %v", err)
			}
		})
	}
}

func TestListNamesWhatIsNotADirectory(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	file, link := newID(t, day(9), 2), newID(t, day(10), 3)
	write(t, filepath.Join(r.sourceDir("sessions"), string(file)), nil)
	if err := os.Symlink(e.Dir, filepath.Join(r.sourceDir("sessions"), string(link))); err != nil {
		t.Fatal(err)
	}
	l := listAll(t, r)
	want := []Problem{{ID: string(file), Problem: "not a directory"}, {ID: string(link), Problem: "not a directory"}}
	if !equal(l.Problems, want) || len(l.Snapshots) != 1 {
		t.Errorf("listed %v with problems %v", ids(l.Snapshots), l.Problems)
	}
}

// Marks that cannot be read may say that the snapshot must stay, and a proof
// that cannot be read proves nothing.
func TestMarksAndProofThatCannotBeRead(t *testing.T) {
	for name, change := range map[string]func(text []byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"flip":      func(b []byte) []byte { b[20] ^= 1; return b },
		"cut":       func(b []byte) []byte { return b[:len(b)-2] },
		"blank end": func(b []byte) []byte { return append(b, ' ') },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			e := commit(t, r, "sessions", day(8), 1, func(m *snapshot.Manifest) { m.State, m.Reason = snapshot.Suspect, "half the keys" })
			other := commit(t, r, "sessions", day(9), 2, nil)
			accept := func(m *snapshot.Marks) error { m.Pinned, m.Accepted, m.Tags = true, true, []string{"x"}; return nil }
			if _, err := r.UpdateMarks(t.Context(), e, accept); err != nil {
				t.Fatal(err)
			}
			if err := r.WriteProof(t.Context(), e, proof(e, snapshot.Passed)); err != nil {
				t.Fatal(err)
			}
			got, err := r.Get(string(e.Manifest.ID))
			if err != nil || !got.Good() || got.Verified() != Passed || got.MarksUnknown || got.ProofUnknown {
				t.Fatalf("before: %+v %v", got, err)
			}
			for _, file := range []string{snapshot.MarksName, snapshot.ProofName} {
				path := filepath.Join(e.Dir, file)
				write(t, path, change(read(t, path)))
			}
			l := listAll(t, r)
			if len(l.Problems) != 2 || l.Problems[0].File != snapshot.MarksName || l.Problems[1].File != snapshot.ProofName {
				t.Errorf("problems %v", l.Problems)
			}
			got = l.Snapshots[1]
			if !got.MarksUnknown || !got.ProofUnknown || got.Good() || got.Verified() != Never || got.Manifest.ID != e.Manifest.ID {
				t.Errorf("after: %+v", got)
			}
			if l.Snapshots[0].Manifest.ID != other.Manifest.ID || !l.Snapshots[0].Good() {
				t.Errorf("the neighbour is %+v", l.Snapshots[0])
			}
			if _, err := r.UpdateMarks(t.Context(), e, accept); err == nil {
				t.Error("marks that cannot be read were overwritten")
			}
			// A new verification replaces the old one, whatever it was.
			if err := r.WriteProof(t.Context(), e, proof(e, snapshot.Passed)); err != nil {
				t.Fatal(err)
			}
			if got, err := r.Get(string(e.Manifest.ID)); err != nil || got.Verified() != Passed {
				t.Errorf("verified again: %+v %v", got, err)
			}
		})
	}
}

func proof(e Entry, result snapshot.Result) *snapshot.Proof {
	p := &snapshot.Proof{
		ID: e.Manifest.ID, Result: result, At: day(20), Layout: snapshot.MethodRDB,
		ImageID: "sha256:" + strings.Repeat("1", 64), Server: "redis 7.0.15",
		Keyspace: []snapshot.Keys{{DB: 0, Keys: 100}}, Fill: time.Second, Load: time.Second, Total: 3 * time.Second,
		ManifestID: e.ManifestSHA256,
	}
	if result != snapshot.Passed {
		p.Reason = "the digest differs"
	}
	return p
}

func TestProofOfAnotherManifestIsNone(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	other := commit(t, r, "sessions", day(9), 2, nil)
	if err := r.WriteProof(t.Context(), e, proof(other, snapshot.Passed)); err == nil {
		t.Error("a proof of another snapshot was written")
	}
	if err := r.WriteProof(t.Context(), other, proof(other, snapshot.Passed)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(e.Dir, snapshot.ProofName), read(t, filepath.Join(other.Dir, snapshot.ProofName)))
	got, err := r.Get(string(e.Manifest.ID))
	if err != nil || got.Verified() != Never || len(got.Problems) != 1 {
		t.Errorf("a proof of another snapshot counts: %+v %v", got, err)
	}
	for name, change := range map[string]func(p *snapshot.Proof){
		"this snapshot as it was": func(p *snapshot.Proof) { p.ManifestID = other.ManifestSHA256 },
		"another of its name":     func(p *snapshot.Proof) { p.ID = other.Manifest.ID },
	} {
		p := proof(e, snapshot.Passed)
		change(p)
		text, err := snapshot.EncodeProof(p)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(e.Dir, snapshot.ProofName), text)
		got, err = r.Get(string(e.Manifest.ID))
		if err != nil || got.Verified() != Never || len(got.Problems) != 1 {
			t.Errorf("a proof of %s counts: %+v %v", name, got, err)
		}
	}
}

func TestGetByPrefix(t *testing.T) {
	r := newRepo(t)
	a := commit(t, r, "sessions", day(8), 1, nil)
	b := commit(t, r, "carts", day(8).Add(time.Hour), 2, nil)
	c := commit(t, r, "carts", day(9), 3, nil)
	for prefix, want := range map[string]Entry{
		string(a.Manifest.ID): a, "20260208T03": a, "20260208T04": b, "20260209": c,
	} {
		if got, err := r.Get(prefix); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("get %s: %v %v", prefix, got.Dir, err)
		}
	}
	var many *AmbiguousError
	if _, err := r.Get("20260208"); !errors.As(err, &many) || !equal(many.IDs, ids([]Entry{a, b})) {
		t.Errorf("ambiguous: %v", err)
	}
	for _, prefix := range []string{"", "2025", string(a.Manifest.ID) + "x", "../sessions", "restores"} {
		var none *NotFoundError
		if _, err := r.Get(prefix); !errors.As(err, &none) || none.ID != prefix {
			t.Errorf("get %q: %v", prefix, err)
		}
	}
}

func TestEntrySaysWhetherItIsGood(t *testing.T) {
	suspect := func(e *Entry) { e.Manifest.State, e.Manifest.Reason = snapshot.Suspect, "half the keys" }
	result := func(r snapshot.Result) func(*Entry) {
		return func(e *Entry) { e.Proof = &snapshot.Proof{Result: r, Reason: "the digest differs"} }
	}
	accepted := func(e *Entry) { e.Marks.Accepted = true }
	for _, c := range []struct {
		name     string
		changes  []func(*Entry)
		good     bool
		verified string
		why      string
	}{
		{"good", nil, true, Never, ""},
		{"verified", []func(*Entry){result(snapshot.Passed)}, true, Passed, ""},
		{"no verdict", []func(*Entry){result(snapshot.Inconclusive)}, true, Never, ""},
		{"failed", []func(*Entry){result(snapshot.Failed)}, false, Failed, "verification failed: the digest differs"},
		{"suspect", []func(*Entry){suspect}, false, Never, "suspect: half the keys"},
		{"suspect and verified", []func(*Entry){suspect, result(snapshot.Passed)}, false, Passed, "suspect: half the keys"},
		{"accepted", []func(*Entry){suspect, accepted}, true, Never, ""},
		{"accepted and failed", []func(*Entry){suspect, accepted, result(snapshot.Failed)}, false, Failed, "verification failed: the digest differs"},
	} {
		e := Entry{Manifest: describe(newID(t, day(8), 1), "sessions")}
		for _, change := range c.changes {
			change(&e)
		}
		if e.Good() != c.good || e.Verified() != c.verified || e.WhyNotGood() != c.why {
			t.Errorf("%s: good %v, verified %s, why %q", c.name, e.Good(), e.Verified(), e.WhyNotGood())
		}
	}
	e := Entry{Manifest: describe(newID(t, day(8), 1), "sessions", snapshot.File{Size: 100, StoredSize: 10}, snapshot.File{Size: 1, StoredSize: 2})}
	e.Manifest.Keyspace = append(e.Manifest.Keyspace, snapshot.Keys{DB: 3, Keys: 5})
	if e.Bytes() != 101 || e.StoredBytes() != 12 || *e.Keys() != 105 {
		t.Errorf("%d bytes, %d stored, %d keys", e.Bytes(), e.StoredBytes(), *e.Keys())
	}
	e.Manifest.Keyspace = []snapshot.Keys{}
	if e.Keys() == nil || *e.Keys() != 0 {
		t.Error("an empty server has an unknown number of keys")
	}
	e.Manifest.Keyspace = nil
	if e.Keys() != nil {
		t.Error("keys that were not counted have a number")
	}
}

// The name of a payload file comes from a manifest. Whatever lies under it, it
// does not lead out of the snapshot.
func TestFault66PayloadNameLeadsNowhereElse(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, []byte("secret"))
	f := e.Manifest.Files[0]
	path := filepath.Join(e.Dir, f.Name)
	for name, lay := range map[string]func() error{
		"link outside":   func() error { return os.Symlink(secret, path) },
		"FIFO":           func() error { return unix.Mkfifo(path, 0o600) },
		"directory":      func() error { return os.Mkdir(path, 0o700) },
		"link in a ring": func() error { return os.Symlink(f.Name, path) },
	} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := lay(); err != nil {
			t.Fatal(err)
		}
		if in, err := e.OpenStored(f); err == nil {
			in.Close()
			t.Errorf("%s: it opens", name)
		}
		if problems, err := e.Check(t.Context(), CheckOptions{ReadData: true}); err != nil || len(problems) == 0 {
			t.Errorf("%s: check finds %v %v", name, problems, err)
		}
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := e.Open(t.Context(), f); !errors.As(err, &damaged) || damaged.Problem != (Problem{ID: string(e.Manifest.ID), File: f.Name, Problem: "missing"}) {
		t.Errorf("a payload that is missing: %v", err)
	}
	for _, name := range []string{"../" + string(e.Manifest.ID) + "/" + snapshot.SumsName, secret} {
		if in, err := e.OpenStored(snapshot.File{Name: name}); err == nil {
			in.Close()
			t.Errorf("%s opens", name)
		}
	}
}

func BenchmarkList1000(b *testing.B) {
	r := newRepo(b)
	seed := commit(b, r, "sessions", day(1), 1, nil)
	if _, err := r.UpdateMarks(b.Context(), seed, func(m *snapshot.Marks) error { m.Tags = []string{"nightly"}; return nil }); err != nil {
		b.Fatal(err)
	}
	for i := range 999 {
		id := newID(b, day(2).Add(time.Duration(i)*time.Hour), uint64(i))
		dir := mkdir(b, filepath.Join(r.sourceDir("sessions"), string(id)))
		m := describe(id, "sessions", seed.Manifest.Files...)
		text, err := snapshot.EncodeManifest(m)
		if err != nil {
			b.Fatal(err)
		}
		write(b, filepath.Join(dir, snapshot.ManifestName), text)
		e := r.load(place{source: "sessions", id: string(id), isDir: true}).entry
		p, err := snapshot.EncodeProof(proof(e, snapshot.Passed))
		if err != nil {
			b.Fatal(err)
		}
		write(b, filepath.Join(dir, snapshot.ProofName), p)
		marks, err := snapshot.EncodeMarks(&snapshot.Marks{ID: id})
		if err != nil {
			b.Fatal(err)
		}
		write(b, filepath.Join(dir, snapshot.MarksName), marks)
	}
	for b.Loop() {
		l := listAll(b, r)
		if len(l.Snapshots) != 1000 || len(l.Problems) > 0 {
			b.Fatal(len(l.Snapshots), fmt.Sprint(l.Problems[:min(3, len(l.Problems))]))
		}
	}
}

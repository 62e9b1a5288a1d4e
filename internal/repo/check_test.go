package repo

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/snapshot"
)

// tenSnapshots is a repository of ten, each with a proof and marks.
func tenSnapshots(t *testing.T) (*Repo, []Entry) {
	t.Helper()
	r := newRepo(t)
	var all []Entry
	for i := range 10 {
		e := commit(t, r, []string{"sessions", "carts"}[i%2], day(1+i), uint64(i), nil)
		if err := r.WriteProof(t.Context(), e, proof(e, snapshot.Passed)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.UpdateMarks(t.Context(), e, func(m *snapshot.Marks) error { m.Tags = []string{"nightly"}; return nil }); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return r, all
}

// damage is found by check, which names snapshot and file; the others are
// listed, and are whole.
func mustFind(t *testing.T, r *Repo, bad Entry, file string, opts CheckOptions) {
	t.Helper()
	report, err := r.Check(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	named := false
	for _, p := range report.Problems {
		if p.ID != string(bad.Manifest.ID) || p.Problem == "" {
			t.Errorf("%s was damaged, check names %+v", bad.Manifest.ID, p)
		}
		named = named || p.File == file
	}
	if !named || report.Checked != 10 {
		t.Errorf("%s of %s was damaged, check finds %+v", file, bad.Manifest.ID, report)
	}
	l := listAll(t, r)
	others := 0
	for _, e := range l.Snapshots {
		if e.Manifest.ID != bad.Manifest.ID {
			others++
		}
	}
	if others != 9 {
		t.Errorf("%d of 9 others are listed, problems %v", others, l.Problems)
	}
}

func kindsOfFiles() []string {
	return []string{"dump.rdb.gz", snapshot.ManifestName, snapshot.SumsName, snapshot.ProofName, snapshot.MarksName}
}

func TestFault35EveryFlippedBitIsFound(t *testing.T) {
	flips := tenth(200)
	r, all := tenSnapshots(t)
	rng := rand.New(rand.NewPCG(35, 0))
	for _, kind := range kindsOfFiles() {
		t.Run(kind, func(t *testing.T) {
			for range flips {
				bad := all[rng.IntN(len(all))]
				path := filepath.Join(bad.Dir, kind)
				whole := read(t, path)
				at, bit := rng.IntN(len(whole)), rng.IntN(8)
				flipped := bytes.Clone(whole)
				flipped[at] ^= 1 << bit
				write(t, path, flipped)
				mustFind(t, r, bad, kind, CheckOptions{ReadData: true})
				if t.Failed() {
					t.Fatalf("bit %d of byte %d, %q", bit, at, flipped[max(0, at-20):min(len(flipped), at+20)])
				}
				problems, err := bad.Check(t.Context(), CheckOptions{})
				if needsData := kind == "dump.rdb.gz"; err != nil || !needsData && len(problems) == 0 {
					if reread, err := r.Get(string(bad.Manifest.ID)); err == nil && len(reread.Problems) == 0 {
						t.Errorf("a restore would not see it: %v %v", problems, err)
					}
				}
				write(t, path, whole)
			}
		})
	}
	if report, err := r.Check(t.Context(), CheckOptions{ReadData: true}); err != nil || len(report.Problems)+len(report.Notes) > 0 {
		t.Errorf("all is whole again, and check finds %+v %v", report, err)
	}
}

// A size or a file that is not right is found without reading the data.
func TestFault36EveryTruncationIsFound(t *testing.T) {
	r, all := tenSnapshots(t)
	rng := rand.New(rand.NewPCG(36, 0))
	for _, kind := range kindsOfFiles() {
		for name, size := range map[string]func(n int) int{
			"0":   func(int) int { return 0 },
			"1":   func(int) int { return 1 },
			"1/2": func(n int) int { return n / 2 },
			"n-1": func(n int) int { return n - 1 },
			"n+1": func(n int) int { return n + 1 },
		} {
			t.Run(kind+" to "+name, func(t *testing.T) {
				bad := all[rng.IntN(len(all))]
				path := filepath.Join(bad.Dir, kind)
				whole := read(t, path)
				if err := os.Truncate(path, int64(size(len(whole)))); err != nil {
					t.Fatal(err)
				}
				mustFind(t, r, bad, kind, CheckOptions{})
				mustFind(t, r, bad, kind, CheckOptions{ReadData: true})
				write(t, path, whole)
			})
		}
		if kind == snapshot.ProofName || kind == snapshot.MarksName {
			continue // without one, a snapshot is not verified or not marked
		}
		t.Run(kind+" missing", func(t *testing.T) {
			bad := all[rng.IntN(len(all))]
			path := filepath.Join(bad.Dir, kind)
			whole := read(t, path)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			mustFind(t, r, bad, kind, CheckOptions{})
			mustFind(t, r, bad, kind, CheckOptions{ReadData: true})
			write(t, path, whole)
		})
	}
}

func TestCheckFindsWhatDoesNotBelong(t *testing.T) {
	r, all := tenSnapshots(t)
	bad := all[3]
	for name, lay := range map[string]func(path string) error{
		"extra.rdb":      func(path string) error { return os.WriteFile(path, nil, 0o600) },
		".hidden":        func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"directory":      func(path string) error { return os.MkdirAll(filepath.Join(path, "deep"), 0o700) },
		"proof.json.new": func(path string) error { return os.Symlink("proof.json", path) },
	} {
		path := filepath.Join(bad.Dir, name)
		if err := lay(path); err != nil {
			t.Fatal(err)
		}
		mustFind(t, r, bad, name, CheckOptions{})
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	// A payload that was swapped for that of another snapshot, of equal size.
	path := filepath.Join(bad.Dir, "dump.rdb.gz")
	whole := read(t, path)
	write(t, path, bytes.Repeat([]byte{7}, len(whole)))
	mustFind(t, r, bad, "dump.rdb.gz", CheckOptions{ReadData: true})
}

// A manifest and sums that fit each other, but not the stored bytes'
// content: both must be right.
func TestCheckReadsWhatTheDataDecompressesTo(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	e.Manifest.Files[0].SHA256 = strings.Repeat("0", 64)
	text, err := snapshot.EncodeManifest(e.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(e.Dir, snapshot.ManifestName), text)
	write(t, filepath.Join(e.Dir, snapshot.SumsName), snapshot.EncodeSums(snapshot.SumsFor(e.Manifest, text)))
	for opts, want := range map[bool]int{false: 0, true: 1} {
		report, err := r.Check(t.Context(), CheckOptions{ReadData: opts})
		if err != nil || len(report.Problems) != want {
			t.Errorf("read data %v: %+v %v", opts, report, err)
		}
	}
}

func TestCheckNotesWhatKilledRunsLeft(t *testing.T) {
	r, all := tenSnapshots(t)
	source := filepath.Join(r.Dir(), "sessions")
	for _, name := range []string{draftPrefix + string(all[0].Manifest.ID), prunedPrefix + string(all[0].Manifest.ID)} {
		mkdir(t, filepath.Join(source, name))
	}
	write(t, filepath.Join(source, marksDraft), nil)
	write(t, filepath.Join(source, restoreDraft+strings.Repeat("0", 16)), nil)
	live, err := r.StartRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer live.End()
	inUse := filepath.Join(source, restoreDraft+live.ID())
	write(t, inUse, nil)
	report, err := r.Check(t.Context(), CheckOptions{})
	if err != nil || len(report.Problems) > 0 || len(report.Notes) != 4 {
		t.Errorf("check: %+v %v", report, err)
	}
	if err := r.Sweep(t.Context(), "sessions"); err != nil {
		t.Fatal(err)
	}
	report, err = r.Check(t.Context(), CheckOptions{})
	if err != nil || len(report.Notes) > 0 {
		t.Errorf("check after the sweep: %+v %v", report, err)
	}
	if _, err := os.Stat(inUse); err != nil {
		t.Errorf("what a live run writes was swept: %v", err)
	}
}

// A member that a later version adds is no damage.
func TestCheckNotesAManifestOfALaterVersion(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	text := bytes.Replace(read(t, filepath.Join(e.Dir, snapshot.ManifestName)), []byte("{\n"), []byte("{\n  \"later\": true,\n"), 1)
	write(t, filepath.Join(e.Dir, snapshot.ManifestName), text)
	write(t, filepath.Join(e.Dir, snapshot.SumsName), snapshot.EncodeSums(snapshot.SumsFor(e.Manifest, text)))
	report, err := r.Check(t.Context(), CheckOptions{ReadData: true})
	if err != nil || len(report.Problems) > 0 || len(report.Notes) != 1 {
		t.Errorf("check: %+v %v", report, err)
	}
}

func TestCheckTellsItsProgressAndStops(t *testing.T) {
	r, all := tenSnapshots(t)
	os.Truncate(filepath.Join(all[2].Dir, "dump.rdb.gz"), 100) // read to where it fails, and counted to its end
	var total, last int64
	_, err := r.Check(t.Context(), CheckOptions{ReadData: true, Progress: func(done, of int64) {
		if done < last || of < done {
			t.Errorf("progress %d of %d after %d", done, of, last)
		}
		last, total = done, of
	}})
	if err != nil || last != total || total == 0 {
		t.Errorf("the last progress is %d of %d, %v", last, total, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := r.Check(ctx, CheckOptions{ReadData: true, Progress: func(int64, int64) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("check that was cancelled: %v", err)
	}
}

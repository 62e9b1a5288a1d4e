package repo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redisbak/redisbak/snapshot"
)

// CheckOptions say how deep a check goes.
type CheckOptions struct {
	ReadData bool                    // also read every byte of the payload
	Progress func(done, total int64) // stored bytes read, with ReadData; may be nil
}

// Report is what a check found.
type Report struct {
	Checked  int       // snapshots that were looked at, damaged ones too
	Problems []Problem // damage; each names the snapshot and the file
	Notes    []Problem // no damage: what killed runs left; File is relative to the repository where ID is ""
}

// Check looks at every snapshot: its manifest, sums, proof and marks byte for
// byte, the names, kinds and sizes of all files, and with ReadData every stored
// byte and what it decompresses to. It changes nothing and takes no lock: who
// calls it holds shares of the sources' keep locks, or takes a snapshot that
// vanishes meanwhile for a damaged one.
func (r *Repo) Check(ctx context.Context, opts CheckOptions) (Report, error) {
	places, err := r.places("")
	if err != nil {
		return Report{}, err
	}
	var report Report
	for _, p := range places {
		if p.lost == nil {
			report.Checked++
		}
	}
	var whole []Entry
	for _, found := range r.loadAll(places) {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		report.Problems = append(report.Problems, found.problems...)
		if !found.ok {
			continue
		}
		problems, notes := found.entry.checkFiles()
		report.Problems = append(report.Problems, problems...)
		report.Notes = append(report.Notes, notes...)
		whole = append(whole, found.entry)
	}
	if opts.ReadData {
		problems, err := readData(ctx, whole, opts.Progress)
		if err != nil {
			return Report{}, err
		}
		report.Problems = append(report.Problems, problems...)
	}
	notes, err := r.leftovers()
	if err != nil {
		return Report{}, err
	}
	report.Notes = append(report.Notes, notes...)
	return report, nil
}

// Check looks at one snapshot as Repo.Check does. A restore asks it before it
// changes anything: what List shows comes from the manifest alone.
func (e Entry) Check(ctx context.Context, opts CheckOptions) ([]Problem, error) {
	problems, _ := e.checkFiles()
	problems = append(problems, e.Problems...)
	if opts.ReadData {
		more, err := readData(ctx, []Entry{e}, opts.Progress)
		if err != nil {
			return nil, err
		}
		problems = append(problems, more...)
	}
	return problems, nil
}

// checkFiles checks all but the content of the payload.
func (e Entry) checkFiles() (problems, notes []Problem) {
	text, err := readSmall(filepath.Join(e.Dir, snapshot.ManifestName), manifestLimit)
	if err != nil {
		return []Problem{e.problem(snapshot.ManifestName, err)}, nil
	}
	problems = append(problems, e.checkSums(text)...)
	problems = append(problems, e.checkNames()...)
	// Within a format, a newer redisbak may have added members.
	if own, err := snapshot.EncodeManifest(e.Manifest); err != nil || !bytes.Equal(own, text) {
		notes = append(notes, e.problem(snapshot.ManifestName, errors.New("it has members or a form that this version does not write")))
	}
	return problems, notes
}

// checkSums compares SHA256SUMS with what it should be.
func (e Entry) checkSums(manifest []byte) []Problem {
	stored, err := readSmall(filepath.Join(e.Dir, snapshot.SumsName), sumsLimit)
	if err != nil {
		return []Problem{e.problem(snapshot.SumsName, err)}
	}
	if bytes.Equal(stored, snapshot.EncodeSums(snapshot.SumsFor(e.Manifest, manifest))) {
		return nil
	}
	sums, err := snapshot.ParseSums(bytes.NewReader(stored))
	if err != nil {
		return []Problem{e.problem(snapshot.SumsName, err)}
	}
	// Two files disagree. A manifest that was changed has another sum
	// altogether; a sum that was damaged is still like the right one.
	digest := sha256.Sum256(manifest)
	got := hex.EncodeToString(digest[:])
	for _, s := range sums {
		if s.Name == snapshot.ManifestName && !alike(s.SHA256, got) {
			return []Problem{e.problem(snapshot.ManifestName, fmt.Errorf("sha256 is %s, %s has %s", got, snapshot.SumsName, s.SHA256))}
		}
	}
	return []Problem{e.problem(snapshot.SumsName, errors.New("it does not list the files as manifest.json does"))}
}

// alike says whether two sums have more digits in common than two of different
// content ever do.
func alike(a, b string) bool {
	equal := 0
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			equal++
		}
	}
	return equal > len(a)/2
}

// checkNames compares the names, kinds and sizes of all files with the manifest.
func (e Entry) checkNames() []Problem {
	var problems []Problem
	add := func(name, format string, args ...any) {
		problems = append(problems, Problem{ID: string(e.Manifest.ID), File: name, Problem: fmt.Sprintf(format, args...)})
	}
	expected := map[string]bool{
		snapshot.ManifestName: true, snapshot.SumsName: true, snapshot.ProofName: true, snapshot.MarksName: true,
	}
	sizes := make(map[string]int64)
	dirs := map[string]bool{".": true}
	for _, f := range e.Manifest.Files {
		expected[f.Name], sizes[f.Name] = true, f.StoredSize
		for up := path.Dir(f.Name); up != "."; up = path.Dir(up) {
			dirs[up] = true
		}
	}
	err := filepath.WalkDir(e.Dir, func(full string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(e.Dir, full)
		name := filepath.ToSlash(rel)
		switch {
		case err != nil || relErr != nil:
			add(name, "%s", reason(errors.Join(err, relErr)))
			return nil
		case d.IsDir() && dirs[name]:
			return nil
		case d.IsDir() || !expected[name]:
			add(name, "it is not part of the snapshot")
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		switch size, payload := sizes[name]; {
		case err != nil:
			add(name, "%s", reason(err))
		case !info.Mode().IsRegular():
			add(name, "not a regular file")
		case payload && info.Size() != size:
			add(name, "stored size is %d, want %d", info.Size(), size)
		}
		delete(sizes, name)
		return nil
	})
	if err != nil {
		add("", "%s", reason(err))
	}
	for _, f := range e.Manifest.Files {
		if _, missing := sizes[f.Name]; missing {
			add(f.Name, "missing")
		}
	}
	return problems
}

// readData reads all payload files and compares them with their manifests,
// both as they are stored and decompressed.
func readData(ctx context.Context, entries []Entry, progress func(done, total int64)) ([]Problem, error) {
	type part struct {
		entry Entry
		file  snapshot.File
		size  int64 // as it is on the disk, whatever the manifest says
	}
	var parts []part
	var meter meter
	for _, e := range entries {
		for _, f := range e.Manifest.Files {
			p := part{entry: e, file: f}
			if stored, err := e.OpenStored(f); err == nil {
				if info, err := stored.Stat(); err == nil {
					p.size = info.Size()
				}
				stored.Close()
			}
			parts = append(parts, p)
			meter.total += p.size
		}
	}
	meter.report = progress
	var problems []Problem
	for _, p := range parts {
		end := meter.done + p.size
		err := readFile(ctx, p.entry, p.file, &meter)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			problems = append(problems, p.entry.problem(p.file.Name, err))
		}
		meter.add(end - meter.done)
	}
	return problems, nil
}

// readFile reads one payload file to its end.
func readFile(ctx context.Context, e Entry, f snapshot.File, m *meter) error {
	stored, err := openStored(e.Dir, f.Name)
	if err != nil {
		return err
	}
	defer stored.Close()
	content, err := snapshot.NewReader(io.TeeReader(bound(ctx, stored), m), f)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, content)
	return errors.Join(err, content.Close())
}

// meter counts the bytes that are written to it.
type meter struct {
	done, total int64
	report      func(done, total int64)
}

func (m *meter) Write(p []byte) (int, error) {
	m.add(int64(len(p)))
	return len(p), nil
}

func (m *meter) add(n int64) {
	m.done += n
	if m.report != nil {
		m.report(m.done, m.total)
	}
}

// leftovers names what killed runs left: drafts that nobody writes any more,
// snapshots whose removal stopped half-way, restore records that are torn.
func (r *Repo) leftovers() ([]Problem, error) {
	sources, err := r.sources()
	if err != nil {
		return nil, err
	}
	var notes []Problem
	for _, source := range sources {
		if r.lost(source) != nil {
			continue // it is a problem already
		}
		entries, err := r.disk.ReadDir(r.sourceDir(source))
		if err != nil {
			return nil, fmt.Errorf("list source %s: %w", source, err)
		}
		for _, e := range entries {
			note := ""
			switch name := e.Name(); {
			case strings.HasPrefix(name, draftPrefix) && !r.inUse(source, name):
				note = "a draft that nobody writes any more"
			case strings.HasPrefix(name, prunedPrefix) && !locked(filepath.Join(r.sourceDir(source), keepLock)):
				note = "a pruned snapshot that is not wholly removed"
			}
			if note != "" {
				notes = append(notes, Problem{File: path.Join(source, e.Name()), Problem: note})
			}
		}
		torn, err := r.tornRecords(source)
		if err != nil {
			return nil, err
		}
		notes = append(notes, torn...)
	}
	return notes, nil
}

// Sound is a *DamagedError where the manifest, the sums or the payload are not
// what they were at the commit, as far as that shows without reading the
// payload. What depends on a snapshot asks it first: a listing believes a
// manifest whose hash nobody has compared. Proof and marks do not count here;
// without them the payload is as good as ever.
func (e Entry) Sound(ctx context.Context) error {
	problems, err := e.Check(ctx, CheckOptions{})
	if err != nil {
		return err
	}
	for _, p := range problems {
		essential := p.File == snapshot.ManifestName || p.File == snapshot.SumsName ||
			slices.ContainsFunc(e.Manifest.Files, func(f snapshot.File) bool { return f.Name == p.File })
		if essential {
			return &DamagedError{Problem: p}
		}
	}
	return nil
}

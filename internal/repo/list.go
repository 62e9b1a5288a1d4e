package repo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/redisbak/redisbak/snapshot"
)

// Entry is one committed snapshot, as it was when it was read.
type Entry struct {
	Manifest *snapshot.Manifest
	Proof    *snapshot.Proof // nil: never verified, or ProofUnknown
	Marks    snapshot.Marks
	Dir      string // absolute

	ManifestSHA256 string // of manifest.json's bytes; a proof names it

	// MarksUnknown says that marks.json is there but cannot be read: it must be
	// assumed that the snapshot is pinned. ProofUnknown says the same of
	// proof.json. Problems names both.
	MarksUnknown bool
	ProofUnknown bool
	Problems     []Problem

	// Damage is set by Survey alone: why the payload, or what describes it, is
	// not what was committed, as far as that shows without reading it.
	Damage error
}

// Problem is something that is wrong with one snapshot.
type Problem struct {
	ID      string // the name of its directory
	File    string // relative to that, "" for the directory itself
	Problem string
}

// Listing is what a repository holds.
type Listing struct {
	Snapshots []Entry   // newest first, by the instant that they show
	Problems  []Problem // by id and file
}

// Sources returns the names of all sources that have a snapshot, sorted.
func (r *Repo) Sources() ([]string, error) {
	all, err := r.sources()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, source := range all {
		ids, err := r.snapshotNames(source)
		if err != nil && r.lost(source) == nil {
			return nil, err
		}
		if len(ids) > 0 || err != nil {
			names = append(names, source)
		}
	}
	return names, nil
}

// List reads all snapshots of a source, or of all sources for "". A damaged
// one is a Problem; a directory that cannot be read is an error, and so is a
// source that is not there.
func (r *Repo) List(source string) (Listing, error) {
	places, err := r.places(source)
	if err != nil {
		return Listing{}, err
	}
	found := r.loadAll(places)
	var l Listing
	for _, f := range found {
		if f.gone {
			continue
		}
		if f.ok {
			l.Snapshots = append(l.Snapshots, f.entry)
		}
		l.Problems = append(l.Problems, f.problems...)
	}
	slices.SortFunc(l.Snapshots, newestFirst)
	slices.SortFunc(l.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.File, b.File))
	})
	return l, nil
}

// Get reads the one snapshot whose id begins with prefix.
func (r *Repo) Get(prefix string) (Entry, error) {
	places, err := r.places("")
	if err != nil {
		return Entry{}, err
	}
	var match []place
	for _, p := range places {
		if prefix != "" && strings.HasPrefix(p.id, prefix) {
			match = append(match, p)
		}
	}
	switch len(match) {
	case 0:
		return Entry{}, &NotFoundError{ID: prefix}
	case 1:
	default:
		ids := make([]string, len(match))
		for i, p := range match {
			ids[i] = p.id
		}
		slices.Sort(ids)
		return Entry{}, &AmbiguousError{Prefix: prefix, IDs: ids}
	}
	f := r.load(match[0])
	if f.gone {
		return Entry{}, &NotFoundError{ID: prefix}
	}
	if !f.ok {
		return Entry{}, &DamagedError{Problem: f.problems[0], Err: f.err}
	}
	return f.entry, nil
}

func newestFirst(a, b Entry) int {
	return cmp.Or(
		b.Manifest.PointInTime.Compare(a.Manifest.PointInTime),
		cmp.Compare(b.Manifest.ID, a.Manifest.ID),
		cmp.Compare(a.Manifest.Source.Name, b.Manifest.Source.Name),
	)
}

// place is where a snapshot should be.
type place struct {
	source string
	id     string
	isDir  bool
	lost   error // of a source whose snapshots cannot be reached at all; it has no id
}

// places lists what is named like a snapshot, without looking inside.
func (r *Repo) places(source string) ([]place, error) {
	var sources []string
	if source != "" {
		if err := snapshot.ValidSourceName(source); err != nil {
			return nil, err
		}
		if err := r.present(); err != nil {
			return nil, err
		}
		sources = []string{source}
	} else {
		all, err := r.sources()
		if err != nil {
			return nil, err
		}
		sources = all
	}
	var all []place
	for _, s := range sources {
		named, err := r.snapshotNames(s)
		// One that cannot be reached hides none of the others.
		var lost *UnsteadyError
		if source == "" && errors.As(err, &lost) {
			all = append(all, place{source: s, lost: err})
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range named {
			all = append(all, place{source: s, id: e.Name(), isDir: e.IsDir()})
		}
	}
	return all, nil
}

// loaded is what became of reading one snapshot.
type loaded struct {
	entry    Entry
	ok       bool
	gone     bool // it was removed after its name was read
	problems []Problem
	err      error // what the problem of one that is not ok came from, if anything
}

// maxReaders bounds the files that a listing has open at once.
const maxReaders = 8

// loadAll reads many snapshots at once, in the order of places.
func (r *Repo) loadAll(places []place) []loaded {
	found := make([]loaded, len(places))
	manyAtOnce(len(places), func(i int) { found[i] = r.load(places[i]) })
	return found
}

// manyAtOnce reads n things, a few at a time.
func manyAtOnce(n int, read func(i int)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(n, 2*runtime.GOMAXPROCS(0), maxReaders) {
		workers.Go(func() {
			for i := range next {
				read(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
}

// load reads one snapshot's manifest, proof and marks.
func (r *Repo) load(p place) loaded {
	problem := func(file, format string, args ...any) loaded {
		return loaded{problems: []Problem{{ID: p.id, File: file, Problem: fmt.Sprintf(format, args...)}}}
	}
	if p.lost != nil {
		l := problem(p.source, "%s", p.lost.(*UnsteadyError).Reason)
		l.err = p.lost
		return l
	}
	if !p.isDir {
		return problem("", "not a directory")
	}
	dir := filepath.Join(r.sourceDir(p.source), p.id)
	text, err := readSmall(filepath.Join(dir, snapshot.ManifestName), manifestLimit)
	var m *snapshot.Manifest
	if err == nil {
		m, err = snapshot.DecodeManifest(bytes.NewReader(text))
	}
	switch {
	case err != nil:
		l := problem(snapshot.ManifestName, "%s", reason(err))
		l.err = err
		l.gone = errors.Is(err, fs.ErrNotExist) && vanished(dir)
		return l
	case string(m.ID) != p.id:
		return problem(snapshot.ManifestName, "it is of snapshot %s", m.ID)
	case m.Source.Name != p.source:
		return problem(snapshot.ManifestName, "it is of source %s, and lies under %s", m.Source.Name, p.source)
	}
	digest := sha256.Sum256(text)
	e := Entry{Manifest: m, Dir: dir, ManifestSHA256: hex.EncodeToString(digest[:])}
	e.readProof()
	e.readMarks()
	return loaded{entry: e, ok: true, problems: e.Problems}
}

// vanished says whether what lay at path, whose name was read just now, is not
// there any more. Who takes no lock can meet that: a snapshot was pruned
// meanwhile, and nothing is wrong with it.
func vanished(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// readProof reads proof.json. One that cannot be trusted counts as none.
func (e *Entry) readProof() {
	p, err := readMutable(e.Dir, snapshot.ProofName, snapshot.DecodeProof)
	switch {
	case err != nil:
	case p == nil:
		return
	case p.ID != e.Manifest.ID:
		err = fmt.Errorf("it is of snapshot %s", p.ID)
	case p.ManifestID != e.ManifestSHA256:
		err = errors.New("it is of another manifest.json")
	}
	if err != nil {
		e.ProofUnknown = true
		e.Problems = append(e.Problems, e.problem(snapshot.ProofName, err))
		return
	}
	e.Proof = p
}

// readMarks reads marks.json.
func (e *Entry) readMarks() {
	e.Marks = snapshot.Marks{ID: e.Manifest.ID}
	m, err := readMutable(e.Dir, snapshot.MarksName, snapshot.DecodeMarks)
	switch {
	case err != nil:
	case m == nil:
		return
	case m.ID != e.Manifest.ID:
		err = fmt.Errorf("it is of snapshot %s", m.ID)
	}
	if err != nil {
		e.MarksUnknown = true
		e.Problems = append(e.Problems, e.problem(snapshot.MarksName, err))
		return
	}
	e.Marks = *m
}

func (e *Entry) problem(file string, err error) Problem {
	return Problem{ID: string(e.Manifest.ID), File: file, Problem: reason(err)}
}

// readMutable reads proof.json or marks.json; nil means that there is none.
func readMutable[T any](dir, name string, decode func(io.Reader) (*T, error)) (*T, error) {
	text, err := readSmall(filepath.Join(dir, name), mutableLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decode(bytes.NewReader(text))
}

// reason is an error's text without the name of the file, which a Problem has
// in a place of its own.
func reason(err error) string {
	var (
		path     *fs.PathError
		odd      *irregularError
		format   *snapshot.FormatError
		newer    *snapshot.NewerFormatError
		mismatch *snapshot.MismatchError
	)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	case errors.As(err, &path):
		return path.Op + ": " + path.Err.Error()
	case errors.As(err, &odd):
		return "not a regular file"
	case errors.As(err, &format):
		return format.Why
	case errors.As(err, &newer):
		return strings.TrimPrefix(newer.Error(), newer.What+": ")
	case errors.As(err, &mismatch):
		return mismatch.What + " is " + mismatch.Got + ", want " + mismatch.Want
	}
	return err.Error()
}

// OpenStored opens a payload file as it is stored. The caller closes it.
func (e Entry) OpenStored(f snapshot.File) (*os.File, error) {
	stored, err := openStored(e.Dir, f.Name)
	if err == nil {
		return stored, nil
	}
	if info, statErr := os.Lstat(filepath.Join(e.Dir, f.Name)); statErr == nil && !info.Mode().IsRegular() {
		err = &irregularError{path: f.Name}
	}
	if odd := (*irregularError)(nil); errors.As(err, &odd) || errors.Is(err, fs.ErrNotExist) {
		return nil, &DamagedError{Problem: e.problem(f.Name, err), Err: err}
	}
	return nil, fmt.Errorf("snapshot %s: %w", e.Manifest.ID, err)
}

// Open opens a payload file's content, which can be read until ctx ends. It comes
// to io.EOF only if size and checksums are those of the manifest.
func (e Entry) Open(ctx context.Context, f snapshot.File) (io.ReadCloser, error) {
	stored, err := e.OpenStored(f)
	if err != nil {
		return nil, err
	}
	content, err := snapshot.NewReader(bound(ctx, stored), f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot %s: %w", e.Manifest.ID, err), stored.Close())
	}
	return &contentReader{ReadCloser: content, id: e.Manifest.ID, stored: stored}, nil
}

// contentReader names the snapshot in errors, and closes the file under the
// decompressor too.
type contentReader struct {
	io.ReadCloser
	id     snapshot.ID
	stored *os.File
}

func (c *contentReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("snapshot %s: %w", c.id, err)
	}
	return n, err
}

func (c *contentReader) Close() error {
	return errors.Join(c.ReadCloser.Close(), c.stored.Close())
}

package repo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/snapshot"
)

// newRepo makes a repository of its own for a test.
func newRepo(t testing.TB) *Repo {
	t.Helper()
	r, err := Init(filepath.Join(t.TempDir(), "repo"))
	if err != nil {
		t.Fatal(err)
	}
	r.disk = quickDisk{}
	return r
}

// quickDisk flushes nothing, and reads from memory. It is for tests that are not about what a disk
// keeps, of which there are many.
type quickDisk struct{ osDisk }

type quickFile struct{ file }

func (quickDisk) SyncDir(string) error { return nil }

func (d quickDisk) Create(path string) (file, error) {
	f, err := d.osDisk.Create(path)
	return quickFile{f}, err
}

func (quickDisk) Open(path string) (readback, error) { return openRegular(path) }

func (quickFile) Sync() error { return nil }

// day is the instant that the tests count from.
func day(n int) time.Time { return time.Date(2026, 2, n, 3, 15, 2, 0, time.UTC) }

func newID(t testing.TB, at time.Time, seed uint64) snapshot.ID {
	t.Helper()
	id, err := snapshot.NewID(at, randomBytes(seed))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func randomBytes(seed uint64) io.Reader {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(key)
}

// payload is what a server might have written: half of it compresses.
func payload(size int, seed uint64) []byte {
	b := make([]byte, size)
	if _, err := io.ReadFull(randomBytes(seed), b[:size/2]); err != nil {
		panic(err)
	}
	return b
}

func describe(id snapshot.ID, source string, files ...snapshot.File) *snapshot.Manifest {
	at := id.Time()
	return &snapshot.Manifest{
		Format: snapshot.Version,
		ID:     id,
		Source: snapshot.Source{
			Name: source, Container: source, ContainerID: strings.Repeat("c", 64),
			Image: "redis:7.0", ImageID: "sha256:" + strings.Repeat("1", 64),
			Mount:   snapshot.Mount{Type: snapshot.MountVolume, Name: source + "-data", Destination: "/data"},
			Options: snapshot.Options{Dir: "/data", DBFilename: "dump.rdb", Databases: 16},
		},
		Server: snapshot.Server{
			Software: "redis", Version: "7.0.15", Role: "master", RunID: strings.Repeat("a", 40),
			RDBMagic: "REDIS", RDBVersion: 10, UsedMemoryBytes: 1 << 20,
		},
		Method:      snapshot.MethodRDB,
		StartedAt:   at,
		FinishedAt:  at.Add(2 * time.Second),
		PointInTime: at.Add(time.Second),
		Root:        snapshot.Dir{UID: 999, GID: 999, Mode: 0o755},
		Files:       files,
		Keyspace:    []snapshot.Keys{{DB: 0, Keys: 100, Expires: 7}},
		State:       snapshot.Good,
	}
}

// fill writes the payload of a draft and says what was written.
func fill(d *Draft, c snapshot.Compression, content []byte) (snapshot.File, error) {
	return fillFrom(d, c, bytes.NewReader(content))
}

func fillFrom(d *Draft, c snapshot.Compression, content io.Reader) (snapshot.File, error) {
	name := snapshot.RDBName + c.Suffix()
	df, err := d.Create(name, c)
	if err != nil {
		return snapshot.File{}, err
	}
	if _, err := io.Copy(df, content); err != nil {
		return snapshot.File{}, errors.Join(err, df.Close())
	}
	if err := df.Close(); err != nil {
		return snapshot.File{}, err
	}
	f := snapshot.File{Path: "dump.rdb", Name: name, Compression: c, UID: 999, GID: 999, Mode: 0o600}
	f.Size, f.SHA256, f.StoredSize, f.StoredSHA256 = df.Sum()
	return f, nil
}

type draftOptions struct {
	source  string
	id      snapshot.ID
	content []byte
	stream  io.Reader // instead of content
	change  func(*snapshot.Manifest)
}

// take writes and commits a snapshot as a run does, except for the lock's
// release.
func take(t testing.TB, r *Repo, lock *Lock, o draftOptions) (Entry, error) {
	t.Helper()
	return takeUntil(t.Context(), r, lock, o)
}

func takeUntil(ctx context.Context, r *Repo, lock *Lock, o draftOptions) (Entry, error) {
	d, err := r.Begin(ctx, o.source, o.id, lock)
	if err != nil {
		return Entry{}, err
	}
	if o.stream == nil {
		o.stream = bytes.NewReader(o.content)
	}
	f, err := fillFrom(d, snapshot.Gzip, o.stream)
	if err != nil {
		return Entry{}, errors.Join(err, d.Abort())
	}
	m := describe(o.id, o.source, f)
	if o.change != nil {
		o.change(m)
	}
	e, err := d.Commit(ctx, m)
	return e, errors.Join(err, d.Abort())
}

// commit takes a snapshot that must succeed.
func commit(t testing.TB, r *Repo, source string, at time.Time, seed uint64, change func(*snapshot.Manifest)) Entry {
	t.Helper()
	lock, err := r.LockWriter(t.Context(), source, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	e, err := take(t, r, lock, draftOptions{
		source: source, id: newID(t, at, seed), content: payload(10_000, seed), change: change,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func listAll(t testing.TB, r *Repo) Listing {
	t.Helper()
	l, err := r.List("")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func ids(entries []Entry) []string {
	var s []string
	for _, e := range entries {
		s = append(s, string(e.Manifest.ID))
	}
	return s
}

// mustBeWhole checks that exactly these snapshots are listed, newest first,
// and that every byte of them is right.
func mustBeWhole(t testing.TB, r *Repo, want ...snapshot.ID) {
	t.Helper()
	l := listAll(t, r)
	var got []snapshot.ID
	for _, e := range l.Snapshots {
		got = append(got, e.Manifest.ID)
	}
	if len(l.Problems) > 0 || !equal(got, want) {
		t.Fatalf("listed %v with problems %v, want %v", got, l.Problems, want)
	}
	report, err := r.Check(t.Context(), CheckOptions{ReadData: true})
	if err != nil {
		t.Fatal(err)
	}
	if report.Checked != len(want) || len(report.Problems) > 0 {
		t.Fatalf("check of %d snapshots found %v", report.Checked, report.Problems)
	}
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t testing.TB, path string) string {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tenth is n at full size, and else a tenth of it.
func tenth(n int) int {
	if os.Getenv("REDISBAK_TEST_FULL") == "1" {
		return n
	}
	return n / 10
}

// Package repotest gives tests of the use cases a repository with a committed
// snapshot, without a server and an engine. It is only for tests.
package repotest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// Payload is what the snapshots of this package hold: no dump, but bytes.
const Payload = "REDIS0010 is how a dump begins; this one is none\n"

// hex is a well formed digest of nothing.
const hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// New makes a repository that goes when the test ends.
func New(t testing.TB) *repo.Repo {
	t.Helper()
	r, err := repo.Init(filepath.Join(t.TempDir(), "repo"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Commit writes a good snapshot of the source "shop" with three keys.
func Commit(t testing.TB, r *repo.Repo) repo.Entry {
	t.Helper()
	at := time.Date(2026, 2, 8, 3, 15, 2, 0, time.UTC)
	m := &snapshot.Manifest{
		Format: snapshot.Version, ID: "20260208T031502Z-7k3f", Method: snapshot.MethodRDB,
		StartedAt: at, FinishedAt: at, PointInTime: at, State: snapshot.Good,
		Source: snapshot.Source{
			Name: "shop", Container: "shop-redis", ContainerID: hex, Image: "redis:7.0", ImageID: "sha256:" + hex,
			Mount:   snapshot.Mount{Type: snapshot.MountVolume, Name: "shop-data", Destination: "/data"},
			Options: snapshot.Options{Dir: "/data", DBFilename: "dump.rdb", Databases: 16},
		},
		Server:   snapshot.Server{Software: "redis", Version: "7.0.15", Role: "master", RunID: hex[:40], RDBMagic: "REDIS", RDBVersion: 10},
		Root:     snapshot.Dir{UID: 999, GID: 999, Mode: 0o755},
		Keyspace: []snapshot.Keys{{DB: 0, Keys: 3, Expires: 1}},
	}
	e, err := commit(t.Context(), r, m)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func commit(ctx context.Context, r *repo.Repo, m *snapshot.Manifest) (repo.Entry, error) {
	lock, err := r.LockWriter(ctx, m.Source.Name, 0, "test")
	if err != nil {
		return repo.Entry{}, err
	}
	defer lock.Release()
	draft, err := r.Begin(ctx, m.Source.Name, m.ID, lock)
	if err != nil {
		return repo.Entry{}, err
	}
	name := snapshot.RDBName + snapshot.Gzip.Suffix()
	f, err := draft.Create(name, snapshot.Gzip)
	if err != nil {
		return repo.Entry{}, err
	}
	if _, err := f.Write([]byte(Payload)); err != nil {
		return repo.Entry{}, err
	}
	if err := f.Close(); err != nil {
		return repo.Entry{}, err
	}
	file := snapshot.File{Path: "dump.rdb", Name: name, Compression: snapshot.Gzip, UID: 999, GID: 999, Mode: 0o600}
	file.Size, file.SHA256, file.StoredSize, file.StoredSHA256 = f.Sum()
	m.Files = []snapshot.File{file}
	return draft.Commit(ctx, m)
}

// Reload reads the snapshot of Commit again.
func Reload(t testing.TB, r *repo.Repo) repo.Entry {
	t.Helper()
	e, err := r.Get("20260208T031502Z-7k3f")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// fixture is a snapshot that a test writes into a repository without a server:
// whole and well formed, with a time, a judgement and a proof of its choice.
type fixture struct {
	manifest snapshot.Manifest // what is not given is filled in
	payload  []byte            // of the one file; nil: a few bytes
	store    snapshot.Compression
	marks    *snapshot.Marks
	verified snapshot.Result // empty: never
	why      string          // it failed
}

// dump is the payload of fixtures that bring none.
var dump = []byte("REDIS0010 is how a dump begins; this one is none\n")

// write commits the fixture to r.
func (f fixture) write(ctx context.Context, r *repo.Repo) (repo.Entry, error) {
	m := f.complete()
	source := m.Source.Name
	// A process that another test begins at this moment may hold the lock for
	// as long as it takes from its fork to its exec.
	lock, err := r.LockWriter(ctx, source, 10*time.Second, "fixture")
	if err != nil {
		return repo.Entry{}, err
	}
	defer lock.Release()
	draft, err := r.Begin(ctx, source, m.ID, lock)
	if err != nil {
		return repo.Entry{}, err
	}
	if m.Files, err = f.store1(draft, m.Files); err != nil {
		return repo.Entry{}, err
	}
	e, err := draft.Commit(ctx, m)
	if err != nil {
		return repo.Entry{}, err
	}
	if f.marks != nil {
		marks := *f.marks
		_, err := r.UpdateMarks(ctx, e, func(m *snapshot.Marks) error { *m = marks; return nil })
		if err != nil {
			return repo.Entry{}, err
		}
	}
	if f.verified != "" {
		if err := r.WriteProof(ctx, e, f.proof(e)); err != nil {
			return repo.Entry{}, err
		}
	}
	return r.Get(string(m.ID))
}

// store1 writes the one payload file.
func (f fixture) store1(draft *repo.Draft, files []snapshot.File) ([]snapshot.File, error) {
	payload, store := f.payload, f.store
	if payload == nil {
		payload = dump
	}
	if store == "" {
		store = snapshot.None // so that sizes do not depend on a compressor
	}
	file := snapshot.File{Path: "dump.rdb", UID: 999, GID: 999, Mode: 0o600}
	if len(files) == 1 {
		file = files[0]
	}
	file.Name, file.Compression = snapshot.RDBName+store.Suffix(), store
	out, err := draft.Create(file.Name, store)
	if err != nil {
		return nil, err
	}
	if _, err := out.Write(payload); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	file.Size, file.SHA256, file.StoredSize, file.StoredSHA256 = out.Sum()
	return []snapshot.File{file}, nil
}

// complete fills the manifest up.
func (f fixture) complete() *snapshot.Manifest {
	m := f.manifest
	m.Format = snapshot.Version
	fill(&m.Source.Name, "sessions")
	if m.ID == "" {
		m.ID = snapshot.ID(m.PointInTime.UTC().Format("20060102T150405Z") + "-0000")
	}
	if m.Source.Container == "" {
		m.Source = snapshot.Source{
			Name: m.Source.Name, Container: "redis-server", ContainerID: hexOf("container"),
			Image: "redis:7.0", ImageID: "sha256:" + hexOf("image"),
			Mount:   snapshot.Mount{Type: snapshot.MountVolume, Name: "redis-data", Destination: "/data"},
			Options: snapshot.Options{Dir: "/data", DBFilename: "dump.rdb", AppendFilename: "appendonly.aof", AppendDirname: "appendonlydir", Databases: 16},
		}
		m.Root = snapshot.Dir{UID: 999, GID: 999, Mode: 0o755}
	}
	if m.Server.Software == "" {
		m.Server = snapshot.Server{
			Software: "redis", Version: "7.0.15", Role: "master", RunID: hexOf("run")[:40],
			RDBMagic: "REDIS", RDBVersion: 10, UsedMemoryBytes: 1 << 20,
		}
	}
	fill(&m.Method, snapshot.MethodRDB)
	if m.State == "" {
		m.State = snapshot.Good
	}
	m.StartedAt, m.FinishedAt = m.PointInTime, m.PointInTime.Add(time.Second)
	return &m
}

func (f fixture) proof(e repo.Entry) *snapshot.Proof {
	return &snapshot.Proof{
		ID: e.Manifest.ID, Result: f.verified, Reason: f.why, At: e.Manifest.PointInTime.Add(time.Minute), Layout: "rdb",
		ImageID: e.Manifest.Source.ImageID, Server: "redis 7.0.15", Keyspace: e.Manifest.Keyspace,
		Digest: hexOf("data")[:40], Fill: 100 * time.Millisecond, Load: 200 * time.Millisecond, Total: time.Second,
		ManifestID: e.ManifestSHA256,
	}
}

func fill(value *string, missing string) {
	if *value == "" {
		*value = missing
	}
}

// hexOf is 64 hex digits, always the same for a name.
func hexOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// parseFixture reads a line like
//
//	sessions 2026-02-08T03:15:02Z-7k3f keys=100 verified=failed : why it is as it is
//
// source, instant with the end of the id, then what differs from a good
// snapshot that was never verified.
func parseFixture(line string, readFile func(string) []byte) (f fixture, err error) {
	line, why, _ := strings.Cut(line, " : ")
	words := strings.Fields(line)
	if len(words) < 2 || len(words[1]) < 25 {
		return f, fmt.Errorf("not SOURCE TIME-SUFFIX …: %q", line)
	}
	m := &f.manifest
	m.Source.Name = words[0]
	if m.PointInTime, err = time.Parse(time.RFC3339, words[1][:20]); err != nil {
		return f, err
	}
	m.ID = snapshot.ID(m.PointInTime.Format("20060102T150405Z") + words[1][20:])
	m.Keyspace = []snapshot.Keys{{DB: 0, Keys: 100}}
	marks := snapshot.Marks{}
	for _, word := range words[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "keys":
			m.Keyspace = nil
			var n int64
			if _, err := fmt.Sscan(value, &n); err == nil {
				m.Keyspace = slices.DeleteFunc([]snapshot.Keys{{DB: 0, Keys: n}}, func(k snapshot.Keys) bool { return k.Keys == 0 })
			}
		case "state":
			m.State, m.Reason = snapshot.State(value), why
		case "verified":
			f.verified = snapshot.Result(value)
			if f.verified != snapshot.Passed {
				f.why = why
			}
		case "accepted":
			marks.Accepted = true
		case "pinned":
			marks.Pinned = true
		case "tag":
			marks.Tags = append(marks.Tags, value)
		case "store":
			f.store = snapshot.Compression(value)
		case "payload":
			f.payload = readFile(value)
		default:
			return f, fmt.Errorf("unknown word %q", word)
		}
	}
	if marks.Accepted || marks.Pinned || len(marks.Tags) > 0 {
		f.marks = &marks
	}
	return f, nil
}

// makeRepo writes the repository that text describes, a line a snapshot.
func makeRepo(ctx context.Context, dir, text string, readFile func(string) []byte) error {
	r, err := repo.Open(dir)
	if err != nil {
		r, err = repo.Init(dir)
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f, err := parseFixture(line, readFile)
		if err != nil {
			return err
		}
		if _, err := f.write(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// inventory lists all that lies in a directory, with modes, sizes and sums, but
// for what readers of a repository leave there by right: lock files that name
// nobody, and the directory of the runs that are alive.
func inventory(dir string) (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var content []byte
		if info.Mode().IsRegular() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		switch name := d.Name(); {
		case name == ".runs", strings.HasSuffix(name, ".lock") && len(bytes.TrimSpace(content)) == 0:
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		fmt.Fprintf(&b, "%s %s %d %x\n", rel, info.Mode(), len(content), sha256.Sum256(content))
		return err
	})
	return b.String(), err
}

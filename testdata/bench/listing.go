package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// sources is how many sources the snapshots of the repositories below are of.
const sources = 5

// listing measures the commands that look at all snapshots, over a repository
// with many and one with ten times as many.
func (b *bench) listing(ctx context.Context) error {
	counts := []int{1000, 10000}
	for _, n := range counts {
		note("making a repository of %d snapshots", n)
		if err := many(b.repoOf(n), n); err != nil {
			return err
		}
	}
	say("\n### Over verified snapshots of %d sources\n", sources)
	heading("command", "snapshots", "median", "peak memory", "for each more")
	for _, c := range []struct {
		line string
		each string // the member of its document that has a row for each snapshot
	}{
		{"list --json", "snapshots"},
		{"prune --keep-daily 7 --keep-weekly 4 --dry-run --json", "decisions"},
	} {
		var peak int64 // of the repository before
		for i, n := range counts {
			took, rss, err := b.look(ctx, n, c.line, c.each)
			if err != nil {
				return fmt.Errorf("%s over %d snapshots: %w", c.line, n, err)
			}
			more := "–"
			if i > 0 {
				more = fmt.Sprintf("%.1f KiB", float64(rss-peak)/float64(n-counts[i-1])/1024)
			}
			row("`redisbak "+c.line+"`", strconv.Itoa(n), fmt.Sprintf("%d ms", took.Milliseconds()), mib(rss), more)
			peak = rss
		}
	}
	return nil
}

// repoOf is where the repository of n snapshots is.
func (b *bench) repoOf(n int) string { return filepath.Join(b.dir, fmt.Sprintf("many-%d", n)) }

// look runs a command over the repository of n snapshots: the median of the
// times, the greatest of the peaks. Its document must speak of all of them.
func (b *bench) look(ctx context.Context, n int, line, each string) (time.Duration, int64, error) {
	var took []time.Duration
	var rss int64
	for range max(b.rounds, 5) {
		u, err := b.use(ctx, append(strings.Fields(line), "--repo", b.repoOf(n))...)
		if err != nil {
			return 0, 0, err
		}
		var document map[string]json.RawMessage
		var rows []json.RawMessage
		if err := json.Unmarshal(u.stdout, &document); err != nil {
			return 0, 0, err
		}
		if err := json.Unmarshal(document[each], &rows); err != nil {
			return 0, 0, fmt.Errorf("%s in its document: %w", each, err)
		}
		if len(rows) != n {
			return 0, 0, fmt.Errorf("%d %s in its document", len(rows), each)
		}
		took = append(took, u.took)
		rss = max(rss, u.peak)
	}
	slices.Sort(took)
	return took[len(took)/2], rss, nil
}

// many makes a repository by writing its files as the format describes them,
// without the flushes of a real commit. Each source has a snapshot an hour,
// the latest ones not long ago.
func many(dir string, n int) error {
	r, err := repo.Init(dir)
	if err != nil {
		return err
	}
	const step = time.Hour / sources
	first := time.Now().UTC().Truncate(time.Hour).Add(-time.Duration(n) * step)
	for i := range n {
		if err := write(r.Dir(), fmt.Sprintf("source-%d", i%sources), first.Add(time.Duration(i)*step), int64(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// payload stands in for a dump: what is measured reads none.
const payload = "not a dump"

// write makes one snapshot.
func write(repo, source string, at time.Time, keys int64) error {
	sum := sha256.Sum256([]byte(payload))
	digest := hex.EncodeToString(sum[:])
	id, err := snapshot.NewID(at, rand.Reader)
	if err != nil {
		return err
	}
	m := &snapshot.Manifest{
		Format: snapshot.Version, ID: id, Method: snapshot.MethodRDB, StartedAt: at, FinishedAt: at, PointInTime: at,
		Source: snapshot.Source{
			Name: source, Container: source, ContainerID: digest, Image: "redis:7.0", ImageID: "sha256:" + digest,
			Mount:   snapshot.Mount{Type: snapshot.MountVolume, Name: source, Destination: "/data"},
			Options: snapshot.Options{Dir: "/data", DBFilename: "dump.rdb", Databases: 16},
		},
		Server: snapshot.Server{Software: "redis", Version: "7.0.15", Role: "master", RunID: digest[:40], RDBMagic: "REDIS", RDBVersion: 10},
		Root:   snapshot.Dir{UID: 999, GID: 999, Mode: 0o755},
		Files: []snapshot.File{{
			Path: "dump.rdb", Name: "dump.rdb", Compression: snapshot.None, Size: int64(len(payload)), SHA256: digest,
			StoredSize: int64(len(payload)), StoredSHA256: digest, UID: 999, GID: 999, Mode: 0o600,
		}},
		Keyspace: []snapshot.Keys{{DB: 0, Keys: keys}}, State: snapshot.Good,
	}
	encoded, err := snapshot.EncodeManifest(m)
	if err != nil {
		return err
	}
	sum = sha256.Sum256(encoded)
	proof, err := snapshot.EncodeProof(&snapshot.Proof{
		ID: id, Result: snapshot.Passed, At: at, Layout: snapshot.LayoutRDB, ImageID: m.Source.ImageID, Server: "redis 7.0.15",
		Keyspace: m.Keyspace, ManifestID: hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return err
	}
	return writeFiles(filepath.Join(repo, source, string(id)), map[string][]byte{
		snapshot.ManifestName: encoded, snapshot.SumsName: snapshot.EncodeSums(snapshot.SumsFor(m, encoded)),
		snapshot.ProofName: proof, "dump.rdb": []byte(payload),
	})
}

func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

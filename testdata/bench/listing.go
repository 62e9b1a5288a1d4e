package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// listed is how many snapshots the listing is measured with.
const listed = 1000

// listing measures `redisbak list` over many snapshots.
func (b *bench) listing(ctx context.Context) error {
	dir := filepath.Join(b.dir, "many")
	note("making a repository of %d snapshots", listed)
	if err := many(dir, listed); err != nil {
		return err
	}
	var took []time.Duration
	var rss int64
	for range max(b.rounds, 5) {
		began := time.Now()
		cmd := exec.CommandContext(ctx, b.binary, "list", "--repo", dir, "--json")
		if text, err := cmd.Output(); err != nil {
			return fmt.Errorf("list: %w: %s", err, text)
		}
		took = append(took, time.Since(began))
		rss = max(rss, peak(cmd))
	}
	slices.Sort(took)
	say("\n### `redisbak list --json` over %d verified snapshots\n", listed)
	heading("median", "peak memory")
	row(fmt.Sprintf("%d ms", took[len(took)/2].Milliseconds()), mib(rss))
	return nil
}

// many makes a repository by writing its files as the format describes them,
// without the flushes of a real commit.
func many(dir string, n int) error {
	r, err := repo.Init(dir)
	if err != nil {
		return err
	}
	payload := []byte("not a dump")
	sum := sha256.Sum256(payload)
	digest := hex.EncodeToString(sum[:])
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		at := first.Add(time.Duration(i) * time.Hour)
		id, err := snapshot.NewID(at, rand.Reader)
		if err != nil {
			return err
		}
		m := &snapshot.Manifest{
			Format: snapshot.Version, ID: id, Method: snapshot.MethodRDB, StartedAt: at, FinishedAt: at, PointInTime: at,
			Source: snapshot.Source{
				Name: "many", Container: "many", ContainerID: digest, Image: "redis:7.0", ImageID: "sha256:" + digest,
				Mount:   snapshot.Mount{Type: snapshot.MountVolume, Name: "many", Destination: "/data"},
				Options: snapshot.Options{Dir: "/data", DBFilename: "dump.rdb", Databases: 16},
			},
			Server: snapshot.Server{Software: "redis", Version: "7.0.15", Role: "master", RunID: digest[:40], RDBMagic: "REDIS", RDBVersion: 10},
			Root:   snapshot.Dir{UID: 999, GID: 999, Mode: 0o755},
			Files: []snapshot.File{{
				Path: "dump.rdb", Name: "dump.rdb", Compression: snapshot.None, Size: int64(len(payload)), SHA256: digest,
				StoredSize: int64(len(payload)), StoredSHA256: digest, UID: 999, GID: 999, Mode: 0o600,
			}},
			Keyspace: []snapshot.Keys{{DB: 0, Keys: int64(i + 1)}}, State: snapshot.Good,
		}
		if err := write(filepath.Join(r.Dir(), "many", string(id)), m, payload); err != nil {
			return err
		}
	}
	return nil
}

func write(dir string, m *snapshot.Manifest, payload []byte) error {
	encoded, err := snapshot.EncodeManifest(m)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(encoded)
	proof, err := snapshot.EncodeProof(&snapshot.Proof{
		ID: m.ID, Result: snapshot.Passed, At: m.FinishedAt, Layout: "rdb", ImageID: m.Source.ImageID, Server: "redis 7.0.15",
		Keyspace: m.Keyspace, ManifestID: hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		snapshot.ManifestName: encoded, snapshot.SumsName: snapshot.EncodeSums(snapshot.SumsFor(m, encoded)),
		snapshot.ProofName: proof, "dump.rdb": payload,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

//go:build engine

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
	"github.com/redisbak/redisbak/snapshot"
)

// FAULT 58: a verification boots the data as their own uid and writes and saves
// with it. Owners or modes with which the restored server could not live never
// pass, and never reach a volume.
func TestDataThatTheirOwnerCouldNotWriteNeverPass(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	source := enginetest.Start(t, enginetest.Options{Args: []string{"--dir", "/data/sub"}, Volume: volumeWith(t, "sub")})
	source.Load(1)
	id := string(h.snapshot(source.Name).ID)
	original := manifestOf(t, h, source.Name, id)
	for _, c := range []struct {
		name     string
		spoil    func(m *snapshot.Manifest)
		verified string // "never": the boot did not get as far as the data
	}{
		{"the dump is another's", func(m *snapshot.Manifest) { m.Files[0].UID, m.Files[0].GID = 4242, 4242 }, "failed"},
		{"the dump may not be read", func(m *snapshot.Manifest) { m.Files[0].Mode = 0o200 }, "failed"},
		{"the directory is another's", func(m *snapshot.Manifest) { m.Dirs[0].UID, m.Dirs[0].GID = 0, 0 }, "failed"},
		{"the directory may not be written", func(m *snapshot.Manifest) { m.Dirs[0].Mode = 0o500 }, "failed"},
		{"the root of the volume may not be entered", func(m *snapshot.Manifest) { m.Root.UID, m.Root.GID, m.Root.Mode = 0, 0, 0o700 }, "never"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &home{t: t, dir: h.dir, env: h.env}
			m, err := snapshot.DecodeManifest(bytes.NewReader(original))
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(m)
			h.forge(source.Name, m)
			h.run("check", "--read-data").must(t, exitOK)
			verify := h.run("verify", id)
			if verified := h.list()[0].Verified; verified != c.verified {
				t.Errorf("list says %q, want %q: %s", verified, c.verified, verify)
			}
			if c.verified == "never" {
				verify.must(t, exitFailure).says(t, "could not be verified", "Permission denied")
				return
			}
			verify.must(t, exitVerify).says(t, "verification failed: ")
			h.run("restore", "--id", id, "--start").must(t, exitVerify)
			h.run("restore").must(t, exitNotFound).says(t, "passed over")
			h.holds(nil, nil)
		})
	}
	m, err := snapshot.DecodeManifest(bytes.NewReader(original))
	if err != nil {
		t.Fatal(err)
	}
	h.forge(source.Name, m)
	h.run("verify", id).must(t, exitOK)
}

// volumeWith is a volume with a directory of the server's.
func volumeWith(t *testing.T, dir string) string {
	t.Helper()
	volume := enginetest.NewVolume(t)
	inVolume(t, volume, `mkdir "$1/`+dir+`" && chown 999:999 "$1/`+dir+`"`)
	return volume
}

func manifestOf(t *testing.T, h *home, source, id string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, source, id, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// forge puts another manifest in a snapshot's place, with checksums to match and
// without a proof.
func (h *home) forge(source string, m *snapshot.Manifest) {
	h.t.Helper()
	text, err := snapshot.EncodeManifest(m)
	if err != nil {
		h.t.Fatal(err)
	}
	dir := filepath.Join(h.dir, source, string(m.ID))
	for name, content := range map[string][]byte{"manifest.json": text, "SHA256SUMS": snapshot.EncodeSums(snapshot.SumsFor(m, text))} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	// The proof was of the other manifest.
	if err := os.Remove(filepath.Join(dir, "proof.json")); err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
}

package repo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/snapshot"
)

// What a restore depends on must be as it was committed, down to a manifest
// that is still valid but says something else.
func TestFault35_ASnapshotWithAChangedManifestIsNotSound(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "shop", time.Date(2026, 2, 8, 3, 15, 2, 0, time.UTC), 1, nil)
	if err := e.Sound(t.Context()); err != nil {
		t.Fatalf("a whole snapshot: %v", err)
	}
	file := filepath.Join(e.Dir, snapshot.ManifestName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `"uid": 999`, `"uid": 0`, 1)
	if changed == string(text) {
		t.Fatalf("no owner in the manifest to change: %s", text)
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	listing, err := r.List("shop")
	if err != nil || len(listing.Snapshots) != 1 {
		t.Fatalf("the changed manifest is still valid, and listed: %v, %v", listing, err)
	}
	var damaged *DamagedError
	if err := listing.Snapshots[0].Sound(t.Context()); !errors.As(err, &damaged) {
		t.Fatalf("Sound: %v, want a DamagedError", err)
	}
}

// A proof that is damaged takes nothing from the payload.
func TestSoundDoesNotMindADamagedProof(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "shop", time.Date(2026, 2, 8, 3, 15, 2, 0, time.UTC), 1, nil)
	if err := os.WriteFile(filepath.Join(e.Dir, snapshot.ProofName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Sound(t.Context()); err != nil {
		t.Fatalf("Sound: %v", err)
	}
}

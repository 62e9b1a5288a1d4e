package restore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/internal/repotest"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

// target is a Target that notes what it is asked to change and fails where the
// test says.
type target struct {
	survey  restore.Survey
	fail    map[string]error
	laid    restore.Laid // when staging fails
	changes []string
}

func (f *target) note(change string) error {
	f.changes = append(f.changes, change)
	verb, _, _ := strings.Cut(change, " ")
	return f.fail[verb]
}

func (f *target) Survey(context.Context, repo.Entry, restore.Request) (restore.Survey, error) {
	return f.survey, f.fail["survey"]
}
func (f *target) CreateVolume(_ context.Context, name string) error { return f.note("create " + name) }
func (f *target) RemoveVolume(_ context.Context, name, run string) error {
	return f.note("remove " + name + " of " + run)
}
func (f *target) Stage(_ context.Context, p *restore.Plan, _ restore.Progress) (restore.Laid, error) {
	if err := f.note("stage " + p.Volume); err != nil {
		return f.laid, err
	}
	return restore.LaidAll, nil
}
func (f *target) Start(_ context.Context, p *restore.Plan, _ restore.Progress) (restore.Started, error) {
	return restore.Started{Name: p.Start.Name}, f.note("start " + p.Start.Name)
}

// fresh is a target without a volume yet.
func fresh() *target {
	return &target{fail: map[string]error{}, survey: restore.Survey{
		Layout: snapshot.LayoutRDB, Image: restore.Image{ID: "sha256:1", Ref: "redis:7.0"},
		Destination: "/data", Pieces: []restore.Piece{{File: snapshot.File{Path: "dump.rdb", Name: "dump.rdb.gz"}}}, Expired: 1,
	}}
}

// run1 is the run of the tests.
const run1 = "00000000000000a1"

const volume = "shop-data-recovery-20260208T031502Z-7k3f"

// verdict gives a Verify that comes to one result.
func verdict(result snapshot.Result) func(context.Context, repo.Entry, string) (snapshot.Proof, error) {
	return func(_ context.Context, e repo.Entry, _ string) (snapshot.Proof, error) {
		return snapshot.Proof{ID: e.Manifest.ID, Result: result, Layout: snapshot.LayoutRDB, Reason: "as the test says"}, nil
	}
}

func options(result snapshot.Result) restore.Options {
	return restore.Options{
		Run: run1, Now: time.Now, Warn: func(string) {}, Progress: func(string, int64, int64) {}, Verify: verdict(result),
	}
}

func prepare(t *testing.T, f *target, r *repo.Repo, req restore.Request) *restore.Plan {
	t.Helper()
	p, err := restore.Prepare(t.Context(), f, r, repotest.Reload(t, r), req, restore.VerifyUnproven)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// journal is the state of the last restore's record, "" where there is none.
func journal(t *testing.T, r *repo.Repo) string {
	t.Helper()
	records, err := r.Restores("shop")
	if err != nil {
		t.Fatal(err)
	}
	if len(records) == 0 {
		return ""
	}
	return records[0].State
}

func TestARestoreDoesWhatItsPlanSays(t *testing.T) {
	r := repotest.New(t)
	repotest.Commit(t, r)
	f := fresh()
	p := prepare(t, f, r, restore.Request{Start: &restore.Start{}})
	if len(f.changes) != 0 {
		t.Fatalf("the plan changed something: %q", f.changes)
	}
	var actions []string
	for _, s := range p.Steps {
		actions = append(actions, s.Action)
	}
	want := []string{restore.ActionCheck, restore.ActionVerify, restore.ActionCreate, restore.ActionStage, restore.ActionReread, restore.ActionStart}
	if !slices.Equal(actions, want) {
		t.Errorf("steps %q, want %q", actions, want)
	}
	result, err := restore.Run(t.Context(), f, r, p, options(snapshot.Passed))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"create " + volume, "stage " + volume, "start shop-recovery-20260208T031502Z-7k3f"}; !slices.Equal(f.changes, want) {
		t.Errorf("changes %q, want %q", f.changes, want)
	}
	if *result.Keys != 2 || result.Proof == nil || journal(t, r) != repo.RestoreDone {
		t.Errorf("keys %d, proof %v, journal %q", *result.Keys, result.Proof, journal(t, r))
	}
}

func TestFault60_WhatAFailureLeaves(t *testing.T) {
	broken := errors.New("no space left")
	for _, c := range []struct {
		name    string
		exists  bool
		fail    string
		laid    restore.Laid
		says    string
		changes []string
	}{
		{"our own volume goes", false, "stage", restore.LaidPart, "", []string{"create " + volume, "stage " + volume, "remove " + volume + " of " + run1}},
		{"nor does it stay empty", false, "stage", restore.LaidNothing, "", []string{"create " + volume, "stage " + volume, "remove " + volume + " of " + run1}},
		{"the user's stays", true, "stage", restore.LaidPart, "may hold a part of the restored files: ", []string{"stage " + volume}},
		{"the user's stays as it was", true, "stage", restore.LaidNothing, "is as it was, nothing was written to it: ", []string{"stage " + volume}},
		{"what is restored stays, the user's", true, "stage", restore.LaidAll, "is restored and checked; ", []string{"stage " + volume}},
		{"what is restored stays", false, "stage", restore.LaidAll, "is restored and checked; ", []string{"create " + volume, "stage " + volume}},
		{"no volume, nothing to remove", false, "create", 0, "", []string{"create " + volume}},
		{"what is restored stays though its container does not start", false, "start", 0, "is restored and checked; ",
			[]string{"create " + volume, "stage " + volume, "start shop-recovery-20260208T031502Z-7k3f"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := repotest.New(t)
			repotest.Commit(t, r)
			f := fresh()
			f.survey.VolumeExists = c.exists
			f.fail[c.fail], f.laid = broken, c.laid
			p := prepare(t, f, r, restore.Request{Start: &restore.Start{}})
			_, err := restore.Run(t.Context(), f, r, p, options(snapshot.Passed))
			if !errors.Is(err, broken) {
				t.Fatalf("error %v, want %v", err, broken)
			}
			if want := `volume "` + volume + `" ` + c.says; c.says == "" && err.Error() != broken.Error() || c.says != "" && !strings.HasPrefix(err.Error(), want) {
				t.Errorf("says %q, want it to begin with %q", err, want)
			}
			if !slices.Equal(f.changes, c.changes) {
				t.Errorf("changes %q, want %q", f.changes, c.changes)
			}
			if got := journal(t, r); got != repo.RestoreStarted {
				t.Errorf("journal %q, want started", got)
			}
		})
	}
}

func TestFault16_ASnapshotThatFailsItsBootIsNotRestored(t *testing.T) {
	r := repotest.New(t)
	repotest.Commit(t, r)
	f := fresh()
	p := prepare(t, f, r, restore.Request{})
	var failed *verify.FailedError
	if _, err := restore.Run(t.Context(), f, r, p, options(snapshot.Failed)); !errors.As(err, &failed) {
		t.Fatalf("error %v, want a FailedError", err)
	}
	if len(f.changes) != 0 || journal(t, r) != "" {
		t.Errorf("changed %q, journal %q, want nothing", f.changes, journal(t, r))
	}
}

func TestAnInconclusiveBootDoesNotStopARestore(t *testing.T) {
	r := repotest.New(t)
	repotest.Commit(t, r)
	f := fresh()
	var warned []string
	o := options(snapshot.Inconclusive)
	o.Warn = func(w string) { warned = append(warned, w) }
	result, err := restore.Run(t.Context(), f, r, prepare(t, f, r, restore.Request{}), o)
	if err != nil || result.Proof != nil || len(warned) != 1 {
		t.Errorf("error %v, proof %v, warned %q: want done, unproven and said", err, result.Proof, warned)
	}
}

func TestFault35_DamageIsFoundBeforeAVolumeIsTouched(t *testing.T) {
	r := repotest.New(t)
	e := repotest.Commit(t, r)
	f := fresh()
	p := prepare(t, f, r, restore.Request{})
	payload := filepath.Join(e.Dir, "dump.rdb.gz")
	text, err := os.ReadFile(payload)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(payload, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var mismatch *snapshot.MismatchError
	if _, err := restore.Run(t.Context(), f, r, p, options(snapshot.Passed)); !errors.As(err, &mismatch) {
		t.Fatalf("error %v, want a MismatchError", err)
	}
	if len(f.changes) != 0 {
		t.Errorf("changed %q, want nothing", f.changes)
	}
}

// A proof of this layout on this image is worth as much as a new boot, and one
// on another image is not.
func TestAProvenSnapshotIsNotBootedAgain(t *testing.T) {
	for image, boots := range map[string]bool{"sha256:" + strings.Repeat("ab", 32): false, "sha256:" + strings.Repeat("cd", 32): true} {
		r := repotest.New(t)
		e := repotest.Commit(t, r)
		proof := snapshot.Proof{
			ID: e.Manifest.ID, Result: snapshot.Passed, At: time.Now(), Layout: snapshot.LayoutRDB, Server: "redis 7.0.15",
			ImageID: "sha256:" + strings.Repeat("ab", 32), ManifestID: e.ManifestSHA256, Keyspace: e.Manifest.Keyspace,
		}
		if err := r.WriteProof(t.Context(), e, &proof); err != nil {
			t.Fatal(err)
		}
		f := fresh()
		f.survey.Image.ID = image
		if p := prepare(t, f, r, restore.Request{}); p.Verify != boots {
			t.Errorf("image %s: boots first %v, want %v", image, p.Verify, boots)
		}
	}
}

// Package verify proves a snapshot by booting it: a throw-away copy on a
// scratch volume, a server from the snapshot's own image, isolated from every
// network, counted, digested, written to and saved again as the data's owner.
//
// It promises that "passed" means all of that happened and agreed with the
// manifest, and that "failed" is said of the data only: where the copy was
// proven to be byte for byte what the manifest says and the server then
// refused it or showed other data. Whatever else goes wrong (no image, no
// memory, no disk, a time-out) is inconclusive and says nothing about the
// snapshot.
//
// It does not touch the source, its volume or the repository's payload.
package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// Proof is what a boot of a snapshot showed; package snapshot owns its
// encoding.
type Proof = snapshot.Proof

// Lab boots snapshots on throw-away copies.
type Lab interface {
	// Boot lays the snapshot's payload down on a scratch volume, re-reads and
	// checks every byte there, boots a server on it and waits until it serves.
	// The subject is never nil where err is nil. A *RefusedError means that
	// the bytes were right and the server would not have them; a
	// *snapshot.MismatchError that the stored payload is damaged.
	Boot(ctx context.Context, e repo.Entry, opts BootOptions) (Subject, error)
}

// Subject is a server that was booted on a copy of a snapshot.
type Subject interface {
	Facts() Facts
	// Observe counts keys and digests the data as they were loaded.
	Observe(ctx context.Context) (Observation, error)
	// TryWrites makes the server a master, writes a key, saves, and appends
	// to an AOF. A *RefusedError means that the server answered no.
	TryWrites(ctx context.Context) error
	// Log is what the server has written to its log.
	Log(ctx context.Context) (string, error)
	// Close removes server and scratch volume.
	Close(ctx context.Context) error
}

// Facts of a boot.
type Facts struct {
	Layout  string
	ImageID string
	Server  string // software and version
	Fill    time.Duration
	Load    time.Duration
}

// Observation is what the booted server holds.
type Observation struct {
	Keyspace []snapshot.Keys
	Digest   string
}

// RefusedError says that a booted server refused intact bytes.
type RefusedError struct {
	Reason string
	Facts  Facts // where the boot got no further
}

func (e *RefusedError) Error() string { return e.Reason }

// IncompatibleError says that the image's server is not one that loads data of
// the snapshot's server. It is no verdict on the snapshot.
type IncompatibleError struct {
	Image  string
	Reason string
}

func (e *IncompatibleError) Error() string {
	return fmt.Sprintf("image %s cannot load the snapshot: %s", e.Image, e.Reason)
}

// FailedError is a verification that failed, for callers that cannot go on.
type FailedError struct{ Proof Proof }

func (e *FailedError) Error() string {
	return fmt.Sprintf("snapshot %s: verification failed: %s", e.Proof.ID, e.Proof.Reason)
}

// BootOptions of a boot.
type BootOptions struct {
	Image    string // boot this image instead of the snapshot's own
	Layout   string // lay the data down so; "": as they were captured
	Progress func(phase string, done, total int64)
}

// Options of Run.
type Options struct {
	BootOptions
	LockWait time.Duration
	Now      func() time.Time
	Warn     func(string)
}

// closeTimeout bounds the removal of a throw-away server and its volume.
const closeTimeout = 60 * time.Second

// Run verifies e, records the proof beside it and returns it. The error is not
// nil only where there is no verdict to record: the payload is damaged (a
// *snapshot.MismatchError), the image's server is of the wrong kind (an
// *IncompatibleError), the snapshot is locked, ctx ended.
func Run(ctx context.Context, lab Lab, r *repo.Repo, e repo.Entry, opts Options) (Proof, error) {
	keep, err := r.LockKeep(ctx, e.Manifest.Source.Name, opts.LockWait)
	switch {
	case errors.Is(err, repo.ErrNotWritable):
		opts.Warn(fmt.Sprintf("going on without a lock: %v", err))
	case err != nil:
		return Proof{}, err
	default:
		defer keep.Release()
	}
	if err := e.Sound(ctx); err != nil {
		return Proof{}, err
	}
	proof, err := boot(ctx, lab, e, opts)
	if err != nil {
		return Proof{}, err
	}
	if proof.Result == snapshot.Inconclusive {
		// An older verdict is worth more than "could not look".
		return proof, nil
	}
	err = r.WriteProof(ctx, e, &proof)
	if errors.Is(err, repo.ErrNotWritable) {
		opts.Warn(fmt.Sprintf("the proof of %s is not recorded: %v", e.Manifest.ID, err))
		err = nil
	}
	return proof, err
}

// boot carries the verification out and turns what happened into a proof.
func boot(ctx context.Context, lab Lab, e repo.Entry, opts Options) (Proof, error) {
	proof := Proof{ID: e.Manifest.ID, ManifestID: e.ManifestSHA256}
	began := opts.Now()
	judgeErr := examine(ctx, lab, e, opts, &proof)
	proof.At = opts.Now().UTC()
	proof.Total = proof.At.Sub(began)

	var refused *RefusedError
	var damaged *snapshot.MismatchError
	var other *IncompatibleError
	switch {
	case judgeErr == nil:
		proof.Result = snapshot.Passed
	case errors.As(judgeErr, &refused):
		proof.Result, proof.Reason = snapshot.Failed, refused.Reason
	case errors.As(judgeErr, &damaged), errors.As(judgeErr, &other), ctx.Err() != nil:
		return Proof{}, judgeErr
	default:
		proof.Result, proof.Reason = snapshot.Inconclusive, judgeErr.Error()
	}
	return proof, nil
}

func examine(ctx context.Context, lab Lab, e repo.Entry, opts Options, proof *Proof) (err error) {
	subject, err := lab.Boot(ctx, e, opts.BootOptions)
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		record(proof, refused.Facts)
	}
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if closeErr := subject.Close(clean); closeErr != nil {
			// What is left is swept by the next run; the verdict stands.
			opts.Warn(fmt.Sprintf("removal of the verifier of %s: %v", e.Manifest.ID, closeErr))
		}
	}()
	facts := subject.Facts()
	record(proof, facts)
	seen, err := subject.Observe(ctx)
	if err != nil {
		return err
	}
	proof.Keyspace, proof.Digest = seen.Keyspace, seen.Digest
	if err := compare(e, seen, facts.ImageID); err != nil {
		return err
	}
	log, err := subject.Log(ctx)
	if err != nil {
		return err
	}
	if line := truncation(log); line != "" {
		return &RefusedError{Reason: "the server cut the data as it loaded: " + line}
	}
	return subject.TryWrites(ctx)
}

func record(p *Proof, f Facts) {
	p.Layout, p.ImageID, p.Server, p.Fill, p.Load = f.Layout, f.ImageID, f.Server, f.Fill, f.Load
}

// compare holds what was booted against the manifest and the last proof. A
// digest says something about the data only within one image.
func compare(e repo.Entry, seen Observation, imageID string) error {
	if want := e.Manifest.Keyspace; want != nil && !slices.Equal(want, seen.Keyspace) {
		return &RefusedError{Reason: fmt.Sprintf("keys differ: captured %s, booted %s", Counts(want), Counts(seen.Keyspace))}
	}
	last := e.Proof
	if last != nil && last.Result == snapshot.Passed && last.ImageID == imageID &&
		last.Digest != "" && seen.Digest != "" && last.Digest != seen.Digest {
		return &RefusedError{Reason: fmt.Sprintf("digest differs: %s at the last verification, %s now", last.Digest, seen.Digest)}
	}
	return nil
}

// Counts prints a keyspace for people.
func Counts(keyspace []snapshot.Keys) string {
	if len(keyspace) == 0 {
		return "no keys"
	}
	parts := make([]string, len(keyspace))
	for i, k := range keyspace {
		parts[i] = fmt.Sprintf("db%d: %d (%d with a TTL)", k.DB, k.Keys, k.Expires)
	}
	return strings.Join(parts, ", ")
}

// truncation finds the line by which every server since 6.0 admits that it
// dropped the end of what it was given.
func truncation(log string) string {
	for line := range strings.Lines(log) {
		lower := strings.ToLower(line)
		if strings.Contains(lower, "truncat") || strings.Contains(lower, "short read") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

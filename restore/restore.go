// Package restore puts a snapshot back: it makes a plan that can be read
// first, and carries it out into a fresh or empty volume from which the
// original container serves exactly the snapshot's data.
//
// It promises that every stored byte was checked, and a copy of the snapshot
// booted where it had no proof yet, before a volume is touched; that what was
// laid down was read back and found right; that a volume it created is removed
// again when it fails before that, and a user's own never is.
//
// It does not boot the restored volume unless asked to start a container on
// it, and it never touches the source's volume.
package restore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

// Target is where a snapshot is put back.
type Target interface {
	// Survey looks at the volume, the image and the way in which the target
	// will start. It changes nothing, and fails where the plan could not be
	// carried out.
	Survey(ctx context.Context, e repo.Entry, req Request) (Survey, error)
	CreateVolume(ctx context.Context, name string) error
	// RemoveVolume removes a volume that the given run of ours created.
	RemoveVolume(ctx context.Context, name, run string) error
	// Stage lays the plan's pieces down, then reads every byte back and
	// compares. It makes no volume. How much it laid down is valid with an
	// error too.
	Stage(ctx context.Context, p *Plan, progress Progress) (Laid, error)
	// Start runs a container on the restored volume and waits until it
	// serves the data. Started is valid, as far as it got, with an error too.
	Start(ctx context.Context, p *Plan, progress Progress) (Started, error)
}

// Laid says how much of a snapshot a volume holds.
type Laid int

// The amounts.
const (
	LaidNothing Laid = iota // the volume was not written to
	LaidPart                // from nothing to all, and not all found right
	LaidAll                 // every byte was read back and found right
)

// Progress is told how far a phase ("check", "stage", "re-read", "load") has
// come; total is 0 where it is not known.
type Progress func(phase string, done, total int64)

// Request is what the user asked for.
type Request struct {
	Volume string // "": the default name
	Layout string // "": as the target will start
	Image  string // "": the source's own
	Pull   bool   // the image may be pulled
	Start  *Start
	// Leftover is the record of an earlier restore into this volume that
	// was killed; nil: there is none.
	Leftover *repo.RestoreRecord
}

// Survey is what a look at the target showed.
type Survey struct {
	VolumeExists bool
	// BeginAnew: the volume holds only what the killed restore of
	// Request.Leftover laid down, and nobody refers to it.
	BeginAnew   bool
	Destination string
	Layout      string
	Image       Image
	Dirs        []snapshot.Dir
	Pieces      []Piece
	Convert     bool
	Expired     int64
	Warnings    []string
}

// Started is a container that serves the restored data.
type Started struct {
	Name string
	Keys *int64
}

// VolumeError says why a volume cannot take a restore.
type VolumeError struct {
	Volume string
	Reason string
	Needed bool // it is in use, or the source's own
}

func (e *VolumeError) Error() string { return fmt.Sprintf("volume %q: %s", e.Volume, e.Reason) }

// LayoutError says that the container to be started would not look at what is
// to be laid down: it would serve nothing, and might save that over it.
type LayoutError struct {
	Layout string // that was asked for
	Starts string // the one from which it starts
	Why    string
}

func (e *LayoutError) Error() string {
	return fmt.Sprintf("the container would start from layout %s and ignore what is laid down as %s: %s", e.Starts, e.Layout, e.Why)
}

// ReplicaError says that the target would start as a replica, and throw the
// restored data away for its master's.
type ReplicaError struct{ Why string }

func (e *ReplicaError) Error() string {
	return "target would take its master's data in the place of the restored ones: " + e.Why
}

// ApartError says that the started container must be kept off every network,
// and so cannot publish a port.
type ApartError struct{ Why string }

func (e *ApartError) Error() string { return "no port can be published: " + e.Why }

// PartsError says that an append-only file in several parts cannot be laid down
// as one file: no server takes it so.
type PartsError struct{ ID snapshot.ID }

func (e *PartsError) Error() string {
	return fmt.Sprintf("snapshot %s: its append-only file is in several parts, and cannot be laid down as layout aof-legacy", e.ID)
}

// LoadError says that the target's server cannot load the snapshot.
type LoadError struct{ Reason string }

func (e *LoadError) Error() string { return "target cannot load the snapshot: " + e.Reason }

// UnknownStartError says that it cannot be told from what the target will
// start.
type UnknownStartError struct{ Reason string }

func (e *UnknownStartError) Error() string {
	return "from what the target will start is not known: " + e.Reason
}

// Options of Run.
type Options struct {
	Run      string // id of this run, which labels and journal carry
	LockWait time.Duration
	Now      func() time.Time
	Warn     func(string)
	Progress Progress
	// Verify boots a throw-away copy of the snapshot in a layout.
	Verify func(ctx context.Context, e repo.Entry, layout string) (snapshot.Proof, error)
}

// VerifyMode says whether a throw-away copy is booted before the restore.
type VerifyMode int

// The modes.
const (
	VerifyUnproven VerifyMode = iota // where no passed proof for the layout stands
	VerifyAlways
	VerifyNever
)

// Prepare checks the stored bytes of e, surveys the target and returns the
// plan. It changes nothing.
func Prepare(ctx context.Context, t Target, r *repo.Repo, e repo.Entry, req Request, mode VerifyMode) (*Plan, error) {
	if req.Volume == "" {
		req.Volume = DefaultVolume(e.Manifest)
	}
	if req.Start != nil && req.Start.Name == "" {
		req.Start.Name = DefaultContainer(e.Manifest)
	}
	if err := e.Sound(ctx); err != nil {
		return nil, err
	}
	leftover, err := leftover(r, e.Manifest.Source.Name, req.Volume)
	if err != nil {
		return nil, err
	}
	req.Leftover = leftover
	s, err := t.Survey(ctx, e, req)
	if err != nil {
		return nil, err
	}
	p := &Plan{
		Entry: e, Volume: req.Volume, Create: !s.VolumeExists || s.BeginAnew, Destination: s.Destination,
		Layout: s.Layout, Image: s.Image, Dirs: s.Dirs, Pieces: s.Pieces, Convert: s.Convert,
		Start: req.Start, Expired: s.Expired, Warnings: s.Warnings,
	}
	if s.BeginAnew {
		p.replaces = leftover.Run
	}
	p.Verify = mode == VerifyAlways || mode == VerifyUnproven && !proven(p)
	p.Steps = p.steps()
	return p, nil
}

// leftover finds the journal of a restore into volume whose process is gone.
func leftover(r *repo.Repo, source, volume string) (*repo.RestoreRecord, error) {
	records, err := r.Restores(source)
	if err != nil {
		return nil, err
	}
	for _, rec := range records {
		if rec.Volume == volume && rec.Created && rec.State == repo.RestoreStarted && r.RunDead(rec.Run) {
			return &rec, nil
		}
	}
	return nil, nil
}

// Booted is the layout of which a boot proves the plan: what is converted is
// booted as it was captured.
func (p *Plan) Booted() string {
	if p.Convert {
		return p.Entry.Manifest.Layout()
	}
	return p.Layout
}

// proven: a boot of the same layout by the same image showed the data. Another
// image may be one that cannot load them.
func proven(p *Plan) bool {
	proof := p.Entry.Proof
	return proof != nil && proof.Result == snapshot.Passed && proof.Layout == p.Booted() && proof.ImageID == p.Image.ID
}

// Run carries p out. The caller holds the source's keep lock.
func Run(ctx context.Context, t Target, r *repo.Repo, p *Plan, opts Options) (Result, error) {
	began := opts.Now()
	result := Result{Plan: p, Keys: p.Keys()}
	if proven(p) {
		result.Proof = p.Entry.Proof
	}
	if err := checkStored(ctx, p.Entry, opts.Progress); err != nil {
		return result, err
	}
	if p.Verify {
		proof, err := opts.Verify(ctx, p.Entry, p.Booted())
		if err != nil {
			return result, err
		}
		switch proof.Result {
		case snapshot.Failed:
			return result, &verify.FailedError{Proof: proof}
		case snapshot.Inconclusive:
			opts.Warn(fmt.Sprintf("%s could not be verified: %s", p.Entry.Manifest.ID, proof.Reason))
		default:
			result.Proof = &proof
		}
	}
	started, err := apply(ctx, t, r, p, opts)
	result.Container = started.Name
	if started.Keys != nil {
		result.Keys = started.Keys
	}
	result.Took = opts.Now().Sub(began)
	return result, err
}

// apply makes the changes, journalled from before the first to after the last.
func apply(ctx context.Context, t Target, r *repo.Repo, p *Plan, opts Options) (Started, error) {
	journal, err := begin(r, p, opts)
	if err != nil {
		return Started{}, err
	}
	if err := fill(ctx, t, p, opts); err != nil {
		return Started{}, err
	}
	var started Started
	if p.Start != nil {
		if started, err = t.Start(ctx, p, opts.Progress); err != nil {
			return started, fmt.Errorf("volume %q is restored and checked; %w", p.Volume, err)
		}
	}
	if journal != nil {
		if err := journal.Finish(opts.Now().UTC()); err != nil {
			return started, fmt.Errorf("volume %q is restored and checked, its journal is not closed: %w", p.Volume, err)
		}
	}
	return started, nil
}

// begin journals what is about to be done; nil where the repository cannot be
// written.
func begin(r *repo.Repo, p *Plan, opts Options) (*repo.Restore, error) {
	rec := repo.RestoreRecord{
		Run: opts.Run, Source: p.Entry.Manifest.Source.Name, ID: p.Entry.Manifest.ID, Volume: p.Volume,
		Created: p.Create, Bootable: p.Pieces[len(p.Pieces)-1].Path, StartedAt: opts.Now().UTC(),
	}
	for _, f := range p.Pieces {
		rec.Paths = append(rec.Paths, f.Path)
	}
	journal, err := r.StartRestore(rec)
	if errors.Is(err, repo.ErrNotWritable) {
		opts.Warn(fmt.Sprintf("going on without a journal: %v", err))
		return nil, nil
	}
	return journal, err
}

// cleanTimeout bounds the removal of a volume that a failed restore created.
const cleanTimeout = 60 * time.Second

// fill makes the volume where it is to be made and stages the data. A volume
// of this run's making does not outlive an error, unless all of it is there.
func fill(ctx context.Context, t Target, p *Plan, opts Options) error {
	if p.replaces != "" {
		if err := t.RemoveVolume(ctx, p.Volume, p.replaces); err != nil {
			return err
		}
	}
	if p.Create {
		if err := t.CreateVolume(ctx, p.Volume); err != nil {
			return err
		}
	}
	laid, err := t.Stage(ctx, p, opts.Progress)
	switch {
	case err == nil:
		return nil
	case laid == LaidAll:
		return fmt.Errorf("volume %q is restored and checked; %w", p.Volume, err)
	case p.Create: // and is removed
	case laid == LaidNothing:
		return fmt.Errorf("volume %q is as it was, nothing was written to it: %w", p.Volume, err)
	default:
		return fmt.Errorf("volume %q may hold a part of the restored files: %w", p.Volume, err)
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if rmErr := t.RemoveVolume(clean, p.Volume, opts.Run); rmErr != nil {
		return errors.Join(err, fmt.Errorf("volume %q, half restored, is still there: %w", p.Volume, rmErr))
	}
	return err
}

// checkStored re-reads the payload before anything is changed for its sake.
func checkStored(ctx context.Context, e repo.Entry, progress Progress) error {
	total, done := e.StoredBytes(), int64(0)
	for _, f := range e.Manifest.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		stored, err := e.OpenStored(f)
		if err != nil {
			return err
		}
		err = snapshot.CheckStored(stored, f)
		stored.Close()
		if err != nil {
			return fmt.Errorf("snapshot %s: %w", e.Manifest.ID, err)
		}
		done += f.StoredSize
		progress("check", done, total)
	}
	return nil
}

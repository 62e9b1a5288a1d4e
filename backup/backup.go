// Package backup takes a snapshot: it has a source capture its data, judges
// what came, commits it to the repository and has it verified.
//
// It promises that nothing is committed that the source did not prove to be
// whole and newer than the request, that a suspiciously small capture is
// committed as suspect and said so, and that after an error nothing half-made
// is listed.
//
// It does not know how a server is reached or asked to save: that is the
// Source's. It does not prune.
package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// Source is the little that a backup needs of an instance.
type Source interface {
	// Preflight describes the source and says what stands against a capture.
	// It changes nothing, neither at the server nor on its volume.
	Preflight(ctx context.Context) (Preflight, error)
	// Capture has the server save and writes each file of what it saved to
	// sink. It returns without error only where the files are whole and show
	// the server's data at or after the moment of the call.
	Capture(ctx context.Context, sink Sink, progress Progress) (Capture, error)
	// Unchanged fails where the container, its volume or the server process
	// is not the one that Preflight saw.
	Unchanged(ctx context.Context) error
}

// Sink takes the files of a capture.
type Sink interface {
	// Create begins a payload file. base is its name before the suffix of the
	// sink's compression.
	Create(base string) (File, error)
}

// File is one payload file being written.
type File interface {
	io.WriteCloser
	// Stored tells name, compression, sizes and checksums of what was
	// written, once Close has returned nil.
	Stored() snapshot.File
	// Discard throws the file away, closed or not, as if it had not been
	// begun.
	Discard() error
}

// Preflight is what a look at the source showed before anything was asked of it.
type Preflight struct {
	Source   snapshot.Source
	Server   snapshot.Server
	Warnings []string
	// Refusals are reasons not to ask for a save: it would be bound to fail
	// or could harm the server.
	Refusals []string
}

// Capture is what a source delivered.
type Capture struct {
	Method      string
	PointInTime time.Time
	Server      snapshot.Server
	Root        snapshot.Dir
	Dirs        []snapshot.Dir
	Files       []snapshot.File
	Keyspace    []snapshot.Keys // nil: the keys could not be counted
	Warnings    []string
}

// Progress is told how far a phase ("save", "copy") has come; total is 0 where
// it is not known.
type Progress func(phase string, done, total int64)

// Options of Take.
type Options struct {
	Compression snapshot.Compression
	Force       bool // go on in spite of Preflight's refusals
	AcceptDrop  bool // accept a capture that would be suspect
	Tags        []string
	Run         string // id of this run, for those who meet its locks
	LockWait    time.Duration
	Now         func() time.Time
	Warn        func(string)
	Progress    Progress
	// Verify boots the committed snapshot; nil: it stays unverified.
	Verify func(context.Context, repo.Entry) (snapshot.Proof, error)
}

// Result is a committed snapshot. Proof is nil where none was asked for;
// VerifyErr says why a verification could not be carried out.
type Result struct {
	Entry     repo.Entry
	Proof     *snapshot.Proof
	VerifyErr error
}

// RefusedError says why no save was asked for.
type RefusedError struct {
	Source  string
	Reasons []string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("source %q: no save asked for: %s", e.Source, joinReasons(e.Reasons))
}

// Take captures src and commits the result to r as a snapshot of the source
// named name. An error means that nothing was committed, except where it wraps
// ErrAfterCommit.
func Take(ctx context.Context, src Source, r *repo.Repo, name string, opts Options) (Result, error) {
	if err := snapshot.ValidSourceName(name); err != nil {
		return Result{}, err
	}
	if err := r.Sweep(ctx, name); err != nil {
		opts.Warn(fmt.Sprintf("what a killed run left of %q is still there: %v", name, err))
	}
	writer, err := r.LockWriter(ctx, name, opts.LockWait, opts.Run)
	if err != nil {
		return Result{}, err
	}
	defer writer.Release()
	keep, err := r.LockKeep(ctx, name, opts.LockWait)
	if err != nil {
		return Result{}, err
	}
	defer keep.Release()

	entry, err := commit(ctx, src, r, name, writer, opts)
	if err != nil {
		return Result{Entry: entry}, err
	}
	// The writer's part is done: a verification may take long, and the next
	// snapshot need not wait for it.
	if err := writer.Release(); err != nil {
		return Result{}, fmt.Errorf("writer lock of %q: %w", name, err)
	}
	if entry, err = mark(ctx, r, entry, opts); err != nil {
		return Result{Entry: entry}, fmt.Errorf("%w: marks of %s: %w", ErrAfterCommit, entry.Manifest.ID, err)
	}
	result := Result{Entry: entry}
	if opts.Verify != nil {
		proof, err := opts.Verify(ctx, entry)
		if err != nil {
			result.VerifyErr = err
			return result, nil
		}
		result.Proof, result.Entry.Proof = &proof, &proof
	}
	return result, nil
}

// ErrAfterCommit marks a failure after the snapshot was committed: it is
// listed and restorable.
var ErrAfterCommit = errors.New("snapshot committed, then")

// commit captures into a draft and commits it; after an error no draft is left.
func commit(ctx context.Context, src Source, r *repo.Repo, name string, writer *repo.Lock, opts Options) (repo.Entry, error) {
	started := opts.Now().UTC()
	pre, err := Look(ctx, src, name, opts)
	if err != nil {
		return repo.Entry{}, err
	}
	listing, err := r.List(name)
	if err != nil {
		return repo.Entry{}, err
	}
	if shared := rival(pre.Source.ContainerID, listing.Snapshots); shared != "" {
		opts.Warn(shared)
	}
	id, err := snapshot.NewID(started, rand.Reader)
	if err != nil {
		return repo.Entry{}, err
	}
	draft, err := r.Begin(ctx, name, id, writer)
	if err != nil {
		return repo.Entry{}, err
	}
	entry, err := fill(ctx, src, draft, listing.Snapshots, &snapshot.Manifest{
		Format: snapshot.Version, ID: id, Source: pre.Source, StartedAt: started,
	}, opts)
	var weak *repo.NotDurableError
	if errors.As(err, &weak) {
		return entry, fmt.Errorf("%w: %w", ErrAfterCommit, err)
	}
	if err != nil {
		return repo.Entry{}, errors.Join(err, draft.Abort())
	}
	return entry, nil
}

// Look is what Take does before it asks for anything: it describes the source
// named name, and is a *RefusedError where something stands against a capture
// and opts do not force it. It changes nothing.
func Look(ctx context.Context, src Source, name string, opts Options) (Preflight, error) {
	pre, err := src.Preflight(ctx)
	if err != nil {
		return Preflight{}, err
	}
	pre.Source.Name = name
	for _, w := range pre.Warnings {
		opts.Warn(w)
	}
	if len(pre.Refusals) == 0 {
		return pre, nil
	}
	if !opts.Force {
		return Preflight{}, &RefusedError{Source: name, Reasons: pre.Refusals}
	}
	for _, reason := range pre.Refusals {
		opts.Warn("forced: " + reason)
	}
	return pre, nil
}

func fill(ctx context.Context, src Source, draft *repo.Draft, history []repo.Entry, m *snapshot.Manifest, opts Options) (repo.Entry, error) {
	got, err := src.Capture(ctx, sink{draft, opts.Compression}, opts.Progress)
	if err != nil {
		return repo.Entry{}, err
	}
	for _, w := range got.Warnings {
		opts.Warn(w)
	}
	if err := src.Unchanged(ctx); err != nil {
		return repo.Entry{}, err
	}
	m.Method, m.PointInTime, m.Server = got.Method, got.PointInTime.UTC(), got.Server
	m.Root, m.Dirs, m.Files, m.Keyspace = got.Root, got.Dirs, got.Files, got.Keyspace
	verdict := Judge(measure(m), history)
	m.State, m.Reason = verdict.State, verdict.Reason
	for _, w := range verdict.Warnings {
		opts.Warn(w)
	}
	m.FinishedAt = opts.Now().UTC()
	return draft.Commit(ctx, m)
}

// mark records what the caller says about the snapshot itself.
func mark(ctx context.Context, r *repo.Repo, e repo.Entry, opts Options) (repo.Entry, error) {
	accept := opts.AcceptDrop && e.Manifest.State == snapshot.Suspect
	if !accept && len(opts.Tags) == 0 {
		return e, nil
	}
	marks, err := r.UpdateMarks(ctx, e, func(m *snapshot.Marks) error {
		m.Accepted, m.Tags = accept, opts.Tags
		return nil
	})
	if err == nil {
		e.Marks = marks
	}
	return e, err
}

// sink hands a draft's files to the source.
type sink struct {
	draft       *repo.Draft
	compression snapshot.Compression
}

func (s sink) Create(base string) (File, error) {
	name := base + s.compression.Suffix()
	f, err := s.draft.Create(name, s.compression)
	if err != nil {
		return nil, err
	}
	return file{DraftFile: f, sink: s, name: name}, nil
}

type file struct {
	*repo.DraftFile
	sink sink
	name string
}

func (f file) Stored() snapshot.File {
	stored := snapshot.File{Name: f.name, Compression: f.sink.compression}
	stored.Size, stored.SHA256, stored.StoredSize, stored.StoredSHA256 = f.Sum()
	return stored
}

func (f file) Discard() error { return f.sink.draft.Discard(f.DraftFile) }

package instance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/rdb"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

// Stage lays the plan's pieces down and reads them back. A conversion comes
// before the first of them.
func (t Target) Stage(ctx context.Context, p *restore.Plan, progress restore.Progress) (filled restore.Laid, err error) {
	s := staging{
		entry: p.Entry, laid: laid{p.Dirs, p.Pieces}, imageID: p.Image.ID, volume: p.Volume, at: p.Destination, report: progress,
	}
	if !p.Convert {
		return s.run(ctx, t.Engine, t.Owner)
	}
	err = t.convert(ctx, p, progress, func(dump converted) (err error) {
		s.pieces = slices.Clone(s.pieces)
		s.pieces[0].Size, s.pieces[0].SHA256 = dump.size, dump.sha256
		s.converted = dump.open
		filled, err = s.run(ctx, t.Engine, t.Owner)
		return err
	})
	return filled, err
}

// converted is the dump that a server saved of a snapshot.
type converted struct {
	size   int64
	sha256 string
	open   func(context.Context) (io.ReadCloser, error)
}

// ConvertError says that no server could make a dump of a snapshot.
type ConvertError struct {
	ID     snapshot.ID
	Layout string // its own
	Err    error
}

func (e *ConvertError) Error() string {
	return fmt.Sprintf("snapshot %s: convert its append-only file into a dump: %v", e.ID, e.Err)
}

func (e *ConvertError) Unwrap() error { return e.Err }

// convert boots the snapshot on a throw-away copy, as a replica of nowhere that
// drops no key, has the server save, and gives the dump to use as long as the
// copy is there.
func (t Target) convert(ctx context.Context, p *restore.Plan, progress restore.Progress, use func(converted) error) (err error) {
	m := p.Entry.Manifest
	subject, err := Lab{Engine: t.Engine, Owner: t.Owner}.boot(ctx, p.Entry, verify.BootOptions{Image: p.Image.ID, Progress: progress})
	if err != nil {
		return &ConvertError{m.ID, m.Layout(), err}
	}
	defer func() { err = errors.Join(err, subject.discard(ctx)) }()
	helper, dump, err := subject.saveDump(ctx, progress)
	if err != nil {
		return &ConvertError{m.ID, m.Layout(), err}
	}
	defer helper.Remove(ctx)
	return use(dump)
}

// saveDump has the booted server save, and reads the dump once to know it.
func (s *subject) saveDump(ctx context.Context, progress restore.Progress) (*docker.Helper, converted, error) {
	var dump converted
	m := s.entry.Manifest
	seen, err := s.Observe(ctx)
	if err != nil {
		return nil, dump, err
	}
	if m.Keyspace != nil && !slices.Equal(m.Keyspace, seen.Keyspace) {
		return nil, dump, fmt.Errorf("keys differ: captured %s, booted %s", verify.Counts(m.Keyspace), verify.Counts(seen.Keyspace))
	}
	if err := s.trial.SaveAndWait(ctx); err != nil {
		return nil, dump, err
	}
	owner := s.owner
	owner.Role = docker.RoleHelper
	helper, err := s.lab.Engine.CreateHelper(ctx, owner, docker.HelperSpec{
		ImageID: s.facts.ImageID, Mount: docker.Mount{Type: docker.MountVolume, Name: s.volume, Destination: m.Source.Mount.Destination},
	})
	if err != nil {
		return nil, dump, err
	}
	file := path.Join(m.Source.Options.Dir, m.Source.Options.DBFilename)
	dump.open = func(ctx context.Context) (io.ReadCloser, error) { return helper.Open(ctx, file) }
	if err := dump.read(ctx, seen.Keyspace, progress); err != nil {
		return nil, dump, errors.Join(err, helper.Remove(ctx))
	}
	return helper, dump, nil
}

// read learns size and hash of the dump, and that it is a whole one with the
// keys that it should have.
func (d *converted) read(ctx context.Context, want []snapshot.Keys, progress restore.Progress) error {
	content, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	sum := sha256.New()
	count := &counter{w: sum, report: func(done, total int64) { progress("convert", done, total) }}
	summary, err := rdb.Scan(io.TeeReader(content, count))
	if err != nil {
		return err
	}
	d.size, d.sha256 = count.done, hex.EncodeToString(sum.Sum(nil))
	if got := keysOf(summary); summary.Counted && !slices.Equal(got, want) {
		return fmt.Errorf("keys differ: booted %s, in the dump that it saved %s", verify.Counts(want), verify.Counts(got))
	}
	return nil
}

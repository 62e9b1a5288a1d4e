package instance

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
)

// staging is a snapshot's payload on its way into an empty volume. Restore and
// verification fill their volumes by the same code.
type staging struct {
	entry repo.Entry
	laid
	imageID string
	volume  string
	at      string // mount point in the helper
	report  func(phase string, done, total int64)
	// converted opens the one piece where it comes from a server and not from
	// the snapshot; nil: it does not.
	converted func(context.Context) (io.ReadCloser, error)
}

// run lays the files down, the last of them last, then reads every byte back.
func (s staging) run(ctx context.Context, e *docker.Engine, o docker.Owner) (restore.Laid, error) {
	o.Role = docker.RoleHelper
	helper, err := e.CreateHelper(ctx, o, docker.HelperSpec{
		ImageID: s.imageID, Write: true,
		Mount: docker.Mount{Type: docker.MountVolume, Name: s.volume, Destination: s.at},
	})
	if err != nil {
		return restore.LaidNothing, err
	}
	defer helper.Remove(ctx)
	if err := helper.Write(ctx, func(tw *tar.Writer) error { return s.write(ctx, tw) }); err != nil {
		return restore.LaidPart, fmt.Errorf("stage %s into volume %q: %w", s.entry.Manifest.ID, s.volume, err)
	}
	if err := s.reread(ctx, helper); err != nil {
		return restore.LaidPart, err
	}
	return restore.LaidAll, nil
}

// write writes the volume's root, the directories and the files as a tar.
func (s staging) write(ctx context.Context, tw *tar.Writer) error {
	root := strings.TrimPrefix(path.Clean(s.at), "/")
	for _, d := range append([]snapshot.Dir{s.entry.Manifest.Root}, s.dirs...) {
		err := tw.WriteHeader(&tar.Header{
			Typeflag: tar.TypeDir, Name: path.Join(root, d.Path) + "/", Mode: int64(d.Mode), Uid: d.UID, Gid: d.GID,
			ModTime: s.entry.Manifest.PointInTime,
		})
		if err != nil {
			return err
		}
	}
	for _, f := range s.pieces {
		err := tw.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(root, f.Path), Size: f.Size, Mode: int64(f.Mode), Uid: f.UID, Gid: f.GID,
			ModTime: s.entry.Manifest.PointInTime,
		})
		if err != nil {
			return err
		}
		if err := s.pour(ctx, tw, f); err != nil {
			return err
		}
	}
	return nil
}

func (s staging) pour(ctx context.Context, tw io.Writer, f restore.Piece) error {
	content, err := s.open(ctx, f)
	if err != nil {
		return err
	}
	defer content.Close()
	count := &counter{w: tw, total: f.Size, report: func(done, total int64) { s.report("stage", done, total) }}
	_, err = io.CopyBuffer(count, struct{ io.Reader }{content}, make([]byte, copyBuffer))
	return err
}

// open opens what a piece is made of.
func (s staging) open(ctx context.Context, f restore.Piece) (io.ReadCloser, error) {
	switch {
	case f.Text != nil:
		return io.NopCloser(bytes.NewReader(f.Text)), nil
	case s.converted != nil:
		return s.converted(ctx)
	}
	return s.entry.Open(ctx, f.File)
}

// StagedError says that a volume does not hold what was laid down in it.
type StagedError struct{ Volume, Path, What string }

func (e *StagedError) Error() string {
	return fmt.Sprintf("volume %q: %s was laid down and reads back differently: %s", e.Volume, e.Path, e.What)
}

// reread compares owner, mode and every byte with the manifest.
func (s staging) reread(ctx context.Context, helper *docker.Helper) error {
	for _, want := range append([]snapshot.Dir{s.entry.Manifest.Root}, s.dirs...) {
		got, err := directory(ctx, helper, path.Join(s.at, want.Path), want.Path)
		if err != nil {
			return err
		}
		if got != want {
			return &StagedError{s.volume, "directory /" + want.Path, fmt.Sprintf("%d:%d %04o, not %d:%d %04o",
				got.UID, got.GID, got.Mode, want.UID, want.GID, want.Mode)}
		}
	}
	for _, f := range s.pieces {
		if err := s.rereadFile(ctx, helper, f.File); err != nil {
			return err
		}
	}
	return nil
}

func (s staging) rereadFile(ctx context.Context, helper *docker.Helper, f snapshot.File) error {
	got, err := helper.Open(ctx, path.Join(s.at, f.Path))
	if err != nil {
		return err
	}
	defer got.Close()
	sum := sha256.New()
	count := &counter{w: sum, total: f.Size, report: func(done, total int64) { s.report("re-read", done, total) }}
	if _, err := io.CopyBuffer(count, struct{ io.Reader }{got}, make([]byte, copyBuffer)); err != nil {
		return fmt.Errorf("re-read %s from volume %q: %w", f.Path, s.volume, err)
	}
	switch {
	case hex.EncodeToString(sum.Sum(nil)) != f.SHA256:
		return &StagedError{s.volume, f.Path, "its SHA-256"}
	case got.UID != f.UID || got.GID != f.GID || mode(got.Mode) != f.Mode:
		return &StagedError{s.volume, f.Path, fmt.Sprintf("%d:%d %04o, not %d:%d %04o",
			got.UID, got.GID, mode(got.Mode), f.UID, f.GID, f.Mode)}
	}
	return nil
}

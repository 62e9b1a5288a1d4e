package instance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/redisbak/redisbak/backup"
	"github.com/redisbak/redisbak/internal/aof"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/rdb"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/snapshot"
)

// AOFError says why the append-only file on a volume is none that a server could
// start from.
type AOFError struct {
	Container string
	Reason    string
}

func (e *AOFError) Error() string { return fmt.Sprintf("container %q: %s", e.Container, e.Reason) }

// EndError says that the append-only file does not end where the server says
// that it does, so that nobody can tell what it holds.
type EndError struct {
	Container string
	Detail    string
}

func (e *EndError) Error() string {
	return fmt.Sprintf("container %q: its append-only file does not end where the server says that it does: %s", e.Container, e.Detail)
}

// captureAOF copies the append-only file as it is at one instant that the
// server names: its length then, and its keys then, come from one answer.
func (i *Instance) captureAOF(ctx context.Context, sink backup.Sink, progress backup.Progress) (backup.Capture, error) {
	helper, err := i.helper(ctx)
	if err != nil {
		return backup.Capture{}, err
	}
	defer helper.Remove(ctx)
	holder, err := i.startHolder(ctx, helper)
	if err != nil {
		return backup.Capture{}, err
	}
	defer holder.Remove(ctx)
	requested, _, err := i.server.Moment(ctx)
	if err != nil {
		return backup.Capture{}, i.named(err)
	}
	if !i.noRewrite {
		if err := i.rewrite(ctx, holder, progress); err != nil {
			return backup.Capture{}, err
		}
	}
	for try := 1; ; try++ {
		got, err := i.copyAOF(ctx, holder, sink, progress)
		var end *EndError
		switch {
		case errors.As(err, &end) && try < captureTries:
			continue
		case err != nil:
			return backup.Capture{}, err
		}
		if err := i.isOurAOF(got, requested); err != nil {
			return backup.Capture{}, err
		}
		return got.capture, i.aofDirectories(ctx, helper, &got.capture)
	}
}

// startHolder holds files of the directory in which the append-only files lie,
// as their owner: the ids of the server's process need not be those that the
// container knows.
func (i *Instance) startHolder(ctx context.Context, helper *docker.Helper) (*docker.Holder, error) {
	dir, user, err := i.aofOwner(ctx, helper)
	if err != nil {
		return nil, err
	}
	holder, err := i.engine.StartHolder(ctx, i.owner, docker.HolderSpec{
		ImageID: i.container.ImageID, Mount: i.place.mount, Dir: dir, User: user,
	})
	if missing := (*docker.NotFoundError)(nil); errors.As(err, &missing) && missing.Kind == "directory" {
		return nil, i.noAOF(dir)
	}
	return holder, err
}

// aofOwner is who owns the files, "uid:gid": the directory that the server made
// for them, or the one file.
func (i *Instance) aofOwner(ctx context.Context, helper *docker.Helper) (dir, user string, err error) {
	if i.multiPart() {
		dir = i.place.file(i.options.AppendDirname)
		owner, err := helper.OpenDir(ctx, dir)
		if isNotFound(err) {
			err = i.noAOF(dir)
		}
		return dir, fmt.Sprintf("%d:%d", owner.UID, owner.GID), err
	}
	name := i.place.file(i.options.AppendFilename)
	file, err := helper.Open(ctx, name)
	if isNotFound(err) {
		// It may be made anew by a rewrite: then the owner of the place has it.
		owner, err := helper.OpenDir(ctx, i.place.dir)
		return i.place.dir, fmt.Sprintf("%d:%d", owner.UID, owner.GID), err
	}
	if err != nil {
		return i.place.dir, "", err
	}
	defer file.Close()
	return i.place.dir, fmt.Sprintf("%d:%d", file.UID, file.GID), nil
}

func (i *Instance) noAOF(file string) error {
	return &AOFError{Container: i.container.Name, Reason: fmt.Sprintf("the server has appendonly on, and there is no %s on its volume", file)}
}

// multiPart: since 7.0 servers keep their append-only file in several parts.
func (i *Instance) multiPart() bool {
	return i.info.Software == "valkey" || release(i.info.Version) >= release("7.0")
}

// rewrite has the server make a fresh base.
func (i *Instance) rewrite(ctx context.Context, holder *docker.Holder, progress backup.Progress) error {
	var diskErr error // it names the container already
	err := i.server.Rewrite(ctx, server.RewriteOptions{
		Base: func(context.Context) (base string, err error) {
			base, diskErr = i.base(holder)
			return base, diskErr
		},
		Progress: func(done, total int64) { progress("rewrite", done, total) },
	})
	if err != nil && diskErr == nil {
		err = i.named(err)
	}
	return err
}

// base identifies the file that a rewrite replaces.
func (i *Instance) base(holder *docker.Holder) (string, error) {
	if !i.multiPart() {
		file, err := holder.Stat(i.options.AppendFilename)
		if isNotFound(err) {
			return "", nil
		}
		return file.ID, err
	}
	_, manifest, err := i.manifest(holder)
	if err != nil {
		return "", err
	}
	return manifest.base(), nil
}

// aofCapture is what was copied, and what was seen on the way.
type aofCapture struct {
	capture backup.Capture
	head    rdb.Summary // of the RDB file that the base is or begins with
}

// copyAOF holds the files and copies them. After an error nothing of them is
// in the sink.
func (i *Instance) copyAOF(ctx context.Context, holder *docker.Holder, sink backup.Sink, progress backup.Progress) (got aofCapture, err error) {
	set, err := i.hold(ctx, holder)
	if err != nil {
		return got, err
	}
	held := len(set.files)
	var written []backup.File
	defer func() {
		if err == nil {
			return
		}
		for _, f := range written {
			err = errors.Join(err, f.Discard())
		}
		if end := (*EndError)(nil); errors.As(err, &end) {
			err = errors.Join(err, dropAll(holder, held))
		}
	}()
	meter := &counter{w: io.Discard, total: set.bytes(), report: func(done, total int64) { progress("copy", done, total) }}
	// The file that was opened last lies on top.
	for n := len(set.files) - 1; n >= 0; n-- {
		part := set.files[n]
		out, err := sink.Create(part.stored)
		if err != nil {
			return got, err
		}
		written = append(written, out)
		if err := i.copyPart(holder, part, out, meter, &got); err != nil {
			return got, err
		}
		held--
		got.capture.Files = append([]snapshot.File{i.stored(out, part)}, got.capture.Files...)
	}
	if set.manifest != nil {
		out, err := sink.Create(set.manifest.stored)
		if err != nil {
			return got, err
		}
		written = append(written, out)
		if _, err := out.Write(set.text); err != nil {
			return got, errors.Join(err, out.Close())
		}
		if err := out.Close(); err != nil {
			return got, err
		}
		got.capture.Files = append(got.capture.Files, i.stored(out, *set.manifest))
	}
	got.capture.Method, got.capture.PointInTime = snapshot.MethodAOF, set.at.UTC()
	got.capture.Server, got.capture.Keyspace = describe(set.info), keyspace(set.info.Keyspace)
	got.capture.Server.RDBMagic, got.capture.Server.RDBVersion = got.head.Magic, got.head.Version
	return got, nil
}

// copyPart streams one held file once: its bytes are walked as they pass.
func (i *Instance) copyPart(holder *docker.Holder, part heldPart, out backup.File, meter io.Writer, got *aofCapture) error {
	content, err := holder.Copy(part.length)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	count := &counter{w: io.MultiWriter(out, meter), report: func(int64, int64) {}}
	head, end, known, err := scanAOF(io.TeeReader(content, count), i.multiPart())
	if count.err != nil {
		err = count.err // the scan has only passed it on
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", part.path, err)
	}
	if head.Magic != "" {
		got.head = head
		got.capture.Warnings = append(got.capture.Warnings, headWarnings(head)...)
	}
	if known && end != part.length {
		return &EndError{Container: i.container.Name, Detail: fmt.Sprintf("of the %d bytes of %s, %d are whole commands", part.length, part.path, end)}
	}
	return holder.Drop()
}

func headWarnings(head rdb.Summary) (warnings []string) {
	if !head.Counted {
		warnings = append(warnings, fmt.Sprintf("the base of the append-only file was not walked (%s): only a boot shows that it is whole", head.Unknown))
	}
	if head.ChecksumDisabled {
		warnings = append(warnings, unsummed)
	}
	return warnings
}

// stored describes a file that was copied.
func (i *Instance) stored(out backup.File, part heldPart) snapshot.File {
	f := out.Stored()
	f.Path, f.UID, f.GID, f.Mode = part.path, part.held.UID, part.held.GID, mode(part.held.Mode)
	return f
}

// isOurAOF fails where the copied base was not written on our request. Without
// a rewrite of ours, or where the base does not say when it was written, it is
// the length alone that shows that the server writes to this volume.
func (i *Instance) isOurAOF(got aofCapture, requested time.Time) error {
	if i.noRewrite || got.head.CTime.IsZero() || !got.head.CTime.Before(server.Stamped(requested)) {
		return nil
	}
	return &WrongVolumeError{Container: i.container.Name, Detail: fmt.Sprintf("the base of the append-only file was written at %s, before the rewrite was asked for at %s",
		got.head.CTime.UTC().Format(time.RFC3339), requested.UTC().Format(time.RFC3339))}
}

// aofDirectories adds owner and mode of the directories down to the files.
func (i *Instance) aofDirectories(ctx context.Context, helper *docker.Helper, got *backup.Capture) (err error) {
	if got.Root, got.Dirs, err = i.directories(ctx, helper); err != nil || !i.multiPart() {
		return err
	}
	rel := path.Join(i.place.rel(), i.options.AppendDirname)
	dir, err := directory(ctx, helper, i.place.file(i.options.AppendDirname), rel)
	got.Dirs = append(got.Dirs, dir)
	return err
}

// scanAOF walks one file of an append-only file: an RDB file, commands, or the
// one and then the other. It reads r to its end, and tells where the last whole
// command ends. Of an RDB file that is not known, no end can be told.
func scanAOF(r io.Reader, annotations bool) (head rdb.Summary, end int64, known bool, err error) {
	content := bufio.NewReaderSize(r, copyBuffer)
	first, err := content.Peek(1)
	if err == io.EOF {
		return head, 0, true, nil
	}
	if err != nil {
		return head, 0, false, err
	}
	rest := io.Reader(content)
	if first[0] == 'R' || first[0] == 'V' {
		if head, rest, err = rdb.ScanPreamble(content); err != nil {
			return head, 0, false, err
		}
		if rest == nil {
			_, err = io.Copy(io.Discard, content)
			return head, 0, false, err
		}
	}
	walker := aof.NewWalker(aof.Options{Annotations: annotations})
	if _, err = io.CopyBuffer(walker, struct{ io.Reader }{rest}, make([]byte, copyBuffer)); err != nil {
		return head, 0, false, err
	}
	return head, head.Size + walker.Whole(), true, nil
}

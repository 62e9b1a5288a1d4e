package instance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/redisbak/redisbak/backup"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/rdb"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

// captureTries bounds how often a capture begins again because another save
// had replaced the file under it.
const captureTries = 3

// unsummed is the warning of an RDB file that carries no checksum.
const unsummed = "the server writes its dump without a checksum (rdbchecksum no): what its disk alters goes unnoticed"

// copyBuffer is what one read takes from the engine's stream.
const copyBuffer = 256 << 10

// WrongVolumeError says that the file on the volume is not the one that the
// server wrote on request.
type WrongVolumeError struct {
	Container string
	Detail    string
}

func (e *WrongVolumeError) Error() string {
	return fmt.Sprintf("container %q: the server reached is not the one on this volume: %s", e.Container, e.Detail)
}

// errOvertaken is a file that belongs to somebody else's later save.
var errOvertaken = errors.New("another save replaced the dump while it was copied")

// captureDump has the server save its dump and copies it out of the volume.
func (i *Instance) captureDump(ctx context.Context, sink backup.Sink, progress backup.Progress) (backup.Capture, error) {
	helper, err := i.helper(ctx)
	if err != nil {
		return backup.Capture{}, err
	}
	defer helper.Remove(ctx)
	for try := 1; ; try++ {
		got, err := i.captureRDB(ctx, helper, sink, progress)
		if !errors.Is(err, errOvertaken) {
			return got, err
		}
		if try == captureTries {
			return backup.Capture{}, fmt.Errorf("container %q: %w, %d times in a row", i.container.Name, err, try)
		}
	}
}

func (i *Instance) captureRDB(ctx context.Context, helper *docker.Helper, sink backup.Sink, progress backup.Progress) (backup.Capture, error) {
	dump := i.place.file(i.options.DBFilename)
	before, err := helper.Stat(ctx, dump)
	if err != nil && !isNotFound(err) {
		return backup.Capture{}, err
	}
	saved, err := i.server.Save(ctx, server.SaveOptions{
		Progress: func(done, total int64) { progress("save", done, total) },
	})
	if err != nil {
		return backup.Capture{}, i.named(err)
	}
	stored, summary, err := i.copyRDB(ctx, helper, dump, before, saved, i.server.Unrivalled, sink, progress)
	if errors.Is(err, errOvertaken) {
		// Or nobody can tell so soon. At the end of the second it shows.
		if err := i.server.SettleSecond(ctx, saved); err != nil {
			return backup.Capture{}, i.named(err)
		}
		stored, summary, err = i.copyRDB(ctx, helper, dump, before, saved, i.server.StillSaved, sink, progress)
	}
	if err != nil {
		return backup.Capture{}, err
	}
	got := backup.Capture{
		Method: snapshot.MethodRDB, PointInTime: saved.RequestedAt, Server: describe(i.info),
		Files: []snapshot.File{stored}, Keyspace: keyspace(saved.Keyspace),
	}
	got.Server.RDBMagic, got.Server.RDBVersion = summary.Magic, summary.Version
	if !summary.Counted {
		got.Warnings = append(got.Warnings, fmt.Sprintf("the dump's keys were not counted (%s): the counts are the server's own", summary.Unknown))
	}
	if summary.ChecksumDisabled {
		got.Warnings = append(got.Warnings, unsummed)
	}
	got.Root, got.Dirs, err = i.directories(ctx, helper)
	return got, err
}

// copyRDB streams the dump once: engine, checks, compressor, disk. ours tells
// whether the file that is open by then is the one of the save.
func (i *Instance) copyRDB(ctx context.Context, helper *docker.Helper, dump string, before docker.FileStat, saved server.Save,
	ours func(context.Context, server.Save) (bool, error), sink backup.Sink, progress backup.Progress) (snapshot.File, rdb.Summary, error) {
	var none snapshot.File
	src, err := helper.Open(ctx, dump)
	if err != nil {
		return none, rdb.Summary{}, i.noDump(err)
	}
	defer src.Close()
	content := bufio.NewReaderSize(src, copyBuffer)
	// The engine opens the file after it has sent the header: only the first
	// byte of the content tells that the file is open and can be asked about.
	if _, err := content.Peek(1); err != nil && err != io.EOF {
		return none, rdb.Summary{}, fmt.Errorf("copy %s: %w", dump, err)
	}
	if yes, err := ours(ctx, saved); err != nil {
		return none, rdb.Summary{}, i.named(err)
	} else if !yes {
		return none, rdb.Summary{}, errOvertaken
	}
	out, err := sink.Create(snapshot.RDBName)
	if err != nil {
		return none, rdb.Summary{}, err
	}
	count := &counter{w: out, total: src.Size, report: func(done, total int64) { progress("copy", done, total) }}
	summary, err := rdb.Scan(io.TeeReader(content, count))
	if count.err != nil {
		err = count.err // the scan has only passed it on
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = i.isOurs(ctx, helper, dump, before, saved, summary)
	}
	if err == nil {
		err = i.sameCounts(ctx, saved, summary)
	}
	var wrong *WrongVolumeError
	if errors.As(err, &wrong) {
		return none, rdb.Summary{}, errors.Join(err, out.Discard())
	}
	if err != nil {
		return none, rdb.Summary{}, fmt.Errorf("copy %s: %w", dump, errors.Join(err, out.Discard()))
	}
	stored := out.Stored()
	stored.Path = path.Join(i.place.rel(), i.options.DBFilename)
	stored.UID, stored.GID, stored.Mode = src.UID, src.GID, mode(src.Mode)
	return stored, summary, nil
}

// CountsError says that the file holds other keys than the server had when it
// forked.
type CountsError struct{ Server, File string }

func (e *CountsError) Error() string {
	return fmt.Sprintf("the dump holds other keys than the server had at the fork: %s at the server, %s in the file", e.Server, e.File)
}

// sameCounts holds the file against what the server counted at the fork. A
// second save in the same second as ours leaves no other trace than that and
// the number of saves begun.
func (i *Instance) sameCounts(ctx context.Context, saved server.Save, summary rdb.Summary) error {
	inFile, atFork := keysOf(summary), keyspace(saved.Keyspace)
	if !summary.Counted || slices.Equal(atFork, inFile) {
		return nil
	}
	info, err := i.server.Info(ctx)
	if err != nil {
		return i.named(err)
	}
	if info.HasRDBSaves && info.RDBSaves > saved.RDBSaves {
		return errOvertaken
	}
	return &CountsError{Server: verify.Counts(atFork), File: verify.Counts(inFile)}
}

// isOurs fails where the copied file was not written on our request.
func (i *Instance) isOurs(ctx context.Context, helper *docker.Helper, dump string, before docker.FileStat, saved server.Save, summary rdb.Summary) error {
	if !summary.CTime.IsZero() && summary.CTime.Before(saved.RequestedAt.Truncate(time.Second)) {
		return &WrongVolumeError{Container: i.container.Name, Detail: fmt.Sprintf("%s was written at %s, before the save was asked for at %s",
			dump, summary.CTime.UTC().Format(time.RFC3339), saved.RequestedAt.UTC().Format(time.RFC3339))}
	}
	after, err := helper.Stat(ctx, dump)
	if err != nil {
		return err
	}
	if after.ModTime.Equal(before.ModTime) && after.Size == before.Size {
		return &WrongVolumeError{Container: i.container.Name, Detail: fmt.Sprintf("the save did not change %s", dump)}
	}
	return nil
}

// noDump explains a dump that is not where the server says that it writes it.
func (i *Instance) noDump(err error) error {
	if isNotFound(err) {
		return &WrongVolumeError{Container: i.container.Name, Detail: fmt.Sprintf("the server saved, and there is no %s", i.place.file(i.options.DBFilename))}
	}
	return err
}

// directories reads owner and mode of the volume's root and of the directories
// down to the data.
func (i *Instance) directories(ctx context.Context, helper *docker.Helper) (root snapshot.Dir, dirs []snapshot.Dir, err error) {
	at := path.Clean(i.place.mount.Destination)
	if root, err = directory(ctx, helper, at, ""); err != nil {
		return root, nil, err
	}
	rel := ""
	for part := range strings.SplitSeq(i.place.rel(), "/") {
		if part == "" {
			continue
		}
		rel = path.Join(rel, part)
		d, err := directory(ctx, helper, path.Join(at, rel), rel)
		if err != nil {
			return root, nil, err
		}
		dirs = append(dirs, d)
	}
	return root, dirs, nil
}

func directory(ctx context.Context, helper *docker.Helper, at, rel string) (snapshot.Dir, error) {
	d, err := helper.OpenDir(ctx, at)
	return snapshot.Dir{Path: rel, UID: d.UID, GID: d.GID, Mode: mode(d.Mode)}, err
}

// mode keeps the permission bits; set-id and sticky bits have no meaning for
// a server's data.
func mode(m fs.FileMode) snapshot.Mode { return snapshot.Mode(m.Perm()) }

// keyspace is never nil: a server without keys was counted, too.
func keyspace(keys []server.Keys) []snapshot.Keys {
	out := make([]snapshot.Keys, len(keys))
	for n, k := range keys {
		out[n] = snapshot.Keys{DB: k.DB, Keys: k.Keys, Expires: k.Expires}
	}
	return out
}

// keysOf is the same for a file.
func keysOf(file rdb.Summary) []snapshot.Keys {
	out := make([]snapshot.Keys, len(file.Keyspace))
	for n, k := range file.Keyspace {
		out[n] = snapshot.Keys{DB: k.DB, Keys: k.Keys, Expires: k.Expires}
	}
	return out
}

// counter reports the bytes that pass.
type counter struct {
	w           io.Writer
	done, total int64
	report      func(done, total int64)
	err         error // of w, the first
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if c.err == nil {
		c.err = err
	}
	c.done += int64(n)
	c.report(c.done, c.total)
	return n, err
}

func isNotFound(err error) bool {
	var missing *docker.NotFoundError
	return errors.As(err, &missing)
}

package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// Names in a repository. Nothing that starts with a dot is a source or a
// snapshot.
const (
	markerName = "redisbak.json"
	runsName   = ".runs"

	writerLock = ".writer.lock"
	keepLock   = ".keep.lock"
	marksLock  = ".marks.lock"

	draftPrefix  = ".draft-"
	prunedPrefix = ".pruned-"
	marksDraft   = draftPrefix + "marks"    // the next proof.json or marks.json
	restoreDraft = draftPrefix + "restore-" // and a run: the next record of its restore
	restoresName = "restores"

	newSuffix = ".new"
)

const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600

	repoIDLength = 32
	runIDLength  = 16
	placeLength  = 8 // of a run's id: where its repository lies

	markerLimit   = 4 << 10
	manifestLimit = 1 << 20
	sumsLimit     = 1 << 20
	mutableLimit  = 1 << 20 // proof.json, marks.json, a restore's record
	lockLimit     = 4 << 10
)

func (r *Repo) sourceDir(source string) string { return filepath.Join(r.dir, source) }

func (r *Repo) runsDir() string { return filepath.Join(r.dir, runsName) }

// sources returns the names of the directories that may hold snapshots.
func (r *Repo) sources() ([]string, error) {
	if err := r.present(); err != nil {
		return nil, err
	}
	entries, err := r.disk.ReadDir(r.dir)
	if err != nil {
		return nil, fmt.Errorf("list repository: %w", err)
	}
	var names []string
	for _, e := range entries {
		if snapshot.ValidSourceName(e.Name()) == nil && r.isDir(e) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// isDir says whether an entry of the repository is a directory, or a link to
// one: a source may have been moved to another disk. One whose disk is not
// mounted is a source all the same: see lost.
func (r *Repo) isDir(e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(r.dir, e.Name()))
	return err != nil || info.IsDir()
}

// lost is an error where a source is a link that leads nowhere: its snapshots
// are somewhere, and must not be taken for none.
func (r *Repo) lost(source string) error {
	info, err := os.Lstat(r.sourceDir(source))
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil
	}
	if _, err := os.Stat(r.sourceDir(source)); err != nil {
		return &UnsteadyError{Source: source, Reason: "it is a link to what cannot be reached: " + reason(err)}
	}
	return nil
}

// snapshotNames returns the names in a source's directory that are snapshot
// ids, oldest first, whatever they are.
func (r *Repo) snapshotNames(source string) ([]fs.DirEntry, error) {
	entries, err := r.disk.ReadDir(r.sourceDir(source))
	if err != nil {
		if lost := r.lost(source); lost != nil {
			return nil, lost
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotFoundError{Source: source}
	}
	if err != nil {
		return nil, fmt.Errorf("list source %s: %w", source, err)
	}
	var named []fs.DirEntry
	for _, e := range entries {
		if _, err := snapshot.ParseID(e.Name()); err == nil {
			named = append(named, e)
		}
	}
	return named, nil
}

// readSmall reads a whole file that must be a regular one and no larger than
// limit. It follows no symbolic link and cannot be held up by a FIFO. A listing
// calls it thousands of times, so it makes no more system calls than it must.
func readSmall(path string, limit int64) ([]byte, error) {
	fail := func(err error) error { return &fs.PathError{Op: "read", Path: path, Err: err} }
	fd, err := again(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if errors.Is(err, unix.ELOOP) {
		return nil, &irregularError{path: path}
	}
	if err != nil {
		return nil, fail(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if _, err := again(func() (int, error) { return 0, unix.Fstat(fd, &st) }); err != nil {
		return nil, fail(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &irregularError{path: path}
	}
	if st.Size > limit {
		return nil, fail(fmt.Errorf("%d bytes, more than the %d it may have", st.Size, limit))
	}
	buf := make([]byte, st.Size+1)
	filled := 0
	for {
		n, err := again(func() (int, error) { return unix.Read(fd, buf[filled:]) })
		if err != nil {
			return nil, fail(err)
		}
		filled += n
		switch {
		case filled == len(buf):
			return nil, fail(errors.New("it grows meanwhile"))
		case n == 0 || filled == len(buf)-1:
			return buf[:filled], nil
		}
	}
}

// again repeats a system call that was interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// openRegular opens a regular file for reading. The last element of path must
// not be a symbolic link.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, &irregularError{path: path}
	}
	if err != nil {
		return nil, err
	}
	return regular(f)
}

// openStored opens a payload file of the snapshot in dir. The name comes from
// a manifest, so it must not lead out of dir, whatever lies there.
func openStored(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return regular(f)
}

func regular(f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &irregularError{path: f.Name()}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// irregularError says that something else lies where a plain file belongs.
type irregularError struct{ path string }

func (e *irregularError) Error() string { return e.path + ": not a regular file" }

// looseness names what lets others than uid and root change or replace what is
// in dir: its own mode and owner, and those of the directories above it.
func looseness(dir string, uid int) []string {
	var found []string
	for path := dir; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return append(found, fmt.Sprintf("owner and mode of %s are unknown: %v", path, err))
		}
		mode := info.Mode()
		what := "the directory " + path + " above the repository"
		loose := mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0
		if path == dir {
			what = "the repository " + path
			loose = mode.Perm()&0o022 != 0
		}
		if loose {
			found = append(found, fmt.Sprintf("%s is writable by others (mode %04o)", what, mode.Perm()))
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != uid {
			found = append(found, fmt.Sprintf("%s belongs to another user (uid %d)", what, st.Uid))
		}
		if path == filepath.Dir(path) {
			return found
		}
	}
}

// mkdirAll creates dir and what is missing above it, with our modes.
func mkdirAll(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		return &UnusableError{Dir: dir, Reason: "it is not a directory"}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := mkdirAll(parent); err != nil {
			return err
		}
	}
	d := osDisk{}
	if err := d.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.SyncDir(filepath.Dir(dir))
}

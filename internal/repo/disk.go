package repo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// disk is what a commit needs of the file system. Tests put one in its place
// that fails, or kills the process, at a chosen step.
type disk interface {
	Mkdir(path string) error            // 0700 whatever the umask; refuses an existing one
	Create(path string) (file, error)   // 0600 whatever the umask; refuses an existing one
	Open(path string) (readback, error) // to read what was written from the disk, not from memory
	Rename(from, to string) error       // refuses an existing target
	Replace(from, to string) error      // takes the place of an existing target
	SyncDir(path string) error
	ReadDir(path string) ([]fs.DirEntry, error)
	RemoveAll(path string) error
}

// file is a new file that is being written.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

type readback interface {
	io.Reader
	Close() error
}

// osDisk is the real one.
type osDisk struct{}

func (osDisk) Mkdir(path string) error {
	if err := os.Mkdir(path, dirMode); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() == dirMode {
		return err
	}
	return os.Chmod(path, dirMode)
}

func (osDisk) Create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := tighten(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// tighten gives a file our mode where the umask took something away.
func tighten(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() == fileMode {
		return err
	}
	return f.Chmod(fileMode)
}

func (osDisk) Open(path string) (readback, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	dropCache(f)
	return f, nil
}

func (osDisk) Rename(from, to string) error {
	if err := renameNoReplace(from, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func (osDisk) Replace(from, to string) error { return os.Rename(from, to) }

func (osDisk) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	// Some network file systems have no fsync for directories and say so: they
	// write names through, and there is nothing to ask of them.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

func (osDisk) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

func (osDisk) RemoveAll(path string) error { return os.RemoveAll(path) }

// renameChecked is for file systems that know no such rename. Who calls it
// holds the lock under which alone the target could appear.
func renameChecked(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return syscall.EEXIST
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syscall.Rename(from, to)
}

// writeFile writes a new small file and flushes it.
func writeFile(d disk, path string, content []byte) error {
	f, err := d.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// replaceFile gives dir/name a new content by one rename. The new content is
// written as temp first, which must be on the same file system and must be
// nobody else's.
func replaceFile(d disk, temp, dir, name string, content []byte) error {
	path := dir + string(os.PathSeparator) + name
	if err := d.RemoveAll(temp); err != nil {
		return err
	}
	err := writeFile(d, temp, content)
	if err == nil {
		err = d.Replace(temp, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), d.RemoveAll(temp))
	}
	if err := d.SyncDir(dir); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

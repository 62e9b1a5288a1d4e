package repo

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNoReplace renames, and refuses a target that exists.
func renameNoReplace(from, to string) error {
	for {
		err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOTSUP):
			return renameChecked(from, to)
		}
		return err
	}
}

// dropCache asks the kernel to forget what it holds of f in memory, so that
// reading it, from its beginning to its end, reads the disk. It is a wish, not a
// need.
func dropCache(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
}

// fileSystem tells the file system of path from others; all zeros where it does
// not say.
func fileSystem(path string) [2]int32 {
	var st unix.Statfs_t
	if _, err := again(func() (int, error) { return 0, unix.Statfs(path, &st) }); err != nil {
		return [2]int32{}
	}
	return st.Fsid.Val
}

package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// What opening and creating can meet.
var (
	// ErrNoRepository is returned when a directory is not a repository. The
	// error is a *NoRepositoryError.
	ErrNoRepository = errors.New("not a repository")
	// ErrExists is returned by Init when there is a repository already.
	ErrExists = errors.New("exists already")
	// ErrNotWritable is returned when the repository can be read but not
	// written: read-only, no permission, no space left.
	ErrNotWritable = errors.New("the repository cannot be written")
)

// What locks can meet.
var (
	// ErrLocked is returned when somebody else holds the lock. The error is a
	// *LockedError.
	ErrLocked = errors.New("locked")
	// ErrLockLost is returned when a lock that was taken is no longer ours.
	ErrLockLost = errors.New("the lock is no longer ours")
)

// What looking for a snapshot can meet.
var (
	// ErrNotFound is returned when there is no such source or snapshot. The
	// error is a *NotFoundError or a *NoSnapshotError.
	ErrNotFound = errors.New("not found")
)

// NoRepositoryError says why Dir is not a repository.
type NoRepositoryError struct{ Dir, Reason string }

func (e *NoRepositoryError) Error() string {
	return fmt.Sprintf("%s is not a repository: %s", e.Dir, e.Reason)
}

// Is makes errors.Is(err, ErrNoRepository) hold.
func (e *NoRepositoryError) Is(target error) bool { return target == ErrNoRepository }

// UnusableError says why no repository can be created at Dir.
type UnusableError struct{ Dir, Reason string }

func (e *UnusableError) Error() string {
	return fmt.Sprintf("%s cannot become a repository: %s", e.Dir, e.Reason)
}

// LockedError says who holds a lock.
type LockedError struct {
	Source string // empty: the repository itself
	Lock   string // what the lock is for: "write", "keep", "remove", "marks", "create"
	Holder string // a description for people
}

func (e *LockedError) Error() string {
	what := "source " + e.Source
	if e.Source == "" {
		what = "the repository"
	}
	return fmt.Sprintf("%s is locked by %s", what, e.Holder)
}

// Is makes errors.Is(err, ErrLocked) hold.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// NotFoundError says that there is no such source, or no snapshot with this id
// or prefix.
type NotFoundError struct{ Source, ID string }

func (e *NotFoundError) Error() string {
	if e.ID == "" {
		return fmt.Sprintf("no source %s in the repository", e.Source)
	}
	return fmt.Sprintf("no snapshot %s in the repository", e.ID)
}

// Is makes errors.Is(err, ErrNotFound) hold.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// AmbiguousError says that several snapshots begin with Prefix.
type AmbiguousError struct {
	Prefix string
	IDs    []string
}

func (e *AmbiguousError) Error() string {
	const shown = 6
	ids, rest := e.IDs, ""
	if len(ids) > shown {
		ids, rest = ids[:shown-1], fmt.Sprintf(" and %d more", len(ids)-shown+1)
	}
	return fmt.Sprintf("%d snapshots begin with %s: %s%s", len(e.IDs), e.Prefix, strings.Join(ids, ", "), rest)
}

// NoSnapshotError says that no good snapshot of a source fits, and which good
// ones lie nearest.
type NoSnapshotError struct {
	Source  string
	Wanted  string    // "any", "at or before …", "from … to …", in UTC
	From    time.Time // what was wanted, half open; zero: unbounded
	To      time.Time
	Before  *Entry  // the nearest good one before, or nil
	After   *Entry  // the nearest good one after, or nil
	Skipped []Entry // those that would fit but are not good, newest first
}

func (e *NoSnapshotError) Error() string {
	text := "no good snapshot"
	if e.Source != "" {
		text += " of " + e.Source
	}
	text += e.Wanted
	near := func(word string, n *Entry) {
		if n != nil {
			text += fmt.Sprintf("; nearest %s: %s (%s)", word, n.Manifest.ID, stamp(n.Manifest.PointInTime))
		}
	}
	near("before", e.Before)
	near("after", e.After)
	return text
}

// Is makes errors.Is(err, ErrNotFound) hold.
func (e *NoSnapshotError) Is(target error) bool { return target == ErrNotFound }

// DamagedError is a Problem of the one snapshot that was asked for. Err is what
// it came from, or nil.
type DamagedError struct {
	Problem Problem
	Err     error
}

func (e *DamagedError) Error() string {
	if e.Problem.File == "" {
		return fmt.Sprintf("snapshot %s: %s", e.Problem.ID, e.Problem.Problem)
	}
	return fmt.Sprintf("snapshot %s: %s: %s", e.Problem.ID, e.Problem.File, e.Problem.Problem)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// UnsteadyError says why the listing of a source is not to be believed by one
// who wants to remove some of it.
type UnsteadyError struct{ Source, Reason string }

func (e *UnsteadyError) Error() string {
	return fmt.Sprintf("the listing of source %s cannot be trusted: %s", e.Source, e.Reason)
}

// NotDurableError says that a snapshot was committed and can be read, but that
// its name may not survive a loss of power.
type NotDurableError struct {
	ID  snapshot.ID
	Err error
}

func (e *NotDurableError) Error() string {
	return fmt.Sprintf("snapshot %s was committed but may not survive a loss of power: %v", e.ID, e.Err)
}

func (e *NotDurableError) Unwrap() error { return e.Err }

// writeError makes err recognizable as ErrNotWritable where it is one.
func writeError(err error) error {
	for _, errno := range []error{unix.EROFS, fs.ErrPermission, unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w: %w", ErrNotWritable, err)
		}
	}
	return err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

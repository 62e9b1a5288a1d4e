package repo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

const (
	lockPoll = 50 * time.Millisecond // between two tries of one who waits
	// marksWait bounds the wait for a lock that is held for milliseconds, unless
	// its holder was stopped.
	marksWait = 30 * time.Second
	// holderSize is the room for the holder in a lock file. The room is filled
	// from the start and never given back, so that a lock can still be taken
	// when the disk is full.
	holderSize = 512
)

// Lock is a lock on one source, held until Release or until the process dies.
type Lock struct {
	path   string
	source string
	kind   string
	token  string // empty: shared, there is no record of it
	mu     sync.Mutex
	f      *os.File
}

// holder is what the one holder of an exclusive lock writes into its file.
type holder struct {
	Host      string    `json:"host"`
	BootID    string    `json:"boot_id,omitempty"`
	Container string    `json:"container,omitempty"`
	PID       int       `json:"pid"`
	Run       string    `json:"run,omitempty"`
	Since     time.Time `json:"since"`
	Token     string    `json:"token"`
}

func (h holder) String() string {
	s := fmt.Sprintf("process %d on host %s", h.PID, h.Host)
	var more []string
	if h.Container != "" {
		more = append(more, "container "+h.Container[:min(12, len(h.Container))])
	}
	if h.Run != "" {
		more = append(more, "run "+h.Run)
	}
	more = append(more, "since "+stamp(h.Since))
	return s + " (" + strings.Join(more, ", ") + ")"
}

// LockWriter takes the lock under which alone snapshots of a source are
// written; it makes the source's directory where there is none. It waits up to
// wait, 0 being one try. run is the holder's run, for those who meet the lock.
func (r *Repo) LockWriter(ctx context.Context, source string, wait time.Duration, run string) (*Lock, error) {
	if err := snapshot.ValidSourceName(source); err != nil {
		return nil, err
	}
	if err := r.present(); err != nil {
		return nil, err
	}
	dir := r.sourceDir(source)
	if err := r.disk.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create source %s: %w", source, writeError(err))
	}
	l, err := r.wait(ctx, request{source: source, file: writerLock, kind: "write", exclusive: true, run: run}, wait)
	if err == nil {
		r.makeKeepLock(source)
	}
	return l, err
}

// makeKeepLock makes the file of a source's keep lock where there is none yet,
// so that who removes snapshots finds it on a disk that they have filled. A disk
// that has no room for it now has none for a snapshot.
func (r *Repo) makeKeepLock(source string) {
	if _, err := os.Lstat(filepath.Join(r.sourceDir(source), keepLock)); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if l, err := r.try(request{source: source, file: keepLock, kind: "keep"}); err == nil {
		l.f.Close()
	}
}

// LockKeep takes a share of the lock that makes all snapshots of a source stay.
func (r *Repo) LockKeep(ctx context.Context, source string, wait time.Duration) (*Lock, error) {
	return r.wait(ctx, request{source: source, file: keepLock, kind: "keep"}, wait)
}

// LockRemove takes the lock under which alone snapshots of a source are
// removed; while anyone holds a share of it, it is ErrLocked.
func (r *Repo) LockRemove(ctx context.Context, source string, wait time.Duration, run string) (*Lock, error) {
	return r.wait(ctx, request{source: source, file: keepLock, kind: "remove", exclusive: true, run: run}, wait)
}

func (r *Repo) lockMarks(ctx context.Context, source string) (*Lock, error) {
	return r.wait(ctx, request{source: source, file: marksLock, kind: "marks", exclusive: true}, marksWait)
}

type request struct {
	source, file, kind string
	exclusive          bool
	run                string
}

// wait takes a lock, trying again and again until the time is up.
func (r *Repo) wait(ctx context.Context, req request, wait time.Duration) (*Lock, error) {
	if err := snapshot.ValidSourceName(req.source); err != nil {
		return nil, err
	}
	if err := r.present(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(wait); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, err := r.try(req)
		left := time.Until(end)
		if err == nil || !errors.Is(err, ErrLocked) || left <= 0 {
			return l, err
		}
		timer := time.NewTimer(min(lockPoll, left))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		case <-timer.C:
		}
	}
}

// try takes a lock now or not at all.
func (r *Repo) try(req request) (*Lock, error) {
	path := filepath.Join(r.sourceDir(req.source), req.file)
	how := unix.LOCK_SH
	if req.exclusive {
		how = unix.LOCK_EX
	}
	f, err := openLocked(path, os.O_RDWR|os.O_CREATE, how)
	switch {
	case errors.Is(err, errBusy):
		return nil, &LockedError{Source: req.source, Lock: req.kind, Holder: whoHolds(path)}
	case errors.Is(err, fs.ErrNotExist):
		if lost := r.lost(req.source); lost != nil {
			return nil, lost
		}
		return nil, &NotFoundError{Source: req.source}
	case err != nil:
		return nil, fmt.Errorf("lock source %s: %w", req.source, writeError(err))
	}
	l := &Lock{path: path, source: req.source, kind: req.kind, f: f}
	if err := l.record(req); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock source %s: %w", req.source, writeError(err))
	}
	return l, nil
}

// record leaves the holder's description in the lock file.
func (l *Lock) record(req request) error {
	if !req.exclusive {
		if info, err := l.f.Stat(); err == nil && info.Size() == 0 {
			_, _ = l.f.WriteAt(padded(nil), 0) // makes room; a full disk is no reason not to share
		}
		return nil
	}
	h := self()
	h.Run, h.Token = req.run, randomHex(32)
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if _, err := l.f.WriteAt(padded(text), 0); err != nil {
		return err
	}
	l.token = h.Token
	return l.f.Sync()
}

// Held reads the lock file again, by its name, and is ErrLockLost where an
// exclusive lock is no longer ours: the file is gone, or another host, to which
// flock did not reach, has taken it.
func (l *Lock) Held() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held()
}

func (l *Lock) held() error {
	if l.f == nil {
		return fmt.Errorf("source %s: %w: it was released", l.source, ErrLockLost)
	}
	if l.token == "" {
		return nil
	}
	h, err := readHolder(l.path)
	switch {
	case err != nil:
		return fmt.Errorf("source %s: %w: %w", l.source, ErrLockLost, err)
	case h.Token != l.token:
		return fmt.Errorf("source %s: %w: it was taken by %s", l.source, ErrLockLost, h)
	}
	return nil
}

// Release gives the lock back. A second call does nothing.
func (l *Lock) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	// Nobody is to be named who holds nothing any more. It is a courtesy: who
	// reads the record does so only while the lock is taken.
	if l.token != "" && l.held() == nil {
		_, _ = l.f.WriteAt(padded(nil), 0)
	}
	err := l.f.Close()
	l.f = nil
	return err
}

// isWriter says whether the lock is a writer lock of source in r.
func (l *Lock) isWriter(r *Repo, source string) bool {
	return l != nil && l.path == filepath.Join(r.sourceDir(source), writerLock)
}

// isRemover says whether the lock is a remove lock of source in r.
func (l *Lock) isRemover(r *Repo, source string) bool {
	return l != nil && l.token != "" && l.path == filepath.Join(r.sourceDir(source), keepLock)
}

// errBusy is returned by openLocked when somebody else holds the lock.
var errBusy = errors.New("locked by another")

// openLocked opens path and locks it, without waiting. When it returns, the
// file that is locked is the one that has that name: one that was removed and
// made again between the two calls is not mistaken for it.
func openLocked(path string, flag, how int) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, fileMode)
		if err != nil {
			return nil, err
		}
		same, err := lockOpen(f, path, how)
		if err == nil && same {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
		if flag&os.O_EXCL != 0 {
			return nil, errBusy
		}
	}
}

// lockOpen locks f, and says whether it is still the file that path names.
func lockOpen(f *os.File, path string, how int) (bool, error) {
	if err := flock(f, how); err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, &irregularError{path: path}
	}
	if info.Mode().Perm() != fileMode {
		_ = f.Chmod(fileMode) // fails for another user's file, which could be opened all the same
	}
	return sameFile(f, path)
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return errBusy
		case err != nil:
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// lockDir locks a directory against another redisbak that makes a repository
// of it, and returns what releases it.
func lockDir(dir string) (func(), error) {
	// Another one that came first may have renamed it, and so be done.
	gone := fmt.Errorf("repository %s: %w", dir, ErrExists)
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	err = flock(f, unix.LOCK_EX)
	if errors.Is(err, errBusy) {
		err = &LockedError{Lock: "create", Holder: "another redisbak, which creates it"}
	}
	if err == nil {
		var same bool
		if same, err = sameFile(f, dir); err == nil && !same {
			err = gone
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// sameFile says whether f is still the file that path names.
func sameFile(f *os.File, path string) (bool, error) {
	ours, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ours, named), err
}

// locked says whether somebody holds the lock file at path, without making one.
func locked(path string) bool {
	f, err := openLocked(path, os.O_RDONLY, unix.LOCK_SH)
	if err != nil {
		return errors.Is(err, errBusy)
	}
	f.Close()
	return false
}

// whoHolds describes the holder of a lock that could not be taken.
func whoHolds(path string) string {
	// Where a share can be had, those who hold it hold shares too, and what
	// the file says is of an earlier time.
	if !locked(path) {
		return "others who need its snapshots to stay"
	}
	h, err := readHolder(path)
	if err != nil {
		return "an unknown process"
	}
	return h.String()
}

func readHolder(path string) (holder, error) {
	var h holder
	raw, err := readSmall(path, lockLimit)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(raw, &h); err != nil || h.Token == "" {
		return h, fmt.Errorf("%s: no holder is named in it", path)
	}
	return h, nil
}

// padded fills text with spaces to the size that a record always has.
func padded(text []byte) []byte {
	if room := holderSize - 1 - len(text); room > 0 {
		text = append(text, bytes.Repeat([]byte{' '}, room)...)
	}
	return append(text, '\n')
}

// self describes this process. What cannot be found out is left empty.
func self() holder {
	h := holder{PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second)}
	h.Host, _ = os.Hostname()
	if raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		h.BootID = strings.TrimSpace(string(raw))
	}
	if f, err := os.Open("/proc/self/mountinfo"); err == nil {
		raw, _ := io.ReadAll(io.LimitReader(f, manifestLimit))
		f.Close()
		h.Container = containerID(string(raw))
	}
	return h
}

// containerID finds the id of the container in which a process lives, by the
// files that container engines mount into every one: …/containers/<id>/….
func containerID(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		_, rest, found := strings.Cut(line, "/containers/")
		if id, _, _ := strings.Cut(rest, "/"); found && isHex(id, 64) {
			return id
		}
	}
	return ""
}

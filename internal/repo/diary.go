package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

// diaryName is the directory of what a daemon keeps: one file a source, its
// lock, and its socket.
const diaryName = ".daemon"

// noteLimit cuts what is kept of an error, in bytes.
const noteLimit = 4 << 10

// Diary is what a daemon keeps of one source, so that it knows after a restart
// what it owes. Losing it costs no snapshot: a source without one is new.
type Diary struct {
	Source    string    `json:"source"`
	FirstSeen time.Time `json:"first_seen"`
	// LastDue is the tick that the last run was begun for.
	LastDue time.Time `json:"last_due,omitzero"`
	// The last attempt: when it began and ended, and how.
	Began  time.Time `json:"began,omitzero"`
	Ended  time.Time `json:"ended,omitzero"`
	Result string    `json:"result,omitempty"`
	Note   string    `json:"note,omitempty"`
	// LastSuccess is when the last attempt that was a success ended.
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastDrill   time.Time `json:"last_drill,omitzero"`
	// Runs counts the runs that were a success; which of them are verified goes
	// by it.
	Runs int64 `json:"runs,omitempty"`
	// Told is what is wrong and was told, so that a restart does not tell it
	// again.
	Told        string    `json:"told,omitempty"`
	ToldAt      time.Time `json:"told_at,omitzero"`
	ToldOverdue bool      `json:"told_overdue,omitempty"`
	// Took is how long the last success took.
	Took time.Duration `json:"took_ns,omitempty"`
}

func (r *Repo) diaryDir() string { return filepath.Join(r.dir, diaryName) }

// DaemonDir is where a daemon has its socket. It is made by LockDaemon.
func (r *Repo) DaemonDir() string { return r.diaryDir() }

// LockDaemon takes the lock of the one daemon that works on a repository. It is
// ErrLocked where another one runs.
func (r *Repo) LockDaemon() (release func() error, err error) {
	if err := r.present(); err != nil {
		return nil, err
	}
	if err := r.disk.Mkdir(r.diaryDir()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("lock the repository for a daemon: %w", writeError(err))
	}
	path := filepath.Join(r.diaryDir(), "lock")
	f, err := openLocked(path, os.O_RDWR|os.O_CREATE, unix.LOCK_EX)
	if errors.Is(err, errBusy) {
		return nil, &LockedError{Lock: "daemon", Holder: "another daemon, " + whoHolds(path)}
	}
	if err != nil {
		return nil, fmt.Errorf("lock the repository for a daemon: %w", writeError(err))
	}
	l := &Lock{path: path, source: "", kind: "daemon", f: f}
	if err := l.record(request{exclusive: true}); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the repository for a daemon: %w", writeError(err))
	}
	return l.Release, nil
}

// ReadDiary returns what was kept of a source; false: nothing, or nothing that
// can be read. A diary is no reason to stop.
func (r *Repo) ReadDiary(source string) (Diary, bool) {
	var d Diary
	if snapshot.ValidSourceName(source) != nil {
		return d, false
	}
	text, err := readSmall(filepath.Join(r.diaryDir(), source+".json"), mutableLimit)
	if err != nil || json.Unmarshal(text, &d) != nil {
		return Diary{}, false
	}
	again, err := encodeDiary(d)
	if err != nil || d.Source != source || !bytes.Equal(again, text) {
		return Diary{}, false
	}
	return d, true
}

// WriteDiary keeps it. The caller holds the daemon's lock.
func (r *Repo) WriteDiary(d Diary) error {
	if err := snapshot.ValidSourceName(d.Source); err != nil {
		return err
	}
	if err := r.present(); err != nil {
		return err
	}
	// What an error says may hold anything, and is for people.
	d.Note = strings.ToValidUTF8(d.Note, "?")
	d.Note = strings.ToValidUTF8(d.Note[:min(len(d.Note), noteLimit)], "")
	text, err := encodeDiary(d)
	if err == nil {
		temp := filepath.Join(r.diaryDir(), d.Source+newSuffix)
		err = replaceFile(r.disk, temp, r.diaryDir(), d.Source+".json", text)
	}
	if err != nil {
		return fmt.Errorf("diary of source %s: %w", d.Source, writeError(err))
	}
	return nil
}

func encodeDiary(d Diary) ([]byte, error) {
	text, err := json.MarshalIndent(d, "", "  ")
	return append(text, '\n'), err
}

// FreeBytes is the room that is left where the repository lies, for one who is
// not root.
func (r *Repo) FreeBytes() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(r.dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", r.dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

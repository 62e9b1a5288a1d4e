package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultPatience is how long Save waits for what others began.
const DefaultPatience = time.Hour

// clockSlack is how far the server's clock may be behind its own last save
// before waiting for it is given up.
const clockSlack = 10 // seconds

// mostForks bounds how many saves are begun that then cannot be told from
// others'. More than one is rare.
const mostForks = 3

// SaveOptions are the caller's wishes for [Server.Save].
type SaveOptions struct {
	// Progress is called at every look at the server while its child works,
	// where the server tells how far it is (6.2 and later).
	Progress func(done, total int64)
	// Waiting is called when something that others began must end first.
	Waiting func(what string)
	// Patience bounds the waiting for others, all in all. 0: DefaultPatience.
	// The save itself is bounded by ctx alone.
	Patience time.Duration
}

// Save is a finished save that was forked at or after its request.
type Save struct {
	RequestedAt time.Time // the server's second of the request
	RunID       string
	SavedAt     int64  // rdb_last_save_time of the finished save
	Keyspace    []Keys // at the fork
	RDBSaves    int64
	ForkCOW     int64 // bytes
}

// SaveError is a save that did not come to be. Save never tries again after
// one: the next fork could do more harm than the first.
type SaveError struct {
	Reason error // ErrAborted, ErrRestarted, or words
	// MISCONF means that Redis refuses writes now: its last save failed, it has
	// save points, and stop-writes-on-bgsave-error is on.
	MISCONF bool
}

func (e *SaveError) Error() string {
	if e.MISCONF {
		return "redis save: " + e.Reason.Error() + "; redis now refuses writes (MISCONF)"
	}
	return "redis save: " + e.Reason.Error()
}

func (e *SaveError) Unwrap() error { return e.Reason }

// BusyError means that others' saves and rewrites left no room for ours within
// the caller's patience.
type BusyError struct {
	For    string // what was asked for: "save", "AOF rewrite"
	What   string
	Waited time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("redis %s: still waiting for %s after %s", e.For, e.What, e.Waited.Round(time.Second))
}

// Save has the server write its dump file, and returns when the file on disk
// is one whose fork was at or after this call: what others save, kill or
// rewrite meanwhile cannot make it accept an older one. It never accepts a
// save that someone else began before it, and never schedules one.
//
// The proof is the save time of the server, in whole seconds: a request counts
// only in a second that is later than the last save, so that the end of its
// save must move that time.
func (s *Server) Save(ctx context.Context, o SaveOptions) (Save, error) {
	w := newWaiting("save", o.Waiting, o.Patience)
	for lost := 0; lost < mostForks; {
		if err := s.ready(ctx, &w); err != nil {
			return Save{}, err
		}
		f, err := s.fork(ctx)
		if err != nil {
			return Save{}, err
		}
		switch {
		case f.ours():
			return s.await(ctx, f, o.Progress)
		case f.started:
			lost++ // like someone else's: wait it out, then ask again
		default:
			err = w.child(ctx, f.before)
		}
		if err != nil {
			return Save{}, err
		}
	}
	return Save{}, &SaveError{Reason: errors.New("none of the saves that were begun could be told from others'")}
}

// ready waits until nothing stands in the way of a fork of ours: no child, and
// a second in which no save ended.
func (s *Server) ready(ctx context.Context, w *waiting) error {
	for {
		replies, err := s.read(ctx, command("TIME"), command("INFO"))
		if err != nil {
			return err
		}
		now, err := replies[0].clock()
		if err != nil {
			return err
		}
		i, err := replies[1].info()
		if err != nil {
			return err
		}
		switch behind := i.LastSaveTime - now.Unix(); {
		case i.Loading || i.AsyncLoading:
			return &LoadingError{Command: "BGSAVE"}
		case i.OtherChild() != "":
			err = w.child(ctx, i)
		case behind > clockSlack:
			return &SaveError{Reason: fmt.Errorf("the server's clock is %d s behind its last save", behind)}
		case behind >= 0:
			err = w.second(ctx, now)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fork is the server's state round one BGSAVE.
type fork struct {
	at            time.Time
	before, after Info
	started       bool
}

// ours tells whether the save that was begun can be told from all others. It
// cannot where a save had ended in the second of the request; and the counts
// are not those of the fork where someone's command came between them.
func (f fork) ours() bool {
	return f.started && f.at.Unix() > f.after.LastSaveTime && slices.Equal(f.before.Keyspace, f.after.Keyspace)
}

// fork asks for a save, between two looks at the server, in one write: the
// server runs what one client sent at once back to back.
func (s *Server) fork(ctx context.Context) (fork, error) {
	replies, err := s.once(ctx, command("TIME"), command("INFO"), command("BGSAVE"), command("INFO"))
	if err != nil {
		return fork{}, err
	}
	var f fork
	if f.at, err = replies[0].clock(); err != nil {
		return fork{}, err
	}
	if f.before, err = replies[1].info(); err != nil {
		return fork{}, err
	}
	if f.after, err = replies[3].info(); err != nil {
		return fork{}, err
	}
	answer, err := replies[2].text()
	switch {
	case err == nil && strings.HasPrefix(answer, "Background saving started"):
		f.started = true
		return f, nil
	case err == nil:
		return fork{}, &SaveError{Reason: fmt.Errorf("unexpected answer to BGSAVE: %.80q", answer)}
	case isBusy(err, f.before):
		return f, nil
	case isReply(err, "ERR"):
		return fork{}, s.failed(ctx, errors.New("the fork was refused (too little memory or too many processes; the log of redis says which)"))
	}
	return fork{}, err
}

// isBusy tells whether BGSAVE was refused because of another child. The state
// in the same write says it; for children that INFO does not show, Redis's
// words must do.
func isBusy(err error, i Info) bool {
	if !isReply(err, "ERR") {
		return false
	}
	return i.OtherChild() != "" || isReply(err, "ERR Another child process is active") ||
		isReply(err, "ERR Background save already in progress")
}

// await polls until the save that began with f is done.
func (s *Server) await(ctx context.Context, f fork, progress func(done, total int64)) (Save, error) {
	var p pace
	for {
		if err := pause(ctx, p.next()); err != nil {
			return Save{}, err
		}
		replies, err := s.once(ctx, command("INFO"))
		if err != nil {
			return Save{}, err
		}
		i, err := replies[0].info()
		if err != nil {
			return Save{}, err
		}
		switch {
		case i.RunID != f.after.RunID:
			return Save{}, &SaveError{Reason: ErrRestarted}
		case i.LastSaveTime > f.after.LastSaveTime:
			return f.saved(i), nil
		case i.LastSaveTime < f.after.LastSaveTime:
			return Save{}, &SaveError{Reason: errors.New("the server's clock went back during the save")}
		case i.LastBGSaveStatus == "err" && (!i.BGSaveInProgress || f.after.LastBGSaveStatus == "ok"):
			return Save{}, s.failed(ctx, errors.New("the saving process failed (disk full, not writable, or killed; the log of redis says which)"))
		case !i.BGSaveInProgress:
			return Save{}, &SaveError{Reason: ErrAborted}
		case progress != nil && i.HasKeysProcessed && i.KeysTotal > 0:
			progress(i.KeysProcessed, i.KeysTotal)
		}
	}
}

func (f fork) saved(i Info) Save {
	return Save{
		RequestedAt: time.Unix(f.at.Unix(), 0).UTC(),
		RunID:       f.after.RunID,
		SavedAt:     i.LastSaveTime,
		Keyspace:    f.before.Keyspace,
		RDBSaves:    f.after.RDBSaves,
		ForkCOW:     i.LastCOW,
	}
}

// failed tells whether the failed save stopped writes: Redis refuses even PING
// then.
func (s *Server) failed(ctx context.Context, reason error) error {
	e := &SaveError{Reason: reason}
	if replies, err := s.read(ctx, command("PING")); err == nil {
		e.MISCONF = isReply(replies[0].err, "MISCONF")
	}
	return e
}

// SettleSecond waits until no further save can end in the second of this one,
// so that a save time that has not moved means that no other save has ended.
func (s *Server) SettleSecond(ctx context.Context, saved Save) error {
	for {
		replies, err := s.read(ctx, command("TIME"))
		if err != nil {
			return err
		}
		now, err := replies[0].clock()
		if err != nil {
			return err
		}
		behind := saved.SavedAt - now.Unix()
		if behind < 0 {
			return nil
		}
		if behind > clockSlack {
			return &SaveError{Reason: fmt.Errorf("the server's clock is %d s behind its last save", behind)}
		}
		if err := pause(ctx, untilNextSecond(now)); err != nil {
			return err
		}
	}
}

// Unrivalled tells, without waiting for a second to end, that the dump file is
// the one of this save: since then no other save has even begun. Where the
// server does not count them (before 7.0), or one has begun, it is false, and
// only SettleSecond and StillSaved tell. A count that CONFIG RESETSTAT set back
// in that very second cannot be told from the right one: what the file holds
// must be compared all the same. It is an error if the server was restarted.
func (s *Server) Unrivalled(ctx context.Context, saved Save) (bool, error) {
	i, still, err := s.sinceSave(ctx, saved)
	return still && i.HasRDBSaves && i.RDBSaves == saved.RDBSaves, err
}

// StillSaved tells whether the dump file is still the one of this save. It is
// an error if the server was restarted.
func (s *Server) StillSaved(ctx context.Context, saved Save) (bool, error) {
	_, still, err := s.sinceSave(ctx, saved)
	return still, err
}

// sinceSave asks the server of this save whether its save time is still that of
// the save.
func (s *Server) sinceSave(ctx context.Context, saved Save) (i Info, still bool, err error) {
	if i, err = s.Info(ctx); err != nil {
		return i, false, err
	}
	if i.RunID != saved.RunID {
		return i, false, &SaveError{Reason: ErrRestarted}
	}
	return i, i.LastSaveTime == saved.SavedAt, nil
}

// clockLag is how far the seconds that a server writes down (its save time, the
// dump's ctime) may be behind its answer to TIME: they come from a clock that
// the kernel moves on only at its ticks.
const clockLag = 50 * time.Millisecond

// clock reads an answer to TIME: the earliest time that the server can have
// written down in that moment.
func (r reply) clock() (time.Time, error) {
	if r.err != nil {
		return time.Time{}, r.err
	}
	list, ok := r.value.([]any)
	if !ok || len(list) != 2 {
		return time.Time{}, ErrNotRedis
	}
	sec, err1 := strconv.ParseInt(fmt.Sprint(list[0]), 10, 64)
	usec, err2 := strconv.ParseInt(fmt.Sprint(list[1]), 10, 64)
	if err1 != nil || err2 != nil {
		return time.Time{}, ErrNotRedis
	}
	return time.Unix(sec, usec*1000).Add(-clockLag), nil
}

package server

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Stamped is the earliest second that a server can have written down as the time
// of what it did at the given one.
func Stamped(at time.Time) time.Time { return at.Add(-clockLag).Truncate(time.Second) }

// Moment asks for the time and for INFO in one write, so that no command of
// anybody else comes between the two.
func (s *Server) Moment(ctx context.Context) (time.Time, Info, error) {
	replies, err := s.read(ctx, command("TIME"), command("INFO"))
	if err != nil {
		return time.Time{}, Info{}, err
	}
	at, err := replies[0].clock()
	if err != nil {
		return time.Time{}, Info{}, err
	}
	i, err := replies[1].info()
	return at.Add(clockLag), i, err
}

// settlePoll is the time between two looks for a moment without a rewrite.
const settlePoll = 20 * time.Millisecond

// SettleAOF waits until no rewrite is due, and unless running ones are allowed
// none runs: a server whose AOF was switched on, or taken from its master, a
// moment ago has an old one on disk until its first rewrite is done.
func (s *Server) SettleAOF(ctx context.Context, allowRunning bool) error {
	w := newWaiting("AOF", nil, 0)
	for {
		i, err := s.Info(ctx)
		if err != nil {
			return err
		}
		if !i.AOFRewriteScheduled && (allowRunning || !i.AOFRewriteInProgress) {
			return nil
		}
		if err := w.wait(ctx, "the end of its rewrites", settlePoll); err != nil {
			return err
		}
	}
}

// RewriteOptions are the caller's wishes for [Server.Rewrite].
type RewriteOptions struct {
	// Base identifies the base of the AOF on disk, which each rewrite replaces.
	// INFO alone cannot tell that one did: of a rewrite that FLUSHALL killed it
	// keeps the status of the one before.
	Base     func(context.Context) (string, error)
	Progress func(done, total int64)
	Waiting  func(what string)
	Patience time.Duration // with what others began; 0: DefaultPatience
}

// RewriteError is a rewrite of the AOF that did not come to be. The AOF is as
// whole as it was before.
type RewriteError struct{ Reason error }

func (e *RewriteError) Error() string { return "redis AOF rewrite: " + e.Reason.Error() }
func (e *RewriteError) Unwrap() error { return e.Reason }

// Rewrite has the server rewrite its AOF, and returns when the base on disk is
// one whose fork was after this call. Where others keep the server rewriting,
// it may be theirs.
func (s *Server) Rewrite(ctx context.Context, o RewriteOptions) error {
	w := newWaiting("AOF rewrite", o.Waiting, o.Patience)
	theirs, err := s.othersRewrites(ctx, o.Base)
	if err != nil {
		return err
	}
	for {
		run, err := s.idle(ctx, &w, theirs)
		if err != nil || theirs.done() {
			return err
		}
		before, err := o.Base(ctx)
		if err != nil {
			return err
		}
		accepted, err := s.askForRewrite(ctx)
		if err != nil {
			return err
		}
		if accepted {
			return s.awaitRewrite(ctx, run, before, o)
		}
	}
}

// others counts the bases that rewrites of others have put in place.
type others struct {
	read func(context.Context) (string, error)
	last string
	left int // until one was forked after the call
}

// othersRewrites begins to count. One that runs already does not count: it
// forked before.
func (s *Server) othersRewrites(ctx context.Context, base func(context.Context) (string, error)) (*others, error) {
	i, err := s.Info(ctx)
	if err != nil {
		return nil, err
	}
	o := &others{read: base, left: 1}
	if i.AOFRewriteInProgress {
		o.left++
	}
	o.last, err = base(ctx)
	return o, err
}

func (o *others) look(ctx context.Context) error {
	now, err := o.read(ctx)
	if err == nil && now != o.last {
		o.last = now
		o.left--
	}
	return err
}

func (o *others) done() bool { return o.left <= 0 }

// idle waits until no child runs and none is due, or others have done what is
// wanted, and tells the run's id.
func (s *Server) idle(ctx context.Context, w *waiting, theirs *others) (run string, err error) {
	for {
		i, err := s.Info(ctx)
		switch {
		case err != nil:
			return "", err
		case i.Loading || i.AsyncLoading:
			return "", &LoadingError{Command: "BGREWRITEAOF"}
		case !i.AOFEnabled:
			// It would leave files behind that a later start might load.
			return "", &RewriteError{Reason: errors.New("appendonly was switched off")}
		case i.OtherChild() == "" && !i.AOFRewriteScheduled:
			return i.RunID, nil
		}
		if err := theirs.look(ctx); err != nil || theirs.done() {
			return "", err
		}
		if err := w.child(ctx, i); err != nil {
			return "", err
		}
	}
}

// askForRewrite is false where another rewrite was there first: it forked
// before the request.
func (s *Server) askForRewrite(ctx context.Context) (accepted bool, err error) {
	replies, err := s.once(ctx, command("BGREWRITEAOF"))
	if err != nil {
		return false, err
	}
	answer, err := replies[0].text()
	switch {
	case err == nil && strings.HasPrefix(answer, "Background append only file rewriting"):
		return true, nil // begun, or due as soon as a child that came between has ended
	case err == nil:
		return false, ErrNotRedis
	case isReply(err, "ERR Background append only file rewriting already in progress"):
		return false, nil
	}
	if reply := (*ReplyError)(nil); errors.As(err, &reply) {
		return false, &RewriteError{Reason: errors.New(reply.Text)}
	}
	return false, err
}

// awaitRewrite polls until the base is another. While our rewrite runs, nobody
// else's can replace it; before was the one just before the request.
func (s *Server) awaitRewrite(ctx context.Context, run, before string, o RewriteOptions) error {
	begun, err := o.Base(ctx)
	if err != nil {
		return err
	}
	var p pace
	for {
		if err := pause(ctx, p.next()); err != nil {
			return err
		}
		// INFO first: a rewrite that ends between the two looks has replaced the
		// base before the second.
		i, err := s.Info(ctx)
		if err != nil {
			return err
		}
		if i.RunID != run {
			return &RewriteError{Reason: ErrRestarted}
		}
		now, err := o.Base(ctx)
		switch {
		case err != nil || now != begun:
			return err
		case i.AOFRewriteInProgress || i.AOFRewriteScheduled:
			if o.Progress != nil && i.HasKeysProcessed && i.KeysTotal > 0 {
				o.Progress(i.KeysProcessed, i.KeysTotal)
			}
		case begun != before:
			return nil // it was done by the first look
		case i.AOFRewriteStatus == "err":
			return &RewriteError{Reason: errors.New("the rewriting process failed (disk full, not writable, or killed; the log of redis says which)")}
		default:
			return &RewriteError{Reason: errors.New("the base on disk is still the one from before: stopped by another command, FLUSHALL perhaps, or the server writes elsewhere")}
		}
	}
}

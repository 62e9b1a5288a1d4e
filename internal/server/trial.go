package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Everything in this file writes, reconfigures or debugs. It is only for
// servers in containers that redisbak made itself, to put a snapshot on trial:
// a source is reached by Connect, and a Server cannot be turned into a Trial.

// trialLimit bounds the waiting for a trial server's own work beside ctx.
const trialLimit = 5 * time.Minute

// Trial is a server in a container that redisbak made itself.
type Trial struct{ *Server }

// ConnectTrial is [Connect] for a server of our own.
func ConnectTrial(ctx context.Context, o Options) (*Trial, error) {
	s, err := Connect(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Trial{s}, nil
}

// Digest is DEBUG DIGEST: forty hex digits over all keys and values.
func (t *Trial) Digest(ctx context.Context) (string, error) {
	digest, err := t.question(ctx, command("DEBUG DIGEST"))
	if err != nil {
		return "", err
	}
	if len(digest) != 40 {
		return "", fmt.Errorf("redis DEBUG DIGEST: unexpected answer %.80q", digest)
	}
	return digest, nil
}

// Promote ends the trial server's life as a replica of nowhere: from here on
// it accepts writes, and drops expired keys.
func (t *Trial) Promote(ctx context.Context) error {
	if err := t.order(ctx, command("REPLICAOF NO ONE")); err != nil {
		return err
	}
	i, err := t.Info(ctx)
	if err != nil {
		return err
	}
	if i.Role != Master {
		return errors.New("redis REPLICAOF NO ONE: the server is still a replica")
	}
	return nil
}

// WriteProbe writes a key that was not there, reads it and deletes it.
func (t *Trial) WriteProbe(ctx context.Context) error {
	key, value := "redisbak:probe:"+rand.Text(), rand.Text()
	if err := t.order(ctx, command("SET", key, value, "NX")); err != nil {
		return err
	}
	got, err := t.question(ctx, command("GET", key))
	if err != nil {
		return err
	}
	if got != value {
		return errors.New("redis GET: not the value that was just written")
	}
	replies, err := t.once(ctx, command("DEL", key))
	if err != nil {
		return err
	}
	return replies[0].err
}

// SaveAndWait is [Server.Save] for a server without neighbours.
func (t *Trial) SaveAndWait(ctx context.Context) error {
	_, err := t.Save(ctx, SaveOptions{Patience: trialLimit})
	return err
}

// AppendProbe shows that the server can write an append-only file: it switches
// one on unless it is on, writes to it, and switches it off again.
func (t *Trial) AppendProbe(ctx context.Context) error {
	i, err := t.Info(ctx)
	if err != nil {
		return err
	}
	if !i.AOFEnabled {
		if err := t.order(ctx, command("CONFIG SET", "appendonly", "yes")); err != nil {
			return err
		}
	}
	before, err := t.until(ctx, "the first AOF rewrite", func(i Info) (bool, error) {
		if i.AOFRewriteStatus == "err" {
			return false, errors.New("redis AOF rewrite: failed")
		}
		return i.AOFEnabled && !i.AOFRewriteInProgress && !i.AOFRewriteScheduled, nil
	})
	if err != nil {
		return err
	}
	if err := t.WriteProbe(ctx); err != nil {
		return err
	}
	_, err = t.until(ctx, "the growth of the AOF", func(i Info) (bool, error) {
		if i.AOFWriteStatus == "err" {
			return false, errors.New("redis AOF write: failed")
		}
		return i.AOFCurrentSize > before.AOFCurrentSize, nil
	})
	if err != nil || i.AOFEnabled {
		return err
	}
	return t.order(ctx, command("CONFIG SET", "appendonly", "no"))
}

// until polls INFO until done says so.
func (t *Trial) until(ctx context.Context, what string, done func(Info) (bool, error)) (Info, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, trialLimit, fmt.Errorf("no end of %s within %s", what, trialLimit))
	defer cancel()
	var p pace
	for {
		i, err := t.Info(ctx)
		if err != nil {
			return Info{}, err
		}
		if ok, err := done(i); ok || err != nil {
			return i, err
		}
		if err := pause(ctx, p.next()); err != nil {
			return Info{}, err
		}
	}
}

// question sends one command whose answer is a text.
func (t *Trial) question(ctx context.Context, r request) (string, error) {
	replies, err := t.once(ctx, r)
	if err != nil {
		return "", err
	}
	if replies[0].err != nil {
		return "", replies[0].err
	}
	s, ok := replies[0].value.(string)
	if !ok {
		return "", fmt.Errorf("redis %s: unexpected answer", r.name)
	}
	return s, nil
}

// order sends one command whose answer must be OK.
func (t *Trial) order(ctx context.Context, r request) error {
	answer, err := t.question(ctx, r)
	if err != nil {
		return err
	}
	if answer != "OK" {
		return fmt.Errorf("redis %s: unexpected answer %.80q", r.name, answer)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redisbak/redisbak/daemon"
	"github.com/redisbak/redisbak/internal/config"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/schedule"
	"github.com/redisbak/redisbak/snapshot"
)

// appFor is the app of one run of one source: what the command line says of a
// server, its settings say here.
func (k *keeper) appFor(s config.Source) (*app, error) {
	a := *k.app
	g := &a.globals
	g.source, g.address, g.username = s.Name, s.Address, s.Username
	g.password, g.passwordFile = "", ""
	if s.Password.Set() {
		var err error
		if g.password, err = s.Password.Read(); err != nil {
			return nil, err
		}
	}
	g.tls = tlsOptions{on: s.TLS.On, ca: s.TLS.CA, cert: s.TLS.Cert, key: s.TLS.Key, serverName: s.TLS.ServerName, insecure: s.TLS.Insecure}
	g.lockWait, g.timeout = s.LockWait, 0
	a.talk = k.talk.of(s.Name)
	return &a, nil
}

// capture takes the snapshots of one run.
func (k *keeper) capture(ctx context.Context, s config.Source, verify bool) (daemon.Outcome, error) {
	ctx, cancel := bounded(ctx, s.Timeout)
	defer cancel()
	a, err := k.appFor(s)
	if err != nil {
		return daemon.Outcome{}, err
	}
	o := &snapshotOptions{
		method: s.Method, noRewrite: s.NoRewrite, compression: string(s.Compression), noVerify: !verify, tags: s.Tags,
	}
	if !s.Retention.Empty() {
		o.keep = &s.Retention
	}
	access, err := a.access()
	if err != nil {
		return daemon.Outcome{}, err
	}
	engine, err := docker.Connect(ctx, docker.Environment(a.getenv))
	if err != nil {
		return daemon.Outcome{}, err
	}
	c, err := engine.Find(ctx, s.Container)
	if err != nil {
		return daemon.Outcome{}, errors.Join(err, engine.Close())
	}
	b, err := a.benchAt(ctx, engine, k.repo, a.startRun)
	if err != nil {
		return daemon.Outcome{}, err
	}
	defer b.end()
	run := &session{app: a, repo: k.repo, bench: b, access: access, options: o}
	if err := run.container(ctx, c); err != nil {
		return daemon.Outcome{}, run.final(err)
	}
	return run.outcome()
}

// final marks an error after which nothing is to be tried again: something was
// committed, and would be once more.
func (s *session) final(err error) error {
	if len(s.taken()) > 0 {
		return schedule.Final(err)
	}
	return err
}

// bounded ends ctx after a while, if there is one.
func bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within timeout: %s", config.FormatDuration(limit)))
}

// outcome is what the snapshots of a run came to, the worst of them.
func (s *session) outcome() (daemon.Outcome, error) {
	if s.failed != exitOK || len(s.results) == 0 {
		return daemon.Outcome{}, s.final(fmt.Errorf("%d of %d snapshots were not taken: %w", len(s.results)-len(s.taken()), len(s.results), errors.Join(s.errs...)))
	}
	worst := daemon.Outcome{Result: daemon.Success}
	for _, r := range s.results {
		o := outcomeOf(r.Entry, r.Proof, r.VerifyErr)
		if worst.Note == "" || rank(o.Result) > rank(worst.Result) {
			worst = o
		}
	}
	if s.notPruned && worst.Result == daemon.Success {
		worst = daemon.Outcome{Result: daemon.NotPruned, Note: worst.Note + "; nothing was pruned"}
	}
	return worst, nil
}

func rank(r daemon.Result) int { return slices.Index(ranked(), r) }

// ranked orders the results of what was committed, the worst last.
func ranked() []daemon.Result {
	return []daemon.Result{daemon.Success, daemon.NotPruned, daemon.Unverified, daemon.Suspect, daemon.Unrestorable}
}

func outcomeOf(e repo.Entry, p *snapshot.Proof, verifyErr error) daemon.Outcome {
	note := fmt.Sprintf("%s, %s stored as %s", keysPhrase(e.Keys()), size(e.Bytes()), size(e.StoredBytes()))
	id := e.Manifest.ID
	switch {
	case p != nil && p.Result == snapshot.Failed:
		return daemon.Outcome{Result: daemon.Unrestorable, Note: fmt.Sprintf("snapshot %s: verification failed: %s", id, p.Reason)}
	case e.State() == snapshot.Suspect:
		return daemon.Outcome{Result: daemon.Suspect, Note: fmt.Sprintf("snapshot %s is suspect: %s", id, e.Manifest.Reason)}
	case verifyErr != nil:
		return daemon.Outcome{Result: daemon.Unverified, Note: fmt.Sprintf("snapshot %s (%s) could not be verified: %v", id, note, verifyErr)}
	case p != nil && p.Result == snapshot.Inconclusive:
		return daemon.Outcome{Result: daemon.Unverified, Note: fmt.Sprintf("snapshot %s (%s) could not be verified: %s", id, note, p.Reason)}
	}
	return daemon.Outcome{Result: daemon.Success, Note: fmt.Sprintf("snapshot %s: %s", id, note)}
}

// drill verifies one of the older snapshots: a disk that decays does so in what
// nobody looks at.
func (k *keeper) drill(ctx context.Context, s config.Source) (daemon.Outcome, error) {
	ctx, cancel := bounded(ctx, s.Timeout)
	defer cancel()
	a, err := k.appFor(s)
	if err != nil {
		return daemon.Outcome{}, err
	}
	listing, err := k.repo.List(s.Name)
	if err != nil {
		return daemon.Outcome{}, err
	}
	good := slices.DeleteFunc(listing.Snapshots, func(e repo.Entry) bool { return !e.Good() })
	if len(good) < 2 {
		return daemon.Outcome{Result: daemon.Success, Note: "there is no older one"}, nil
	}
	e := good[1+rand.IntN(len(good)-1)]
	a.talk.info("drill: %s, taken %s", e.Manifest.ID, both(e.Manifest.PointInTime, a.zone))
	b, err := a.openBench(ctx, k.repo)
	if err != nil {
		return daemon.Outcome{}, err
	}
	defer b.end()
	keep, err := a.keep(ctx, k.repo, s.Name)
	if err != nil {
		return daemon.Outcome{}, err
	}
	defer keep()
	proof, err := a.verifier(b, k.repo, "")(ctx, e)
	if err != nil {
		return outcomeOf(e, nil, err), nil
	}
	a.reportProof(proof, exitReserved)
	return outcomeOf(e, &proof, nil), nil
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/instance"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

// labelName names a container's source in the repository.
const labelName = "redisbak.name"

// openRepo opens the repository and passes its warnings on.
func (a *app) openRepo() (*repo.Repo, error) {
	r, err := repo.Open(a.repo)
	if err == nil {
		a.warnAll(r.Warnings())
	}
	return r, err
}

// createRepo opens the repository, or makes it where nothing is there yet.
func (a *app) createRepo() (*repo.Repo, error) {
	var options []repo.Option
	if a.repoDefault {
		options = append(options, repo.MakeParents)
	}
	r, created, err := repo.Create(a.repo, options...)
	if as[*repo.UnusableError](err) {
		e := get[*repo.UnusableError](err)
		err = &repo.NoRepositoryError{Dir: e.Dir, Reason: "none can be made there: " + e.Reason}
	}
	if err != nil {
		return nil, err
	}
	if created {
		a.talk.warn("new repository created at " + r.Dir())
	}
	a.warnAll(r.Warnings())
	return r, nil
}

// repoFits fails where createRepo would, and makes nothing: a repository is
// only made once there is something to put into it.
func (a *app) repoFits() error {
	dir, err := filepath.Abs(a.repo)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		_, err := repo.Open(dir)
		return err
	}
	if _, err := os.Stat(filepath.Dir(dir)); errors.Is(err, fs.ErrNotExist) && !a.repoDefault {
		return &repo.NoRepositoryError{Dir: dir, Reason: "no such directory, nor the one above it"}
	}
	return nil
}

func (a *app) warnAll(warnings []string) {
	for _, w := range warnings {
		a.talk.warn(w)
	}
}

// bench is what a command needs that makes objects at the engine.
type bench struct {
	engine *docker.Engine
	owner  docker.Owner
	end    func()
}

// openBench connects to the engine, begins a run, and removes what dead runs
// have left. The caller calls end.
func (a *app) openBench(ctx context.Context, r *repo.Repo) (*bench, error) {
	engine, err := docker.Connect(ctx, docker.Environment(a.getenv))
	if err != nil {
		return nil, err
	}
	return a.benchAt(ctx, engine, r, a.beginRun)
}

// benchAt is openBench on an engine that is connected already; it closes it.
func (a *app) benchAt(ctx context.Context, engine *docker.Engine, r *repo.Repo,
	begin func(context.Context, *repo.Repo) (docker.Owner, func(), error)) (*bench, error) {
	owner, endRun, err := begin(ctx, r)
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	if err := engine.Sweep(ctx, r.ID(), r.RunDead); err != nil {
		if ctx.Err() != nil {
			endRun()
			return nil, errors.Join(err, engine.Close())
		}
		a.talk.warn(fmt.Sprintf("what a killed run left at the engine is still there: %v", err))
	}
	return &bench{engine: engine, owner: owner, end: func() {
		endRun()
		// The last call to the engine is over: nothing hangs on its answer.
		_ = engine.Close()
	}}, nil
}

// startRun marks this process as alive.
func (a *app) startRun(ctx context.Context, r *repo.Repo) (docker.Owner, func(), error) {
	running, err := r.StartRun(ctx)
	if err != nil {
		return docker.Owner{}, nil, err
	}
	end := func() {
		if err := running.End(); err != nil {
			a.talk.warn(fmt.Sprintf("this run's file stays in the repository: %v", err))
		}
	}
	return docker.Owner{Role: docker.RoleHelper, Repo: r.ID(), Run: running.ID()}, end, nil
}

// beginRun is startRun for what can do without: where the repository cannot be
// written its objects belong to no repository, and nobody will ever sweep them.
func (a *app) beginRun(ctx context.Context, r *repo.Repo) (docker.Owner, func(), error) {
	owner, end, err := a.startRun(ctx, r)
	if !errors.Is(err, repo.ErrNotWritable) {
		return owner, end, err
	}
	a.talk.warn(fmt.Sprintf("going on without a lock and a journal: %v", err))
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return docker.Owner{}, nil, err
	}
	return docker.Owner{Role: docker.RoleHelper, Repo: docker.NoRepo, Run: hex.EncodeToString(id)}, func() {}, nil
}

// verifier boots snapshots as they were captured; image may be empty.
func (a *app) verifier(b *bench, r *repo.Repo, image string) func(context.Context, repo.Entry) (snapshot.Proof, error) {
	boot := a.bootLayout(b, r, image)
	return func(ctx context.Context, e repo.Entry) (snapshot.Proof, error) { return boot(ctx, e, "") }
}

// bootLayout boots snapshots in the layout in which they will be laid down.
func (a *app) bootLayout(b *bench, r *repo.Repo, image string) func(context.Context, repo.Entry, string) (snapshot.Proof, error) {
	return func(ctx context.Context, e repo.Entry, layout string) (snapshot.Proof, error) {
		a.talk.detail("verifying %s: boot on a throw-away copy", e.Manifest.ID)
		return verify.Run(ctx, instance.Lab{Engine: b.engine, Owner: b.owner}, r, e, verify.Options{
			BootOptions: verify.BootOptions{Image: image, Layout: layout, Progress: a.talk.progress},
			LockWait:    a.lockWait, Now: a.now, Warn: a.talk.warn,
		})
	}
}

// latest is the newest good snapshot of the only source, or of --source.
func (a *app) latest(r *repo.Repo) (repo.Entry, error) {
	source, err := a.onlySource(r, a.source)
	if err != nil {
		return repo.Entry{}, err
	}
	choice, err := a.choose(r, source, repo.Latest)
	return choice.Entry, err
}

// keep makes a source's snapshots stay while they are read. Where the
// repository cannot be written nobody can remove them either.
func (a *app) keep(ctx context.Context, r *repo.Repo, source string) (release func(), err error) {
	lock, err := r.LockKeep(ctx, source, a.lockWait)
	if errors.Is(err, repo.ErrNotWritable) {
		a.talk.warn(fmt.Sprintf("going on without a lock: %v", err))
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	return func() {
		if err := lock.Release(); err != nil {
			a.talk.warn(err.Error())
		}
	}, nil
}

// choose lists a source's snapshots and picks one.
func (a *app) choose(r *repo.Repo, source string, pick func([]repo.Entry) (repo.Choice, error)) (repo.Choice, error) {
	listing, err := r.List(source)
	if err != nil {
		return repo.Choice{}, err
	}
	for _, p := range listing.Problems {
		a.talk.warn(problemText(p))
	}
	choice, err := pick(listing.Snapshots)
	var miss *repo.NoSnapshotError
	if errors.As(err, &miss) {
		miss.Source = source
	}
	if err != nil {
		return choice, err
	}
	for _, e := range choice.Skipped {
		a.talk.warn(fmt.Sprintf("%s is newer and passed over: %s", e.Manifest.ID, e.WhyNotGood()))
	}
	return choice, nil
}

func problemText(p repo.Problem) string {
	return fmt.Sprintf("%s: %s", strings.Trim(p.ID+"/"+p.File, "/"), p.Problem)
}

// named is the source that a command's only argument names, or --source, or
// "" for none.
func (a *app) named(args []string) (string, error) {
	switch {
	case len(args) == 0:
		return a.source, nil
	case a.source != "" && a.source != args[0]:
		return "", usagef("source %s and --source %s: give one of them", args[0], a.source)
	}
	if err := snapshot.ValidSourceName(args[0]); err != nil {
		return "", &usageError{err: err}
	}
	return args[0], nil
}

// onlySource is the named source, or the repository's only one.
func (a *app) onlySource(r *repo.Repo, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	sources, err := r.Sources()
	if err != nil {
		return "", err
	}
	switch len(sources) {
	case 0:
		return "", noSnapshots("")
	case 1:
		return sources[0], nil
	}
	return "", hinted(usagef("the repository has several sources: %s", list(sources)), "name one of them: --source NAME")
}

// noSnapshots is for a repository in which nothing is, of a source or at all.
func noSnapshots(source string) error {
	return &repo.NoSnapshotError{Source: source, Wanted: " in the repository: it holds none"}
}

// openEntry opens the repository and finds the snapshot that a user means.
func (a *app) openEntry(arg string) (*repo.Repo, repo.Entry, error) {
	r, err := a.openRepo()
	if err != nil {
		return nil, repo.Entry{}, err
	}
	e, err := a.entry(r, arg)
	return r, e, err
}

// entry is the snapshot that a user means by an id, a prefix of one, or
// "latest".
func (a *app) entry(r *repo.Repo, arg string) (repo.Entry, error) {
	if arg == "latest" {
		return a.latest(r)
	}
	return r.Get(arg)
}

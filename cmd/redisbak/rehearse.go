package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"

	"github.com/redisbak/redisbak/backup"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/instance"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/retention"
	"github.com/redisbak/redisbak/snapshot"
)

// rehearsal is one run of snapshot --dry-run.
type rehearsal struct {
	*app
	engine  *docker.Engine
	owner   docker.Owner
	repo    *repo.Repo // nil: there is none yet
	access  instance.Access
	options *snapshotOptions

	planned []plannedJSON
	pruned  []outcome
}

// plannedJSON is a snapshot that would be taken.
type plannedJSON struct {
	Source        string `json:"source"`
	Container     string `json:"container"`
	Method        string `json:"method"`
	Server        string `json:"server"`
	ServerVersion string `json:"server_version"`
	Role          string `json:"role"`
	MemoryBytes   int64  `json:"memory_bytes"`
	Way           string `json:"way"`
}

// rehearse looks at the servers as a snapshot does and says what it would do.
// What stands against a snapshot is an error here too.
func (a *app) rehearse(ctx context.Context, engine *docker.Engine, containers []docker.Container, access instance.Access, o *snapshotOptions) error {
	h := &rehearsal{app: a, engine: engine, access: access, options: o}
	end, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	failed := exitOK
	for _, c := range containers {
		err := h.container(ctx, c)
		switch {
		case err == nil:
		case len(containers) == 1 || ctx.Err() != nil:
			return err
		default:
			a.explain(err)
			failed = exitFailure
		}
	}
	if err := h.print(); err != nil {
		return err
	}
	a.talk.info("dry run: nothing was changed")
	if failed != exitOK {
		return &outcomeError{failed}
	}
	return nil
}

// begin opens the repository, if there is one, and its bench.
func (h *rehearsal) begin(ctx context.Context) (end func(), err error) {
	h.repo, err = repo.Open(h.app.repo)
	if errors.Is(err, repo.ErrNoRepository) {
		if _, statErr := os.Lstat(h.app.repo); !errors.Is(statErr, fs.ErrNotExist) {
			return nil, errors.Join(err, h.engine.Close())
		}
		h.repo, h.owner = nil, docker.Owner{Role: docker.RoleHelper, Repo: docker.NoRepo, Run: "rehearsal"}
		return func() { _ = h.engine.Close() }, nil
	}
	if err != nil {
		return nil, errors.Join(err, h.engine.Close())
	}
	h.warnAll(h.repo.Warnings())
	b, err := h.benchAt(ctx, h.engine, h.repo, h.beginRun)
	if err != nil {
		return nil, err
	}
	h.owner = b.owner
	return b.end, nil
}

func (h *rehearsal) container(ctx context.Context, c docker.Container) error {
	name := h.sourceName(c)
	if err := snapshot.ValidSourceName(name); err != nil {
		return &usageError{err: err}
	}
	methods, err := h.options.methods()
	if err != nil {
		return err
	}
	for _, method := range methods {
		if err := h.look(ctx, c, name, method); err != nil {
			return err
		}
	}
	return h.prune(ctx, name, c.ID, len(methods))
}

// look is one snapshot that would be taken.
func (h *rehearsal) look(ctx context.Context, c docker.Container, name, method string) error {
	i, err := instance.Open(ctx, h.engine, c, h.owner, h.access)
	if err != nil {
		return err
	}
	defer i.Close()
	i.Use(method, h.options.noRewrite)
	pre, err := backup.Look(ctx, i, name, backup.Options{Force: h.options.force, Warn: h.talk.warn})
	if err != nil {
		return err
	}
	p := plannedJSON{
		Source: name, Container: c.Name, Method: i.Method(), Way: i.Way(),
		Server: pre.Server.Software, ServerVersion: pre.Server.Version, Role: pre.Server.Role, MemoryBytes: pre.Server.UsedMemoryBytes,
	}
	h.planned = append(h.planned, p)
	h.describe(p, pre.Source, c.Image)
	return nil
}

// describe says what would be done, step by step.
func (h *rehearsal) describe(p plannedJSON, s snapshot.Source, image string) {
	say := h.talk.info
	say("snapshot of %s: container %s, %s %s (%s), %s in memory, reached by %s",
		p.Source, p.Container, p.Server, p.ServerVersion, p.Role, size(p.MemoryBytes), p.Way)
	from := "volume " + s.Mount.Name
	if s.Mount.Type == snapshot.MountBind {
		from = s.Mount.Path
	}
	switch {
	case p.Method == snapshot.MethodRDB:
		say("  have it save its dump (BGSAVE), and copy %s out of %s", s.Options.DBFilename, from)
	case h.options.noRewrite:
		say("  copy its append-only files out of %s as they are", from)
	default:
		say("  have it rewrite its append-only files (BGREWRITEAOF), and copy them out of %s", from)
	}
	if h.repo == nil {
		say("  commit it to %s, a new repository", h.app.repo)
	} else {
		say("  commit it to %s", h.repo.Dir())
	}
	if !h.options.noVerify {
		say("  verify it: boot a throw-away copy with image %s", image)
	}
}

// prune says what the policy would remove after a success.
func (h *rehearsal) prune(ctx context.Context, source, container string, taken int) error {
	if h.options.keep == nil || h.repo == nil {
		return nil
	}
	at := h.now()
	var more []retention.Snapshot
	for range taken {
		id, err := snapshot.NewID(at, rand.Reader)
		if err != nil {
			return err
		}
		more = append(more, retention.Snapshot{
			ID: id, Time: at, Started: at, Finished: at, Container: container, Good: true, Passed: !h.options.noVerify, Tags: h.options.tags,
		})
	}
	all, err := h.survey(ctx, h.repo, source, *h.options.keep, nil, more...)
	if errors.Is(err, repo.ErrNotFound) {
		return nil // nothing is there that could go
	}
	h.pruned = append(h.pruned, all...)
	return err
}

func (h *rehearsal) print() error {
	if h.options.json {
		doc := map[string]any{"dry_run": true, "snapshots": []snapshotJSON{}, "planned": append([]plannedJSON{}, h.planned...)}
		if h.options.keep != nil {
			doc["decisions"] = decisionsJSON(h.pruned)
		}
		return h.document(doc)
	}
	if len(h.pruned) == 0 {
		return nil
	}
	return h.printDecisions(h.pruned, false, true)
}

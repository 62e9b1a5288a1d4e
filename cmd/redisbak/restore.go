package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/instance"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
)

type restoreOptions struct {
	date, at, id string
	volume       string
	layout       string
	image        string
	pull         bool
	start        bool
	name         string
	publish      []string
	verify       bool
	noVerify     bool
	dryRun       bool
	yes          bool
	json         bool
}

func (a *app) restoreCommand() *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore [SOURCE]",
		Short: "Put a snapshot back into a fresh volume",
		Long: `Lay a snapshot down in a fresh volume from which the original container,
started with its own command line, serves exactly the snapshot's data: as a
dump, or as append-only files where it starts with appendonly yes, whichever of
the two was captured. The source and its volume are not touched. Without --date,
--at or --id, the newest good snapshot is taken; SOURCE may be left out where
the repository has only one.

The volume is called <volume>-recovery-<id> unless --volume names another, which
must not exist or be empty. With --start a container like the original is
started on it; without, the lines that switch a compose file over are printed.`,
		Example: `  redisbak restore --date 20260208
  redisbak restore redis-server --at "2h ago" --start
  redisbak restore --id 20260208T031502Z-7k3f --volume redis-new --dry-run`,
		Args:              takes(0, 1),
		ValidArgsFunction: a.completeSources,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(oneOf(cmd, "date", "at", "id"), oneOf(cmd, "verify", "no-verify")); err != nil {
				return err
			}
			return a.runRestore(cmd.Context(), args, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.date, "date", "", "the latest good one of local `DAY`: 20260208 or 2026-02-08")
	f.StringVar(&o.at, "at", "", "the latest good one at or before `T`: RFC 3339, \"2026-02-08 14:03\" or \"2h ago\"")
	f.StringVar(&o.id, "id", "", "the snapshot with this `ID`, good or not; a unique prefix will do")
	f.StringVar(&o.volume, "volume", "", "restore into volume `V`, created where it does not exist")
	f.StringVar(&o.layout, "layout", "", "lay down `L` whatever the target would start from: rdb, aof (7.0 or later) or aof-legacy (one file, as before 7.0)")
	f.StringVar(&o.image, "image", "", "`IMAGE` to verify and start with instead of the source's own")
	f.BoolVar(&o.pull, "pull", false, "pull the image where it is not local")
	f.BoolVar(&o.start, "start", false, "start a container like the original on the volume")
	f.StringVar(&o.name, "name", "", "`NAME` of the container that --start makes")
	f.StringArrayVar(&o.publish, "publish", nil, "publish a port of it, `P` as docker run -p takes it; may be repeated")
	f.BoolVar(&o.verify, "verify", false, "boot a throw-away copy first although the snapshot is proven")
	f.BoolVar(&o.noVerify, "no-verify", false, "do not boot a throw-away copy first, proven or not")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan and change nothing")
	f.BoolVar(&o.yes, "yes", false, "ask nothing; a restore into a fresh volume never does")
	f.BoolVar(&o.json, "json", false, "print a JSON document")
	return cmd
}

// check refuses what would come out only when the volume is filled.
func (o restoreOptions) check() error {
	switch {
	case !o.start && (o.name != "" || len(o.publish) > 0):
		return hinted(usagef("--name and --publish are of the container that --start makes"), "add --start, or leave them out")
	}
	if o.layout != "" && !snapshot.KnownLayout(o.layout) {
		return usagef("--layout %q: not rdb, aof or aof-legacy", o.layout)
	}
	if o.volume != "" {
		if err := docker.ValidName(o.volume); err != nil {
			return usagef("--volume %w", err)
		}
	}
	if o.name != "" {
		if err := docker.ValidName(o.name); err != nil {
			return usagef("--name %w", err)
		}
	}
	return docker.ValidPublish(o.publish)
}

// restoreJSON is the document of a restore.
type restoreJSON struct {
	Snapshot  snapshotJSON `json:"snapshot"`
	Volume    string       `json:"volume"`
	Verified  string       `json:"verified"`
	Keys      *int64       `json:"keys"`
	Container *string      `json:"container"`
	DryRun    bool         `json:"dry_run"`
	Steps     []stepJSON   `json:"steps"`
}

type stepJSON struct {
	Action string `json:"action"`
	Detail string `json:"detail"`
}

func (a *app) runRestore(ctx context.Context, args []string, o restoreOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	var access instance.Access
	if o.start { // nothing else asks a server
		var err error
		if access, err = a.access(); err != nil {
			return err
		}
	}
	r, err := a.openRepo()
	if err != nil {
		return err
	}
	e, err := a.chooseToRestore(r, args, o)
	if err != nil {
		return err
	}
	keep, err := r.LockKeep(ctx, e.Manifest.Source.Name, a.lockWait)
	switch {
	case err == nil:
		defer keep.Release()
	case !errors.Is(err, repo.ErrNotWritable):
		return err
	}
	b, err := a.openBench(ctx, r)
	if err != nil {
		return err
	}
	defer b.end()
	target := instance.Target{Engine: b.engine, Owner: b.owner, Access: access, Now: a.now}
	plan, err := restore.Prepare(ctx, target, r, e, o.request(), o.mode())
	if err != nil {
		return err
	}
	a.printPlan(plan)
	if o.dryRun {
		return a.restored(restore.Result{Plan: plan, Keys: plan.Keys()}, o)
	}
	result, err := restore.Run(ctx, target, r, plan, restore.Options{
		Run: b.owner.Run, Now: a.now, Warn: a.talk.warn, Progress: a.talk.progress, Verify: a.bootLayout(b, r, plan.Image.ID),
	})
	if err != nil {
		return err
	}
	return a.restored(result, o)
}

func (o restoreOptions) request() restore.Request {
	req := restore.Request{Volume: o.volume, Layout: o.layout, Image: o.image, Pull: o.pull}
	if o.start {
		req.Start = &restore.Start{Name: o.name, Publish: o.publish}
	}
	return req
}

func (o restoreOptions) mode() restore.VerifyMode {
	switch {
	case o.verify:
		return restore.VerifyAlways
	case o.noVerify:
		return restore.VerifyNever
	}
	return restore.VerifyUnproven
}

// chooseToRestore finds the snapshot that is asked for and says which it is.
func (a *app) chooseToRestore(r *repo.Repo, args []string, o restoreOptions) (repo.Entry, error) {
	e, err := a.pick(r, args, o)
	if err != nil {
		return e, err
	}
	a.talk.info("snapshot %s of %s, taken %s", e.Manifest.ID, e.Manifest.Source.Name, both(e.Manifest.PointInTime, a.zone))
	if !e.Good() {
		a.talk.warn(fmt.Sprintf("%s is not a good snapshot: %s", e.Manifest.ID, e.WhyNotGood()))
	}
	return e, nil
}

func (a *app) pick(r *repo.Repo, args []string, o restoreOptions) (repo.Entry, error) {
	name, err := a.named(args)
	if err != nil {
		return repo.Entry{}, err
	}
	if o.id != "" {
		e, err := r.Get(o.id)
		if err == nil && name != "" && e.Manifest.Source.Name != name {
			return e, usagef("snapshot %s is of source %s, not of %s", e.Manifest.ID, e.Manifest.Source.Name, name)
		}
		return e, err
	}
	pick, wanted, err := a.wanted(o)
	if err != nil {
		return repo.Entry{}, err
	}
	source, err := a.onlySource(r, name)
	if err != nil {
		return repo.Entry{}, err
	}
	choice, err := a.choose(r, source, pick)
	var miss *repo.NoSnapshotError
	if errors.As(err, &miss) {
		miss.Wanted = wanted
	}
	return choice.Entry, err
}

// wanted is how --date and --at pick, and how to say what was wanted.
func (a *app) wanted(o restoreOptions) (pick func([]repo.Entry) (repo.Choice, error), words string, err error) {
	switch {
	case (o.date != "" || o.at != "") && a.zoneErr != nil:
		return nil, "", a.zoneErr
	case o.date != "":
		from, to, err := parseDay(o.date, a.zone)
		words = fmt.Sprintf(" on %s (%s to %s)", from.Format(time.DateOnly), from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
		return func(es []repo.Entry) (repo.Choice, error) { return repo.InDay(es, from, to) }, words, err
	case o.at != "":
		t, err := parseInstant(o.at, a.now(), a.zone)
		return func(es []repo.Entry) (repo.Choice, error) { return repo.AtOrBefore(es, t) }, " at or before " + both(t, a.zone), err
	}
	return repo.Latest, "", nil
}

func (a *app) printPlan(p *restore.Plan) {
	a.warnAll(p.Warnings)
	for _, s := range p.Steps {
		a.talk.info("  %s", s)
	}
	if p.Expired > 0 {
		a.talk.info("  %s will be dropped as it loads: their time has come", plural(p.Expired, "key"))
	}
}

// appendOnly is the option of a server that starts from a layout.
func appendOnly(layout string) string {
	if layout == snapshot.LayoutRDB {
		return "no"
	}
	return "yes"
}

// restored says what a restore came to and what to do next.
func (a *app) restored(result restore.Result, o restoreOptions) error {
	p := result.Plan
	verified := repo.Never
	if result.Proof != nil {
		verified = repo.Passed
	} else if o.dryRun {
		verified = p.Entry.Verified()
	}
	if o.json {
		doc := restoreJSON{Snapshot: toJSON(p.Entry), Volume: p.Volume, Verified: verified, Keys: result.Keys, DryRun: o.dryRun}
		if result.Container != "" {
			doc.Container = &result.Container
		}
		for _, s := range p.Steps {
			doc.Steps = append(doc.Steps, stepJSON(s))
		}
		return a.document(doc)
	}
	if o.dryRun {
		a.talk.info("dry run: nothing was changed")
		return nil
	}
	a.talk.info("restored %s into volume %s in %.1f s: %s, verified: %s",
		p.Entry.Manifest.ID, p.Volume, result.Took.Seconds(), keysPhrase(result.Keys), verified)
	if o.layout != "" {
		a.talk.info("it is for a server that starts with appendonly %s: one that starts otherwise ignores it", appendOnly(p.Layout))
	}
	a.talk.info("not part of a snapshot: configuration files, ACL files, TLS keys and modules")
	if result.Container != "" {
		a.talk.info("container %s serves it", result.Container)
		return nil
	}
	if p.Entry.Manifest.Source.Mount.Type == snapshot.MountBind {
		a.talk.info("the source's data is a bind mount: copy the volume over, or switch the service to it:")
	} else {
		a.talk.info("to switch a compose service over to it:")
	}
	_, err := fmt.Fprintln(a.stdout, strings.Join(instance.ComposeLines(p.Entry.Manifest, p.Volume), "\n"))
	return err
}

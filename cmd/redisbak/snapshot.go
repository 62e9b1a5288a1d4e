package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/backup"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/instance"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/retention"
	"github.com/redisbak/redisbak/snapshot"
)

type snapshotOptions struct {
	all         bool
	method      string
	noRewrite   bool
	compression string
	noVerify    bool
	force       bool
	acceptDrop  bool
	tags        []string
	policy      policyFlags
	keep        *retention.Policy // what policy came to; nil: nothing is pruned
	dryRun      bool
	json        bool
}

func (a *app) snapshotCommand() *cobra.Command {
	var o snapshotOptions
	cmd := &cobra.Command{
		Use:   "snapshot [CONTAINER...]",
		Short: "Take a snapshot, commit it, and prove it by booting it",
		Long: `Have the Redis in CONTAINER write its data anew, copy them out of its volume,
commit them to the repository and boot a throw-away copy of them. Without
CONTAINER, the only running container that runs Redis or Valkey is taken.

What is captured is what the server itself would start from: its append-only
files where it runs with appendonly yes, else its dump. --method says otherwise.

A snapshot with less than half of the keys or bytes that are usual for its
source is committed as suspect: it is kept, never chosen by itself, and the exit
code is 3. "redisbak accept" says that the drop was meant.

With a policy (--keep-…), older snapshots of the same source that no rule keeps
are deleted after a success, as "redisbak prune" does it.`,
		Example: `  redisbak snapshot redis-server
  redisbak snapshot --all --json
  redisbak snapshot redis-server --keep-daily 7 --keep-weekly 4`,
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runSnapshot(cmd.Context(), args, &o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "every running container that runs Redis or Valkey")
	f.StringVar(&o.method, "method", "auto", "capture `METHOD`: rdb (its dump), aof (its append-only files), rdb,aof (one snapshot of each), or auto: what the server itself would start from")
	f.BoolVar(&o.noRewrite, "no-rewrite", false, "take the append-only files as they are, without having them rewritten first: no fork, and no room needed")
	f.StringVar(&o.compression, "compression", string(snapshot.Gzip), "`KIND` of compression: gzip, zstd or none")
	f.BoolVar(&o.noVerify, "no-verify", false, "do not boot the snapshot")
	f.BoolVar(&o.force, "force", false, "ask for a save or a rewrite although there seems to be no room for it")
	f.BoolVar(&o.acceptDrop, "accept-drop", false, "accept a snapshot that would be suspect")
	f.StringArrayVar(&o.tags, "tag", nil, "mark the snapshot with `T`; may be repeated")
	f.BoolVar(&o.dryRun, "dry-run", false, "look at the server, say what would be done, and change nothing")
	f.BoolVar(&o.json, "json", false, "print a JSON document")
	o.policy.add(f)
	return cmd
}

func (o *snapshotOptions) check(args []string, g globals) error {
	several := o.all || len(args) > 1
	switch {
	case o.all && len(args) > 0:
		return usagef("--all and container %s: give one of them", args[0])
	case g.source != "" && several:
		return usagef("--source names one source, and several containers are asked for")
	case g.address != "" && several:
		return usagef("--address is that of one server, and several containers are asked for")
	}
	methods, err := o.methods()
	if err != nil {
		return err
	}
	if o.noRewrite && slices.Equal(methods, []string{snapshot.MethodRDB}) {
		return usagef("--no-rewrite and --method rdb: a dump is always written anew")
	}
	switch snapshot.Compression(o.compression) {
	case snapshot.Gzip, snapshot.Zstd, snapshot.None:
	default:
		return usagef("--compression %q: not gzip, zstd or none", o.compression)
	}
	for _, t := range o.tags {
		if err := snapshot.ValidTag(t); err != nil {
			return &usageError{err: err}
		}
	}
	return nil
}

// methods are those to be captured one after the other; "" is the server's own.
func (o *snapshotOptions) methods() ([]string, error) {
	if o.method == "auto" {
		return []string{""}, nil
	}
	var all []string
	for m := range strings.SplitSeq(o.method, ",") {
		if m != snapshot.MethodRDB && m != snapshot.MethodAOF {
			return nil, usagef("--method %q: not auto, rdb, aof or rdb,aof", o.method)
		}
		if slices.Contains(all, m) {
			return nil, usagef("--method %q: %s is there twice", o.method, m)
		}
		all = append(all, m)
	}
	return all, nil
}

func (a *app) runSnapshot(ctx context.Context, args []string, o *snapshotOptions) error {
	if err := o.check(args, a.globals); err != nil {
		return err
	}
	if o.policy.given() {
		policy, err := a.readPolicy(&o.policy)
		if err != nil {
			return err
		}
		o.keep = &policy
	}
	access, err := a.access()
	if err != nil {
		return err
	}
	if err := a.repoFits(); err != nil {
		return err
	}
	engine, err := docker.Connect(ctx, docker.Environment(a.getenv))
	if err != nil {
		return err
	}
	containers, err := a.sources(ctx, engine, args, o.all)
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	if o.dryRun {
		return a.rehearse(ctx, engine, containers, access, o)
	}
	r, err := a.createRepo()
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	b, err := a.benchAt(ctx, engine, r, a.startRun)
	if err != nil {
		return err
	}
	defer b.end()
	s := &session{app: a, repo: r, bench: b, access: access, options: o, several: len(containers) > 1}
	for _, c := range containers {
		if err := s.container(ctx, c); err != nil {
			return errors.Join(err, s.print())
		}
	}
	if err := s.print(); err != nil {
		return err
	}
	if code := cmp.Or(s.failed, s.code); code != exitOK {
		return &outcomeError{code}
	}
	return nil
}

// session is one run of snapshot, over one container after the other.
type session struct {
	*app
	repo    *repo.Repo
	bench   *bench
	access  instance.Access
	options *snapshotOptions
	several bool // containers

	results   []backup.Result // of what was tried
	pruned    []outcome
	errs      []error // of what was not taken
	notPruned bool    // what was to be pruned
	code      int     // of what was committed
	failed    int     // of what was not
}

// container takes the snapshots that are wanted of one container and, where all
// of them are a success, prunes. An error ends the run: that of the only
// snapshot, or an interrupt; the others are told of.
func (s *session) container(ctx context.Context, c docker.Container) error {
	methods, err := s.options.methods()
	if err != nil {
		return err
	}
	code, failed, known := exitOK, exitOK, []snapshot.ID(nil)
	for _, method := range methods {
		result, err := s.snapshotOne(ctx, c, method)
		s.results = append(s.results, result)
		if result.Entry.Manifest != nil {
			known = append(known, result.Entry.Manifest.ID)
		}
		if err != nil {
			if ctx.Err() != nil || !s.several && len(methods) == 1 {
				return err
			}
			s.errs = append(s.errs, err)
			failed = oneCode(failed, s.explain(err))
			continue
		}
		code = worst(code, s.report(result))
	}
	if s.options.keep != nil && failed == exitOK {
		code = worst(code, s.prune(ctx, s.sourceName(c), code, known))
	}
	s.code = worst(s.code, code)
	if failed != exitOK && s.several {
		failed = exitFailure
	}
	s.failed = oneCode(s.failed, failed)
	return ctx.Err()
}

// taken are the snapshots that were committed.
func (s *session) taken() (all []repo.Entry) {
	for _, r := range s.results {
		if r.Entry.Manifest != nil {
			all = append(all, r.Entry)
		}
	}
	return all
}

// oneCode is the code of two failures, of which exitOK is none.
func oneCode(a, b int) int {
	if a != exitOK && b != exitOK && a != b {
		return exitFailure
	}
	return cmp.Or(a, b)
}

// prune removes what the policy does not keep, after a success and only then,
// and returns the exit code: what was committed stays a success of its own.
func (s *session) prune(ctx context.Context, source string, code int, known []snapshot.ID) int {
	if code != exitOK {
		s.notPruned = true
		s.talk.warn(fmt.Sprintf("%s is not pruned: only a snapshot that is good, and verified where that is asked for, makes others superfluous", source))
		return exitReserved
	}
	all, err := s.pruneSource(ctx, s.repo, source, *s.options.keep, false, known...)
	s.pruned = append(s.pruned, all...)
	for _, o := range all {
		if o.removed {
			s.talk.detail("removed %s, taken %s", o.ID, both(o.entry.Manifest.PointInTime, s.zone))
		}
	}
	if len(all) > 0 {
		s.sayPruned(all, false)
	}
	if err != nil {
		s.notPruned = true
		howFar := "not pruned"
		if slices.ContainsFunc(all, func(o outcome) bool { return o.removed }) {
			howFar = "not pruned to the end"
		}
		s.talk.warn(fmt.Sprintf("%s is %s: %v", source, howFar, err))
		for _, h := range s.hints(err) {
			s.talk.hint(h)
		}
		return exitReserved
	}
	return exitOK
}

// print prints the document of --json; where nothing was committed there is none.
func (s *session) print() error {
	if !s.options.json || len(s.taken()) == 0 {
		return nil
	}
	doc := map[string]any{"snapshots": toJSONs(s.taken())}
	if s.options.keep != nil {
		doc["decisions"] = decisionsJSON(s.pruned)
	}
	return s.document(doc)
}

// worst orders the codes of several sources: a failure hides the rest.
func worst(a, b int) int {
	for _, code := range []int{exitFailure, exitVerify, exitReserved} {
		if a == code || b == code {
			return code
		}
	}
	return exitOK
}

// sources are the containers that are meant.
func (a *app) sources(ctx context.Context, e *docker.Engine, names []string, all bool) ([]docker.Container, error) {
	if len(names) == 0 && !all {
		c, err := e.FindRedis(ctx)
		return []docker.Container{c}, err
	}
	if all {
		running, err := e.AllRedis(ctx)
		if err != nil {
			return nil, err
		}
		if len(running) == 0 {
			return nil, docker.ErrNoRedis
		}
		for _, c := range running {
			names = append(names, c.ID)
		}
	}
	var found []docker.Container
	for _, name := range names {
		c, err := e.Find(ctx, name)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, nil
}

// sourceName is the name under which a container's snapshots are kept.
func (a *app) sourceName(c docker.Container) string {
	if a.source != "" {
		return a.source
	}
	if name := c.Labels[labelName]; name != "" {
		return name
	}
	return c.Name
}

func (s *session) snapshotOne(ctx context.Context, c docker.Container, method string) (backup.Result, error) {
	name := s.sourceName(c)
	if err := snapshot.ValidSourceName(name); err != nil {
		return backup.Result{}, &usageError{err: err}
	}
	i, err := instance.Open(ctx, s.bench.engine, c, s.bench.owner, s.access)
	if err != nil {
		return backup.Result{}, err
	}
	defer i.Close()
	o := s.options
	i.Use(method, o.noRewrite)
	s.talk.detail("container %s reached by %s", c.Name, i.Way())
	options := backup.Options{
		Compression: snapshot.Compression(o.compression), Force: o.force, AcceptDrop: o.acceptDrop, Tags: o.tags,
		Run: s.bench.owner.Run, LockWait: s.lockWait, Now: s.now, Warn: s.talk.warn, Progress: s.talk.progress,
	}
	if !o.noVerify {
		options.Verify = s.verifier(s.bench, s.repo, "")
	}
	return backup.Take(ctx, i, s.repo, name, options)
}

// report says what became of one snapshot and returns its exit code.
func (a *app) report(result backup.Result) int {
	e := result.Entry
	code := exitOK
	a.talk.info("snapshot %s of %s: %s, %s stored as %s", e.Manifest.ID, e.Manifest.Source.Name,
		keysPhrase(e.Keys()), size(e.Bytes()), size(e.StoredBytes()))
	if e.Marks.Accepted {
		a.talk.info("its drop is accepted: %s", e.Manifest.Reason)
	}
	if e.State() == snapshot.Suspect {
		a.talk.warn(fmt.Sprintf("%s is suspect: %s", e.Manifest.ID, e.Manifest.Reason))
		a.talk.hint(fmt.Sprintf("if the drop was meant: redisbak accept %s", e.Manifest.ID))
		code = exitReserved
	}
	if result.VerifyErr != nil {
		a.talk.warn(fmt.Sprintf("%s could not be verified: %v", e.Manifest.ID, result.VerifyErr))
		return exitReserved
	}
	if result.Proof != nil {
		code = worst(code, a.reportProof(*result.Proof, exitReserved))
	}
	return code
}

// reportProof says what a boot showed; inconclusive is the code where it
// showed nothing.
func (a *app) reportProof(p snapshot.Proof, inconclusive int) int {
	switch p.Result {
	case snapshot.Passed:
		a.talk.info("verified %s: booted %s in %.1f s, %s counted, written to and saved", p.ID, p.Server,
			(p.Fill + p.Load).Seconds(), plural(total(p.Keyspace), "key"))
		return exitOK
	case snapshot.Failed:
		a.talk.fail(fmt.Sprintf("snapshot %s: verification failed: %s", p.ID, p.Reason))
		a.talk.hint("it is kept and never chosen by itself; look at the server's disk and log, and take another")
		return exitVerify
	default:
		say := a.talk.warn
		if inconclusive == exitFailure {
			say = a.talk.fail
		}
		say(fmt.Sprintf("%s could not be verified: %s", p.ID, p.Reason))
		a.talk.hint(fmt.Sprintf("that says nothing about the snapshot; try again: redisbak verify %s", p.ID))
		return inconclusive
	}
}

func total(keyspace []snapshot.Keys) int64 {
	n := int64(0)
	for _, k := range keyspace {
		n += k.Keys
	}
	return n
}

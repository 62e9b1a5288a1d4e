package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

func (a *app) copyCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "copy --to DIR [ID...]",
		Short: "Copy snapshots to another repository",
		Long: `Copy snapshots to the repository at DIR, on the disk in the other building:
those with these IDs, or all of --source, or all. What is there already is left
as it is. Every byte is compared with the snapshot's checksums as it is read,
and read back from DIR before the copy is committed there. Proof and marks
(pinned, accepted, tags) come along as they are now.`,
		Example: `  redisbak init /mnt/offsite/redis
  redisbak copy --to /mnt/offsite/redis`,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runCopy(cmd.Context(), to, args)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the repository at `DIR`, which must exist")
	return cmd
}

func (a *app) runCopy(ctx context.Context, dir string, args []string) error {
	if dir == "" {
		return usagef("--to DIR is missing: to which repository?")
	}
	from, err := a.openRepo()
	if err != nil {
		return err
	}
	to, err := repo.Open(dir)
	if err != nil {
		return err
	}
	if to.Dir() == from.Dir() {
		return usagef("--to %s is the repository that is copied from", dir)
	}
	a.warnAll(to.Warnings())
	entries, problems, err := a.toCopy(from, args)
	if err != nil {
		return err
	}
	for _, p := range problems {
		a.talk.fail(problemText(p) + ": it cannot be copied")
	}
	c := &copying{app: a, from: from, to: to, bad: len(problems)}
	for _, e := range entries {
		c.total += e.StoredBytes()
	}
	failed := c.all(ctx, entries, len(args) > 0)
	a.talk.done()
	a.talk.info("%s copied to %s (%s), %d there already", plural(int64(c.copied), "snapshot"), to.Dir(), size(c.bytes), c.there)
	if failed != nil {
		return failed
	}
	if c.bad > 0 {
		a.talk.hint("redisbak check names all that is wrong, here and (--repo) there; the others were copied")
		return &outcomeError{exitVerify}
	}
	return nil
}

// toCopy lists what is asked for, the oldest first, so that a copy that breaks
// off has no gaps before its newest one.
func (a *app) toCopy(from *repo.Repo, args []string) ([]repo.Entry, []repo.Problem, error) {
	var listing repo.Listing
	if len(args) == 0 {
		var err error
		if listing, err = from.List(a.source); err != nil {
			return nil, nil, err
		}
		for _, e := range listing.Snapshots {
			a.leftBehind(e.Problems)
		}
		listing.Problems = slices.DeleteFunc(listing.Problems, func(p repo.Problem) bool {
			return p.File == snapshot.ProofName || p.File == snapshot.MarksName
		})
		if len(listing.Snapshots) == 0 && len(listing.Problems) == 0 {
			return nil, nil, noSnapshots(a.source)
		}
	}
	for _, arg := range args {
		e, err := a.entry(from, arg)
		if err != nil {
			return nil, nil, err
		}
		a.leftBehind(e.Problems)
		if !slices.ContainsFunc(listing.Snapshots, func(o repo.Entry) bool { return o.Dir == e.Dir }) {
			listing.Snapshots = append(listing.Snapshots, e)
		}
	}
	slices.SortFunc(listing.Snapshots, func(a, b repo.Entry) int {
		return a.Manifest.PointInTime.Compare(b.Manifest.PointInTime)
	})
	return listing.Snapshots, listing.Problems, nil
}

// leftBehind tells of a proof and of marks that cannot be read: the snapshot is
// copied without them.
func (a *app) leftBehind(problems []repo.Problem) {
	for _, p := range problems {
		a.talk.warn(problemText(p) + "; it is not copied")
	}
}

// bySource yields the entries of one source after the other.
func bySource(entries []repo.Entry) func(yield func([]repo.Entry) bool) {
	return func(yield func([]repo.Entry) bool) {
		groups := make(map[string][]repo.Entry)
		var names []string
		for _, e := range entries {
			name := e.Manifest.Source.Name
			if groups[name] == nil {
				names = append(names, name)
			}
			groups[name] = append(groups[name], e)
		}
		for _, name := range names {
			if !yield(groups[name]) {
				return
			}
		}
	}
}

// copying is one run of copy.
type copying struct {
	*app
	from, to           *repo.Repo
	total, done, bytes int64
	copied, there, bad int
}

// all copies one source after the other; what is wrong with one keeps none of
// the others from it. Named are snapshots that were asked for one by one.
func (c *copying) all(ctx context.Context, entries []repo.Entry, named bool) error {
	var codes []int
	sources := 0
	for group := range bySource(entries) {
		sources++
		err := c.source(ctx, group, named)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			codes = append(codes, c.explain(err))
		}
	}
	return ofSources(codes, sources)
}

// source copies the snapshots of one source under the locks that this takes:
// here they must stay, and there nobody else may write or remove.
func (c *copying) source(ctx context.Context, entries []repo.Entry, named bool) error {
	name := entries[0].Manifest.Source.Name
	keep, err := c.keep(ctx, c.from, name)
	if err != nil {
		return err
	}
	defer keep()
	if entries, err = c.stillThere(name, entries, named); err != nil {
		return err
	}
	if err := c.to.Sweep(ctx, name); err != nil {
		c.talk.warn(fmt.Sprintf("what a killed run left of %q at %s is still there: %v", name, c.to.Dir(), err))
	}
	writer, err := c.to.LockWriter(ctx, name, c.lockWait, "")
	if err != nil {
		return err
	}
	defer writer.Release()
	stay, err := c.to.LockKeep(ctx, name, c.lockWait)
	if err != nil {
		return err
	}
	defer stay.Release()
	for _, e := range entries {
		if err := c.one(ctx, e, writer); err != nil {
			return err
		}
	}
	return writer.Release()
}

// one copies one snapshot. A damaged one is told of, and the others go on.
func (c *copying) one(ctx context.Context, e repo.Entry, writer *repo.Lock) error {
	before := c.done
	there, err := c.to.Has(ctx, e)
	if err == nil && !there {
		_, err = c.to.Import(ctx, e, writer, func(n int64) {
			c.done += n
			c.talk.progress("copy", c.done, c.total)
		})
	}
	c.done = before + e.StoredBytes()
	switch {
	case err == nil && there:
		c.there++
	case err == nil:
		c.copied++
		c.bytes += e.StoredBytes()
		c.talk.info("copied %s of %s, %s", e.Manifest.ID, e.Manifest.Source.Name, size(e.StoredBytes()))
	case ctx.Err() != nil, errors.Is(err, repo.ErrNotWritable), errors.Is(err, repo.ErrLockLost), as[*repo.NotDurableError](err):
		return err // it is not the snapshot's
	default:
		c.bad++
		c.talk.fail(fmt.Sprintf("%s was not copied to %s: %v", e.Manifest.ID, c.to.Dir(), err))
	}
	return nil
}

// stillThere leaves out what was pruned since it was listed: from here on it
// stays. One that was asked for by its id is missed.
func (c *copying) stillThere(source string, entries []repo.Entry, named bool) ([]repo.Entry, error) {
	now, err := c.from.List(source)
	if err != nil {
		return nil, err
	}
	var there []repo.Entry
	for _, e := range entries {
		at := slices.IndexFunc(now.Snapshots, func(o repo.Entry) bool { return o.Manifest.ID == e.Manifest.ID })
		switch {
		case at >= 0:
			there = append(there, now.Snapshots[at])
		case named:
			c.bad++
			c.talk.fail(fmt.Sprintf("%s was not copied: it was removed meanwhile", e.Manifest.ID))
		}
	}
	return there, nil
}

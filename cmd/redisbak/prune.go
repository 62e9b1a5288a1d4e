package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/retention"
	"github.com/redisbak/redisbak/snapshot"
)

func (a *app) pruneCommand() *cobra.Command {
	var p policyFlags
	var dryRun, json bool
	cmd := &cobra.Command{
		Use:   "prune [SOURCE]",
		Short: "Delete the snapshots that no rule of a policy keeps",
		Long: `Delete the snapshots of SOURCE, or of each source by itself, that no rule keeps.
Any rule is enough to keep one. Days begin at midnight of --tz.

Only good snapshots count. These stay whatever the rules say: pinned ones, the
newest one that was verified, good ones newer than that while no rule has
enough that are newer still, and those whose times cannot be right. Suspect
ones, and those that failed their verification, go when they are 7 days old and
a newer one is verified.`,
		Example: `  redisbak prune --keep-last 3 --keep-daily 7 --keep-weekly 4 --dry-run
  redisbak prune redis-server --keep-within 7d`,
		Args:              takes(0, 1),
		ValidArgsFunction: a.completeSources,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runPrune(cmd.Context(), args, &p, dryRun, json)
		},
	}
	p.add(cmd.Flags())
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be deleted, and why, and delete nothing")
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON document")
	return cmd
}

func (a *app) runPrune(ctx context.Context, args []string, flags *policyFlags, dryRun, json bool) error {
	name, err := a.named(args)
	if err != nil {
		return err
	}
	policy, err := a.readPolicy(flags)
	if err != nil {
		return err
	}
	r, err := a.openRepo()
	if err != nil {
		return err
	}
	sources := []string{name}
	if name == "" {
		if sources, err = r.Sources(); err != nil {
			return err
		}
		if len(sources) == 0 {
			return noSnapshots("")
		}
	}
	all, failed := a.pruneAll(ctx, r, sources, policy, dryRun)
	if failed == nil || len(all) > 0 {
		err = a.printDecisions(all, json, dryRun)
	}
	if dryRun && failed == nil {
		a.talk.info("dry run: nothing was changed")
	}
	return errors.Join(failed, err)
}

// pruneAll prunes one source after the other; what is wrong with one keeps none
// of the others from it.
func (a *app) pruneAll(ctx context.Context, r *repo.Repo, sources []string, p retention.Policy, dryRun bool) (all []outcome, failed error) {
	var codes []int
	for _, source := range sources {
		done, err := a.pruneSource(ctx, r, source, p, dryRun)
		all = append(all, done...)
		if err != nil && (len(sources) == 1 || ctx.Err() != nil) {
			return all, err
		}
		if err != nil {
			codes = append(codes, a.explain(err))
		}
	}
	return all, ofSources(codes, len(sources))
}

// outcome is a decision and what became of it.
type outcome struct {
	retention.Decision
	entry   repo.Entry
	removed bool
}

// pruneSource decides about one source's snapshots and, unless it is a dry run,
// removes those that go. known must be among them.
func (a *app) pruneSource(ctx context.Context, r *repo.Repo, source string, p retention.Policy, dryRun bool, known ...snapshot.ID) ([]outcome, error) {
	if dryRun {
		return a.survey(ctx, r, source, p, known)
	}
	lock, err := r.LockRemove(ctx, source, a.lockWait, "")
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	// What a killed prune has left takes the room that this one is to make.
	if err := r.Sweep(ctx, source); err != nil {
		a.talk.warn(fmt.Sprintf("what a killed run left of %q is still there: %v", source, err))
	}
	all, err := a.survey(ctx, r, source, p, known)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if !all[i].Keep && slices.Contains(known, all[i].ID) {
			// Two that one run takes are of one instant, and both were wanted.
			all[i].Keep, all[i].Reasons = true, []string{"taken just now"}
		}
	}
	var doomed []repo.Entry
	for _, o := range slices.Backward(all) { // the oldest first
		if !o.Keep {
			doomed = append(doomed, o.entry)
		}
	}
	removed, spared, err := r.Prune(ctx, lock, doomed)
	for i := range all {
		all[i].removed = slices.Contains(removed, all[i].ID)
		if slices.Contains(spared, all[i].ID) {
			all[i].Keep, all[i].Reasons = true, []string{"pinned meanwhile"}
		}
	}
	return all, errors.Join(err, lock.Release())
}

// survey lists a source and decides, newest first; more are snapshots that are
// not there yet.
func (a *app) survey(ctx context.Context, r *repo.Repo, source string, p retention.Policy, known []snapshot.ID, more ...retention.Snapshot) ([]outcome, error) {
	listing, err := r.Survey(ctx, source, known...)
	if as[*repo.UnsteadyError](err) {
		// Without a lock, as in a dry run, a snapshot may have been committed
		// between two looks. It is not, twice.
		listing, err = r.Survey(ctx, source, known...)
	}
	if err != nil {
		return nil, err
	}
	for _, problem := range listing.Problems {
		a.talk.warn(problemText(problem) + "; it is left alone")
	}
	for _, e := range listing.Snapshots {
		if e.Damage != nil {
			a.talk.warn(fmt.Sprintf("%v; it is left alone, and counts for nothing", e.Damage))
		}
	}
	decisions, err := a.decide(p, source, listing, more...)
	if err != nil {
		return nil, err
	}
	entries := make(map[snapshot.ID]repo.Entry, len(listing.Snapshots))
	for _, e := range listing.Snapshots {
		entries[e.Manifest.ID] = e
	}
	var all []outcome
	for _, d := range decisions {
		if e, ok := entries[d.ID]; ok {
			all = append(all, outcome{Decision: d, entry: e})
		}
	}
	return all, nil
}

// decisionJSON is a decision in the document of --json.
type decisionJSON struct {
	ID      snapshot.ID `json:"id"`
	Source  string      `json:"source"`
	Keep    bool        `json:"keep"`
	Removed bool        `json:"removed"`
	Reasons []string    `json:"reasons"`
}

func decisionsJSON(all []outcome) []decisionJSON {
	out := make([]decisionJSON, len(all))
	for i, o := range all {
		out[i] = decisionJSON{ID: o.ID, Source: o.entry.Manifest.Source.Name, Keep: o.Keep, Removed: o.removed, Reasons: o.Reasons}
	}
	return out
}

func (a *app) printDecisions(all []outcome, json, dryRun bool) error {
	if json {
		return a.document(map[string]any{"decisions": decisionsJSON(all)})
	}
	if len(all) == 0 {
		return nil
	}
	var rows [][]string
	for _, o := range all {
		word := "keep"
		if !o.Keep {
			word = "remove"
		}
		m := o.entry.Manifest
		rows = append(rows, []string{
			word, string(m.ID), m.Source.Name, m.PointInTime.In(a.zone).Format(time.DateTime), strings.Join(o.Reasons, ", "),
		})
	}
	err := table(a.stdout, []string{"", "ID", "SOURCE", "TAKEN", "WHY"}, rows)
	a.sayPruned(all, dryRun)
	return err
}

// sayPruned sums up what a prune came to.
func (a *app) sayPruned(all []outcome, dryRun bool) {
	kept, gone, freed := 0, 0, int64(0)
	for _, o := range all {
		switch {
		case o.removed || dryRun && !o.Keep:
			gone++
			freed += o.entry.StoredBytes()
		default:
			kept++
		}
	}
	if dryRun {
		a.talk.info("would keep %s and remove %d (%s)", plural(int64(kept), "snapshot"), gone, size(freed))
		return
	}
	a.talk.info("kept %s, removed %d (%s)", plural(int64(kept), "snapshot"), gone, size(freed))
}

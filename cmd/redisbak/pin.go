package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

func (a *app) pinCommand() *cobra.Command {
	return a.markCommand("pin", "Keep a snapshot whatever a policy says", `Keep a snapshot until "redisbak unpin": no policy removes it. ID may be a prefix
that no other id shares, or latest.`, func(m *snapshot.Marks) { m.Pinned = true })
}

func (a *app) unpinCommand() *cobra.Command {
	return a.markCommand("unpin", "Let a policy decide about a snapshot again", `Take back "redisbak pin": from now on a policy decides about the snapshot, as
about any other. Nothing is removed by this.`, func(m *snapshot.Marks) { m.Pinned = false })
}

func (a *app) markCommand(verb, short, long string, change func(*snapshot.Marks)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Long: long,
		Args:              takes(1, 1),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, e, err := a.openEntry(args[0])
			if err != nil {
				return err
			}
			marks, err := a.mark(cmd.Context(), r, e, change)
			if err != nil {
				return err
			}
			word := "not pinned"
			if marks.Pinned {
				word = "pinned"
			}
			a.talk.info("%s of %s, taken %s, is %s", e.Manifest.ID, e.Manifest.Source.Name, both(e.Manifest.PointInTime, a.zone), word)
			return nil
		},
	}
}

// mark changes what users say about a snapshot, while it is kept in place.
func (a *app) mark(ctx context.Context, r *repo.Repo, e repo.Entry, change func(*snapshot.Marks)) (marks snapshot.Marks, err error) {
	keep, err := r.LockKeep(ctx, e.Manifest.Source.Name, a.lockWait)
	if err != nil {
		return marks, err
	}
	defer keep.Release()
	if _, err := r.Get(string(e.Manifest.ID)); err != nil {
		return marks, fmt.Errorf("it was removed before it could be marked: %w", err)
	}
	return r.UpdateMarks(ctx, e, func(m *snapshot.Marks) error {
		change(m)
		return nil
	})
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/snapshot"
)

func (a *app) acceptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "accept ID",
		Short: "Say that a suspect snapshot is as it should be",
		Long: `Make a suspect snapshot good: its drop in keys or bytes was meant. Later snapshots
are compared with it and what comes after it.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeIDs,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.runAccept(cmd.Context(), args[0]) },
	}
}

func (a *app) runAccept(ctx context.Context, id string) error {
	r, err := a.openRepo()
	if err != nil {
		return err
	}
	e, err := r.Get(id)
	if err != nil {
		return err
	}
	keep, err := r.LockKeep(ctx, e.Manifest.Source.Name, a.lockWait)
	if err != nil {
		return err
	}
	defer keep.Release()
	if e.Manifest.State != snapshot.Suspect {
		a.talk.info("%s is not suspect: nothing to accept", e.Manifest.ID)
		return nil
	}
	if _, err := r.UpdateMarks(ctx, e, func(m *snapshot.Marks) error {
		m.Accepted = true
		return nil
	}); err != nil {
		return err
	}
	a.talk.info("%s is accepted: it counts as good from now on", e.Manifest.ID)
	return nil
}

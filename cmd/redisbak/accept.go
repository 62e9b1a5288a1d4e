package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

func (a *app) acceptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "accept ID",
		Short: "Say that a suspect snapshot is as it should be",
		Long: `Make a suspect snapshot good: its drop in keys or bytes was meant. Later
snapshots are compared with it and what comes after it.`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.completeIDs,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.runAccept(cmd.Context(), args[0]) },
	}
}

func (a *app) runAccept(ctx context.Context, id string) error {
	if id == "latest" {
		return hinted(usagef("latest is the newest good snapshot: there is nothing to accept"), "redisbak list shows the suspect ones")
	}
	r, e, err := a.openEntry(id)
	if err != nil {
		return err
	}
	if e.Manifest.State != snapshot.Suspect {
		a.talk.info("%s is not suspect: nothing to accept", e.Manifest.ID)
		a.stillNotGood(e)
		return nil
	}
	if e.Marks, err = a.mark(ctx, r, e, func(m *snapshot.Marks) { m.Accepted = true }); err != nil {
		return err
	}
	if !a.stillNotGood(e) {
		a.talk.info("%s is accepted: it counts as good from now on", e.Manifest.ID)
	}
	return nil
}

// stillNotGood tells of what a user's word cannot mend.
func (a *app) stillNotGood(e repo.Entry) bool {
	if e.Good() {
		return false
	}
	a.talk.warn(fmt.Sprintf("%s is still not a good snapshot: %s", e.Manifest.ID, e.WhyNotGood()))
	return true
}

package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
)

func (a *app) listCommand() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "list [SOURCE]",
		Short: "List the snapshots, newest first",
		Long: `List the snapshots of SOURCE, or of all sources, newest first. A damaged one is
named as a problem and hides none of its neighbours. On a terminal the time is
an age; in a pipe it is RFC 3339, in UTC.`,
		Example:           "  redisbak list\n  redisbak list redis-server --json",
		Args:              takes(0, 1),
		ValidArgsFunction: a.completeSources,
		RunE: func(_ *cobra.Command, args []string) error {
			source, err := a.named(args)
			if err != nil {
				return err
			}
			r, err := a.openRepo()
			if err != nil {
				return err
			}
			listing, err := r.List(source)
			if err != nil {
				return err
			}
			if json {
				return a.document(map[string]any{
					"snapshots": toJSONs(listing.Snapshots), "problems": problemsJSON(listing.Problems),
				})
			}
			return a.printList(listing)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON document")
	return cmd
}

func (a *app) printList(listing repo.Listing) error {
	for _, p := range listing.Problems {
		a.talk.warn(problemText(p))
	}
	if len(listing.Snapshots) == 0 {
		a.talk.info("no snapshots")
		return nil
	}
	terminal := isTerminal(a.stdout)
	heading := []string{"ID", "SOURCE", "TAKEN", "KEYS", "SIZE", "STATE", "VERIFIED"}
	if terminal {
		heading[2] = "AGE"
	}
	var rows [][]string
	for _, e := range listing.Snapshots {
		at := e.Manifest.PointInTime.UTC().Format(time.RFC3339)
		if terminal {
			at = age(a.now().Sub(e.Manifest.PointInTime))
		}
		rows = append(rows, []string{
			string(e.Manifest.ID), e.Manifest.Source.Name, at, keysText(e.Keys()), size(e.StoredBytes()), stateText(e), e.Verified(),
		})
	}
	return table(a.stdout, heading, rows)
}

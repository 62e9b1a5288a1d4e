package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
)

func (a *app) checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the repository: structure, sizes and, if asked, every byte",
		Long: `Check every snapshot's manifest, checksums file, names and sizes; with
--read-data also read and decompress every stored byte. Each problem names
snapshot and file. The exit code is 13 if there is one.

Nothing is changed, but with --repair: it removes what killed runs have left,
half-written and half-removed snapshots, and nothing else. It mends no problem:
a damaged snapshot may be the only copy.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runCheck(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.readData, "read-data", false, "read every stored byte")
	cmd.Flags().BoolVar(&o.repair, "repair", false, "remove what killed runs have left")
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON document")
	return cmd
}

type checkOptions struct{ readData, repair, json bool }

func (a *app) runCheck(ctx context.Context, o checkOptions) error {
	r, err := a.openRepo()
	if err != nil {
		return err
	}
	var removed []string
	if o.repair {
		// Before the check: the two need locks that exclude each other.
		if removed, err = r.Repair(ctx, a.lockWait); err != nil {
			a.sayRemoved(removed)
			return err
		}
	}
	release, err := a.keepAll(ctx, r)
	if err != nil {
		return err
	}
	defer release()
	report, err := r.Check(ctx, repo.CheckOptions{
		ReadData: o.readData,
		Progress: func(done, total int64) { a.talk.progress("check", done, total) },
	})
	if err != nil {
		return err
	}
	if o.json {
		doc := map[string]any{"checked": report.Checked, "problems": problemsJSON(report.Problems)}
		if o.repair {
			doc["removed"] = append([]string{}, removed...)
		}
		if err := a.document(doc); err != nil {
			return err
		}
	}
	return a.checked(report, removed, o)
}

// checked says what a check has found.
func (a *app) checked(report repo.Report, removed []string, o checkOptions) error {
	a.sayRemoved(removed)
	for _, n := range report.Notes {
		a.talk.info("note: %s", problemText(n))
	}
	for _, p := range report.Problems {
		a.talk.fail(problemText(p))
	}
	a.talk.info("%s checked, %s", plural(int64(report.Checked), "snapshot"), plural(int64(len(report.Problems)), "problem"))
	if len(report.Problems) == 0 {
		return nil
	}
	whole := "the other snapshots are whole"
	if !o.readData {
		whole += " as far as sizes tell, --read-data reads every byte"
	}
	if !o.repair {
		whole += "; nothing was changed"
	}
	a.talk.hint(whole)
	return &outcomeError{exitVerify}
}

func (a *app) sayRemoved(names []string) {
	for _, name := range names {
		a.talk.info("removed %s", name)
	}
}

// keepAll makes the snapshots of every source stay while they are looked at.
func (a *app) keepAll(ctx context.Context, r *repo.Repo) (func(), error) {
	sources, err := r.Sources()
	if err != nil {
		return nil, err
	}
	var kept []func()
	release := func() {
		for _, give := range kept {
			give()
		}
	}
	for _, s := range sources {
		give, err := a.keep(ctx, r, s)
		if as[*repo.UnsteadyError](err) {
			continue // a link to a disk that is not mounted: the check names it
		}
		if err != nil {
			release()
			return nil, err
		}
		kept = append(kept, give)
	}
	return release, nil
}

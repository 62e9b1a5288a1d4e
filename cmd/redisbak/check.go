package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
)

func (a *app) checkCommand() *cobra.Command {
	var readData, json bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the repository: structure, sizes and, if asked, every byte",
		Long: `Check every snapshot's manifest, checksums file, names and sizes; with
--read-data also read and decompress every stored byte. Each problem names
snapshot and file. The exit code is 13 if there is one. Nothing is changed.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runCheck(cmd.Context(), readData, json) },
	}
	cmd.Flags().BoolVar(&readData, "read-data", false, "read every stored byte")
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON document")
	return cmd
}

func (a *app) runCheck(ctx context.Context, readData, json bool) error {
	r, err := a.openRepo()
	if err != nil {
		return err
	}
	release, err := a.keepAll(ctx, r)
	if err != nil {
		return err
	}
	defer release()
	report, err := r.Check(ctx, repo.CheckOptions{
		ReadData: readData,
		Progress: func(done, total int64) { a.talk.progress("check", done, total) },
	})
	if err != nil {
		return err
	}
	if json {
		err = a.document(map[string]any{"checked": report.Checked, "problems": problemsJSON(report.Problems)})
		if err != nil {
			return err
		}
	}
	for _, n := range report.Notes {
		a.talk.info("note: %s", problemText(n))
	}
	for _, p := range report.Problems {
		a.talk.fail(problemText(p))
	}
	a.talk.info("%s checked, %s", plural(int64(report.Checked), "snapshot"), plural(int64(len(report.Problems)), "problem"))
	if len(report.Problems) > 0 {
		if readData {
			a.talk.hint("the other snapshots are whole; nothing was changed")
		} else {
			a.talk.hint("the other snapshots are whole as far as sizes tell, --read-data reads every byte; nothing was changed")
		}
		return &outcomeError{exitVerify}
	}
	return nil
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
		if err != nil {
			release()
			return nil, err
		}
		kept = append(kept, give)
	}
	return release, nil
}

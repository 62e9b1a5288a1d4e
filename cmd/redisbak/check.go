package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
)

func (a *app) checkCommand() *cobra.Command {
	var readData, json bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the repository: structure, sizes and, with --read-data, every byte",
		Long: `Check every snapshot's manifest, checksums file, names and sizes; with --read-data
also read and decompress every stored byte. Each problem names snapshot and file.
The exit code is 13 if there is one. Nothing is changed.`,
		Args: cobra.NoArgs,
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
		a.talk.hint("the other snapshots are whole: redisbak list; nothing was changed")
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
	var locks []*repo.Lock
	release := func() {
		for _, l := range locks {
			if err := l.Release(); err != nil {
				a.talk.warn(err.Error())
			}
		}
	}
	for _, s := range sources {
		l, err := r.LockKeep(ctx, s, a.lockWait)
		if errors.Is(err, repo.ErrNotWritable) {
			a.talk.warn(fmt.Sprintf("going on without a lock: %v", err))
			continue
		}
		if err != nil {
			release()
			return nil, err
		}
		locks = append(locks, l)
	}
	return release, nil
}

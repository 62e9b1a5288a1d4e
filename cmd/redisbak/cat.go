package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

func (a *app) catCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cat ID|latest [FILE]",
		Short: "Write a snapshot's file to standard output, uncompressed",
		Long: `Write FILE of a snapshot to standard output as the server wrote it, checked
against its checksums on the way. FILE is its path in the volume, as
"redisbak show" has it; it may be left out where there is only one.

The checksums are known to be right only at the end: use the output only if the
exit code is 0.`,
		Example:           "  redisbak cat latest > dump.rdb",
		Args:              takes(1, 2),
		ValidArgsFunction: a.completeIDs,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.runCat(cmd.Context(), args[0], args[1:]) },
	}
}

func (a *app) runCat(ctx context.Context, id string, file []string) error {
	if isTerminal(a.stdout) {
		return hinted(usagef("standard output is a terminal, and the file is binary"), "redirect it: redisbak cat "+id+" > dump.rdb")
	}
	r, e, err := a.openEntry(id)
	if err != nil {
		return err
	}
	release, err := a.keep(ctx, r, e.Manifest.Source.Name)
	if err != nil {
		return err
	}
	defer release()
	f, err := pickFile(e, file)
	if err != nil {
		return err
	}
	content, err := e.Open(ctx, f)
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(a.stdout, content)
	return err
}

func pickFile(e repo.Entry, args []string) (snapshot.File, error) {
	var paths []string
	for _, f := range e.Manifest.Files {
		paths = append(paths, f.Path)
		if len(args) == 0 && len(e.Manifest.Files) == 1 || len(args) == 1 && f.Path == args[0] {
			return f, nil
		}
	}
	if len(args) == 0 {
		return snapshot.File{}, hinted(usagef("snapshot %s has several files", e.Manifest.ID), "name one of them: "+list(paths))
	}
	return snapshot.File{}, hinted(usagef("snapshot %s has no file %q", e.Manifest.ID, args[0]), "it has: "+list(paths))
}

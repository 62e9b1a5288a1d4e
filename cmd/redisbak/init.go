package main

import (
	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
)

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Create a repository",
		Long: `Create a repository for snapshots in DIR, which must be new or empty; without
DIR, where --repo says. A new directory is made with mode 0700.`,
		Example: "  redisbak init /backups/redis",
		Args:    takes(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.repo, a.repoDefault = args[0], false
			}
			var options []repo.Option
			if a.repoDefault {
				options = append(options, repo.MakeParents)
			}
			r, err := repo.Init(a.repo, options...)
			if err != nil {
				return err
			}
			a.warnAll(r.Warnings())
			a.talk.info("repository %s created at %s", r.ID(), r.Dir())
			return nil
		},
	}
}

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/repo"
)

// Completion asks the repository and the engine themselves. It says nothing
// when they do not answer: a shell has no place for an error.

// completionTimeout bounds how long a shell waits for names.
const completionTimeout = 2 * time.Second

func (a *app) completeIDs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return a.fromRepo(func(r *repo.Repo) (names []string, err error) {
		listing, err := r.List("")
		for _, e := range listing.Snapshots {
			names = append(names, string(e.Manifest.ID)+"\t"+e.Manifest.Source.Name)
		}
		return names, err
	})
}

func (a *app) completeSources(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.fromRepo((*repo.Repo).Sources)
}

func (a *app) fromRepo(names func(*repo.Repo) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	if err := a.globals.resolve(a.getenv); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	r, err := repo.Open(a.repo)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	found, err := names(r)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeContainers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	engine, err := docker.Connect(ctx, docker.Environment(a.getenv))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer engine.Close()
	found, err := engine.AllRedis(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, c := range found {
		names = append(names, c.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// world is all that a run reads from and writes to beside files, the engine and
// the server.
type world struct {
	stdin  io.Reader
	stdout io.Writer // data
	stderr io.Writer // talk
	getenv func(string) string
	// environ is the whole environment, NAME=VALUE.
	environ func() []string
}

// app is one run: its world and the options that all commands share.
type app struct {
	world
	globals
	started bool   // the command line was understood
	command string // as it is typed: "redisbak restore"
	cancel  context.CancelFunc
	talk    talk
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, w world) int {
	a := &app{world: w, cancel: func() {}}
	defer func() { a.cancel() }()
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(w.stdin)
	root.SetOut(w.stdout)
	root.SetErr(w.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	a.command = cmd.CommandPath()
	if err != nil && !a.started {
		err = misread(cmd, err)
	}
	return a.finish(ctx, err)
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "redisbak",
		Short: "Back up and restore Redis in Docker volumes",
		Long: `redisbak copies a Redis or Valkey server that keeps its data in a Docker volume
into a repository of snapshots, proves each snapshot by booting it, and puts any
of them back into a fresh volume with one command.`,
		Example: `  redisbak snapshot redis-server
  redisbak list
  redisbak restore --date 20260208 --start`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			a.started, a.command = true, cmd.CommandPath()
			a.talk = newTalk(a.stderr, a.getenv, a.quiet, a.verbose, a.noProgress)
			if err := refuseEmpty(cmd, args); err != nil {
				return err
			}
			ctx, err := a.prepare(cmd.Context())
			cmd.SetContext(ctx)
			return err
		},
	}
	a.globals.addFlags(root.PersistentFlags())
	root.SetHelpCommand(helpCommand(root))
	root.SetUsageTemplate(narrow(root.UsageTemplate()))
	root.AddCommand(
		a.initCommand(), a.snapshotCommand(), a.listCommand(), a.showCommand(), a.catCommand(),
		a.verifyCommand(), a.checkCommand(), a.restoreCommand(), a.pruneCommand(), a.copyCommand(),
		a.pinCommand(), a.unpinCommand(), a.acceptCommand(), a.daemonCommand(), a.configCommand(), a.versionCommand(),
	)
	return root
}

// prepare applies the options that concern the whole run.
func (a *app) prepare(ctx context.Context) (context.Context, error) {
	if err := a.globals.resolve(a.getenv); err != nil {
		return ctx, err
	}
	if a.timeout > 0 {
		ctx, a.cancel = context.WithTimeout(ctx, a.timeout)
	}
	return ctx, nil
}

// now is the run's clock.
func (a *app) now() time.Time { return time.Now() }

// isTerminal tells people from pipes.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

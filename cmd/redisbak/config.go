package main

import (
	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or show the daemon's configuration",
		Long: `Check or show the configuration that "redisbak daemon" would run with: its file,
the environment, and the options that go before both.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.configPart("check", "Say what is wrong with the configuration, all of it", func(*config.Config) error {
		a.talk.info("the configuration can be used")
		return nil
	}), a.configPart("show", "Show the configuration as it will be used, secrets hidden", func(c *config.Config) error {
		return c.Show(a.stdout)
	}))
	return cmd
}

func (a *app) configPart(verb, short string, use func(*config.Config) error) *cobra.Command {
	var o daemonOptions
	cmd := &cobra.Command{
		Use: verb, Short: short, Long: short + `.

A file is named by --config or REDISBAK_CONFIG; without one, the environment and
the defaults are all there is.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load(cmd, o)
			if err != nil {
				return err
			}
			if _, err := notifierOf(c); err != nil {
				return err
			}
			return use(c)
		},
	}
	o.add(cmd)
	return cmd
}

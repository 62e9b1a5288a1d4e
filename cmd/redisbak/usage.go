package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a command line that cannot be meant. Without hints of its own
// it refers to the command's help.
type usageError struct {
	err   error
	hints []string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{err: fmt.Errorf(format, args...)} }

// hinted gives a usage error its hints.
func hinted(err error, hints ...string) error { return &usageError{err, hints} }

func (a *app) usageHints(err error) []string {
	if e := get[*usageError](err); e.hints != nil {
		return e.hints
	}
	return []string{a.command + " --help shows what it takes"}
}

// misread explains a command line that could not be understood.
func misread(cmd *cobra.Command, err error) error {
	if as[*usageError](err) {
		return err
	}
	var name string
	if _, scanErr := fmt.Sscanf(err.Error(), "unknown command %q", &name); scanErr == nil {
		return unknownCommand(cmd, name)
	}
	// What the parser of a value says of itself helps nobody.
	text, _, _ := strings.Cut(err.Error(), ": strconv.")
	switch {
	case strings.HasPrefix(text, "unknown flag: --password"):
		return hinted(usagef("%s", text), "a command line can be read by everybody on the host: --password-file FILE, or REDISBAK_PASSWORD")
	case text == "unknown flag: --version":
		return hinted(usagef("%s", text), "redisbak version prints it")
	}
	return usagef("%s", text)
}

func unknownCommand(root *cobra.Command, name string) error {
	var hints []string
	root.SuggestionsMinimumDistance = 2
	for _, s := range root.SuggestionsFor(name) {
		hints = append(hints, fmt.Sprintf("did you mean %s %s?", root.CommandPath(), s))
	}
	return hinted(usagef("unknown command %q", name), append(hints, root.CommandPath()+" --help lists the commands")...)
}

// narrow has a template of cobra's wrap the flags: help is read in terminals of
// 80 columns too.
func narrow(template string) string {
	return strings.ReplaceAll(template, ".FlagUsages", ".FlagUsagesWrapped 80")
}

// helpCommand is cobra's, except that an unknown command is an error.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show what a command does and takes",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, strings.Join(args, " "))
			}
			return cmd.Help()
		},
	}
}

// takes says how many arguments a command takes; its use line has their names.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s: no %s is given", cmd.CommandPath(), strings.Fields(cmd.Use)[1+len(args)])
		case len(args) > most:
			return usagef("%s: %q is one argument too many", cmd.CommandPath(), args[most])
		}
		return nil
	}
}

// refuseEmpty catches the unset variable of a script: --date "$DAY" must not
// become the newest snapshot, nor --repo "$DIR" the default repository.
func refuseEmpty(cmd *cobra.Command, args []string) (err error) {
	refuse := func(what string) {
		err = hinted(usagef("%s is empty", what), "is the variable that it comes from set?")
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" {
			refuse("--" + f.Name)
		}
	})
	for _, arg := range args {
		if arg == "" {
			refuse("an argument of " + cmd.CommandPath())
		}
	}
	return err
}

// oneOf refuses flags that exclude each other.
func oneOf(cmd *cobra.Command, names ...string) error {
	var given []string
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return usagef("%s: give one of them", strings.Join(given, " and "))
	}
	return nil
}

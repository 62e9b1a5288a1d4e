package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

func TestHelpFitsATerminal(t *testing.T) {
	var walk func(cmd *cobra.Command, args []string)
	walk = func(cmd *cobra.Command, args []string) {
		r := redisbak(t, nil, append(args, "--help")...)
		if r.code != exitOK || r.stderr != "" || !strings.Contains(r.stdout, "Usage:\n  "+cmd.CommandPath()) {
			t.Errorf("exit code %d: %s", r.code, r)
		}
		for line := range strings.Lines(r.stdout) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("%s --help: a line of %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
		for _, sub := range cmd.Commands() {
			if sub.Parent() == cmd && sub.Name() != "completion" { // cobra's own text
				walk(sub, append(args[:len(args):len(args)], sub.Name()))
			}
		}
	}
	walk((&app{}).rootCommand(), nil)
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// manDir holds the manual pages that packages install.
const manDir = project + "/docs/man"

// manColumns are those that a page has for a line that cannot be broken, in a
// terminal of 80.
const manColumns = 73

// TestManPages compares the manual pages with the commands: a page that is old,
// missing or of a command that is gone fails. With REDISBAK_TEST_UPDATE=1 it
// writes them. Whatever makes pages is in this test alone, and so not in the
// binary.
func TestManPages(t *testing.T) {
	pages := manPages(t)
	if len(pages) < 10 {
		t.Fatalf("only %d pages are made", len(pages))
	}
	if os.Getenv("REDISBAK_TEST_UPDATE") == "1" {
		writeManPages(t, pages)
	}
	have, err := filepath.Glob(filepath.Join(manDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if pages[filepath.Base(path)] == "" {
			t.Errorf("%s: there is no such command", path)
		}
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(manDir, name))
		if err != nil {
			t.Errorf("%v (make man writes it)", err)
		} else if string(got) != want {
			t.Errorf("%s is not what its command says (make man writes it)", name)
		}
	}
}

// No option and no word of a command's own text gets lost on the way to its
// page: what looks like markup to the generator would vanish without a word.
func TestManPagesHoldWhatHelpSays(t *testing.T) {
	pages := manPages(t)
	visit(manRoot(), func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.HasParent() && cmd.Parent().Name() == "completion" {
			return // cobra's own text
		}
		text := unformatted(pages[manName(cmd)])
		said := strings.Fields(cmd.Long + " " + cmd.Short)
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			name, usage := pflag.UnquoteUsage(f)
			said = append(append(said, "--"+f.Name, name), strings.Fields(usage)...)
		})
		for line := range strings.Lines(cmd.Example) {
			if n := len(strings.TrimSpace(line)); n > manColumns {
				t.Errorf("%s: an example of %d columns does not fit a page of %d: %s", manName(cmd), n, manColumns, line)
			}
			said = append(said, strings.Fields(line)...)
		}
		for _, word := range said {
			if !strings.Contains(text, word) {
				t.Errorf("%s: %q is lost", manName(cmd), word)
			}
		}
	})
}

// unformatted is a page as a reader sees it, by words.
func unformatted(page string) string {
	return strings.NewReplacer(`\fB`, "", `\fI`, "", `\fP`, "", `\fR`, "", `\&`, "", `\-`, "-", `\[la]`, "<", `\[ra]`, ">",
		`\(ga`, "`", `\(aq`, "'", `\(dq`, `"`, `\\`, `\`, `\e`, `\`).Replace(page)
}

// manRoot is the command with all that cobra adds to it when it runs.
func manRoot() *cobra.Command {
	root := (&app{}).rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

func visit(cmd *cobra.Command, each func(*cobra.Command)) {
	cmd.InitDefaultHelpFlag()
	each(cmd)
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			visit(sub, each)
		}
	}
}

// manName is the name of a command's page.
func manName(cmd *cobra.Command) string {
	return strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
}

// manPages are all pages by their name.
func manPages(t *testing.T) map[string]string {
	t.Helper()
	root := manRoot()
	root.DisableAutoGenTag = true
	visit(root, func(cmd *cobra.Command) {
		cmd.Long, cmd.Short = escaped(cmd.Long), escaped(cmd.Short)
		cmd.Example = strings.TrimPrefix(strings.ReplaceAll(cmd.Example, "\n  ", "\n"), "  ")
		cmd.LocalFlags().VisitAll(forManual)
	})
	pages := map[string]string{}
	visit(root, func(cmd *cobra.Command) {
		cmd.DisableAutoGenTag = true
		var page bytes.Buffer
		header := doc.GenManHeader{Section: "1", Source: "redisbak", Manual: "redisbak manual", Date: &time.Time{}}
		if err := doc.GenMan(cmd, &header, &page); err != nil {
			t.Fatal(err)
		}
		text := typeset(page.String())
		if cmd == root {
			text = strings.Replace(text, ".SH EXAMPLE", exitStatus(t)+"\n.SH EXAMPLE", 1)
		}
		pages[manName(cmd)] = strings.TrimRight(text, "\n") + "\n"
	})
	return pages
}

// optionItem is what the generator writes for an option: its text in the same
// paragraph.
var optionItem = regexp.MustCompile(`(?m)(?:^\.PP\n)?^(\\fB-.*)\n\t(.*)$`)

// typeset mends what the generator writes: no date, for a page is of no day; no
// hyphenation, which the title switches on again; options as a list; nothing
// behind an option that takes nothing; and dashes that can be copied.
func typeset(page string) string {
	page = strings.TrimPrefix(page, ".nh\n")
	page = strings.Replace(page, `"`+(time.Time{}).Format("Jan 2006")+`"`, `""`, 1)
	page = strings.Replace(page, "\n", "\n.nh\n", 1)
	page = strings.ReplaceAll(page, "[=false]", "")
	page = optionItem.ReplaceAllString(page, ".TP\n$1\n$2")
	var lines []string
	for line := range strings.SplitSeq(page, "\n") {
		if !strings.HasPrefix(line, ".") {
			line = dashes(line)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// dashes keeps them from being typeset as hyphens.
func dashes(line string) string {
	return strings.ReplaceAll(strings.ReplaceAll(line, `\-`, "-"), "-", `\-`)
}

// escaped keeps the generator from reading markup into plain text. What is
// indented is code, which it leaves as it is.
func escaped(text string) string {
	marks := strings.NewReplacer(`\`, `\\`, "<", `\<`, ">", `\>`, "*", `\*`, "_", `\_`, "`", "\\`")
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "    ") {
			line = marks.Replace(line)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// forManual has a page show an option as help does: --repo=DIR, and its default
// in its text.
func forManual(f *pflag.Flag) {
	name, usage := pflag.UnquoteUsage(f)
	if name == "" {
		f.Usage = escaped(usage)
		return // on or off
	}
	if f.Value.Type() == "string" && f.DefValue != "" {
		usage += fmt.Sprintf(" (default %q)", f.DefValue)
	}
	f.Usage, f.DefValue, f.Value = escaped(usage), escaped(name), plain{f.Value}
}

// plain is a value that the generator does not put into quotes.
type plain struct{ pflag.Value }

func (plain) Type() string { return "plain" }

// exitStatus is the section that every command shares, from the page that
// explains the codes.
func exitStatus(t *testing.T) string {
	t.Helper()
	section := ".SH EXIT STATUS\n"
	for _, row := range exitCodeRows(t) {
		section += fmt.Sprintf(".TP\n\\fB%d\\fP\n%s\n", row.code, dashes(row.means))
	}
	return section
}

func writeManPages(t *testing.T, pages map[string]string) {
	t.Helper()
	if err := os.RemoveAll(manDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(manDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(manDir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

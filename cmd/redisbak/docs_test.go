package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// documents are those in which people look for what to type. docs/testing.md
// says which fences in them are run, and how.
func documents() []string {
	return []string{"README.md", "docs/json.md", "docs/restore-by-hand.md", exitCodesPage}
}

// project is the way from this package to the project's root.
const project = "../.."

// step is one command of a document and what it prints there.
type step struct {
	document string
	line     int // of the command, from 1
	command  string
	output   []string
	outputAt int  // line of the first output
	hidden   bool // in a comment: prepares the ground
	after    bool // there is output to compare
}

// steps reads a document's commands: in console fences the lines that begin
// with "$ ", and in comments those of the form "<!-- $ command -->". A command
// goes on in lines that begin with "> ".
func steps(t testing.TB, document string) []step {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(project, document))
	if err != nil {
		t.Fatal(err)
	}
	var found []step
	fence := ""
	for i, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "```"); ok {
			if fence == "" {
				fence = "any " + rest
			} else {
				fence = ""
			}
			continue
		}
		command, isCommand := strings.CutPrefix(line, "$ ")
		hidden, isHidden := strings.CutPrefix(line, "<!-- $ ")
		switch {
		case fence == "" && isHidden:
			found = append(found, step{document: document, line: i + 1, command: strings.TrimSuffix(hidden, " -->"), hidden: true})
		case fence == "any crontab" && line != "" && line[0] != '#':
			found = append(found, step{document: document, line: i + 1, command: crontabCommand(t, line)})
		case fence != "any console":
		case isCommand:
			found = append(found, step{document: document, line: i + 1, command: command, outputAt: i + 2})
		case len(found) == 0:
			t.Fatalf("%s:%d: output without a command", document, i+1)
		default:
			last := &found[len(found)-1]
			if more, ok := strings.CutPrefix(line, "> "); ok && len(last.output) == 0 {
				last.command += "\n" + more
				last.outputAt = i + 2
			} else {
				last.output = append(last.output, line)
				last.after = true
			}
		}
	}
	if fence != "" {
		t.Fatalf("%s: a fence does not end", document)
	}
	return found
}

// crontabCommand is what cron runs of a line of /etc/cron.d: five fields of
// time and a user come before it.
func crontabCommand(t testing.TB, line string) string {
	t.Helper()
	fields := regexp.MustCompile(`^(\S+\s+){5}\S+\s+(.+)$`).FindStringSubmatch(line)
	if fields == nil {
		t.Fatalf("not a line of /etc/cron.d: %s", line)
	}
	return fields[2]
}

// What is said to be run must be run: a document without commands has lost its
// fences.
func TestDocumentsHoldCommands(t *testing.T) {
	for _, document := range documents() {
		if n := len(steps(t, document)); n < 5 {
			t.Errorf("%s: only %d commands found", document, n)
		}
	}
}

// The tests' command in README.md is the one that CI runs.
func TestCIRunsWhatREADMESays(t *testing.T) {
	ci, err := os.ReadFile(filepath.Join(project, ".ci/run"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(project, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(ci)), "\n")
	if last := lines[len(lines)-1]; last != "make test" || !slices.Contains(strings.Split(string(readme), "\n"), last) {
		t.Errorf(".ci/run ends with %q, and README.md must have that line too", last)
	}
}

// Whoever reads one of the tables finds every code.
func TestTablesHoldEveryExitCode(t *testing.T) {
	for _, document := range []string{"README.md", "docs/json.md"} {
		text, err := os.ReadFile(filepath.Join(project, document))
		if err != nil {
			t.Fatal(err)
		}
		var listed []string
		for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(string(text), -1) {
			listed = append(listed, row[1])
		}
		var codes []string
		for _, code := range []int{
			exitOK, exitFailure, exitUsage, exitReserved, exitNotFound, exitLocked, exitAuth, exitVerify,
			exitUnreachable, exitDocker, exitInterrupted,
		} {
			codes = append(codes, strconv.Itoa(code))
		}
		if !slices.Equal(listed, codes) {
			t.Errorf("%s lists the codes %v, and there are %v", document, listed, codes)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(project, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} {
		pages = append(pages, filepath.Join(project, page))
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// A page that names a test, to show that what it says is so, names one that
// there is.
func TestTestsThatPagesNameAreThere(t *testing.T) {
	there := map[string]bool{}
	err := filepath.WalkDir(project, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			there[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(project, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range append(pages, filepath.Join(project, "CONTRIBUTING.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile("`(Test\\w+)[`/]").FindAllStringSubmatch(string(text), -1) {
			named++
			if !there[found[1]] {
				t.Errorf("%s names %s, and there is no such test", page, found[1])
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d tests are named", named)
	}
}

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exitCodesPage explains each exit code.
const exitCodesPage = "docs/exit-codes.md"

// exitCodeRow is one row of the page's table.
type exitCodeRow struct {
	code  int
	means string
}

func exitCodeRows(t *testing.T) []exitCodeRow {
	t.Helper()
	var rows []exitCodeRow
	for _, found := range regexp.MustCompile(`(?m)^\| \[(\d+)\]\(#[^)]+\) \| ([^|]+) \|`).FindAllStringSubmatch(pageText(t, exitCodesPage), -1) {
		code, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, exitCodeRow{code, found[2]})
	}
	return rows
}

func pageText(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(project, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// exitConstants are the codes that errors.go has, in its order: a new one is on
// this list without anybody's help.
func exitConstants(t *testing.T) []int {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var codes []int
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || !strings.HasPrefix(spec.Names[0].Name, "exit") {
			return true
		}
		code, err := strconv.Atoi(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
		return true
	})
	if len(codes) < 11 {
		t.Fatalf("only %d exit codes found in errors.go", len(codes))
	}
	return codes
}

// TestExitCodesPageHoldsEveryCodeOnce: in its table, as a section of its own,
// and with an example that ends with it.
func TestExitCodesPageHoldsEveryCodeOnce(t *testing.T) {
	want := exitConstants(t)
	var listed []int
	for _, row := range exitCodeRows(t) {
		listed = append(listed, row.code)
	}
	if !slices.Equal(listed, want) {
		t.Errorf("the table of %s lists %v, and errors.go has %v", exitCodesPage, listed, want)
	}
	sections := regexp.MustCompile(`(?m)^## (\d+): `).FindAllStringSubmatchIndex(pageText(t, exitCodesPage), -1)
	text := pageText(t, exitCodesPage)
	var explained []int
	for i, at := range sections {
		end := len(text)
		if i+1 < len(sections) {
			end = sections[i+1][0]
		}
		number := text[at[2]:at[3]]
		if section := text[at[0]:end]; !strings.Contains(section, "\nexit code "+number+"\n") {
			t.Errorf("%s: no example under %q ends with that code", exitCodesPage, "## "+number)
		}
		code, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		explained = append(explained, code)
	}
	if !slices.Equal(explained, want) {
		t.Errorf("%s explains %v, and errors.go has %v", exitCodesPage, explained, want)
	}
}

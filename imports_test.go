package redisbak

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/redisbak/redisbak"

// room is what one package may import beside the standard library: packages of
// the house by their directory, others by the start of their path.
type room struct {
	imports  []string
	tests    []string // what its tests import on top of that
	forTests bool     // nothing but tests may import it
}

// house is the picture in doc.go as a table. A package without a row fails.
func house() map[string]room {
	const (
		docker    = "github.com/docker/docker"
		nat       = "github.com/docker/go-connections/nat"
		errdefs   = "github.com/containerd/errdefs"
		units     = "github.com/docker/go-units"
		redis     = "github.com/redis/go-redis/v9"
		klauspost = "github.com/klauspost"
		cron      = "github.com/robfig/cron"
		cobra     = "github.com/spf13"
		manual    = "github.com/spf13/cobra/doc"
		bar       = "github.com/schollz/progressbar"
		terminal  = "golang.org/x/term"
		yaml      = "go.yaml.in/yaml/v4"
		unix      = "golang.org/x/sys/unix"
		metrics   = "github.com/prometheus/client_golang/prometheus"
		linted    = "github.com/prometheus/client_golang/prometheus/testutil"
		exposed   = "github.com/prometheus/common"
		measured  = "github.com/prometheus/client_model"
		browser   = "github.com/chromedp"
	)
	return map[string]room{
		".": {},

		"cmd/redisbak": {
			imports: []string{
				"backup", "restore", "verify", "retention", "snapshot",
				"internal/repo", "internal/instance", "internal/docker", "internal/server", "internal/rdb", "internal/aof",
				"daemon", "schedule", "internal/config", "internal/notify", "internal/status",
				cobra, bar, terminal, units, "golang.org/x/crypto/x509roots/fallback",
			},
			tests: []string{unix, manual}, // a terminal to talk to; the manual pages
		},

		"backup":  {imports: []string{"internal/repo", "snapshot"}},
		"verify":  {imports: []string{"internal/repo", "snapshot"}},
		"restore": {imports: []string{"internal/repo", "snapshot", "verify"}},

		"internal/instance": {imports: []string{
			"backup", "restore", "verify", "internal/repo", "snapshot",
			"internal/docker", "internal/server", "internal/rdb", "internal/aof",
			units,
		}},
		"internal/docker": {imports: []string{docker, nat, errdefs}},
		"internal/server": {imports: []string{redis}},
		"internal/notify": {imports: []string{"github.com/nicholas-fedor/shoutrrr"}},
		"internal/rdb":    {},
		"internal/aof":    {},

		"internal/config": {imports: []string{"retention", "snapshot", yaml}},
		// It is told what there is to show.
		"internal/status": {imports: []string{metrics}, tests: []string{linted, exposed, measured, browser}},

		"internal/repo": {imports: []string{"snapshot", unix}},
		"snapshot":      {imports: []string{klauspost}},
		"daemon":        {imports: []string{"schedule"}},
		"retention":     {imports: []string{"snapshot"}},
		"schedule":      {imports: []string{cron}},

		// It shares no code, and no mistake, with what is tested.
		"internal/enginetest": {forTests: true},
		"internal/repotest":   {imports: []string{"internal/repo", "snapshot"}, forTests: true},

		// Programs that tests and measurements build.
		"internal/docker/testdata/nc": {forTests: true},
		"testdata/bench":              {imports: []string{"internal/enginetest", "internal/repo", "snapshot", klauspost}, forTests: true},
	}
}

// testTools is what the tests of every package may use.
func testTools() []string {
	return []string{"pgregory.net/rapid", "github.com/rogpeppe/go-internal/testscript"}
}

// onlyTests are the parts of libraries that tests alone may use, so that they
// do not get into the binary with the rest of the library.
func onlyTests() []string {
	return []string{"github.com/spf13/cobra/doc", "github.com/prometheus/client_golang/prometheus/testutil"}
}

// owners are the libraries whose types never cross the border of one package.
// The rows above say so already; here it is said once, so that a row that is
// widened in passing still fails.
func owners() map[string]string {
	return map[string]string{
		"github.com/docker/docker":         "internal/docker",
		"github.com/docker/go-connections": "internal/docker",
		"github.com/containerd":            "internal/docker",
		"github.com/moby":                  "internal/docker",
		"github.com/redis":                 "internal/server",
		"github.com/klauspost":             "snapshot",
		"github.com/robfig":                "schedule",
		"github.com/spf13":                 "cmd/redisbak",
		"go.yaml.in/yaml":                  "internal/config",
		"github.com/schollz":               "cmd/redisbak",
		"github.com/nicholas-fedor":        "internal/notify",
		"github.com/prometheus":            "internal/status",
		"github.com/chromedp":              "internal/status",
	}
}

// maxLines is the length from which on a file has a second idea in it.
const maxLines = 500

func TestHouse(t *testing.T) {
	files, err := parse(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d files found: this test must run in the module's root", len(files))
	}
	for name, rule := range rules() {
		t.Run(name, func(t *testing.T) {
			for _, complaint := range rule(files) {
				t.Error(complaint)
			}
		})
	}
}

// Who reads the map finds every room on it.
func TestMapNamesEveryRoom(t *testing.T) {
	for _, page := range []string{"doc.go", "docs/DESIGN.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for dir := range house() {
			if dir != "." && !strings.Contains(dir, "testdata") && !bytes.Contains(text, []byte(dir+" ")) {
				t.Errorf("%s: no %s", page, dir)
			}
		}
	}
}

func rules() map[string]func([]file) []string {
	return map[string]func([]file) []string{
		"arrows":             followsArrows,
		"owners":             respectsOwners,
		"rows":               hasPackageForEachRow,
		"length":             isShort,
		"no init":            hasNoInit,
		"contexts from main": takesContexts,
		"no sleep, no skip":  neverSleepsOrSkips,
		"package comments":   hasPackageComments,
		"names":              isNamedForAnIdea,
	}
}

// file is one Go file, whatever its build tags.
type file struct {
	path, dir string
	test      bool
	lines     int
	*ast.File
	set *token.FileSet
}

// parse reads every Go file below a directory. It asks no go command, which
// would answer for one set of build tags, and from a cache.
func parse(root fs.FS) ([]file, error) {
	var files []file
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || p == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go"):
			return nil
		}
		text, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file{
			path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"),
			lines: bytes.Count(text, []byte("\n")), File: parsed, set: set,
		})
		return nil
	})
	return files, err
}

// uses are the imports of a file that are not the standard library's, those of
// the house by their directory.
func (f file) uses() []string {
	var paths []string
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser let it pass
		}
		if inside, ok := strings.CutPrefix(p, module); ok {
			paths = append(paths, strings.TrimPrefix(inside, "/"))
		} else if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") {
			paths = append(paths, p)
		}
	}
	return paths
}

// within tells whether a path is one of these, or below one that is not of the
// house.
func within(p string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		outside := strings.Contains(strings.Split(a, "/")[0], ".")
		return p == a || outside && strings.HasPrefix(p, a+"/")
	})
}

func followsArrows(files []file) (complaints []string) {
	rooms := house()
	for _, f := range files {
		row, ok := rooms[f.dir]
		if !ok {
			complaints = append(complaints, fmt.Sprintf("%s: package %s has no row in the table of imports_test.go", f.path, f.dir))
			continue
		}
		for _, p := range f.uses() {
			inTest := f.test && (p == f.dir || within(p, row.tests) || within(p, testTools()) || rooms[p].forTests)
			if (!within(p, row.imports) || within(p, onlyTests())) && !inTest {
				complaints = append(complaints, fmt.Sprintf("%s: %s may not import %s", f.path, f.dir, p))
			}
		}
	}
	return complaints
}

func respectsOwners(files []file) (complaints []string) {
	rooms := house()
	for _, f := range files {
		if rooms[f.dir].forTests {
			continue
		}
		for _, p := range f.uses() {
			for library, owner := range owners() {
				if within(p, []string{library}) && f.dir != owner {
					complaints = append(complaints, fmt.Sprintf("%s: %s is for %s alone", f.path, p, owner))
				}
			}
		}
	}
	return complaints
}

func hasPackageForEachRow(files []file) (complaints []string) {
	for dir := range house() {
		if !slices.ContainsFunc(files, func(f file) bool { return f.dir == dir }) {
			complaints = append(complaints, fmt.Sprintf("the table has a row for %s, and there is no such package", dir))
		}
	}
	return complaints
}

func isShort(files []file) (complaints []string) {
	for _, f := range files {
		if f.lines > maxLines {
			complaints = append(complaints, fmt.Sprintf("%s: %d lines; more than %d have a second idea in them: give it its own file", f.path, f.lines, maxLines))
		}
	}
	return complaints
}

func hasNoInit(files []file) (complaints []string) {
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				complaints = append(complaints, f.at(fn)+": func init: nothing happens by being imported")
			}
		}
	}
	return complaints
}

func takesContexts(files []file) (complaints []string) {
	rooms := house()
	for _, f := range files {
		if f.test || rooms[f.dir].forTests || f.Name.Name == "main" && path.Base(f.path) == "main.go" {
			continue
		}
		for _, call := range f.mentions("context", "Background", "TODO") {
			complaints = append(complaints, call+": a context comes from main, by argument")
		}
	}
	return complaints
}

func neverSleepsOrSkips(files []file) (complaints []string) {
	for _, f := range files {
		for _, call := range f.mentions("time", "Sleep") {
			complaints = append(complaints, call+": wait for what is meant, with a deadline")
		}
		if !f.test {
			continue
		}
		for _, receiver := range []string{"t", "b", "tb"} {
			for _, call := range f.mentions(receiver, "Skip", "Skipf", "SkipNow") {
				complaints = append(complaints, call+": a test that does not run proves nothing")
			}
		}
	}
	return complaints
}

func hasPackageComments(files []file) (complaints []string) {
	said := map[string]bool{}
	for _, f := range files {
		said[f.dir] = said[f.dir] || !f.test && f.Doc != nil
	}
	for dir, ok := range said {
		if !ok {
			complaints = append(complaints, dir+": no package comment says what it is, what it promises and what it does not do")
		}
	}
	return complaints
}

func isNamedForAnIdea(files []file) (complaints []string) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "service", "misc", "base", "shared"}
	for _, f := range files {
		if slices.Contains(empty, f.Name.Name) {
			complaints = append(complaints, fmt.Sprintf("%s: package %s: the name says nothing of what is in it", f.path, f.Name.Name))
		}
	}
	return complaints
}

// mentions lists the places where a file uses one of these names of an
// imported package, or of a variable.
func (f file) mentions(of string, names ...string) (places []string) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(names, s.Sel.Name) {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == of {
				places = append(places, fmt.Sprintf("%s: %s.%s", f.at(n), of, s.Sel.Name))
			}
		}
		return true
	})
	return places
}

func (f file) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.set.Position(n.Pos()).Line)
}

// TestRulesBite breaks each rule in a house of one file.
func TestRulesBite(t *testing.T) {
	tests := []struct{ rule, name, path, text, complaint string }{
		{"arrows", "upwards", "snapshot/a.go", `import _ "` + module + `/internal/repo"`, "snapshot may not import internal/repo"},
		{"arrows", "neighbours", "internal/rdb/a.go", `import _ "` + module + `/internal/server"`, "internal/rdb may not import internal/server"},
		{"arrows", "technology", "backup/a.go", `import _ "` + module + `/internal/docker"`, "backup may not import internal/docker"},
		{"arrows", "unknown library", "verify/a.go", `import _ "example.org/a/b"`, "verify may not import example.org/a/b"},
		{"arrows", "by a test", "internal/rdb/a_test.go", `import _ "` + module + `/snapshot"`, "internal/rdb may not import snapshot"},
		{"arrows", "behind a tag", "internal/rdb/a_plan9.go", `import _ "example.org/a/b"`, "internal/rdb may not import example.org/a/b"},
		{"arrows", "only for tests", "cmd/redisbak/a.go", `import _ "github.com/spf13/cobra/doc"`, "cmd/redisbak may not import github.com/spf13/cobra/doc"},
		{"arrows", "enginetest", "restore/a.go", `import _ "` + module + `/internal/enginetest"`, "restore may not import internal/enginetest"},
		{"arrows", "new package", "internal/new/a.go", "", "has no row"},
		{"arrows", "below a library", "internal/server/a.go", `import _ "github.com/redis/go-redis/v9x"`, "may not import"},
		{"owners", "docker", "cmd/redisbak/a_test.go", `import _ "github.com/docker/docker/client"`, "is for internal/docker alone"},
		{"owners", "cron", "cmd/redisbak/a.go", `import _ "github.com/robfig/cron/v3"`, "is for schedule alone"},
		{"owners", "compression", "internal/repo/a.go", `import _ "github.com/klauspost/pgzip"`, "is for snapshot alone"},
		{"owners", "metrics", "cmd/redisbak/a.go", `import _ "github.com/prometheus/client_golang/prometheus"`, "is for internal/status alone"},
		{"arrows", "only for tests, of metrics", "internal/status/a.go", `import _ "github.com/prometheus/client_golang/prometheus/testutil/promlint"`, "internal/status may not import"},
		{"rows", "gone", "a.go", "", "no such package"},
		{"length", "long", "a.go", strings.Repeat("\n", maxLines), "second idea"},
		{"no init", "init", "a.go", "func init() {}", "a.go:2: func init"},
		{"contexts from main", "background", "a.go", "var _ = context.Background()", "a.go:2: context.Background"},
		{"contexts from main", "todo", "cmd/redisbak/run.go", "var _ = context.TODO()", "context.TODO"},
		{"no sleep, no skip", "sleep", "a_test.go", "func f() { time.Sleep(1) }", "time.Sleep"},
		{"no sleep, no skip", "skip", "a_test.go", "func f() { t.Skip() }", "t.Skip"},
		{"package comments", "none", "a.go", "", "no package comment"},
		{"names", "util", "internal/util/a.go", "", "says nothing"},
	}
	broken := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			text := fmt.Sprintf("package %s\n%s\n", packageName(tt.path), tt.text)
			files, err := parse(fstest.MapFS{tt.path: {Data: []byte(text)}})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(rules()[tt.rule](files), "\n"); !strings.Contains(got, tt.complaint) {
				t.Errorf("complaints: %q, want one with %q", got, tt.complaint)
			}
		})
		broken[tt.rule] = true
	}
	for rule := range rules() {
		if !broken[rule] {
			t.Errorf("rule %q is never broken here: it may let everything pass", rule)
		}
	}
}

func packageName(p string) string {
	switch dir := path.Dir(p); dir {
	case ".":
		return "redisbak"
	case "cmd/redisbak":
		return "main"
	default:
		return path.Base(dir)
	}
}

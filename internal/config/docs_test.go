package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/redisbak/redisbak/retention"
)

const page = "../../docs/configuration.md"

func pageText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shownDefault is a default as the page has it.
func shownDefault(t *testing.T, k kind) string {
	t.Helper()
	n := k.show()
	if d, ok := k.(detail); ok {
		n = d.flag.show() // where it is not shown, it has a default all the same
	}
	if n == nil {
		return ""
	}
	text, err := yaml.Dump(n)
	if err != nil {
		t.Fatal(err)
	}
	return " `" + strings.TrimSpace(string(text)) + "`"
}

// Every key is on the page with its variable, its label and its default, and
// no other one is.
func TestPageHasEveryKey(t *testing.T) {
	text, c := pageText(t), builtin()
	var want []string
	for _, k := range keys(c.fields(), "") {
		if !strings.HasPrefix(k.path, "defaults.") {
			want = append(want, "| `"+k.path+"` | `"+variable(k.path)+"` |"+shownDefault(t, k.kind)+" | ")
		}
	}
	for _, f := range c.Defaults.fields() {
		want = append(want, "| `"+f.name+"` | `"+variable("defaults."+f.name)+"` | `"+label(f.name)+"` |"+shownDefault(t, f.kind)+" | ")
	}
	labelled := namesOf(labelFields(new(Source)))
	for _, f := range new(Source).fields() {
		if slices.Contains(namesOf(c.Defaults.fields()), f.name) {
			continue
		}
		row := "| `" + f.name + "` | "
		if slices.Contains(labelled, f.name) {
			row += "`" + label(f.name) + "` "
		}
		want = append(want, row+"| ")
	}
	for _, name := range namesOf(policyFields(new(retention.Policy))) {
		want = append(want, "| `"+name+"` | ")
	}
	rows := regexp.MustCompile("(?m)^\\| `.*$").FindAllString(text, -1)
	if len(rows) != len(want) {
		t.Errorf("%d rows for %d keys", len(rows), len(want))
	}
	for i := range min(len(rows), len(want)) {
		if !strings.HasPrefix(rows[i], want[i]) {
			t.Errorf("row %d\n is   %s\n must begin with\n      %s", i, rows[i], want[i])
		}
	}
	for _, name := range []string{fileVariable, passwordVariable} {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("no %s", name)
		}
	}
	for name := range shortVariables() {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("no %s", name)
		}
	}
	for _, variable := range regexp.MustCompile(`REDISBAK_[A-Z_]*[A-Z]`).FindAllString(text, -1) {
		if r := (&reader{}); len(unknown(r, variable)) > 0 {
			t.Errorf("%s is no variable", variable)
		}
	}
}

// unknown are the warnings of one variable.
func unknown(r *reader, name string) []Warning {
	spot{reader: r}.unknownVariables([]string{name}, knownVariables(builtin()))
	return r.warnings
}

// The examples are configurations, the second one with every key.
func TestPagesExamplesParse(t *testing.T) {
	dir := secrets(t)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(pageText(t), -1)
	if len(examples) != 2 {
		t.Fatalf("%d examples", len(examples))
	}
	path := regexp.MustCompile(`/(run/secrets|etc/redisbak)/[a-z.-]+`)
	for i, example := range examples {
		text := path.ReplaceAllStringFunc(example[1], func(p string) string {
			name := map[string]string{"ca.pem": "ca.pem", "notify": "urls", "ping-sessions": "ping"}[filepath.Base(p)]
			if name == "" {
				name = "password"
			}
			return "DIR/" + name
		})
		c := parsed(t, dir, text)
		if i == 0 {
			continue
		}
		if len(c.Sources) != 2 || c.Sources[0].Retention.Hourly != 48 || c.Sources[1].TLS.On || c.Sources[1].Password.Set() || !c.Defaults.TLS.On {
			t.Errorf("%v", c)
		}
		for _, k := range keys(builtin().fields(), "") {
			if name := k.path[strings.LastIndexByte(k.path, '.')+1:]; !regexp.MustCompile(`\b` + name + `: `).MatchString(text) {
				t.Errorf("the example lacks %s", k.path)
			}
		}
		for _, f := range new(Source).fields() {
			if !strings.Contains(text, " "+f.name+": ") {
				t.Errorf("the example lacks %s", f.name)
			}
		}
	}
}

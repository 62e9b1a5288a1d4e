package backup

import (
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// FAULT 53: two containers that write to one source in turn are told apart from
// one that was made anew.
func TestFault53_TwoContainersThatShareASource(t *testing.T) {
	for name, c := range map[string]struct {
		history string // a letter a container, newest first
		shared  bool
	}{
		"the first one":            {"", false},
		"the same one":             {"AAA", false},
		"made anew":                {"BBB", false},
		"made anew, long ago":      {"AABB", false},
		"made anew twice":          {"BCC", false},
		"another one in between":   {"BA", true},
		"another one some time":    {"BBBA", true},
		"another one, third party": {"CBA", true},
	} {
		var history []repo.Entry
		for _, letter := range c.history {
			history = append(history, repo.Entry{Manifest: &snapshot.Manifest{ID: "20260208T031502Z-7k3f", Source: snapshot.Source{
				Name: "redis", Container: "redis", ContainerID: strings.Repeat(string(letter), 64),
			}}})
		}
		told := rival(strings.Repeat("A", 64), history)
		if (told != "") != c.shared {
			t.Errorf("%s: told %q", name, told)
		}
		if c.shared && (!strings.Contains(told, `"redis" (`+c.history[:1]+c.history[:1]) || !strings.Contains(told, "--source")) {
			t.Errorf("%s: told %q", name, told)
		}
	}
}

package config

import (
	"reflect"
	"strings"
	"testing"
)

// FuzzParse: whatever a file holds, it is a Config that shows itself as the
// same, or an error with places, in bounds.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "listen: :1", "defaults: {retention: {last: 3, tags: [a]}, verify: every 7}", "sources: [{container: a, tls: true, address: 'a:1'}]", "a: &a [*a]", "<<: {}", "? {}\n: 1",
		"notify:\n  on: [success]\n", "--- 1\n...\n--- 2", "{{", "!!binary x", "%YAML 1.1\n---\ndiscover: off", "sources:\n- {container: a, retention: off}\n- container: b\n  schedule: '@daily'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, warnings, err := parseIn("", text)
		if len(warnings) > enough {
			t.Errorf("%d warnings", len(warnings))
		}
		if err != nil {
			if c != nil || !strings.HasPrefix(err.Error(), "redisbak.yaml:") || strings.Count(err.Error(), "redisbak.yaml:") > 2*enough || strings.ContainsAny(err.Error(), "\x00\x1b\r") {
				t.Errorf("%q", err)
			}
			return
		}
		shown := c.String()
		again, _, err := parseIn("", shown)
		if strings.Contains(shown, hidden) {
			return
		}
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%q is shown as %q and is %v %v", text, shown, again, err)
		}
	})
}

// FuzzLabels: whatever a label holds.
func FuzzLabels(f *testing.F) {
	f.Add("retention", "last=3,daily=7", "name", "x")
	f.Add("enable", "ture", "shedule", "@daily")
	f.Add("tags", "a,,b", "verify", "every 3")
	f.Fuzz(func(t *testing.T, a, av, b, bv string) {
		labels := map[string]string{"redisbak.enable": "true", "redisbak." + a: av, "redisbak." + b: bv}
		source, enabled, _, err := FromLabels("c", labels, builtin().Defaults, testSchedule)
		if err == nil && enabled && source.Name == "" || err != nil && !strings.HasPrefix(err.Error(), "container c") {
			t.Errorf("%v %v %v", source, enabled, err)
		}
	})
}

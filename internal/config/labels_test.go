package config

import (
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/retention"
)

func TestFromLabels(t *testing.T) {
	dir := secrets(t)
	defaults := builtin().Defaults
	defaults.Tags, defaults.Retention = []string{"all"}, retention.Policy{Last: 1, Tags: []string{"x"}}
	labels := map[string]string{
		"redisbak.enable": "true", "redisbak.name": "sessions", "redisbak.schedule": "@hourly", "redisbak.method": "rdb,aof", "redisbak.verify": "every 7",
		"redisbak.retention": "last=3, daily=7,tags=a b", "redisbak.username": "backup", "redisbak.password-file": filepath.Join(dir, "password"), "redisbak.jitter": "5s",
		"redisbak.tags": "a,b", "redisbak.ping-url-file": filepath.Join(dir, "ping"), "redisbak.overdue-after": "2d", "redisbak.no-rewrite": "true", "redisbak.address": "redis:6379",
		"com.docker.compose.service": "redis", "redisbakery": "x",
	}
	got, enabled, warnings, err := FromLabels("redis-1", labels, defaults, testSchedule)
	want := Source{Name: "sessions", Container: "redis-1", Address: "redis:6379", Settings: defaults, Ping: Secret{file: filepath.Join(dir, "ping")}}
	want.Schedule, want.Method, want.Verify, want.Retention = "@hourly", "rdb,aof", 7, retention.Policy{Last: 3, Daily: 7, Tags: []string{"a", "b"}}
	want.Username, want.Password, want.Jitter, want.Tags = "backup", Secret{file: filepath.Join(dir, "password")}, 5*time.Second, []string{"a", "b"}
	want.OverdueAfter, want.NoRewrite = 2*day, true
	if err != nil || !enabled || len(warnings) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v %v\ngot:\n%v\nwant:\n%v", enabled, warnings, err, got, want)
	}

	got, enabled, _, err = FromLabels("redis-1", map[string]string{"redisbak.enable": "true"}, defaults, testSchedule)
	if want := (Source{Name: "redis-1", Container: "redis-1", Settings: defaults}); err != nil || !enabled || !reflect.DeepEqual(got, want) {
		t.Errorf("by its defaults: %v %v\n%v", enabled, err, got)
	}
	for name, labels := range map[string]map[string]string{
		"none": {}, "off": {"redisbak.enable": "false", "redisbak.tls": "true"}, "named only": {"redisbak.name": "x"},
		"redisbak's own": {"redisbak.role": "recovery", "redisbak.repo": "r", "redisbak.run": "1", "redisbak.made": "1"},
	} {
		if got, enabled, _, err := FromLabels("c", labels, defaults, testSchedule); enabled || err != nil || !reflect.DeepEqual(got, Source{}) {
			t.Errorf("%s: %v %v %v", name, got, enabled, err)
		}
	}
}

// A label that is not understood is told of by its container, its name and the
// nearest right one, whether the container is enabled or not.
func TestLabelFaults(t *testing.T) {
	dir := secrets(t)
	for _, tt := range []struct{ name, labels, want string }{
		{"mistyped label", "enable=true shedule=@hourly", "container c, label redisbak.shedule: no such label (did you mean redisbak.schedule?)"},
		{"mistyped enable", "enabel=true", "container c, label redisbak.enabel: no such label (did you mean redisbak.enable?)"},
		{"mistyped true", "enable=ture", "container c, label redisbak.enable: \"ture\" is not true or false (did you mean true?)"},
		{"empty", "enable=", "container c, label redisbak.enable: is empty (give true or false, or leave the key out)"},
		{"underscore", "password_file=x", "container c, label redisbak.password_file: no such label (did you mean redisbak.password-file?)"},
		{"capitals", "Enable=true", "container c, label redisbak.Enable: no such label (did you mean redisbak.enable?)"},
		{"container", "container=x", "container c, label redisbak.container: no such label (labels here: redisbak.enable, redisbak.name, redisbak.address, redisbak.schedule, redisbak.jitter, redisbak.overdue-after, redisbak.method, redisbak.no-rewrite, redisbak.compression, redisbak.verify, redisbak.drill, redisbak.retention, redisbak.tags, redisbak.timeout, redisbak.lock-wait, redisbak.username, redisbak.password-file, redisbak.tls, redisbak.tls-ca, redisbak.tls-cert, redisbak.tls-key, redisbak.tls-server-name, redisbak.tls-insecure and redisbak.ping-url-file)"},
		{"password", "password=canary", "container c, label redisbak.password: a secret does not belong here (put it into a file of its own and give the path: redisbak.password-file)"},
		{"ping", "ping-url=https://x/canary", "container c, label redisbak.ping-url: a secret does not belong here (put it into a file of its own and give the path: redisbak.ping-url-file)"},
		{"password where a file belongs", "password-file=canary", "container c, label redisbak.password-file: is not an absolute path (the secret itself does not belong here: put it into a file and give its path)"},
		{"schedule", "enable=true schedule=hourly", "container c, label redisbak.schedule: \"hourly\": not a schedule (like \"15 3 * * *\", @daily or @every 6h)"},
		{"retention", "retention=last=3,dayly=7", "container c, label redisbak.retention: dayly: no such key (did you mean daily?)"},
		{"retention twice", "retention=last=3,last=7", "container c, label redisbak.retention: last: given twice: before at container c, label redisbak.retention (leave one of them out)"},
		{"retention of words", "retention=all", "container c, label redisbak.retention: \"all\" is not off or rules like last=3,daily=7"},
		{"retention of half a rule", "retention=last=", "container c, label redisbak.retention: last: is empty (give a number, or leave the key out)"},
		{"retention within what", "retention=within=7", "container c, label redisbak.retention: within: \"7\": not numbers with units, like 90s, 2h30m or 7d"},
		{"several", "enable=true zzz=1 verify=no name=a/b", "container c, label redisbak.name: source name \"a/b\": holds a character other than A-Z a-z 0-9 . _ -\n" +
			"container c, label redisbak.verify: \"no\" is not always, never or every N\ncontainer c, label redisbak.zzz: no such label (LABELS)"},
		{"user without a password", "enable=true username=u", "container c: a user without a password (add password_file)"},
		{"TLS", "enable=true tls=true", "container c: tls: which name the server's certificate must have is not known (give tls_server_name, or address)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			labels := map[string]string{}
			for _, l := range strings.Fields(tt.labels) {
				name, value, _ := strings.Cut(l, "=")
				labels["redisbak."+name] = strings.ReplaceAll(value, "DIR", dir)
			}
			_, _, _, err := FromLabels("c", labels, builtin().Defaults, testSchedule)
			var all *Error
			if !errors.As(err, &all) {
				t.Fatalf("%v", err)
			}
			var known []string
			for _, f := range labelFields(new(Source)) {
				known = append(known, label(f.name))
			}
			want := strings.ReplaceAll(tt.want, "LABELS", "labels here: redisbak.enable, "+join(known, "and"))
			if err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Error("the secret is told")
			}
		})
	}
	_, _, _, err := FromLabels(strings.Repeat("c", 65), map[string]string{"redisbak.enable": "true"}, builtin().Defaults, nil)
	if want := "container " + strings.Repeat("c", 65) + ": source name \"" + strings.Repeat("c", 65) + "\": longer than 64 characters (give it another name: redisbak.name)"; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// A label says the same as its key in the file.
func TestEveryLabelIsItsKey(t *testing.T) {
	dir := secrets(t)
	pairs := map[string]string{"username": "password_file", "tls_cert": "tls_key", "tls_key": "tls_cert"}
	for _, f := range labelFields(new(Source)) {
		all := settingSamples(f.name)
		switch f.name {
		case "name":
			all = []string{"", "other"}
		case "ping_url_file":
			all = []string{"", "DIR/ping"}
		}
		if len(all) < 2 {
			t.Errorf("%s has no samples", f.name)
		}
		for _, sample := range all[1:] {
			given := map[string]string{f.name: sample}
			if with := pairs[f.name]; with != "" {
				given[with] = settingSamples(with)[1]
			}
			if strings.HasPrefix(f.name, "tls") {
				given["tls"], given["address"] = "true", "redis:6379"
			}
			labels := map[string]string{enableLabel: "true"}
			for k, v := range given {
				labels[label(k)] = strings.ReplaceAll(v, "DIR", dir)
			}
			got, _, _, err := FromLabels("c", labels, builtin().Defaults, testSchedule)
			given["container"] = "c"
			want := parsedQuietly(t, dir, "sources: ["+inline(new(Source).fields(), given)+"]").Sources[0]
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v: %v\n%v\nin the file:\n%v", slices.Sorted(maps.Keys(labels)), err, got, want)
			}
		}
	}
}

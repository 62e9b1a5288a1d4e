package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// samples are values of a key, as a variable has them; the first is the
// default.
func samples(path string) []string {
	return map[string][]string{
		"repository": {"", "/backups/redis", "/b a: c#"}, "listen": {"127.0.0.1:9467", ":0", "[::1]:80", "off"}, "timezone": {"", "UTC", "Europe/Berlin"},
		"discover": {"labels", "off"}, "concurrency": {"2", "1", "100"}, "log.level": {"info", "debug", "warn", "error"}, "log.format": {"text", "json"},
		"status.user": {"", "admin", "true", "-"}, "status.password_file": {"", "DIR/page"}, "status.hosts": {"", "redisbak", "a,b.example.org"},
		"notify.urls_file": {"", "DIR/urls"}, "notify.on": {"failure,overdue,recovered", "success", "recovered, failure"},
	}[path]
}

// settingSamples are those of the defaults and the sources.
func settingSamples(name string) []string {
	return map[string][]string{
		"schedule": {"15 3 * * *", "@hourly", "@every 6h"}, "jitter": {"auto", "0s", "90s", "1d"}, "overdue_after": {"auto", "2d12h"},
		"method": {"auto", "rdb", "aof", "rdb,aof", "aof,rdb"}, "no_rewrite": {"false", "true"}, "compression": {"gzip", "zstd", "none"},
		"verify": {"always", "never", "every 7"}, "drill": {"off", "1w", "1s"},
		"retention": {"off", "last=3,daily=7", "hourly=1,weekly=2,monthly=3,yearly=4,within=1y,tags=a b"},
		"tags":      {"", "a", "a,true,1"}, "timeout": {"off", "2h"}, "lock_wait": {"0s", "5m"},
		"username": {"", "u", "no"}, "password_file": {"off", "DIR/password"}, "tls": {"false", "true"}, "tls_ca": {"", "DIR/ca.pem"},
		"tls_cert": {"", "DIR/cert.pem"}, "tls_key": {"", "DIR/key.pem"}, "tls_server_name": {"", "redis.internal", "10.0.0.1"}, "tls_insecure": {"false", "true"},
		"address": {"", "redis:6379", "[::1]:1"},
	}[name]
}

// value writes what a variable says as the file does.
func value(fields []field, path, text string) string {
	first, rest, below := strings.Cut(path, ".")
	at := slices.IndexFunc(fields, func(f field) bool { return f.name == first })
	if below {
		return value(fields[at].kind.(section).fields, rest, text)
	}
	n := nodeOf(fields[at].kind, spot{reader: &reader{}}, text)
	n.Style = yaml.FlowStyle
	if n.Kind == yaml.ScalarNode {
		n.Style = 0
		if strings.Contains(text, ",") {
			n.Style = yaml.SingleQuotedStyle // else it ends there, between braces
		}
	}
	out, err := yaml.Dump(n, yaml.WithLineWidth(-1))
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(out))
}

// together are keys of a source or the defaults that make sense together.
func together() []map[string]string {
	return []map[string]string{
		{}, {"password_file": "DIR/password"}, {"username": "no", "password_file": "DIR/page"}, {"password_file": "off"},
		{"tls": "false"}, {"tls": "true", "tls_insecure": "true"}, {"tls": "true", "tls_server_name": "redis.internal"},
		{"tls": "true", "tls_server_name": "10.0.0.1", "tls_ca": "DIR/ca.pem", "tls_cert": "DIR/cert.pem", "tls_key": "DIR/key.pem", "tls_insecure": "false"},
	}
}

// settings draws keys of a source or the defaults.
func drawSettings(t *rapid.T, where string) map[string]string {
	drawn := map[string]string{}
	for _, f := range new(Settings).fields() {
		all := settingSamples(f.name)
		alone := !strings.HasPrefix(f.name, "tls") && f.name != "username" && f.name != "password_file"
		if all[0] == "" {
			all = all[1:]
		}
		if alone && rapid.Bool().Draw(t, where+f.name+"?") {
			drawn[f.name] = rapid.SampledFrom(all).Draw(t, where+f.name)
		}
	}
	for range 2 {
		maps.Copy(drawn, rapid.SampledFrom(together()).Draw(t, where+"together"))
	}
	if drawn["password_file"] == "off" {
		delete(drawn, "username")
	}
	if drawn["tls"] == "false" {
		maps.DeleteFunc(drawn, func(k, _ string) bool { return strings.HasPrefix(k, "tls_") })
	}
	return drawn
}

// inline writes keys as a mapping in the file.
func inline(fields []field, drawn map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(drawn)) {
		all = append(all, name+": "+value(fields, name, drawn[name]))
	}
	return "{" + strings.Join(all, ", ") + "}"
}

func drawFile(t *rapid.T) string {
	var b strings.Builder
	sections := map[string]map[string]string{"log": {}, "notify": {}, "status": {}}
	for _, k := range keys(builtin().fields(), "") {
		all := slices.DeleteFunc(samples(k.path), func(s string) bool { return s == "" })
		if len(all) == 0 || strings.HasPrefix(k.path, "status.") || k.path == "discover" || !rapid.Bool().Draw(t, k.path+"?") {
			continue
		}
		text := rapid.SampledFrom(all).Draw(t, k.path)
		if section, name, below := strings.Cut(k.path, "."); below {
			sections[section][name] = text
		} else {
			fmt.Fprintf(&b, "%s: %s\n", k.path, value(builtin().fields(), k.path, text))
		}
	}
	if rapid.Bool().Draw(t, "status?") {
		sections["status"] = map[string]string{"user": rapid.SampledFrom([]string{"admin", "true", "-"}).Draw(t, "user"), "password_file": "DIR/page"}
	}
	c := builtin()
	for name, f := range map[string][]field{"log": c.Log.fields(), "notify": c.Notify.fields(), "status": c.Status.fields()} {
		fmt.Fprintf(&b, "%s: %s\n", name, inline(f, sections[name]))
	}
	fmt.Fprintf(&b, "defaults: %s\n", inline(c.Defaults.fields(), drawSettings(t, "defaults.")))
	n := rapid.IntRange(0, 3).Draw(t, "sources")
	if n > 0 {
		b.WriteString("sources:\n")
	}
	for i := range n {
		drawn := drawSettings(t, fmt.Sprintf("sources[%d].", i))
		drawn["container"] = fmt.Sprintf("c%d", i)
		for _, key := range []string{"name", "address", "ping_url_file"} {
			if rapid.Bool().Draw(t, key+"?") {
				drawn[key] = map[string]string{"name": fmt.Sprintf("%d", i), "address": "redis:6379", "ping_url_file": "DIR/ping"}[key]
			}
		}
		fmt.Fprintf(&b, "- %s\n", inline(new(Source).fields(), drawn))
	}
	return b.String()
}

// What is shown is a configuration again, and the same one.
func TestShowParsesToTheSame(t *testing.T) {
	dir := secrets(t)
	rapid.Check(t, func(t *rapid.T) {
		text := drawFile(t)
		env := []string{}
		if rapid.Bool().Draw(t, "password?") {
			env = []string{"REDISBAK_PASSWORD=canary"}
		}
		c, _, err := parseIn(dir, text, env...)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		shown := c.String()
		again, _, err := parseIn(dir, shown, env...)
		if err != nil {
			t.Fatalf("%s\nis shown as:\n%s\nand refused: %v", text, shown, err)
		}
		if !reflect.DeepEqual(c, again) || again.String() != shown {
			t.Fatalf("%s\nis shown as:\n%s\nwhich is:\n%s", text, shown, again)
		}
		if strings.Contains(shown, "canary") {
			t.Fatalf("the password is shown:\n%s", shown)
		}
	})
}

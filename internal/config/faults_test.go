package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	_ "time/tzdata" // zones must be known here as they are in the binary
)

// testSchedule stands for the real check: it knows a few schedules.
func testSchedule(text string) error {
	switch text {
	case "15 3 * * *", "@daily", "@hourly", "@every 6h":
		return nil
	}
	return errors.New("not a schedule")
}

// secrets makes a directory with files that may be secrets, and others.
func secrets(t testing.TB) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"password": "pass\n", "page": "word\n", "urls": "ntfy://ntfy.sh/x\n", "ping": "https://hc-ping.com/uuid\n", "ca.pem": "CA\n", "cert.pem": "CERT\n", "key.pem": "KEY\n",
		"empty": "\n", "binary": "a\x00b", "large": strings.Repeat("x", maxSecret+1), "noturl": "canary\n", "open": "pass\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"open": 0o604, "urls": 0o640} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func parseIn(dir, text string, env ...string) (*Config, []Warning, error) {
	for i := range env {
		env[i] = strings.ReplaceAll(env[i], "DIR", dir)
	}
	return Parse(Input{Name: "redisbak.yaml", Text: []byte(strings.ReplaceAll(text, "DIR", dir)), Env: env, CheckSchedule: testSchedule})
}

// Every fault has its place, its key, its cause and, where there is one, the
// nearest right thing.
func TestFaults(t *testing.T) {
	dir := secrets(t)
	const (
		topKeys = "repository, listen, timezone, discover, concurrency, log, status, notify, defaults and sources"
		quotes  = " (a text that begins with one of *&!%@`#{[ or holds \": \" needs quotes)"
		toFile  = " (the secret itself does not belong here: put it into a file and give its path)"
	)
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "lisen: 127.0.0.1:1", "1:1: lisen: no such key (did you mean listen?)"},
		{"unknown key like nothing", "frobnicate: 1", "1:1: frobnicate: no such key (keys here: " + topKeys + ")"},
		{"key of elsewhere", "schedule: '@daily'", "1:1: schedule: no such key here (it belongs below defaults, or in a source)"},
		{"mistyped key of elsewhere", "shedule: '@daily'", "1:1: shedule: no such key (did you mean schedule? It belongs below defaults, or in a source)"},
		{"unknown key below", "defaults:\n  retention: {last: 1, dayly: 7}", "2:24: defaults.retention.dayly: no such key (did you mean daily?)"},
		{"unknown key of a source", "sources:\n  - container: a\n    shedule: '@daily'", "3:5: sources[0].shedule: no such key (did you mean schedule?)"},
		{"key twice", "listen: :1\ntimezone: UTC\nlisten: :2", "3:1: listen: given twice: before at redisbak.yaml:1:1 (leave one of them out)"},
		{"key that is no text", "? [a]\n: 1", "1:3: a list where the name of a key belongs"},
		{"merge key", "defaults: {<<: {}}", "1:12: defaults.<<: no such key (keys here: schedule, jitter, overdue_after, method, no_rewrite, compression, verify, drill, retention, tags, timeout, lock_wait, username, password_file, tls, tls_ca, tls_cert, tls_key, tls_server_name and tls_insecure)"},

		{"no YAML", "listen: [1\ntimezone", "3:1: is no YAML: did not find expected ',' or ']'" + quotes},
		{"tab", "defaults:\n\ttls: true", "2:1: is no YAML: found character that cannot start any token" + quotes},
		{"colon in a text", "listen: a: b", "1:10: is no YAML: mapping values are not allowed in this context" + quotes},
		{"two documents", "listen: :1\n---\nlisten: :2", "holds more than one document, or ends in what is none (leave out the lines ---)"},
		{"not UTF-8", "listen: a\ntimezone: \xff", "2:11: holds a byte that is no text (save the file as UTF-8)"},
		{"control character", "listen: \x00", "1:9: holds a byte that is no text (save the file as UTF-8)"},
		{"escaped control character", `repository: "/a\eb"`, "1:13: repository: holds a control character"},
		{"list at the top", "- listen", "1:1: a list where keys with values belong"},
		{"text at the top", "listen", "1:1: a text where keys with values belong"},
		{"anchor", "listen: &a :1", "1:9: & begins an anchor, which is not understood here (leave it out; a text that begins with & needs quotes)"},
		{"alias", "listen: &a :1\ntimezone: *a", "1:9: & begins an anchor, which is not understood here (leave it out; a text that begins with & needs quotes)\n" +
			"2:11: * begins an alias, which is not understood here (write the value out; a text that begins with * needs quotes)"},
		{"alias of nothing", "timezone: *a", "1:11: is no YAML: * begins an alias, which is not understood here" + quotes},
		{"tag", "concurrency: !!str 2", "1:14: ! begins a tag, which is not understood here (leave it out; a text that begins with ! needs quotes)"},
		{"tag that does not fit", "concurrency: !!int canary", "1:14: ! begins a tag, which is not understood here (leave it out; a text that begins with ! needs quotes)"},

		{"mapping where a text belongs", "listen: {}", "1:9: listen: a mapping where a text belongs"},
		{"list where a text belongs", "timezone: [UTC]", "1:11: timezone: a list where a text belongs"},
		{"text where keys belong", "defaults: x", "1:11: defaults: a text where keys with values belong"},
		{"nothing where keys belong", "defaults:\nlisten: :1", "1:10: defaults: nothing where keys with values belong"},
		{"empty value", "repository:\nlisten: \"\"", "1:12: repository: is empty (give a text, or leave the key out)\n2:9: listen: is empty (give a text, or leave the key out)"},
		{"text where a number belongs", "concurrency: two", "1:14: concurrency: \"two\" is not a whole number"},
		{"quoted number", "concurrency: '2'", "1:14: concurrency: \"2\" is not a whole number"},
		{"hexadecimal", "concurrency: 0x2", "1:14: concurrency: \"0x2\" is not a whole number"},
		{"number out of range", "concurrency: 0", "1:14: concurrency: 0 is not between 1 and 100"},
		{"text where true belongs", "defaults: {tls: 'true'}", "1:17: defaults.tls: a text where true or false belongs (leave out the quotes)"},
		{"mistyped true", "defaults: {no_rewrite: ture}", "1:24: defaults.no_rewrite: \"ture\" is not true or false (did you mean true?)"},
		{"yes", "defaults: {tls: yes}", "1:17: defaults.tls: \"yes\" is not true or false"},
		{"text where a list belongs", "notify: {on: failure}", "1:14: notify.on: a text where a list belongs (like [a, b])"},
		{"unknown event", "notify: {on: [failure, overdu]}", "1:24: notify.on: \"overdu\" is not failure, overdue, recovered or success (did you mean overdue?)"},
		{"event twice", "notify: {urls_file: DIR/urls, on: [failure, failure]}", fmt.Sprintf("1:%d: notify.on: failure is there twice", len("notify: {urls_file: /urls, on: [failure, ")+1+len(dir))},

		{"repository that is relative", "repository: backups", "1:13: repository: is not an absolute path (begin with /: the daemon's directory is not yours)"},
		{"listen without a host", "listen: 9467", "1:9: listen: \"9467\" is not HOST:PORT (like 127.0.0.1:9467, or :9467 for every address of the host)"},
		{"listen on no port", "listen: localhost:65536", "1:9: listen: \"localhost:65536\" is not HOST:PORT (like 127.0.0.1:9467, or :9467 for every address of the host)"},
		{"zone", "timezone: Europe/Berln", "1:11: timezone: \"Europe/Berln\": no such time zone (name one like Europe/Berlin or UTC)"},
		{"discover", "discover: label", "1:11: discover: \"label\" is not labels or off (did you mean labels?)"},
		{"log", "log: {level: inf, format: xml}", "1:14: log.level: \"inf\" is not debug, info, warn or error (did you mean info?)\n1:27: log.format: \"xml\" is not text or json"},

		{"schedule", "defaults: {schedule: '@dayly'}", "1:22: defaults.schedule: \"@dayly\": not a schedule (like \"15 3 * * *\", @daily or @every 6h)"},
		{"schedule of a source", "sources: [{container: a, schedule: 5}]", "1:36: sources[0].schedule: \"5\": not a schedule (like \"15 3 * * *\", @daily or @every 6h)"},
		{"duration without a unit", "defaults: {jitter: 30}", "1:20: defaults.jitter: \"30\": not numbers with units, like 90s, 2h30m or 7d (or auto)"},
		{"duration of an unknown unit", "defaults: {lock_wait: 5x}", "1:23: defaults.lock_wait: \"5x\": unknown unit 'x': use s, m, h, d, w or y"},
		{"duration of nothing", "defaults: {timeout: 0s, drill: 0d}", "1:21: defaults.timeout: would be nothing (or off)\n1:32: defaults.drill: would be nothing (or off)"},
		{"method", "defaults: {method: rbd}", "1:20: defaults.method: \"rbd\" is not auto, rdb, aof, rdb,aof or aof,rdb (did you mean rdb?)"},
		{"compression", "defaults: {compression: gz}", "1:25: defaults.compression: \"gz\" is not gzip, zstd or none"},
		{"verify", "defaults: {verify: alwys}", "1:20: defaults.verify: \"alwys\" is not always, never or every N (did you mean always?)"},
		{"verify every none", "defaults: {verify: every 0}", "1:20: defaults.verify: \"every 0\": not a number between 1 and 1000 (every 7 verifies each seventh snapshot)"},
		{"retention empty", "defaults: {retention: {}}", "1:23: defaults.retention: is empty: it would keep nothing (like {last: 3, daily: 7}, or off: nothing is pruned)"},
		{"retention of none", "defaults: {retention: {daily: 0}}", "1:31: defaults.retention.daily: 0 is not between 1 and 1000000"},
		{"retention within nothing", "defaults: {retention: {within: 0s}}", "1:32: defaults.retention.within: would be nothing"},
		{"retention in words", "defaults: {retention: 'last=3'}", "1:23: defaults.retention: a text where a retention belongs (like {last: 3, daily: 7}, or off)"},
		{"many tags", "defaults: {tags: [" + strings.Repeat("a, ", enough) + "a]}", "1:18: defaults.tags: is longer than 100"},
		{"tag", "defaults: {tags: ['a b']}", "1:19: defaults.tags: tag \"a b\": holds a space or a comma"},

		{"password in the file", "defaults: {password: canary}", "1:12: defaults.password: a secret does not belong here (put it into a file of its own and give the path: password_file)"},
		{"URL in the file", "notify: {url: canary}", "1:10: notify.url: a secret does not belong here (put it into a file of its own and give the path: urls_file)"},
		{"password where a file belongs", "defaults: {password_file: canary}", "1:27: defaults.password_file: is not an absolute path" + toFile},
		{"secret file missing", "defaults: {password_file: DIR/none}", "1:27: defaults.password_file: the file is not there"},
		{"secret file empty", "defaults: {password_file: DIR/empty}", "1:27: defaults.password_file: the file is empty"},
		{"secret file a directory", "defaults: {password_file: DIR}", "1:27: defaults.password_file: the file is a directory"},
		{"secret file a device", "defaults: {password_file: /dev/null}", "1:27: defaults.password_file: the file is not a regular file: it is read again for each run"},
		{"secret file large", "notify: {urls_file: DIR/large}", "1:21: notify.urls_file: the file is larger than 64 KiB: that is no secret"},
		{"secret file not text", "status: {user: a, password_file: DIR/binary}", "1:34: status.password_file: the file is not text"},
		{"ping of no URL", "sources: [{container: a, ping_url: canary}]", "1:36: sources[0].ping_url: is not a URL of http or https (like https://hc-ping.com/…)"},
		{"ping file of no URL", "sources: [{container: a, ping_url_file: DIR/noturl}]", "1:41: sources[0].ping_url_file: what the file holds is not a URL of http or https (like https://hc-ping.com/…)"},
		{"ping that was hidden", "sources: [{container: a, ping_url: (hidden)}]", "1:36: sources[0].ping_url: was hidden by redisbak config show (write the URL again, or put it into a file: ping_url_file)"},
		{"ping twice", "sources: [{container: a, ping_url: 'https://a.b/c', ping_url_file: DIR/ping}]", "1:11: sources[0]: ping_url and ping_url_file are both given (leave one of them out)"},

		{"user without a password", "defaults: {username: backup}", "1:11: defaults: a user without a password (add password_file)"},
		{"user of a source without a password", "sources: [{container: a, username: b}]", "1:11: sources[0]: a user without a password (add password_file)"},
		{"TLS without tls", "defaults: {tls_insecure: true}", "1:11: defaults: keys of TLS without tls: true: the server would be spoken to in the clear (add tls: true)"},
		{"TLS half", "sources: [{container: a, tls: true, tls_server_name: r, tls_cert: DIR/cert.pem}]", "1:11: sources[0]: tls_cert and tls_key belong together: one of them is missing"},
		{"TLS without a name", "sources: [{container: a, tls: true}]", "1:11: sources[0]: tls: which name the server's certificate must have is not known (give tls_server_name, or address)"},
		{"certificate missing", "defaults: {tls: true, tls_ca: DIR/none}", "1:31: defaults.tls_ca: the file is not there"},
		{"certificate relative", "defaults: {tls: true, tls_ca: ca.pem}", "1:31: defaults.tls_ca: is not an absolute path (begin with /: the daemon's directory is not yours)"},
		{"page half", "status: {user: a}", "1:9: status: user and password_file belong together: one of them is missing"},

		{"source without a container", "sources: [{name: a}]", "1:11: sources[0]: no container is named (container: its name or its id)"},
		{"source that is a text", "sources: [a]", "1:11: sources[0]: a text where keys with values belong"},
		{"sources by name", "sources: {a: {container: b}}", "1:10: sources: a mapping where a list of sources belongs (like - {name: sessions, container: redis-server})"},
		{"two of one name", "sources:\n- container: a\n- {name: a, container: b}", "3:3: sources[1]: the name a is that of another source, at redisbak.yaml:2:3 (give one of them another name)"},
		{"name", "sources: [{name: .a, container: b}]", "1:18: sources[0].name: source name \".a\": begins with '.'"},
		{"container", "sources: [{container: /b}]", "1:23: sources[0].container: \"/b\" is not the name or the id of a container"},
		{"container that is no name", "sources: [{container: " + strings.Repeat("b", 65) + "}]", "1:11: sources[0]: source name \"" + strings.Repeat("b", 65) + "\": longer than 64 characters (give it another name: name)"},
		{"address with a password", "sources: [{container: a, address: 'redis://:canary@r:6379'}]", "1:35: sources[0].address: is not HOST:PORT (like redis.internal:6379, without redis:// and without a password)"},
		{"nothing to do", "discover: off", "there is nothing to do: no sources, and discover is off (name a source, or discover: labels)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := parseIn(dir, tt.text)
			if err == nil {
				t.Fatalf("parsed: %v", c)
			}
			var want []string
			for line := range strings.Lines(tt.want) {
				sep := ":"
				if line[0] < '0' || line[0] > '9' {
					sep = ": "
				}
				want = append(want, "redisbak.yaml"+sep+strings.TrimSuffix(line, "\n"))
			}
			if got := err.Error(); got != strings.Join(want, "\n") {
				t.Errorf("got  %s\nwant %s", got, strings.Join(want, "\n"))
			}
			if strings.Contains(err.Error(), "canary") {
				t.Error("the secret is told")
			}
			if c != nil {
				t.Error("a Config beside an error")
			}
		})
	}
}

// Whoever corrects a file sees all that is wrong at once, in its order, and
// then what is wrong elsewhere.
func TestAllFaultsAreToldTogether(t *testing.T) {
	_, _, err := parseIn(secrets(t), `
sources:
  - {container: a, schedule: never}
  - {name: x}
  - {container: a}
listn: here
timezone: Nowhere
defaults:
  password: canary
  retention: {}
`, "REDISBAK_CONCURRENCY=many", "REDISBAK_DEFAULTS_RETENTION=last=3,dayly=7")
	want := `redisbak.yaml:3:30: sources[0].schedule: "never": not a schedule (like "15 3 * * *", @daily or @every 6h)
redisbak.yaml:4:5: sources[1]: no container is named (container: its name or its id)
redisbak.yaml:5:5: sources[2]: the name a is that of another source, at redisbak.yaml:3:5 (give one of them another name)
redisbak.yaml:6:1: listn: no such key (did you mean listen?)
redisbak.yaml:7:11: timezone: "Nowhere": no such time zone (name one like Europe/Berlin or UTC)
redisbak.yaml:9:3: defaults.password: a secret does not belong here (put it into a file of its own and give the path: password_file)
redisbak.yaml:10:14: defaults.retention: is empty: it would keep nothing (like {last: 3, daily: 7}, or off: nothing is pruned)
REDISBAK_CONCURRENCY: concurrency: "many" is not a whole number
REDISBAK_DEFAULTS_RETENTION: defaults.retention.dayly: no such key (did you mean daily?)`
	var all *Error
	if !errors.As(err, &all) || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

// Whatever a megabyte holds, no more is said of it, and no more work done, than
// anybody reads.
func TestFaultsAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"keys":    strings.Repeat("k: 1\n", maxFile/5),
		"anchors": "[" + strings.Repeat("&a 1,", maxFile/5-1) + "]",
		"sources": "sources:\n" + strings.Repeat("- {}\n", maxFile/5-2),
		"events":  "notify: {on: [" + strings.Repeat("a,", maxFile/2-16) + "]}",
		"depth":   strings.Repeat("[", maxFile),
	} {
		_, _, err := parseIn("", text)
		var all *Error
		if !errors.As(err, &all) || len(all.Faults) > enough || len(err.Error()) > 64<<10 {
			t.Errorf("%s: %.200v", name, err)
		}
	}
	_, _, err := parseIn("", strings.Repeat("#", maxFile+1))
	if err == nil || err.Error() != "redisbak.yaml: is larger than 1 MiB: that is no configuration" {
		t.Errorf("large: %v", err)
	}
}

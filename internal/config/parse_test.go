package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/retention"
	"github.com/redisbak/redisbak/snapshot"
)

// parsed is the Config of a text that must be right.
func parsed(t *testing.T, dir, text string, env ...string) *Config {
	t.Helper()
	c, warnings, err := parseIn(dir, text, env...)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v\n%v", err, warnings)
	}
	return c
}

func TestParse(t *testing.T) {
	dir := secrets(t)
	got := parsed(t, dir, `
repository: /backups/redis
listen: off
timezone: Europe/Berlin
discover: off
concurrency: 3
log: {level: debug, format: json}
status: {user: admin, password_file: DIR/page}
notify: {urls_file: DIR/urls, on: [failure, success]}
sources:
  - {name: sessions, container: redis-server, schedule: "@hourly", ping_url: "https://hc-ping.com/uuid"}
  - {container: cache, retention: off, tags: [], password_file: off, tls: false, jitter: auto, verify: every 7, drill: off, timeout: off, ping_url_file: DIR/ping, address: "cache:6379"}
defaults:
  schedule: "15 3 * * *"
  jitter: 30s
  overdue_after: 2d
  method: rdb,aof
  no_rewrite: true
  compression: zstd
  verify: never
  drill: 1w
  retention: {last: 3, hourly: 1, daily: 7, weekly: 4, monthly: 2, yearly: 5, within: 1d12h, tags: [keep]}
  tags: [nightly]
  timeout: 2h
  lock_wait: 1m
  username: backup
  password_file: DIR/password
  tls: true
  tls_ca: DIR/ca.pem
  tls_cert: DIR/cert.pem
  tls_key: DIR/key.pem
  tls_server_name: redis.internal
  tls_insecure: false
`)
	in := func(name string) string { return filepath.Join(dir, name) }
	defaults := Settings{
		Schedule: "15 3 * * *", Jitter: 30 * time.Second, OverdueAfter: 2 * day,
		Method: "rdb,aof", NoRewrite: true, Compression: snapshot.Zstd, Tags: []string{"nightly"}, Timeout: 2 * time.Hour, LockWait: time.Minute,
		Verify: 0, Drill: 7 * day,
		Retention: retention.Policy{Last: 3, Hourly: 1, Daily: 7, Weekly: 4, Monthly: 2, Yearly: 5, Within: 36 * time.Hour, Tags: []string{"keep"}},
		Username:  "backup", Password: Secret{file: in("password")},
		TLS: TLS{On: true, CA: in("ca.pem"), Cert: in("cert.pem"), Key: in("key.pem"), ServerName: "redis.internal"},
	}
	first, second := defaults, defaults
	first.Schedule = "@hourly"
	second.Retention, second.Tags, second.Username, second.Password, second.TLS = retention.Policy{}, nil, "", Secret{}, TLS{}
	second.Jitter, second.Verify, second.Drill, second.Timeout = Auto, 7, 0, 0
	url := "https://hc-ping.com/uuid"
	want := &Config{
		Repository: "/backups/redis", Timezone: "Europe/Berlin", Concurrency: 3, Log: Log{"debug", "json"},
		Status: Status{"admin", Secret{file: in("page")}, nil}, Notify: Notify{Secret{file: in("urls")}, []Event{Failure, Success}}, Defaults: defaults,
		Sources: []Source{
			{Name: "sessions", Container: "redis-server", Settings: first, Ping: Secret{value: &url, from: "sources[0].ping_url"}},
			{Name: "cache", Container: "cache", Address: "cache:6379", Settings: second, Ping: Secret{file: in("ping")}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%v\nwant:\n%v", got, want)
	}
	for secret, text := range map[Secret]string{got.Defaults.Password: "pass", got.Sources[0].Ping: url, got.Sources[1].Ping: url} {
		if is, err := secret.Read(); err != nil || is != text {
			t.Errorf("%s: %q %v", secret, is, err)
		}
	}
}

// An option goes before a variable, a variable before the file, the file before
// the default; the sources begin as what comes out.
func TestPrecedence(t *testing.T) {
	const file = "listen: :2\nsources: [{container: a}]\ndefaults: {retention: {last: 2}, tags: [file], compression: none}"
	in := Input{Text: []byte(file), CheckSchedule: testSchedule,
		Env: []string{"REDISBAK_LISTEN=127.0.0.1:3", "REDISBAK_DEFAULTS_RETENTION=daily=3", "REDISBAK_DEFAULTS_TAGS=a, b", "REDISBAK_TIMEZONE=UTC", "REDISBAK_CONCURRENCY="}}
	c, _, err := Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	d := c.Sources[0].Settings
	if c.Listen != "127.0.0.1:3" || c.Concurrency != 2 || !reflect.DeepEqual(d.Retention, retention.Policy{Daily: 3}) || !slices.Equal(d.Tags, []string{"a", "b"}) || d.Compression != snapshot.None || d.Schedule != "15 3 * * *" {
		t.Errorf("the environment: %v", c)
	}
	in.Options = []Option{{"listen", "--listen", "localhost:4"}, {"repository", "--repo", "/r"}}
	c, _, err = Parse(in)
	if err != nil || c.Listen != "localhost:4" || c.Repository != "/r" || c.Timezone != "UTC" {
		t.Errorf("options: %v %v", c, err)
	}
	in.Options = []Option{{"listen", "--listen", "4"}, {"nothing", "--nothing", "x"}}
	_, _, err = Parse(in)
	if want := "--listen: listen: \"4\" is not HOST:PORT (like 127.0.0.1:9467, or :9467 for every address of the host)\n--nothing: no key is named nothing"; err == nil || err.Error() != want {
		t.Errorf("options: %v", err)
	}
}

// The variables of the other commands set defaults, and a password in one is as
// good as one in a file.
func TestShortVariables(t *testing.T) {
	dir := secrets(t)
	read := func(c *Config) string {
		text, err := c.Sources[0].Password.Read()
		if err != nil {
			t.Fatal(err)
		}
		return c.Sources[0].Username + ":" + text
	}
	const file = "sources: [{container: a}]\ndefaults: {username: file, password_file: DIR/ping}"
	for _, tt := range []struct {
		env  string
		want string
	}{
		{"", "file:https://hc-ping.com/uuid"},
		{"REDISBAK_USERNAME=u", "u:https://hc-ping.com/uuid"},
		{"REDISBAK_PASSWORD_FILE=DIR/password", "file:pass"},
		{"REDISBAK_PASSWORD_FILE=DIR/password REDISBAK_PASSWORD=direct", "file:direct"},
		{"REDISBAK_DEFAULTS_PASSWORD_FILE=DIR/page REDISBAK_PASSWORD=direct REDISBAK_DEFAULTS_USERNAME=d REDISBAK_USERNAME=u", "d:word"},
	} {
		if got := read(parsed(t, dir, file, strings.Fields(tt.env)...)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.env, got, tt.want)
		}
	}
}

// A variable says the same as its key in the file.
func TestEveryVariableIsItsKey(t *testing.T) {
	dir := secrets(t)
	seen := map[string]bool{}
	for _, k := range keys(builtin().fields(), "") {
		name := variable(k.path)
		all, env := samples(k.path), []string{"REDISBAK_STATUS_USER=x", "REDISBAK_STATUS_PASSWORD_FILE=DIR/page"}
		if below, ok := strings.CutPrefix(k.path, "defaults."); ok {
			all = settingSamples(below)
			env = []string{"REDISBAK_DEFAULTS_TLS=true", "REDISBAK_DEFAULTS_TLS_CERT=DIR/cert.pem", "REDISBAK_DEFAULTS_TLS_KEY=DIR/key.pem", "REDISBAK_PASSWORD=p"}
			if below == "tls" {
				env = nil
			}
		}
		if seen[name] || len(all) < 2 {
			t.Errorf("%s: twice, or without samples", k.path)
		}
		seen[name] = true
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		const source = "sources: [{container: a, address: 'a:1'}]\n"
		alone := env
		if strings.HasPrefix(k.path, "status.") || strings.HasPrefix(k.path, "defaults.tls_") {
			alone = nil // half of a pair is refused
		}
		without := parsedQuietly(t, dir, source, alone...)
		for _, sample := range all[1:] {
			c := parsedQuietly(t, dir, source, append(slices.Clone(env), name+"="+sample)...)
			if reflect.DeepEqual(c, without) {
				t.Errorf("%s=%s changes nothing", name, sample)
			}
			text := value(builtin().fields(), k.path, sample)
			section, key, below := strings.Cut(k.path, ".")
			if below {
				text = "{" + key + ": " + text + "}"
			}
			rest := env
			if k.path == "defaults.password_file" {
				rest = env[:3] // REDISBAK_PASSWORD would go before the file
			}
			if inFile := parsedQuietly(t, dir, source+section+": "+text, rest...); !reflect.DeepEqual(c, inFile) {
				t.Errorf("%s=%s is\n%v\nand in the file it is\n%v", name, sample, c, inFile)
			}
		}
	}
}

// parsedQuietly is the Config of a text that must be right, whatever the
// warnings.
func parsedQuietly(t *testing.T, dir, text string, env ...string) *Config {
	t.Helper()
	c, _, err := parseIn(dir, text, slices.Clone(env)...)
	if err != nil {
		t.Fatalf("%s %v: %v", text, env, err)
	}
	return c
}

func TestWarnings(t *testing.T) {
	dir := secrets(t)
	for _, tt := range []struct{ name, text, env, want string }{
		{"variable", "", "REDISBAK_TIMEZON=UTC", "REDISBAK_TIMEZON: no such variable: it changes nothing (did you mean REDISBAK_TIMEZONE?)"},
		{"variable like nothing", "", "REDISBAK_PORT_6379_TCP=10.0.0.1", "REDISBAK_PORT_6379_TCP: no such variable: it changes nothing"},
		{"variable of the sources", "", "REDISBAK_SOURCES=a", "REDISBAK_SOURCES: sources are in the file, or found by their labels"},
		{"others' variables", "", "REDISBAKER=x PATH=/bin REDISBAK_CONFIG=/c REDISBAK_REPO=/r", ""},
		{"open secret", "defaults: {password_file: DIR/open}", "", "redisbak.yaml:1:27: defaults.password_file: everybody on the host can read the file DIR/open (chmod o= DIR/open)"},
		{"listen", "listen: :1", "", "redisbak.yaml:1:9: listen: everybody who reaches :1 can read the page and the metrics (listen on 127.0.0.1, or give status.user and status.password_file)"},
		{"listen by variable", "", "REDISBAK_LISTEN=0.0.0.0:1", "REDISBAK_LISTEN: listen: everybody who reaches 0.0.0.0:1 can read the page and the metrics (listen on 127.0.0.1, or give status.user and status.password_file)"},
		{"listen with a password", "listen: :1\nstatus: {user: a, password_file: DIR/page}", "", ""},
		{"listen on loopback", "listen: '[::1]:1'", "REDISBAK_LISTEN=localhost:1", ""},
		{"nobody to tell", "notify: {on: [success]}", "", "redisbak.yaml:1:14: notify.on: nobody is told: there is no notify.urls_file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings, err := parseIn(dir, tt.text, strings.Fields(tt.env)...)
			var got []string
			for _, w := range warnings {
				got = append(got, strings.ReplaceAll(w.String(), dir, "DIR"))
			}
			if err != nil || strings.Join(got, "\n") != tt.want {
				t.Errorf("got  %s (%v)\nwant %s", strings.Join(got, "\n"), err, tt.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "redisbak.yaml")
	for _, tt := range []struct{ path, want string }{
		{path, path + ": is not there"},
		{filepath.Dir(path), filepath.Dir(path) + ": is a directory"},
	} {
		var all *Error
		if _, _, err := Load(tt.path, Input{}); !errors.As(err, &all) || err.Error() != tt.want {
			t.Errorf("%s: %v", tt.path, err)
		}
	}
	if err := os.WriteFile(path, []byte("\nconcurrency: 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, _, err := Load(path, Input{}); err != nil || c.Concurrency != 7 {
		t.Errorf("%v %v", c, err)
	}
	if c, _, err := Load("", Input{Env: []string{"REDISBAK_CONCURRENCY=8"}}); err != nil || c.Concurrency != 8 {
		t.Errorf("no file: %v %v", c, err)
	}
	if err := os.WriteFile(path, []byte("\nlisen: x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(path, Input{}); err == nil || err.Error() != path+":2:1: lisen: no such key (did you mean listen?)" {
		t.Errorf("%v", err)
	}
	if _, _, err := Load("/dev/zero", Input{}); err == nil || err.Error() != "/dev/zero: is larger than 1 MiB: that is no configuration" {
		t.Errorf("a device: %v", err)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"schedule", "jitter", "tags", "tls", "tls_ca"}
	for mistyped, want := range map[string]string{
		"shedule": "schedule", "schedul": "schedule", "shcedule": "schedule", "Schedule": "schedule", "sched": "", "jiter": "jitter", "tag": "tags",
		"tl": "tls", "x": "", "": "", "tls_c": "tls_ca", strings.Repeat("schedule", 100): "",
	} {
		if got := nearest(mistyped, words); got != want {
			t.Errorf("%s: %q, want %q", mistyped, got, want)
		}
	}
	for _, d := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"ture", "true", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}} {
		if got := distance(d.a, d.b); got != d.want || distance(d.b, d.a) != d.want {
			t.Errorf("%s, %s: %d, want %d", d.a, d.b, got, d.want)
		}
	}
}

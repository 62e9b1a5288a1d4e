package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// No way to print a configuration prints a secret of it.
func TestSecretsAreNeverPrinted(t *testing.T) {
	const canary = "cAnArY"
	dir := secrets(t)
	path := filepath.Join(dir, "mine")
	if err := os.WriteFile(path, []byte("https://ping.example/"+canary), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := parseIn(dir, `
status: {user: a, password_file: DIR/mine}
notify: {urls_file: DIR/mine}
sources:
- {container: a, ping_url: "https://ping.example/`+canary+`"}
- {container: b, ping_url_file: DIR/mine, password_file: DIR/mine}
`, "REDISBAK_PASSWORD="+canary)
	if err != nil {
		t.Fatal(err)
	}
	type unexported struct{ hidden Secret }
	var out bytes.Buffer
	for _, v := range []any{c, *c, c.Sources, c.Sources[0], &c.Sources[0], c.Defaults, c.Defaults.Password, &c.Defaults.Password, c.Status, c.Notify, []Secret{c.Sources[0].Ping}, map[Secret]int{c.Sources[0].Ping: 1}, unexported{c.Sources[0].Ping}, warnings} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%8.3v"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if text, err := yaml.Marshal(v); err == nil {
			out.Write(text)
		}
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("config", "c", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "c", v)
	}
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%s is printed", form)
		}
	}
	for _, want := range []string{"(from " + path + ")", "(hidden, from REDISBAK_PASSWORD)", "(hidden, from sources[0].ping_url)", "ping_url: (hidden)", "ping_url_file: " + path} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nowhere: %s", want)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, c.Sources[0].Ping); got != "(hidden, from sources[0].ping_url)" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	for name, marshal := range map[string]func(any) ([]byte, error){"YAML": yaml.Marshal, "JSON": json.Marshal} {
		if text, err := marshal(c.Sources[0].Ping); err != nil || !strings.Contains(string(text), "(hidden, from sources[0].ping_url)") {
			t.Errorf("%s: %s %v", name, text, err)
		}
	}
	for _, s := range []Secret{c.Defaults.Password, c.Sources[0].Ping, c.Sources[1].Ping, c.Sources[1].Password, c.Status.Password, c.Notify.URLs} {
		if text, err := s.Read(); err != nil || !strings.HasSuffix(text, canary) || !s.Set() {
			t.Errorf("%v: %v", s, err)
		}
	}

	// What was shown tells nobody, and says so when it is read.
	_, _, err = parseIn(dir, c.String(), "REDISBAK_PASSWORD="+canary)
	if err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), "sources[0].ping_url: was hidden by redisbak config show") {
		t.Errorf("%v", err)
	}
}

// Wherever a secret is put by mistake, no message repeats it.
func TestMisplacedSecretsAreNotRepeated(t *testing.T) {
	const canary = "cAnArY"
	for _, form := range []string{canary, "/" + canary, "*" + canary, "&" + canary + " x", "!" + canary, "!!int " + canary, "!a!" + canary, "@" + canary, "`" + canary, "%" + canary, "{" + canary, "[" + canary + "]", "\"" + canary,
		"'" + canary, canary + ": " + canary, "{password: " + canary + "}", "| \n " + canary, "\"\\q" + canary + "\"", "https://u:" + canary + "@h:x/", "h ttps://" + canary, "\"\\e" + canary + "\""} {
		for _, place := range []string{"defaults: {password: %s}", "defaults: {password_file: %s}", "notify: {urls_file: %s}", "notify: {urls: %s}", "status: {user: a, password_file: %s}",
			"sources: [{container: a, ping_url: %s}]", "sources: [{container: a, address: %s}]", "sources:\n- container: a\n  ping_url_file: %s", "defaults:\n  password_file: %s", "defaults: {tls: true, tls_key: %s}", "password: %s"} {
			_, warnings, err := parseIn(t.TempDir(), fmt.Sprintf(place, form))
			if err == nil || strings.Contains(fmt.Sprint(err, warnings), canary) {
				// The text of a key is told: it is what was mistyped.
				if err == nil || !strings.Contains(form, canary+": ") && !strings.HasPrefix(form, "{"+canary) {
					t.Errorf(place+"\n%v %v", form, err, warnings)
				}
			}
		}
		for _, variable := range []string{"REDISBAK_PASSWORD_FILE", "REDISBAK_DEFAULTS_PASSWORD_FILE", "REDISBAK_NOTIFY_URLS_FILE", "REDISBAK_STATUS_PASSWORD_FILE", "REDISBAK_PASWORD"} {
			_, warnings, err := parseIn(t.TempDir(), "", variable+"="+form)
			if strings.Contains(fmt.Sprint(err, warnings), canary) || err == nil && len(warnings) == 0 {
				t.Errorf("%s=%s: %v %v", variable, form, err, warnings)
			}
		}
		for _, label := range []string{"password", "password-file", "ping-url", "ping-url-file", "address", "tls-key", "pasword"} {
			_, _, warnings, err := FromLabels("c", map[string]string{"redisbak." + label: form}, Settings{}, nil)
			if err == nil || strings.Contains(fmt.Sprint(err, warnings), canary) {
				t.Errorf("%s=%s: %v %v", label, form, err, warnings)
			}
		}
	}
}

// A secret is read when it is used, as its file has it then.
func TestSecretIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	s := Secret{file: path}
	for _, tt := range []struct{ text, want, err string }{
		{"one\n", "one", ""}, {"two\r\n", "two", ""}, {" spaced ", " spaced ", ""}, {"a\nb\n", "a\nb", ""},
		{"\n", "", "secret file " + path + ": is empty"}, {"\xff", "", "secret file " + path + ": is not text"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := s.Read()
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%q: %q %v", tt.text, got, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(); err == nil || err.Error() != "secret file "+path+": is not there" {
		t.Errorf("%v", err)
	}
}

package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEnvironmentReadsWhatTheDockerCommandReads(t *testing.T) {
	vars := map[string]string{
		"DOCKER_HOST": "tcp://h", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c", "DOCKER_CONTEXT": "x", "HOME": "/home/u",
	}
	got := Environment(func(name string) string { return vars[name] })
	want := Env{Host: "tcp://h", TLSVerify: "1", CertPath: "/c", Context: "x", ConfigDir: "/home/u/.docker"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	vars["DOCKER_CONFIG"] = "/etc/docker-config"
	if got := Environment(func(name string) string { return vars[name] }); got.ConfigDir != "/etc/docker-config" {
		t.Errorf("configuration is %q", got.ConfigDir)
	}
}

func TestHostsOfSupportedKinds(t *testing.T) {
	tests := map[string]struct {
		url   string
		local bool
	}{
		"unix:///run/user/1000/docker.sock": {"http://docker.localhost", true},
		"tcp://10.0.0.1":                    {"tcp://10.0.0.1:2375", false},
		"tcp://[::1]:99/prefix":             {"tcp://[::1]:99/prefix", false},
		"ssh://ops@backup.example:2222":     {"http://docker.localhost", false},
	}
	for host, want := range tests {
		got, err := parseHost(host, certificates{})
		if err != nil || got.url != want.url || got.local != want.local || got.name != host || got.dial == nil {
			t.Errorf("%s: %+v, %v", host, got, err)
		}
	}
	if got, err := parseHost("tcp://10.0.0.1", certificates{use: true, dir: t.TempDir()}); err != nil || got.url != "tcp://10.0.0.1:2376" {
		t.Errorf("with TLS: %+v, %v", got, err)
	}
}

func TestHostsOfOtherKindsAreRefusedByName(t *testing.T) {
	for _, host := range []string{
		"http://h:2375", "https://h:2376", "npipe:////./pipe/docker_engine", "fd://", "unix://", "unix://relative.sock",
		"/var/run/docker.sock", "localhost", "tcp://", "tcp://:2375", "tcp://h:port", "ssh://", "ssh://-oProxyCommand=x",
		"ssh://h?x=y", "vsock://3",
	} {
		_, err := parseHost(host, certificates{})
		bad := (*HostError)(nil)
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if !strings.Contains(err.Error(), host) {
			t.Errorf("%s is not named: %v", host, err)
		}
	}
}

func TestPasswordInAHostIsNotRepeated(t *testing.T) {
	for _, host := range []string{"ssh://u:canary@h", "tcp://u:canary@h:2375", "ssh://u:canary@%zz", "tcp://u:canary@h:port"} {
		_, err := parseHost(host, certificates{})
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestSSHArguments(t *testing.T) {
	for host, want := range map[string]string{
		"ssh://h":                     "-o ConnectTimeout=30 -T -- h docker system dial-stdio",
		"ssh://ops@h:2222":            "-o ConnectTimeout=30 -T -l ops -p 2222 -- h docker system dial-stdio",
		"ssh://h/run/user/9/d.sock":   "-o ConnectTimeout=30 -T -- h docker --host unix:///run/user/9/d.sock system dial-stdio",
		"ssh://ops@[2001:db8::1]:22/": "-o ConnectTimeout=30 -T -l ops -p 22 -- 2001:db8::1 docker system dial-stdio",
	} {
		args := filepath.Join(t.TempDir(), "args")
		fakeSSH(t, args, "")
		target, err := parseHost(host, certificates{})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		conn, err := target.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || err.Error() != "ssh: ssh: connect to host nowhere: no route" {
			t.Errorf("%s: read gives %v", host, err)
		}
		conn.Close()
		if got, _ := os.ReadFile(args); string(got) != want {
			t.Errorf("%s: ssh %s", host, got)
		}
	}
}

// fakeSSH puts a program of that name first in the path.
func fakeSSH(t *testing.T, args, socket string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(bin, "ssh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv(sshChild, args)
	t.Setenv(sshSocket, socket)
}

// writeContext stores a context as the docker command does.
func writeContext(t *testing.T, config, name, meta string) (tls string) {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	dir := filepath.Join(config, "contexts", "meta", id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "meta.json"), []byte(meta), 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(config, "contexts", "tls", id, "docker")
}

func TestContextIsHonouredInItsPlace(t *testing.T) {
	config := t.TempDir()
	writeContext(t, config, "remote", `{"Name":"remote","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://ops@far","SkipTLSVerify":false}}}`)
	writeContext(t, config, "rootless", `{"Name":"rootless","Endpoints":{"docker":{"Host":"unix:///run/user/9/docker.sock"}}}`)
	current := func(text string) {
		if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, env Env, want string) {
		t.Helper()
		env.ConfigDir = config
		if got, err := env.resolve(); err != nil || got.name != want {
			t.Errorf("%s: %q, %v, want %q", what, got.name, err, want)
		}
	}
	check("no configuration file", Env{}, defaultHost)
	current(`{"auths":{}}`)
	check("no current context", Env{}, defaultHost)
	current(`{"currentContext":"rootless"}`)
	check("current context", Env{}, "unix:///run/user/9/docker.sock")
	check("context before current one", Env{Context: "remote"}, "ssh://ops@far")
	check("host before context", Env{Context: "remote", Host: "tcp://h"}, "tcp://h")
	check("default is no context", Env{Context: "default"}, defaultHost)
}

func TestContextThatCannotBeUsedIsRefusedByName(t *testing.T) {
	config := t.TempDir()
	for name, meta := range map[string]string{
		"pipe": `{"Endpoints":{"docker":{"Host":"npipe:////./pipe/x"}}}`, "cloud": `{"Endpoints":{"kubernetes":{"Host":"https://k"}}}`, "torn": `{"Endp`,
	} {
		writeContext(t, config, name, meta)
	}
	for _, name := range []string{"pipe", "cloud", "torn", "unknown", "../evil"} {
		_, err := Env{Context: name, ConfigDir: config}.resolve()
		bad := (*HostError)(nil)
		if !errors.As(err, &bad) || bad.What != "context" || bad.Name != name {
			t.Errorf("context %s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"currentContext":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Env{ConfigDir: config}).resolve(); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("torn configuration: %v", err)
	}
	if _, err := (Env{ConfigDir: config, Host: "tcp://h"}).resolve(); err != nil {
		t.Errorf("a host needs no configuration: %v", err)
	}
}

package docker

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const defaultHost = "unix:///var/run/docker.sock"

// Env is what says which engine is meant, as the docker command reads it. Host
// wins over Context, and Context over the current one of the configuration.
type Env struct {
	Host      string // DOCKER_HOST
	TLSVerify string // DOCKER_TLS_VERIFY: anything but empty turns TLS on
	CertPath  string // DOCKER_CERT_PATH; ConfigDir where it is empty
	Context   string // DOCKER_CONTEXT
	ConfigDir string // DOCKER_CONFIG, else ~/.docker; empty: no configuration

	// Idle replaces the time without progress after which a call or a stream
	// is given up.
	Idle time.Duration
}

// Environment reads an Env by a function like os.Getenv.
func Environment(getenv func(string) string) Env {
	env := Env{
		Host:      getenv("DOCKER_HOST"),
		TLSVerify: getenv("DOCKER_TLS_VERIFY"),
		CertPath:  getenv("DOCKER_CERT_PATH"),
		Context:   getenv("DOCKER_CONTEXT"),
		ConfigDir: getenv("DOCKER_CONFIG"),
	}
	if home := getenv("HOME"); env.ConfigDir == "" && home != "" {
		env.ConfigDir = filepath.Join(home, ".docker")
	}
	return env
}

// target is an engine's address, understood.
type target struct {
	name  string // for messages
	url   string // for the client
	local bool
	dial  dialer
}

// certificates says where TLS material is, and whether it is wanted at all.
type certificates struct {
	use, skipVerify bool
	dir             string
}

func (env Env) resolve() (target, error) {
	if env.Host != "" {
		return parseHost(env.Host, env.certificates())
	}
	name, err := env.contextName()
	if err != nil {
		return target{}, err
	}
	if name == "" || name == "default" {
		return parseHost(defaultHost, env.certificates())
	}
	return env.fromContext(name)
}

func (env Env) certificates() certificates {
	dir := env.CertPath
	if dir == "" {
		dir = env.ConfigDir
	}
	return certificates{use: env.TLSVerify != "", dir: dir}
}

// contextName is the name of the context in use, empty for none.
func (env Env) contextName() (string, error) {
	if env.Context != "" || env.ConfigDir == "" {
		return env.Context, nil
	}
	path := filepath.Join(env.ConfigDir, "config.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", &HostError{What: "configuration", Name: path, Reason: err.Error()}
	}
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", &HostError{What: "configuration", Name: path, Reason: err.Error()}
	}
	return config.CurrentContext, nil
}

// fromContext reads a context as the docker command has stored it: under the
// hash of its name.
func (env Env) fromContext(name string) (target, error) {
	refuse := func(format string, args ...any) (target, error) {
		return target{}, &HostError{What: "context", Name: name, Reason: fmt.Sprintf(format, args...)}
	}
	if env.ConfigDir == "" {
		return refuse("no docker configuration directory")
	}
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	text, err := os.ReadFile(filepath.Join(env.ConfigDir, "contexts", "meta", id, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return refuse("no such context in %s", env.ConfigDir)
	}
	if err != nil {
		return refuse("%v", err)
	}
	var meta struct {
		Endpoints map[string]struct {
			Host          string
			SkipTLSVerify bool
		}
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return refuse("%v", err)
	}
	endpoint, ok := meta.Endpoints["docker"]
	if !ok {
		return refuse("it has no docker endpoint")
	}
	if endpoint.Host == "" {
		endpoint.Host = defaultHost
	}
	certs := certificates{skipVerify: endpoint.SkipTLSVerify, dir: filepath.Join(env.ConfigDir, "contexts", "tls", id, "docker")}
	if _, err := os.Stat(certs.dir); err == nil {
		certs.use = true
	}
	t, err := parseHost(endpoint.Host, certs)
	if bad := (*HostError)(nil); errors.As(err, &bad) {
		return refuse("%s: %s", bad.Name, bad.Reason)
	}
	return t, err
}

// parseHost understands the kinds of address that redisbak reaches an engine
// by, and refuses the others by name.
func parseHost(host string, certs certificates) (target, error) {
	kind, addr, ok := strings.Cut(host, "://")
	if !ok || addr == "" {
		return target{}, &HostError{Name: host, Reason: "not of the form unix://, tcp:// or ssh://"}
	}
	switch kind {
	case "unix":
		if !filepath.IsAbs(addr) {
			return target{}, &HostError{Name: host, Reason: "the socket's path is not absolute"}
		}
		return target{name: host, url: "http://" + dummyHost, local: true, dial: dialNet("unix", addr)}, nil
	case "tcp":
		return parseTCP(host, certs)
	case "ssh":
		return parseSSH(host)
	}
	return target{}, &HostError{Name: host, Reason: kind + " is not supported; unix, tcp and ssh are"}
}

// dummyHost fills the Host header where there is no host name.
const dummyHost = "docker.localhost"

func parseTCP(host string, certs certificates) (target, error) {
	u, err := url.Parse(host)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" {
		return target{}, &HostError{Name: redact(host), Reason: "not of the form tcp://host:port"}
	}
	port := u.Port()
	if port == "" {
		port = "2375"
		if certs.use {
			port = "2376"
		}
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	t := target{name: host, url: "tcp://" + addr + u.Path, dial: dialNet("tcp", addr)}
	if certs.use {
		config, err := certs.config(u.Hostname())
		if err != nil {
			return target{}, &HostError{Name: host, Reason: err.Error()}
		}
		t.dial = dialTLS(addr, config)
	}
	return t, nil
}

// redact keeps a password in an address out of messages.
func redact(host string) string {
	kind, rest, _ := strings.Cut(host, "://")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = "…" + rest[i:]
	}
	return kind + "://" + rest
}

// config reads ca.pem, cert.pem and key.pem, each of them optional as the
// docker command has it.
func (c certificates) config(serverName string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName, InsecureSkipVerify: c.skipVerify}
	ca, err := os.ReadFile(filepath.Join(c.dir, "ca.pem"))
	switch {
	case err == nil:
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("no certificate in %s", filepath.Join(c.dir, "ca.pem"))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.dir, "cert.pem"), filepath.Join(c.dir, "key.pem"))
	switch {
	case err == nil:
		config.Certificates = []tls.Certificate{pair}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	return config, nil
}

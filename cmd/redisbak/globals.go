package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // a static binary on a host without zone files must know them

	"github.com/spf13/pflag"

	"github.com/redisbak/redisbak/internal/instance"
)

// globals are the options that every command has.
type globals struct {
	repo         string
	username     string
	passwordFile string
	address      string
	tls          tlsOptions
	source       string
	tz           string
	timeoutText  string
	lockWaitText string
	quiet        bool
	verbose      bool
	noProgress   bool

	// Resolved.
	password    string
	repoDefault bool // repo is the default path
	timeout     time.Duration
	lockWait    time.Duration
	zone        *time.Location
}

type tlsOptions struct {
	on         bool
	ca         string
	cert       string
	key        string
	serverName string
	insecure   bool
}

func (g *globals) addFlags(f *pflag.FlagSet) {
	f.StringVar(&g.repo, "repo", "", "repository `DIR` (env REDISBAK_REPO; default "+rootRepo+" for root, else $XDG_DATA_HOME/redisbak)")
	f.StringVar(&g.username, "username", "", "ACL user at the server (env REDISBAK_USERNAME)")
	f.StringVar(&g.passwordFile, "password-file", "", "`FILE` with the password, may be a pipe (env REDISBAK_PASSWORD_FILE, or REDISBAK_PASSWORD itself)")
	f.StringVar(&g.address, "address", "", "reach the server at `HOST:PORT` instead of through its container")
	f.BoolVar(&g.tls.on, "tls", false, "speak TLS to the server")
	f.StringVar(&g.tls.ca, "tls-ca", "", "`FILE` with the certificates to trust")
	f.StringVar(&g.tls.cert, "tls-cert", "", "`FILE` with the client certificate")
	f.StringVar(&g.tls.key, "tls-key", "", "`FILE` with the client key")
	f.StringVar(&g.tls.serverName, "tls-server-name", "", "`NAME` that the server's certificate must have")
	f.BoolVar(&g.tls.insecure, "tls-insecure", false, "do not check the server's certificate")
	f.StringVar(&g.source, "source", "", "`NAME` of the source in the repository (default: label redisbak.name, else the container's name)")
	f.StringVar(&g.tz, "tz", "", "time `ZONE` of dates (default: TZ, else the host's)")
	f.StringVar(&g.timeoutText, "timeout", "", "end the whole command after `D` (default: none)")
	f.StringVar(&g.lockWaitText, "lock-wait", "", "wait up to `D` for a lock (default: not at all)")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "say nothing but warnings and errors")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "say more")
	f.BoolVar(&g.noProgress, "no-progress", false, "draw no progress bars")
}

// rootRepo is the repository's default place for root.
const rootRepo = "/var/lib/redisbak"

// resolve fills what was not given from the environment and reads the password
// once.
func (g *globals) resolve(getenv func(string) string) error {
	fill := func(value *string, env string) {
		if *value == "" {
			*value = getenv(env)
		}
	}
	fill(&g.repo, "REDISBAK_REPO")
	fill(&g.username, "REDISBAK_USERNAME")
	if g.passwordFile == "" {
		g.password = getenv("REDISBAK_PASSWORD")
	}
	if g.password == "" {
		fill(&g.passwordFile, "REDISBAK_PASSWORD_FILE")
	}
	if g.repo == "" {
		g.repo, g.repoDefault = defaultRepo(getenv), true
	}
	return g.parse(getenv)
}

func (g *globals) parse(getenv func(string) string) (err error) {
	if g.timeout, err = optionalDuration("--timeout", g.timeoutText); err != nil {
		return err
	}
	if g.lockWait, err = optionalDuration("--lock-wait", g.lockWaitText); err != nil {
		return err
	}
	if g.address != "" {
		if _, _, err := net.SplitHostPort(g.address); err != nil {
			return usagef("--address %q: not HOST:PORT", g.address)
		}
	}
	g.zone, err = zone(g.tz, getenv("TZ"))
	return err
}

func optionalDuration(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := parseDuration(text)
	if err != nil {
		return 0, usagef("%s %q: %v", flag, text, err)
	}
	return d, nil
}

// zone is the time zone of the dates that people type and read.
func zone(flag, env string) (*time.Location, error) {
	name, from := flag, "--tz"
	if name == "" {
		name, from = env, "TZ"
	}
	if name == "" || name == "Local" {
		return time.Local, nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, usagef("%s %q: no such time zone", from, name)
	}
	return z, nil
}

func defaultRepo(getenv func(string) string) string {
	if os.Geteuid() == 0 {
		return rootRepo
	}
	data := getenv("XDG_DATA_HOME")
	if data == "" {
		data = filepath.Join(getenv("HOME"), ".local", "share")
	}
	return filepath.Join(data, "redisbak")
}

// access reads the password and the certificates: only commands that talk to a
// server do.
func (g *globals) access() (instance.Access, error) {
	a := instance.Access{Address: g.address, Username: g.username, Password: g.password}
	if g.passwordFile != "" {
		text, err := os.ReadFile(g.passwordFile)
		if err != nil {
			return a, usagef("--password-file: %v", err)
		}
		a.Password = string(bytes.TrimRight(text, "\r\n"))
		// A pipe can be read only once; later sources get the same.
		g.password, g.passwordFile = a.Password, ""
	}
	if a.Username != "" && a.Password == "" {
		return a, usagef("--username %q without a password: give --password-file", a.Username)
	}
	var err error
	if g.tls.on {
		a.TLS, err = g.tls.config(g.address)
	}
	return a, err
}

func (t tlsOptions) config(address string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.serverName, InsecureSkipVerify: t.insecure}
	if c.ServerName == "" && address != "" {
		c.ServerName, _, _ = net.SplitHostPort(address)
	}
	if c.ServerName == "" && !t.insecure {
		return nil, usagef("--tls: give --tls-server-name (the server is not reached by a name), or --tls-insecure")
	}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, usagef("--tls-ca: %v", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("--tls-ca %q: holds no certificate", t.ca)
		}
	}
	if t.cert != "" || t.key != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, usagef("--tls-cert, --tls-key: %v", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// usageError is a command line that cannot be meant.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

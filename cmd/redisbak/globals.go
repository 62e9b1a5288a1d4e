package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // a static binary on a host without zone files must know them

	"github.com/spf13/pflag"

	"github.com/redisbak/redisbak/internal/config"
	"github.com/redisbak/redisbak/internal/instance"
	"github.com/redisbak/redisbak/snapshot"
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
	passwordVia string // what names passwordFile
	repoDefault bool   // repo is the default path
	timeout     time.Duration
	lockWait    time.Duration
	zone        *time.Location
	zoneErr     error // TZ names no zone: zone is UTC, and no date can be understood
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
	f.StringVar(&g.username, "username", "", "ACL `USER` at the server (env REDISBAK_USERNAME)")
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
	g.passwordVia = "--password-file"
	if g.passwordFile == "" {
		g.password = getenv("REDISBAK_PASSWORD")
	}
	if g.password == "" && g.passwordFile == "" {
		g.passwordFile, g.passwordVia = getenv("REDISBAK_PASSWORD_FILE"), "REDISBAK_PASSWORD_FILE"
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
	if g.source != "" {
		if err := snapshot.ValidSourceName(g.source); err != nil {
			return &usageError{err: err}
		}
	}
	if err := g.tls.check(); err != nil {
		return err
	}
	if g.tz != "" {
		g.zone, err = time.LoadLocation(g.tz)
		if err != nil {
			return hinted(usagef("--tz %q: no such time zone", g.tz), "name one like Europe/Berlin or UTC")
		}
		return nil
	}
	g.zone, g.zoneErr = environmentZone(getenv("TZ"))
	return nil
}

func optionalDuration(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil {
		return 0, usagef("%s %q: %w", flag, text, err)
	}
	return d, nil
}

// environmentZone reads TZ as the C library does: the name of a zone or the
// path of its file, a colon before it or not. What cannot be understood is an
// error only where a date depends on it: a snapshot need not fail for that.
func environmentZone(tz string) (*time.Location, error) {
	name := strings.TrimPrefix(tz, ":")
	if name == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(name)
	if filepath.IsAbs(name) {
		var data []byte
		if data, err = os.ReadFile(name); err == nil {
			zone, err = time.LoadLocationFromTZData(name, data)
		}
	}
	if err != nil {
		return time.UTC, hinted(usagef("TZ %q: no such time zone", tz), "set TZ to one like Europe/Berlin or UTC, or give --tz")
	}
	return zone, nil
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
			return a, usagef("%s: %w", g.passwordVia, err)
		}
		a.Password = string(bytes.TrimRight(text, "\r\n"))
		if a.Password == "" {
			return a, usagef("%s: %s holds no password", g.passwordVia, g.passwordFile)
		}
		// A pipe can be read only once; later sources get the same.
		g.password, g.passwordFile = a.Password, ""
	}
	if a.Username != "" && a.Password == "" {
		return a, hinted(usagef("user %q without a password", a.Username), "give it: --password-file FILE, or REDISBAK_PASSWORD")
	}
	var err error
	if g.tls.on {
		a.TLS, err = g.tls.config(g.address)
	}
	return a, err
}

// check refuses what would be left out without a word.
func (t tlsOptions) check() error {
	switch {
	case !t.on && (t.ca != "" || t.cert != "" || t.key != "" || t.serverName != "" || t.insecure):
		return hinted(usagef("options of TLS without --tls: the server would be spoken to in the clear"), "add --tls")
	case (t.cert == "") != (t.key == ""):
		return usagef("--tls-cert and --tls-key belong together: one of them is missing")
	}
	return nil
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
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, usagef("--tls-cert, --tls-key: %v", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

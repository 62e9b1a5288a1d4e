package docker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConnectRefusesAnEngineThatIsTooOld(t *testing.T) {
	f := newFake(t)
	for _, version := range []string{"1.40", "1.24", ""} {
		f.handle("HEAD /_ping", pong(version))
		_, err := Connect(t.Context(), Env{Host: f.host()})
		old := (*VersionError)(nil)
		if !errors.As(err, &old) || old.API != version || !strings.Contains(err.Error(), "1.41") {
			t.Errorf("API %q: %v", version, err)
		}
	}
	for version, want := range map[string]string{"1.41": "1.41", "1.47": "1.47", "9.99": "1.51"} {
		f.handle("HEAD /_ping", pong(version))
		if e := f.connect(t); e.api.ClientVersion() != want {
			t.Errorf("API %s: speaks %s", version, e.api.ClientVersion())
		}
	}
	f.handle("HEAD /_ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Ostype", "windows")
	})
	bad := (*HostError)(nil)
	if _, err := Connect(t.Context(), Env{Host: f.host()}); !errors.As(err, &bad) || !strings.Contains(err.Error(), "windows") {
		t.Errorf("windows: %v", err)
	}
}

func TestConnectTellsWhyThereIsNoEngine(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone.sock")
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for host, why := range map[string]string{
		"unix://" + gone: "no such file", "unix://" + dead: "connection refused", "tcp://127.0.0.1:1": "connection refused",
	} {
		_, err := Connect(t.Context(), Env{Host: host})
		unreachable := (*UnreachableError)(nil)
		if !errors.As(err, &unreachable) || unreachable.Host != host || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// FAULT 23: a proxy that denies, an engine that hangs or breaks.
func TestConnectTellsWhatTheEngineDoes(t *testing.T) {
	f := newFake(t)
	denied, unreachable := (*DeniedError)(nil), (*UnreachableError)(nil)
	for _, status := range []int{401, 403} {
		f.handle("HEAD /_ping", refuses(status, "no entry"))
		f.handle("GET /_ping", refuses(status, "no entry"))
		if _, err := Connect(t.Context(), Env{Host: f.host()}); !errors.As(err, &denied) || denied.Endpoint != "GET /_ping" {
			t.Errorf("%d: %v", status, err)
		}
	}
	f.handle("HEAD /_ping", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if _, err := Connect(t.Context(), Env{Host: f.host(), Idle: 50 * time.Millisecond}); !errors.As(err, &unreachable) {
		t.Errorf("hang: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ctx, Env{Host: f.host()}); !errors.Is(err, context.Canceled) || errors.As(err, &unreachable) {
		t.Errorf("cancelled: %v", err)
	}
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	f.handle("HEAD /_ping", abort)
	f.handle("GET /_ping", abort)
	if _, err := Connect(t.Context(), Env{Host: f.host()}); !errors.As(err, &unreachable) || strings.Contains(err.Error(), "_ping") {
		t.Errorf("broken: %v", err)
	}
}

func TestCallsAreTypedErrors(t *testing.T) {
	f := newFake(t)
	e := f.connect(t)
	const path = "GET /volumes/v"
	denied, missing := (*DeniedError)(nil), (*NotFoundError)(nil)
	f.handle(path, refuses(403, "no entry"))
	if _, err := e.Volume(t.Context(), "v"); !errors.As(err, &denied) || denied.Endpoint != "GET /volumes/v" {
		t.Errorf("403: %v", err)
	}
	f.handle(path, refuses(404, "get v: no such volume"))
	if _, err := e.Volume(t.Context(), "v"); !errors.As(err, &missing) || *missing != (NotFoundError{"volume", "v"}) {
		t.Errorf("404: %v", err)
	}
	f.handle(path, refuses(500, "driver is broken"))
	if _, err := e.Volume(t.Context(), "v"); err == nil || err.Error() != "inspect volume v: driver is broken" {
		t.Errorf("500: %v", err)
	}
	f.handle(path, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	e.idle = 50 * time.Millisecond
	idle := (*IdleError)(nil)
	if _, err := e.Volume(t.Context(), "v"); !errors.As(err, &idle) || idle.After != e.idle {
		t.Errorf("hang: %v", err)
	}
	e.idle = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := e.Volume(ctx, "v"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("SIGINT received"))
	if _, err := e.Volume(ctx, "v"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled with a cause: %v", err)
	}
}

// Whatever the way to the engine, nothing asks for compression: the engine
// would gzip an archive.
func TestNoTransportAsksForCompression(t *testing.T) {
	encodings := make(chan string, 8)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		encodings <- strings.Join(r.Header["Accept-Encoding"], ",")
		pong("1.41")(w, r)
	})
	f := newFake(t)
	f.handle("HEAD /_ping", handler)
	tcp := httptest.NewServer(handler)
	defer tcp.Close()
	secure, certs := serveTLS(t, handler)
	fakeSSH(t, filepath.Join(t.TempDir(), "args"), f.socket)
	for _, env := range []Env{
		{Host: f.host()},
		{Host: "tcp://" + tcp.Listener.Addr().String()},
		{Host: "tcp://" + secure, TLSVerify: "1", CertPath: certs},
		{Host: "ssh://far"},
	} {
		e, err := Connect(t.Context(), env)
		if err != nil {
			t.Errorf("%s: %v", env.Host, err)
			continue
		}
		if got := <-encodings; got != "identity" {
			t.Errorf("%s: Accept-Encoding %q", env.Host, got)
		}
		if e.tr.Proxy != nil || !e.tr.DisableCompression {
			t.Errorf("%s: transport %+v", env.Host, e.tr)
		}
		if e.Local() != strings.HasPrefix(env.Host, "unix://") {
			t.Errorf("%s: local is %t", env.Host, e.Local())
		}
		e.Close()
	}
	wrong := Env{Host: "tcp://" + secure, TLSVerify: "1", CertPath: t.TempDir()}
	unreachable := (*UnreachableError)(nil)
	if _, err := Connect(t.Context(), wrong); !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
}

// serveTLS asks its clients for a certificate of the authority that it has
// written, with one of theirs, into a directory.
func serveTLS(t *testing.T, h http.Handler) (addr, certs string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certs = t.TempDir()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{
		"ca.pem": cert, "cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(filepath.Join(certs, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), certs
}

func TestSSHConnectionHasDeadlinesAndEnds(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fakeSSH(t, filepath.Join(t.TempDir(), "args"), l.Addr().String())
	target, err := parseHost("ssh://far", certificates{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := target.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	conn.SetDeadline(time.Time{})
	io.WriteString(conn, "question")
	conn.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(far); string(got) != "question" || err != nil {
		t.Errorf("far side got %q, %v", got, err)
	}
	io.WriteString(far, "answer")
	far.Close()
	if got, err := io.ReadAll(conn); string(got) != "answer" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

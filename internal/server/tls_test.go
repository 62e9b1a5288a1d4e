package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// certificate is a self-signed one for "redis.test".
func certificate(t *testing.T, from, to time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"redis.test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	now := time.Now()
	good, pool := certificate(t, now.Add(-time.Hour), now.Add(time.Hour))
	old, oldPool := certificate(t, now.Add(-2*time.Hour), time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC))
	early, earlyPool := certificate(t, time.Date(2999, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2999, 1, 3, 0, 0, 0, 0, time.UTC))
	tests := []struct {
		name   string
		server *tls.Config // nil: plain
		client *tls.Config
		want   string // of the error; empty: none
	}{
		{"good", &tls.Config{Certificates: []tls.Certificate{good}},
			&tls.Config{RootCAs: pool, ServerName: "redis.test"}, ""},
		{"expired", &tls.Config{Certificates: []tls.Certificate{old}},
			&tls.Config{RootCAs: oldPool, ServerName: "redis.test"},
			"connect to redis: handshake: tls: the server's certificate expired on 2020-01-02T03:04:05Z"},
		{"not yet valid", &tls.Config{Certificates: []tls.Certificate{early}},
			&tls.Config{RootCAs: earlyPool, ServerName: "redis.test"},
			"connect to redis: handshake: tls: the server's certificate is valid only from 2999-01-02T03:04:05Z on"},
		{"unknown authority", &tls.Config{Certificates: []tls.Certificate{good}},
			&tls.Config{RootCAs: x509.NewCertPool(), ServerName: "redis.test"},
			"connect to redis: handshake: tls: the server's certificate is signed by an unknown authority"},
		{"other name", &tls.Config{Certificates: []tls.Certificate{good}},
			&tls.Config{RootCAs: pool, ServerName: "other.test"},
			"connect to redis: handshake: tls: the server's certificate is for another name: x509: certificate is valid for redis.test, not other.test"},
		{"plain server", nil,
			&tls.Config{RootCAs: pool, ServerName: "redis.test"},
			"connect to redis: handshake: tls: the server does not speak TLS on this port"},
		{"client certificate wanted", &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert},
			&tls.Config{RootCAs: pool, ServerName: "redis.test"},
			"redis PING: connection lost: tls: the server refused this client: tls: certificate required"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			if test.server == nil {
				f.onAccept = func(c net.Conn) bool {
					_, _ = c.Write([]byte("-ERR Protocol error: too big inline request\r\n"))
					return false
				}
			} else {
				f.secure = test.server
			}
			o := f.options()
			o.TLS = test.client
			s, err := Connect(t.Context(), o)
			switch {
			case err == nil && test.want != "":
				t.Error("connected")
			case err == nil:
				_, err = s.Info(t.Context())
				if cerr := s.Close(); err != nil || cerr != nil {
					t.Error(err, cerr)
				}
			case err.Error() != test.want:
				t.Errorf("got  %v\nwant %s", err, test.want)
			case !isUnreachable(err):
				t.Errorf("%v is of the wrong class (%T)", err, err)
			}
		})
	}
}

// A server that waits for TLS on the port says nothing, or hangs up.
func TestPlainClientOfATLSServer(t *testing.T) {
	good, _ := certificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	f := newFake(t)
	f.secure = &tls.Config{Certificates: []tls.Certificate{good}}
	_, err := Connect(t.Context(), f.options())
	if err == nil || !(isUnreachable(err) || strings.Contains(err.Error(), ErrNotRedis.Error())) {
		t.Errorf("got %v", err)
	}
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	f := speaking(t, "")
	o := f.options()
	o.TLS = &tls.Config{ServerName: "redis.test"}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx, o); !isUnreachable(err) {
		t.Errorf("got %v", err)
	}
}

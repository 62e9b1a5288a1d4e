package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// tlsError says in plain words what is wrong with TLS.
type tlsError struct {
	text string
	err  error
}

func (e *tlsError) Error() string { return "tls: " + e.text }
func (e *tlsError) Unwrap() error { return e.err }

// explainTLS wraps an error of TLS; any other is returned as it is.
func explainTLS(err error) error {
	var (
		invalid  x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		record   tls.RecordHeaderError
		op       *net.OpError
	)
	switch {
	case errors.As(err, &invalid):
		return &tlsError{invalidity(invalid, time.Now()), err}
	case errors.As(err, &unknown):
		return &tlsError{"the server's certificate is signed by an unknown authority", err}
	case errors.As(err, &hostname):
		return &tlsError{"the server's certificate is for another name: " + hostname.Error(), err}
	case errors.As(err, &record):
		return &tlsError{"the server does not speak TLS on this port", err}
	case errors.As(err, &op) && op.Op == "remote error": // as crypto/tls marks an alert
		return &tlsError{"the server refused this client: " + op.Err.Error(), err}
	}
	return err
}

func invalidity(invalid x509.CertificateInvalidError, now time.Time) string {
	cert := invalid.Cert
	switch {
	case invalid.Reason != x509.Expired || cert == nil:
		return "the server's certificate is not valid: " + invalid.Error()
	case now.After(cert.NotAfter):
		return fmt.Sprintf("the server's certificate expired on %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("the server's certificate is valid only from %s on", cert.NotBefore.UTC().Format(time.RFC3339))
}

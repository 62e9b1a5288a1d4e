// Package status shows what the daemon knows: to Prometheus on /metrics, to
// health checks on /healthz and /readyz, and to people on a page at /.
//
// It is given a [View], a value with the facts of one moment, and decides
// nothing of its own: what is good, failed or overdue, whoever makes the view
// says. What follows from these facts by arithmetic, like the recoverable
// point, is in one file, derive.go.
//
// It promises that what is not known is left out, and never shown as 0; that
// every number on the page is also there for machines, in data-… attributes
// and in <time datetime>; that it only reads; that a page of another site
// cannot read it through a browser (the Host header is checked); that no
// client holds anything for longer than the server's time limits; and that a
// panic ends one request and not the daemon.
//
// It does not encrypt: whoever serves it to other hosts puts a proxy with TLS
// before it.
package status

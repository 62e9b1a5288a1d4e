package status

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// hostNames are the names by which a request may call this server.
//
// A page of another site can make its own name lead here (DNS rebinding), and
// then a browser lets it read all that is served. What it cannot do is call
// this server by another name than its own.
type hostNames struct {
	names map[string]bool
	// anyAddress: it listens on all addresses, and cannot tell which are its
	// own. A name is needed to rebind; an address is none.
	anyAddress bool
}

func namesOf(listen net.Addr, more []string) hostNames {
	h := hostNames{names: map[string]bool{"localhost": true}}
	for _, name := range more {
		h.names[plainHost(name)] = true
	}
	if ip, err := netip.ParseAddrPort(listen.String()); err == nil {
		h.names[ip.Addr().Unmap().WithZone("").String()] = true
		h.anyAddress = ip.Addr().IsUnspecified()
	}
	return h
}

func (h hostNames) has(host string) bool {
	name := plainHost(host)
	if h.names[name] {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && (h.anyAddress || ip.Unmap().IsLoopback())
}

// plainHost is a Host header's name: no port, no brackets, no dot at the end,
// in lower case.
func plainHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return host
}

// called lets pass who calls this server by one of its names.
func (s *site) called(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.names.has(r.Host) {
			text(w, http.StatusMisdirectedRequest, fmt.Sprintf(
				"%q is not a name of this server.\nIt answers to localhost, to the address that it listens on, and to the host names in its configuration.\n", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// reading lets pass who only reads.
func reading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			text(w, http.StatusMethodNotAllowed, "this server is only for reading: GET and HEAD\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hardened sets the headers that keep a browser from doing more than showing
// the page.
func (s *site) hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+s.page.styleHash+"'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// locked asks for the password, if there is one and it is asked for here.
func (s *site) locked(ask bool, next http.HandlerFunc) http.Handler {
	o := s.options
	if !ask || o.User == "" && o.Password == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if same(user, o.User)&same(password, o.Password) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="redisbak", charset="UTF-8"`)
			text(w, http.StatusUnauthorized, "user name and password, please\n")
			return
		}
		next(w, r)
	})
}

// same compares without telling by its time how much is right, or how long the
// right one is.
func same(got, want string) int {
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:])
}

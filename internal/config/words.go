package config

import (
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redisbak/redisbak/snapshot"
)

// A check says what is wrong with a text, and what to write instead; or "". It
// repeats the text only where that cannot be a secret.
type check func(string) (why, hint string)

func absolute(path string) (why, hint string) {
	if !filepath.IsAbs(path) {
		return "is not an absolute path", "begin with /: the daemon's directory is not yours"
	}
	return "", ""
}

func listenAddress(address string) (why, hint string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isPort(port, 0) || host != "" && !isHost(host) {
		return strconv.Quote(address) + " is not HOST:PORT", "like 127.0.0.1:9467, or :9467 for every address of the host"
	}
	return "", ""
}

// An address is not repeated: people write redis://:password@host.
func serverAddress(address string) (why, hint string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isPort(port, 1) || !isHost(host) {
		return "is not HOST:PORT", "like redis.internal:6379, without redis:// and without a password"
	}
	return "", ""
}

func isPort(text string, least int) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= least && n <= 65535 && text == strconv.Itoa(n)
}

func isHost(name string) bool {
	return net.ParseIP(name) != nil || hostPattern.MatchString(name) && len(name) <= 253
}

var (
	hostPattern      = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	containerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

func hostName(name string) (why, hint string) {
	if !isHost(name) {
		return strconv.Quote(name) + " is not the name of a host", ""
	}
	return "", ""
}

func zone(name string) (why, hint string) {
	if _, err := time.LoadLocation(name); err != nil {
		return strconv.Quote(name) + ": no such time zone", "name one like Europe/Berlin or UTC"
	}
	return "", ""
}

func sourceName(name string) (why, hint string) {
	if err := snapshot.ValidSourceName(name); err != nil {
		return err.Error(), ""
	}
	return "", ""
}

func tag(name string) (why, hint string) {
	if err := snapshot.ValidTag(name); err != nil {
		return err.Error(), ""
	}
	return "", ""
}

func containerName(name string) (why, hint string) {
	if !containerPattern.MatchString(name) {
		return strconv.Quote(name) + " is not the name or the id of a container", ""
	}
	return "", ""
}

func event(name string) (why, hint string) {
	all := []string{string(Failure), string(Overdue), string(Recovered), string(Success)}
	if slices.Contains(all, name) {
		return "", ""
	}
	return notOne(name, all)
}

// urlFault looks at a URL that may hold a secret, and repeats none of it.
func urlFault(text string) (why, hint string) {
	const like = "like https://hc-ping.com/…"
	u, err := url.Parse(text)
	switch {
	case text == hidden:
		return "was hidden by redisbak config show", "write the URL again, or put it into a file: ping_url_file"
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "is not a URL of http or https", like
	case strings.ContainsFunc(text, unicode.IsSpace):
		return "holds more than one URL", like
	}
	return "", ""
}

// notOne refuses a word that is none of these.
func notOne(given string, words []string) (why, hint string) {
	if near := nearest(given, words); near != "" {
		hint = "did you mean " + near + "?"
	}
	return strconv.Quote(shorten(given)) + " is not " + join(words, "or"), hint
}

// join lists words as people do.
func join(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	end := len(words) - 1
	return strings.Join(words[:end], ", ") + " " + last + " " + words[end]
}

// shorten makes any text fit for a message: one short line.
func shorten(text string) string {
	const long = 40
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if utf8.RuneCountInString(text) > long {
		return string([]rune(text)[:long]) + "…"
	}
	return text
}

func unprintable(text string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl)
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

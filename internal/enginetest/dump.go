package enginetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Entry is one key, or the functions, of a server.
type Entry struct {
	Type  string
	Value string // a hash over the value as typed reads give it
	// ExpireAt is in milliseconds of the epoch; 0: it never expires.
	ExpireAt int64
}

// Dump is all data of a server: "db/key" -> Entry. It can be compared between
// servers of different versions.
type Dump map[string]Entry

// expireSlack is how far an expiry may be off where a server can tell it only
// as the time that is left (before 7.0).
const expireSlack = 200 // ms

// functions is where the libraries of functions stand in a Dump.
const functions = "functions"

// Digest is DEBUG DIGEST.
func (r *Redis) Digest(t testing.TB) string {
	t.Helper()
	d, err := r.Try("DEBUG", "DIGEST")
	if err != nil {
		t.Fatalf("DEBUG DIGEST of %s: %v", r.Name, err)
	}
	return d
}

// Databases are those that hold keys.
func (r *Redis) Databases() []int {
	r.t.Helper()
	var list []int
	for line := range strings.Lines(r.Cmd("INFO", "keyspace")) {
		name, _, ok := strings.Cut(line, ":")
		if n, err := strconv.Atoi(strings.TrimPrefix(name, "db")); ok && err == nil {
			list = append(list, n)
		}
	}
	return list
}

// Dump reads all data. It reads keys that have expired and are still there as
// the server shows them: not at all, on a master.
func (r *Redis) Dump(t testing.TB) Dump {
	t.Helper()
	d := &dumper{t: t, r: r, c: r.Client(), out: Dump{}}
	defer d.c.Close()
	_, err := r.Try("PEXPIRETIME", "x")
	d.exactTTL = err == nil
	_, err = r.Try("HPEXPIRETIME", "x", "FIELDS", "1", "f")
	d.fieldTTL = err == nil
	for _, db := range r.Databases() {
		d.database(db)
	}
	if v, err := d.c.Do("FUNCTION", "LIST", "WITHCODE"); err == nil {
		if text := Text(v); text != "" {
			d.out[functions] = Entry{Type: "functions", Value: hash(text)}
		}
	}
	return d.out
}

type dumper struct {
	t                  testing.TB
	r                  *Redis
	c                  *Conn
	out                Dump
	exactTTL, fieldTTL bool
}

func (d *dumper) do(args ...string) any {
	d.t.Helper()
	v, err := d.c.Do(args...)
	if err != nil {
		d.t.Fatalf("dump %s: %s: %v", d.r.Name, strings.Join(args, " "), err)
	}
	return v
}

func (d *dumper) list(args ...string) []any {
	d.t.Helper()
	v, ok := d.do(args...).([]any)
	if !ok {
		d.t.Fatalf("dump %s: %s: not a list", d.r.Name, strings.Join(args, " "))
	}
	return v
}

func (d *dumper) database(db int) {
	d.t.Helper()
	d.do("SELECT", strconv.Itoa(db))
	cursor := "0"
	for {
		page := d.list("SCAN", cursor, "COUNT", "500")
		for _, key := range page[1].([]any) {
			d.key(db, key.(string))
		}
		if cursor = page[0].(string); cursor == "0" {
			return
		}
	}
}

func (d *dumper) key(db int, key string) {
	d.t.Helper()
	e := Entry{Type: Text(d.do("TYPE", key)), ExpireAt: d.expireAt(key)}
	if e.Type == "none" {
		return // expired since it was listed
	}
	e.Value = hash(d.value(e.Type, key))
	d.out[fmt.Sprintf("%d/%s", db, key)] = e
}

func (d *dumper) expireAt(key string) int64 {
	d.t.Helper()
	if d.exactTTL {
		return max(0, d.do("PEXPIRETIME", key).(int64))
	}
	answers, err := d.c.Pipe([][]string{{"TIME"}, {"PTTL", key}})
	if err != nil {
		d.t.Fatalf("dump %s: %v", d.r.Name, err)
	}
	now, ttl := answers[0].([]any), answers[1].(int64)
	if ttl < 0 {
		return 0
	}
	sec, _ := strconv.ParseInt(now[0].(string), 10, 64)
	usec, _ := strconv.ParseInt(now[1].(string), 10, 64)
	return sec*1000 + usec/1000 + ttl
}

// value is a canonical text of a key's value.
func (d *dumper) value(kind, key string) string {
	d.t.Helper()
	switch kind {
	case "string":
		return Text(d.do("GET", key))
	case "list":
		return join(d.list("LRANGE", key, "0", "-1"))
	case "set":
		return join(sorted(d.list("SMEMBERS", key), 1))
	case "zset":
		return join(d.list("ZRANGE", key, "0", "-1", "WITHSCORES"))
	case "hash":
		return d.hash(key)
	case "stream":
		return d.stream(key)
	}
	d.t.Fatalf("dump %s: key %q is of unknown type %s", d.r.Name, key, kind)
	return ""
}

func (d *dumper) hash(key string) string {
	d.t.Helper()
	fields := sorted(d.list("HGETALL", key), 2)
	text := join(fields)
	if !d.fieldTTL {
		return text
	}
	ask := []string{"HPEXPIRETIME", key, "FIELDS", strconv.Itoa(len(fields) / 2)}
	for i := 0; i < len(fields); i += 2 {
		ask = append(ask, fields[i].(string))
	}
	times := d.list(ask...)
	for _, at := range times {
		if at.(int64) > 0 {
			return text + " expire " + join(times)
		}
	}
	return text // the same as of a server that knows no expiring fields
}

// stream is the entries, the last id, and each group with its consumers and
// what they have not acknowledged. Idle times are left out: they go on.
func (d *dumper) stream(key string) string {
	d.t.Helper()
	text := join(d.list("XRANGE", key, "-", "+"))
	text += " last " + member(d.list("XINFO", "STREAM", key), "last-generated-id")
	for _, g := range d.list("XINFO", "GROUPS", key) {
		group := g.([]any)
		name := member(group, "name")
		text += fmt.Sprintf(" group %q %s %s", name, member(group, "last-delivered-id"), member(group, "pending"))
		for _, c := range d.list("XINFO", "CONSUMERS", key, name) {
			consumer := c.([]any)
			text += fmt.Sprintf(" consumer %q %s", member(consumer, "name"), member(consumer, "pending"))
		}
		for _, p := range d.list("XPENDING", key, name, "-", "+", "10000") {
			pending := p.([]any) // id, consumer, idle, deliveries
			text += fmt.Sprintf(" pending %v %v %v", pending[0], pending[1], pending[3])
		}
	}
	return text
}

// member is a value in a flat list of names and values.
func member(list []any, name string) string {
	for i := 0; i+1 < len(list); i += 2 {
		if list[i] == name {
			return Text(list[i+1])
		}
	}
	return ""
}

// join is a text from which the list could be read back.
func join(list []any) string {
	var b strings.Builder
	for _, v := range list {
		if inner, ok := v.([]any); ok {
			fmt.Fprintf(&b, "[%s]", join(inner))
			continue
		}
		text := Text(v)
		fmt.Fprintf(&b, "%d:%s,", len(text), text)
	}
	return b.String()
}

// sorted orders a flat list of groups of n members by their first.
func sorted(list []any, n int) []any {
	groups := slices.Collect(slices.Chunk(list, n))
	slices.SortFunc(groups, func(a, b []any) int { return strings.Compare(Text(a[0]), Text(b[0])) })
	return slices.Concat(groups...)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:12])
}

// Diff tells in words how b differs from a; empty: not at all.
func Diff(a, b Dump) []string {
	var list []string
	for key, x := range a {
		switch y, ok := b[key]; {
		case !ok:
			list = append(list, fmt.Sprintf("%q is missing (%s)", key, x.Type))
		case x.Type != y.Type:
			list = append(list, fmt.Sprintf("%q is a %s, was a %s", key, y.Type, x.Type))
		case x.Value != y.Value:
			list = append(list, fmt.Sprintf("%q has another value (%s)", key, x.Type))
		case (x.ExpireAt == 0) != (y.ExpireAt == 0), abs(x.ExpireAt-y.ExpireAt) > expireSlack:
			list = append(list, fmt.Sprintf("%q expires at %d, was %d", key, y.ExpireAt, x.ExpireAt))
		}
	}
	for key, y := range b {
		if _, ok := a[key]; !ok {
			list = append(list, fmt.Sprintf("%q is new (%s)", key, y.Type))
		}
	}
	slices.Sort(list)
	return list
}

func abs(n int64) int64 { return max(n, -n) }

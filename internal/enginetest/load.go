package enginetest

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// farFuture is the first of the times at which loaded keys expire: 2100, in
// milliseconds. No test outlives it, so that the data stay what they are.
const farFuture = 4102444800000

// libraryCode is a library of functions for servers that know them.
const libraryCode = `#!lua name=redisbaktest
redis.register_function('rbget', function(keys, args) return redis.call('GET', keys[1]) end)`

// Load writes a data set with keys of every kind into several databases: about
// 130 keys, and a hundred more for each further factor. The same factor gives
// the same data on every server of a version.
func (r *Redis) Load(factor int) {
	r.t.Helper()
	d := &data{r: r, c: r.Client(), rng: rand.New(rand.NewPCG(2026, uint64(factor)))}
	for i := range factor {
		d.database(0, i)
	}
	for _, db := range []int{1, 9, 15} {
		d.database(db, 1000+db)
	}
	d.db(0)
	d.odd()
	if d.known("FUNCTION") {
		d.add("FUNCTION", "LOAD", "REPLACE", libraryCode)
	}
	d.flush()
}

// Fill adds plain string keys "fill:0", "fill:1", … of the given size to
// database 0. Their values do not compress.
func (r *Redis) Fill(keys, size int) {
	r.t.Helper()
	d := &data{r: r, c: r.Client(), rng: rand.New(rand.NewPCG(7, uint64(keys)))}
	for i := range keys {
		d.add("SET", fmt.Sprintf("fill:%d", i), d.bytes(size))
	}
	d.flush()
}

// data is a data set being written.
type data struct {
	r      *Redis
	c      *Conn
	rng    *rand.Rand
	queued [][]string
	size   int
}

// chunk bounds what is on its way at a time, in bytes.
const chunk = 1 << 20

func (d *data) add(args ...string) {
	d.queued = append(d.queued, args)
	for _, a := range args {
		d.size += len(a)
	}
	if d.size > chunk || len(d.queued) >= 1000 {
		d.flush()
	}
}

func (d *data) flush() {
	d.r.t.Helper()
	answers, err := d.c.Pipe(d.queued)
	if err != nil {
		d.r.t.Fatalf("load data into %s: %v", d.r.Name, err)
	}
	for i, a := range answers {
		if e, ok := a.(Error); ok {
			d.r.t.Fatalf("load data into %s: %s: %v", d.r.Name, d.queued[i][0], e)
		}
	}
	d.queued, d.size = d.queued[:0], 0
}

func (d *data) db(n int) { d.add("SELECT", strconv.Itoa(n)) }

// known tells whether the server has a command.
func (d *data) known(command string) bool {
	v, err := d.c.Do("COMMAND", "INFO", command)
	if err != nil {
		d.r.t.Fatalf("COMMAND INFO %s: %v", command, err)
	}
	list, ok := v.([]any)
	return ok && len(list) == 1 && list[0] != nil
}

func (d *data) bytes(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.rng.Uint32())
	}
	return string(b)
}

func (d *data) word(n int) string { return hex.EncodeToString([]byte(d.bytes(n))) }

func (d *data) expire(key string, n int) {
	d.add("PEXPIREAT", key, strconv.FormatInt(farFuture+int64(n)*1001, 10))
}

// database writes one batch of about a hundred keys.
func (d *data) database(db, batch int) {
	d.db(db)
	key := func(kind string, n int) string { return fmt.Sprintf("%s:%d:%d", kind, batch, n) }
	for n := range 40 {
		d.add("SET", key("string", n), d.word(1+d.rng.IntN(60)))
		if n%4 == 0 {
			d.expire(key("string", n), n)
		}
	}
	for n := range 10 {
		d.add("SET", key("number", n), strconv.FormatInt(d.rng.Int64(), 10))
		d.add("SET", key("binary", n), d.bytes(200))
	}
	for n := range 8 {
		many := n >= 6 // beyond the compact encodings
		d.hash(key("hash", n), many)
		d.list(key("list", n), many)
		d.sets(key("set", n), many)
		d.sorted(key("zset", n), many)
	}
	for n := range 3 {
		d.stream(key("stream", n))
		d.add("PFADD", key("hll", n), d.word(8), d.word(8), d.word(8))
	}
	d.flush()
}

func count(many bool) int {
	if many {
		return 600
	}
	return 12
}

func (d *data) hash(key string, many bool) {
	args := []string{"HSET", key}
	for i := range count(many) {
		args = append(args, fmt.Sprintf("field%d", i), d.word(10))
	}
	d.add(args...)
	d.expire(key, len(args))
}

func (d *data) list(key string, many bool) {
	args := []string{"RPUSH", key}
	for range count(many) {
		args = append(args, d.word(10))
	}
	d.add(args...)
}

func (d *data) sets(key string, many bool) {
	words, numbers := []string{"SADD", key}, []string{"SADD", key + ":int"}
	for range count(many) {
		words = append(words, d.word(10))
		numbers = append(numbers, strconv.Itoa(d.rng.IntN(1e9)))
	}
	d.add(words...)
	d.add(numbers...)
	d.expire(key, len(words))
}

func (d *data) sorted(key string, many bool) {
	args := []string{"ZADD", key}
	for i := range count(many) {
		score := strconv.FormatFloat(d.rng.NormFloat64()*1e6, 'g', -1, 64)
		switch i {
		case 0:
			score = "-inf"
		case 1:
			score = "0.1"
		}
		args = append(args, score, d.word(10))
	}
	d.add(args...)
}

// stream has deleted entries, a group with what is read but not acknowledged,
// by two consumers, and a group that has read nothing.
func (d *data) stream(key string) {
	for i := range 30 {
		d.add("XADD", key, fmt.Sprintf("%d-%d", 1700000000000+i, i%3), "n", strconv.Itoa(i), "v", d.word(6))
	}
	d.add("XDEL", key, "1700000000003-0")
	d.add("XGROUP", "CREATE", key, "readers", "0")
	d.add("XGROUP", "CREATE", key, "idle", "$")
	d.add("XREADGROUP", "GROUP", "readers", "alice", "COUNT", "5", "STREAMS", key, ">")
	d.add("XREADGROUP", "GROUP", "readers", "bob", "COUNT", "4", "STREAMS", key, ">")
	d.add("XACK", key, "readers", "1700000000000-0")
}

// odd writes the keys that break careless code.
func (d *data) odd() {
	d.add("SET", "", "the empty key")
	d.add("SET", "empty value", "")
	d.add("SET", "binary\x00\r\nkey\xff", "\x00\r\n\xff")
	d.add("SET", "большой ключ", strings.Repeat("повтор ", 20000)) // compresses
	d.add("SET", "big", d.bytes(300_000))
	d.add("SETRANGE", "sparse", "100000", "x")
	d.add("GEOADD", "places", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania")
	d.add("XADD", "emptied stream", "5-1", "a", "b")
	d.add("XDEL", "emptied stream", "5-1")
	if d.known("HPEXPIREAT") {
		d.add("HSET", "hash with expiring fields", "a", "1", "b", "2", "c", "3")
		d.add("HPEXPIREAT", "hash with expiring fields", strconv.Itoa(farFuture), "FIELDS", "2", "a", "b")
	}
}

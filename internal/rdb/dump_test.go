package rdb

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// dump builds an RDB file by hand, for what no server at hand would write.
type dump struct{ b []byte }

func newDump(header string) *dump { return &dump{[]byte(header)} }

func (d *dump) raw(b ...byte) *dump {
	d.b = append(d.b, b...)
	return d
}

func (d *dump) num(n uint64) *dump {
	switch {
	case n < 1<<6:
		return d.raw(byte(n))
	case n < 1<<14:
		return d.raw(0x40|byte(n>>8), byte(n))
	case n < 1<<32:
		d.b = binary.BigEndian.AppendUint32(append(d.b, 0x80), uint32(n))
	default:
		d.b = binary.BigEndian.AppendUint64(append(d.b, 0x81), n)
	}
	return d
}

func (d *dump) str(s string) *dump {
	d.num(uint64(len(s)))
	d.b = append(d.b, s...)
	return d
}

func (d *dump) time(ms int64) *dump {
	d.b = binary.LittleEndian.AppendUint64(d.b, uint64(ms))
	return d
}

func (d *dump) aux(name, value string) *dump { return d.raw(opAux).str(name).str(value) }

// key begins a key. Its value is for the caller to write.
func (d *dump) key(kind byte, name string) *dump { return d.raw(kind).str(name) }

// end closes the file with a checksum.
func (d *dump) end() []byte {
	d.raw(opEOF)
	return binary.LittleEndian.AppendUint64(d.b, slowCRC(0, d.b))
}

// endUnsummed closes the file as a server does that writes no checksum.
func (d *dump) endUnsummed() []byte { return append(d.raw(opEOF).b, make([]byte, footerSize)...) }

// slowCRC is the checksum one bit at a time, from its definition.
func slowCRC(crc uint64, data []byte) uint64 {
	const polynomial = 0xad93d23594c935a9 // of Jones, as published
	for _, b := range data {
		for i := range 8 {
			bit := crc >> 63
			crc <<= 1
			if bit != uint64(b>>i&1) {
				crc ^= polynomial
			}
		}
	}
	var reflected uint64
	for i := range 64 {
		reflected |= crc >> i & 1 << (63 - i)
	}
	return reflected
}

// repaired is data with the checksum that its bytes give.
func repaired(data []byte) []byte {
	body := data[:len(data)-footerSize]
	return binary.LittleEndian.AppendUint64(append([]byte{}, body...), slowCRC(0, body))
}

// values is one key of every value type that files of a magic can hold.
func values(magic string) *dump {
	group := func(d *dump, version int) *dump {
		d.str("group").num(9).num(1)
		if version >= 2 {
			d.num(2)
		}
		id := []byte("0123456789abcdef")
		d.num(1).raw(id...).time(99).num(3) // pending
		d.num(2)                            // consumers
		for _, name := range []string{"alice", "bob"} {
			d.str(name).time(7)
			if version >= 3 {
				d.time(8)
			}
			d.num(1).raw(id...)
		}
		return d
	}
	stream := func(d *dump, version int) *dump {
		d.num(2).str("id").str("listpack").str("id").str("listpack").num(70000).num(1 << 40).num(3)
		if version >= 2 {
			d.num(1).num(1).num(0).num(0).num(12)
		}
		return group(group(d.num(2), version), version)
	}
	d := newDump("REDIS0012")
	if magic == magicValkey {
		d = newDump("VALKEY080")
	}
	d.raw(opFreq, 200).key(0, "string").str(strings.Repeat("x", 1<<14))
	long := strings.Repeat("long ", 20)
	d.raw(opIdle).num(100000).key(0, "int8").raw(0xc0, 1)
	d.key(0, "int16").raw(0xc1, 1, 2)
	d.key(0, "int32").raw(0xc2, 1, 2, 3, 4)
	d.key(0, "lzf").raw(0xc3).num(5).num(300).raw(0, 'x', 0xe0, 200, 0)
	d.key(1, "list").num(2).str("a").raw(0xc0, 9)
	d.key(2, "set").num(1).str(long)
	d.key(3, "zset, text").num(4).str("a").raw(3, '1', '.', '5').str("b").raw(253).str("c").raw(254).str("d").raw(255)
	d.key(4, "hash").num(2).str("f").str("v").str("g").str(long)
	d.key(5, "zset").num(2).str("a").time(0).str("b").time(-1)
	d.key(7, "module").num(moduleID("ReJSON-RL", 3))
	d.num(moduleSigned).num(5).num(moduleUint).num(1<<50).num(moduleFloat).raw(1, 2, 3, 4)
	d.num(moduleDouble).time(0).num(moduleString).str(long).num(moduleEOF)
	for _, kind := range []byte{9, 10, 11, 12, 13, 16, 17, 20} {
		d.key(kind, fmt.Sprint("packed ", kind)).str(long)
	}
	d.key(14, "list of ziplists").num(2).str("a").str(long)
	d.key(18, "list of listpacks").num(2).num(1).str("plain").num(2).str(long)
	stream(d.key(15, "stream 1"), 1)
	stream(d.key(19, "stream 2"), 2)
	stream(d.key(21, "stream 3"), 3)
	if magic == magicValkey {
		return d.key(22, "hash, expiry").num(2).str("f").str("v").time(-1).str("g").str("w").time(1 << 45)
	}
	d.key(22, "hash, ttl, rc").num(2).num(0).str("f").str("v").num(1 << 42).str("g").str("w")
	d.key(23, "packed hash, ttl, rc").str(long)
	d.key(24, "hash, ttl").time(1 << 42).num(2).num(0).str("f").str("v").num(70).str("g").str("w")
	return d.key(25, "packed hash, ttl").time(1 << 42).str(long)
}

const (
	valuesRedis  = 28 // keys in values(magicRedis)
	valuesValkey = 25
)

func moduleID(name string, version uint64) (id uint64) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, c := range name {
		id = id<<6 | uint64(strings.IndexRune(alphabet, c))
	}
	return id<<10 | version
}

package rdb

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func scan(t *testing.T, data []byte) Summary {
	t.Helper()
	s, err := Scan(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScanWalksEveryType(t *testing.T) {
	for magic, keys := range map[string]int64{magicRedis: valuesRedis, magicValkey: valuesValkey} {
		t.Run(magic, func(t *testing.T) {
			data := values(magic).end()
			s := scan(t, data)
			if want := []Keys{{DB: 0, Keys: keys}}; !s.Counted || !reflect.DeepEqual(s.Keyspace, want) {
				t.Errorf("counted %t, unknown %q, keyspace %v, want %v", s.Counted, s.Unknown, s.Keyspace, want)
			}
			if want := []string{"ReJSON-RL"}; s.Magic != magic || !reflect.DeepEqual(s.Modules, want) {
				t.Errorf("magic %s, modules %v, want %v", s.Magic, s.Modules, want)
			}
			for n := range len(data) - 1<<14 { // all after the long string, and the head
				refused(t, data[:len(data)-1-n])
			}
		})
	}
}

func TestScanWalksEveryOpcode(t *testing.T) {
	aux := func(d *dump) *dump {
		return d.raw(opModuleAux).num(moduleID("ft_index0", 1)).num(moduleUint).num(2).num(moduleString).str("x").num(moduleEOF)
	}
	d := newDump("VALKEY080").aux("valkey-ver", "9.1.2").raw(opAux).str("ctime").raw(0xc2, 0x00, 0xca, 0x9a, 0x3b)
	d.raw(opAux).str("repl-id").raw(0xc3).num(5).num(40).raw(0, '0', 0xe0, 30, 0)
	d.raw(opFunction).str("code").raw(opFunction).str("more code")
	aux(d).raw(opSlotImport).str("job").num(2).num(0).num(100).num(200).num(16383)
	d.raw(opSelectDB).num(9).raw(opResizeDB).num(3).num(2).raw(opSlotInfo).num(16383).num(3).num(2)
	d.raw(opExpireMS).time(1_000_000_000_000).key(0, "expired at that second").str("v")
	d.raw(opExpireMS).time(1_000_000_000_001).raw(opFreq, 5).key(0, "not yet").str("v")
	d.key(0, "no ttl").str("v")
	d.raw(opSelectDB).num(2).raw(opExpire, 0, 0, 0, 0x3b).raw(opIdle).num(5).key(0, "expired, in seconds").str("v")
	d.raw(opSelectDB).num(11) // no keys
	d.raw(opSelectDB).num(9).key(0, "db 9 again").str("v")
	s := scan(t, aux(d).end())
	want := Summary{
		Magic: magicValkey, Version: 80, CTime: time.Unix(1_000_000_000, 0).UTC(),
		Aux:       map[string]string{"valkey-ver": "9.1.2", "ctime": "1000000000", "repl-id": strings.Repeat("0", 40)},
		Keyspace:  []Keys{{DB: 2, Keys: 1, Expires: 1, Expired: 1}, {DB: 9, Keys: 4, Expires: 2, Expired: 1}},
		Functions: 2, Modules: []string{"ft_index0"}, Counted: true, Size: s.Size,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestScanReadsOldVersions(t *testing.T) {
	for _, version := range []string{"0005", "0006", "0007", "0008"} {
		s := scan(t, newDump("REDIS"+version).key(0, "k").str("v").end())
		if !s.Counted || s.ChecksumDisabled || len(s.Keyspace) != 1 {
			t.Errorf("%s: %+v", version, s)
		}
	}
	old := newDump("REDIS0004").key(0, "k").str("v").raw(opEOF).b
	if s := scan(t, old); !s.Counted || !s.ChecksumDisabled || len(s.Keyspace) != 1 {
		t.Errorf("without a footer: %+v", s)
	}
	refused(t, old[:len(old)-1])
	refused(t, append(old, 0))
}

// What a later version or a fork wrote is not ours to refuse.
func TestScanSaysWhatItDoesNotKnow(t *testing.T) {
	base := func(header string) *dump {
		return newDump(header).raw(opAux).str("ctime").raw(0xc2, 0x00, 0xca, 0x9a, 0x3b).raw(opFunction).str("f")
	}
	redis := func() *dump { return base("REDIS0012").key(0, "known").str("v") }
	valkey := func() *dump { return base("VALKEY080").key(0, "known").str("v") }
	at := len(redis().b)
	tests := map[string]struct {
		d    *dump
		want string
	}{
		"redis 8.6":       {base("REDIS0013"), "RDB version 13"},
		"far future":      {base("REDIS9999"), "RDB version 9999"},
		"redis 80":        {base("REDIS0080"), "RDB version 80"},
		"valkey 81":       {base("VALKEY081"), "RDB version 81"},
		"valkey 11":       {base("VALKEY011"), "RDB version 11"},
		"type 6":          {redis().raw(6), fmt.Sprintf("type 6 at offset %d", at)},
		"type 8":          {redis().raw(8), fmt.Sprintf("type 8 at offset %d", at)},
		"type 26":         {redis().raw(26), fmt.Sprintf("type 26 at offset %d", at)},
		"type 242":        {redis().raw(242), fmt.Sprintf("type 242 at offset %d", at)},
		"valkey type 23":  {valkey().raw(23), fmt.Sprintf("type 23 at offset %d", at)},
		"redis, 243":      {redis().raw(243), fmt.Sprintf("opcode 243 at offset %d", at)},
		"246":             {redis().raw(246), fmt.Sprintf("opcode 246 at offset %d", at)},
		"string code":     {redis().key(0, "k").raw(0xc4), fmt.Sprintf("string code 4 at offset %d", at+3)},
		"key of a code":   {redis().raw(0, 0xff), fmt.Sprintf("string code 63 at offset %d", at+1)},
		"length code":     {redis().key(0, "k").raw(0x82), fmt.Sprintf("length code 130 at offset %d", at+3)},
		"list container":  {redis().key(18, "k").num(1).num(3), fmt.Sprintf("list container 3 at offset %d", at+4)},
		"module field":    {redis().key(7, "k").num(1).num(6), fmt.Sprintf("module field 6 at offset %d", at+4)},
		"field of a code": {redis().raw(opAux, 0xc5), fmt.Sprintf("string code 5 at offset %d", at+1)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, tail := range []int{0, 1, 8, 9, 1000, bufferSize} {
				d := &dump{bytes.Clone(test.d.b)}
				data := d.raw(bytes.Repeat([]byte{7}, tail)...).end()
				s := scan(t, data)
				if s.Counted || s.Unknown != test.want || s.Keyspace != nil || s.Functions != 0 || s.Size != int64(len(data)) || s.ChecksumDisabled {
					t.Fatalf("%d bytes: %+v", len(data), s)
				}
				if s.CTime.Unix() != 1_000_000_000 {
					t.Errorf("ctime %v", s.CTime)
				}
				for n := 1; n < 30; n++ {
					refused(t, data[:len(data)-n])
				}
				data[len(test.d.b)] ^= 1
				refused(t, data)
				data[len(test.d.b)] ^= 1
				zeros := append(data[:len(data)-footerSize], make([]byte, footerSize)...)
				if s := scan(t, zeros); s.Counted || !s.ChecksumDisabled {
					t.Errorf("without a checksum: %+v", s)
				}
			}
		})
	}
}

// The fields of a newer file are read on the side: the rest must come out as
// if they had not been, also when they go on past the buffer.
func TestScanReadsFieldsOfNewerVersions(t *testing.T) {
	for n := range 40 {
		d := newDump("REDIS0013").aux("first", strings.Repeat("x", n))
		for len(d.b) < 2*bufferSize {
			d.aux("more", strings.Repeat("y", 500))
		}
		if s := scan(t, d.end()); len(s.Aux["first"]) != n || s.Unknown != "RDB version 13" {
			t.Fatalf("after %d bytes: %+v", n, s)
		}
	}
}

// A cut in the middle of zeros must not pass for a file without a checksum, nor
// one of the last byte for a file whose checksum happens to end in zero.
func TestScanRefusesUnknownStructureCutAtZeros(t *testing.T) {
	refused(t, append(newDump("REDIS0013").b, make([]byte, 100)...))
	found := 0
	for i := range 10_000 {
		data := newDump("REDIS0013").str(fmt.Sprint(i)).end()
		if last := len(data) - 1; data[last] == 0 {
			found++
			refused(t, data[:last])
		}
	}
	if found == 0 {
		t.Error("no checksum that ends in zero")
	}
}

func TestScanRefusesNonsense(t *testing.T) {
	huge := uint64(1<<64 - 1)
	for name, d := range map[string]*dump{
		"string":          newDump("REDIS0012").key(0, "k").num(huge),
		"key":             newDump("REDIS0012").raw(0).num(huge),
		"field":           newDump("REDIS0012").raw(opAux).num(huge),
		"packed field":    newDump("REDIS0012").raw(opAux, 0xc3).num(huge).num(huge),
		"count of a list": newDump("REDIS0012").key(1, "k").num(huge),
		"count of a hash": newDump("REDIS0012").key(4, "k").num(huge),
		"stream":          newDump("REDIS0012").key(21, "k").num(0).num(huge).num(huge).num(huge),
		"lzf":             newDump("REDIS0012").key(0, "k").raw(0xc3).num(huge).num(huge),
		"database":        newDump("REDIS0012").raw(opSelectDB).num(huge),
		"database code":   newDump("REDIS0012").raw(opSelectDB, 0xc1, 0, 0),
		"count code":      newDump("REDIS0012").key(1, "k").raw(0xc0, 1),
	} {
		t.Run(name, func(t *testing.T) {
			before := allocated()
			refused(t, d.end())
			if spent := allocated() - before; spent > 2<<20 {
				t.Errorf("allocated %d bytes", spent)
			}
		})
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// endless gives the same bytes over and over, n times.
type endless struct {
	part []byte
	n    int
	rest []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.n == 0 {
			return 0, io.EOF
		}
		e.n--
		e.rest = e.part
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func TestScanKeepsMemoryFlat(t *testing.T) {
	const times = 100_000
	field := newDump("").aux("x", strings.Repeat("y", 100)).raw(opSelectDB, 1).raw(opModuleAux).num(moduleID("abcdefghi", 1)).num(0)
	key := newDump("").key(4, "key").num(2).str("field").str("value").str("field").str(strings.Repeat("z", 300)).key(18, "list").num(1).num(2).str("pack")
	body := append(field.b, key.b...)
	before := allocated()
	s, err := Scan(io.MultiReader(strings.NewReader("REDIS0012"), &endless{part: body, n: times}, bytes.NewReader(append([]byte{opEOF}, make([]byte, footerSize)...))))
	if err != nil {
		t.Fatal(err)
	}
	if s.Keyspace[0].Keys != 2*times || len(s.Modules) != 1 {
		t.Errorf("%+v", s)
	}
	if spent := allocated() - before; spent > 2<<20+uint64(times)*(1+100+16) {
		t.Errorf("allocated %d bytes for %d", spent, s.Size)
	}
}

func TestScanBoundsWhatItRemembers(t *testing.T) {
	d := newDump("REDIS0012")
	for i := range uint64(5000) {
		d.aux(fmt.Sprint("field ", i), "v").raw(opModuleAux).num(i << 10).num(0)
	}
	d.aux("long", strings.Repeat("x", maxAuxBytes+1))
	s := scan(t, d.end())
	if len(s.Aux) != maxAux || len(s.Modules) != maxModules || !s.Counted {
		t.Errorf("%d fields, %d modules, counted %t", len(s.Aux), len(s.Modules), s.Counted)
	}
	d = newDump("REDIS0012")
	for i := range uint64(maxDatabases + 1) {
		d.raw(opSelectDB).num(i).key(0, "k").str("v")
	}
	if s := scan(t, d.end()); s.Counted || s.Unknown != "more than 65536 databases" {
		t.Errorf("counted %t, unknown %q", s.Counted, s.Unknown)
	}
}

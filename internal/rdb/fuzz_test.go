package rdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"runtime/metrics"
	"testing"
	"testing/iotest"
)

func FuzzScan(f *testing.F) {
	for _, x := range fixtures {
		f.Add(fixture(f, x.name))
	}
	f.Add(values(magicRedis).end())
	f.Add(values(magicValkey).end())
	f.Add(newDump("REDIS0013").raw(make([]byte, 50)...).end())
	f.Add(newDump("REDIS0004").key(0, "k").str("v").raw(opEOF).b)
	f.Fuzz(func(t *testing.T, data []byte) {
		sound(t, data)
		if len(data) > headerSize+footerSize {
			sound(t, repaired(data)) // else the checksum hides what is behind it
		}
	})
}

// sound scans data and checks what must hold for any bytes.
func sound(t *testing.T, data []byte) {
	spent := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(spent)
	before := spent[0].Value.Uint64()
	s, err := Scan(bytes.NewReader(data))
	metrics.Read(spent)
	if spent := spent[0].Value.Uint64() - before; spent > 1<<20+4*uint64(len(data)) {
		t.Fatalf("allocated %d bytes for %d", spent, len(data))
	}
	again, errAgain := Scan(iotest.HalfReader(bytes.NewReader(data)))
	if !reflect.DeepEqual(s, again) || !reflect.DeepEqual(err, errAgain) {
		t.Fatalf("%+v, %v\nin other pieces %+v, %v", s, err, again, errAgain)
	}
	if err != nil {
		var format *FormatError
		if !errors.As(err, &format) || format.Offset < 0 || format.Offset > int64(len(data)) {
			t.Fatalf("%d bytes: %v", len(data), err)
		}
		return
	}
	if s.Size != int64(len(data)) || s.Counted == (s.Unknown != "") {
		t.Fatalf("%d bytes: %+v", len(data), s)
	}
	if s.Magic == magicRedis && s.Version < firstWithChecksum {
		return
	}
	body, footer := data[:len(data)-footerSize], data[len(data)-footerSize:]
	if sum := binary.LittleEndian.Uint64(footer); s.ChecksumDisabled != (sum == 0) || sum != 0 && sum != slowCRC(0, body) {
		t.Fatalf("accepted with the checksum %016x, its bytes give %016x: %+v", sum, slowCRC(0, body), s)
	}
	for _, k := range s.Keyspace {
		if k.Keys < 1 || k.Expires > k.Keys || k.Expired > k.Expires || k.Keys > int64(len(data)) {
			t.Fatalf("keyspace %+v", s.Keyspace)
		}
	}
}

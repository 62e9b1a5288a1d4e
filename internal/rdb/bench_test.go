package rdb

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func BenchmarkScan(b *testing.B) {
	const size = 64 << 20
	kinds := map[string]func(d *dump, i int){
		"values of 1 MiB": func(d *dump, i int) {
			d.key(0, fmt.Sprint("key:", i)).str(strings.Repeat("x", 1<<20))
		},
		"values of 4 KiB": func(d *dump, i int) {
			d.key(0, fmt.Sprint("key:", i)).str(strings.Repeat("x", 4<<10))
		},
		"small keys": func(d *dump, i int) {
			d.raw(opExpireMS).time(int64(i)).key(0, fmt.Sprint("session:", i)).str("0123456789abcdef0123456789abcdef")
		},
		"large hashes": func(d *dump, i int) {
			d.key(4, fmt.Sprint("hash:", i)).num(1000)
			for j := range 1000 {
				d.str(fmt.Sprint("field:", j)).raw(0xc1, 1, 2)
			}
		},
		"large sorted sets": func(d *dump, i int) {
			d.key(5, fmt.Sprint("zset:", i)).num(1000)
			for j := range 1000 {
				d.str(fmt.Sprint("member:", j)).time(int64(j))
			}
		},
	}
	for name, add := range kinds {
		d := newDump("REDIS0012")
		for i := 0; len(d.b) < size; i++ {
			add(d, i)
		}
		data := d.endUnsummed()
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Scan(bytes.NewReader(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

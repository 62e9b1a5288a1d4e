package aof

import (
	"fmt"
	"strings"
	"testing"
)

// A file is fed in pieces as io.Copy makes them.
const pieceSize = 32 << 10

func feedAll(tb testing.TB, w *Walker, data []byte) {
	for len(data) > 0 {
		piece := data[:min(pieceSize, len(data))]
		data = data[len(piece):]
		if _, err := w.Write(piece); err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkWalker(b *testing.B) {
	const size = 64 << 20
	kinds := map[string]func(i int) string{
		"values of 1 MiB": func(i int) string {
			return command("SET", fmt.Sprint("key:", i), strings.Repeat("x", 1<<20))
		},
		"values of 4 KiB": func(i int) string {
			return command("SET", fmt.Sprint("key:", i), strings.Repeat("x", 4<<10))
		},
		"small keys": func(i int) string {
			return command("SET", fmt.Sprint("session:", i), "0123456789abcdef0123456789abcdef", "PXAT", "1700000000000")
		},
		"counters in transactions": func(i int) string {
			return command("MULTI") + command("INCR", fmt.Sprint("counter:", i)) + command("EXEC")
		},
	}
	for name, make := range kinds {
		var text strings.Builder
		for i := 0; text.Len() < size; i++ {
			text.WriteString(make(i))
		}
		data := []byte(text.String())
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				feedAll(b, NewWalker(Options{}), data)
			}
		})
	}
}

// Memory stays flat: nothing is allocated, whatever the lengths say.
func TestWalkerAllocatesNothing(t *testing.T) {
	for name, text := range map[string]string{
		"big values":        strings.Repeat(command("SET", "key", strings.Repeat("x", 1<<20)), 8),
		"many commands":     strings.Repeat(command("MULTI")+command("INCR", "counter")+command("EXEC"), 1000),
		"long names":        strings.Repeat(command(strings.Repeat("x", 5000)), 100),
		"annotations":       strings.Repeat("#TS:1700000000\r\n#"+strings.Repeat("x", 1000)+"\n", 100),
		"many arguments":    "*2147483647\r\n" + strings.Repeat("$1\r\nx\r\n", 10_000),
		"a length, no more": "*1\r\n$1099511627776\r\n" + strings.Repeat("x", 1<<20),
	} {
		data := []byte(text)
		w := &Walker{}
		if n := testing.AllocsPerRun(10, func() {
			*w = Walker{annotations: true}
			feedAll(t, w, data)
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

package snapshot

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// likeRDB makes about n bytes that look to a compressor like an RDB without
// string compression: sessions as JSON with random tokens, hashes of user
// records, sorted sets with scores, in no order, as Redis writes its keys.
func likeRDB(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := append(make([]byte, 0, n+4096), "REDIS0010\xfa\x09redis-ver\x067.0.15\xfe\x00"...)
	text := func(s string) {
		if len(s) < 64 {
			b = append(b, byte(len(s)))
		} else {
			b = append(b, byte(0x40|len(s)>>8), byte(len(s)))
		}
		b = append(b, s...)
	}
	token := func(n int) string {
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		t := make([]byte, n)
		for i := range t {
			t[i] = letters[r.IntN(len(letters))]
		}
		return string(t)
	}
	names := []string{"anna", "bruno", "carla", "dmitri", "elif", "farid", "greta", "hiro", "ines", "jonas"}
	cities := []string{"Berlin", "Lyon", "Porto", "Kraków", "Izmir", "Osaka", "Lagos", "Austin"}
	for id := 0; len(b) < n; id++ {
		name, city := names[r.IntN(len(names))], cities[r.IntN(len(cities))]
		switch kind := r.IntN(10); {
		case kind < 6:
			b = binary.LittleEndian.AppendUint64(append(b, 0xfc), uint64(1770519600000+r.IntN(86400000)))
			b = append(b, 0)
			text("session:" + token(22))
			text(fmt.Sprintf(`{"user_id":%d,"name":%q,"city":%q,"roles":["user","editor"],"csrf":%q,"ip":"10.%d.%d.%d","created_at":"2026-02-08T%02d:%02d:%02dZ","last_seen":%d,"cart":[{"sku":"A-%05d","qty":%d},{"sku":"B-%05d","qty":%d}],"flash":null}`,
				r.IntN(200000), name, city, token(32), r.IntN(256), r.IntN(256), r.IntN(256),
				r.IntN(24), r.IntN(60), r.IntN(60), 1770519600+r.IntN(86400), r.IntN(100000), 1+r.IntN(5), r.IntN(100000), 1+r.IntN(5)))
		case kind < 9:
			b = append(b, 4)
			text(fmt.Sprintf("user:%d", r.IntN(2000000)))
			b = append(b, 6)
			for _, f := range [][2]string{
				{"name", name}, {"email", fmt.Sprintf("%s.%d@example.com", name, r.IntN(100000))}, {"city", city},
				{"visits", fmt.Sprint(r.IntN(10000))}, {"last_login", fmt.Sprint(1770519600 + r.IntN(8640000))}, {"password", "$2b$12$" + token(53)},
			} {
				text(f[0])
				text(f[1])
			}
		default:
			b = append(b, 5)
			text(fmt.Sprintf("leaderboard:%d", r.IntN(5000)))
			b = append(b, 60)
			for range 60 {
				text(fmt.Sprintf("player:%d", r.IntN(1000000)))
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(r.IntN(1000000))))
			}
		}
	}
	return b
}

type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func benchmark(b *testing.B, open func(w io.Writer) io.WriteCloser) {
	data := likeRDB(64 << 20)
	// A dump of one's own is the better judge.
	if name := os.Getenv("REDISBAK_BENCH_FILE"); name != "" {
		var err error
		if data, err = os.ReadFile(name); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(data)))
	var stored counter
	for b.Loop() {
		stored = 0
		w := open(&stored)
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(data)}, make([]byte, 64<<10)); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(stored)/float64(len(data)), "stored/raw")
}

func BenchmarkStdGzip6(b *testing.B) {
	benchmark(b, func(w io.Writer) io.WriteCloser {
		z, _ := stdgzip.NewWriterLevel(w, 6)
		return z
	})
}

// BenchmarkPgzip is the table from which level and block size were chosen.
func BenchmarkPgzip(b *testing.B) {
	for level := 1; level <= 6; level++ {
		for _, block := range []int{256 << 10, 512 << 10, 1 << 20} {
			for _, blocks := range []int{1, 2, 3} {
				b.Run(fmt.Sprintf("level=%d/block=%dk/blocks=%d", level, block>>10, blocks), func(b *testing.B) {
					benchmark(b, func(w io.Writer) io.WriteCloser {
						z, _ := pgzip.NewWriterLevel(w, level)
						z.SetConcurrency(block, blocks)
						return z
					})
				})
			}
		}
	}
}

func BenchmarkZstd(b *testing.B) {
	for level := zstd.SpeedFastest; level <= zstd.SpeedBetterCompression; level++ {
		for _, window := range []int{1 << 20, 4 << 20} {
			b.Run(fmt.Sprintf("level=%v/window=%dM", level, window>>20), func(b *testing.B) {
				benchmark(b, func(w io.Writer) io.WriteCloser {
					z, _ := zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(window))
					return z
				})
			})
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	for _, c := range []Compression{Gzip, Zstd, None} {
		b.Run(string(c), func(b *testing.B) {
			benchmark(b, func(w io.Writer) io.WriteCloser {
				z, err := NewWriter(w, c)
				if err != nil {
					b.Fatal(err)
				}
				return z
			})
		})
	}
}

func BenchmarkReader(b *testing.B) {
	raw := likeRDB(64 << 20)
	for _, c := range compressions() {
		stored, f := pack(b, raw, c)
		b.Run(string(c), func(b *testing.B) {
			b.SetBytes(f.Size)
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(stored), f)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}

// BenchmarkCopy is what the others spend on making and moving the data.
func BenchmarkCopy(b *testing.B) {
	benchmark(b, func(w io.Writer) io.WriteCloser { return nopCloser{w} })
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

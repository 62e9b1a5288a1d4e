package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// compareLevels compresses the same dump by every candidate, in memory's speed:
// from the page cache to nowhere.
func (b *bench) compareLevels(ctx context.Context, s *server) error {
	dump := filepath.Join(b.dir, "dump.rdb")
	defer os.Remove(dump)
	if _, err := docker(ctx, "cp", s.name+":/data/dump.rdb", dump); err != nil {
		return err
	}
	type candidate struct {
		name string
		open func(io.Writer) (io.WriteCloser, error)
	}
	candidates := []candidate{{"gzip -6, standard library", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, 6) }}}
	for level := 1; level <= 6; level++ {
		candidates = append(candidates, candidate{fmt.Sprintf("pgzip %d", level), func(w io.Writer) (io.WriteCloser, error) {
			z, err := pgzip.NewWriterLevel(w, level)
			if err == nil {
				err = z.SetConcurrency(256<<10, 2)
			}
			return z, err
		}})
	}
	for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault} {
		candidates = append(candidates, candidate{"zstd " + level.String(), func(w io.Writer) (io.WriteCloser, error) {
			return zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(2<<20))
		}})
	}
	say("\n### Compressors on that dump, two cores\n")
	heading("compressor", "speed against gzip -6", "size against gzip -6")
	var baseTime time.Duration
	var baseSize int64
	for _, c := range candidates {
		note("compress: %s", c.name)
		took, size, err := compress(dump, c.open)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if baseTime == 0 {
			baseTime, baseSize = took, size
		}
		row(c.name, times(baseTime, took), fmt.Sprintf("%+.1f %%", 100*(float64(size)/float64(baseSize)-1)))
	}
	return nil
}

type count int64

func (c *count) Write(p []byte) (int, error) { *c += count(len(p)); return len(p), nil }

func compress(file string, open func(io.Writer) (io.WriteCloser, error)) (time.Duration, int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	var n count
	began := time.Now()
	z, err := open(&n)
	if err != nil {
		return 0, 0, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{z}, struct{ io.Reader }{f}, make([]byte, 256<<10)); err != nil {
		return 0, 0, err
	}
	err = z.Close()
	return time.Since(began), int64(n), err
}

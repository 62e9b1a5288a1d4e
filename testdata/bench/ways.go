package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// measured is what one way took, and what it stored.
type measured struct {
	afterSave time.Duration // from "the save is done" to "the backup is there"
	whole     time.Duration // the save included
	stored    int64
	rss       int64
}

// median of several rounds, each figure by itself.
func median(all []measured) measured {
	by := func(get func(measured) int64) int64 {
		var v []int64
		for _, m := range all {
			v = append(v, get(m))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return measured{
		afterSave: time.Duration(by(func(m measured) int64 { return int64(m.afterSave) })),
		whole:     time.Duration(by(func(m measured) int64 { return int64(m.whole) })),
		stored:    by(func(m measured) int64 { return m.stored }),
		rss:       by(func(m measured) int64 { return m.rss }),
	}
}

// compareWays measures the script, the pipe and redisbak in turn, so that what
// else goes on at the machine hits them alike.
func (b *bench) compareWays(ctx context.Context, s *server) error {
	ways := []struct {
		name string
		do   func(context.Context, *server) (measured, error)
		all  []measured
	}{
		{name: "script: `docker run --volumes-from … cp`, `gzip`", do: b.script},
		{name: "pipe: `redis-cli --rdb - \\| gzip`", do: b.pipe},
		{name: "`redisbak snapshot --no-verify`", do: b.redisbak},
	}
	for round := range b.rounds {
		for i := range ways {
			note("round %d: %s", round+1, ways[i].name)
			m, err := ways[i].do(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", ways[i].name, err)
			}
			ways[i].all = append(ways[i].all, m)
		}
	}
	script, pipe := median(ways[0].all), median(ways[1].all)
	say("\n### A dump of %s, %d rounds, medians\n", mib(s.dump), b.rounds)
	heading("way", "after the save", "speed", "save included", "speed", "stored", "size against gzip -6", "peak memory")
	for _, w := range ways {
		m := median(w.all)
		after, speed, rss := "–", "–", "–"
		if m.afterSave > 0 {
			after, speed = seconds(m.afterSave), times(script.afterSave, m.afterSave)
		}
		if m.rss > 0 {
			rss = mib(m.rss)
		}
		row(w.name, after, speed, seconds(m.whole), times(pipe.whole, m.whole), mib(m.stored),
			fmt.Sprintf("%+.1f %%", 100*(float64(m.stored)/float64(script.stored)-1)), rss)
	}
	return nil
}

// script is what people run today: a save, a copy by a container, gzip.
func (b *bench) script(ctx context.Context, s *server) (measured, error) {
	out := filepath.Join(b.dir, "script")
	defer os.RemoveAll(out)
	if err := os.MkdirAll(out, 0o700); err != nil {
		return measured{}, err
	}
	began := time.Now()
	if _, err := docker(ctx, "exec", s.name, "redis-cli", "SAVE"); err != nil {
		return measured{}, err
	}
	saved := time.Now()
	_, err := docker(ctx, "run", "--rm", "--volumes-from", s.name, "-v", out+":/backup", "--entrypoint", "cp",
		b.image, "/data/dump.rdb", "/backup/dump.rdb")
	if err != nil {
		return measured{}, err
	}
	if err := exec.CommandContext(ctx, "gzip", filepath.Join(out, "dump.rdb")).Run(); err != nil {
		return measured{}, fmt.Errorf("gzip: %w", err)
	}
	done := time.Now()
	info, err := os.Stat(filepath.Join(out, "dump.rdb.gz"))
	if err != nil {
		return measured{}, err
	}
	return measured{afterSave: done.Sub(saved), whole: done.Sub(began), stored: info.Size()}, nil
}

// pipe has redis-cli take the dump over the wire.
func (b *bench) pipe(ctx context.Context, s *server) (measured, error) {
	out := filepath.Join(b.dir, "pipe.rdb.gz")
	defer os.Remove(out)
	began := time.Now()
	cmd := exec.CommandContext(ctx, "sh", "-c", `set -e; docker exec "$1" redis-cli --rdb - 2>/dev/null | gzip >"$2"`, "sh", s.name, out)
	if text, err := cmd.CombinedOutput(); err != nil {
		return measured{}, fmt.Errorf("%w: %s", err, text)
	}
	info, err := os.Stat(out)
	if err != nil {
		return measured{}, err
	}
	return measured{whole: time.Since(began), stored: info.Size()}, nil
}

// redisbak takes a snapshot with the real binary. The end of the save is seen
// from beside, by asking the server.
func (b *bench) redisbak(ctx context.Context, s *server) (measured, error) {
	repo := filepath.Join(b.dir, "repo")
	defer os.RemoveAll(repo)
	cmd := exec.CommandContext(ctx, b.binary, "snapshot", "--repo", repo, "--no-verify", "--quiet", s.name)
	cmd.Stderr = os.Stderr
	watching, stop := context.WithCancel(ctx)
	saved := make(chan time.Time, 1)
	go func() { saved <- watchSave(watching, s) }()
	began := time.Now()
	if err := cmd.Run(); err != nil {
		stop()
		return measured{}, err
	}
	done := time.Now()
	stop()
	m := measured{whole: done.Sub(began), rss: peak(cmd)}
	at := <-saved
	if at.IsZero() {
		return m, fmt.Errorf("the end of the save was not seen")
	}
	m.afterSave = done.Sub(at)
	stored, err := filepath.Glob(filepath.Join(repo, "*", "*", "dump.rdb.gz"))
	if err != nil || len(stored) != 1 {
		return m, fmt.Errorf("stored files: %v %v", stored, err)
	}
	info, err := os.Stat(stored[0])
	if err == nil {
		m.stored = info.Size()
	}
	return m, err
}

// watchSave waits for a save to begin and returns when it was seen to have
// ended; one loop inside of the container asks every few milliseconds.
func watchSave(ctx context.Context, s *server) time.Time {
	script := `b=0; while :; do
  case $(redis-cli INFO persistence) in *rdb_bgsave_in_progress:1*) b=1;; *) [ $b = 1 ] && exit 0;; esac
  sleep 0.01; done`
	if _, err := docker(ctx, "exec", s.name, "sh", "-c", script); err != nil {
		return time.Time{}
	}
	return time.Now()
}

func peak(cmd *exec.Cmd) int64 {
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}

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

// memory measures the peak of a whole snapshot at several sizes.
func (b *bench) memory(ctx context.Context) error {
	say("\n### Peak memory of `redisbak snapshot`, verification included\n")
	heading("dump", "peak memory")
	for _, megabytes := range []int{50, 1000} {
		s, err := b.startServer(ctx, megabytes)
		if err != nil {
			return err
		}
		repo := filepath.Join(b.dir, "repo")
		cmd := exec.CommandContext(ctx, b.binary, "snapshot", "--repo", repo, "--quiet", s.name)
		text, err := cmd.CombinedOutput()
		s.remove()
		os.RemoveAll(repo)
		if err != nil {
			return fmt.Errorf("snapshot of %d MB: %w: %s", megabytes, err, strings.TrimSpace(string(text)))
		}
		row(mib(s.dump), mib(peak(cmd)))
	}
	return nil
}

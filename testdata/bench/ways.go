package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// measured is what one way took, and what it stored.
type measured struct {
	after  time.Duration // from "the save is done" to "the backup is there"; 0: there is no such moment
	whole  time.Duration // the save included
	stored int64
	rss    int64 // 0: not measured
}

// way is one way to make a backup, and what its rounds came to.
type way struct {
	name string
	do   func(context.Context, *server) (measured, error)
	all  []measured
}

// median of the rounds, each figure by itself.
func (w *way) median() measured {
	by := func(get func(measured) int64) int64 {
		var v []int64
		for _, m := range w.all {
			v = append(v, get(m))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return measured{
		after:  time.Duration(by(func(m measured) int64 { return int64(m.after) })),
		whole:  time.Duration(by(func(m measured) int64 { return int64(m.whole) })),
		stored: by(func(m measured) int64 { return m.stored }),
		rss:    by(func(m measured) int64 { return m.rss }),
	}
}

// inTurn measures each way once in each round, so that what else goes on at
// the machine hits them alike.
func (b *bench) inTurn(ctx context.Context, s *server, ways []way) error {
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
	return nil
}

// table prints medians. event is what a server is asked for first, "" where it
// is asked for nothing. The first way is the base of sizes and of the speed
// after the event, base that of the speed of the whole.
func table(event string, ways []way, base int) {
	first, whole := ways[0].median(), ways[base].median()
	if event == "" {
		heading("way", "time", "speed", "stored", "size against gzip -6", "peak memory")
	} else {
		heading("way", "after the "+event, "speed", event+" included", "speed", "stored", "size against gzip -6", "peak memory")
	}
	for i := range ways {
		m := ways[i].median()
		cells := []string{ways[i].name}
		switch {
		case event == "":
		case m.after > 0:
			cells = append(cells, seconds(m.after), times(first.after, m.after))
		default:
			cells = append(cells, "–", "–")
		}
		rss := "–"
		if m.rss > 0 {
			rss = mib(m.rss)
		}
		row(append(cells, seconds(m.whole), times(whole.whole, m.whole), mib(m.stored),
			fmt.Sprintf("%+.1f %%", 100*(float64(m.stored)/float64(first.stored)-1)), rss)...)
	}
}

// dumps measures the capture of a dump, and the compressors on that dump.
func (b *bench) dumps(ctx context.Context) error {
	return b.withServer(ctx, keepsDump(), func(s *server) error {
		size, err := s.fillDump(ctx, b.megabytes)
		if err != nil {
			return err
		}
		ways := []way{
			{name: "script: `docker run --volumes-from … cp`, `gzip`", do: b.script},
			{name: "pipe: `redis-cli --rdb - \\| gzip`", do: b.pipe},
			{name: "`redisbak snapshot --no-verify`", do: func(ctx context.Context, s *server) (measured, error) {
				return b.redisbak(ctx, s, saving)
			}},
		}
		if err := b.inTurn(ctx, s, ways); err != nil {
			return err
		}
		say("\n### A dump of %s, %d rounds, medians\n", mib(size), b.rounds)
		table("save", ways, 1)
		return b.compareLevels(ctx, s)
	})
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
	stored, err := bytesAt(out)
	return measured{after: done.Sub(saved), whole: done.Sub(began), stored: stored}, err
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
	whole := time.Since(began)
	stored, err := bytesAt(out)
	return measured{whole: whole, stored: stored}, err
}

// Fields of INFO that are 1 while a child of the server writes.
const (
	saving    = "rdb_bgsave_in_progress"
	rewriting = "aof_rewrite_in_progress"
)

// redisbak takes a snapshot with the real binary. The end of what it asks the
// server for first is seen from beside, by asking the server; event is the
// field of INFO that tells, "" where nothing is asked for.
func (b *bench) redisbak(ctx context.Context, s *server, event string, options ...string) (measured, error) {
	repo := filepath.Join(b.dir, "repo")
	defer os.RemoveAll(repo)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var ended <-chan time.Time
	if event != "" {
		var err error
		if ended, err = watch(watching, s, event); err != nil {
			return measured{}, err
		}
	}
	args := append([]string{"snapshot", "--repo", repo, "--no-verify", "--quiet"}, options...)
	u, err := b.use(ctx, append(args, s.name)...)
	if err != nil {
		return measured{}, err
	}
	done := time.Now()
	stop()
	m := measured{whole: u.took, rss: u.peak}
	if event != "" {
		at := <-ended
		if at.IsZero() {
			return m, fmt.Errorf("%s was not seen to begin and end", event)
		}
		m.after = done.Sub(at)
	}
	m.stored, err = bytesAt(repo)
	return m, err
}

// bytesAt is what all files at and below a path hold.
func bytesAt(path string) (int64, error) {
	var n int64
	err := filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

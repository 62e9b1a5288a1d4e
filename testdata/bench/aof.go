package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// aofSet is what lies in a directory of append-only files.
type aofSet struct{ base, commands int64 }

func (a aofSet) String() string {
	return fmt.Sprintf("base %s, commands %s", mib(a.base), mib(a.commands))
}

// fillAOF leaves the server with a base and with commands since then, about
// half as large as the base: by default servers rewrite when they are as large
// as it, so that this is what one meets on average.
func (s *server) fillAOF(ctx context.Context, megabytes int) (aofSet, error) {
	later := megabytes / 4 // a base is more compact than commands
	if err := s.fill(ctx, megabytes-later, 2); err != nil {
		return aofSet{}, err
	}
	if err := s.rewrite(ctx); err != nil {
		return aofSet{}, err
	}
	if err := s.fill(ctx, later, 3); err != nil {
		return aofSet{}, err
	}
	return s.aofSet(ctx)
}

// rewrite has the server make a fresh base, and returns when it is there.
func (s *server) rewrite(ctx context.Context) error {
	out, err := docker(ctx, "exec", s.name, "sh", "-c", `redis-cli BGREWRITEAOF
while :; do
  i=$(redis-cli INFO persistence) || exit
  case $i in
  *aof_rewrite_in_progress:1* | *aof_rewrite_scheduled:1*) sleep 0.01 ;;
  *aof_last_bgrewrite_status:ok*) exit 0 ;;
  *) exit 1 ;;
  esac
done`)
	if err == nil && !strings.Contains(out, "started") {
		err = fmt.Errorf("the server rewrites nothing: %s", strings.TrimSpace(out))
	}
	return err
}

// aofSet sizes the files once the server has written all that it was sent.
func (s *server) aofSet(ctx context.Context) (aofSet, error) {
	out, err := docker(ctx, "exec", s.name, "sh", "-c", `set -e
until redis-cli INFO persistence | grep -q '^aof_buffer_length:0'; do sleep 0.01; done
cd /data/appendonlydir
cat *.base.* | wc -c
cat *.incr.* | wc -c`)
	if err != nil {
		return aofSet{}, err
	}
	var sizes []int64
	for _, word := range strings.Fields(out) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return aofSet{}, err
		}
		sizes = append(sizes, n)
	}
	if len(sizes) != 2 {
		return aofSet{}, fmt.Errorf("sizes of append-only files: %q", out)
	}
	set := aofSet{base: sizes[0], commands: sizes[1]}
	note("its append-only files have %d and %d bytes", set.base, set.commands)
	return set, nil
}

// appendOnly measures the capture of append-only files, as they are and
// rewritten first. As they are comes first: what a rewrite leaves has no
// commands any more.
func (b *bench) appendOnly(ctx context.Context) error {
	return b.withServer(ctx, keepsAOF(), func(s *server) error {
		set, err := s.fillAOF(ctx, b.megabytes)
		if err != nil {
			return err
		}
		ways := []way{
			{name: "script: `docker run --volumes-from … tar -cz`", do: b.tarScript},
			{name: "`redisbak snapshot --method aof --no-rewrite --no-verify`", do: func(ctx context.Context, s *server) (measured, error) {
				return b.redisbak(ctx, s, "", "--method", "aof", "--no-rewrite")
			}},
		}
		if err := b.inTurn(ctx, s, ways); err != nil {
			return err
		}
		say("\n### Append-only files as they are: %s, %d rounds, medians\n", set, b.rounds)
		table("", ways, 0)

		ways = []way{
			{name: "script: `BGREWRITEAOF`, `docker run --volumes-from … tar -cz`", do: b.rewriteScript},
			{name: "`redisbak snapshot --method aof --no-verify`", do: func(ctx context.Context, s *server) (measured, error) {
				return b.redisbak(ctx, s, rewriting, "--method", "aof")
			}},
		}
		if err := b.inTurn(ctx, s, ways); err != nil {
			return err
		}
		if set, err = s.aofSet(ctx); err != nil {
			return err
		}
		say("\n### The same data, rewritten first to a base of %s, %d rounds, medians\n", mib(set.base), b.rounds)
		table("rewrite", ways, 0)
		return nil
	})
}

// tarScript is the usual one: a container packs the directory. Nothing holds
// off a rewrite or another command meanwhile.
func (b *bench) tarScript(ctx context.Context, s *server) (measured, error) {
	out := filepath.Join(b.dir, "tar")
	defer os.RemoveAll(out)
	if err := os.MkdirAll(out, 0o700); err != nil {
		return measured{}, err
	}
	began := time.Now()
	_, err := docker(ctx, "run", "--rm", "--volumes-from", s.name, "-v", out+":/backup", "--entrypoint", "tar",
		b.image, "-czf", "/backup/aof.tar.gz", "-C", "/data", "appendonlydir")
	if err != nil {
		return measured{}, err
	}
	whole := time.Since(began)
	stored, err := bytesAt(out)
	return measured{whole: whole, stored: stored}, err
}

// rewriteScript waits for a fresh base before it packs.
func (b *bench) rewriteScript(ctx context.Context, s *server) (measured, error) {
	began := time.Now()
	if err := s.rewrite(ctx); err != nil {
		return measured{}, err
	}
	rewritten := time.Since(began)
	m, err := b.tarScript(ctx, s)
	m.after = m.whole
	m.whole += rewritten
	return m, err
}

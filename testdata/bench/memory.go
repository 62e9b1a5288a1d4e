package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// memory measures the peak of a whole snapshot at two sizes, one twenty times
// the other.
func (b *bench) memory(ctx context.Context) error {
	kinds := []struct {
		name    string
		server  []string
		fill    func(context.Context, *server, int) (string, error)
		options []string
	}{
		{"a dump", keepsDump(), func(ctx context.Context, s *server, megabytes int) (string, error) {
			size, err := s.fillDump(ctx, megabytes)
			return mib(size), err
		}, nil},
		// Without a rewrite there are commands to be captured, too.
		{"append-only files, `--no-rewrite`", keepsAOF(), func(ctx context.Context, s *server, megabytes int) (string, error) {
			set, err := s.fillAOF(ctx, megabytes)
			return set.String(), err
		}, []string{"--method", "aof", "--no-rewrite"}},
	}
	say("\n### Peak memory of `redisbak snapshot`, verification included\n")
	heading("captured", "size", "peak memory")
	for _, kind := range kinds {
		for _, megabytes := range []int{max(b.megabytes/10, 1), 2 * b.megabytes} {
			err := b.withServer(ctx, kind.server, func(s *server) error {
				size, err := kind.fill(ctx, s, megabytes)
				if err != nil {
					return err
				}
				note("a verified snapshot of %s: %s", kind.name, size)
				repo := filepath.Join(b.dir, "repo")
				defer os.RemoveAll(repo)
				args := append([]string{"snapshot", "--repo", repo, "--quiet"}, kind.options...)
				u, err := b.use(ctx, append(args, s.name)...)
				if err != nil {
					return fmt.Errorf("snapshot of %d MB: %w", megabytes, err)
				}
				row(kind.name, size, mib(u.peak))
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Command bench measures redisbak against the ways in which people back up
// Redis in Docker by hand, and prints the table that stands in
// docs/performance.md. All figures of a table come from one run on one machine;
// only their ratios mean anything elsewhere.
//
// It needs a Docker engine and a local Redis image, makes its own containers
// and volumes, and removes them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	binary := flag.String("binary", "bin/redisbak", "the redisbak to measure")
	image := flag.String("image", "redisbak-test/redis:7.0", "a local Redis image")
	megabytes := flag.Int("mb", 500, "size of the dump, about, in MB")
	rounds := flag.Int("rounds", 3, "how often each way is measured; the median counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *binary, *image, *megabytes, *rounds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, image string, megabytes, rounds int) (err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "redisbak-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{binary: binary, image: image, dir: dir, rounds: rounds}

	s, err := b.startServer(ctx, megabytes)
	if err != nil {
		return err
	}
	err = b.compareWays(ctx, s)
	if err == nil {
		err = b.compareLevels(ctx, s)
	}
	s.remove()
	if err != nil {
		return err
	}
	if err := b.memory(ctx); err != nil {
		return err
	}
	return b.listing(ctx)
}

// bench is one run.
type bench struct {
	binary string
	image  string
	dir    string
	rounds int
}

// say prints a line of the report.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// note prints what goes on, beside the report.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}

// row prints cells between bars, as Markdown has it.
func row(cells ...string) { say("| %s |", strings.Join(cells, " | ")) }

func heading(cells ...string) {
	row(cells...)
	say("|%s", strings.Repeat("---|", len(cells)))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func times(base, d time.Duration) string {
	return fmt.Sprintf("%.1f×", base.Seconds()/d.Seconds())
}

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

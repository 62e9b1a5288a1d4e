// Command bench measures redisbak against the ways in which people back up
// Redis in Docker by hand, and prints the tables that stand in
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
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == measureCommand {
		os.Exit(measure(os.Args[2:]))
	}
	b := &bench{}
	flag.StringVar(&b.binary, "binary", "bin/redisbak", "the redisbak to measure")
	flag.StringVar(&b.image, "image", "redisbak-test/redis:7.0", "a local image of Redis 7.0 or later")
	flag.IntVar(&b.megabytes, "mb", 500, "size of the data, about, in MB")
	flag.IntVar(&b.rounds, "rounds", 3, "how often each way is measured; the median counts")
	flag.StringVar(&b.part, "part", "", "measure only this: dumps, aof, memory, listing or idle")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := b.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	binary    string
	image     string
	dir       string // for what it writes, and removed with it
	megabytes int
	rounds    int
	part      string // empty: all
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "redisbak-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	known := false
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{{"dumps", b.dumps}, {"aof", b.appendOnly}, {"memory", b.memory}, {"listing", b.listing}, {"idle", b.idle}} {
		if b.part != "" && b.part != part.name {
			continue
		}
		known = true
		if err := part.do(ctx); err != nil {
			return err
		}
	}
	if !known {
		return fmt.Errorf("no part is called %q", b.part)
	}
	return nil
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

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// server is a Redis with data in a volume.
type server struct {
	name, volume string
}

// keepsDump are the options of a server that saves when it is asked to.
func keepsDump() []string { return []string{"--save", ""} }

// keepsAOF are those of a server with append-only files, which it rewrites
// when it is asked to.
func keepsAOF() []string {
	return []string{"--save", "", "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"}
}

// withServer starts a server, lends it to do, and takes it away.
func (b *bench) withServer(ctx context.Context, options []string, do func(*server) error) error {
	tag := fmt.Sprintf("redisbak-bench-%d", time.Now().UnixNano())
	s := &server{name: tag, volume: tag}
	defer s.remove()
	args := []string{"run", "-d", "--name", s.name, "-v", s.volume + ":/data", b.image, "redis-server", "--protected-mode", "no"}
	if _, err := docker(ctx, append(args, options...)...); err != nil {
		return err
	}
	if err := s.await(ctx); err != nil {
		return err
	}
	return do(s)
}

// awaitTimeout bounds the start of a server.
const awaitTimeout = 30 * time.Second

// await returns when the server answers.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, awaitTimeout)
	defer cancel()
	for {
		_, err := docker(ctx, "exec", s.name, "redis-cli", "PING")
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// remove takes the server and its volume away, also after an interrupt, and
// with it what a way was doing to them.
func (s *server) remove() {
	ctx := context.Background()
	containers, err := docker(ctx, "ps", "-aq", "--filter", "volume="+s.volume)
	if err != nil {
		note("%v", err)
	}
	for _, id := range strings.Fields(containers) {
		if _, err := docker(ctx, "rm", "-f", "-v", id); err != nil {
			note("%v", err)
		}
	}
	if _, err := docker(ctx, "volume", "rm", "-f", s.volume); err != nil {
		note("%v", err)
	}
}

// fillDump fills the server until its dump has about the size, and returns
// which it has.
func (s *server) fillDump(ctx context.Context, megabytes int) (int64, error) {
	if err := s.fill(ctx, megabytes, 2); err != nil {
		return 0, err
	}
	if _, err := docker(ctx, "exec", s.name, "redis-cli", "SAVE"); err != nil {
		return 0, err
	}
	out, err := docker(ctx, "exec", s.name, "stat", "-c", "%s", "/data/dump.rdb")
	if err != nil {
		return 0, err
	}
	size, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err == nil {
		note("its dump has %d bytes", size)
	}
	return size, err
}

// watch looks every few milliseconds, from inside of the container, whether a
// field of INFO is 1. It returns when it has begun to look, and sends when the
// field was seen to have been 1 and to be so no more; zero where that was not
// seen until the end of ctx.
func watch(ctx context.Context, s *server, field string) (<-chan time.Time, error) {
	cmd := exec.CommandContext(ctx, "docker", "exec", s.name, "sh", "-c", `echo looking; b=0; while :; do
  case $(redis-cli INFO persistence) in *"$1":1*) b=1 ;; *) [ $b = 1 ] && exit 0 ;; esac
  sleep 0.01; done`, "sh", field)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %q: %w", field, line, err), cmd.Wait())
	}
	ended := make(chan time.Time, 1)
	go func() {
		if cmd.Wait() != nil {
			ended <- time.Time{}
			return
		}
		ended <- time.Now()
	}()
	return ended, nil
}

// fill streams the commands of a mixed data set into the server: sessions as
// JSON with random tokens, users as hashes, leaderboards, queues. With another
// seed there are other sessions, and more of the rest.
func (s *server) fill(ctx context.Context, megabytes int, seed uint64) error {
	note("filling a server with about %d MB", megabytes)
	r, w := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(w, 1<<20)
		g := generator{w: out, r: rand.New(rand.NewPCG(1, seed))}
		for g.bytes < megabytes*1_000_000 {
			g.next()
		}
		w.CloseWithError(out.Flush())
	}()
	cmd := exec.CommandContext(ctx, "docker", "exec", "-i", s.name, "redis-cli", "--pipe")
	cmd.Stdin = r
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("load: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// generator writes commands in the Redis protocol and counts about how many
// bytes of a dump they come to.
type generator struct {
	w     *bufio.Writer
	r     *rand.Rand
	n     int
	bytes int
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func (g *generator) token(n int) string {
	t := make([]byte, n)
	for i := range t {
		t[i] = letters[g.r.IntN(len(letters))]
	}
	return string(t)
}

func (g *generator) send(args ...string) {
	fmt.Fprintf(g.w, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(g.w, "$%d\r\n%s\r\n", len(a), a)
		g.bytes += len(a)
	}
}

func (g *generator) pick(of ...string) string { return of[g.r.IntN(len(of))] }

func (g *generator) next() {
	g.n++
	name := g.pick("anna", "bruno", "carla", "dmitri", "elif", "farid", "greta", "hiro", "ines", "jonas")
	switch kind := g.r.IntN(20); {
	case kind < 12:
		g.send("SET", "session:"+g.token(22), fmt.Sprintf(`{"user_id":%d,"name":%q,"city":%q,"roles":["user","editor"],`+
			`"csrf":%q,"ip":"10.%d.%d.%d","created_at":"2026-02-08T%02d:%02d:%02dZ","last_seen":%d,`+
			`"cart":[{"sku":"A-%05d","qty":%d},{"sku":"B-%05d","qty":%d}],"flash":null}`,
			g.r.IntN(200000), name, g.pick("Berlin", "Lyon", "Porto", "Izmir", "Osaka"), g.token(32),
			g.r.IntN(256), g.r.IntN(256), g.r.IntN(256), g.r.IntN(24), g.r.IntN(60), g.r.IntN(60), 1770519600+g.r.IntN(86400),
			g.r.IntN(100000), 1+g.r.IntN(5), g.r.IntN(100000), 1+g.r.IntN(5)), "EX", strconv.Itoa(100000+g.r.IntN(100000)))
	case kind < 17:
		g.send("HSET", fmt.Sprintf("user:%d", g.n), "name", name, "email", fmt.Sprintf("%s.%d@example.com", name, g.r.IntN(100000)),
			"visits", strconv.Itoa(g.r.IntN(10000)), "last_login", strconv.Itoa(1770519600+g.r.IntN(8640000)), "password", "$2b$12$"+g.token(53))
	case kind < 19:
		args := []string{"ZADD", fmt.Sprintf("leaderboard:%d", g.n)}
		for range 60 {
			args = append(args, strconv.Itoa(g.r.IntN(1000000)), fmt.Sprintf("player:%d", g.r.IntN(1000000)))
		}
		g.send(args...)
	default:
		args := []string{"RPUSH", fmt.Sprintf("queue:%d", g.n)}
		for range 20 {
			args = append(args, fmt.Sprintf(`{"job":"mail","to":"%s.%d@example.com","id":%q}`, name, g.r.IntN(100000), g.token(12)))
		}
		g.send(args...)
	}
}

func docker(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}

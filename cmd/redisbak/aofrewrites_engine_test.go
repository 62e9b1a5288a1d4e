//go:build engine

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// FAULT 13: captures under 20,000 writes a second while the append-only file is
// rewritten all the time. Each archive's files belong together, load without a
// cut, hold a prefix of what was written, whole transactions, and all that was
// answered before the snapshot was asked for.
func TestFault13AOFCapturedDuringRewrites(t *testing.T) {
	for _, image := range enginetest.Images(t) {
		// In the normal run the two layouts share 20 captures.
		few := map[string]int{enginetest.Redis70: 12, enginetest.Redis60: 8}[image]
		if captures := sized(few, 200); captures > 0 {
			t.Run(enginetest.Short(image), func(t *testing.T) { duringRewrites(t, image, captures) })
		}
	}
}

// captured is a snapshot, and the last write that was answered before it was
// asked for.
type captured struct {
	snapshotJSON
	answered int64
}

func duringRewrites(t *testing.T, image string, captures int) {
	h := newHome(t)
	args := []string{"--appendonly", "yes", "--save", ""}
	source := enginetest.Start(t, enginetest.Options{Image: image, Args: args})
	began := time.Now()
	w := startNumbers(t, source)
	stop := rewriteAllTheTime(t, source)
	var taken []captured
	for n := range captures {
		command := []string{"snapshot", source.Name, "--no-verify", "--json"}
		if n%2 == 0 {
			command = append(command, "--no-rewrite")
		}
		answered := w.done.Load()
		doc := document[struct {
			Snapshots []snapshotJSON `json:"snapshots"`
		}](t, h.run(command...).must(t, exitOK))
		if len(doc.Snapshots) != 1 || doc.Snapshots[0].Method != "aof" || doc.Snapshots[0].Keys == nil {
			t.Fatalf("snapshot %d: %+v", n, doc.Snapshots)
		}
		taken = append(taken, captured{doc.Snapshots[0], answered})
	}
	took := time.Since(began)
	asked := stop()
	w.end(t)
	h.holds(nil, nil)
	rewrites := strings.Count(source.Logs(), "Background AOF rewrite terminated with success")
	t.Logf("%d writes, %.0f a second; %d rewrites, %.1f a second, of %d that were asked for; %d captures, %.2f s each",
		w.done.Load(), float64(w.done.Load())/took.Seconds(), rewrites, float64(rewrites)/took.Seconds(), asked, len(taken), took.Seconds()/float64(len(taken)))
	// A rewrite of 6.0 waits a second for the last writes, where there are some.
	if asked < len(taken)/4 {
		t.Errorf("only %d rewrites of others during %d captures: this test shows little", asked, len(taken))
	}

	b := startBoots(t, image)
	between := 0
	for _, c := range taken {
		files := h.files(c.ID)
		if len(files) > 3 {
			between++
		}
		conn := b.boot(string(c.ID), files)
		holdsPrefix(t, string(c.ID), conn, c)
		b.end(conn)
	}
	t.Logf("%d of %d archives are of a server between two rewrites' files", between, len(taken))

	// The same by redisbak's own ways: what it proves, and what it restores.
	for n := range sized(2, 20) {
		c := taken[len(taken)-1-n]
		h.run("verify", string(c.ID)).must(t, exitOK)
	}
	for n := range sized(1, 3) {
		c := taken[len(taken)-1-n]
		restored := h.restore("--id", string(c.ID), "--volume", fmt.Sprintf("%s-restored-%d", source.Volume, n))
		if *restored.Keys != *c.Keys {
			t.Errorf("%s: %d keys restored, %d captured", c.ID, *restored.Keys, *c.Keys)
		}
		again := enginetest.Start(t, enginetest.Options{Image: image, Args: append(args, "--aof-load-truncated", "no"), Volume: restored.Volume})
		holdsPrefix(t, "restored "+string(c.ID), again.Client(), c)
	}
}

// The history of numbered writes. Write n sets one of a ring of keys to n, so
// that each write replaces an older one; each pairEvery-th sets two keys of its
// own in a transaction.
const (
	ringSize  = 1000
	pairEvery = 20
	batch     = 200
	batchTime = 10 * time.Millisecond // 20,000 writes a second
)

func ringKey(n int64) string { return "r:" + strconv.FormatInt(n%ringSize, 10) }
func pairKeys(n int64) (string, string) {
	number := strconv.FormatInt(n, 10)
	return "a:" + number, "b:" + number
}

// startNumbers writes the history, in pipelines of a batch each.
func startNumbers(t *testing.T, r *enginetest.Redis) *writer {
	t.Helper()
	w := &writer{conn: r.Client(), stop: make(chan struct{})}
	w.over.Go(func() {
		pace := time.NewTicker(batchTime)
		defer pace.Stop()
		for n := int64(1); ; n += batch {
			select {
			case <-w.stop:
				return
			case <-pace.C:
			}
			if w.err = writeNumbers(w.conn, n, n+batch); w.err != nil {
				return
			}
			w.done.Store(n + batch - 1)
		}
	})
	enginetest.Eventually(t, time.Minute, "the writer writes", func() bool { return w.done.Load() > 10*ringSize })
	return w
}

// writeNumbers does the writes from first to before end.
func writeNumbers(c *enginetest.Conn, first, end int64) error {
	var commands [][]string
	for n := first; n < end; n++ {
		number := strconv.FormatInt(n, 10)
		if n%pairEvery != 0 {
			commands = append(commands, []string{"SET", ringKey(n), number})
			continue
		}
		a, b := pairKeys(n)
		commands = append(commands, []string{"MULTI"}, []string{"SET", a, number}, []string{"SET", b, number}, []string{"EXEC"})
	}
	answers, err := c.Pipe(commands)
	if err != nil {
		return err
	}
	for i, a := range answers {
		if text := enginetest.Text(a); text != "OK" && text != "QUEUED" && text != "OK\nOK" {
			return fmt.Errorf("%q: answered %q", commands[i], text)
		}
	}
	return nil
}

// rewriteAllTheTime asks for a rewrite every 100 ms; what it returns ends that
// and tells how often the server agreed.
func rewriteAllTheTime(t *testing.T, r *enginetest.Redis) (stop func() int) {
	t.Helper()
	conn := r.Client()
	end, asked := make(chan struct{}), 0
	var over sync.WaitGroup
	var failed error
	over.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for failed == nil {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			_, err := conn.Do("BGREWRITEAOF")
			if refused := enginetest.Error(""); errors.As(err, &refused) {
				err = nil // one is running
			} else if err == nil {
				asked++
			}
			failed = err
		}
	})
	stop = sync.OnceValue(func() int {
		close(end)
		over.Wait()
		conn.Close()
		if failed != nil {
			t.Errorf("BGREWRITEAOF: %v", failed)
		}
		return asked
	})
	t.Cleanup(func() { stop() })
	return stop
}

// holdsPrefix fails the test unless a server holds what the writes up to one of
// them have made, and nothing else, and this one was not before the last that
// was answered before the capture.
func holdsPrefix(t *testing.T, what string, c *enginetest.Conn, of captured) {
	t.Helper()
	last, err := prefixOf(c)
	switch {
	case err != nil:
		t.Errorf("%s: no prefix of what was written: %v", what, err)
	case last < of.answered:
		t.Errorf("%s ends at write %d, and write %d was answered before it was asked for", what, last, of.answered)
	}
	if keys, err := c.Do("DBSIZE"); err != nil || keys != *of.Keys {
		t.Errorf("%s holds %v keys (%v), and the snapshot was of %d", what, keys, err, *of.Keys)
	}
}

// prefixOf finds the last write of a prefix.
func prefixOf(c *enginetest.Conn) (last int64, err error) {
	want := map[string]int64{}
	for n := range int64(ringSize) {
		if n%pairEvery != 0 {
			want[ringKey(n)] = 0
		}
	}
	have, err := numbersUnder(c, want)
	if err != nil {
		return 0, err
	}
	for _, n := range have {
		last = max(last, n)
	}
	// A pair may come after it.
	next, _ := pairKeys(last + 1)
	if found, err := c.Do("EXISTS", next); err != nil || found == int64(1) {
		last++
	}
	clear(want)
	for n := max(1, last-ringSize+1); n <= last; n++ {
		if n%pairEvery != 0 {
			want[ringKey(n)] = n
		}
	}
	for n := int64(pairEvery); n <= last; n += pairEvery {
		a, b := pairKeys(n)
		want[a], want[b] = n, n
	}
	if have, err = numbersUnder(c, want); err != nil {
		return 0, err
	}
	for key, n := range want {
		if have[key] != n {
			return 0, fmt.Errorf("it ends at %d, and %s is %d, not %d", last, key, have[key], n)
		}
	}
	size, err := c.Do("DBSIZE")
	if err == nil && size != int64(len(want)) {
		err = fmt.Errorf("it ends at %d, and there are %v keys, not %d", last, size, len(want))
	}
	return last, err
}

// numbersUnder reads the values of the keys of want; 0 stands for none.
func numbersUnder(c *enginetest.Conn, want map[string]int64) (map[string]int64, error) {
	var keys []string
	for key := range want {
		keys = append(keys, key)
	}
	have := make(map[string]int64, len(keys))
	for len(keys) > 0 {
		some := keys[:min(len(keys), 1000)]
		keys = keys[len(some):]
		answer, err := c.Do(append([]string{"MGET"}, some...)...)
		if err != nil {
			return nil, err
		}
		for i, v := range answer.([]any) {
			if text, ok := v.(string); ok {
				if have[some[i]], err = strconv.ParseInt(text, 10, 64); err != nil {
					return nil, err
				}
			}
		}
	}
	return have, nil
}

// payload is a file of a snapshot as the server wrote it.
type payload struct {
	snapshot.File
	content []byte
}

// files are those of a snapshot.
func (h *home) files(id snapshot.ID) (all []payload) {
	h.t.Helper()
	for _, f := range h.entry(id).Manifest.Files {
		all = append(all, payload{f, []byte(h.run("cat", string(id), f.Path).must(h.t, exitOK).stdout)})
	}
	return all
}

// entry is a snapshot in the repository.
func (h *home) entry(id snapshot.ID) repo.Entry {
	h.t.Helper()
	r, err := repo.Open(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	e, err := r.Get(string(id))
	if err != nil {
		h.t.Fatal(err)
	}
	return e
}

// boots starts servers, one after the other, on what snapshots hold: by the
// server's own means, without redisbak's.
type boots struct {
	t         *testing.T
	container *enginetest.Redis
	host      string
	port      int
}

func startBoots(t *testing.T, image string) *boots {
	t.Helper()
	b := &boots{t: t, container: enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--save", ""}}), port: 7000}
	host, _, err := net.SplitHostPort(b.container.Addr())
	if err != nil {
		t.Fatal(err)
	}
	b.host = host
	return b
}

// boot lays the files down in a directory and starts a server there that must
// take them as they are.
func (b *boots) boot(name string, files []payload) *enginetest.Conn {
	b.t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: path.Join(name, f.Path), Mode: 0o600, Size: int64(len(f.content))}); err != nil {
			b.t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
	cp := exec.Command("docker", "cp", "-", b.container.Name+":/tmp")
	cp.Stdin = &archive
	if out, err := cp.CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	b.port++
	program := "redis-server"
	if strings.Contains(b.container.Image, "valkey") {
		program = "valkey-server"
	}
	port, dir := strconv.Itoa(b.port), path.Join("/tmp", name)
	b.container.Exec(program, "--dir", dir, "--port", port, "--daemonize", "yes", "--logfile", dir+"/log", "--pidfile", dir+"/pid",
		"--save", "", "--protected-mode", "no", "--appendonly", "yes", "--aof-load-truncated", "no")
	var conn *enginetest.Conn
	if !enginetest.Poll(time.Minute, func() bool {
		tcp, err := net.DialTimeout("tcp", net.JoinHostPort(b.host, port), time.Second)
		if err != nil {
			return b.ended(dir)
		}
		conn = enginetest.NewConn(tcp)
		if _, err := conn.Do("PING"); err != nil {
			conn.Close()
			conn = nil
			return b.ended(dir)
		}
		return true
	}) || conn == nil {
		b.t.Fatalf("%s does not load:\n%s", name, b.container.File(dir+"/log"))
	}
	b.t.Cleanup(conn.Close)
	return conn
}

// ended tells whether the server in dir has given up.
func (b *boots) ended(dir string) bool {
	log, err := enginetest.Docker("exec", b.container.Name, "cat", dir+"/log")
	return err == nil && (strings.Contains(log, "Fatal error") || strings.Contains(log, "Bad file format") || strings.Contains(log, "Unexpected end of file"))
}

// end stops the server again.
func (b *boots) end(c *enginetest.Conn) {
	b.t.Helper()
	if _, err := c.Do("SHUTDOWN", "NOSAVE"); err == nil {
		b.t.Error("SHUTDOWN was answered")
	}
	c.Close()
}

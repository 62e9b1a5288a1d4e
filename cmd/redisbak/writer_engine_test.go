//go:build engine

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// The source is never harmed: under writers that never stop, snapshot after
// snapshot is proven, no command of a writer fails, and afterwards the server
// is configured and connected as before (FAULT 14).
func TestSnapshotsUnderWriters(t *testing.T) {
	for _, c := range []struct {
		name    string
		options enginetest.Options
	}{
		{"by address", enginetest.Options{Image: enginetest.Redis70}},
		{"by docker exec", enginetest.Options{Image: enginetest.Valkey81, Network: "none"}},
	} {
		t.Run(c.name, func(t *testing.T) { underWriters(t, c.options) })
	}
}

func underWriters(t *testing.T, o enginetest.Options) {
	h := newHome(t)
	source := enginetest.Start(t, o)
	source.Load(1)
	source.Fill(5000, 200)
	source.Exec("sh", "-c", "echo 'not ours' > /data/foreign.txt")
	source.Cmd("SAVE")
	before := stateOf(source)

	w := startWriter(t, source)
	stop := benchmark(t, source)
	acknowledged := int64(0)
	for range sized(3, 20) {
		acknowledged = w.done.Load()
		h.snapshot(source.Name)
		h.holds(nil, nil)
	}
	if w.done.Load() <= acknowledged {
		t.Error("the writer stood still while a snapshot was taken")
	}
	stop()
	w.end(t)

	// Exec's processes and connections are gone a moment after redisbak is.
	var after state
	same := func() bool { after = stateOf(source); return after.equal(before) }
	if !enginetest.Poll(20*time.Second, same) {
		t.Errorf("the source afterwards:\n%v\nbefore:\n%v", after, before)
	}
	if source.Field("rdb_last_bgsave_status") != "ok" {
		t.Error("the source's last save failed")
	}
	started := h.restore("--start")
	recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
	prefix(t, recovered, acknowledged)
}

// state is what a server shows of how it is set up and who is there.
type state struct {
	config    string
	clients   []string
	processes []string
	files     []string
}

func stateOf(r *enginetest.Redis) state {
	var s state
	s.config = configOf(r)
	for line := range strings.Lines(r.Cmd("CLIENT", "LIST")) {
		// A client without what changes with each of its commands.
		for _, field := range strings.Fields(line) {
			if strings.HasPrefix(field, "name=") || strings.HasPrefix(field, "user=") || strings.HasPrefix(field, "flags=") {
				s.clients = append(s.clients, field)
			}
		}
	}
	top, err := enginetest.Docker("top", r.Name, "-eo", "pid,args")
	if err != nil {
		return s // unlike any other
	}
	for line := range strings.Lines(top) {
		_, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		s.processes = append(s.processes, strings.TrimSpace(args))
	}
	s.files = strings.Fields(r.Exec("sh", "-c", "ls -A /data"))
	return s
}

func (s state) equal(o state) bool {
	return s.config == o.config && slices.Equal(s.clients, o.clients) && slices.Equal(s.processes, o.processes) && slices.Equal(s.files, o.files)
}

func (s state) String() string {
	return fmt.Sprintf("%d bytes of CONFIG, clients %q, processes %q, files %q", len(s.config), s.clients, s.processes, s.files)
}

// writer writes rounds of numbered commands and checks each answer.
type writer struct {
	done atomic.Int64 // the last round that was answered
	conn *enginetest.Conn
	stop chan struct{}
	over sync.WaitGroup
	err  error // of the round after done
}

func startWriter(t *testing.T, r *enginetest.Redis) *writer {
	t.Helper()
	w := &writer{conn: r.Client(), stop: make(chan struct{})}
	w.over.Go(func() {
		for n := int64(1); ; n++ {
			select {
			case <-w.stop:
				return
			default:
			}
			if w.err = writeRound(w.conn, n); w.err != nil {
				return
			}
			w.done.Store(n)
		}
	})
	enginetest.Eventually(t, time.Minute, "the writer writes", func() bool { return w.done.Load() > 10 })
	return w
}

func (w *writer) end(t *testing.T) {
	t.Helper()
	close(w.stop)
	w.over.Wait()
	w.conn.Close()
	if w.err != nil {
		t.Errorf("a command of the writer failed after round %d: %v", w.done.Load(), w.err)
	}
}

// writeRound is one pipeline, and what a server must answer to it.
func writeRound(c *enginetest.Conn, n int64) error {
	number := strconv.FormatInt(n, 10)
	steps := []struct {
		command string
		want    string // empty: anything but an error
	}{
		{"MULTI", "OK"},
		{"SET w:round " + number, "QUEUED"},
		{"INCR w:count", "QUEUED"},
		{"EXEC", "OK\n" + number},
		{"GET w:round", number},
		{"HSET w:hash f" + strconv.FormatInt(n%500, 10) + " " + number, ""},
		{"LPUSH w:list " + number, ""},
		{"LTRIM w:list 0 499", "OK"},
		{"ZADD w:zset " + number + " m" + strconv.FormatInt(n%500, 10), ""},
		{"XADD w:stream MAXLEN ~ 500 * n " + number, ""},
		{"SET w:short " + number + " PX 50", "OK"},
		{"LINDEX w:list 0", number},
	}
	commands := make([][]string, len(steps))
	for i, s := range steps {
		commands[i] = strings.Fields(s.command)
	}
	answers, err := c.Pipe(commands)
	if err != nil {
		return err
	}
	for i, a := range answers {
		if refused, ok := a.(enginetest.Error); ok {
			return fmt.Errorf("%s: %w", steps[i].command, refused)
		}
		if got := enginetest.Text(a); steps[i].want != "" && got != steps[i].want {
			return fmt.Errorf("%s: %q, want %q", steps[i].command, got, steps[i].want)
		}
	}
	return nil
}

// benchmark is a mixed load from inside of the server's own network.
func benchmark(t *testing.T, r *enginetest.Redis) (stop func()) {
	t.Helper()
	program := "redis-benchmark"
	if strings.Contains(r.Image, "valkey") {
		program = "valkey-benchmark"
	}
	out, err := enginetest.Docker("run", "--detach", "--label", enginetest.Label, "--network", "container:"+r.ID, "--entrypoint", program, r.Image,
		"-q", "-l", "-c", "4", "-P", "8", "-d", "100", "-r", "5000", "-t", "set,get,incr,sadd,hset,zadd,mset")
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(out)
	stop = sync.OnceFunc(func() {
		// It ends at the first error that it is answered.
		running, err := enginetest.Docker("inspect", "--format", "{{.State.Running}}", id)
		if err != nil || strings.TrimSpace(running) != "true" {
			log, _ := enginetest.Docker("logs", "--tail", "3", id)
			t.Errorf("the benchmark did not go on to the end: %v %s", err, log)
		}
		if _, err := enginetest.Docker("rm", "--force", "--volumes", id); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// prefix: a restored server has whole rounds, and at least those that were
// answered before the snapshot was asked for.
func prefix(t *testing.T, r *enginetest.Redis, least int64) {
	t.Helper()
	round, err := strconv.ParseInt(r.Cmd("GET", "w:round"), 10, 64)
	if err != nil || round < least {
		t.Errorf("the snapshot ends at round %d (%v), and round %d was answered before it was asked for", round, err, least)
	}
	if count := r.Cmd("GET", "w:count"); count != strconv.FormatInt(round, 10) {
		t.Errorf("half a transaction: round %d, count %s", round, count)
	}
}

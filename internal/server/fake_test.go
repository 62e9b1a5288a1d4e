package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a server that shows what a real one cannot be made to show. It is a
// small model of one: its steps are functions that a test sets.
type fake struct {
	t  *testing.T
	ln net.Listener

	secure *tls.Config // nil: no TLS

	mu  sync.Mutex
	log []string // the commands that came, without their arguments

	sec, usec int64 // its clock
	runID     string
	lastSave  int64
	status    string
	saving    bool
	rewriting bool
	keys      int
	extra     string // further lines of INFO

	onInfo   func(n int)                          // before the n-th INFO is answered, from 1
	onSave   func() string                        // the answer to BGSAVE, raw
	onOther  func(args []string) (raw string)     // any other command; empty: as usual
	onAccept func(c net.Conn) (serve bool)        // before a connection is served
	onDone   func(args []string) (closeWire bool) // after each answer
	infos    int                                  // INFOs so far
}

func newFake(t *testing.T) *fake {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, ln: ln, sec: 1000, usec: 999_000, runID: strings.Repeat("a", 40), lastSave: 900, status: "ok", keys: 3}
	f.onSave = func() string { f.saving = true; return "+Background saving started\r\n" }
	f.onInfo = func(int) {}
	f.onOther = func([]string) string { return "" }
	f.onAccept = func(net.Conn) bool { return true }
	f.onDone = func([]string) bool { return false }
	var served sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); served.Wait() })
	served.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer func() { _ = c.Close() }()
				f.serve(c)
			})
		}
	})
	return f
}

func (f *fake) dial(ctx context.Context) (net.Conn, error) {
	f.set(func() {}) // what the test has written is seen by what serves
	var d net.Dialer
	return d.DialContext(ctx, "tcp", f.ln.Addr().String())
}

func (f *fake) options() Options { return Options{Dial: f.dial, Timeout: 5 * time.Second} }

func (f *fake) connect() *Server {
	f.t.Helper()
	s, err := Connect(f.t.Context(), f.options())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (f *fake) serve(c net.Conn) {
	f.mu.Lock()
	accept := f.onAccept
	f.mu.Unlock()
	if !accept(c) {
		return
	}
	if f.secure != nil {
		c = tls.Server(c, f.secure)
	}
	in := bufio.NewReader(c)
	for {
		args, err := readCommand(in)
		if err != nil {
			return
		}
		f.mu.Lock()
		answer := f.answer(args)
		done := f.onDone(args)
		f.mu.Unlock()
		if _, err := c.Write([]byte(answer)); err != nil || done {
			return
		}
	}
}

func (f *fake) answer(args []string) string {
	name := strings.ToUpper(args[0])
	f.log = append(f.log, name)
	if raw := f.onOther(args); raw != "" {
		return raw
	}
	switch name {
	case "PING":
		return "+PONG\r\n"
	case "TIME":
		return fmt.Sprintf("*2\r\n%s%s", bulk(strconv.FormatInt(f.sec, 10)), bulk(strconv.FormatInt(f.usec, 10)))
	case "INFO":
		f.infos++
		f.onInfo(f.infos)
		return bulk(f.info())
	case "BGSAVE":
		return f.onSave()
	}
	return "-ERR unknown command '" + args[0] + "', with args beginning with: '" + strings.Join(args[1:], "' '") + "' \r\n"
}

func (f *fake) info() string {
	flag := map[bool]int{true: 1}
	return fmt.Sprintf("# Server\r\nredis_version:7.0.15\r\nrun_id:%s\r\nrole:master\r\nloading:0\r\n"+
		"rdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%d\r\nrdb_last_bgsave_status:%s\r\naof_rewrite_in_progress:%d\r\n%s"+
		"# Keyspace\r\ndb0:keys=%d,expires=0,avg_ttl=0\r\n",
		f.runID, flag[f.saving], f.lastSave, f.status, flag[f.rewriting], f.extra, f.keys)
}

// set changes the model while it serves.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// calls counts how often a command came.
func (f *fake) calls(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.log {
		if c == name {
			n++
		}
	}
	return n
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func readCommand(in *bufio.Reader) ([]string, error) {
	n, err := readSize(in, '*')
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := readSize(in, '$')
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

func readSize(in *bufio.Reader, kind byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("unexpected line %q", line)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

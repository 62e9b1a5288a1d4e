package enginetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// answerLimit bounds one answer.
const answerLimit = 60 * time.Second

// Error is an error reply.
type Error string

func (e Error) Error() string { return string(e) }

// Conn speaks the Redis protocol (RESP2). Answers are string, int64, nil,
// []any, or inside of these Error.
type Conn struct {
	w   io.ReadWriteCloser
	in  *bufio.Reader
	out *bufio.Writer
}

// NewConn speaks over w.
func NewConn(w io.ReadWriteCloser) *Conn {
	return &Conn{w: w, in: bufio.NewReaderSize(w, 64<<10), out: bufio.NewWriterSize(w, 64<<10)}
}

// Close closes the connection. It may be closed more than once.
func (c *Conn) Close() { _ = c.w.Close() }

// Do sends one command and reads its answer.
func (c *Conn) Do(args ...string) (any, error) {
	answers, err := c.Pipe([][]string{args})
	if err != nil {
		return nil, err
	}
	if e, ok := answers[0].(Error); ok {
		return nil, e
	}
	return answers[0], nil
}

// Pipe sends many commands at once and reads their answers. An error reply is
// among the answers.
func (c *Conn) Pipe(commands [][]string) ([]any, error) {
	if d, ok := c.w.(net.Conn); ok {
		if err := d.SetDeadline(time.Now().Add(answerLimit)); err != nil {
			return nil, err
		}
	}
	for _, args := range commands {
		c.Queue(args...)
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	answers := make([]any, 0, len(commands))
	for range commands {
		v, err := c.Read()
		if err != nil {
			return nil, err
		}
		answers = append(answers, v)
	}
	return answers, nil
}

// Queue prepares a command to be sent by Flush.
func (c *Conn) Queue(args ...string) {
	fmt.Fprintf(c.out, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c.out, "$%d\r\n%s\r\n", len(a), a)
	}
}

// Flush sends what was queued.
func (c *Conn) Flush() error { return c.out.Flush() }

// Read reads one answer.
func (c *Conn) Read() (any, error) {
	line, err := c.Line()
	if err != nil {
		return nil, err
	}
	if line == "" {
		return nil, fmt.Errorf("empty line for an answer")
	}
	switch rest := line[1:]; line[0] {
	case '+':
		return rest, nil
	case '-':
		return Error(rest), nil
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	case '$':
		return c.bulk(rest)
	case '*':
		return c.array(rest)
	}
	return nil, fmt.Errorf("unknown answer %q", line)
}

// Line reads one line, for protocols that are not quite RESP.
func (c *Conn) Line() (string, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// Discard reads up to n raw bytes and drops them.
func (c *Conn) Discard(n int) (int, error) { return c.in.Discard(n) }

func (c *Conn) bulk(size string) (any, error) {
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 {
		return nil, err
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return nil, err
	}
	return string(b[:n]), nil
}

func (c *Conn) array(size string) (any, error) {
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 {
		return nil, err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = c.Read(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Text is an answer as text: lists one member a line.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		lines := make([]string, len(v))
		for i, m := range v {
			lines[i] = Text(m)
		}
		return strings.Join(lines, "\n")
	}
	return fmt.Sprint(v)
}

package enginetest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
)

// splice joins the two connections of a request that takes its own over. A
// fault's Upload and Bytes count after the engine has agreed to that.
func (p *Proxy) splice(w http.ResponseWriter, r *http.Request, f Fault, about *traffic) {
	up, err := p.dial(r.Context())
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer up.Close()
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	if err := r.Write(up); err != nil {
		panic(http.ErrAbortHandler)
	}
	answer := bufio.NewReader(up)
	head, err := readHead(answer)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if f.Then == Lost {
		f.strike()
		panic(http.ErrAbortHandler)
	}
	down, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer down.Close()
	hang := func() { up.Close(); down.Close() }
	defer context.AfterFunc(p.stop, hang)()
	defer p.keep(down)()
	if _, err := down.Write(head); err != nil {
		return
	}
	both := make(chan struct{}, 2)
	cut := func(from io.Reader, after int64, yes bool) io.Reader {
		if !yes {
			return from
		}
		return io.MultiReader(io.LimitReader(from, after), &breaker{hang: hang, f: f})
	}
	go func() {
		pump(up, cut(seen{buffered.Reader, about.up}, f.Upload, f.Upload > 0))
		both <- struct{}{}
	}()
	go func() { pump(down, cut(seen{answer, about.down}, f.Bytes, f.Then != Whole)); both <- struct{}{} }()
	<-both
	<-both
}

// keep holds account of a connection that the HTTP server has given away.
func (p *Proxy) keep(c net.Conn) (forget func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, c)
	}
}

// readHead reads the head of an answer, and leaves what comes after it.
func readHead(from *bufio.Reader) ([]byte, error) {
	var head []byte
	for {
		line, err := from.ReadBytes('\n')
		head = append(head, line...)
		if err != nil || len(bytes.TrimSpace(line)) == 0 {
			return head, err
		}
	}
}

// breaker is the end of a stream that a fault breaks off.
type breaker struct {
	hang func()
	f    Fault
}

func (b *breaker) Read([]byte) (int, error) {
	b.f.strike()
	if b.f.Then != Clean {
		b.hang()
	}
	return 0, io.EOF
}

// pump copies one direction and hands its end on.
func pump(to net.Conn, from io.Reader) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

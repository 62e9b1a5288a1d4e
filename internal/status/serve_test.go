package status

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// quickly are limits for tests that wait for them to be over.
func quickly() limits {
	return limits{look: 200 * time.Millisecond, read: 200 * time.Millisecond, write: 400 * time.Millisecond, idle: time.Second, shutdown: 200 * time.Millisecond}
}

const patience = 30 * time.Second

// running is a server on a port of its own. stop ends it and returns what
// Serve returned.
func running(t *testing.T, look Viewer, l limits) (address string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, ln, look, Options{}, l) }()
	stop = func() error {
		cancel()
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(patience):
			return errors.New("the server does not end")
		}
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String(), stop
}

func fetch(t *testing.T, address, path string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// A request that is under way when the daemon is told to end gets its answer.
func TestEndIsGraceful(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	address, stop := running(t, func(ctx context.Context) (View, error) {
		close(begun)
		select {
		case <-goOn:
			return quiet(t), nil
		case <-ctx.Done():
			return View{}, ctx.Err()
		}
	}, usual())
	answer := make(chan int, 1)
	go func() {
		got, err := http.Get("http://" + address + "/")
		if err != nil {
			answer <- 0 // it was cut off
			return
		}
		answer <- got.StatusCode
		got.Body.Close()
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	// Once nobody is let in any more, the end has begun.
	for {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			break
		}
		c.Close()
	}
	close(goOn)
	if status := <-answer; status != http.StatusOK {
		t.Errorf("the request that was under way: %d", status)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// One that takes too long is cut off, and what it waits for is told.
func TestEndComesAlsoWhereARequestHangs(t *testing.T) {
	begun, told := make(chan struct{}), make(chan struct{})
	l := quickly()
	l.look, l.write = patience, patience
	address, stop := running(t, func(ctx context.Context) (View, error) {
		close(begun)
		<-ctx.Done()
		close(told)
		return View{}, ctx.Err()
	}, l)
	go func() { _, _ = http.Get("http://" + address + "/") }() // it is cut off: that is an error for it
	<-begun
	if err := stop(); err != nil {
		t.Error(err)
	}
	select {
	case <-told:
	case <-time.After(patience / 2): // before its own time limit
		t.Error("the view is still being made")
	}
}

// A view that takes too long is given up: its context ends.
func TestALookHasATimeLimit(t *testing.T) {
	address, _ := running(t, func(ctx context.Context) (View, error) {
		<-ctx.Done()
		return View{}, ctx.Err()
	}, quickly())
	if status, body := fetch(t, address, "/"); status != http.StatusInternalServerError || !strings.Contains(body, "deadline exceeded") {
		t.Errorf("%d %s", status, body)
	}
}

// Clients that send half a request, or read no answer, are hung up on, and
// hold nothing meanwhile.
func TestSlowClientsAreCutOff(t *testing.T) {
	v := full(t)
	for i := range v.Sources { // 5 × 120 rows: far more than sockets buffer
		v.Sources[i].Snapshots = history(20_000, now(), time.Minute)
	}
	big := func(context.Context) (View, error) { return v, nil }
	for name, request := range map[string]string{
		"half a header": "GET / HTTP/1.1\r\nHost: local",
		"never reads":   strings.Repeat("GET /source/queue HTTP/1.1\r\nHost: localhost\r\n\r\n", 40),
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := running(t, big, quickly())
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			if status, _ := fetch(t, address, "/healthz"); status != http.StatusOK {
				t.Errorf("another client meanwhile: %d", status)
			}
			hungUp(t, c)
		})
	}
}

// hungUp waits until the other side closes the connection, without reading what
// it sent: the kernel says so only to who writes.
func hungUp(t *testing.T, c net.Conn) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := c.Write([]byte("X")); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server still holds the connection")
		}
	}
}

// What is too long to be honest is not read.
func TestAHugeHeaderIsRefused(t *testing.T) {
	address, _ := running(t, func(context.Context) (View, error) { return quiet(t), nil }, usual())
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
	}()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("%q, %v; want 431", line, err)
	}
}

// A port that is taken away is an error, and the listener is closed.
func TestServeSaysWhyItEnded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	err = Serve(t.Context(), ln, func(context.Context) (View, error) { return View{}, nil }, Options{})
	if err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("%v: does not name the address", err)
	}
}

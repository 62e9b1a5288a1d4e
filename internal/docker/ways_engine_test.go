//go:build engine

package docker

import (
	"archive/tar"
	"bytes"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

const engineSocket = "/var/run/docker.sock"

// overTCP makes the machine's engine reachable on a TCP port.
func overTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", engineSocket)
			if err != nil {
				from.Close()
				continue
			}
			go func() { io.Copy(to, from); to.(*net.UnixConn).CloseWrite() }()
			go func() { io.Copy(from, to); from.Close(); to.Close() }()
		}
	}()
	return "tcp://" + l.Addr().String()
}

// Whatever the way to the engine: a file goes in and comes out the same, and a
// tunnel carries.
func TestEveryWayToTheEngine(t *testing.T) {
	r := startRedis(t)
	volume := enginetest.NewVolume(t)
	fakeSSH(t, filepath.Join(t.TempDir(), "args"), engineSocket)
	content, _ := io.ReadAll(random(3 << 20))
	for _, host := range []string{"unix://" + engineSocket, overTCP(t), "ssh://far"} {
		e := connectTo(t, Env{Host: host})
		h := newHelper(t, e, volume, true)
		err := h.Write(t.Context(), func(w *tar.Writer) error {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "data/f", Mode: 0o600, Size: int64(len(content))}); err != nil {
				return err
			}
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			t.Errorf("%s: write: %v", host, err)
			continue
		}
		f, err := h.Open(t.Context(), "/data/f")
		if err != nil {
			t.Errorf("%s: open: %v", host, err)
			continue
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: read %d bytes, %v", host, len(got), err)
		}
		f.Close()
		conn, err := e.DialExec(t.Context(), r.ID, 6379, "")
		if err != nil {
			t.Errorf("%s: tunnel: %v", host, err)
			continue
		}
		if got := ping(conn); got != "+PONG" {
			t.Errorf("%s: %s", host, got)
		}
		conn.Close()
	}
}

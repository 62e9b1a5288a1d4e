package docker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// Tests start this binary anew as one of these children.
const (
	// tunnelChild names a container to open a tunnel to.
	tunnelChild = "REDISBAK_TEST_TUNNEL"
	// sshChild names a file for the child's arguments; sshSocket the socket
	// that its streams are joined to.
	sshChild  = "REDISBAK_TEST_SSH"
	sshSocket = "REDISBAK_TEST_SSH_SOCKET"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(tunnelChild) != "":
		os.Exit(holdTunnel(os.Getenv(tunnelChild)))
	case os.Getenv(sshChild) != "":
		os.Exit(playSSH(os.Getenv(sshChild), os.Getenv(sshSocket)))
	}
	os.Exit(m.Run())
}

// holdTunnel opens a tunnel, says so, and waits for its death.
func holdTunnel(id string) int {
	e, err := Connect(context.Background(), Environment(os.Getenv))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	conn, err := e.DialExec(context.Background(), id, 6379, "")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(ping(conn))
	select {}
}

func ping(conn net.Conn) string {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err.Error()
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err.Error()
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(answer)
}

// playSSH does what ssh and the far side's dial-stdio do together. Without a
// socket it fails as ssh does.
func playSSH(args, socket string) int {
	if err := os.WriteFile(args, []byte(strings.Join(os.Args[1:], " ")), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ssh: connect to host\nnowhere: no route")
		return 255
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.(*net.UnixConn).CloseWrite()
	}()
	io.Copy(os.Stdout, conn)
	return 0
}

// Nc joins its standard streams to a TCP port, with the manners of busybox's:
// the end of its input closes one direction, the end of the answer ends it.
package main

import (
	"io"
	"net"
	"os"
)

func main() {
	if len(os.Args) != 3 { // -h too
		os.Stderr.WriteString("usage: nc HOST PORT\n")
		os.Exit(1)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(os.Args[1], os.Args[2]))
	if err != nil {
		os.Exit(1)
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(os.Stdout, conn)
}

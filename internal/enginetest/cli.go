package enginetest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Docker runs the docker command and returns what it printed. The error holds
// what it complained about.
func Docker(args ...string) (string, error) {
	cmd := exec.Command("docker", args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out.String(), nil
}

// readFile takes one file out of a container, running or not.
func readFile(container, path string) ([]byte, error) {
	out, err := Docker("cp", container+":"+path, "-")
	if err != nil {
		return nil, err
	}
	r := tar.NewReader(strings.NewReader(out))
	if _, err := r.Next(); err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// tunnelScript joins its standard input and output to the server's port, and
// leaves no process behind when the input ends.
const tunnelScript = `exec 3<>/dev/tcp/127.0.0.1/"$1" || exit 1; cat <&3 & cat >&3; kill $!`

// tunnel is a connection to a port inside a container without network.
func tunnel(container, port string) (io.ReadWriteCloser, error) {
	cmd := exec.Command("docker", "exec", "--interactive", container, "bash", "-c", tunnelScript, "tunnel", port)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &pipes{Reader: out, WriteCloser: in, cmd: cmd}, nil
}

type pipes struct {
	io.Reader
	io.WriteCloser
	cmd *exec.Cmd
}

// Close ends the input, upon which the script ends by itself.
func (p *pipes) Close() error {
	err := p.WriteCloser.Close()
	var exit *exec.ExitError
	if werr := p.cmd.Wait(); err == nil && !errors.As(werr, &exit) {
		err = werr
	}
	return err
}

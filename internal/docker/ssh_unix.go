//go:build unix

package docker

import (
	"os/exec"
	"syscall"
)

// ownSession keeps the terminal's signals from the child: what we clean up
// after Ctrl-C goes through its connection.
func ownSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

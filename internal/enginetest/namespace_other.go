//go:build !linux

package enginetest

import (
	"errors"
	"syscall"
)

// ownNetwork is for Linux: elsewhere no second engine can be kept apart from
// the machine's.
func ownNetwork(*syscall.SysProcAttr) error {
	return errors.New("no network namespaces on this system")
}

package enginetest

import "syscall"

// ownNetwork puts a process into a network namespace of its own: an engine
// without a bridge takes docker0 away, and that of the machine's engine is not
// its to take.
func ownNetwork(attr *syscall.SysProcAttr) error {
	attr.Cloneflags |= syscall.CLONE_NEWNET
	return nil
}

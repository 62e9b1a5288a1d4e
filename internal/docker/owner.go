package docker

import (
	"fmt"
	"regexp"
)

// Labels of our objects.
const (
	labelRole = "redisbak.role"
	labelRepo = "redisbak.repo"
	labelRun  = "redisbak.run"
)

// labelMade is asked for with a mount. The engine writes it on a volume only
// where it has to make that one for the mount.
const labelMade = "redisbak.made"

// Roles of our objects.
const (
	RoleHelper   = "helper"
	RoleVerify   = "verify"
	RoleRecovery = "recovery"
)

// NoRepo stands for the repository where none can be written to. Such objects
// are never swept.
const NoRepo = "none"

// Owner says whose an object is. It is written on it as labels and never
// changes.
type Owner struct {
	Role string // RoleHelper, RoleVerify or RoleRecovery
	Repo string // id of the repository, or NoRepo
	Run  string // id of the run
}

func (o Owner) labels() map[string]string {
	return map[string]string{labelRole: o.Role, labelRepo: o.Repo, labelRun: o.Run}
}

// OwnerOf reads the labels of an object; ok is false where it is not ours.
func OwnerOf(labels map[string]string) (o Owner, ok bool) {
	o = Owner{Role: labels[labelRole], Repo: labels[labelRepo], Run: labels[labelRun]}
	return o, o.check() == nil
}

var ownerWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

func (o Owner) check() error {
	switch o.Role {
	case RoleHelper, RoleVerify, RoleRecovery:
	default:
		return &GuardError{Reason: fmt.Sprintf("unknown role %q", o.Role)}
	}
	if !ownerWord.MatchString(o.Repo) {
		return &GuardError{Reason: fmt.Sprintf("bad repository id %q", o.Repo)}
	}
	if !ownerWord.MatchString(o.Run) {
		return &GuardError{Reason: fmt.Sprintf("bad run id %q", o.Run)}
	}
	return nil
}

// checkOwned is the guard before every deletion: the object's labels must be
// exactly the owner's.
func checkOwned(kind, name string, labels map[string]string, o Owner) error {
	if err := o.check(); err != nil {
		return err
	}
	if have, ok := OwnerOf(labels); !ok || have != o {
		return &GuardError{Reason: fmt.Sprintf("%s %s is not ours to remove", kind, name)}
	}
	return nil
}

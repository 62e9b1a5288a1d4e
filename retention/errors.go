package retention

import (
	"fmt"

	"github.com/redisbak/redisbak/snapshot"
)

// PolicyError says that a policy cannot be meant.
type PolicyError struct {
	Rule string // the rule that is wrong; empty: there is none at all
	Why  string
}

func (e *PolicyError) Error() string {
	if e.Rule == "" {
		return "retention policy: " + e.Why
	}
	return "retention policy: " + e.Rule + ": " + e.Why
}

// DeleteAllError says that no rule of a policy keeps any of the good snapshots.
type DeleteAllError struct {
	Good int // how many there are
}

func (e *DeleteAllError) Error() string {
	return fmt.Sprintf("retention policy: keeps none of the good snapshots, of which there are %d", e.Good)
}

// SharedError says that two containers write snapshots of the source in turn:
// of a day's newest one, nobody can tell what it makes superfluous.
type SharedError struct {
	Containers [2]string // ids
}

func (e *SharedError) Error() string {
	return fmt.Sprintf("retention: containers %.12s and %.12s write its snapshots in turn", e.Containers[0], e.Containers[1])
}

// InputError says that what is to be decided upon cannot be right.
type InputError struct {
	ID  snapshot.ID // empty where it is not about one snapshot
	Why string
}

func (e *InputError) Error() string {
	if e.ID == "" {
		return "retention: " + e.Why
	}
	return "retention: snapshot " + string(e.ID) + ": " + e.Why
}

package repo

import (
	"fmt"

	"github.com/redisbak/redisbak/snapshot"
)

// Words for what is known of a snapshot by booting it.
const (
	Passed = "passed"
	Failed = "failed"
	Never  = "never"
)

// State is the judgement of the capture, or Good once a user has accepted it.
func (e Entry) State() snapshot.State {
	if e.Marks.Accepted {
		return snapshot.Good
	}
	return e.Manifest.State
}

// Verified is Passed, Failed or Never. A boot that could not be carried out
// says nothing, and neither does a proof that cannot be read.
func (e Entry) Verified() string {
	if e.Proof != nil {
		switch e.Proof.Result {
		case snapshot.Passed:
			return Passed
		case snapshot.Failed:
			return Failed
		}
	}
	return Never
}

// Good says whether the snapshot may be chosen without being named: its state
// is good, or it was accepted, and no verification has failed.
func (e Entry) Good() bool { return e.State() == snapshot.Good && e.Verified() != Failed }

// WhyNotGood is empty for a good snapshot.
func (e Entry) WhyNotGood() string {
	switch {
	case e.Verified() == Failed:
		return fmt.Sprintf("verification failed: %s", e.Proof.Reason)
	case e.State() != snapshot.Good:
		return fmt.Sprintf("%s: %s", e.State(), e.Manifest.Reason)
	}
	return ""
}

// StoredBytes is the size of the payload as it is stored.
func (e Entry) StoredBytes() int64 {
	var n int64
	for _, f := range e.Manifest.Files {
		n += f.StoredSize
	}
	return n
}

// Bytes is the size of the payload as the server wrote it.
func (e Entry) Bytes() int64 {
	var n int64
	for _, f := range e.Manifest.Files {
		n += f.Size
	}
	return n
}

// Keys is the number of keys in all databases, nil where it is not known.
func (e Entry) Keys() *int64 {
	if e.Manifest.Keyspace == nil {
		return nil
	}
	var n int64
	for _, k := range e.Manifest.Keyspace {
		n += k.Keys
	}
	return &n
}

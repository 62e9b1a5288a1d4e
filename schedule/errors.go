package schedule

import (
	"errors"
	"fmt"
)

var (
	// ErrZone is why a spec is refused that names a time zone: the zone is a
	// setting of its own.
	ErrZone = errors.New("a time zone has no place in it")
	// ErrNever is why a spec is refused that has no day at all, as 30 February.
	ErrNever = errors.New("there is no such day, it would never run")

	// ErrStopped is for what is asked of a Runner that does not run.
	ErrStopped = errors.New("the schedule does not run")
	// ErrTwice is for a Runner that is run for the second time.
	ErrTwice = errors.New("the schedule runs already, or has ended")

	errGone = errors.New("the run ended its goroutine and returned nothing")
)

// SpecError says that a text is no spec, and why.
type SpecError struct {
	Text string // cut, if it is over-long
	Err  error
}

func (e *SpecError) Error() string { return fmt.Sprintf("schedule %q: %s", e.Text, e.Err) }

func (e *SpecError) Unwrap() error { return e.Err }

// JobError says that a job cannot be meant.
type JobError struct {
	Name string
	Why  string
}

func (e *JobError) Error() string { return fmt.Sprintf("job %q: %s", e.Name, e.Why) }

// UnknownError says that there is no job of this name.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("job %q: there is none of this name", e.Name)
}

// BusyError says that a job runs already, or waits for others to end.
type BusyError struct {
	Name  string
	State State
}

func (e *BusyError) Error() string {
	if e.State == Waiting {
		return fmt.Sprintf("job %q: is due already, and waits for others to end", e.Name)
	}
	return fmt.Sprintf("job %q: runs already", e.Name)
}

// PanicError is what a run that panicked has failed with.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Final marks the error of a run that is not to be tried again: what it did has
// come to an end, if not to a good one.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return &finalError{err}
}

type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

func final(err error) bool {
	var f *finalError
	return errors.As(err, &f)
}

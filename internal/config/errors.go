package config

import (
	"cmp"

	"slices"
	"strings"
)

// Fault is one thing that is wrong.
type Fault struct {
	Place string // file:line:column, a variable, an option, or a container and its label
	Key   string // the path of the key, like sources[0].schedule; "" where there is none
	Why   string
	Hint  string // what to write instead, or ""

	line, column int
}

// String is the whole of it in one line.
func (f Fault) String() string {
	text := f.Place
	if f.Key != "" {
		text += ": " + f.Key
	}
	text += ": " + f.Why
	if f.Hint != "" {
		text += " (" + f.Hint + ")"
	}
	return text
}

// Warning is something that may not be meant, and stops nothing.
type Warning Fault

// String is the whole of it in one line.
func (w Warning) String() string { return Fault(w).String() }

// Error is all that is wrong, in the order of the file and then of the rest.
type Error struct{ Faults []Fault }

// Error has one line for each fault.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// failure is the error of these faults, or nil where there are none.
func failure(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	const last = 1 << 62
	at := func(line int) int { // what is in no file comes last
		if line == 0 {
			return last
		}
		return line
	}
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(at(a.line), at(b.line)), cmp.Compare(a.column, b.column))
	})
	return &Error{Faults: faults}
}

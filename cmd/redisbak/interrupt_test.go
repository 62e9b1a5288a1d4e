package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// A snapshot that was committed, and whose verification was interrupted, is an
// interrupted command all the same. A verdict stays one.
func TestInterruptIsNoOutcome(t *testing.T) {
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"nothing left to do", interrupted, nil, exitOK},
		{"an error", interrupted, errors.New("read: context canceled"), exitInterrupted},
		{"not verified", interrupted, &outcomeError{exitReserved}, exitInterrupted},
		{"one of several failed", interrupted, &outcomeError{exitFailure}, exitInterrupted},
		{"failed verification", interrupted, &outcomeError{exitVerify}, exitVerify},
		{"not interrupted", t.Context(), &outcomeError{exitReserved}, exitReserved},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			a := &app{world: world{stderr: &stderr, getenv: func(string) string { return "" }}}
			if got := a.finish(tt.ctx, tt.err); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
			if said := stderr.String() == "error: interrupted\n"; said != (tt.want == exitInterrupted) {
				t.Errorf("stderr %q", stderr.String())
			}
		})
	}
}

//go:build engine

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// shape is what a JSON document must look like: a map of exactly these
// members, a list with one shape for each of its members, or a kind.
type shape any

type kind string

const (
	text     kind = "string"
	filled   kind = "string that is not empty"
	boolean  kind = "boolean"
	whole    kind = "whole number"
	number   kind = "number"
	instant  kind = "instant in UTC"
	textNull kind = "string that is not empty, or null"
	null     kind = "null"
)

// snapshotShape is the promise for a snapshot in every document.
func snapshotShape(change map[string]shape) map[string]shape {
	s := map[string]shape{
		"id": filled, "source": filled, "method": filled, "state": filled, "accepted": boolean, "point_in_time": instant,
		"size_bytes": whole, "stored_bytes": whole, "keys": whole, "server_version": filled, "verified": filled,
		"verified_at": instant, "pinned": boolean, "tags": []shape{filled},
	}
	maps.Copy(s, change)
	return s
}

func unverified() map[string]shape {
	return snapshotShape(map[string]shape{"verified_at": null})
}

// differs says in words where a value is not of a shape.
func differs(at string, want shape, got any) []string {
	switch want := want.(type) {
	case map[string]shape:
		object, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %T, want an object", at, got)}
		}
		have, promised := slices.Sorted(maps.Keys(object)), slices.Sorted(maps.Keys(want))
		if !slices.Equal(have, promised) {
			return []string{fmt.Sprintf("%s has members %q, promised are %q", at, have, promised)}
		}
		var all []string
		for _, name := range promised {
			all = append(all, differs(at+"."+name, want[name], object[name])...)
		}
		return all
	case []shape:
		list, ok := got.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %T, want a list", at, got)}
		}
		var all []string
		for i, v := range list {
			all = append(all, differs(fmt.Sprintf("%s[%d]", at, i), want[min(i, len(want)-1)], v)...)
		}
		return all
	case kind:
		if !want.fits(got) {
			return []string{fmt.Sprintf("%s is %v (%T), want a %s", at, got, got, want)}
		}
	}
	return nil
}

func (k kind) fits(v any) bool {
	s, isText := v.(string)
	n, isNumber := v.(float64)
	switch k {
	case text:
		return isText
	case filled:
		return isText && s != ""
	case textNull:
		return v == nil || isText && s != ""
	case boolean:
		_, ok := v.(bool)
		return ok
	case whole:
		return isNumber && n == float64(int64(n)) && n >= 0
	case number:
		return isNumber && n > 0
	case instant:
		at, err := time.Parse(time.RFC3339, s)
		return err == nil && at.Location() == time.UTC && time.Since(at) < time.Hour
	}
	return v == nil
}

// The documents of --json have exactly the promised members, of the promised
// types, and are all that stdout gets.
func TestJSONDocuments(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	source := enginetest.Start(t, enginetest.Options{})
	source.Load(1)
	problems := []shape{map[string]shape{"id": filled, "file": text, "problem": filled}}
	steps := []shape{map[string]shape{"action": filled, "detail": filled}}
	proofs := map[string]shape{"proofs": []shape{map[string]shape{
		"id": filled, "result": filled, "keys": whole, "duration_seconds": number, "reason": text,
	}}}
	step := func(code int, want shape, members int, args ...string) map[string]any {
		t.Helper()
		r := h.run(append(args, "--json")...).must(t, code)
		doc := document[map[string]any](t, r)
		for _, d := range differs(args[0], want, doc) {
			t.Errorf("%s: %s", r.args, d)
		}
		for _, v := range doc {
			if list, ok := v.([]any); ok && members >= 0 && len(list) != members {
				t.Errorf("%s: %d members, want %d: %s", r.args, len(list), members, r.stdout)
			}
		}
		return doc
	}
	first := step(exitOK, map[string]shape{"snapshots": []shape{snapshotShape(nil)}}, 1, "snapshot", source.Name, "--tag", "before-upgrade", "--tag", "b")
	step(exitOK, map[string]shape{"snapshots": []shape{unverified()}}, 1, "snapshot", source.Name, "--no-verify", "--compression", "none")
	listed := step(exitOK, map[string]shape{"snapshots": []shape{unverified(), snapshotShape(nil)}, "problems": problems}, -1, "list")
	wantSame(t, "list and snapshot", listed["snapshots"].([]any)[1], first["snapshots"].([]any)[0])
	step(exitOK, proofs, 1, "verify")
	step(exitOK, proofs, 2, "verify", "--all")
	step(exitOK, proofs, 0, "verify", "--unverified")
	step(exitOK, map[string]shape{"checked": whole, "problems": problems}, 0, "check", "--read-data")

	restored := func(container shape) map[string]shape {
		return map[string]shape{
			"snapshot": snapshotShape(nil), "volume": filled, "verified": filled, "keys": whole, "container": container,
			"dry_run": boolean, "steps": steps,
		}
	}
	step(exitOK, restored(null), -1, "restore", "--dry-run")
	step(exitOK, restored(null), -1, "restore", "--volume", source.Name+"-json")
	step(exitOK, restored(filled), -1, "restore", "--start")

	// A directory whose manifest is gone is a problem, and no snapshot.
	broken := filepath.Join(h.dir, source.Name, "20260101T000000Z-abcd")
	if err := os.Mkdir(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	listed = step(exitOK, map[string]shape{"snapshots": []shape{snapshotShape(nil)}, "problems": problems}, -1, "list")
	if got := len(listed["problems"].([]any)); got != 1 {
		t.Errorf("%d problems, want 1", got)
	}
	checked := step(exitVerify, map[string]shape{"checked": whole, "problems": problems}, 1, "check")
	if checked["problems"].([]any)[0].(map[string]any)["id"] != "20260101T000000Z-abcd" {
		t.Errorf("the problem names %v", checked["problems"])
	}
	// What failed before it had anything to tell prints no document.
	if r := h.run("snapshot", source.Name+"-typo", "--json").must(t, exitFailure); r.stdout != "" {
		t.Errorf("stdout of a failure: %s", r.stdout)
	}
}

func wantSame(t *testing.T, what string, a, b any) {
	t.Helper()
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	if err1 != nil || err2 != nil || string(x) != string(y) {
		t.Errorf("%s differ:\n%s\n%s", what, x, y)
	}
}

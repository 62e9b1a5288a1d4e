package enginetest

import (
	"strings"
	"testing"
)

// Attach is a server in a running container that something else has started.
// Of o, Name, Password and the port in Args count. The container is not
// removed when the test ends.
func Attach(t testing.TB, o Options) *Redis {
	t.Helper()
	out, err := Docker("inspect", "--format", "{{.Id}} {{.Config.Image}}", o.Name)
	fields := strings.Fields(out)
	if err != nil || len(fields) != 2 {
		t.Fatalf("inspect %s: %v: %s", o.Name, err, out)
	}
	r := &Redis{ID: fields[0], Name: o.Name, Image: fields[1], t: t, password: o.Password, port: "6379"}
	r.arguments(o)
	t.Cleanup(r.reset)
	r.WaitReady()
	return r
}

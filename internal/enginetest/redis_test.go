//go:build engine

package enginetest

import (
	"slices"
	"strings"
	"testing"
)

// The helper is worth something only if a dump survives a restart unchanged,
// and if any change shows.
func TestDumpShowsEveryChangeAndNoOther(t *testing.T) {
	for _, image := range Images(t) {
		t.Run(Short(image), func(t *testing.T) {
			t.Parallel()
			r := Start(t, Options{Image: image, Args: []string{"--save", "3600", "1"}})
			r.Load(2)
			before, digest := r.Dump(t), r.Digest(t)
			if len(before) < 400 {
				t.Fatalf("only %d entries", len(before))
			}
			r.Restart()
			if got := r.Digest(t); got != digest {
				t.Errorf("digest after a restart: %s, was %s", got, digest)
			}
			if diff := Diff(before, r.Dump(t)); len(diff) > 0 {
				t.Fatalf("after a restart: %s", strings.Join(diff, "; "))
			}

			changes := []struct {
				command string
				want    string
			}{
				{"SET string:0:1 x", `"0/string:0:1" has another value (string)`},
				{"PERSIST string:0:4", `"0/string:0:4" expires at 0, was 4102444804004`},
				{"PEXPIREAT string:0:1 4102444900000", `"0/string:0:1" expires at 4102444900000, was 0`},
				{"DEL number:0:1", `"0/number:0:1" is missing (string)`},
				{"SET new x", `"0/new" is new (string)`},
				{"HSET hash:0:7 field3 x", `"0/hash:0:7" has another value (hash)`},
				{"LSET list:0:7 3 x", `"0/list:0:7" has another value (list)`},
				{"SADD set:0:0 x", `"0/set:0:0" has another value (set)`},
				{"ZINCRBY zset:0:0 1 x", `"0/zset:0:0" has another value (zset)`},
				{"XACK stream:0:0 readers 1700000000001-1", `"0/stream:0:0" has another value (stream)`},
				{"XGROUP DESTROY stream:0:1 idle", `"0/stream:0:1" has another value (stream)`},
				{"XADD stream:0:2 * a b", `"0/stream:0:2" has another value (stream)`},
				{"PFADD hll:0:0 x", `"0/hll:0:0" has another value (string)`},
			}
			if _, ok := before[functions]; ok {
				changes = append(changes, struct{ command, want string }{"FUNCTION FLUSH SYNC", `"functions" is missing (functions)`})
			}
			if _, ok := before["0/hash with expiring fields"]; ok {
				r.Cmd("HPERSIST", "hash with expiring fields", "FIELDS", "1", "a")
				if diff := Diff(before, r.Dump(t)); !slices.Equal(diff, []string{`"0/hash with expiring fields" has another value (hash)`}) {
					t.Errorf("HPERSIST: %q", diff)
				}
			}
			for _, c := range changes {
				was := r.Dump(t)
				r.Cmd(strings.Fields(c.command)...)
				if diff := Diff(was, r.Dump(t)); !slices.ContainsFunc(diff, func(s string) bool { return same(s, c.want) }) || len(diff) != 1 {
					t.Errorf("%s: %q, want %q", c.command, diff, c.want)
				}
			}
		})
	}
}

// same forgives the last digits of an expiry, which 6.0 does not tell exactly.
func same(got, want string) bool {
	if !strings.Contains(want, "expires") {
		return got == want
	}
	return strings.HasPrefix(got, want[:strings.LastIndex(want, "expires")])
}

func TestServerWithoutNetworkIsReached(t *testing.T) {
	for _, image := range Images(t) {
		t.Run(Short(image), func(t *testing.T) {
			t.Parallel()
			r := Start(t, Options{Image: image, Network: "none", Password: "s3cret words"})
			r.Load(1)
			if len(r.Databases()) != 4 {
				t.Errorf("databases: %v", r.Databases())
			}
			clients, processes := r.Field("connected_clients"), r.processes()
			c := r.Client()
			if _, err := c.Do("PING"); err != nil {
				t.Fatal(err)
			}
			if r.Field("connected_clients") == clients || r.processes() == processes {
				t.Error("the further client does not show")
			}
			c.Close()
			Eventually(t, answerLimit, "the closed client goes", func() bool {
				return r.Field("connected_clients") == clients && r.processes() == processes
			})
		})
	}
}

// processes counts those in the container.
func (r *Redis) processes() int {
	r.t.Helper()
	return strings.Count(r.docker("top", r.Name, "-eo", "pid,args"), "\n")
}

//go:build engine

package server

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// withAOF is a server whose rewrites last for a while where pause is not "0".
func withAOF(t *testing.T, image, pause string) *enginetest.Redis {
	t.Helper()
	r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--appendonly", "yes", "--save", "", "--rdb-key-save-delay", pause}})
	populate(r, "1000")
	return r
}

// baseOf is what a rewrite replaces: the base in the manifest, or the one file.
func baseOf(r *enginetest.Redis) string {
	return r.Exec("sh", "-c", `cat /data/appendonlydir/*.manifest 2>/dev/null | grep 'type b' || stat -c %i /data/appendonly.aof`)
}

func rewriteOptions(r *enginetest.Redis) RewriteOptions {
	return RewriteOptions{Base: func(context.Context) (string, error) { return baseOf(r), nil }}
}

func TestRewrite(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := withAOF(t, image, "0")
		before := baseOf(r)
		if err := connectTo(t, r).Rewrite(t.Context(), rewriteOptions(r)); err != nil {
			t.Fatal(err)
		}
		if after := baseOf(r); after == before {
			t.Errorf("the base is still %s", after)
		}
	})
}

// FAULTS 3 and 6 for rewrites: one that others began is not ours, and one that
// is killed is told, whoever killed it.
func TestRewriteAmongOthers(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := withAOF(t, image, "1000")
		s := connectTo(t, r)
		rewriting := func(want string) func() bool {
			return func() bool { return r.Field("aof_rewrite_in_progress") == want }
		}
		r.Cmd("BGREWRITEAOF")
		enginetest.Eventually(t, time.Minute, "another's rewrite runs", rewriting("1"))
		r.Cmd("SET", "written after their fork", "1")
		if err := s.Rewrite(t.Context(), rewriteOptions(r)); err != nil {
			t.Fatal(err)
		}

		for name, disturb := range map[string]func(){
			"killed for want of memory": func() { killChild(t, r, "KILL") },
			"flushed":                   func() { killChild(t, r, "USR1") }, // how FLUSHALL does it
		} {
			done := make(chan error, 1)
			go func() { done <- s.Rewrite(t.Context(), rewriteOptions(r)) }()
			enginetest.Eventually(t, time.Minute, "our rewrite runs", rewriting("1"))
			disturb()
			err := <-done
			if failed := (*RewriteError)(nil); !errors.As(err, &failed) {
				t.Errorf("%s: %v", name, err)
			}
			enginetest.Eventually(t, time.Minute, "the server has noticed", rewriting("0"))
			r.Cmd("SET", "still writable", name)
		}
	})
}

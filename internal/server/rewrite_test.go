package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// rewriter is a fake with an AOF: its base is a number that grows.
type rewriter struct {
	*fake
	base int
}

func newRewriter(t *testing.T) *rewriter {
	r := &rewriter{fake: newFake(t)}
	r.extra = "aof_enabled:1\r\naof_last_bgrewrite_status:ok\r\n"
	r.onOther = func(args []string) string {
		if strings.ToUpper(args[0]) != "BGREWRITEAOF" {
			return ""
		}
		r.rewriting = true
		return "+Background append only file rewriting started\r\n"
	}
	return r
}

// ends has the rewrite end at the n-th INFO; how changes the model.
func (r *rewriter) ends(n int, how func()) {
	r.onInfo = func(i int) {
		if i == n {
			r.rewriting = false
			how()
		}
	}
}

func (r *rewriter) options() RewriteOptions {
	return RewriteOptions{Patience: time.Minute, Base: func(context.Context) (base string, err error) {
		r.set(func() { base = strings.Repeat("i", r.base) })
		return base, nil
	}}
}

func TestRewriteEndsWithAnotherBase(t *testing.T) {
	r := newRewriter(t)
	r.ends(4, func() { r.base++ })
	if err := r.connect().Rewrite(t.Context(), r.options()); err != nil {
		t.Error(err)
	}
	if n := r.calls("BGREWRITEAOF"); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// It may be over before anybody looks.
func TestRewriteThatIsDoneAtOnce(t *testing.T) {
	r := newRewriter(t)
	ask := r.onOther
	r.onOther = func(args []string) string {
		answer := ask(args)
		if answer != "" {
			r.rewriting = false
			r.base++
		}
		return answer
	}
	if err := r.connect().Rewrite(t.Context(), r.options()); err != nil {
		t.Error(err)
	}
}

func TestRewriteThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		how  func(r *rewriter)
		want string
	}{
		"killed for want of memory": {func(r *rewriter) { r.extra = "aof_last_bgrewrite_status:err\r\n" }, "the rewriting process failed"},
		"killed by FLUSHALL":        {func(*rewriter) {}, "stopped by another command"},
		"restarted":                 {func(r *rewriter) { r.runID = strings.Repeat("b", 40); r.base++ }, "the server was restarted"},
	} {
		r := newRewriter(t)
		r.ends(4, func() { c.how(r) })
		err := r.connect().Rewrite(t.Context(), r.options())
		if failed := (*RewriteError)(nil); !errors.As(err, &failed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if n := r.calls("BGREWRITEAOF"); n != 1 {
			t.Errorf("%s: %d requests: a second fork may do more harm than the first", name, n)
		}
	}
}

// A rewrite that runs already forked before the request; its end is waited for,
// and then another is asked for.
func TestRewriteAfterSomebodyElses(t *testing.T) {
	r := newRewriter(t)
	r.rewriting = true
	r.onInfo = func(n int) {
		if n == 3 || n == 6 {
			r.rewriting = false
			r.base++
		}
	}
	var waited string
	o := r.options()
	o.Waiting = func(what string) { waited = what }
	if err := r.connect().Rewrite(t.Context(), o); err != nil || r.base != 2 || waited != "another AOF rewrite" {
		t.Errorf("%v, base %d, waited for %q", err, r.base, waited)
	}
	r = newRewriter(t)
	r.rewriting = true
	o = r.options()
	o.Patience = 50 * time.Millisecond
	err := r.connect().Rewrite(t.Context(), o)
	if busy := (*BusyError)(nil); !errors.As(err, &busy) || err.Error() != "redis AOF rewrite: still waiting for another AOF rewrite after 0s" || r.calls("BGREWRITEAOF") != 0 {
		t.Errorf("got %v after %d requests", err, r.calls("BGREWRITEAOF"))
	}
}

// Where others leave no room for ours, the second of theirs that is seen to end
// forked after the call.
func TestRewriteWhereOthersNeverStop(t *testing.T) {
	r := newRewriter(t)
	r.rewriting = true
	r.onInfo = func(n int) {
		if n%3 == 0 {
			r.base++ // and the next one runs already
		}
	}
	if err := r.connect().Rewrite(t.Context(), r.options()); err != nil || r.base != 2 || r.calls("BGREWRITEAOF") != 0 {
		t.Errorf("%v, base %d, %d requests", err, r.base, r.calls("BGREWRITEAOF"))
	}
}

func TestRewriteThatIsRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"-NOPERM this user has no permissions to run the 'bgrewriteaof' command\r\n":       "redis refused BGREWRITEAOF: NOPERM",
		"-ERR unknown command 'BGREWRITEAOF', with args beginning with: \r\n":              "redis has no command BGREWRITEAOF",
		"-ERR Can't execute an AOF background rewriting. Please check the server logs\r\n": "redis AOF rewrite: ERR Can't execute",
		"+OK\r\n": "not a Redis server",
	} {
		r := newRewriter(t)
		r.onOther = func(args []string) string {
			if strings.ToUpper(args[0]) == "BGREWRITEAOF" {
				return answer
			}
			return ""
		}
		if err := r.connect().Rewrite(t.Context(), r.options()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

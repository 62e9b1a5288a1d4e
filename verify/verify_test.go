package verify_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/internal/repotest"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

const digest = "0123456789abcdef0123456789abcdef01234567"

// lab is a Lab that boots what the test says.
type lab struct {
	bootErr  error
	observed verify.Observation
	observe  error
	log      string
	writes   error
	closeErr error
	closed   int
}

func (l *lab) Boot(context.Context, repo.Entry, verify.BootOptions) (verify.Subject, error) {
	if l.bootErr != nil {
		return nil, l.bootErr
	}
	return subject{l}, nil
}

type subject struct{ *lab }

func facts() verify.Facts {
	return verify.Facts{Layout: "rdb", ImageID: "sha256:" + strings.Repeat("ab", 32), Server: "redis 7.0.15", Fill: time.Second, Load: time.Second}
}
func (s subject) Facts() verify.Facts                                 { return facts() }
func (s subject) Observe(context.Context) (verify.Observation, error) { return s.observed, s.observe }
func (s subject) TryWrites(context.Context) error                     { return s.writes }
func (s subject) Log(context.Context) (string, error)                 { return s.log, nil }
func (s subject) Close(context.Context) error                         { s.closed++; return s.closeErr }

// whole is what the snapshot of package repotest should show.
func whole() verify.Observation {
	return verify.Observation{Keyspace: []snapshot.Keys{{DB: 0, Keys: 3, Expires: 1}}, Digest: digest}
}

func options(warned *[]string) verify.Options {
	return verify.Options{Now: time.Now, Warn: func(w string) { *warned = append(*warned, w) }}
}

func TestVerdicts(t *testing.T) {
	fewer := whole()
	fewer.Keyspace = []snapshot.Keys{{DB: 0, Keys: 2, Expires: 1}}
	for _, c := range []struct {
		name   string
		lab    lab
		result snapshot.Result
		reason string
	}{
		{"all agrees", lab{observed: whole()}, snapshot.Passed, ""},
		{"the server refused intact bytes", lab{bootErr: &verify.RefusedError{Reason: "Bad file format", Facts: facts()}}, snapshot.Failed, "Bad file format"},
		{"other keys", lab{observed: fewer}, snapshot.Failed, "keys differ"},
		{"the log admits a truncation", lab{observed: whole(), log: "1:M # !!! Truncating the AOF at offset 7 !!!\n"}, snapshot.Failed, "Truncating"},
		{"the log admits a short read", lab{observed: whole(), log: "# Short read or OOM loading DB\n"}, snapshot.Failed, "Short read"},
		{"it cannot save", lab{observed: whole(), writes: &verify.RefusedError{Reason: "could not save"}}, snapshot.Failed, "could not save"},
		{"no memory", lab{bootErr: errors.New("not enough memory")}, snapshot.Inconclusive, "not enough memory"},
		{"killed while it counts", lab{observe: errors.New("connection lost")}, snapshot.Inconclusive, "connection lost"},
		{"killed while it saves", lab{observed: whole(), writes: errors.New("connection lost")}, snapshot.Inconclusive, "connection lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := repotest.New(t)
			e := repotest.Commit(t, r)
			var warned []string
			proof, err := verify.Run(t.Context(), &c.lab, r, e, options(&warned))
			if err != nil {
				t.Fatal(err)
			}
			if proof.Result != c.result || !strings.Contains(proof.Reason, c.reason) {
				t.Errorf("%s %q, want %s %q", proof.Result, proof.Reason, c.result, c.reason)
			}
			want := map[snapshot.Result]string{snapshot.Passed: repo.Passed, snapshot.Failed: repo.Failed, snapshot.Inconclusive: repo.Never}
			if got := repotest.Reload(t, r).Verified(); got != want[c.result] {
				t.Errorf("recorded: %s, want %s", got, want[c.result])
			}
			if booted := c.lab.bootErr == nil; booted != (c.lab.closed == 1) {
				t.Errorf("closed %d times", c.lab.closed)
			}
		})
	}
}

func TestInconclusiveKeepsTheOlderVerdict(t *testing.T) {
	r := repotest.New(t)
	var warned []string
	if _, err := verify.Run(t.Context(), &lab{observed: whole()}, r, repotest.Commit(t, r), options(&warned)); err != nil {
		t.Fatal(err)
	}
	proof, err := verify.Run(t.Context(), &lab{bootErr: errors.New("no image")}, r, repotest.Reload(t, r), options(&warned))
	if err != nil || proof.Result != snapshot.Inconclusive {
		t.Fatalf("%v, %v, want inconclusive", proof, err)
	}
	if got := repotest.Reload(t, r).Verified(); got != repo.Passed {
		t.Errorf("recorded: %s, want the older verdict", got)
	}
}

func TestADigestThatChangedSinceTheLastVerificationFails(t *testing.T) {
	r := repotest.New(t)
	var warned []string
	if _, err := verify.Run(t.Context(), &lab{observed: whole()}, r, repotest.Commit(t, r), options(&warned)); err != nil {
		t.Fatal(err)
	}
	other := whole()
	other.Digest = strings.Repeat("f", 40)
	proof, err := verify.Run(t.Context(), &lab{observed: other}, r, repotest.Reload(t, r), options(&warned))
	if err != nil || proof.Result != snapshot.Failed || !strings.Contains(proof.Reason, "digest differs") {
		t.Fatalf("%+v, %v, want failed by the digest", proof, err)
	}
}

// Neither damage in the repository nor the wrong image is a verdict.
func TestNoVerdict(t *testing.T) {
	for _, cause := range []error{&snapshot.MismatchError{Name: "dump.rdb.gz", What: snapshot.MismatchStoredSHA256}, &verify.IncompatibleError{Image: "redis:6.0"}} {
		r := repotest.New(t)
		var warned []string
		_, err := verify.Run(t.Context(), &lab{bootErr: cause}, r, repotest.Commit(t, r), options(&warned))
		if !errors.Is(err, cause) {
			t.Errorf("error %v, want %v", err, cause)
		}
		if got := repotest.Reload(t, r).Verified(); got != repo.Never {
			t.Errorf("recorded: %s, want never", got)
		}
	}
}

func TestAVerifierThatCannotBeRemovedIsSaid(t *testing.T) {
	r := repotest.New(t)
	var warned []string
	proof, err := verify.Run(t.Context(), &lab{observed: whole(), closeErr: errors.New("engine is gone")}, r, repotest.Commit(t, r), options(&warned))
	if err != nil || proof.Result != snapshot.Passed || len(warned) != 1 || !strings.Contains(warned[0], "engine is gone") {
		t.Errorf("%v, %v, warned %q", proof, err, warned)
	}
}

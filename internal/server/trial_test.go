//go:build engine

package server

import (
	"errors"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

func tryOut(t *testing.T, r *enginetest.Redis) *Trial {
	t.Helper()
	trial, err := ConnectTrial(t.Context(), optionsFor(t, r))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trial.Close() })
	return trial
}

// The life of a server on trial: a replica of nowhere is questioned, promoted,
// written to, saved and made to append.
func TestTrial(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--save", ""}})
		r.Load(1)
		r.Cmd("REPLICAOF", "127.0.0.1", "1")
		trial, ctx := tryOut(t, r), t.Context()

		digest, err := trial.Digest(ctx)
		if err != nil || digest != r.Digest(t) {
			t.Errorf("digest %q, %v; want %q", digest, err, r.Digest(t))
		}
		var refused *ReplyError
		if err := trial.WriteProbe(ctx); !errors.As(err, &refused) || !strings.HasPrefix(refused.Text, "READONLY") {
			t.Errorf("a write to a replica: %v", err)
		}
		if err := trial.Promote(ctx); err != nil {
			t.Fatal(err)
		}
		before := r.Dump(t)
		if err := trial.WriteProbe(ctx); err != nil {
			t.Error(err)
		}
		saved := r.Cmd("LASTSAVE")
		if err := trial.SaveAndWait(ctx); err != nil || r.Cmd("LASTSAVE") == saved {
			t.Errorf("save: %v at %s, before %s", err, r.Cmd("LASTSAVE"), saved)
		}
		if err := trial.AppendProbe(ctx); err != nil {
			t.Error(err)
		}
		if i, err := trial.Info(ctx); err != nil || i.AOFEnabled {
			t.Errorf("the append-only file is still on: %v", err)
		}
		if diff := enginetest.Diff(before, r.Dump(t)); len(diff) > 0 {
			t.Errorf("the data were changed: %v", diff)
		}
	})
}

// One that boots from an append-only file keeps it.
func TestAppendProbeWhereItIsOn(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--appendonly", "yes"}})
		size := r.Field("aof_current_size")
		if err := tryOut(t, r).AppendProbe(t.Context()); err != nil {
			t.Error(err)
		}
		if r.Field("aof_enabled") != "1" || r.Field("aof_current_size") == size {
			t.Errorf("aof_enabled %s, size %s, was %s", r.Field("aof_enabled"), r.Field("aof_current_size"), size)
		}
	})
}

// A data directory that belongs to someone else passes PING, DBSIZE and SET.
func TestTrialOfADirectoryThatCannotBeWritten(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--save", "3600", "1"}})
		r.Exec("chown", "-R", "0:0", "/data")
		r.Exec("chmod", "0755", "/data")
		trial := tryOut(t, r)
		if err := trial.WriteProbe(t.Context()); err != nil {
			t.Error(err)
		}
		if err := trial.AppendProbe(t.Context()); err == nil {
			t.Error("AppendProbe passes")
		}
		if err := trial.SaveAndWait(t.Context()); !asSaveError(t, err).MISCONF {
			t.Errorf("SaveAndWait: %v", err)
		}
	})
}

func TestDigestWhereDebugIsLocked(t *testing.T) {
	r := enginetest.Start(t, enginetest.Options{Args: []string{"--enable-debug-command", "no"}})
	if digest, err := tryOut(t, r).Digest(t.Context()); err == nil {
		t.Errorf("digest %q", digest)
	}
}

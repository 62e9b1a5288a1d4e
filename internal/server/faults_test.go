//go:build engine

package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// slow makes saves last for seconds: each key takes a while.
func slow(t *testing.T, image string, more ...string) *enginetest.Redis {
	t.Helper()
	r := enginetest.Start(t, enginetest.Options{Image: image, Args: append([]string{"--rdb-key-save-delay", "2000"}, more...)})
	populate(r, "1500")
	return r
}

type outcome struct {
	saved Save
	err   error
}

// saveDuring asks for a save, and calls disturb once its child is at work.
func saveDuring(t *testing.T, r *enginetest.Redis, s *Server, disturb func()) (Save, error) {
	t.Helper()
	done := make(chan outcome, 1)
	saves := r.Field("rdb_bgsave_in_progress")
	if saves != "0" {
		t.Fatal("a save runs already")
	}
	go func() {
		saved, err := s.Save(t.Context(), SaveOptions{})
		done <- outcome{saved, err}
	}()
	enginetest.Eventually(t, time.Minute, "a child at work", func() bool { return r.Field("rdb_bgsave_in_progress") == "1" })
	disturb()
	select {
	case o := <-done:
		return o.saved, o.err
	case <-time.After(time.Minute):
		t.Fatal("no end of the save")
		return Save{}, nil
	}
}

// killChild sends a signal to the server's child processes.
func killChild(t *testing.T, r *enginetest.Redis, signal string) {
	t.Helper()
	out := r.Exec("bash", "-c", `for s in /proc/[0-9]*/stat; do
		read -r pid _ _ parent _ 2>/dev/null <"$s" && [ "$parent" = 1 ] && kill -`+signal+` "$pid" && echo killed
	done; true`)
	if !strings.Contains(out, "killed") {
		t.Fatalf("no child to kill: %q", out)
	}
}

func asSaveError(t *testing.T, err error) *SaveError {
	t.Helper()
	var e *SaveError
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T)", err, err)
	}
	return e
}

// FAULTS 1: the child is killed and nothing says so but the save time.
func TestFlushallDuringTheSave(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := slow(t, image, "--save", "")
		r.Cmd("CONFIG", "SET", "rdb-key-save-delay", "0")
		r.Cmd("SAVE")
		old := dumpFile(r)
		r.Cmd("CONFIG", "SET", "rdb-key-save-delay", "2000")
		s := connectTo(t, r)
		_, err := saveDuring(t, r, s, func() { r.Cmd("FLUSHALL") })
		if e := asSaveError(t, err); !errors.Is(err, ErrAborted) || e.MISCONF {
			t.Errorf("got %v", err)
		}
		if dumpFile(r) != old {
			t.Error("the old file is not what it was")
		}
	})
}

// With save points, FLUSHALL writes the empty data set over the file by
// itself. The save counts, and what it says about the fork shows that the file
// is another one.
func TestFlushallThatSavesDuringTheSave(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := slow(t, image, "--save", "3600", "1")
		s := connectTo(t, r)
		saved, err := saveDuring(t, r, s, func() { r.Cmd("FLUSHALL") })
		if err != nil {
			t.Fatal(err)
		}
		if len(saved.Keyspace) != 1 || saved.Keyspace[0].Keys != 1501 {
			t.Errorf("keyspace %v", saved.Keyspace)
		}
		if n := len(dumpFile(r)); n > 500 {
			t.Errorf("the file has %d bytes", n)
		}
	})
}

// FAULTS 3: a killed child stops writes where there are save points.
func TestChildKilledDuringTheSave(t *testing.T) {
	tests := []struct {
		name    string
		signal  string
		args    []string
		misconf bool
		is      error
	}{
		{"kill -9 with save points", "KILL", []string{"--save", "3600", "1"}, true, nil},
		{"kill -9 without save points", "KILL", []string{"--save", ""}, false, nil},
		{"kill -9 where writes go on", "KILL", []string{"--save", "3600", "1", "--stop-writes-on-bgsave-error", "no"}, false, nil},
		{"on purpose", "USR1", []string{"--save", "3600", "1"}, false, ErrAborted},
	}
	perImage(t, func(t *testing.T, image string) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				r := slow(t, image, test.args...)
				s := connectTo(t, r)
				_, err := saveDuring(t, r, s, func() { killChild(t, r, test.signal) })
				e := asSaveError(t, err)
				if e.MISCONF != test.misconf || test.is != nil && !errors.Is(err, test.is) || test.is == nil && errors.Is(err, ErrAborted) {
					t.Errorf("got %v", err)
				}
				_, werr := r.Try("SET", "a", "b")
				if refused := werr != nil && strings.HasPrefix(werr.Error(), "MISCONF"); refused != test.misconf {
					t.Errorf("a write: %v", werr)
				}
				if test.misconf {
					testRecovery(t, r)
				}
			})
		}
	})
}

// testRecovery shows that a server which refuses writes, and with them PING,
// can still be reached, and that a good save ends that state.
func testRecovery(t *testing.T, r *enginetest.Redis) {
	t.Helper()
	r.Cmd("CONFIG", "SET", "rdb-key-save-delay", "0")
	s := connectTo(t, r)
	if i, err := s.Info(t.Context()); err != nil || i.LastBGSaveStatus != "err" {
		t.Errorf("got %q, %v", i.LastBGSaveStatus, err)
	}
	if _, err := s.Save(t.Context(), SaveOptions{}); err != nil {
		t.Error(err)
	}
	r.Cmd("SET", "a", "b")
}

// FAULTS 3: the fork itself is refused, here for want of a process id.
func TestForkRefused(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		for _, points := range [][]string{{"--save", ""}, {"--save", "3600", "1"}} {
			r := enginetest.Start(t, enginetest.Options{Image: image, Args: points})
			threads := strings.Fields(r.Exec("sh", "-c", "ls /proc/1/task | wc -w"))[0]
			if _, err := enginetest.Docker("update", "--pids-limit", threads, r.Name); err != nil {
				t.Fatal(err)
			}
			_, err := connectTo(t, r).Save(t.Context(), SaveOptions{})
			e := asSaveError(t, err)
			if !strings.Contains(err.Error(), "fork was refused") || e.MISCONF != (len(points) == 3) {
				t.Errorf("got %v", err)
			}
		}
	})
}

// FAULTS 4: a full volume.
func TestVolumeFullDuringTheSave(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--save", "3600", "1"},
			Docker: []string{"--tmpfs", "/small:size=1m,mode=777", "--workdir", "/small"}})
		r.Fill(20, 100_000)
		_, err := connectTo(t, r).Save(t.Context(), SaveOptions{})
		if e := asSaveError(t, err); !e.MISCONF || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("got %v", err)
		}
	})
}

// FAULTS 6: whoever was first is waited for, and their file not taken for ours.
func TestSaveDuringOthersWork(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		for _, command := range []string{"BGSAVE", "BGREWRITEAOF"} {
			t.Run(command, func(t *testing.T) {
				r := slow(t, image, "--save", "")
				s := connectTo(t, r)
				r.Cmd(command)
				r.Cmd("CONFIG", "SET", "rdb-key-save-delay", "0") // for ours
				r.Cmd("SET", "marker", "after-theirs-began")
				var told []string
				saved, err := s.Save(t.Context(), SaveOptions{Waiting: func(what string) { told = append(told, what) }})
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(dumpFile(r), "after-theirs-began") {
					t.Errorf("the file is older than the request: %+v", saved)
				}
				if len(told) != 1 {
					t.Errorf("told %q", told)
				}
			})
		}
	})
}

// FAULTS 7: a save ended, or the server was started, in this very second.
func TestSaveInTheSecondOfAnotherOrOfTheStart(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--save", ""}})
		s := connectTo(t, r)
		rounds := 3
		if full() {
			rounds = 30
		}
		for range rounds {
			r.Cmd("SAVE")
			r.Cmd("SET", "marker", "after-"+r.Cmd("LASTSAVE"))
			began := time.Now()
			if _, err := s.Save(t.Context(), SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d > 30*time.Second {
				t.Errorf("took %s", d)
			}
			if !strings.Contains(dumpFile(r), r.Cmd("GET", "marker")) {
				t.Error("the file is older than the request")
			}
		}
		r.Restart()
		// Another container may have taken the address meanwhile.
		s = connectTo(t, r)
		r.Cmd("SET", "marker", "after-the-start")
		if _, err := s.Save(t.Context(), SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(dumpFile(r), "after-the-start") {
			t.Error("the file is older than the request")
		}
	})
}

// FAULTS 7: the server goes away under the save, and another comes.
func TestServerRestartedDuringTheSave(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := slow(t, image, "--save", "")
		s := connectTo(t, r)
		_, err := saveDuring(t, r, s, func() { r.Kill(); r.Restart() })
		if !isUnreachable(err) {
			t.Errorf("got %v", err)
		}
	})
}

// FAULTS 17: a server that does not answer is given up in time.
func TestBlockedServer(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image})
		s := connectTo(t, r)
		blocker := r.Client()
		blocker.Queue("DEBUG", "SLEEP", "15")
		if err := blocker.Flush(); err != nil {
			t.Fatal(err)
		}
		enginetest.Eventually(t, 10*time.Second, "the server blocks", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := s.Info(ctx)
			return errors.Is(err, context.DeadlineExceeded)
		})

		ask := map[string]func(context.Context) error{
			"connect": func(ctx context.Context) error { _, err := Connect(ctx, optionsFor(t, r)); return err },
			"info":    func(ctx context.Context) error { _, err := s.Info(ctx); return err },
			"save":    func(ctx context.Context) error { _, err := s.Save(ctx, SaveOptions{}); return err },
		}
		for name, question := range ask {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			began := time.Now()
			err := question(ctx)
			cancel()
			if d := time.Since(began); !isUnreachable(err) || !errors.Is(err, context.DeadlineExceeded) || d > 3*time.Second {
				t.Errorf("%s: %v after %s", name, err, d)
			}
		}
		o := optionsFor(t, r)
		o.Timeout = 300 * time.Millisecond
		if _, err := Connect(t.Context(), o); !isUnreachable(err) || !strings.Contains(err.Error(), "no answer within 300ms") {
			t.Errorf("got %v", err)
		}
	})
}

// A server that loads tells how far it has come, and is asked for no save.
func TestLoadingServer(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image})
		r.Fill(2400, 10_000) // it looks up from loading every 2 MiB, for half a minute
		r.Cmd("SAVE")
		slower := enginetest.Start(t, enginetest.Options{Image: image, Volume: r.Volume, Unready: true,
			Args: []string{"--key-load-delay", "15000"}})
		var s *Server
		enginetest.Eventually(t, time.Minute, "an answer", func() (connected bool) {
			var err error
			s, err = Connect(t.Context(), optionsFor(t, slower))
			return err == nil
		})
		defer s.Close()
		i, err := s.Info(t.Context())
		if err != nil || !i.Loading || i.LoadedBytes <= 0 || i.LoadedBytes >= i.LoadTotal {
			t.Errorf("loading: %v, %d of %d bytes, %v", i.Loading, i.LoadedBytes, i.LoadTotal, err)
		}
		_, err = s.Save(t.Context(), SaveOptions{})
		var loading *LoadingError
		if !errors.As(err, &loading) {
			t.Errorf("got %v", err)
		}
	})
}

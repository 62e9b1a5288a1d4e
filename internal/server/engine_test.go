//go:build engine

package server

import (
	"context"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// full tells whether sweeps run at their full size.
func full() bool { return os.Getenv("REDISBAK_TEST_FULL") == "1" }

// perImage runs a test on every generation of servers, two at a time: most of
// the time goes by in waiting for the servers' next second.
func perImage(t *testing.T, test func(t *testing.T, image string)) {
	for _, image := range enginetest.Images(t) {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			test(t, image)
		})
	}
}

func optionsFor(t *testing.T, r *enginetest.Redis) Options {
	t.Helper()
	return Options{Timeout: 30 * time.Second, Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", r.Addr()) // which a restart may change
	}}
}

func connectTo(t *testing.T, r *enginetest.Redis) *Server {
	t.Helper()
	s, err := Connect(t.Context(), optionsFor(t, r))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// populate makes n small keys in database 0, one of them with a time to live.
func populate(r *enginetest.Redis, n string) {
	r.Cmd("DEBUG", "POPULATE", n)
	r.Cmd("SET", "expiring", "x", "EX", "100000")
}

func dumpFile(r *enginetest.Redis) string { return string(r.File("/data/dump.rdb")) }

// A save leaves on disk what was there before it was asked for, and tells the
// keys that were there at its fork, while the data change all the time.
func TestSave(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--save", "", "--rdb-key-save-delay", "100"}})
		populate(r, "2000")
		r.Cmd("SELECT", "5")
		r.Cmd("SET", "elsewhere", "y")
		r.Cmd("SELECT", "0")
		r.Cmd("SET", "marker", "before-the-request")
		s := connectTo(t, r)
		before, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		var progress [][2]int64
		saved, err := s.Save(t.Context(), SaveOptions{Progress: func(done, total int64) {
			progress = append(progress, [2]int64{done, total})
			r.Cmd("SET", "late", "after-the-fork")
		}})
		if err != nil {
			t.Fatal(err)
		}
		file := dumpFile(r)
		if !strings.Contains(file, "before-the-request") || strings.Contains(file, "after-the-fork") {
			t.Error("the file does not show the fork")
		}
		if want := []Keys{{0, 2002, 1}, {5, 1, 0}}; !slices.Equal(saved.Keyspace, want) {
			t.Errorf("keyspace %v, want %v", saved.Keyspace, want)
		}
		if saved.RunID != before.RunID || saved.RequestedAt.Unix() <= before.LastSaveTime || saved.SavedAt < saved.RequestedAt.Unix() || saved.ForkCOW == 0 {
			t.Errorf("got %+v", saved)
		}
		if before.HasKeysProcessed && (len(progress) == 0 || progress[0][1] < 2000) {
			t.Errorf("progress: %v", progress)
		}
		testStillSaved(t, r, s, saved)
	})
}

// testStillSaved sees any later save, even one in the very next moment.
func testStillSaved(t *testing.T, r *enginetest.Redis, s *Server, saved Save) {
	t.Helper()
	if err := s.SettleSecond(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.StillSaved(t.Context(), saved); !ok || err != nil {
		t.Errorf("no other save: %v, %v", ok, err)
	}
	r.Cmd("SAVE")
	if ok, err := s.StillSaved(t.Context(), saved); ok || err != nil {
		t.Errorf("another save: %v, %v", ok, err)
	}
}

// What goes to a source is no other command than these, and none of the
// library's own.
func TestCommandsSent(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--save", ""}})
		r.Cmd("CONFIG", "RESETSTAT")
		s := connectTo(t, r)
		saved, err := s.Save(t.Context(), SaveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SettleSecond(t.Context(), saved); err != nil {
			t.Fatal(err)
		}
		if _, err := s.StillSaved(t.Context(), saved); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Config(t.Context(), "dir", "save"); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		// MONITOR would not show BGSAVE and CONFIG.
		seen := map[string]bool{}
		for line := range strings.Lines(r.Cmd("INFO", "commandstats")) {
			if command, _, ok := strings.Cut(line, ":"); ok {
				seen[strings.TrimPrefix(command, "cmdstat_")] = true
			}
		}
		delete(seen, "config|resetstat")
		want := []string{"bgsave", "config|get", "info", "ping", "time"}
		if image == enginetest.Redis60 {
			want[1] = "config" // subcommands are not told apart
		}
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
	})
}

func TestInfoAndConfigOfRealServers(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--appendonly", "yes", "--maxmemory", "100mb", "--save", "60", "1"}})
		r.Load(1)
		s := connectTo(t, r)
		i, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kind, version, _ := strings.Cut(enginetest.Short(image), "-")
		if i.Software != kind || !strings.HasPrefix(i.Version, version+".") || i.Role != Master || i.Mode != "standalone" ||
			!i.AOFEnabled || i.AOFCurrentSize == 0 || i.MaxMemory != 100<<20 || i.ProcessID != 1 || i.TCPPort != 6379 ||
			i.UsedMemory == 0 || i.UsedMemoryDataset == 0 || len(i.Keyspace) != 4 || i.Keyspace[0].Expires == 0 {
			t.Errorf("got %+v", i)
		}
		c, err := s.Config(t.Context(), "dir", "dbfilename", "appendonly", "save", "appenddirname", "nonsense")
		if err != nil {
			t.Fatal(err)
		}
		_, multipart := c["appenddirname"]
		_, nonsense := c["nonsense"]
		if c["dir"] != "/data" || c["dbfilename"] != "dump.rdb" || c["appendonly"] != "yes" || c["save"] != "60 1" ||
			multipart != (version != "6.0") || nonsense {
			t.Errorf("got %v", c)
		}
	})
}

// Debian's servers are in protected mode, which is not a matter of passwords.
func TestProtectedMode(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Plain: true, Unready: true, Args: []string{"--protected-mode", "yes"}})
		var err error
		enginetest.Eventually(t, time.Minute, "an answer", func() bool {
			_, err = Connect(t.Context(), optionsFor(t, r))
			return !isUnreachable(err)
		})
		if err != ErrDenied {
			t.Errorf("got %v", err)
		}
	})
}

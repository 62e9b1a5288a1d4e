//go:build engine

package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// The worst company a save can have: someone who saves all the time, someone
// who kills the saving processes as FLUSHALL does, and replicas that come and
// go, whose full syncs look like saves and are none. No save that is reported
// may be older than its request: each is asked for right after a marker was
// written, and the file must hold the marker.
func TestSaveAmongHostileNeighbours(t *testing.T) {
	successes := 10
	if full() {
		successes = 100
	}
	for _, image := range []string{enginetest.Redis60, enginetest.Redis70, enginetest.Valkey81} {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{
				"--save", "", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--rdb-key-save-delay", "100"}})
			populate(r, "1000")
			ctx, leave := context.WithTimeout(t.Context(), time.Duration(successes)*time.Minute/4+time.Minute)
			defer leave()
			n := hostile(ctx, t, r)
			s := connectTo(t, r)
			writer, shelf := r.Client(), watch(t, r)
			aborted := 0
			for good := 0; good < successes; {
				if good%2 == 1 {
					awaitTrap(r)
				}
				marker := fmt.Sprintf("marker-%d-%d-", good, aborted)
				if _, err := writer.Do("SET", "marker", marker); err != nil {
					t.Fatal(err)
				}
				saved, err := s.Save(ctx, SaveOptions{})
				if errors.Is(err, ErrAborted) {
					aborted++
					continue
				}
				if err != nil {
					t.Fatalf("after %d saves: %v", good, err)
				}
				good++
				if !shelf.holds(t, marker) {
					t.Fatalf("save %d is older than its request: %+v", good, saved)
				}
				if len(saved.Keyspace) != 1 || saved.Keyspace[0].Keys != 1002 {
					t.Errorf("keyspace %v", saved.Keyspace)
				}
			}
			leave()
			counts := n.leave(t)
			t.Logf("%d saves, %d aborted; neighbours: %s", successes, aborted, counts)
		})
	}
}

// awaitTrap waits for the moment in which a careless request would be answered
// at once by someone else's older save: it runs, and no save has ended yet in
// this second.
func awaitTrap(r *enginetest.Redis) {
	enginetest.Poll(3*time.Second, func() bool {
		sec, usec, _ := strings.Cut(r.Cmd("TIME"), "\n")
		return r.Field("rdb_bgsave_in_progress") == "1" && r.Field("rdb_last_save_time") < sec && len(usec) == 6 && usec > "060000"
	})
}

// shelf looks into the dump file at once, before a neighbour can put a newer
// one in the place of a stale one.
type shelf struct {
	ask    io.Writer
	answer *bufio.Reader
}

func watch(t *testing.T, r *enginetest.Redis) shelf {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "docker", "exec", "--interactive", r.Name, "bash", "-c",
		`while read -r text; do grep -aqF "$text" /data/dump.rdb && echo yes || echo no; done`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	return shelf{in, bufio.NewReader(out)}
}

func (s shelf) holds(t *testing.T, text string) bool {
	t.Helper()
	if _, err := fmt.Fprintln(s.ask, text); err != nil {
		t.Fatal(err)
	}
	answer, err := s.answer.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return answer == "yes\n"
}

// neighbours are running until their context ends.
type neighbours struct {
	saves, syncs chan int
	killer       *exec.Cmd
	kills        *strings.Builder
}

func hostile(ctx context.Context, t *testing.T, r *enginetest.Redis) *neighbours {
	t.Helper()
	n := &neighbours{saves: make(chan int, 1), syncs: make(chan int, 1), kills: &strings.Builder{}}
	spammer := r.Client()
	go func() { n.saves <- spam(ctx, spammer) }()
	go func() { n.syncs <- syncAgainAndAgain(ctx, r) }()

	// The children of process 1 are the server's; those of docker exec are not.
	n.killer = exec.CommandContext(ctx, "docker", "exec", r.Name, "bash", "-c", `while sleep 0.7; do
		for s in /proc/[0-9]*/stat; do
			read -r pid _ _ parent _ 2>/dev/null <"$s" && [ "$parent" = 1 ] && kill -USR1 "$pid" && echo killed
		done
	done`)
	n.killer.Stdout = n.kills
	if err := n.killer.Start(); err != nil {
		t.Fatal(err)
	}
	return n
}

// leave waits until all are gone, and fails the test if one of them was idle.
func (n *neighbours) leave(t *testing.T) string {
	t.Helper()
	_ = n.killer.Wait() // killed by its context
	saves, syncs, kills := <-n.saves, <-n.syncs, strings.Count(n.kills.String(), "killed")
	if saves == 0 || syncs == 0 || kills == 0 {
		t.Errorf("harmless neighbours: %d saves, %d full syncs, %d kills", saves, syncs, kills)
	}
	return fmt.Sprintf("%d saves, %d full syncs, %d kills", saves, syncs, kills)
}

// spam asks for saves with short and uneven rests.
func spam(ctx context.Context, c *enginetest.Conn) (started int) {
	rng := rand.New(rand.NewPCG(1, 2))
	for pause(ctx, time.Duration(rng.IntN(400))*time.Millisecond) == nil {
		if v, err := c.Do("BGSAVE"); err == nil && v == "Background saving started" {
			started++
		}
	}
	return started
}

// syncAgainAndAgain is a replica that wants everything, and hangs up when it
// comes.
func syncAgainAndAgain(ctx context.Context, r *enginetest.Redis) (syncs int) {
	rng := rand.New(rand.NewPCG(3, 4))
	for pause(ctx, time.Duration(rng.IntN(600))*time.Millisecond) == nil {
		if fullSync(r) == nil {
			syncs++
		}
	}
	return syncs
}

func fullSync(r *enginetest.Redis) error {
	w, err := r.Dial()
	if err != nil {
		return err
	}
	c := enginetest.NewConn(w)
	defer c.Close()
	if _, err := c.Do("REPLCONF", "capa", "eof", "capa", "psync2"); err != nil {
		return err
	}
	c.Queue("PSYNC", "?", "-1")
	if err := c.Flush(); err != nil {
		return err
	}
	for {
		line, err := c.Line()
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "$EOF:") {
			_, err := c.Discard(2000) // the child is at work
			return err
		}
	}
}

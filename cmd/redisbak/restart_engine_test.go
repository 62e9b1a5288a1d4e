//go:build engine

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// restartable is an engine that goes away and comes back. up says in which way.
type restartable struct {
	host string
	down func(s syscall.Signal)
	up   func(t *testing.T, live bool)
	// real: a whole engine of the test's own; else the machine's own, behind a
	// proxy that breaks all connections and takes no new one.
	real bool
}

// startRestartable starts a second engine. Where there can be none the machine's
// own is made to look gone, and the test says so.
func startRestartable(t *testing.T, proxy func() *enginetest.Proxy) restartable {
	t.Helper()
	d, err := enginetest.NewDaemon(t, "--live-restore=true")
	if err == nil {
		if err := d.Load(enginetest.Redis70); err != nil {
			t.Fatal(err)
		}
		t.Log("on an engine of the test's own, which is stopped and killed")
		return restartable{host: d.Host(), real: true, down: d.Stop, up: func(t *testing.T, live bool) {
			t.Helper()
			if err := d.Start(fmt.Sprintf("--live-restore=%v", live)); err != nil {
				t.Fatal(err)
			}
		}}
	}
	t.Logf("no engine of the test's own (%v): the machine's own is made to look gone by a proxy", err)
	return restartable{
		host: os.Getenv("DOCKER_HOST"),
		down: func(syscall.Signal) { proxy().Refuse(true) },
		up:   func(*testing.T, bool) { proxy().Refuse(false) },
	}
}

// FAULT 21: the engine goes away in the middle of a copy, by a signal and by a
// kill, with containers that live on and without. The run ends with an error
// and commits nothing; when the engine is back the next one works and sweeps.
func TestFault21_TheEngineRestartsInMidCopy(t *testing.T) {
	var proxy *enginetest.Proxy
	engine := startRestartable(t, func() *enginetest.Proxy { return proxy })
	// From here on all of the test's own commands ask this engine, too.
	t.Setenv("DOCKER_HOST", engine.host)
	proxy = enginetest.StartProxy(t)
	source := enginetest.Start(t, enginetest.Options{Network: "none"})
	source.Fill(400, 20_000)
	want := contentOf(t, source)
	h := newHome(t)
	h.snapshot(source.Name)

	live := true // as it was started
	for _, c := range []struct {
		name   string
		live   bool
		signal syscall.Signal
	}{
		{"stopped, containers live on", true, syscall.SIGTERM},
		{"killed, containers live on", true, syscall.SIGKILL},
		{"stopped", false, syscall.SIGTERM},
		{"killed", false, syscall.SIGKILL},
	} {
		// In the normal run: the kindest way and the worst.
		if !full() && c.live != (c.signal == syscall.SIGTERM) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			mine := *h // it fails this test, not the one above
			mine.t = t
			r := restart{t, &mine, source, proxy, engine, c.live, c.signal, want}
			if c.live != live {
				live = c.live
				engine.down(syscall.SIGTERM)
				engine.up(t, live)
				r.serverIsBack()
			}
			r.inMidCapture()
			if full() || c.signal == syscall.SIGKILL {
				r.inMidRestore()
			}
		})
	}
	h.run("check", "--read-data").must(t, exitOK)
	h.run("verify", "--all").must(t, exitOK)
}

// restart is one way in which an engine goes and comes back.
type restart struct {
	t      *testing.T
	h      *home
	source *enginetest.Redis
	proxy  *enginetest.Proxy
	engine restartable
	live   bool
	signal syscall.Signal
	want   content
}

// serverIsBack starts the source where its engine took it along, and returns a
// fresh connection to it.
func (r restart) serverIsBack() *enginetest.Redis {
	r.t.Helper()
	if !r.source.Running() {
		if _, err := enginetest.Docker("start", r.source.Name); err != nil {
			r.t.Fatal(err)
		}
	}
	server := enginetest.Attach(r.t, enginetest.Options{Name: r.source.Name})
	same(r.t, "the source after the restart", r.want, contentOf(r.t, server))
	return server
}

// through runs a command during which the engine goes, at a fault's moment, and
// is back when the command has ended. The command must fail, and say why.
func (r restart) through(f enginetest.Fault, args ...string) result {
	r.t.Helper()
	f.Strike = func() { r.engine.down(r.signal) }
	r.proxy.Clear()
	r.proxy.Forget()
	r.proxy.Inject(f)
	r.h.env["DOCKER_HOST"] = r.proxy.Host()
	failed := r.h.run(append(args, "--timeout", "3m")...)
	delete(r.h.env, "DOCKER_HOST")
	r.proxy.Clear()
	r.engine.up(r.t, r.live)
	if !r.proxy.Met() {
		r.t.Fatalf("the engine stayed: %s", failed)
	}
	if failed.code != exitFailure && failed.code != exitDocker {
		r.t.Errorf("exit code %d, want %d or %d: %s", failed.code, exitFailure, exitDocker, failed)
	}
	r.t.Logf("the engine went: %s", failed.stderr)
	return failed.says(r.t, "error: ")
}

// middle of the dump, which comes in a body of its own.
const midDump = 1_000_000

func (r restart) inMidCapture() {
	r.t.Helper()
	known := r.h.list()
	before := enginetest.Attach(r.t, enginetest.Options{Name: r.source.Name}).Field("run_id")
	r.through(enginetest.Fault{Method: "GET", Path: archivePath, Bytes: midDump, Then: enginetest.Resume, Times: 1},
		"snapshot", r.source.Name)
	if now := r.h.list(); ids(now) != ids(known) {
		r.t.Errorf("listed: %v, before: %v", ids(now), ids(known))
	}
	server := r.serverIsBack()
	if after := server.Field("run_id"); r.live && after != before {
		r.t.Errorf("the server did not live on: run %s, before %s", after, before)
	}
	if containers, _ := r.h.objects(); len(named(containers, "helper")) == 0 {
		r.t.Error("the run that lost its engine left nothing at it: there is nothing to be swept")
	}
	r.h.swept()
	r.h.snapshot(r.source.Name)
	r.h.holds(nil, nil)
	if now := r.h.list(); len(now) != len(known)+1 {
		r.t.Errorf("listed: %v, before: %v and one more", ids(now), ids(known))
	}
}

func (r restart) inMidRestore() {
	r.t.Helper()
	volume := fmt.Sprintf("%s-%v-%d", r.source.Volume, r.live, r.signal)
	r.t.Cleanup(func() { enginetest.Docker("volume", "rm", "--force", volume) })
	r.through(enginetest.Fault{Method: "PUT", Path: archivePath, Upload: midDump, Times: 1}, "restore", "--volume", volume).
		says(r.t, volume, "still there")
	r.serverIsBack()
	r.h.swept()
	if !r.h.againInto(volume) {
		if _, err := enginetest.Docker("volume", "rm", volume); err != nil {
			r.t.Fatal(err)
		}
		r.h.restore("--volume", volume)
	}
	r.h.holds(nil, []string{volume})
	restored := enginetest.Start(r.t, enginetest.Options{Volume: volume, Network: "none"})
	same(r.t, "restored", r.want, contentOf(r.t, restored))
	restored.Kill()
	if _, err := enginetest.Docker("rm", "--force", restored.Name); err != nil {
		r.t.Error(err)
	}
	if _, err := enginetest.Docker("volume", "rm", volume); err != nil {
		r.t.Error(err)
	}
}

func ids(list []snapshotJSON) string {
	var all []string
	for _, s := range list {
		all = append(all, string(s.ID))
	}
	return strings.Join(all, " ")
}

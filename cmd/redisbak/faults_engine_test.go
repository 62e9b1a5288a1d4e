//go:build engine

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// archiveGet is the call by which a dump is copied out, archivePut the one by
// which it is laid down.
const (
	archivePath = `^/containers/[^/]+/archive$`
	createPath  = `^/containers/create$`
)

// through makes the home's commands talk to the engine through a proxy.
func (h *home) through(p *enginetest.Proxy) { h.env["DOCKER_HOST"] = p.Host() }

func TestFault22_AStreamThatEndsEarlyIsNoSnapshot(t *testing.T) {
	source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70})
	source.Fill(200, 4096)
	h := newHome(t)
	h.run("snapshot", source.Name, "--no-verify").must(t, exitOK)
	proxy := enginetest.StartProxy(t)
	h.through(proxy)
	// 512 is the tar header alone; the others are inside of the dump, on a
	// block boundary and off it.
	for _, bytes := range []int64{0, 100, 512, 1024, 512 * 700, 512*700 + 17} {
		for _, ending := range []enginetest.Ending{enginetest.Clean, enginetest.Broken} {
			t.Run(fmt.Sprintf("%d bytes, ending %d", bytes, ending), func(t *testing.T) {
				proxy.Inject(enginetest.Fault{Method: "GET", Path: archivePath, Bytes: bytes, Then: ending})
				defer proxy.Clear()
				r := redisbak(t, h.env, "snapshot", source.Name, "--no-verify")
				if r.code == exitOK || r.code == exitReserved {
					t.Fatalf("a cut stream was taken for a snapshot: %s", r)
				}
				if n := len(h.listed(t)); n != 1 {
					t.Fatalf("%d snapshots listed, want the one from before", n)
				}
			})
		}
	}
	h.run("snapshot", source.Name).must(t, exitOK)
	if n := len(h.listed(t)); n != 2 {
		t.Fatalf("%d snapshots listed, want 2", n)
	}
	h.holds(nil, nil)
}

// listed are the snapshots that list shows.
func (h *home) listed(t testing.TB) []snapshotJSON {
	t.Helper()
	type listing struct {
		Snapshots []snapshotJSON `json:"snapshots"`
		Problems  []problemJSON  `json:"problems"`
	}
	doc := document[listing](t, redisbak(t, h.env, "list", "--json").must(t, exitOK))
	if len(doc.Problems) > 0 {
		t.Errorf("problems: %v", doc.Problems)
	}
	return doc.Snapshots
}

func TestFault23_AnEngineThatSaysNoGivesNoSnapshot(t *testing.T) {
	source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70})
	source.Load(1)
	h := newHome(t)
	h.run("init").must(t, exitOK)
	proxy := enginetest.StartProxy(t)
	h.through(proxy)
	for _, c := range []struct {
		name string
		f    enginetest.Fault
		code int
		says string
	}{
		{"create denied", enginetest.Fault{Path: createPath, Status: 403}, exitDocker, "POST /containers/create"},
		{"archive denied", enginetest.Fault{Path: archivePath, Status: 403}, exitDocker, "archive"},
		{"processes denied", enginetest.Fault{Path: `/top$`, Status: 403}, exitDocker, "top"},
		{"create fails", enginetest.Fault{Path: createPath, Status: 500}, exitFailure, ""},
		{"archive gone", enginetest.Fault{Method: "GET", Path: archivePath, Status: 404}, exitFailure, ""},
		{"archive conflicts", enginetest.Fault{Method: "GET", Path: archivePath, Status: 409}, exitFailure, ""},
		{"archive fails", enginetest.Fault{Method: "GET", Path: archivePath, Status: 500}, exitFailure, ""},
		{"archive hangs", enginetest.Fault{Method: "GET", Path: archivePath, Hang: true}, exitFailure, "--timeout 5s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy.Inject(c.f)
			defer proxy.Clear()
			r := redisbak(t, h.env, "snapshot", source.Name, "--no-verify", "--timeout", timeoutFor(c.f)).must(t, c.code)
			r.says(t, "error: ", c.says)
			if n := len(h.listed(t)); n != 0 {
				t.Fatalf("%d snapshots listed, want none", n)
			}
		})
	}
	h.run("snapshot", source.Name).must(t, exitOK)
	h.holds(nil, nil)
}

func timeoutFor(f enginetest.Fault) string {
	if f.Hang {
		return "5s"
	}
	return "2m"
}

func TestFault24_AKilledVerifierSaysNothingAboutTheSnapshot(t *testing.T) {
	source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70})
	source.Load(1)
	h := newHome(t)
	s := h.snapshot(source.Name)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	killed := make(chan bool, 1)
	go func() { killed <- killVerifier(ctx, h.id()) }()
	r := h.run("verify", string(s.ID), "--json").must(t, exitFailure)
	stop()
	if !<-killed {
		t.Fatalf("no verifier was there to be killed: %s", r)
	}
	if got := h.listed(t)[0].Verified; got != "passed" {
		t.Errorf("verified: %s, want the older verdict, passed", got)
	}
	h.run("verify", string(s.ID)).must(t, exitOK)
	h.holds(nil, nil)
}

// killVerifier kills the repository's verifier as soon as it runs.
func killVerifier(ctx context.Context, repo string) bool {
	for ctx.Err() == nil {
		out, err := enginetest.Docker("ps", "--quiet", "--filter", "label=redisbak.repo="+repo, "--filter", "label=redisbak.role=verify")
		if name := strings.TrimSpace(out); err == nil && name != "" {
			_, err := enginetest.Docker("kill", name)
			return err == nil
		}
	}
	return false
}

func TestFault25_ImagesGoByIdAndAreNeverPulled(t *testing.T) {
	first := throwawayImage(t)
	source := enginetest.Start(t, enginetest.Options{Image: first})
	source.Load(1)
	want := contentOf(t, source)
	h := newHome(t)
	h.snapshot(source.Name)

	// The tag points at something else now: the id still counts.
	if _, err := enginetest.Docker("tag", enginetest.Redis60, first); err != nil {
		t.Fatal(err)
	}
	h.run("verify").must(t, exitOK).says(t, "redis 7.0")

	id, err := enginetest.Docker("inspect", "--format", "{{.Image}}", source.Name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enginetest.Docker("rm", "--force", "--volumes", source.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := enginetest.Docker("rmi", "--force", strings.TrimSpace(id)); err != nil {
		t.Fatal(err)
	}
	proxy := enginetest.StartProxy(t)
	h.through(proxy)
	h.run("restore").must(t, exitFailure).says(t, `error: `, "image", "hint: ", "--image")
	for _, r := range proxy.Requests() {
		if strings.HasPrefix(r.Path, "/images/create") {
			t.Error("an image was pulled though nobody asked for it")
		}
	}
	doc := h.restore("--image", enginetest.Redis70, "--start")
	if taken := h.listed(t)[0]; *doc.Keys != *taken.Keys {
		t.Errorf("%d keys served, want %d", *doc.Keys, *taken.Keys)
	}
	// Its server is in protected mode, as the image starts it: one of the
	// test's own looks at the volume.
	if _, err := enginetest.Docker("rm", "--force", "--volumes", *doc.Container); err != nil {
		t.Fatal(err)
	}
	same(t, "restored with another image", want, contentOf(t, enginetest.Start(t, enginetest.Options{Volume: doc.Volume})))
}

// throwawayImage is a copy of the 7.0 image with an id of its own.
func throwawayImage(t testing.TB) string {
	t.Helper()
	name := "redisbak-test/throwaway:" + fmt.Sprint(time.Now().UnixNano())
	made, err := enginetest.Docker("create", "--label", enginetest.Label, enginetest.Redis70)
	if err != nil {
		t.Fatal(err)
	}
	made = strings.TrimSpace(made)
	defer enginetest.Docker("rm", "--volumes", made)
	if _, err := enginetest.Docker("commit", "--message", name, made, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { enginetest.Docker("rmi", "--force", name) })
	return name
}

func TestFault26_FilesThatComeAndGoBesideTheDumpDoNotMatter(t *testing.T) {
	source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70})
	source.Load(2)
	want := contentOf(t, source)
	ctx, stop := context.WithCancel(t.Context())
	storm := exec.CommandContext(ctx, "docker", "exec", source.Name, "sh", "-c",
		`i=0; while :; do i=$((i+1)); echo x >/data/temp-$i.rdb; mv /data/temp-$i.rdb /data/other-$((i%7)); echo y >>/data/growing; done`)
	if err := storm.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		_ = storm.Wait()
	}()
	h := newHome(t)
	for range sized(3, 30) {
		h.snapshot(source.Name)
	}
	doc := h.restore("--start")
	same(t, "restored", want, contentOf(t, enginetest.Attach(t, enginetest.Options{Name: *doc.Container})))
	if out, err := enginetest.Docker("exec", *doc.Container, "ls", "-A", "/data"); err != nil || strings.TrimSpace(out) != "dump.rdb" {
		t.Errorf("restored volume holds %q, %v, want dump.rdb alone", out, err)
	}
}

func TestFault60_ARestoreThatFailsTakesItsOwnVolumeAway(t *testing.T) {
	source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70})
	source.Fill(100, 4096)
	h := newHome(t)
	h.snapshot(source.Name)
	proxy := enginetest.StartProxy(t)
	h.through(proxy)
	proxy.Inject(enginetest.Fault{Method: "PUT", Path: archivePath, Upload: 100_000})
	h.run("restore").must(t, exitDocker).says(t, "stage ")
	h.holds(nil, nil)

	// What reads back differently from what was laid down is no restore.
	proxy.Clear()
	proxy.Inject(enginetest.Fault{Method: "GET", Path: archivePath, Skip: 1, Bytes: 5000, Then: enginetest.Clean})
	h.run("restore").must(t, exitFailure)
	h.holds(nil, nil)
	proxy.Clear()
	doc := h.restore()
	h.holds(nil, []string{doc.Volume})
}

func TestFault60_AFullVolumeOfTheUserStaysAndIsNamed(t *testing.T) {
	source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70})
	source.Fill(800, 4096)
	h := newHome(t)
	h.snapshot(source.Name)
	volume := "redisbak-test-small-" + fmt.Sprint(time.Now().UnixNano())
	_, err := enginetest.Docker("volume", "create", "--driver", "local", "--opt", "type=tmpfs", "--opt", "device=tmpfs",
		"--opt", "o=size=1m", "--label", enginetest.Label, volume)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { enginetest.Docker("volume", "rm", "--force", volume) })
	h.run("restore", "--volume", volume).must(t, exitFailure).says(t, volume, "may hold a part")
	if _, err := enginetest.Docker("volume", "inspect", volume); err != nil {
		t.Errorf("the user's volume is gone: %v", err)
	}
	h.holds(nil, nil)
}

// A restore that is killed leaves a volume. The next one begins it anew where
// nothing was laid down yet, and leaves it alone where a file is there.
func TestFault60_AKilledRestore(t *testing.T) {
	source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70})
	source.Fill(300, 4096)
	for _, c := range []struct {
		name  string
		fault enginetest.Fault
		code  int
		says  string
	}{
		{"before the first byte", enginetest.Fault{Method: "PUT", Path: archivePath, Hang: true}, exitOK, ""},
		{"in the middle of the file", enginetest.Fault{Method: "GET", Path: archivePath, Skip: 1, Hang: true}, exitFailure, "left by a restore that was killed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			s := h.snapshot(source.Name)
			proxy := enginetest.StartProxy(t)
			proxy.Inject(c.fault)
			kill(t, h, proxy, "restore")
			volume := fmt.Sprintf("%s-recovery-%s", source.Volume, s.ID)
			r := h.run("restore").must(t, c.code)
			if c.code != exitOK {
				r.says(t, c.says, "docker volume rm "+volume)
				if _, err := enginetest.Docker("volume", "rm", volume); err != nil {
					t.Fatal(err)
				}
				h.run("restore").must(t, exitOK)
			}
			h.holds(nil, []string{volume})
		})
	}
}

// kill runs the real binary through the proxy and kills it when the first
// request hangs there.
func kill(t testing.TB, h *home, p *enginetest.Proxy, args ...string) {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	cmd.Env = []string{"DOCKER_HOST=" + p.Host(), "REDISBAK_REPO=" + h.dir, "HOME=" + t.TempDir(), "PATH=" + filepath.Dir(binary(t))}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, time.Minute, "the fault to be met", p.Met)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

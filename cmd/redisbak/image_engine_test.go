//go:build engine

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
	"github.com/redisbak/redisbak/internal/repo"
)

// mountedRepo is where a containerised redisbak of these tests has its
// repository.
const mountedRepo = "/srv/redisbak"

// buildImage makes the image from the project's Dockerfile, as make image does,
// and asks no registry.
func buildImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program, err := os.ReadFile(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "redisbak"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	name := "redisbak-test/image:" + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() {
		if _, err := enginetest.Docker("image", "rm", "--force", name); err != nil {
			t.Errorf("remove image: %v", err)
		}
	})
	if _, err := enginetest.Docker("build", "--network", "none", "--force-rm", "--file", filepath.Join(project, "Dockerfile"),
		"--build-arg", "TARGETPLATFORM=.", "--label", enginetest.Label, "--tag", name, dir); err != nil {
		t.Fatal(err)
	}
	return name
}

// socket is the engine's, and the group that may write to it.
func socket(t *testing.T) (path string, gid uint32) {
	t.Helper()
	path = "/var/run/docker.sock"
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		var ok bool
		if path, ok = strings.CutPrefix(host, "unix://"); !ok {
			t.Fatalf("DOCKER_HOST %s: this test needs the engine's socket", host)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, info.Sys().(*syscall.Stat_t).Gid
}

// boxed is redisbak in its image, with nothing but the socket and a repository.
type boxed struct {
	*home
	image, socket, user string // user: empty for the image's own
}

// newBoxed prepares an empty repository directory that belongs to uid.
func newBoxed(t *testing.T, image, socket string, uid int, user string) *boxed {
	t.Helper()
	h := newHome(t)
	if err := errors.Join(os.Mkdir(h.dir, 0o700), os.Chown(h.dir, uid, uid)); err != nil {
		t.Fatal(err)
	}
	return &boxed{h, image, socket, user}
}

// container carries out one command line in a container that may write nothing
// but the repository and has no privilege of root's.
func (b *boxed) container(docker []string, args ...string) result {
	b.t.Helper()
	if b.user != "" {
		docker = append([]string{"--user", b.user}, docker...)
	}
	line := append([]string{"run", "--rm", "--label", enginetest.Label,
		"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--volume", b.socket + ":/var/run/docker.sock", "--volume", b.dir + ":" + mountedRepo, "--env", "REDISBAK_REPO=" + mountedRepo}, docker...)
	ctx, cancel := context.WithTimeout(b.t.Context(), commandLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", append(append(line, b.image), args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	r := result{args: args, code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	b.t.Logf("in a container, as %s: %s", b.user, r)
	return r
}

// The image does the main job: by the socket alone, as root and as a user who
// is nobody but a member of the socket's group. What it writes is a repository
// like any, and its user's own.
func TestImageDoesTheMainJob(t *testing.T) {
	t.Parallel()
	image := buildImage(t)
	socket, gid := socket(t)
	for name, uid := range map[string]int{"root": 0, "a member of the socket's group": 1234} {
		t.Run(name, func(t *testing.T) {
			b := newBoxed(t, image, socket, uid, fmt.Sprintf("%d:%d", uid, gid))
			source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70})
			source.Load(3)
			want := contentOf(t, source)

			b.container(nil, "init").must(t, exitOK)
			var network []string
			if name := os.Getenv(enginetest.NetworkVariable); name != "" {
				network = []string{"--network", name}
			}
			taken := b.container(network, "snapshot", source.Name, "--verbose").must(t, exitOK)
			taken.says(t, "reached by container address", "verified ")
			if strings.Contains(taken.stderr, "warning") {
				t.Errorf("a warning: %s", taken)
			}
			b.holds(nil, nil)
			b.belongsTo(uid)

			source.Cmd("FLUSHALL")
			back := document[restoreJSON](t, b.container(nil, "restore", "--start", "--json").must(t, exitOK))
			if back.Verified != "passed" || back.Container == nil {
				t.Fatalf("restored to %v", back)
			}
			recovered := enginetest.Attach(t, enginetest.Options{Name: *back.Container})
			same(t, "restored by a container", want, contentOf(t, recovered))
			b.holds([]string{*back.Container}, []string{back.Volume})
			b.run("check", "--read-data").must(t, exitOK) // from the host
		})
	}
}

// belongsTo fails the test unless all of the repository is the user's own, and
// nobody else's to read.
func (b *boxed) belongsTo(uid int) {
	b.t.Helper()
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != uid || info.Mode().Perm()&0o077 != 0 {
			b.t.Errorf("%s: owner %d, mode %v", path, owner, info.Mode())
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// A server's address leads nowhere from a network of another container's, and
// from none at all: the socket leads everywhere. Append-only files, too.
func TestImageReachesServersOnOtherNetworks(t *testing.T) {
	t.Parallel()
	image := buildImage(t)
	socket, gid := socket(t)
	b := newBoxed(t, image, socket, 1234, fmt.Sprintf("1234:%d", gid))
	source := enginetest.Start(t, enginetest.Options{
		Image: enginetest.Redis70, Network: b.network("--internal"), Args: []string{"--appendonly", "yes"},
	})
	source.Load(3)
	b.container(nil, "init").must(t, exitOK)
	for _, network := range []string{"bridge", "none"} {
		b.container([]string{"--network", network}, "snapshot", source.Name, "--verbose").must(t, exitOK).
			says(t, "reached by docker exec", "verified ")
	}
	b.container([]string{"--network", "container:" + source.Name}, "snapshot", source.Name, "--verbose", "--address", "127.0.0.1:6379").
		must(t, exitOK).says(t, "reached by address 127.0.0.1:6379", "verified ")
}

// Without an option it is nobody, and says what it lacks.
func TestImageOfNobodySaysWhatItLacks(t *testing.T) {
	t.Parallel()
	image := buildImage(t)
	socket, _ := socket(t)
	b := newBoxed(t, image, socket, 65534, "") // as whom the image says
	b.container(nil, "init").must(t, exitOK)
	b.container(nil, "snapshot", "nothing").must(t, exitDocker).says(t, "permission denied", "may this user talk to it")
	b.user = "1234:1234"
	b.container(nil, "list").must(t, exitFailure).says(t, "permission denied", "hint:")
}

// It is the first process of its container, which the kernel kills by no signal
// that it does not expect: docker stop must end it as everywhere, and at once.
func TestImageEndsWithDockerStop(t *testing.T) {
	t.Parallel()
	image := buildImage(t)
	socket, gid := socket(t)
	b := newBoxed(t, image, socket, 0, fmt.Sprintf("0:%d", gid))
	source := enginetest.Start(t, enginetest.Options{Image: enginetest.Redis70})
	b.container(nil, "init").must(t, exitOK)
	r, err := repo.Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := r.LockWriter(t.Context(), source.Name, 0, "the host")
	if err != nil {
		t.Fatal(err)
	}
	b.container(nil, "snapshot", source.Name).must(t, exitLocked).says(t, "is locked by ") // by the host, from a container

	name := "redisbak-test-" + strings.ToLower(rand.Text()[:10])
	ended := make(chan result, 1)
	go func() { ended <- b.container([]string{"--name", name}, "snapshot", source.Name, "--lock-wait", "1h") }()
	begun := enginetest.Poll(60*time.Second, func() bool {
		runs, err := os.ReadDir(filepath.Join(b.dir, ".runs"))
		return err == nil && len(runs) > 0
	})
	if _, err := enginetest.Docker("stop", "--time", "30", name); err != nil || !begun {
		t.Errorf("stop a run that has begun (%v): %v", begun, err)
	}
	(<-ended).must(t, exitInterrupted).says(t, "interrupted")
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	b.container(nil, "snapshot", source.Name).must(t, exitOK)
	b.holds(nil, nil)
}

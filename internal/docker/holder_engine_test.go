//go:build engine

package docker

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// shells are images with the shells and programs that our scripts meet: dash,
// bash and coreutils, or busybox.
func shells() []string { return []string{enginetest.Redis70, enginetest.Busybox} }

// startHolder holds files of a directory of a test's own volume.
func startHolder(t *testing.T, e *Engine, image, volume, dir string) *Holder {
	t.Helper()
	h, err := e.StartHolder(t.Context(), newOwner(t, RoleHelper), HolderSpec{
		ImageID: imageOf(t, e, image), Mount: dataMountOf(volume), User: "999:999", Dir: dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// filesIn is a server whose volume has a directory of files of ours.
func filesIn(t *testing.T, script string) *enginetest.Redis {
	t.Helper()
	r := startRedis(t)
	docker(t, "exec", "--user", "redis", r.Name, "sh", "-c", script)
	return r
}

func TestHolderGivesWholeFilesThatWereRenamedOverAndUnlinked(t *testing.T) {
	for _, image := range shells() {
		t.Run(enginetest.Short(image), func(t *testing.T) { givesWholeFiles(t, image) })
	}
}

func givesWholeFiles(t *testing.T, image string) {
	r := filesIn(t, `mkdir -m 700 "/data/a b" && cd "/data/a b" && head -c 3000000 /dev/urandom >base && chmod 640 base &&
		printf 'one\n' >incr && printf 'file base\nfile incr\n' >list && cat base >/data/copy`)
	h := startHolder(t, connect(t), image, r.Volume, "/data/a b")
	held, text, err := h.List("list")
	if err != nil || string(text) != "file base\nfile incr\n" || held.UID != 999 || held.GID != 999 {
		t.Fatalf("list %+v %q %v", held, text, err)
	}
	base, err := h.Open("base")
	if err != nil || base.Size != 3_000_000 || base.Mode != 0o640 {
		t.Fatalf("base %+v %v", base, err)
	}
	if _, err := h.Open("incr"); err != nil {
		t.Fatal(err)
	}
	docker(t, "exec", "--user", "redis", r.Name, "sh", "-c", `cd "/data/a b" && printf 'two\n' >>incr && rm base && mv list incr && printf new >list`)

	if now, err := h.Size(); err != nil || now.Size != 8 {
		t.Errorf("the file on top has %+v, %v", now, err)
	}
	if now, err := h.Stat("incr"); err != nil || now.Size != 20 {
		t.Errorf("under its name lies %+v, %v", now, err)
	}
	missing := (*NotFoundError)(nil)
	if _, err := h.Stat("base"); !errors.As(err, &missing) {
		t.Errorf("an unlinked file: %v", err)
	}
	if _, err := h.Open("base"); !errors.As(err, &missing) {
		t.Errorf("open an unlinked file: %v", err)
	}
	if _, text, err := h.List("list"); err != nil || string(text) != "new" {
		t.Errorf("list again: %q, %v", text, err)
	}
	for _, file := range []struct {
		length int64
		want   []byte
	}{{6, []byte("one\ntw")}, {base.Size, []byte(r.File("/data/copy"))}} {
		content, err := h.Copy(file.length)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(content); err != nil || !bytes.Equal(got, file.want) {
			t.Errorf("%d bytes, want %d, %v", len(got), len(file.want), err)
		}
		if err := h.Drop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHolderTellsWhatIsMissing(t *testing.T) {
	for _, image := range shells() {
		t.Run(enginetest.Short(image), func(t *testing.T) { tellsWhatIsMissing(t, image) })
	}
}

func tellsWhatIsMissing(t *testing.T, image string) {
	r := startRedis(t)
	e := connect(t)
	missing := (*NotFoundError)(nil)
	_, err := e.StartHolder(t.Context(), newOwner(t, RoleHelper), HolderSpec{
		ImageID: imageOf(t, e, image), Mount: dataMountOf(r.Volume), User: "999:999", Dir: "/data/appendonlydir",
	})
	if !errors.As(err, &missing) || missing.Kind != "directory" {
		t.Errorf("a missing directory: %v", err)
	}
	h := startHolder(t, e, image, r.Volume, "/data")
	for _, name := range []string{"none", "-x", "$(id)", "a b", "*"} {
		if _, err := h.Open(name); !errors.As(err, &missing) || missing.Name != name {
			t.Errorf("open %q: %v", name, err)
		}
		if _, _, err := h.List(name); !errors.As(err, &missing) {
			t.Errorf("list %q: %v", name, err)
		}
	}
	for _, name := range []string{"../etc/passwd", "a\ndrop", "/etc/passwd"} {
		if _, err := h.Open(name); err == nil || errors.As(err, &missing) {
			t.Errorf("open %q: %v", name, err)
		}
	}
}

// Without a privilege and without a network, and it writes nowhere.
func TestHolderIsBoxedIn(t *testing.T) {
	r := startRedis(t)
	h := startHolder(t, connect(t), enginetest.Redis70, r.Volume, "/data")
	got := docker(t, "exec", h.id, "sh", "-c", `id -u; ls /sys/class/net; touch /data/x /x 2>&1; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status`)
	want := "999 lo touch: cannot touch '/data/x': Read-only file system touch: cannot touch '/x': Read-only file system CapEff: 0000000000000000 NoNewPrivs: 1"
	if strings.Join(strings.Fields(got), " ") != want {
		t.Errorf("got %s", got)
	}
}

// FAULT 20: when we are killed, our end of the connection closes.
func TestHolderDiesWithItsConnection(t *testing.T) {
	for _, image := range shells() {
		t.Run(enginetest.Short(image), func(t *testing.T) { diesWithItsConnection(t, image) })
	}
}

func diesWithItsConnection(t *testing.T, image string) {
	r := filesIn(t, `head -c 50000000 /dev/zero >/data/big`)
	for _, when := range []string{"idle", "holding", "copying"} {
		h := startHolder(t, connect(t), image, r.Volume, "/data")
		if when != "idle" {
			if _, err := h.Open("big"); err != nil {
				t.Fatal(err)
			}
		}
		if when == "copying" {
			if _, err := h.Copy(50_000_000); err != nil {
				t.Fatal(err)
			}
		}
		h.conn.Close()
		enginetest.Eventually(t, 10*time.Second, "the end of a holder that was "+when, func() bool {
			return docker(t, "inspect", "--format", "{{.State.Running}}", h.id) == "false"
		})
	}
}

func TestHolderNeedsAShell(t *testing.T) {
	r := startRedis(t)
	image := bareImage(t)
	_, err := connect(t).StartHolder(t.Context(), newOwner(t, RoleHelper), HolderSpec{
		ImageID: image, Mount: dataMountOf(r.Volume), User: "999:999", Dir: "/data",
	})
	if !errors.Is(err, ErrNoShell) {
		t.Errorf("got %v", err)
	}
}

// bareImage is an image with one file and no program.
func bareImage(t *testing.T) (id string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "none", Mode: 0o644}), w.Close()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	id = docker(t, "import", "--change", `CMD ["/none"]`, file)
	t.Cleanup(func() { docker(t, "image", "rm", id) })
	return id
}

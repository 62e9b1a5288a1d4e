//go:build engine

package docker

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

func TestHelperReadsWhatTheServerSaved(t *testing.T) {
	e := connect(t)
	r := startRedis(t)
	r.Load(1)
	r.Cmd("SAVE")
	h := newHelper(t, e, r.Volume, false)

	stat, err := h.Stat(t.Context(), "/data/dump.rdb")
	if err != nil {
		t.Fatal(err)
	}
	want := r.File("/data/dump.rdb")
	if stat.Size != int64(len(want)) || !stat.Mode.IsRegular() || stat.Name != "dump.rdb" || stat.ModTime.IsZero() {
		t.Errorf("stat is %+v, want a regular file of %d bytes", stat, len(want))
	}
	f, err := h.Open(t.Context(), "/data/dump.rdb")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("read %d bytes that are not the file's %d", len(got), len(want))
	}
	if f.UID != 999 || f.Mode.Perm() != 0o600 || f.Size != stat.Size {
		t.Errorf("header is %+v", f.Header)
	}
	dir, err := h.OpenDir(t.Context(), "/data")
	if err != nil || dir.UID != 999 || !dir.Mode.IsDir() || dir.Mode.Perm() != 0o755 {
		t.Errorf("directory is %+v, %v", dir, err)
	}
	names, err := h.Paths(t.Context(), "/data", 10)
	if err != nil || !slices.Equal(names, []string{"dump.rdb"}) {
		t.Errorf("names are %q, %v", names, err)
	}
	if state := docker(t, "inspect", "--format", "{{.State.Status}}", h.ID()); state != "created" {
		t.Errorf("helper is %s", state)
	}
}

func TestHelperTellsWhatIsNoRegularFile(t *testing.T) {
	e := connect(t)
	r := startRedis(t)
	r.Exec("sh", "-c", "mkdir /data/dir /data/empty; touch /data/dir/f; ln -s /etc/passwd /data/link; mkfifo /data/pipe")
	h := newHelper(t, e, r.Volume, false)
	missing := (*NotFoundError)(nil)
	if _, err := h.Open(t.Context(), "/data/no.rdb"); !errors.As(err, &missing) || *missing != (NotFoundError{Kind: "file", Name: "/data/no.rdb"}) {
		t.Errorf("open of a missing file: %v", err)
	}
	if _, err := h.Stat(t.Context(), "/data/no.rdb"); !errors.As(err, &missing) || missing.Kind != "file" {
		t.Errorf("stat of a missing file: %v", err)
	}
	if _, err := h.OpenDir(t.Context(), "/data/nodir"); !errors.As(err, &missing) || missing.Kind != "file" {
		t.Errorf("missing directory: %v", err)
	}
	for _, name := range []string{"/data/dir", "/data/link", "/data/pipe"} {
		if f, err := h.Open(t.Context(), name); !errors.Is(err, ErrNotRegular) {
			t.Errorf("open %s: %v, %v", name, f, err)
		}
	}
	if stat, err := h.Stat(t.Context(), "/data/link"); err != nil || stat.Mode.Type() != fs.ModeSymlink || stat.Link == "" {
		t.Errorf("link is %+v, %v", stat, err)
	}
	if _, err := h.OpenDir(t.Context(), "/data/dir/f"); !errors.Is(err, ErrNotDir) {
		t.Errorf("file as directory: %v", err)
	}
	if names, err := h.Paths(t.Context(), "/data/empty", 3); err != nil || len(names) != 0 {
		t.Errorf("names of an empty directory: %q, %v", names, err)
	}
	names, err := h.Paths(t.Context(), "/data", 99)
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"dir", "dir/f", "empty", "link", "pipe"}) {
		t.Errorf("names are %q, %v", names, err)
	}
	if names, err := h.Paths(t.Context(), "/data", 2); err != nil || len(names) != 2 {
		t.Errorf("two names are %q, %v", names, err)
	}
	docker(t, "rm", h.ID())
	if _, err := h.Stat(t.Context(), "/data/dir"); !errors.As(err, &missing) || missing.Kind != "container" {
		t.Errorf("stat through a removed helper: %v", err)
	}
	if _, err := h.Open(t.Context(), "/data/dir"); !errors.As(err, &missing) || missing.Kind != "container" {
		t.Errorf("open through a removed helper: %v", err)
	}
}

// random is a stream that can be made again.
func random(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{7}), n)
}

func TestHelperWritesOwnersModesAndBytes(t *testing.T) {
	e := connect(t)
	volume := enginetest.NewVolume(t)
	h := newHelper(t, e, volume, true)
	const size = 5<<20 + 17
	fill := func(w *tar.Writer) error {
		return errors.Join(
			w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "data/", Uid: 1234, Gid: 2345, Mode: 0o750}),
			w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "data/appendonlydir/", Uid: 1234, Gid: 2345, Mode: 0o700}),
			w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "data/appendonlydir/f", Uid: 1234, Gid: 2345, Mode: 0o640, Size: size}),
			func() error { _, err := io.Copy(w, random(size)); return err }(),
		)
	}
	if err := h.Write(t.Context(), fill); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]DirStat{
		"/data":               {UID: 1234, GID: 2345, Mode: fs.ModeDir | 0o750},
		"/data/appendonlydir": {UID: 1234, GID: 2345, Mode: fs.ModeDir | 0o700},
	} {
		if got, err := h.OpenDir(t.Context(), path); err != nil || got != want {
			t.Errorf("%s is %+v, %v", path, got, err)
		}
	}
	f, err := h.Open(t.Context(), "/data/appendonlydir/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, want := sha256.New(), sha256.New()
	io.Copy(want, random(size))
	if n, err := io.Copy(got, f); n != size || err != nil || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("read back %d bytes, %v", n, err)
	}
	if f.UID != 1234 || f.GID != 2345 || f.Mode.Perm() != 0o640 {
		t.Errorf("header is %+v", f.Header)
	}
	if names, err := h.Paths(t.Context(), "/data", 9); err != nil || !slices.Equal(names, []string{"appendonlydir", "appendonlydir/f"}) {
		t.Errorf("names are %q, %v: the image's own files must not be there", names, err)
	}
}

// An image that names a user of its own changes nothing of what is written.
func TestHelperWriteKeepsOwnersWhateverTheImagesUser(t *testing.T) {
	e := connect(t)
	from := docker(t, "create", "--label", enginetest.Label, enginetest.Redis70)
	t.Cleanup(func() { docker(t, "rm", "--force", "--volumes", from) })
	for _, user := range []string{"1001", "daemon", "redis"} {
		image := docker(t, "commit", "--change", "USER "+user, from)
		t.Cleanup(func() { docker(t, "rmi", image) })
		h, err := e.CreateHelper(t.Context(), newOwner(t, RoleHelper), HelperSpec{ImageID: image, Mount: dataMount(enginetest.NewVolume(t)), Write: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Write(t.Context(), func(w *tar.Writer) error {
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "data/", Uid: 1234, Gid: 2345, Mode: 0o750})
		}); err != nil {
			t.Errorf("user %s: %v", user, err)
		}
		if got, err := h.OpenDir(t.Context(), "/data"); err != nil || got != (DirStat{UID: 1234, GID: 2345, Mode: fs.ModeDir | 0o750}) {
			t.Errorf("user %s: %+v, %v", user, got, err)
		}
		if err := h.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestHelperWriteBreaksOffWithItsProducer(t *testing.T) {
	e := connect(t)
	h := newHelper(t, e, enginetest.NewVolume(t), true)
	torn := errors.New("torn payload")
	for _, at := range []int64{0, 512, 1 << 20} {
		err := h.Write(t.Context(), func(w *tar.Writer) error {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("data/f%d", at), Mode: 0o600, Size: 2 << 20}); err != nil {
				return err
			}
			if _, err := io.CopyN(w, random(at), at); err != nil {
				return err
			}
			return torn
		})
		if !errors.Is(err, torn) {
			t.Errorf("producer failing after %d bytes: %v", at, err)
		}
	}
	// A whole entry and then the failure: the engine must not think it is done.
	err := h.Write(t.Context(), func(w *tar.Writer) error {
		return errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "data/", Mode: 0o700}), torn)
	})
	if !errors.Is(err, torn) {
		t.Errorf("producer failing between entries: %v", err)
	}
}

func TestHelperWriteTellsTheEnginesReason(t *testing.T) {
	e := connect(t)
	name := enginetest.NewVolume(t)
	docker(t, "volume", "rm", name)
	docker(t, "volume", "create", "--label", enginetest.Label, "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m", name)
	h := newHelper(t, e, name, true)
	err := h.Write(t.Context(), func(w *tar.Writer) error {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "data/big", Mode: 0o600, Size: 8 << 20}); err != nil {
			return err
		}
		_, err := io.Copy(w, random(8<<20))
		return err
	})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("no space left")) {
		t.Errorf("full volume: %v", err)
	}
}

// The images declare a volume at /data: a helper with its mount elsewhere gets
// an anonymous one, which must go with it.
func TestHelperLeavesNoAnonymousVolume(t *testing.T) {
	e := connect(t)
	volume := enginetest.NewVolume(t)
	for _, at := range []string{"/data", "/bitnami/redis/data"} {
		m := dataMount(volume)
		m.Destination = at
		h, err := e.CreateHelper(t.Context(), newOwner(t, RoleHelper), HelperSpec{ImageID: imageOf(t, e, enginetest.Redis70), Mount: m})
		if err != nil {
			t.Fatal(err)
		}
		mounted := lines(t, "inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", h.ID())
		if at == "/data" && len(mounted) != 1 || at != "/data" && len(mounted) != 2 {
			t.Errorf("mount at %s: volumes %q", at, mounted)
		}
		if names, err := h.Paths(t.Context(), at, 3); err != nil || len(names) != 0 {
			t.Errorf("fresh volume at %s holds %q, %v", at, names, err)
		}
		if err := h.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		for _, name := range mounted {
			if _, err := e.Volume(t.Context(), name); (err == nil) != (name == volume) {
				t.Errorf("volume %s after removal: %v", name, err)
			}
		}
		if err := h.Remove(t.Context()); err != nil {
			t.Errorf("second removal: %v", err)
		}
	}
}

// FAULT 18: a typing error must not make a volume.
func TestHelperOfAMissingVolumeCreatesNone(t *testing.T) {
	e := connect(t)
	owner := newOwner(t, RoleHelper)
	const name = "redisbak-test-no-such-volume"
	missing := (*NotFoundError)(nil)
	_, err := e.CreateHelper(t.Context(), owner, HelperSpec{ImageID: imageOf(t, e, enginetest.Redis70), Mount: dataMount(name)})
	if !errors.As(err, &missing) || *missing != (NotFoundError{Kind: "volume", Name: name}) {
		t.Errorf("helper of a missing volume: %v", err)
	}
	if _, err := e.Volume(t.Context(), name); !errors.As(err, &missing) {
		t.Errorf("the volume was created: %v", err)
	}
}

func TestHelperOfABindMountReadsOnly(t *testing.T) {
	e := connect(t)
	dir := t.TempDir()
	owner := newOwner(t, RoleHelper)
	m := Mount{Type: MountBind, Source: dir, Destination: "/data"}
	refused := (*GuardError)(nil)
	if _, err := e.CreateHelper(t.Context(), owner, HelperSpec{ImageID: imageOf(t, e, enginetest.Redis70), Mount: m, Write: true}); !errors.As(err, &refused) {
		t.Errorf("writable bind mount: %v", err)
	}
	h, err := e.CreateHelper(t.Context(), owner, HelperSpec{ImageID: imageOf(t, e, enginetest.Redis70), Mount: m})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Remove(t.Context())
	if names, err := h.Paths(t.Context(), "/data", 1); err != nil || len(names) != 0 {
		t.Errorf("names are %q, %v", names, err)
	}
	// Past our own guard, the engine would refuse too.
	h.write = true
	err = h.Write(t.Context(), func(w *tar.Writer) error {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "data/f", Mode: 0o600})
	})
	if names, _ := h.Paths(t.Context(), "/data", 1); err == nil || len(names) != 0 {
		t.Errorf("write into a read-only mount: %v, %q", err, names)
	}
}

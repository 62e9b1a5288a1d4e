//go:build engine

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// behindProxy reaches the machine's engine through a proxy that does harm.
func behindProxy(t *testing.T) (*Engine, *enginetest.Proxy) {
	t.Helper()
	p := enginetest.StartProxy(t)
	return connectTo(t, Env{Host: p.Host()}), p
}

// FAULT 22, 23: a real archive that is cut, broken off or stalls is never a
// whole file, and a good one after it is.
func TestCaptureThroughABadProxy(t *testing.T) {
	e, p := behindProxy(t)
	r := startRedis(t)
	r.Fill(2000, 500)
	r.Cmd("SAVE")
	want := r.File("/data/dump.rdb")
	h := newHelper(t, e, r.Volume, false)
	read := func() ([]byte, error) {
		f, err := h.Open(t.Context(), "/data/dump.rdb")
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(f)
	}
	padded := (int64(len(want)) + tarBlock - 1) / tarBlock * tarBlock
	whole := tarBlock + padded + tarTrailer
	every := int64(30)
	if os.Getenv("REDISBAK_TEST_FULL") == "1" {
		every = 1
	}
	offsets := []int64{0, 1, tarBlock, tarBlock + int64(len(want)), tarBlock + padded, tarBlock + padded + tarBlock, whole - 1}
	for at := int64(3); at < whole; at += 7919 * every {
		offsets = append(offsets, at, at/tarBlock*tarBlock)
	}
	for _, at := range offsets {
		for _, then := range []enginetest.Ending{enginetest.Clean, enginetest.Broken} {
			p.Clear()
			p.Inject(enginetest.Fault{Method: http.MethodGet, Path: "/archive$", Bytes: at, Then: then})
			if got, err := read(); !errors.Is(err, ErrShortStream) {
				t.Errorf("ending %d after %d of %d bytes: %d bytes, %v", then, at, whole, len(got), err)
			}
		}
	}
	idle := (*IdleError)(nil)
	for _, at := range []int64{0, tarBlock, whole / 2, whole} {
		p.Clear()
		p.Inject(enginetest.Fault{Method: http.MethodGet, Path: "/archive$", Bytes: at, Then: enginetest.Stall})
		e.idle = 200 * time.Millisecond
		if got, err := read(); !errors.As(err, &idle) {
			t.Errorf("stall after %d bytes: %d bytes, %v", at, len(got), err)
		}
		e.idle = idleLimit
	}
	p.Clear()
	ctx, cancel := context.WithCancel(t.Context())
	f, err := h.Open(ctx, "/data/dump.rdb")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, f); !errors.Is(err, context.Canceled) || errors.Is(err, ErrShortStream) {
		t.Errorf("cancelled: %v", err)
	}
	f.Close()
	if got, err := read(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("good at last: %d bytes, %v", len(got), err)
	}
}

// FAULT 23: each call that is denied names itself.
func TestDeniedCallsNameThemselves(t *testing.T) {
	e, p := behindProxy(t)
	r := startRedis(t)
	image := imageOf(t, e, enginetest.Redis70)
	owner := newOwner(t, RoleHelper)
	h := newHelper(t, e, r.Volume, true)
	calls := map[string]struct {
		path string
		do   func() error
	}{
		"GET /containers/json":   {"^/containers/json$", func() error { _, err := e.Find(t.Context(), r.Name); return err }},
		"GET /containers/*/json": {"^/containers/.+/json$", func() error { _, err := e.Find(t.Context(), r.Name); return err }},
		"GET /containers/*/top":  {"/top$", func() error { _, err := e.ServerProcess(t.Context(), r.ID); return err }},
		"GET /volumes/*":         {"^/volumes/.", func() error { _, err := e.Volume(t.Context(), r.Volume); return err }},
		"POST /volumes/create":   {"^/volumes/create$", func() error { _, err := e.NewVolume(t.Context(), owner); return err }},
		"GET /images/*/json":     {"^/images/", func() error { _, err := e.Image(t.Context(), enginetest.Redis70); return err }},
		"POST /containers/create": {"^/containers/create$", func() error {
			_, err := e.CreateHelper(t.Context(), owner, HelperSpec{ImageID: image, Mount: dataMount(r.Volume)})
			return err
		}},
		"HEAD /containers/*/archive": {"/archive$", func() error { _, err := h.Stat(t.Context(), "/data"); return err }},
		"GET /containers/*/archive":  {"/archive$", func() error { _, err := h.OpenDir(t.Context(), "/data"); return err }},
		"PUT /containers/*/archive":  {"/archive$", func() error { return h.Write(t.Context(), func(*tar.Writer) error { return nil }) }},
		"POST /containers/*/exec":    {"^/containers/.+/exec$", func() error { _, err := e.DialExec(t.Context(), r.ID, 6379, ""); return err }},
		"POST /exec/*/start":         {"^/exec/.+/start$", func() error { _, err := e.DialExec(t.Context(), r.ID, 6379, ""); return err }},
		"GET /exec/*/json": {"^/exec/.+/json$", func() error {
			_, err := e.Exec(t.Context(), r.ID, ExecSpec{Cmd: []string{"true"}})
			return err
		}},
		"DELETE /containers/*": {"^/containers/[^/]+$", func() error { return h.Remove(t.Context()) }},
	}
	for name, c := range calls {
		method, pattern, _ := strings.Cut(name, " ")
		p.Clear()
		p.Inject(enginetest.Fault{Path: c.path, Status: http.StatusForbidden})
		denied := (*DeniedError)(nil)
		if err := c.do(); !errors.As(err, &denied) {
			t.Errorf("%s: %v", name, err)
		} else if before, after, _ := strings.Cut(pattern, "*"); !strings.HasPrefix(denied.Endpoint, method+" "+before) || !strings.HasSuffix(denied.Endpoint, after) {
			t.Errorf("%s names itself %s", name, denied.Endpoint)
		}
		for _, status := range []int{404, 409, 500} {
			p.Clear()
			p.Inject(enginetest.Fault{Path: c.path, Status: status})
			err := c.do()
			if gone := name == "DELETE /containers/*" && status == 404; gone != (err == nil) {
				t.Errorf("%s with %d: %v", name, status, err)
			}
		}
		p.Clear()
		p.Inject(enginetest.Fault{Path: c.path, Hang: true})
		e.idle, e.change = 200*time.Millisecond, 200*time.Millisecond
		idle := (*IdleError)(nil)
		if err := c.do(); !errors.As(err, &idle) {
			t.Errorf("%s that hangs: %v", name, err)
		}
		e.idle, e.change = idleLimit, changeLimit
	}
	p.Clear()
}

// The engine made the container, or the volume, and its answer was lost: it
// goes all the same.
func TestLostAnswerToACreationLeavesNothing(t *testing.T) {
	e, p := behindProxy(t)
	volume := enginetest.NewVolume(t)
	owner := newOwner(t, RoleHelper)
	for _, then := range []enginetest.Ending{enginetest.Broken, enginetest.Clean, enginetest.Stall} {
		p.Clear()
		p.Inject(enginetest.Fault{Path: "^/(containers|volumes)/create$", Bytes: 5, Then: then})
		e.change = 5 * time.Second
		_, err := e.CreateHelper(t.Context(), owner, HelperSpec{ImageID: imageOf(t, e, enginetest.Redis70), Mount: dataMount(volume)})
		if err == nil {
			t.Errorf("ending %d: no error", then)
		}
		if left := lines(t, "ps", "--all", "--quiet", "--filter", "label="+labelRepo+"="+owner.Repo); len(left) != 0 {
			t.Errorf("ending %d: %v; %d containers are left", then, err, len(left))
		}
		if v, err := e.NewVolume(t.Context(), owner); err == nil {
			t.Errorf("ending %d: volume %s without an error", then, v.Name)
		}
		if left := lines(t, "volume", "ls", "--quiet", "--filter", "label="+labelRepo+"="+owner.Repo); len(left) != 0 {
			t.Errorf("ending %d: %d volumes are left", then, len(left))
		}
	}
}

// FAULT 19: the volume goes and comes back between two looks at it.
func TestVolumeThatWasMadeAnewIsNoticed(t *testing.T) {
	e, p := behindProxy(t)
	name := enginetest.NewVolume(t)
	image := imageOf(t, e, enginetest.Redis70)
	owner := newOwner(t, RoleHelper)
	p.Inject(enginetest.Fault{Path: "^/containers/create$", Delay: time.Second})
	done := make(chan error, 1)
	go func() {
		_, err := e.CreateHelper(t.Context(), owner, HelperSpec{ImageID: image, Mount: dataMount(name)})
		done <- err
	}()
	enginetest.Eventually(t, 5*time.Second, "the creation to be under way", func() bool {
		return slices.ContainsFunc(p.Requests(), func(r enginetest.Request) bool { return r.Path == "/containers/create" })
	})
	docker(t, "volume", "rm", name)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "created anew") {
		t.Errorf("helper on a volume that was exchanged: %v", err)
	}
}

// FAULT 19, 26: to the engine a volume is as old as the last file that was made
// in its root. It is the same volume all the same.
func TestVolumeInUseIsNotTakenForAnother(t *testing.T) {
	e, p := behindProxy(t)
	r := startRedis(t)
	image := imageOf(t, e, enginetest.Redis70)
	before, err := e.Volume(t.Context(), r.Volume)
	if err != nil {
		t.Fatal(err)
	}
	p.Inject(enginetest.Fault{Path: "^/containers/create$", Delay: 1100 * time.Millisecond})
	made := make(chan error, 1)
	go func() {
		h, err := e.CreateHelper(t.Context(), newOwner(t, RoleHelper), HelperSpec{ImageID: image, Mount: dataMount(r.Volume)})
		if err == nil {
			err = h.Remove(t.Context())
		}
		made <- err
	}()
	for busy := true; busy; {
		r.Exec("sh", "-c", "echo >/data/temp-1.rdb; rm /data/temp-1.rdb")
		select {
		case err = <-made:
			busy = false
		default:
		}
	}
	if err != nil {
		t.Errorf("helper on a volume in use: %v", err)
	}
	if after, err := e.Volume(t.Context(), r.Volume); err != nil || len(after.Labels) != len(before.Labels) {
		t.Errorf("volume afterwards: %v, %v", after, err)
	}
}

// FAULT 69: what goes over the wire in a run of ours touches nothing that is
// not ours, and no archive goes into or out of a container that runs.
func TestOnlyOurOwnObjectsAreChanged(t *testing.T) {
	e, p := behindProxy(t)
	r := startRedis(t)
	r.Cmd("SAVE")
	owner := newOwner(t, RoleVerify)
	image := imageOf(t, e, enginetest.Redis70)
	ours := map[string]bool{}
	h := newHelper(t, e, r.Volume, false)
	ours[h.ID()] = true
	f, err := h.Open(t.Context(), "/data/dump.rdb")
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	volume := scratch(t, e, owner, image, "dump.rdb", content)
	v := newVerifier(t, e, owner, VerifierSpec{ImageID: image, Volume: volume.Name, Destination: "/data", User: "999:999", Cmd: replicaOfNowhere(), MemoryBytes: 64 << 20})
	ours[v.ID()] = true
	ask(t, v, "DBSIZE")
	if conn, err := e.DialExec(t.Context(), r.ID, 6379, ""); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	if err := errors.Join(v.Remove(t.Context()), h.Remove(t.Context())); err != nil {
		t.Error(err)
	}
	for _, q := range p.Requests() {
		if enc := q.Header.Get("Content-Encoding") + q.Header.Get("Accept-Encoding"); enc != "identity" && q.Header.Get("Upgrade") == "" {
			t.Errorf("%s %s with encoding %q", q.Method, q.Path, enc)
		}
		if q.Method == http.MethodGet || q.Method == http.MethodHead {
			if strings.HasPrefix(q.Path, "/containers/"+r.ID) && strings.HasSuffix(q.Path, "/archive") {
				t.Errorf("archive of the running source: %s %s", q.Method, q.Path)
			}
			continue
		}
		if strings.HasPrefix(q.Path, "/containers/"+r.ID) && q.Path != "/containers/"+r.ID+"/exec" {
			t.Errorf("the source was asked to %s %s", q.Method, q.Path)
		}
		if q.Method == http.MethodDelete && strings.HasPrefix(q.Path, "/volumes/") && q.Path != "/volumes/"+volume.Name {
			t.Errorf("deleted %s", q.Path)
		}
	}
}

//go:build engine

package docker

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// replicaOfNowhere boots a dump without dropping or saving anything.
func replicaOfNowhere() []string {
	return []string{"redis-server", "--save", "", "--appendonly", "no", "--replicaof", "127.0.0.1", "1", "--dir", "/data"}
}

// scratch makes a scratch volume with one file at its root.
func scratch(t *testing.T, e *Engine, o Owner, image, name string, content []byte) Volume {
	t.Helper()
	v, err := e.NewVolume(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.RemoveVolume(t.Context(), v.Name, o); err != nil {
			t.Error(err)
		}
	})
	h, err := e.CreateHelper(t.Context(), Owner{RoleHelper, o.Repo, o.Run}, HelperSpec{ImageID: image, Mount: dataMount(v.Name), Write: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Remove(t.Context())
	if err := h.Write(t.Context(), func(w *tar.Writer) error {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "data/", Uid: 999, Gid: 999, Mode: 0o755}); err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "data/" + name, Uid: 999, Gid: 999, Mode: 0o600, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return v
}

func newVerifier(t *testing.T, e *Engine, o Owner, s VerifierSpec) *Verifier {
	t.Helper()
	v, err := e.CreateVerifier(t.Context(), o, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifierBootsADumpOnEachGeneration(t *testing.T) {
	e := connect(t)
	for _, ref := range enginetest.Images(t) {
		t.Run(enginetest.Short(ref), func(t *testing.T) {
			r := enginetest.Start(t, enginetest.Options{Image: ref, Network: "none", Password: "canary-secret"})
			r.Fill(500, 100)
			r.Cmd("SAVE")
			image := imageOf(t, e, ref)
			owner := newOwner(t, RoleVerify)
			volume := scratch(t, e, owner, image, "dump.rdb", r.File("/data/dump.rdb"))
			cmd := replicaOfNowhere()
			cmd[0], _, _ = strings.Cut(enginetest.Short(ref), "-")
			cmd[0] += "-server"
			v := newVerifier(t, e, owner, VerifierSpec{ImageID: image, Volume: volume.Name, Destination: "/data", User: "999:999", Cmd: cmd, MemoryBytes: 128 << 20})
			if got := ask(t, v, "DBSIZE"); got != ":500" {
				t.Errorf("DBSIZE says %s", got)
			}
			for _, step := range [][2]string{{"REPLICAOF NO ONE", "+OK"}, {"SET probe 1", "+OK"}, {"SAVE", "+OK"}} {
				if got := ask(t, v, step[0]); got != step[1] {
					t.Errorf("%s says %s", step[0], got)
				}
			}
			if log, err := v.Logs(t.Context()); err != nil || !strings.Contains(log, "Ready to accept connections") {
				t.Errorf("log %q, %v", log, err)
			}
			checkBoxed(t, v.ID())
			docker(t, "kill", v.ID())
			if s, err := v.State(t.Context()); err != nil || s.Running || s.ExitCode != 137 || s.OOMKilled || s.FinishedAt.IsZero() {
				t.Errorf("killed: %+v, %v", s, err)
			}
		})
	}
}

// ask sends one command over a connection of its own, until the server has
// loaded its data.
func ask(t *testing.T, v *Verifier, command string) string {
	t.Helper()
	answer := ""
	enginetest.Eventually(t, 30*time.Second, command+" is answered", func() bool {
		conn, err := v.Dial(t.Context(), 6379)
		if errors.Is(err, ErrRefused) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, command+"\r\n")
		buf := make([]byte, 512)
		n, err := conn.Read(buf)
		answer = strings.TrimSpace(string(buf[:n]))
		return err == nil && !strings.HasPrefix(answer, "-LOADING")
	})
	return answer
}

// checkBoxed looks at what the engine made of a verifier.
func checkBoxed(t *testing.T, id string) {
	t.Helper()
	var got []struct {
		Config     struct{ Env []string }
		HostConfig struct {
			NetworkMode                string
			CapDrop, CapAdd            []string
			SecurityOpt                []string
			ReadonlyRootfs, Privileged bool
			OomScoreAdj                int
			PidsLimit                  int64
			Memory                     int64
			AutoRemove                 bool
			RestartPolicy              struct{ Name string }
			LogConfig                  struct {
				Type   string
				Config map[string]string
			}
		}
		Mounts []struct{ Destination string }
	}
	if err := json.Unmarshal([]byte(docker(t, "inspect", id)), &got); err != nil || len(got) != 1 {
		t.Fatal(err)
	}
	h := got[0].HostConfig
	if h.NetworkMode != "none" || !slices.Equal(h.CapDrop, []string{"ALL"}) || len(h.CapAdd) != 0 || !slices.Equal(h.SecurityOpt, []string{"no-new-privileges"}) ||
		!h.ReadonlyRootfs || h.Privileged || h.OomScoreAdj != 1000 || h.PidsLimit != 64 || h.Memory != 128<<20 || h.AutoRemove ||
		h.RestartPolicy.Name != "" && h.RestartPolicy.Name != "no" || h.LogConfig.Type != "json-file" || h.LogConfig.Config["max-size"] != "10m" {
		t.Errorf("verifier is %+v", h)
	}
	// One mount: the image's own volume at /data is no second one.
	if len(got[0].Mounts) != 1 || strings.Contains(strings.Join(got[0].Config.Env, " "), "canary") {
		t.Errorf("verifier has %+v", got[0])
	}
}

func TestVerifierTellsHowItEnded(t *testing.T) {
	e := connect(t)
	image := imageOf(t, e, enginetest.Redis70)
	owner := newOwner(t, RoleVerify)
	volume := scratch(t, e, owner, image, "dump.rdb", []byte("REDIS0010 torn"))
	spec := VerifierSpec{ImageID: image, Volume: volume.Name, Destination: "/data", User: "999:999", Cmd: replicaOfNowhere(), MemoryBytes: 64 << 20}
	v := newVerifier(t, e, owner, spec)
	var s Status
	enginetest.Eventually(t, 20*time.Second, "end of a server with a torn dump", func() bool {
		var err error
		if s, err = v.State(t.Context()); err != nil {
			t.Fatal(err)
		}
		return !s.Running
	})
	log, err := v.Logs(t.Context())
	if s.ExitCode != 1 || s.OOMKilled || err != nil || !strings.Contains(log, "RDB") {
		t.Errorf("torn dump: %+v, %q, %v", s, log, err)
	}
	if _, err := v.Dial(t.Context(), 6379); err == nil {
		t.Error("dialled a dead verifier")
	}

	spec.Cmd = []string{"no-such-program"}
	bad, err := e.CreateVerifier(t.Context(), owner, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Remove(t.Context())
	if err := bad.Start(t.Context()); err == nil {
		// The entrypoint is a script: it is the one that fails.
		enginetest.Eventually(t, 20*time.Second, "end", func() bool { s, _ := bad.State(t.Context()); return !s.Running && s.ExitCode == 127 })
	}
}

// FAULT 24: a kill for want of memory is told, and the exit code is not lost.
func TestVerifierKilledForMemory(t *testing.T) {
	e := connect(t)
	image := imageOf(t, e, enginetest.Redis70)
	owner := newOwner(t, RoleVerify)
	volume := scratch(t, e, owner, image, "f", nil)
	// Not a server: one may crawl at its limit for minutes before it is killed.
	hungry := []string{"sh", "-c", "head -c 500m /dev/zero | tail -c 500m >/dev/null"}
	v := newVerifier(t, e, owner, VerifierSpec{ImageID: image, Volume: volume.Name, Destination: "/data", User: "999:999", Cmd: hungry, MemoryBytes: 32 << 20})
	var s Status
	enginetest.Eventually(t, 30*time.Second, "end for want of memory", func() bool {
		var err error
		if s, err = v.State(t.Context()); err != nil {
			t.Fatal(err)
		}
		return !s.Running
	})
	// OOMKilled comes by another way than the end, and not always in time: what
	// asks must take the exit code for an answer too.
	if s.ExitCode != 137 {
		t.Errorf("ended with %+v", s)
	}
}

func TestVerifierBootsOnlyItsOwnScratchVolume(t *testing.T) {
	e := connect(t)
	image := imageOf(t, e, enginetest.Redis70)
	owner := newOwner(t, RoleVerify)
	spec := VerifierSpec{ImageID: image, Volume: enginetest.NewVolume(t), Destination: "/data", User: "999:999", Cmd: replicaOfNowhere(), MemoryBytes: 64 << 20}
	if _, err := e.CreateVerifier(t.Context(), owner, spec); !refused(err) {
		t.Errorf("user's volume: %v", err)
	}
	other := newOwner(t, RoleVerify)
	spec.Volume = scratch(t, e, other, image, "f", nil).Name
	if _, err := e.CreateVerifier(t.Context(), owner, spec); !refused(err) {
		t.Errorf("another run's volume: %v", err)
	}
	missing := (*NotFoundError)(nil)
	spec.Volume = "redisbak-test-none"
	if _, err := e.CreateVerifier(t.Context(), owner, spec); !errors.As(err, &missing) || missing.Kind != "volume" {
		t.Errorf("missing volume: %v", err)
	}
}

func newNetwork(t *testing.T) string {
	t.Helper()
	name := strings.Replace(enginetest.NewVolume(t), "test-", "test-net-", 1)
	docker(t, "network", "create", "--internal", "--label", enginetest.Label, name)
	t.Cleanup(func() { docker(t, "network", "rm", name) })
	return name
}

func TestRecoveryContainerIsTheUsers(t *testing.T) {
	e := connect(t)
	owner := newOwner(t, RoleRecovery)
	image := imageOf(t, e, enginetest.Redis70)
	volume := scratch(t, e, owner, image, "f", nil)
	first, second := newNetwork(t), newNetwork(t)
	config := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(config, []byte("maxclients 77\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := RecoverySpec{
		Name: volume.Name + "-server", ImageID: image, User: "999:999", Volume: volume.Name, Destination: "/data", MemoryLimit: 64 << 20,
		Cmd: []string{"redis-server", "/etc/redis.conf"}, Config: []Mount{{Type: MountBind, Source: config, Destination: "/etc/redis.conf"}},
		Networks: []string{first, second}, Publish: []string{"127.0.0.1:0:6379"},
	}
	id, err := e.CreateRecovery(t.Context(), owner, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { docker(t, "rm", "--force", "--volumes", id) })
	c, err := e.Find(t.Context(), spec.Name)
	if err != nil || c.ID != id || c.State != "created" || c.Labels[labelRole] != RoleRecovery || c.MemoryLimit != 64<<20 {
		t.Fatalf("made %+v, %v", c, err)
	}
	exists := (*ExistsError)(nil)
	if _, err := e.CreateRecovery(t.Context(), owner, spec); !errors.As(err, &exists) || *exists != (ExistsError{"container", spec.Name}) {
		t.Errorf("made twice: %v", err)
	}
	stranger := owner
	stranger.Run = "another"
	if err := e.StartRecovery(t.Context(), id, stranger); !refused(err) {
		t.Errorf("started by a stranger: %v", err)
	}
	if err := e.StartRecovery(t.Context(), id, owner); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, 20*time.Second, "answer of the recovery container", func() bool {
		out, err := enginetest.Docker("exec", id, "redis-cli", "config", "get", "maxclients")
		return err == nil && strings.Contains(out, "77")
	})
	c, _ = e.Find(t.Context(), id)
	if len(c.Networks) != 2 || c.RestartCount != 0 {
		t.Errorf("networks %+v", c.Networks)
	}
	if policy := docker(t, "inspect", "--format", "{{.HostConfig.RestartPolicy.Name}} {{range .Mounts}}{{.Destination}}={{.RW}} {{end}}", id); !strings.HasPrefix(policy, "no ") ||
		!strings.Contains(policy, "/data=true") || !strings.Contains(policy, "/etc/redis.conf=false") {
		t.Errorf("made as %s", policy)
	}
	// It is never swept, whatever has died.
	if err := e.Sweep(t.Context(), owner.Repo, func(string) bool { return true }); err != nil {
		t.Error(err)
	}
	if c, err := e.Find(t.Context(), id); err != nil || !c.Running() {
		t.Errorf("after a sweep: %+v, %v", c.State, err)
	}
	if _, err := e.Volume(t.Context(), volume.Name); err != nil {
		t.Errorf("volume after a sweep: %v", err)
	}
}

func TestRecoveryThatFailsLeavesNothing(t *testing.T) {
	e := connect(t)
	owner := newOwner(t, RoleRecovery)
	image := imageOf(t, e, enginetest.Redis70)
	volume := scratch(t, e, owner, image, "f", nil)
	spec := RecoverySpec{Name: volume.Name + "-x", ImageID: image, Volume: volume.Name, Destination: "/data", Networks: []string{newNetwork(t), "redisbak-test-no-network"}}
	missing, bad := (*NotFoundError)(nil), (*PublishError)(nil)
	if _, err := e.CreateRecovery(t.Context(), owner, spec); !errors.As(err, &missing) || missing.Kind != "network" {
		t.Errorf("missing network: %v", err)
	}
	spec.Networks, spec.Publish = nil, []string{"nonsense"}
	if _, err := e.CreateRecovery(t.Context(), owner, spec); !errors.As(err, &bad) {
		t.Errorf("bad port: %v", err)
	}
	spec.Publish, spec.ImageID = nil, someImage
	if _, err := e.CreateRecovery(t.Context(), owner, spec); !errors.As(err, &missing) || *missing != (NotFoundError{"image", someImage}) {
		t.Errorf("missing image: %v", err)
	}
	if _, err := e.Find(t.Context(), spec.Name); !errors.As(err, &missing) {
		t.Errorf("something is left: %v", err)
	}
}

// FAULT 20: what a dead run left goes, a live run's helper stays, and so does
// all that is another repository's.
func TestSweepTakesTheDeadAndNothingElse(t *testing.T) {
	e := connect(t)
	image := imageOf(t, e, enginetest.Redis70)
	volume := enginetest.NewVolume(t)
	dead := newOwner(t, RoleHelper)
	live := Owner{RoleHelper, dead.Repo, "live"}
	foreign := Owner{RoleHelper, dead.Repo + "-other", dead.Run}
	make := func(o Owner) *Helper {
		h, err := e.CreateHelper(t.Context(), o, HelperSpec{ImageID: image, Mount: dataMount(volume)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Remove(t.Context()) })
		return h
	}
	gone, stays, others := make(dead), make(live), make(foreign)
	verify := Owner{RoleVerify, dead.Repo, dead.Run}
	left, err := e.NewVolume(t.Context(), verify)
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.CreateVerifier(t.Context(), verify, VerifierSpec{ImageID: image, Volume: left.Name, Destination: "/data", User: "999:999", Cmd: replicaOfNowhere(), MemoryBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Someone holds another scratch volume of the dead run: it cannot go, and
	// that must not keep the rest.
	held, err := e.NewVolume(t.Context(), verify)
	if err != nil {
		t.Fatal(err)
	}
	holder := docker(t, "create", "--label", enginetest.Label, "--volume", held.Name+":/data", enginetest.Redis70)
	t.Cleanup(func() { docker(t, "volume", "rm", held.Name) })
	t.Cleanup(func() { docker(t, "rm", "--force", holder) })

	isDead := func(run string) bool { return run == dead.Run }
	if err := e.Sweep(t.Context(), dead.Repo, isDead); err == nil || !strings.Contains(err.Error(), held.Name) {
		t.Errorf("sweep with a volume that is held: %v", err)
	}
	exists := func(id string) bool { _, err := e.Find(t.Context(), id); return err == nil }
	if exists(gone.ID()) || exists(v.ID()) || !exists(stays.ID()) || !exists(others.ID()) || !exists(holder) {
		t.Error("the sweep took the wrong ones")
	}
	if _, err := e.Volume(t.Context(), left.Name); err == nil {
		t.Error("the scratch volume is left")
	}
	if _, err := e.Volume(t.Context(), volume); err != nil {
		t.Errorf("the source's volume: %v", err)
	}
}

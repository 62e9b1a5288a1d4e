//go:build engine

package docker

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

func TestContainerIsFoundAndDescribed(t *testing.T) {
	e := connect(t)
	dir := t.TempDir()
	r := enginetest.Start(t, enginetest.Options{
		Args:   []string{"--appendonly", "yes", "--port", "6390"},
		Docker: []string{"--memory", "256m", "--tmpfs", "/scratch", "--volume", dir + ":/conf:ro", "--workdir", "/data", "--label", "a=b"},
	})
	for _, name := range []string{r.Name, r.ID, r.ID[:12], strings.ToUpper(r.ID[:9])} {
		if c, err := e.Find(t.Context(), name); err != nil || c.ID != r.ID {
			t.Errorf("find %s: %s, %v", name, c.ID, err)
		}
	}
	missing := (*NotFoundError)(nil)
	if _, err := e.Find(t.Context(), r.Name+"x"); !errors.As(err, &missing) || *missing != (NotFoundError{"container", r.Name + "x"}) {
		t.Errorf("missing: %v", err)
	}
	c, err := e.Find(t.Context(), r.Name)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != r.Name || c.Image != r.Image || c.ImageID != imageOf(t, e, r.Image) || !c.Running() || c.MemoryLimit != 256<<20 {
		t.Errorf("got %+v", c)
	}
	if since := time.Since(c.StartedAt); since < 0 || since > 10*time.Minute || c.CreatedAt.After(c.StartedAt) {
		t.Errorf("created %s, started %s", c.CreatedAt, c.StartedAt)
	}
	if got := strings.Join(c.Argv(), " "); !strings.HasPrefix(got, "docker-entrypoint.sh --protected-mode no") || !strings.HasSuffix(got, "--appendonly yes --port 6390") {
		t.Errorf("command line %q", got)
	}
	if !slices.Equal(c.Entrypoint, []string{"docker-entrypoint.sh"}) || c.Cmd[0] != "--protected-mode" || c.WorkingDir != "/data" || c.Labels["a"] != "b" {
		t.Errorf("got %+v", c)
	}
	wantMounts := []Mount{
		{Type: MountBind, Source: dir, Destination: "/conf", ReadOnly: true},
		{Type: MountVolume, Name: r.Volume, Source: c.Mounts[1].Source, Destination: "/data", Driver: "local"},
		{Type: MountTmpfs, Destination: "/scratch"},
	}
	if !slices.Equal(c.Mounts, wantMounts) {
		t.Errorf("mounts %+v", c.Mounts)
	}
	if len(c.Networks) != 1 || c.Networks[0].Name != "bridge" || c.Networks[0].IP == "" {
		t.Errorf("networks %+v", c.Networks)
	}
	p, err := e.ServerProcess(t.Context(), c.ID)
	if err != nil || p.UID != 999 || p.GID != 999 || p.Port != 6390 || p.PID < 2 || !strings.Contains(p.Title, "redis-server") {
		t.Errorf("process %+v, %v", p, err)
	}
	r.Stop()
	if c, err := e.Find(t.Context(), r.Name); err != nil || c.State != "exited" || c.Networks[0].IP != "" {
		t.Errorf("stopped: %+v, %v", c, err)
	}
	if _, err := e.ServerProcess(t.Context(), c.ID); err == nil || errors.Is(err, ErrNoServer) {
		t.Errorf("process of a stopped container: %v", err)
	}
}

// The title is looked for while the server has forked, too.
func TestServerProcessOfEachGeneration(t *testing.T) {
	e := connect(t)
	for _, image := range enginetest.Images(t) {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			r := enginetest.Start(t, enginetest.Options{Image: image, Network: "none", Args: []string{"--rdb-key-save-delay", "1000000"}})
			r.Cmd("SET", "k", "v")
			r.Cmd("SET", "l", "v")
			r.Cmd("BGSAVE")
			if top := docker(t, "top", r.Name, "-eo", "pid,args"); !strings.Contains(top, "-rdb-bgsave") {
				t.Errorf("no child in %s", top)
			}
			p, err := e.ServerProcess(t.Context(), r.ID)
			if err != nil || p.Port != 6379 || strings.Contains(p.Title, "bgsave") {
				t.Errorf("process %+v, %v", p, err)
			}
		})
	}
	sleeper := docker(t, "run", "--detach", "--label", enginetest.Label, "--network", "none", "--entrypoint", "tail", enginetest.Redis70, "-f", "/dev/null")
	t.Cleanup(func() { docker(t, "rm", "--force", "--volumes", sleeper) })
	if _, err := e.ServerProcess(t.Context(), sleeper); !errors.Is(err, ErrNoServer) {
		t.Errorf("container without a server: %v", err)
	}
}

func TestFindRedisNamesAllOnTheMachine(t *testing.T) {
	e := connect(t)
	a, b := startRedis(t), enginetest.Start(t, enginetest.Options{Network: "none", Image: enginetest.Valkey81})
	_, err := e.FindRedis(t.Context())
	several := (*AmbiguousError)(nil)
	if !errors.As(err, &several) || !slices.Contains(several.Matches, a.Name) || !slices.Contains(several.Matches, b.Name) {
		t.Errorf("two servers: %v", err)
	}
}

func TestUsersOfAVolumeInAnyState(t *testing.T) {
	e := connect(t)
	r := startRedis(t)
	created := docker(t, "create", "--label", enginetest.Label, "--volume", r.Volume+":/elsewhere:ro", enginetest.Redis70)
	t.Cleanup(func() { docker(t, "rm", "--force", "--volumes", created) })
	users, err := e.UsersOf(t.Context(), r.Volume)
	states := map[string]string{}
	for _, u := range users {
		states[u.ID] = u.State
	}
	if err != nil || len(users) != 2 || states[r.ID] != "running" || states[created] != "created" {
		t.Errorf("users %v, %v", states, err)
	}
	if users, err := e.UsersOf(t.Context(), "redisbak-test-unused"); err != nil || len(users) != 0 {
		t.Errorf("users of nothing: %+v, %v", users, err)
	}
}

func TestVolumesAreCreatedOnceAndRemovedByTheirOwner(t *testing.T) {
	e := connect(t)
	owner := newOwner(t, RoleRecovery)
	exists, missing := (*ExistsError)(nil), (*NotFoundError)(nil)
	v, err := e.NewVolume(t.Context(), owner)
	if err != nil || v.Labels[labelRun] != owner.Run || v.Driver != "local" || v.CreatedAt.IsZero() || v.Mountpoint == "" {
		t.Fatalf("created %+v, %v", v, err)
	}
	if want := "redisbak-recovery-" + owner.Run + "-"; !strings.HasPrefix(v.Name, want) {
		t.Errorf("name %s", v.Name)
	}
	if _, err := e.CreateVolume(t.Context(), v.Name, owner); !errors.As(err, &exists) {
		t.Errorf("created twice: %v", err)
	}
	users := enginetest.NewVolume(t)
	if _, err := e.CreateVolume(t.Context(), users, owner); !errors.As(err, &exists) || *exists != (ExistsError{"volume", users}) {
		t.Errorf("user's volume: %v", err)
	}
	other := owner
	other.Run = "another"
	for _, o := range []Owner{other, {RoleRecovery, "another", owner.Run}, {RoleVerify, owner.Repo, owner.Run}} {
		if err := e.RemoveVolume(t.Context(), v.Name, o); !refused(err) {
			t.Errorf("removed by %+v: %v", o, err)
		}
	}
	if err := e.RemoveVolume(t.Context(), users, owner); !refused(err) {
		t.Errorf("user's volume removed: %v", err)
	}
	if err := e.RemoveVolume(t.Context(), v.Name, owner); err != nil {
		t.Error(err)
	}
	if err := e.RemoveVolume(t.Context(), v.Name, owner); err != nil {
		t.Errorf("second removal: %v", err)
	}
	if _, err := e.Volume(t.Context(), v.Name); !errors.As(err, &missing) || *missing != (NotFoundError{"volume", v.Name}) {
		t.Errorf("after removal: %v", err)
	}
	if _, err := e.CreateVolume(t.Context(), "no/slash", owner); err == nil {
		t.Error("volume name with a slash")
	}
}

func TestImagesAreLocal(t *testing.T) {
	e := connect(t)
	image, err := e.Image(t.Context(), enginetest.Redis70)
	if err != nil || !imageID.MatchString(image.ID) || !slices.Equal(image.Volumes, []string{"/data"}) ||
		!slices.Equal(image.ExposedPorts, []string{"6379/tcp"}) || !slices.Equal(image.Cmd, []string{"redis-server"}) {
		t.Errorf("image %+v, %v", image, err)
	}
	if byID, err := e.Image(t.Context(), image.ID); err != nil || byID.ID != image.ID {
		t.Errorf("by id: %v", err)
	}
	missing := (*NotFoundError)(nil)
	if _, err := e.Image(t.Context(), "redisbak-test/none:1"); !errors.As(err, &missing) || *missing != (NotFoundError{"image", "redisbak-test/none:1"}) {
		t.Errorf("missing: %v", err)
	}
}

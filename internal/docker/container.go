package docker

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// Container is what redisbak needs to know of a container. Its environment is
// left out on purpose: secrets live there.
type Container struct {
	ID        string
	Name      string
	Image     string // as it was created from
	ImageID   string // sha256:…
	State     string // created, running, paused, restarting, removing, exited, dead
	CreatedAt time.Time
	StartedAt time.Time // zero: never

	Path       string   // the program that was started …
	Args       []string // … and its arguments: entrypoint and command, merged
	Entrypoint []string
	Cmd        []string
	User       string
	WorkingDir string
	Labels     map[string]string

	Mounts       []Mount
	Networks     []Network
	NetworkMode  string
	MemoryLimit  int64  // bytes, 0: none
	Health       string // empty: no health check
	RestartCount int
	ReadonlyRoot bool
}

// Argv is the whole command line as it was started.
func (c Container) Argv() []string { return append([]string{c.Path}, c.Args...) }

// Running reports whether the container runs and is not paused.
func (c Container) Running() bool { return c.State == container.StateRunning }

// Mount types.
const (
	MountVolume = "volume"
	MountBind   = "bind"
	MountTmpfs  = "tmpfs"
)

// Mount is something mounted in a container.
type Mount struct {
	Type        string // MountVolume, MountBind, MountTmpfs or another of the engine's
	Name        string // of a volume
	Source      string // path on the engine's host
	Destination string // path in the container
	ReadOnly    bool
	Subpath     string // of a volume
	Driver      string // of a volume
}

// Network is a network that a container is attached to.
type Network struct {
	Name string
	ID   string
	IP   string // empty while it does not run
}

// Summary is one container of a list.
type Summary struct {
	ID      string
	Name    string
	Image   string
	ImageID string
	State   string
	Labels  map[string]string
	Mounts  []Mount
}

// Running reports whether the container runs and is not paused.
func (s Summary) Running() bool { return s.State == container.StateRunning }

// Passing reports whether it is a helper or a verifier of redisbak's, which
// comes and goes with a snapshot.
func (s Summary) Passing() bool {
	return s.Labels[labelRole] == RoleHelper || s.Labels[labelRole] == RoleVerify
}

// Find looks a container up by its exact name, its id, or a prefix of the id
// of at least four digits that no other container shares.
func (e *Engine) Find(ctx context.Context, nameOrID string) (Container, error) {
	all, err := e.Containers(ctx, true)
	if err != nil {
		return Container{}, err
	}
	id, err := pick(all, nameOrID)
	if err != nil {
		return Container{}, err
	}
	return e.inspect(ctx, id, nameOrID)
}

// pick chooses one of a list by name, id or prefix of the id.
func pick(all []Summary, nameOrID string) (string, error) {
	for _, c := range all {
		if nameOrID != "" && (c.Name == nameOrID || c.ID == nameOrID) {
			return c.ID, nil
		}
	}
	var ids, names []string
	if prefix := strings.ToLower(nameOrID); len(prefix) >= 4 {
		for _, c := range all {
			if strings.HasPrefix(c.ID, prefix) {
				ids = append(ids, c.ID)
				names = append(names, c.Name)
			}
		}
	}
	switch len(ids) {
	case 0:
		return "", &NotFoundError{Kind: "container", Name: nameOrID}
	case 1:
		return ids[0], nil
	}
	return "", &AmbiguousError{Kind: "container", Name: nameOrID, Matches: names}
}

func (e *Engine) inspect(ctx context.Context, id, name string) (Container, error) {
	in, err := e.inspectRaw(ctx, id, name)
	if err != nil {
		return Container{}, err
	}
	return toContainer(in), nil
}

// inspectRaw returns an answer whose parts are never nil.
func (e *Engine) inspectRaw(ctx context.Context, id, name string) (container.InspectResponse, error) {
	op := operation{method: http.MethodGet, path: "/containers/" + id + "/json", what: "inspect container " + name, kind: "container", name: name}
	in, err := call(ctx, e, op, func(ctx context.Context) (container.InspectResponse, error) {
		return e.api.ContainerInspect(ctx, id)
	})
	if err != nil {
		return in, err
	}
	if in.ContainerJSONBase == nil {
		in.ContainerJSONBase = &container.ContainerJSONBase{}
	}
	if in.State == nil {
		in.State = &container.State{}
	}
	if in.HostConfig == nil {
		in.HostConfig = &container.HostConfig{}
	}
	if in.Config == nil {
		in.Config = &container.Config{}
	}
	if in.NetworkSettings == nil {
		in.NetworkSettings = &container.NetworkSettings{}
	}
	return in, nil
}

func toContainer(in container.InspectResponse) Container {
	c := Container{
		ID: in.ID, Name: strings.TrimPrefix(in.Name, "/"),
		Image: in.Config.Image, ImageID: in.Image,
		State: in.State.Status, CreatedAt: parseTime(in.Created), StartedAt: parseTime(in.State.StartedAt),
		Path: in.Path, Args: in.Args,
		Entrypoint: in.Config.Entrypoint, Cmd: in.Config.Cmd,
		User: in.Config.User, WorkingDir: in.Config.WorkingDir, Labels: in.Config.Labels,
		NetworkMode: string(in.HostConfig.NetworkMode), MemoryLimit: in.HostConfig.Memory,
		RestartCount: in.RestartCount, ReadonlyRoot: in.HostConfig.ReadonlyRootfs,
		Mounts: toMounts(in.Mounts),
	}
	if in.State.Health != nil && in.State.Health.Status != container.NoHealthcheck {
		c.Health = in.State.Health.Status
	}
	// A subpath is only told by the request that made the container, and a
	// tmpfs of --tmpfs nowhere else.
	for _, m := range in.HostConfig.Mounts {
		if i := slices.IndexFunc(c.Mounts, func(have Mount) bool { return have.Destination == m.Target }); i >= 0 && m.VolumeOptions != nil {
			c.Mounts[i].Subpath = m.VolumeOptions.Subpath
		}
	}
	for dest := range in.HostConfig.Tmpfs {
		c.Mounts = append(c.Mounts, Mount{Type: MountTmpfs, Destination: path.Clean(dest)})
	}
	slices.SortFunc(c.Mounts, func(a, b Mount) int { return strings.Compare(a.Destination, b.Destination) })
	for name, n := range in.NetworkSettings.Networks {
		if n != nil {
			c.Networks = append(c.Networks, Network{Name: name, ID: n.NetworkID, IP: n.IPAddress})
		}
	}
	slices.SortFunc(c.Networks, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return c
}

func toMounts(points []container.MountPoint) []Mount {
	mounts := make([]Mount, 0, len(points))
	for _, p := range points {
		m := Mount{Type: string(p.Type), Name: p.Name, Source: p.Source, Destination: p.Destination, ReadOnly: !p.RW, Driver: p.Driver}
		if m.Type == "" { // engines leave it out for what they mount themselves
			m.Type = MountBind
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// parseTime reads a time of the engine's; its zero is the year 1.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t.UTC()
}

// Containers lists the running and paused containers, or all of them.
func (e *Engine) Containers(ctx context.Context, all bool) ([]Summary, error) {
	return e.list(ctx, container.ListOptions{All: all})
}

// UsersOf lists the containers in any state that mount a volume.
func (e *Engine) UsersOf(ctx context.Context, volume string) ([]Summary, error) {
	found, err := e.list(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("volume", volume))})
	if err != nil {
		return nil, err
	}
	// The engine's filter matches mount points as well as names.
	return slices.DeleteFunc(found, func(s Summary) bool {
		return !slices.ContainsFunc(s.Mounts, func(m Mount) bool { return m.Type == MountVolume && m.Name == volume })
	}), nil
}

func (e *Engine) list(ctx context.Context, o container.ListOptions) ([]Summary, error) {
	op := operation{method: http.MethodGet, path: "/containers/json", what: "list containers"}
	found, err := call(ctx, e, op, func(ctx context.Context) ([]container.Summary, error) {
		return e.api.ContainerList(ctx, o)
	})
	if err != nil {
		return nil, err
	}
	list := make([]Summary, 0, len(found))
	for _, c := range found {
		list = append(list, Summary{
			ID: c.ID, Name: ownName(c.Names), Image: c.Image, ImageID: c.ImageID,
			State: c.State, Labels: c.Labels, Mounts: toMounts(c.Mounts),
		})
	}
	return list, nil
}

// ownName is a container's name among those that links gave it.
func ownName(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

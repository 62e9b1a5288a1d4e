package docker

import (
	"context"
	"errors"
	"net/http"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

// RecoverySpec says what a recovery container is made of. It has no
// environment: what the source has there may be secret.
type RecoverySpec struct {
	Name       string
	ImageID    string // sha256:…
	User       string
	WorkingDir string
	Entrypoint []string
	Cmd        []string

	Volume      string // the restored one
	Destination string
	Config      []Mount // the source's other mounts, taken read-only

	MemoryLimit int64
	Networks    []string // names or ids; none: no network
	Publish     []string // as for docker run -p
}

// CreateRecovery makes a container on a restored volume and does not start it.
// The owner's role is RoleRecovery: it is the user's, and nothing here ever
// removes it once it is made. ExistsError: the name is taken.
func (e *Engine) CreateRecovery(ctx context.Context, o Owner, s RecoverySpec) (id string, err error) {
	if s.Name == "" {
		return "", guard("a recovery container without a name")
	}
	r, err := e.recoveryRequest(o, s)
	if err != nil {
		return "", err
	}
	if err := checkRequest(recoveryBoot, r); err != nil {
		return "", err
	}
	for _, name := range s.Networks {
		if err := e.checkNetwork(ctx, name); err != nil {
			return "", err
		}
	}
	data := Mount{Type: MountVolume, Name: s.Volume, Destination: s.Destination}
	id, err = e.mounted(ctx, recoveryBoot, r, data, o)
	if err != nil {
		return "", err
	}
	for _, name := range s.Networks[min(1, len(s.Networks)):] {
		if err := e.join(ctx, id, name); err != nil {
			// Half made and never started: nobody's yet.
			cleanup, cancel := undo(ctx)
			defer cancel()
			return "", errors.Join(err, e.removeContainer(cleanup, id, o))
		}
	}
	return id, nil
}

func (e *Engine) recoveryRequest(o Owner, s RecoverySpec) (request, error) {
	mounts := []Mount{{Type: MountVolume, Name: s.Volume, Destination: s.Destination}}
	mounts = append(mounts, s.Config...)
	ports, exposed, err := publish(s.Publish)
	if err != nil {
		return request{}, err
	}
	r := request{
		name: s.Name,
		config: container.Config{
			Image: s.ImageID, Labels: o.labels(), User: s.User, WorkingDir: s.WorkingDir,
			Entrypoint: s.Entrypoint, Cmd: s.Cmd, ExposedPorts: exposed,
		},
		host: container.HostConfig{
			NetworkMode:   network.NetworkNone,
			PortBindings:  ports,
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
			Resources:     container.Resources{Memory: s.MemoryLimit},
		},
	}
	for i, m := range mounts {
		m, err := e.toMount(m, i > 0)
		if err != nil {
			return request{}, err
		}
		r.host.Mounts = append(r.host.Mounts, m)
	}
	if len(s.Networks) > 0 {
		r.host.NetworkMode = container.NetworkMode(s.Networks[0])
		r.networking = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{s.Networks[0]: {}}}
	}
	return r, nil
}

func publish(specs []string) (nat.PortMap, nat.PortSet, error) {
	if len(specs) == 0 {
		return nil, nil, nil
	}
	bindings := nat.PortMap{}
	exposed := nat.PortSet{}
	for _, spec := range specs {
		mappings, err := nat.ParsePortSpec(spec)
		if err != nil {
			return nil, nil, &PublishError{Spec: spec, Err: err}
		}
		for _, m := range mappings {
			exposed[m.Port] = struct{}{}
			bindings[m.Port] = append(bindings[m.Port], m.Binding)
		}
	}
	return bindings, exposed, nil
}

// checkNetwork looks a network up: the engine takes any name for a container
// that does not run, and fails when it is started.
func (e *Engine) checkNetwork(ctx context.Context, name string) error {
	op := operation{method: http.MethodGet, path: "/networks/" + name, what: "inspect network " + name, kind: "network", name: name}
	_, err := call(ctx, e, op, func(ctx context.Context) (network.Inspect, error) {
		return e.api.NetworkInspect(ctx, name, network.InspectOptions{})
	})
	return err
}

// join attaches a container of ours to one more network, without aliases.
func (e *Engine) join(ctx context.Context, id, name string) error {
	op := operation{method: http.MethodPost, path: "/networks/" + name + "/connect", what: "connect container to network " + name, kind: "network", name: name}
	return act(ctx, e, op, func(ctx context.Context) error {
		return e.api.NetworkConnect(ctx, name, id, &network.EndpointSettings{})
	})
}

// StartRecovery starts a recovery container of this owner, and no other.
func (e *Engine) StartRecovery(ctx context.Context, id string, o Owner) error {
	in, err := e.inspectRaw(ctx, id, id)
	if err != nil {
		return err
	}
	if have, ok := OwnerOf(in.Config.Labels); !ok || have != o || o.Role != RoleRecovery {
		return guard("container %s is not ours to start", id)
	}
	return e.start(ctx, in.ID)
}

package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// create makes a container after the guard has seen the request.
func (e *Engine) create(ctx context.Context, t template, r request) (id string, err error) {
	if err := checkRequest(t, r); err != nil {
		return "", err
	}
	op := operation{method: http.MethodPost, path: "/containers/create", what: "create container " + r.name, kind: "image", name: r.config.Image}
	made, err := call(ctx, e, op, func(ctx context.Context) (container.CreateResponse, error) {
		return e.api.ContainerCreate(ctx, &r.config, &r.host, r.networking, nil, r.name)
	})
	if err == nil {
		return made.ID, nil
	}
	if cerrdefs.IsConflict(err) {
		return "", &ExistsError{Kind: "container", Name: r.name}
	}
	// The answer may be lost and the container made all the same. It has our
	// labels and a name that nobody else uses: look for it and take it away.
	e.forget(ctx, t, r)
	return "", err
}

// forget removes what a creation without an answer may have left. Its own
// failure is silent: the sweep will find the container.
func (e *Engine) forget(ctx context.Context, t template, r request) {
	if t == recoveryBoot {
		return
	}
	owner, _ := OwnerOf(r.config.Labels)
	ctx, cancel := undo(ctx)
	defer cancel()
	_ = e.removeContainer(ctx, r.name, owner)
}

// removeContainer deletes a container that carries exactly the owner's labels,
// with its anonymous volumes, and refuses any other. One that is gone is fine.
func (e *Engine) removeContainer(ctx context.Context, id string, o Owner) error {
	in, err := e.inspectRaw(ctx, id, id)
	if missing := (*NotFoundError)(nil); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkOwned("container", id, in.Config.Labels, o); err != nil {
		return err
	}
	// By id: a name could be another container's by now.
	op := operation{method: http.MethodDelete, path: "/containers/" + in.ID, what: "remove container " + in.ID, kind: "container", name: in.ID}
	err = act(ctx, e, op, func(ctx context.Context) error {
		return e.api.ContainerRemove(ctx, in.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if missing := (*NotFoundError)(nil); errors.As(err, &missing) || cerrdefs.IsConflict(err) && e.gone(ctx, in.ID) {
		return nil
	}
	return err
}

// gone reports whether a container whose removal was "already in progress" is
// no longer there.
func (e *Engine) gone(ctx context.Context, id string) bool {
	_, err := e.inspectRaw(ctx, id, id)
	missing := (*NotFoundError)(nil)
	return errors.As(err, &missing)
}

// start starts a container of ours.
func (e *Engine) start(ctx context.Context, id string) error {
	op := operation{method: http.MethodPost, path: "/containers/" + id + "/start", what: "start container " + id, kind: "container", name: id}
	return act(ctx, e, op, func(ctx context.Context) error {
		return e.api.ContainerStart(ctx, id, container.StartOptions{})
	})
}

// toMount makes a request's mount out of a container's.
func (e *Engine) toMount(m Mount, readOnly bool) (mount.Mount, error) {
	out := mount.Mount{Type: mount.Type(m.Type), Target: m.Destination, ReadOnly: readOnly}
	switch m.Type {
	case MountVolume:
		if m.Subpath != "" && !e.newer("1.45") {
			return out, guard("subpath of volume %s: the engine is too old", m.Name)
		}
		out.Source = m.Name
		out.VolumeOptions = &mount.VolumeOptions{NoCopy: true, Subpath: m.Subpath}
	case MountBind:
		out.Source = m.Source
	default:
		return out, guard("mount type %q at %s", m.Type, m.Destination)
	}
	return out, nil
}

// madeLabels are those of a volume that the engine makes in the place of one
// that went in this very moment. In the place of a scratch volume of this run it
// is one, too, which the sweep must find.
func madeLabels(v Volume, o Owner) map[string]string {
	labels := map[string]string{labelMade: rand.Text()}
	if owner, ok := OwnerOf(v.Labels); ok && owner.Role == RoleVerify && owner.Repo == o.Repo && owner.Run == o.Run {
		maps.Copy(labels, owner.labels())
	}
	return labels
}

// mounted runs create for a request whose first mount is m. A volume is looked
// up before, for a missing one would be made, and compared after.
func (e *Engine) mounted(ctx context.Context, t template, r request, m Mount, o Owner) (string, error) {
	if m.Type != MountVolume {
		return e.create(ctx, t, r)
	}
	before, err := e.Volume(ctx, m.Name)
	if err != nil {
		return "", err
	}
	r.host.Mounts[0].VolumeOptions.Labels = madeLabels(before, o)
	id, err := e.create(ctx, t, r)
	if err != nil {
		return "", err
	}
	after, err := e.Volume(ctx, m.Name)
	if err == nil {
		err = sameVolume(before, after)
	}
	if err != nil {
		cleanup, cancel := undo(ctx)
		defer cancel()
		return "", errors.Join(err, e.removeContainer(cleanup, id, o))
	}
	return id, nil
}

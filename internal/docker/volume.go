package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"
)

// Volume is a Docker volume.
type Volume struct {
	Name       string
	Driver     string
	CreatedAt  time.Time // to the second, and for local volumes that of the last change of their root
	Labels     map[string]string
	Mountpoint string // on the engine's host
	Options    map[string]string
}

func toVolume(v volume.Volume) Volume {
	return Volume{Name: v.Name, Driver: v.Driver, CreatedAt: parseTime(v.CreatedAt), Labels: v.Labels, Mountpoint: v.Mountpoint, Options: v.Options}
}

// Volume looks a volume up. It never creates one, as mounting it would.
func (e *Engine) Volume(ctx context.Context, name string) (Volume, error) {
	if name == "" {
		return Volume{}, &NotFoundError{Kind: "volume", Name: name}
	}
	op := operation{method: http.MethodGet, path: "/volumes/" + name, what: "inspect volume " + name, kind: "volume", name: name}
	v, err := call(ctx, e, op, func(ctx context.Context) (volume.Volume, error) {
		return e.api.VolumeInspect(ctx, name)
	})
	if err != nil {
		return Volume{}, err
	}
	return toVolume(v), nil
}

// CreateVolume makes a new local volume with the owner's labels. ExistsError:
// it is there, whoever made it.
func (e *Engine) CreateVolume(ctx context.Context, name string, o Owner) (Volume, error) {
	if err := o.check(); err != nil {
		return Volume{}, err
	}
	var missing *NotFoundError
	switch _, err := e.Volume(ctx, name); {
	case err == nil:
		return Volume{}, &ExistsError{Kind: "volume", Name: name}
	case name == "" || !errors.As(err, &missing):
		return Volume{}, err
	}
	op := operation{method: http.MethodPost, path: "/volumes/create", what: "create volume " + name}
	v, err := call(ctx, e, op, func(ctx context.Context) (volume.Volume, error) {
		return e.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Driver: "local", Labels: o.labels()})
	})
	if err != nil {
		// The answer may be lost and the volume made all the same: there was
		// none, so one with our labels is this one.
		_ = e.RemoveVolume(ctx, name, o)
		return Volume{}, err
	}
	// The engine answers a second creation with the volume of the first.
	if have, ok := OwnerOf(v.Labels); !ok || have != o {
		return Volume{}, &ExistsError{Kind: "volume", Name: name}
	}
	return toVolume(v), nil
}

// NewVolume makes a volume with a name of ours, for a scratch copy.
func (e *Engine) NewVolume(ctx context.Context, o Owner) (Volume, error) {
	return e.CreateVolume(ctx, e.objectName(o), o)
}

// RemoveVolume deletes a volume that carries exactly the owner's labels, and
// refuses any other. One that is gone is fine; one in use is an error. It works
// after ctx has ended, within a limit of its own.
func (e *Engine) RemoveVolume(ctx context.Context, name string, o Owner) error {
	ctx, cancel := undo(ctx)
	defer cancel()
	return e.removeVolume(ctx, name, o)
}

func (e *Engine) removeVolume(ctx context.Context, name string, o Owner) error {
	v, err := e.Volume(ctx, name)
	if missing := (*NotFoundError)(nil); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkOwned("volume", name, v.Labels, o); err != nil {
		return err
	}
	op := operation{method: http.MethodDelete, path: "/volumes/" + name, what: "remove volume " + name, kind: "volume", name: name}
	err = act(ctx, e, op, func(ctx context.Context) error { return e.api.VolumeRemove(ctx, name, false) })
	if missing := (*NotFoundError)(nil); errors.As(err, &missing) {
		return nil
	}
	return err
}

// volumesOf lists the volumes that carry a repository's label.
func (e *Engine) volumesOf(ctx context.Context, repo string) ([]Volume, error) {
	op := operation{method: http.MethodGet, path: "/volumes", what: "list volumes"}
	found, err := call(ctx, e, op, func(ctx context.Context) (volume.ListResponse, error) {
		return e.api.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", labelRepo+"="+repo))})
	})
	if err != nil {
		return nil, err
	}
	var list []Volume
	for _, v := range found.Volumes {
		if v != nil {
			list = append(list, toVolume(*v))
		}
	}
	return list, nil
}

// sameVolume reports whether a volume is still the one that it was. Its age
// says nothing: it is that of the last file that was made in its root, a
// server's dump or a rewrite's temporary file.
func sameVolume(before, after Volume) error {
	if before.Driver != after.Driver || before.Mountpoint != after.Mountpoint || !maps.Equal(before.Labels, after.Labels) {
		return fmt.Errorf("volume %s was removed and created anew", before.Name)
	}
	return nil
}

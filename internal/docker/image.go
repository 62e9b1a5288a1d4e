package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/docker/docker/api/types/image"
)

// Image is a local image. Its environment is left out: nothing here needs it.
type Image struct {
	ID           string // sha256:…
	Tags         []string
	Digests      []string // name@sha256:…
	Entrypoint   []string
	Cmd          []string
	User         string
	WorkingDir   string
	Volumes      []string
	ExposedPorts []string
}

// Image looks up a local image by reference or id. It never pulls.
func (e *Engine) Image(ctx context.Context, ref string) (Image, error) {
	op := operation{method: http.MethodGet, path: "/images/" + ref + "/json", what: "inspect image " + ref, kind: "image", name: ref}
	if ref == "" {
		return Image{}, op.missing(errors.New("no image named"))
	}
	in, err := call(ctx, e, op, func(ctx context.Context) (image.InspectResponse, error) {
		return e.api.ImageInspect(ctx, ref)
	})
	if err != nil {
		return Image{}, err
	}
	img := Image{ID: in.ID, Tags: in.RepoTags, Digests: in.RepoDigests}
	if c := in.Config; c != nil {
		img.Entrypoint, img.Cmd, img.User, img.WorkingDir = c.Entrypoint, c.Cmd, c.User, c.WorkingDir
		img.Volumes = slices.Sorted(maps.Keys(c.Volumes))
		img.ExposedPorts = slices.Sorted(maps.Keys(c.ExposedPorts))
	}
	return img, nil
}

// Pull fetches an image from its registry, without credentials. progress may
// be nil; it is told of each layer's steps.
func (e *Engine) Pull(ctx context.Context, ref string, progress func(layer, status string, done, total int64)) error {
	op := operation{method: http.MethodPost, path: "/images/create", what: "pull image " + ref, kind: "image", name: ref}
	w := newWatch(ctx, e.idle, op.what)
	defer w.end()
	w.arm()
	body, err := e.api.ImagePull(w.ctx, ref, image.PullOptions{})
	w.disarm()
	if err != nil {
		return e.fail(w.ctx, op, err)
	}
	defer body.Close()
	steps := json.NewDecoder(&watchedReader{r: body, w: w})
	for {
		var step struct {
			ID, Status, Error string
			ProgressDetail    struct{ Current, Total int64 }
		}
		if err := steps.Decode(&step); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return e.fail(w.ctx, op, err)
		}
		if step.Error != "" {
			return fmt.Errorf("%s: %s", op.what, step.Error)
		}
		if progress != nil {
			progress(step.ID, step.Status, step.ProgressDetail.Current, step.ProgressDetail.Total)
		}
	}
	// The stream says nothing where it was cut: ask for what it was to bring.
	_, err = e.Image(ctx, ref)
	return err
}

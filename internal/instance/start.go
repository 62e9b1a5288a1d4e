package instance

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
)

// startPoll is the time between two looks at a started server.
const startPoll = 100 * time.Millisecond

// StartError says that the container of a restored volume is there but does
// not serve the data.
type StartError struct {
	Container string
	Reason    string
}

func (e *StartError) Error() string { return fmt.Sprintf("container %q: %s", e.Container, e.Reason) }

// Start runs a container on the restored volume with the original's image,
// user, command line and networks, and waits until it serves the data.
func (t Target) Start(ctx context.Context, p *restore.Plan, progress restore.Progress) (restore.Started, error) {
	source, err := t.sourceOf(ctx, p.Entry.Manifest)
	if err != nil {
		return restore.Started{}, err
	}
	spec, err := t.recoverySpec(ctx, p, source)
	if err != nil {
		return restore.Started{}, err
	}
	owner := t.recovery(t.Owner.Run)
	id, err := t.Engine.CreateRecovery(ctx, owner, spec)
	if err != nil {
		return restore.Started{}, err
	}
	started := restore.Started{Name: spec.Name}
	if err := t.Engine.StartRecovery(ctx, id, owner); err != nil {
		return started, err
	}
	started.Keys, err = t.serving(ctx, id, p, progress)
	return started, err
}

func (t Target) recoverySpec(ctx context.Context, p *restore.Plan, source *docker.Container) (docker.RecoverySpec, error) {
	spec := docker.RecoverySpec{
		Name: p.Start.Name, ImageID: p.Image.ID, Volume: p.Volume, Destination: p.Destination, Publish: p.Start.Publish,
		Networks: networks(p.Entry.Manifest, source),
	}
	if source != nil {
		spec.User, spec.WorkingDir, spec.MemoryLimit = source.User, source.WorkingDir, source.MemoryLimit
		spec.Entrypoint, spec.Cmd = source.Entrypoint, source.Cmd
		for _, m := range source.Mounts {
			if path.Clean(m.Destination) != path.Clean(p.Destination) && !anonymous(m) {
				spec.Config = append(spec.Config, m)
			}
		}
		return spec, nil
	}
	// The container is gone: the image's own start, told where the data lie.
	image, err := t.Engine.Image(ctx, p.Image.ID)
	if err != nil {
		return spec, err
	}
	o := p.Entry.Manifest.Source.Options
	spec.Entrypoint, spec.Cmd, spec.User, spec.WorkingDir = image.Entrypoint, image.Cmd, image.User, image.WorkingDir
	spec.Cmd = append(append([]string{}, spec.Cmd...), "--dir", o.Dir, "--databases", fmt.Sprint(o.Databases))
	spec.Cmd = append(spec.Cmd, namesOf(o, p.Destination).startOptions(p.Layout)...)
	return spec, nil
}

// unnamed is what the engine calls a volume that nobody has named.
var unnamed = regexp.MustCompile(`^[0-9a-f]{64}$`)

// anonymous tells a volume that the image asked for, and that belongs to one
// container: the next one gets its own.
func anonymous(m docker.Mount) bool {
	return m.Type == docker.MountVolume && unnamed.MatchString(m.Name)
}

// serving waits until the started server has loaded the data, and counts. Of a
// server that wants a password which we were not given nothing can be said.
func (t Target) serving(ctx context.Context, id string, p *restore.Plan, progress restore.Progress) (*int64, error) {
	patience := newPatience(time.Now())
	for {
		info, err := t.ask(ctx, id)
		var auth *server.AuthError
		switch {
		case err == nil && !info.Loading:
			return checkServed(p, info)
		case errors.As(err, &auth):
			return nil, fmt.Errorf("container %q runs, and its keys could not be counted: %w", p.Start.Name, err)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		c, findErr := t.Engine.Find(ctx, id)
		if findErr != nil {
			return nil, findErr
		}
		if !c.Running() {
			return nil, &StartError{Container: p.Start.Name, Reason: fmt.Sprintf("it does not stay up: it is %s; its log tells why", c.State)}
		}
		if patience.over(time.Now(), info) {
			return nil, &StartError{Container: p.Start.Name, Reason: fmt.Sprintf("it has not got on with loading the data for %s: %v", standstill, err)}
		}
		if info.Loading {
			progress("load", info.LoadedBytes, info.LoadTotal)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(startPoll):
		}
	}
}

func (t Target) ask(ctx context.Context, id string) (server.Info, error) {
	c, err := t.Engine.Find(ctx, id)
	if err != nil {
		return server.Info{}, err
	}
	process, err := t.Engine.ServerProcess(ctx, id)
	if err != nil {
		return server.Info{}, err
	}
	access := t.Access
	access.Address = "" // that was the source's
	s, _, err := reach(ctx, t.Engine, c, process, access)
	if err != nil {
		return server.Info{}, err
	}
	defer s.Close()
	return s.Info(ctx)
}

// checkServed compares what the server holds with what the plan expects. Keys
// whose time came between the plan and the load are gone, and no others.
func checkServed(p *restore.Plan, info server.Info) (*int64, error) {
	served, expiring := int64(0), int64(0)
	for _, k := range info.Keyspace {
		served += k.Keys
	}
	want := p.Keys()
	if want == nil {
		return &served, nil
	}
	for _, k := range p.Entry.Manifest.Keyspace {
		expiring += k.Expires
	}
	if served > *want || served < *want-(expiring-p.Expired) {
		return &served, &StartError{Container: p.Start.Name, Reason: fmt.Sprintf(
			"it serves %d keys, and the snapshot has %d that have not expired", served, *want)}
	}
	return &served, nil
}

// ComposeLines are what a compose file needs to switch a service over to the
// restored volume.
func ComposeLines(m *snapshot.Manifest, volume string) []string {
	service := m.Source.Container
	if i := strings.LastIndex(service, "/"); i >= 0 {
		service = service[i+1:]
	}
	return []string{
		"services:",
		"  " + service + ":",
		"    volumes:",
		"      - " + volume + ":" + m.Source.Mount.Destination,
		"volumes:",
		"  " + volume + ":",
		"    external: true",
	}
}

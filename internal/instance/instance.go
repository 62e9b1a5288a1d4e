package instance

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/redisbak/redisbak/backup"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/snapshot"
)

// Instance is one Redis server in one container on one mount.
type Instance struct {
	engine    *docker.Engine
	owner     docker.Owner
	container docker.Container
	process   docker.Process
	server    *server.Server
	way       string // how the server was reached, for messages
	method    string // as asked for; empty: as the server starts
	noRewrite bool

	// Set by Preflight.
	info    server.Info
	options snapshot.Options // with which it runs
	next    snapshot.Options // with which it will start
	guessed bool             // options: CONFIG is denied
	place   place
}

// NotRunningError says that a container's server cannot be asked.
type NotRunningError struct {
	Container string
	State     string
}

func (e *NotRunningError) Error() string {
	return fmt.Sprintf("container %q is not running: it is %s", e.Container, e.State)
}

// NoServerError says that a container runs no Redis.
type NoServerError struct {
	Container string
	Image     string
}

func (e *NoServerError) Error() string {
	return fmt.Sprintf("container %q (image %s) runs no Redis or Valkey server", e.Container, e.Image)
}

// Open reaches the server of a running container. The owner's repository and
// run are written on every object that later calls create.
func Open(ctx context.Context, e *docker.Engine, c docker.Container, o docker.Owner, a Access) (*Instance, error) {
	if !c.Running() {
		return nil, &NotRunningError{Container: c.Name, State: c.State}
	}
	process, err := e.ServerProcess(ctx, c.ID)
	if isNoServer(err) {
		return nil, &NoServerError{Container: c.Name, Image: c.Image}
	}
	if err != nil {
		return nil, err
	}
	i := &Instance{engine: e, owner: o, container: c, process: process}
	if i.server, i.way, err = reach(ctx, e, c, process, a); err != nil {
		return nil, err
	}
	return i, nil
}

// Use sets the method of the capture: snapshot.MethodRDB, snapshot.MethodAOF,
// or "" for what the server itself would start from. noRewrite takes an
// append-only file as it is, without a fork.
func (i *Instance) Use(method string, noRewrite bool) { i.method, i.noRewrite = method, noRewrite }

// Method is the one that Preflight has settled.
func (i *Instance) Method() string { return i.method }

// Capture carries out the method that Preflight has settled.
func (i *Instance) Capture(ctx context.Context, sink backup.Sink, progress backup.Progress) (backup.Capture, error) {
	if i.method == snapshot.MethodAOF {
		return i.captureAOF(ctx, sink, progress)
	}
	return i.captureDump(ctx, sink, progress)
}

// Close ends the connection to the server.
func (i *Instance) Close() error { return i.server.Close() }

// Unchanged fails where the container, its volume or the server process is not
// the one that Preflight saw. A container that runs without a break has kept
// its volume: the engine removes none that is in use. (The time of creation
// that the engine tells of a volume moves with every file made in its root.)
func (i *Instance) Unchanged(ctx context.Context) error {
	now, err := i.engine.Find(ctx, i.container.ID)
	if err != nil {
		return err
	}
	if !now.StartedAt.Equal(i.container.StartedAt) || !now.Running() {
		return &ChangedError{What: fmt.Sprintf("container %q was stopped or restarted", i.container.Name)}
	}
	info, err := i.server.Info(ctx)
	if err != nil {
		return err
	}
	if info.RunID != i.info.RunID {
		return &ChangedError{What: fmt.Sprintf("the server in container %q was restarted", i.container.Name)}
	}
	return nil
}

// ChangedError says that the source was replaced while it was captured.
type ChangedError struct{ What string }

func (e *ChangedError) Error() string { return e.What + " during the capture" }

// place is where a server's data directory lies.
type place struct {
	mount docker.Mount
	dir   string // absolute, in the container
}

// rel is the directory relative to the mount's root, "" for the root itself.
func (p place) rel() string {
	rel := strings.TrimPrefix(p.dir, path.Clean(p.mount.Destination))
	return strings.Trim(rel, "/")
}

// file is the absolute path of one of the directory's files.
func (p place) file(name string) string { return path.Join(p.dir, name) }

// DataError says why a server's data cannot be copied from where they lie.
type DataError struct {
	Container string
	Reason    string
}

func (e *DataError) Error() string { return fmt.Sprintf("container %q: %s", e.Container, e.Reason) }

// locate finds the one mount of c that holds dir.
func locate(c docker.Container, dir string) (place, error) {
	best := docker.Mount{}
	for _, m := range c.Mounts {
		dest := path.Clean(m.Destination)
		if (dir == dest || strings.HasPrefix(dir, strings.TrimSuffix(dest, "/")+"/")) && len(dest) > len(best.Destination) {
			best = m
		}
	}
	refuse := func(format string, args ...any) (place, error) {
		return place{}, &DataError{Container: c.Name, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case best.Destination == "":
		return refuse("its data directory %s is on no volume: the data would be lost with the container", dir)
	case best.Type == docker.MountTmpfs:
		return refuse("its data directory %s is on a tmpfs: there is nothing on disk to copy", dir)
	case best.Type != docker.MountVolume && best.Type != docker.MountBind:
		return refuse("its data directory %s is on a mount of type %q, which redisbak does not know", dir, best.Type)
	case best.Subpath != "":
		return refuse("its data directory %s is on the sub-path %q of a volume, which redisbak does not support", dir, best.Subpath)
	}
	return place{mount: best, dir: dir}, nil
}

// Way says how the server was reached, for messages.
func (i *Instance) Way() string { return i.way }

package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Helper is a container that is created and never started: the engine reads
// and writes its one mount on our behalf, and no process runs for it.
type Helper struct {
	engine *Engine
	id     string
	owner  Owner
	mount  Mount
	write  bool
}

// HelperSpec says what a helper is made of.
type HelperSpec struct {
	ImageID string // sha256:…
	Mount   Mount  // a volume or a bind mount, at the source's own mount point
	Write   bool   // restore and scratch: the mount is a volume, read-write
}

// CreateHelper makes a helper. The owner's role is RoleHelper. A volume that
// does not exist is a NotFoundError and is not created.
//
// The mount goes where the source has it: there the image's own declaration of
// a volume makes no anonymous one.
func (e *Engine) CreateHelper(ctx context.Context, o Owner, s HelperSpec) (*Helper, error) {
	m, err := e.toMount(s.Mount, !s.Write)
	if err != nil {
		return nil, err
	}
	t := helperRead
	if s.Write {
		t = helperWrite
	}
	r := request{
		name: e.objectName(o),
		config: container.Config{
			Image:       s.ImageID,
			Labels:      o.labels(),
			Entrypoint:  []string{neverStarted},
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
		host: container.HostConfig{
			NetworkMode: "none",
			CapDrop:     []string{"ALL"},
			SecurityOpt: []string{"no-new-privileges"},
			LogConfig:   container.LogConfig{Type: "none"},
		},
	}
	r.host.Mounts = append(r.host.Mounts, m)
	id, err := e.mounted(ctx, t, r, s.Mount, o)
	if err != nil {
		return nil, err
	}
	return &Helper{engine: e, id: id, owner: o, mount: s.Mount, write: s.Write}, nil
}

// ID is the container's id.
func (h *Helper) ID() string { return h.id }

// Remove deletes the container with its anonymous volumes. It works after ctx
// has ended, within a limit of its own.
func (h *Helper) Remove(ctx context.Context) error {
	ctx, cancel := undo(ctx)
	defer cancel()
	return h.engine.removeContainer(ctx, h.id, h.owner)
}

// FileStat is what the engine tells of a path without opening it.
type FileStat struct {
	Name    string
	Size    int64
	Mode    fs.FileMode
	ModTime time.Time
	Link    string // target of a symbolic link
}

// Stat looks at an absolute path; a symbolic link is not followed.
func (h *Helper) Stat(ctx context.Context, name string) (FileStat, error) {
	op := h.archive(http.MethodHead, "stat", name)
	s, err := call(ctx, h.engine, op, func(ctx context.Context) (container.PathStat, error) {
		return h.engine.api.ContainerStatPath(ctx, h.id, name)
	})
	if err != nil {
		return FileStat{}, h.orGone(ctx, err)
	}
	return FileStat{Name: s.Name, Size: s.Size, Mode: s.Mode, ModTime: s.Mtime, Link: s.LinkTarget}, nil
}

// orGone tells a missing file from a missing helper: the answer to HEAD has no
// words.
func (h *Helper) orGone(ctx context.Context, err error) error {
	if missing := (*NotFoundError)(nil); !errors.As(err, &missing) || missing.Kind != "file" {
		return err
	}
	if _, gone := h.engine.inspectRaw(ctx, h.id, h.id); gone != nil {
		return gone
	}
	return err
}

func (h *Helper) archive(method, what, name string) operation {
	return operation{
		method: method, path: "/containers/" + h.id + "/archive",
		what: fmt.Sprintf("%s %s in helper %.12s", what, name, h.id),
		kind: "file", name: name,
	}
}

// Open streams one regular file. The caller closes it.
func (h *Helper) Open(ctx context.Context, name string) (*TarFile, error) {
	f, header, err := h.entry(ctx, name)
	if err != nil {
		return nil, err
	}
	if header.Typeflag != tar.TypeReg {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, ErrNotRegular)
	}
	return f, nil
}

// DirStat is a directory's owner and mode.
type DirStat struct {
	UID  int
	GID  int
	Mode fs.FileMode
}

// OpenDir reads a directory's owner and mode, which Stat cannot tell.
func (h *Helper) OpenDir(ctx context.Context, name string) (DirStat, error) {
	f, header, err := h.entry(ctx, name)
	if err != nil {
		return DirStat{}, err
	}
	defer f.Close()
	if header.Typeflag != tar.TypeDir {
		return DirStat{}, fmt.Errorf("%s: %w", name, ErrNotDir)
	}
	return DirStat{UID: header.Uid, GID: header.Gid, Mode: header.FileInfo().Mode()}, nil
}

// Paths lists what is in a directory and below it, relative to it, at most max
// entries in the engine's order. It reads past the files' contents, and stops
// as soon as it has enough: it is made for telling whether a directory is empty.
func (h *Helper) Paths(ctx context.Context, name string, max int) ([]string, error) {
	f, header, err := h.entry(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if header.Typeflag != tar.TypeDir {
		return nil, fmt.Errorf("%s: %w", name, ErrNotDir)
	}
	top := path.Clean(header.Name)
	var paths []string
	for len(paths) < max {
		header, err := f.advance()
		if errors.Is(err, io.EOF) {
			// The archive's own end mark, or a stream that was cut between
			// two entries: the rest tells.
			return paths, f.ended()
		}
		if err != nil {
			return nil, f.broken(err)
		}
		if rel, below := strings.CutPrefix(path.Clean(header.Name), top+"/"); below || top == "." {
			paths = append(paths, rel)
		}
	}
	return paths, nil
}

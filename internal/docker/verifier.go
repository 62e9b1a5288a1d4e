package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// logLimit bounds what is kept of a verifier's log.
const logLimit = 1 << 20

// Verifier is a throw-away server on a scratch volume: no network, no
// privileges, one mount.
type Verifier struct {
	engine *Engine
	id     string
	owner  Owner
}

// VerifierSpec says what a verifier boots.
type VerifierSpec struct {
	ImageID     string // sha256:…; its own entrypoint runs
	Volume      string // a scratch volume of the same owner
	Destination string
	User        string // "uid:gid" of the data
	Cmd         []string
	MemoryBytes int64
}

// CreateVerifier makes a verifier. The owner's role is RoleVerify, and the
// volume must carry the owner's labels: no other volume is ever booted.
func (e *Engine) CreateVerifier(ctx context.Context, o Owner, s VerifierSpec) (*Verifier, error) {
	scratch, err := e.Volume(ctx, s.Volume)
	if err != nil {
		return nil, err
	}
	if have, ok := OwnerOf(scratch.Labels); !ok || have != o {
		return nil, guard("volume %s is not a scratch volume of this run", s.Volume)
	}
	data := Mount{Type: MountVolume, Name: s.Volume, Destination: s.Destination}
	m, err := e.toMount(data, false)
	if err != nil {
		return nil, err
	}
	pids := int64(verifierPids)
	r := request{
		name: e.objectName(o),
		config: container.Config{
			Image: s.ImageID, Labels: o.labels(), Cmd: s.Cmd, User: s.User,
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
		host: container.HostConfig{
			NetworkMode:    "none",
			CapDrop:        []string{"ALL"},
			CapAdd:         verifierBoot.capabilities(s.User),
			SecurityOpt:    []string{"no-new-privileges"},
			ReadonlyRootfs: true,
			OomScoreAdj:    verifierOomScore,
			LogConfig:      container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": verifierLogSize, "max-file": "1"}},
			Resources:      container.Resources{PidsLimit: &pids, Memory: s.MemoryBytes, MemorySwap: s.MemoryBytes},
		},
	}
	r.host.Mounts = append(r.host.Mounts, m)
	id, err := e.mounted(ctx, verifierBoot, r, data, o)
	if err != nil {
		return nil, err
	}
	return &Verifier{engine: e, id: id, owner: o}, nil
}

// ID is the container's id.
func (v *Verifier) ID() string { return v.id }

// Start boots the server.
func (v *Verifier) Start(ctx context.Context) error { return v.engine.start(ctx, v.id) }

// Status is how a container of ours is doing.
type Status struct {
	State      string
	Running    bool
	ExitCode   int
	OOMKilled  bool
	Error      string // of the engine, where it could not start it
	FinishedAt time.Time
}

// State asks the engine how the container is doing. An exit code means
// nothing while it runs.
func (v *Verifier) State(ctx context.Context) (Status, error) { return v.engine.status(ctx, v.id) }

func (e *Engine) status(ctx context.Context, id string) (Status, error) {
	in, err := e.inspectRaw(ctx, id, id)
	if err != nil {
		return Status{}, err
	}
	return Status{
		State: in.State.Status, Running: in.State.Running, ExitCode: in.State.ExitCode,
		OOMKilled: in.State.OOMKilled, Error: in.State.Error, FinishedAt: parseTime(in.State.FinishedAt),
	}, nil
}

// Logs returns the end of what the container has written, at most 1 MiB.
func (v *Verifier) Logs(ctx context.Context) (string, error) {
	op := operation{method: http.MethodGet, path: "/containers/" + v.id + "/logs", what: "read log of container " + v.id, kind: "container", name: v.id}
	w := newWatch(ctx, v.engine.idle, op.what)
	defer w.end()
	w.arm()
	body, err := v.engine.api.ContainerLogs(w.ctx, v.id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	w.disarm()
	if err != nil {
		return "", v.engine.fail(w.ctx, op, err)
	}
	defer body.Close()
	kept := &tail{max: logLimit}
	if _, err := stdcopy.StdCopy(kept, kept, &watchedReader{r: body, w: w}); err != nil && !errors.Is(err, io.EOF) {
		return "", v.engine.fail(w.ctx, op, err)
	}
	return kept.String(), nil
}

// Dial connects to a port inside of the container, which has no network.
func (v *Verifier) Dial(ctx context.Context, port int) (net.Conn, error) {
	return v.engine.DialExec(ctx, v.id, port, "")
}

// Remove deletes the container, running or not, with its anonymous volumes; the
// scratch volume stays. It works after ctx has ended, within a limit of its own.
func (v *Verifier) Remove(ctx context.Context) error {
	ctx, cancel := undo(ctx)
	defer cancel()
	return v.engine.removeContainer(ctx, v.id, v.owner)
}

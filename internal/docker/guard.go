package docker

import (
	"fmt"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
)

// template names one of the ways in which a container may be made.
type template int

const (
	helperRead   template = iota // a capture helper: one read-only mount
	holderRead                   // a capture helper that is started: a script of ours, one read-only mount
	helperWrite                  // a restore or scratch helper: one volume, read-write
	verifierBoot                 // a verifier: one volume, no network
	recoveryBoot                 // a recovery container: the user's
)

// request is what would be sent to the engine, all of it.
type request struct {
	name       string
	config     container.Config
	host       container.HostConfig
	networking *network.NetworkingConfig
}

var (
	imageID   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	numericID = regexp.MustCompile(`^[0-9]+:[0-9]+$`)
)

// neverStarted is a helper's program. A helper is never started; if someone
// else starts it, it ends at once and touches nothing.
const neverStarted = "false"

const (
	verifierPids     = 64
	verifierOomScore = 1000
	verifierLogSize  = "10m"
)

// checkRequest is the one guard that each container passes before it is made.
// It takes away what the template allows, after looking at it, and refuses the
// request if anything is left: a setting that nobody thought of is refused.
func checkRequest(t template, r request) error {
	config, host := r.config, r.host // the originals stay as they are
	rules := []func() error{
		func() error { return takeIdentity(t, &config) },
		func() error { return takePrivileges(t, config.User, &host) },
		func() error { return takeProgram(t, &config) },
		func() error { return takeMounts(t, &host) },
		func() error { return takeNetwork(t, &host, r.networking) },
		func() error { return takeLimits(t, &config, &host) },
		func() error { return nothingLeft("container", config) },
		func() error { return nothingLeft("host", host) },
	}
	for _, rule := range rules {
		if err := rule(); err != nil {
			return err
		}
	}
	return nil
}

func guard(format string, args ...any) error {
	return &GuardError{Reason: fmt.Sprintf(format, args...)}
}

func (t template) role() string {
	switch t {
	case verifierBoot:
		return RoleVerify
	case recoveryBoot:
		return RoleRecovery
	}
	return RoleHelper
}

// takeIdentity: the image by its id, and our labels and no others.
func takeIdentity(t template, c *container.Config) error {
	if !imageID.MatchString(c.Image) {
		return guard("image %q is not named by its id", c.Image)
	}
	owner, ok := OwnerOf(c.Labels)
	if !ok || owner.Role != t.role() || len(c.Labels) != 3 {
		return guard("labels are not those of a %s", t.role())
	}
	c.Image, c.Labels = "", nil
	return nil
}

// takePrivileges: none, but for a verifier of what root owns.
func takePrivileges(t template, user string, h *container.HostConfig) error {
	if t == recoveryBoot {
		return nil
	}
	if !slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.Equal(h.SecurityOpt, []string{"no-new-privileges"}) {
		return guard("privileges are not dropped")
	}
	if !slices.Equal(h.CapAdd, t.capabilities(user)) {
		return guard("privileges %q", h.CapAdd)
	}
	h.CapDrop, h.CapAdd, h.SecurityOpt = nil, nil, nil
	return nil
}

// capabilities are those that a container of ours keeps. A server that ran as
// root wrote wherever it liked and minded no owner: its image's entrypoint and
// its server can do in a verifier what they did there, and a holder can read it.
func (t template) capabilities(user string) []string {
	if uid, _, _ := strings.Cut(user, ":"); uid != "0" {
		return nil
	}
	if t == holderRead {
		return []string{"DAC_READ_SEARCH"}
	}
	return []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
}

// takeProgram: what would run, as whom, and never an environment.
func takeProgram(t template, c *container.Config) error {
	switch t {
	case helperRead, helperWrite:
		if !slices.Equal(c.Entrypoint, []string{neverStarted}) || len(c.Cmd) != 0 {
			return guard("a helper has a program")
		}
	case holderRead:
		if err := takeScript(c); err != nil {
			return err
		}
	case verifierBoot:
		if len(c.Entrypoint) != 0 {
			return guard("a verifier bypasses its image's entrypoint")
		}
		if len(c.Cmd) == 0 {
			return guard("a verifier has no command")
		}
		if !numericID.MatchString(c.User) {
			return guard("a verifier's user %q is not uid:gid", c.User)
		}
		c.User = ""
	case recoveryBoot:
		c.User, c.WorkingDir = "", ""
	}
	c.Entrypoint, c.Cmd = nil, nil
	return nil
}

// takeScript: the one script that a helper may run, on the streams by which it
// lives and dies with us, as a user that is given by number.
func takeScript(c *container.Config) error {
	if !slices.Equal(c.Entrypoint, []string{"sh", "-c", holdScript, "redisbak"}) || len(c.Cmd) != 1 || !path.IsAbs(c.Cmd[0]) {
		return guard("a helper runs something else than its script")
	}
	if !numericID.MatchString(c.User) {
		return guard("a helper's user %q is not uid:gid", c.User)
	}
	if !c.OpenStdin || !c.StdinOnce || !c.AttachStdin || !c.AttachStdout || !c.AttachStderr {
		return guard("a started helper that would outlive us")
	}
	c.User, c.OpenStdin, c.StdinOnce = "", false, false
	c.AttachStdin, c.AttachStdout, c.AttachStderr = false, false, false
	return nil
}

// takeMounts: exactly one of data, and beside it only read-only ones of a
// recovery container.
func takeMounts(t template, h *container.HostConfig) error {
	if len(h.Mounts) == 0 {
		return guard("no mount")
	}
	if t != recoveryBoot && len(h.Mounts) != 1 {
		return guard("%d mounts instead of one", len(h.Mounts))
	}
	for i, m := range h.Mounts {
		if err := checkMount(m); err != nil {
			return err
		}
		data := i == 0
		switch {
		case t == helperRead || t == holderRead || !data:
			if !m.ReadOnly {
				return guard("mount at %s is not read-only", m.Target)
			}
		case m.Type != mount.TypeVolume:
			return guard("mount at %s to be written to is not a volume", m.Target)
		case m.ReadOnly:
			return guard("mount at %s is read-only", m.Target)
		}
		if same := slices.IndexFunc(h.Mounts, func(o mount.Mount) bool { return o.Target == m.Target }); same != i {
			return guard("two mounts at %s", m.Target)
		}
	}
	h.Mounts = nil
	return nil
}

// allowedLabels: none, the one that tells a volume that the engine has made, and
// beside that those of a scratch volume.
func allowedLabels(labels map[string]string) bool {
	if len(labels) == 0 {
		return true
	}
	_, made := labels[labelMade]
	owner, ours := OwnerOf(labels)
	return made && (len(labels) == 1 || ours && owner.Role == RoleVerify && len(labels) == 1+len(owner.labels()))
}

// checkMount: a named volume that is not filled from the image, or a path.
func checkMount(m mount.Mount) error {
	if !path.IsAbs(m.Target) || path.Clean(m.Target) != m.Target || m.Target == "/" {
		return guard("mount point %q is not a plain path", m.Target)
	}
	switch m.Type {
	case mount.TypeVolume:
		if m.Source == "" || strings.ContainsAny(m.Source, "/\\") {
			return guard("volume name %q", m.Source)
		}
		o := m.VolumeOptions
		if o == nil || !o.NoCopy {
			return guard("volume %s would be filled from the image", m.Source)
		}
		if o.DriverConfig != nil {
			return guard("volume %s would be created", m.Source)
		}
		if !allowedLabels(o.Labels) {
			return guard("labels on volume %s", m.Source)
		}
		if o.Subpath != "" && !filepath.IsLocal(o.Subpath) {
			return guard("subpath %q of volume %s", o.Subpath, m.Source)
		}
		m.VolumeOptions = nil
	case mount.TypeBind:
		if !path.IsAbs(m.Source) || path.Clean(m.Source) != m.Source || m.Source == "/" {
			return guard("bind mount of %q", m.Source)
		}
	default:
		return guard("mount type %q", m.Type)
	}
	m.Type, m.Source, m.Target, m.ReadOnly = "", "", "", false
	return nothingLeft("mount", m)
}

// takeNetwork: none, but for a recovery container, which joins networks
// without aliases or addresses of its own.
func takeNetwork(t template, h *container.HostConfig, n *network.NetworkingConfig) error {
	mode := h.NetworkMode
	h.NetworkMode = ""
	if t != recoveryBoot {
		if mode != network.NetworkNone {
			return guard("network mode %q instead of none", mode)
		}
		if n != nil {
			return guard("a network")
		}
		return nil
	}
	if mode == "" || mode.IsHost() || mode.IsContainer() {
		return guard("network mode %q", mode)
	}
	h.PortBindings = nil
	if n == nil {
		return nil
	}
	for name, endpoint := range n.EndpointsConfig {
		if name != string(mode) || endpoint == nil || !reflect.ValueOf(*endpoint).IsZero() {
			return guard("network %s with settings of its own", name)
		}
	}
	return nil
}

// takeLimits: what keeps a container of ours from doing harm.
func takeLimits(t template, c *container.Config, h *container.HostConfig) error {
	if t == recoveryBoot {
		if p := h.RestartPolicy; !p.IsNone() || p.MaximumRetryCount != 0 {
			return guard("a restart policy")
		}
		if h.Memory < 0 {
			return guard("memory limit %d", h.Memory)
		}
		c.ExposedPorts, h.RestartPolicy, h.Memory = nil, container.RestartPolicy{}, 0
		return nil
	}
	if c.Healthcheck == nil || !slices.Equal(c.Healthcheck.Test, []string{"NONE"}) {
		return guard("a health check")
	}
	log := container.LogConfig{Type: "none"}
	if t == verifierBoot {
		log = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": verifierLogSize, "max-file": "1"}}
		if err := takeVerifierLimits(h); err != nil {
			return err
		}
	}
	if t == holderRead {
		if !h.ReadonlyRootfs {
			return guard("a started helper with a writable root")
		}
		h.ReadonlyRootfs = false
	}
	if !reflect.DeepEqual(h.LogConfig, log) {
		return guard("log driver %q", h.LogConfig.Type)
	}
	c.Healthcheck, h.LogConfig = nil, container.LogConfig{}
	return nil
}

func takeVerifierLimits(h *container.HostConfig) error {
	switch {
	case !h.ReadonlyRootfs:
		return guard("a verifier with a writable root")
	case h.PidsLimit == nil || *h.PidsLimit != verifierPids:
		return guard("a verifier without a limit of processes")
	case h.Memory <= 0 || h.MemorySwap != h.Memory:
		return guard("a verifier without a limit of memory")
	case h.OomScoreAdj != verifierOomScore:
		return guard("a verifier that is not the first to be killed")
	}
	h.ReadonlyRootfs, h.PidsLimit, h.Memory, h.MemorySwap, h.OomScoreAdj = false, nil, 0, 0, 0
	return nil
}

// nothingLeft refuses a struct in which any field is set, and names the field.
func nothingLeft(what string, v any) error {
	s := reflect.ValueOf(v)
	for i := range s.NumField() {
		if f := s.Field(i); !f.IsZero() && !emptyList(f) {
			return guard("%s setting %s", what, s.Type().Field(i).Name)
		}
	}
	return nil
}

func emptyList(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

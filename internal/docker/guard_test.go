package docker

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

const someImage = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var templates = map[string]template{"helper": helperRead, "holder": holderRead, "writer": helperWrite, "verifier": verifierBoot, "recovery": recoveryBoot}

// rightful is a request that its template allows.
func rightful(t template) request {
	owner := Owner{Role: t.role(), Repo: "repo", Run: "run"}
	r := request{
		name:   "redisbak-x",
		config: container.Config{Image: someImage, Labels: owner.labels()},
		host:   container.HostConfig{NetworkMode: "none"},
	}
	r.host.Mounts = []mount.Mount{{Type: "volume", Source: "v", Target: "/data", ReadOnly: t == helperRead || t == holderRead, VolumeOptions: &mount.VolumeOptions{NoCopy: true}}}
	if t != recoveryBoot {
		r.config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
		r.host.CapDrop, r.host.SecurityOpt = []string{"ALL"}, []string{"no-new-privileges"}
	}
	switch t {
	case helperRead, helperWrite:
		r.config.Entrypoint = []string{neverStarted}
		r.host.LogConfig = container.LogConfig{Type: "none"}
	case holderRead:
		r.config.Entrypoint, r.config.Cmd, r.config.User = []string{"sh", "-c", holdScript, "redisbak"}, []string{"/data/aof"}, "999:1000"
		r.config.OpenStdin, r.config.StdinOnce = true, true
		r.config.AttachStdin, r.config.AttachStdout, r.config.AttachStderr = true, true, true
		r.host.ReadonlyRootfs = true
		r.host.LogConfig = container.LogConfig{Type: "none"}
	case verifierBoot:
		pids := int64(64)
		r.config.Cmd, r.config.User = []string{"redis-server"}, "999:1000"
		r.host.ReadonlyRootfs, r.host.OomScoreAdj = true, 1000
		r.host.Resources = container.Resources{PidsLimit: &pids, Memory: 1 << 26, MemorySwap: 1 << 26}
		r.host.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "1"}}
	case recoveryBoot:
		r.config.Entrypoint, r.config.Cmd, r.config.User, r.config.WorkingDir = []string{"e"}, []string{"c"}, "redis", "/data"
		r.config.ExposedPorts = nat.PortSet{"6379/tcp": {}}
		r.host.PortBindings = nat.PortMap{"6379/tcp": {{HostIP: "127.0.0.1", HostPort: "6380"}}}
		r.host.Memory, r.host.NetworkMode = 1<<26, "net"
		r.host.RestartPolicy = container.RestartPolicy{Name: "no"}
		r.networking = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{"net": {}}}
		r.host.Mounts = append(r.host.Mounts, mount.Mount{Type: "bind", Source: "/etc/redis.conf", Target: "/redis.conf", ReadOnly: true})
	}
	return r
}

func refused(err error) bool {
	guard := (*GuardError)(nil)
	return errors.As(err, &guard)
}

func TestGuardAllowsEachTemplate(t *testing.T) {
	for name, kind := range templates {
		r := rightful(kind)
		before := r
		if err := checkRequest(kind, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(before, r) {
			t.Errorf("%s: the guard changed the request", name)
		}
	}
	bind := rightful(helperRead)
	bind.host.Mounts[0] = mount.Mount{Type: "bind", Source: "/srv/redis", Target: "/data", ReadOnly: true}
	if err := checkRequest(helperRead, bind); err != nil {
		t.Errorf("helper of a bind mount: %v", err)
	}
}

// Every setting that a template does not name is refused, also one that comes
// with a newer client: each field is set in turn.
func TestGuardRefusesEverySettingItDoesNotKnow(t *testing.T) {
	known := map[template][]string{
		helperRead: {"Image", "Labels", "Entrypoint", "Healthcheck", "NetworkMode", "CapDrop", "SecurityOpt", "LogConfig", "Mounts"},
		holderRead: {"Image", "Labels", "Cmd", "User", "Entrypoint", "OpenStdin", "StdinOnce", "AttachStdin", "AttachStdout", "AttachStderr",
			"Healthcheck", "NetworkMode", "CapDrop", "SecurityOpt", "LogConfig", "Mounts", "ReadonlyRootfs"},
		verifierBoot: {"Image", "Labels", "Cmd", "User", "Healthcheck", "NetworkMode", "CapDrop", "SecurityOpt", "LogConfig", "Mounts", "ReadonlyRootfs", "OomScoreAdj", "PidsLimit", "Memory", "MemorySwap"},
		recoveryBoot: {"Image", "Labels", "Cmd", "User", "Entrypoint", "WorkingDir", "ExposedPorts", "NetworkMode", "PortBindings", "RestartPolicy", "Mounts", "Memory"},
	}
	known[helperWrite] = known[helperRead]
	for name, kind := range templates {
		fields := 0
		try := func(set func(*request) reflect.Value, field string) {
			r := rightful(kind)
			fill(set(&r).FieldByName(field))
			fields++
			if err := checkRequest(kind, r); !refused(err) && !slices.Contains(known[kind], field) {
				t.Errorf("%s with %s: %v", name, field, err)
			}
		}
		config := func(r *request) reflect.Value { return reflect.ValueOf(&r.config).Elem() }
		host := func(r *request) reflect.Value { return reflect.ValueOf(&r.host).Elem() }
		for _, field := range reflect.VisibleFields(reflect.TypeFor[container.Config]()) {
			try(config, field.Name)
		}
		for _, field := range reflect.VisibleFields(reflect.TypeFor[container.HostConfig]()) {
			if !field.Anonymous {
				try(host, field.Name)
			}
		}
		if fields < 90 {
			t.Errorf("only %d settings tried", fields)
		}
	}
}

// fill sets a value to something that is not its zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint16, reflect.Uint64:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case reflect.Array:
		fill(v.Index(0))
	case reflect.Struct:
		fill(v.Field(0))
	default:
		panic("cannot fill " + v.Kind().String())
	}
}

func TestGuardRefusesWhatATemplateForbids(t *testing.T) {
	all := []template{helperRead, holderRead, helperWrite, verifierBoot, recoveryBoot}
	boxed := []template{helperRead, holderRead, helperWrite, verifierBoot}
	type change struct {
		of []template
		do func(*request)
	}
	changes := map[string]change{
		"image by name":       {all, func(r *request) { r.config.Image = "redis:7" }},
		"image by short id":   {all, func(r *request) { r.config.Image = someImage[:20] }},
		"no labels":           {all, func(r *request) { r.config.Labels = nil }},
		"no run":              {all, func(r *request) { delete(r.config.Labels, labelRun) }},
		"another label":       {all, func(r *request) { r.config.Labels["traefik.enable"] = "true" }},
		"unknown role":        {all, func(r *request) { r.config.Labels[labelRole] = "boss" }},
		"run with a slash":    {all, func(r *request) { r.config.Labels[labelRun] = "../x" }},
		"environment":         {all, func(r *request) { r.config.Env = []string{"REDIS_PASSWORD=canary"} }},
		"privileged":          {all, func(r *request) { r.host.Privileged = true }},
		"bind list":           {all, func(r *request) { r.host.Binds = []string{"/:/host"} }},
		"volumes from":        {all, func(r *request) { r.host.VolumesFrom = []string{"redis"} }},
		"anonymous volume":    {all, func(r *request) { r.config.Volumes = map[string]struct{}{"/x": {}} }},
		"auto remove":         {all, func(r *request) { r.host.AutoRemove = true }},
		"added capability":    {all, func(r *request) { r.host.CapAdd = []string{"SYS_ADMIN"} }},
		"host pids":           {all, func(r *request) { r.host.PidMode = "host" }},
		"device":              {all, func(r *request) { r.host.Devices = []container.DeviceMapping{{PathOnHost: "/dev/sda"}} }},
		"no mount":            {all, func(r *request) { r.host.Mounts = nil }},
		"mount at root":       {all, func(r *request) { r.host.Mounts[0].Target = "/" }},
		"mount at odd path":   {all, func(r *request) { r.host.Mounts[0].Target = "/data/../etc" }},
		"mount at relative":   {all, func(r *request) { r.host.Mounts[0].Target = "data" }},
		"tmpfs":               {all, func(r *request) { r.host.Mounts[0] = mount.Mount{Type: "tmpfs", Target: "/data"} }},
		"volume without name": {all, func(r *request) { r.host.Mounts[0].Source = "" }},
		"volume as a path":    {all, func(r *request) { r.host.Mounts[0].Source = "/srv" }},
		"filled from image":   {all, func(r *request) { r.host.Mounts[0].VolumeOptions.NoCopy = false }},
		"no volume options":   {all, func(r *request) { r.host.Mounts[0].VolumeOptions = nil }},
		"volume driver":       {all, func(r *request) { r.host.Mounts[0].VolumeOptions.DriverConfig = &mount.Driver{Name: "nfs"} }},
		"subpath outside":     {all, func(r *request) { r.host.Mounts[0].VolumeOptions.Subpath = "../x" }},
		"mount propagation": {all, func(r *request) {
			r.host.Mounts[0].BindOptions = &mount.BindOptions{Propagation: mount.PropagationShared}
		}},
		"host network":     {all, func(r *request) { r.host.NetworkMode = "host" }},
		"other's network":  {all, func(r *request) { r.host.NetworkMode = "container:redis" }},
		"no network mode":  {all, func(r *request) { r.host.NetworkMode = "" }},
		"restart policy":   {all, func(r *request) { r.host.RestartPolicy = container.RestartPolicy{Name: "always"} }},
		"wrong mount kind": {all, func(r *request) { r.host.Mounts[0].ReadOnly = !r.host.Mounts[0].ReadOnly }},
		"bind to write":    {[]template{helperWrite, verifierBoot, recoveryBoot}, func(r *request) { r.host.Mounts[0] = mount.Mount{Type: "bind", Source: "/srv", Target: "/data"} }},
		"bind of the root": {[]template{helperRead}, func(r *request) {
			r.host.Mounts[0] = mount.Mount{Type: "bind", Source: "/", Target: "/data", ReadOnly: true}
		}},
		"second mount":      {boxed, func(r *request) { m := r.host.Mounts[0]; m.Target = "/b"; r.host.Mounts = append(r.host.Mounts, m) }},
		"a network":         {boxed, func(r *request) { r.networking = &network.NetworkingConfig{} }},
		"bridge":            {boxed, func(r *request) { r.host.NetworkMode = "bridge" }},
		"published port":    {boxed, func(r *request) { r.host.PortBindings = nat.PortMap{"1/tcp": nil} }},
		"capabilities":      {boxed, func(r *request) { r.host.CapDrop = nil }},
		"new privileges":    {boxed, func(r *request) { r.host.SecurityOpt = nil }},
		"health check":      {boxed, func(r *request) { r.config.Healthcheck = nil }},
		"own health check":  {boxed, func(r *request) { r.config.Healthcheck.Test = []string{"CMD", "x"} }},
		"default log":       {boxed, func(r *request) { r.host.LogConfig = container.LogConfig{} }},
		"another program":   {[]template{helperRead, helperWrite}, func(r *request) { r.config.Entrypoint = []string{"sh"} }},
		"a command":         {[]template{helperRead, helperWrite}, func(r *request) { r.config.Cmd = []string{"x"} }},
		"image's program":   {[]template{helperRead, helperWrite}, func(r *request) { r.config.Entrypoint = nil }},
		"another script":    {[]template{holderRead}, func(r *request) { r.config.Entrypoint[2] += "\nid" }},
		"another shell":     {[]template{holderRead}, func(r *request) { r.config.Entrypoint[0] = "bash" }},
		"two directories":   {[]template{holderRead}, func(r *request) { r.config.Cmd = []string{"/data", "/etc"} }},
		"relative dir":      {[]template{holderRead}, func(r *request) { r.config.Cmd = []string{"data"} }},
		"stdin for ever":    {[]template{holderRead}, func(r *request) { r.config.StdinOnce = false }},
		"no stdin":          {[]template{holderRead}, func(r *request) { r.config.OpenStdin = false }},
		"terminal":          {[]template{holderRead}, func(r *request) { r.config.Tty = true }},
		"user":              {[]template{helperRead, helperWrite}, func(r *request) { r.config.User = "0" }},
		"root by name":      {[]template{verifierBoot, holderRead}, func(r *request) { r.config.User = "redis" }},
		"no user":           {[]template{verifierBoot, holderRead}, func(r *request) { r.config.User = "" }},
		"bypassed entry":    {[]template{verifierBoot}, func(r *request) { r.config.Entrypoint = []string{"redis-server"} }},
		"no command":        {[]template{verifierBoot}, func(r *request) { r.config.Cmd = nil }},
		"writable root":     {[]template{verifierBoot, holderRead}, func(r *request) { r.host.ReadonlyRootfs = false }},
		"no memory limit":   {[]template{verifierBoot}, func(r *request) { r.host.Memory, r.host.MemorySwap = 0, 0 }},
		"swap":              {[]template{verifierBoot}, func(r *request) { r.host.MemorySwap = -1 }},
		"many processes":    {[]template{verifierBoot}, func(r *request) { r.host.PidsLimit = nil }},
		"oom score":         {[]template{verifierBoot}, func(r *request) { r.host.OomScoreAdj = 0 }},
		"large log":         {[]template{verifierBoot}, func(r *request) { r.host.LogConfig.Config = nil }},
		"writable config":   {[]template{recoveryBoot}, func(r *request) { r.host.Mounts[1].ReadOnly = false }},
		"mounts on another": {[]template{recoveryBoot}, func(r *request) { r.host.Mounts[1].Target = "/data" }},
		"alias":             {[]template{recoveryBoot}, func(r *request) { r.networking.EndpointsConfig["net"].Aliases = []string{"redis"} }},
		"fixed address":     {[]template{recoveryBoot}, func(r *request) { r.networking.EndpointsConfig["net"].IPAMConfig = &network.EndpointIPAMConfig{} }},
		"second network":    {[]template{recoveryBoot}, func(r *request) { r.networking.EndpointsConfig["b"] = &network.EndpointSettings{} }},
	}
	for name, c := range changes {
		for _, kind := range c.of {
			r := rightful(kind)
			c.do(&r)
			if err := checkRequest(kind, r); !refused(err) {
				t.Errorf("%s with %s: %v", kind.role(), name, err)
			}
		}
	}
	for _, kind := range all {
		for _, other := range all {
			if kind != other && !refused(checkRequest(other, rightful(kind))) {
				t.Errorf("template %d passes as %d", kind, other)
			}
		}
	}
}

// Nothing is sent where the guard refuses, whoever the caller is.
func TestGuardStandsBeforeTheEngine(t *testing.T) {
	f := newFake(t)
	e := f.connect(t)
	f.handle("GET /volumes/v", answers(200, map[string]string{"Name": "v"}))
	owner := Owner{Role: RoleHelper, Repo: "repo", Run: "run"}
	spec := HelperSpec{ImageID: someImage, Mount: dataMountOf("v")}
	try := func(what string, err error) {
		t.Helper()
		if !refused(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := e.CreateHelper(t.Context(), Owner{Role: RoleVerify, Repo: "repo", Run: "run"}, spec)
	try("helper as verifier", err)
	_, err = e.CreateHelper(t.Context(), owner, HelperSpec{ImageID: "redis", Mount: dataMountOf("v")})
	try("helper by image name", err)
	_, err = e.CreateHelper(t.Context(), owner, HelperSpec{ImageID: someImage, Mount: Mount{Type: MountTmpfs, Destination: "/data"}})
	try("helper of a tmpfs", err)
	_, err = e.CreateVerifier(t.Context(), Owner{Role: RoleVerify, Repo: "repo", Run: "run"}, VerifierSpec{ImageID: someImage, Volume: "v", Destination: "/data", User: "9:9", Cmd: []string{"x"}, MemoryBytes: 1})
	try("verifier on a foreign volume", err)
	_, err = e.CreateVolume(t.Context(), "x", Owner{Role: "boss", Repo: "repo", Run: "run"})
	try("volume of an unknown role", err)
	_, err = e.CreateRecovery(t.Context(), Owner{Role: RoleRecovery, Repo: "repo", Run: "run"}, RecoverySpec{Name: "r", ImageID: someImage, Volume: "v", Destination: "/data", Networks: []string{"host"}})
	try("recovery on the host's network", err)
	try("sweep of none", e.Sweep(t.Context(), NoRepo, func(string) bool { return true }))
	for _, request := range f.requests() {
		if !strings.HasPrefix(request, "GET ") {
			t.Errorf("sent %s", request)
		}
	}
}

func dataMountOf(volume string) Mount {
	return Mount{Type: MountVolume, Name: volume, Destination: "/data"}
}

func TestNothingForeignIsRemoved(t *testing.T) {
	ours := Owner{Role: RoleHelper, Repo: "repo", Run: "run"}
	with := func(name, value string) map[string]string {
		l := ours.labels()
		l[name] = value
		return l
	}
	foreign := map[string]map[string]string{
		"none": nil, "compose's": {"com.docker.compose.project": "x"}, "role only": {labelRole: RoleHelper},
		"another repository": with(labelRepo, "other"), "another run": with(labelRun, "other"), "recovery": with(labelRole, RoleRecovery),
		"verifier": with(labelRole, RoleVerify), "empty run": with(labelRun, ""),
	}
	f := newFake(t)
	e := f.connect(t)
	f.handle("DELETE /containers/full-id", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("v") != "1" || q.Get("force") != "1" {
			t.Errorf("removed with %v", q)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	f.handle("DELETE /volumes/x", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("force") {
			t.Error("volume removed by force")
		}
		w.WriteHeader(http.StatusNoContent)
	})
	labelled := func(labels map[string]string) {
		f.handle("GET /containers/x/json", answers(200, map[string]any{"Id": "full-id", "Config": map[string]any{"Labels": labels}}))
		f.handle("GET /volumes/x", answers(200, map[string]any{"Name": "x", "Labels": labels}))
	}
	deletions := func() int {
		return len(slices.DeleteFunc(f.requests(), func(r string) bool { return !strings.HasPrefix(r, "DELETE") }))
	}
	for name, labels := range foreign {
		labelled(labels)
		if err := e.removeContainer(t.Context(), "x", ours); !refused(err) {
			t.Errorf("container with labels of %s: %v", name, err)
		}
		if err := e.RemoveVolume(t.Context(), "x", ours); !refused(err) {
			t.Errorf("volume with labels of %s: %v", name, err)
		}
	}
	if err := e.removeContainer(t.Context(), "x", Owner{}); !refused(err) {
		t.Errorf("nobody's: %v", err)
	}
	if n := deletions(); n != 0 {
		t.Errorf("%d deletions were sent", n)
	}
	labelled(with("image.label", "x"))
	if err := errors.Join(e.removeContainer(t.Context(), "x", ours), e.RemoveVolume(t.Context(), "x", ours)); err != nil || deletions() != 2 {
		t.Errorf("our own: %v, %d deletions", err, deletions())
	}
}

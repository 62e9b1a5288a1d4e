//go:build engine

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// place is one way in which people set a server up.
type place struct {
	name    string
	options enginetest.Options
	// prepare is a script that makes the volume ready; $1 is its root. A volume
	// that it leaves empty gets the image's owner and mode at the next mount:
	// settle runs when the server does.
	prepare  string
	settle   string
	password string // given to redisbak in a file
	username string
	config   string // of a configuration file, in the place of arguments
	bind     bool   // a directory of the host in the volume's place
	says     []string
}

const (
	aclName     = "redisbak"
	aclPassword = "correct-horse-battery-staple"
	// aclRules are all that redisbak needs of a server.
	aclRules = "-@all +ping +info +time +lastsave +bgsave +dbsize +role +config|get"
)

func places() []place {
	return []place{
		{
			name: "sub-directory", prepare: `mkdir -p "$1/redis/main" && chown -R 999:999 "$1" && chmod 750 "$1/redis" && chmod 710 "$1/redis/main"`,
			options: enginetest.Options{Args: []string{"--dir", "/data/redis/main", "--dbfilename", "main store.rdb"}},
		},
		{
			name: "mount elsewhere", settle: `chown 999:999 "$1" && chmod 770 "$1"`,
			options: enginetest.Options{Mount: "/srv/redis", Args: []string{"--dir", "/srv/redis", "--dbfilename", "elsewhere.rdb"}},
		},
		{name: "gid 1000", options: enginetest.Options{Image: "redisbak-test/redis:7.0-gid1000"}},
		{
			name: "a uid of its own", settle: `chown 4321:1234 "$1" && chmod 700 "$1"`,
			options: enginetest.Options{Image: enginetest.Redis80, User: "4321:1234"},
		},
		{name: "no network", options: enginetest.Options{Image: enginetest.Redis60, Network: "none"}, says: []string{"reached by docker exec"}},
		{
			name: "isolated network", options: enginetest.Options{Image: enginetest.Valkey81, Network: isolatedNetwork},
			says: []string{"reached by container address"},
		},
		{
			name: "the host's network", options: enginetest.Options{Network: "host", Args: []string{"--port", "26397"}},
			says: []string{"reached by docker exec"},
		},
		{name: "bind mount", bind: true, settle: `chown 999:999 "$1" && chmod 750 "$1"`},
		{
			// The entrypoint takes the shell for something else than its server,
			// and leaves it root.
			name: "through a shell, as root",
			options: enginetest.Options{Plain: true, Args: []string{"sh", "-c",
				"exec redis-server --protected-mode no --enable-debug-command yes --dbfilename shell.rdb"}},
		},
		{
			name: "password", password: "S3cret of the sérver", options: enginetest.Options{Password: "S3cret of the sérver"},
		},
		{
			name: "ACL user", username: aclName, password: aclPassword,
			options: enginetest.Options{Password: "another", Args: append([]string{"--user", aclName, "on", ">" + aclPassword}, strings.Fields(aclRules)...)},
		},
		{
			name: "CONFIG renamed away", prepare: `mkdir "$1/sub" && chown -R 999:999 "$1"`,
			options: enginetest.Options{Args: []string{"--rename-command", "CONFIG", "", "--dir", "/data/sub", "--dbfilename", "hidden.rdb"}},
			says:    []string{"warning: CONFIG GET is denied: data directory /data/sub from the server's process, dump file hidden.rdb from its command line"},
		},
		{
			name: "configuration file", prepare: `mkdir "$1/by config" && chown -R 999:999 "$1"`,
			config: "port 6379\nprotected-mode no\nenable-debug-command yes\n\n# where the data lie\ndir \"/data/by config\"\ndbfilename configured.rdb\ndatabases 40\n",
		},
		{name: "busybox", options: enginetest.Options{Image: enginetest.Busybox, Args: []string{"--dbfilename", "main store.rdb"}}},
	}
}

// appendOnlyPlaces are the same for servers that start from an append-only
// file.
func appendOnlyPlaces() []place {
	return []place{
		{
			name: "AOF, a uid of its own", prepare: `mkdir "$1/own" && chown -R 4321:1234 "$1" && chmod 700 "$1" && chmod 710 "$1/own"`,
			options: enginetest.Options{Image: enginetest.Redis80, User: "4321:1234", Args: []string{"--dir", "/data/own", "--appendonly", "yes"}},
		},
		{
			name: "AOF, no network", options: enginetest.Options{Image: enginetest.Redis60, Network: "none", Args: []string{"--appendonly", "yes"}},
			says: []string{"reached by docker exec"},
		},
		{name: "AOF, bind mount", bind: true, settle: `chown 999:999 "$1" && chmod 750 "$1"`, options: enginetest.Options{Args: []string{"--appendonly", "yes"}}},
		{
			name: "AOF, through a shell, as root",
			options: enginetest.Options{Plain: true, Args: []string{"sh", "-c",
				"exec redis-server --protected-mode no --enable-debug-command yes --appendonly yes"}},
		},
		{
			name: "AOF, ACL user", username: aclName, password: aclPassword,
			options: enginetest.Options{Password: "another", Args: append([]string{"--appendonly", "yes", "--user", aclName, "on", ">" + aclPassword},
				append(strings.Fields(aclRules), "+bgrewriteaof")...)},
		},
		{
			name: "AOF, CONFIG renamed away",
			options: enginetest.Options{Image: enginetest.Valkey81, Args: []string{"--rename-command", "CONFIG", "", "--appendonly", "yes",
				"--appendfilename", "hidden.aof", "--appenddirname", "hidden"}},
			says: []string{"warning: CONFIG GET is denied: data directory /data from the server's process"},
		},
		{
			name:   "AOF, configuration file",
			config: "port 6379\nprotected-mode no\nenable-debug-command yes\nappendonly yes\nappendfilename \"by config.aof\"\naof-use-rdb-preamble no\n",
		},
		{
			// All that is looked up from inside of the container.
			name: "AOF, busybox, CONFIG renamed away", options: enginetest.Options{Image: enginetest.Busybox},
			config: "port 6379\nprotected-mode no\nenable-debug-command yes\nrename-command CONFIG \"\"\nappendonly yes\nappenddirname \"by config\"\n",
			says:   []string{"warning: CONFIG GET is denied: data directory /data from the server's process"},
		},
	}
}

// However a server is set up, its snapshot is taken, proven and restored, with
// owners and modes (FAULT 58), and with nothing left beside the data.
func TestEveryWayOfSettingAServerUp(t *testing.T) {
	for _, p := range append(places(), appendOnlyPlaces()...) {
		t.Run(p.name, p.run)
	}
}

func (p place) run(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	source := p.start(t, h)
	source.Load(1)
	want := contentOf(t, source)
	r := h.run("snapshot", source.Name, "--verbose").must(t, exitOK)
	r.says(t, append(p.says, "written to and saved")...)
	if len(p.says) == 0 {
		r.never(t, "warning: CONFIG")
	}
	h.holds(nil, nil)

	restored := h.restore("--volume", source.Name+"-plain")
	laidDown := ownersIn(t, restored.Volume)
	if original := ownersOf(t, source); !slices.Equal(laidDown, original) {
		t.Errorf("restored volume:\n%s\nthe source's:\n%s", strings.Join(laidDown, "\n"), strings.Join(original, "\n"))
	}
	started := h.restore("--start")
	recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container, Password: p.options.Password, Args: p.options.Args})
	same(t, "restored", want, contentOf(t, recovered))
	recovered.Cmd("SET", "and", "it lives")
	recovered.Cmd("SAVE")
	h.holds([]string{*started.Container}, []string{restored.Volume, started.Volume})
	if p.password != "" {
		noSecret(t, h, p.password)
	}
}

// Without the password the restored server cannot be asked: that is said, and
// the restored volume stays.
func TestRestoreAndStartWithoutThePassword(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	p := place{password: "opensesame", options: enginetest.Options{Password: "opensesame"}}
	source := p.start(t, h)
	source.Load(1)
	want := contentOf(t, source)
	h.snapshot(source.Name)
	delete(h.env, "REDISBAK_PASSWORD_FILE")
	name := source.Name + "-started"
	r := h.run("restore", "--start", "--volume", name, "--name", name).must(t, exitAuth)
	r.says(t, "restored and checked", name+`" runs, and its keys could not be counted`, "hint: give the password").never(t, p.password)
	h.holds([]string{name}, []string{name})
	recovered := enginetest.Attach(t, enginetest.Options{Name: name, Password: p.password})
	same(t, "started without the password", want, contentOf(t, recovered))
}

// start sets the server up, and tells redisbak what its user would.
func (p place) start(t *testing.T, h *home) *enginetest.Redis {
	t.Helper()
	o := p.options
	if o.Image == "" {
		o.Image = enginetest.Redis70
	}
	if p.bind {
		o.Bind = t.TempDir()
	} else {
		o.Volume = enginetest.NewVolume(t)
	}
	if p.prepare != "" {
		inVolume(t, o.Volume, p.prepare)
	}
	if p.config != "" {
		file := filepath.Join(t.TempDir(), "redis.conf")
		if err := os.WriteFile(file, []byte(p.config), 0o644); err != nil {
			t.Fatal(err)
		}
		o.Plain, o.Args = true, []string{"redis-server", "/etc/redis.conf"}
		o.Docker = append(o.Docker, "--volume", file+":/etc/redis.conf:ro")
	}
	if p.username != "" {
		h.env["REDISBAK_USERNAME"] = p.username
	}
	if p.password != "" {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(p.password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.env["REDISBAK_PASSWORD_FILE"] = file
	}
	if o.Network == isolatedNetwork {
		o.Network = h.network("--internal")
	}
	source := enginetest.Start(t, o)
	if p.settle != "" {
		source.Exec("sh", "-euc", p.settle, "sh", source.Mount)
	}
	return source
}

// isolatedNetwork stands for a network that the test makes.
const isolatedNetwork = "isolated"

// inVolume runs a script as root; $1 is the volume's root.
func inVolume(t testing.TB, volume, script string) string {
	t.Helper()
	out, err := enginetest.Docker("run", "--rm", "--label", enginetest.Label, "--network", "none", "--user", "0", "--volume", volume+":/data",
		"--entrypoint", "sh", enginetest.Redis70, "-euc", script, "sh", "/data")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ownersScript lists all that a directory holds, and the directory itself, with
// owners and modes.
const ownersScript = `cd "$1" && find . -exec stat -c '%n %A %u:%g' {} + | LC_ALL=C sort`

func ownersIn(t testing.TB, volume string) []string {
	t.Helper()
	return slices.Collect(strings.Lines(inVolume(t, volume, ownersScript)))
}

func ownersOf(t testing.TB, r *enginetest.Redis) []string {
	t.Helper()
	return slices.Collect(strings.Lines(r.Exec("sh", "-euc", ownersScript, "sh", r.Mount)))
}

// noSecret fails the test if anything in the repository holds the secret, or
// an object of ours does in what it was made with beyond what the original's
// own command line says.
func noSecret(t testing.TB, h *home, secret string) {
	t.Helper()
	err := filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), secret) {
			t.Errorf("%s holds the password", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

//go:build engine

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// changing are the parts of a message that differ from run to run.
var changing = []struct {
	is   *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`\d{8}T\d{6}Z-[0-9a-z]{4}`), "ID"},
	{regexp.MustCompile(`taken \S+ \S+ \S+ \(\S+\)`), "taken THEN"},
	{regexp.MustCompile(`process \d+ on host \S+ \(.*?since \S+\)`), "HOLDER"},
	{regexp.MustCompile(`\b\d+(\.\d+)?[KMG]iB\b`), "SIZE"},
	{regexp.MustCompile(`\b\d+(\.\d+)?k?B stored as \d+(\.\d+)?k?B\b`), "SIZE stored as SIZE"},
	{regexp.MustCompile(`\b\d+\.\d s\b`), "T s"},
	{regexp.MustCompile(`\d+\.\d+\.\d+\.\d+:\d+`), "HOST:PORT"},
}

// comesTo fails the test unless the command ends with this exit code and says
// exactly this on stderr, the names of things replaced by "A=a-long-name".
func (h *home) comesTo(code int, want string, r result, names ...string) {
	h.t.Helper()
	r.must(h.t, code)
	got := r.stderr
	for _, pair := range append(names, "REPO="+h.dir) {
		name, text, _ := strings.Cut(pair, "=")
		got = strings.ReplaceAll(got, text, name)
	}
	for _, c := range changing {
		got = c.is.ReplaceAllString(got, c.name)
	}
	if got != want {
		h.t.Errorf("%s\nsays:\n%swant:\n%s", strings.Join(r.args, " "), got, want)
	}
}

// unharmed notes how a source is, and returns what fails the test unless it is
// still so: it runs as before, takes writes, has the same configuration and the
// same number of clients, and nothing of the repository is left at the engine.
func (h *home) unharmed(r *enginetest.Redis) func() {
	h.t.Helper()
	state := func() string {
		return strings.Join(dockerLines(h.t, "inspect", "--format", "{{.State.Status}} {{.State.StartedAt}} {{.RestartCount}}", r.ID), "")
	}
	config, clients, was := configOf(r), r.Field("connected_clients"), state()
	return func() {
		h.t.Helper()
		h.holds(nil, nil)
		r.Cmd("SET", "still-takes-writes", time.Now().String())
		r.Cmd("DEL", "still-takes-writes")
		if got := state(); got != was {
			h.t.Errorf("container is %s, was %s", got, was)
		}
		if got := configOf(r); got != config {
			h.t.Errorf("configuration has changed:\n%s\nwas:\n%s", got, config)
		}
		enginetest.Eventually(h.t, 10*time.Second, "as many clients as before", func() bool { return r.Field("connected_clients") == clients })
	}
}

// untouched fails the test if there is a repository: a command that found
// nothing to put into one must not have made it.
func (h *home) untouched() {
	h.t.Helper()
	if _, err := os.Lstat(h.dir); !os.IsNotExist(err) {
		h.t.Errorf("%s was made: %v", h.dir, err)
	}
}

func TestUnknownNames(t *testing.T) {
	h := newHome(t)
	redis := enginetest.Start(t, enginetest.Options{})
	other := enginetest.Start(t, enginetest.Options{})
	redis.Cmd("SET", "k", "v")
	unharmed := h.unharmed(redis)

	typo := redis.Name + "x"
	noContainer := "error: no such container: TYPO\nhint: docker ps -a lists the containers\n"
	h.comesTo(exitFailure, noContainer, h.run("snapshot", typo), "TYPO="+typo)
	h.comesTo(exitFailure, noContainer, h.run("snapshot", redis.Name, typo), "TYPO="+typo)
	h.comesTo(exitFailure, "error: no such container: REDI\nhint: docker ps -a lists the containers\n", h.run("snapshot", "REDI"))

	several := h.run("snapshot").must(t, exitUsage)
	lines := strings.Split(several.stderr, "\n")
	names := strings.Split(strings.TrimPrefix(lines[0], "error: several running Redis containers: "), ", ")
	if len(lines) != 3 || len(names) < 2 || !strings.Contains(lines[0], redis.Name) || !strings.Contains(lines[0], other.Name) ||
		lines[1] != "hint: name the one that is meant: redisbak snapshot CONTAINER; or take all: redisbak snapshot --all" {
		t.Errorf("several containers, none named: %s", several)
	}
	h.untouched()

	h.snapshot(redis.Name)
	noImage := "error: no such image: nowhere:1\nhint: bring it (docker load, docker pull, or restore --pull), or name one with the same server: --image\n"
	h.comesTo(exitFailure, noImage, h.run("verify", "--image", "nowhere:1"))
	h.comesTo(exitFailure, "snapshot ID of SOURCE, taken THEN\n"+noImage, h.run("restore", "--image", "nowhere:1"), "SOURCE="+redis.Name)
	older := "error: image " + enginetest.Redis60 + " cannot load the snapshot: its server is older than redis 7.0.15, which wrote it\n" +
		"hint: name an image with the snapshot's server or a later one: --image\n"
	h.comesTo(exitFailure, older, h.run("verify", "--image", enginetest.Redis60))
	unharmed()
}

// A typo in the name of a volume must not make one, as mounting it would.
func TestFault18_AVolumeThatIsNotThereIsNotMade(t *testing.T) {
	h := newHome(t)
	h.run("init").must(t, exitOK)
	redis := enginetest.Start(t, enginetest.Options{})
	redis.Cmd("SET", "k", "v")
	unharmed := h.unharmed(redis)
	proxy := enginetest.StartProxy(t)
	h.through(proxy)
	proxy.Inject(enginetest.Fault{Method: "GET", Path: `^/volumes/` + redis.Volume + `$`, Status: 404})
	h.comesTo(exitFailure, "error: no such volume: VOLUME\nhint: docker volume ls lists the volumes; none was created\n",
		h.run("snapshot", redis.Name), "VOLUME="+redis.Volume)
	for _, r := range proxy.Requests() {
		if r.Method == "POST" && (r.Path == "/volumes/create" || r.Path == "/containers/create") {
			t.Errorf("asked for %s %s", r.Method, r.Path)
		}
	}
	if listed := h.listed(t); len(listed) != 0 {
		t.Errorf("listed: %v", listed)
	}
	unharmed()
}

func TestContainersWithoutRedis(t *testing.T) {
	h := newHome(t)
	idle := enginetest.Start(t, enginetest.Options{Plain: true, Unready: true, Docker: []string{"--entrypoint", "sleep"}, Args: []string{"600"}})
	sentinel := enginetest.Start(t, enginetest.Options{Plain: true, Unready: true, Docker: []string{"--entrypoint", "sh"},
		Args: []string{"-c", "echo sentinel monitor m 127.0.0.1 6379 1 >/tmp/s.conf; exec redis-server /tmp/s.conf --sentinel"}})
	enginetest.Eventually(t, time.Minute, "the sentinel runs", func() bool { return strings.Contains(sentinel.Logs(), "Sentinel ID is") })
	for _, c := range []*enginetest.Redis{idle, sentinel} {
		h.comesTo(exitFailure, "warning: new repository created at REPO\n"+
			"error: container \"NAME\" (image "+enginetest.Redis70+") runs no Redis or Valkey server\nhint: name the container that runs Redis or Valkey\n",
			h.run("snapshot", c.Name), "NAME="+c.Name)
		h.holds(nil, nil)
		if err := os.RemoveAll(h.dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDataThatLieOnNoDisk(t *testing.T) {
	for what, c := range map[string]struct {
		options enginetest.Options
		says    string
	}{
		"no volume": {enginetest.Options{Args: []string{"--dir", "/tmp"}}, "its data directory /tmp is on no volume: the data would be lost with the container"},
		"tmpfs": {enginetest.Options{Args: []string{"--dir", "/scratch"}, Docker: []string{"--tmpfs", "/scratch"}},
			"its data directory /scratch is on a tmpfs: there is nothing on disk to copy"},
		"mounted tmpfs": {enginetest.Options{Args: []string{"--dir", "/scratch"}, Docker: []string{"--mount", "type=tmpfs,destination=/scratch"}},
			"its data directory /scratch is on a tmpfs: there is nothing on disk to copy"},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHome(t)
			redis := enginetest.Start(t, c.options)
			redis.Cmd("SET", "k", "v")
			unharmed := h.unharmed(redis)
			h.comesTo(exitFailure, "warning: new repository created at REPO\nerror: container \"NAME\": "+c.says+
				"\nhint: keep the server's data directory on a Docker volume or a bind mount\n", h.run("snapshot", redis.Name), "NAME="+redis.Name)
			unharmed()
		})
	}
}

func TestContainersThatDoNotRun(t *testing.T) {
	h := newHome(t)
	h.run("init").must(t, exitOK)
	paused := enginetest.Start(t, enginetest.Options{})
	stopped := enginetest.Start(t, enginetest.Options{})
	restarting := enginetest.Start(t, enginetest.Options{Plain: true, Unready: true, Docker: []string{"--restart", "always"}, Args: []string{"--no-such-option", "1"}})
	dockerLines(t, "pause", paused.ID)
	stopped.Stop()
	created := paused.Name + "-created"
	dockerLines(t, "create", "--label", enginetest.Label, "--name", created, "--volume", paused.Volume+":/data", enginetest.Redis70)
	t.Cleanup(func() { dockerLines(t, "rm", "--force", "--volumes", created) })

	state := func(name string) string { return dockerLines(t, "inspect", "--format", "{{.State.Status}}", name)[0] }
	for _, c := range []struct{ name, state, hint string }{
		{paused.Name, "paused", "let it go on: docker unpause NAME"},
		{stopped.Name, "exited", "start it: docker start NAME"},
		{restarting.Name, "restarting", "why it does not stay up: docker logs NAME"},
		{created, "created", "start it: docker start NAME"},
	} {
		enginetest.Eventually(t, time.Minute, c.name+" is "+c.state, func() bool { return state(c.name) == c.state })
		// Between two attempts a restarting container runs for an instant.
		var r result
		enginetest.Eventually(t, time.Minute, c.name+" is found "+c.state, func() bool {
			r = h.run("snapshot", c.name)
			return strings.Contains(r.stderr, "it is "+c.state)
		})
		h.comesTo(exitUnreachable, "error: container \"NAME\" is not running: it is "+c.state+"\nhint: "+c.hint+"\n", r, "NAME="+c.name)
		if c.state != "restarting" && state(c.name) != c.state {
			t.Errorf("%s is %s now", c.name, state(c.name))
		}
	}
	h.holds(nil, nil)
	dockerLines(t, "unpause", paused.ID)
	paused.Cmd("SET", "k", "v")
}

func TestFault11_RefusedByRedis(t *testing.T) {
	const secret = "canary-4e8d1f"
	h := newHome(t)
	h.run("init").must(t, exitOK)
	redis := enginetest.Start(t, enginetest.Options{Password: secret})
	open := enginetest.Start(t, enginetest.Options{})
	for _, user := range []string{"nothing -@all", "look -@all +ping +info +time +config|get", "gone +@all off"} {
		name, rules, _ := strings.Cut(user, " ")
		args := append([]string{"ACL", "SETUSER", name, "on", ">" + secret}, strings.Fields(rules)...)
		redis.Cmd(args...)
	}
	unharmed := h.unharmed(redis)
	const (
		give  = "hint: give the password: --password-file FILE, or REDISBAK_PASSWORD; for an ACL user also --username NAME\n"
		right = "hint: is it the right password? --password-file FILE, or REDISBAK_PASSWORD; for an ACL user also --username NAME\n"
		wrong = "error: container \"NAME\": redis refused AUTH: WRONGPASS wrong user name or password, or the user is disabled\n"
	)
	for what, c := range map[string]struct {
		redis          *enginetest.Redis
		user, password string
		want           string
	}{
		"no password":       {redis, "", "", "error: container \"NAME\": redis refused PING: NOAUTH Authentication required.\n" + give},
		"wrong password":    {redis, "", secret + "x", wrong + right},
		"unknown user":      {redis, "nobody", secret, wrong + right},
		"disabled user":     {redis, "gone", secret, wrong + right},
		"needless password": {open, "", secret, "error: container \"NAME\": redis refused AUTH: a password was given, but the server has none\nhint: leave it out: --password-file, REDISBAK_PASSWORD and REDISBAK_PASSWORD_FILE\n"},
		"no permissions": {redis, "nothing", secret, "error: container \"NAME\": redis refused PING: NOPERM this user has no permissions to run the 'ping' command\n" +
			"hint: let the user run all that a snapshot needs: ACL SETUSER nothing +ping +info +time +bgsave +config|get\n"},
		"no BGSAVE": {redis, "look", secret, "error: container \"NAME\": redis refused BGSAVE: NOPERM this user has no permissions to run the 'bgsave' command\n" +
			"hint: let the user run all that a snapshot needs: ACL SETUSER look +ping +info +time +bgsave +config|get\n"},
	} {
		t.Run(what, func(t *testing.T) {
			tries := authCalls(t, redis)
			h.env["REDISBAK_PASSWORD"], h.env["REDISBAK_USERNAME"] = c.password, c.user
			r := h.run("snapshot", c.redis.Name, "--verbose").never(t, secret)
			h.comesTo(exitAuth, c.want, result{args: r.args, code: r.code, stderr: withoutWay(r.stderr)}, "NAME="+c.redis.Name)
			if more := authCalls(t, redis) - tries; more > 1 {
				t.Errorf("AUTH was tried %d times", more)
			}
		})
	}
	delete(h.env, "REDISBAK_PASSWORD")
	delete(h.env, "REDISBAK_USERNAME")
	if listed := h.listed(t); len(listed) != 0 {
		t.Errorf("listed: %v", listed)
	}
	noSecret(t, h, secret)
	unharmed()
}

// withoutWay drops the line by which --verbose tells how a server was reached.
func withoutWay(stderr string) string {
	return regexp.MustCompile(`(?m)^container \S+ reached by .*\n`).ReplaceAllString(stderr, "")
}

func authCalls(t testing.TB, r *enginetest.Redis) (n int) {
	t.Helper()
	_, stat, _ := strings.Cut(r.Cmd("INFO", "commandstats"), "cmdstat_auth:calls=")
	if _, err := fmt.Sscan(strings.Split(stat, ",")[0], &n); err != nil {
		t.Fatalf("commandstats: %v", err)
	}
	return n
}

func TestSnapshotOfAServerThatIsLoading(t *testing.T) {
	h := newHome(t)
	h.run("init").must(t, exitOK)
	redis := enginetest.Start(t, enginetest.Options{})
	redis.Fill(20000, 10)
	redis.Cmd("SAVE")
	redis.Kill()
	slow := enginetest.Start(t, enginetest.Options{Volume: redis.Volume, Unready: true,
		Args: []string{"--key-load-delay", "3000", "--loading-process-events-interval-bytes", "1024"}})
	enginetest.Eventually(t, time.Minute, "it loads", func() bool {
		_, err := slow.Try("PING")
		return err != nil && strings.HasPrefix(err.Error(), "LOADING")
	})
	h.comesTo(exitFailure, "error: container \"NAME\": its server is still loading its data\nhint: wait until it has loaded its data, and run it again\n",
		h.run("snapshot", slow.Name), "NAME="+slow.Name)
	if listed := h.listed(t); len(listed) != 0 {
		t.Errorf("listed: %v", listed)
	}
	h.holds(nil, nil)
}

// The server that answers must be the one whose volume is copied.
func TestServersThatAreNotTheContainers(t *testing.T) {
	h := newHome(t)
	h.run("init").must(t, exitOK)
	redis, other := enginetest.Start(t, enginetest.Options{}), enginetest.Start(t, enginetest.Options{})
	redis.Cmd("SET", "k", "v")
	unharmed, otherUnharmed := h.unharmed(redis), h.unharmed(other)
	const means = "hint: name the container of the server that you mean, or its own --address\n"

	// Never saved; saved with other data; saved with the same.
	h.comesTo(exitFailure, "error: container \"NAME\": the server reached is not the one on this volume: the server saved, and there is no /data/dump.rdb\n"+means,
		h.run("snapshot", redis.Name, "--address", other.Addr()), "NAME="+redis.Name)
	redis.Cmd("SAVE")
	enginetest.Eventually(t, time.Minute, "the second of the save is over", func() bool {
		now, _, _ := strings.Cut(redis.Cmd("TIME"), "\n")
		return now > redis.Field("rdb_last_save_time")
	})
	old := "error: container \"NAME\": the server reached is not the one on this volume: /data/dump.rdb was written at AT, before the save was asked for at AT\n" + means
	at := regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	for range 2 {
		r := h.run("snapshot", redis.Name, "--address", other.Addr())
		r.stderr = at.ReplaceAllString(r.stderr, "AT")
		h.comesTo(exitFailure, old, r, "NAME="+redis.Name)
		other.Cmd("SET", "k", "v")
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.Close()
		}
	}()
	h.comesTo(exitFailure, "error: container \"NAME\": not a Redis server: its answer is not of the Redis protocol\nhint: name the server's own address: --address HOST:PORT; with TLS: --tls\n",
		h.run("snapshot", redis.Name, "--address", l.Addr().String()), "NAME="+redis.Name)
	h.comesTo(exitUnreachable, "error: container \"NAME\": its server cannot be reached; by address HOST:PORT: connect to redis: dial tcp HOST:PORT: connect: connection refused\n"+
		"hint: is that its address, and is it up? without --address redisbak looks for a way itself\n",
		h.run("snapshot", redis.Name, "--address", "127.0.0.1:1"), "NAME="+redis.Name)
	if listed := h.listed(t); len(listed) != 0 {
		t.Errorf("listed: %v", listed)
	}
	drafts, err := filepath.Glob(filepath.Join(h.dir, "*", ".draft-*"))
	if err != nil || len(drafts) > 0 {
		t.Errorf("drafts: %v %v", drafts, err)
	}
	unharmed()
	otherUnharmed()
}

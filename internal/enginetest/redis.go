// Package enginetest gives tests real servers to work on: Redis and Valkey in
// containers, filled with data of every kind, and compared key by key.
//
// It promises to leave nothing behind: what a test started goes when the test
// ends, whether it passed or not. It drives the docker command and speaks the
// Redis protocol by itself, so that it shares no code, and no mistake, with
// what is tested. It is only for tests.
package enginetest

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The four generations of servers that tests run on.
const (
	Redis60  = "redisbak-test/redis:6.0"
	Redis70  = "redisbak-test/redis:7.0"
	Redis80  = "redisbak-test/redis:8.0"
	Valkey81 = "redisbak-test/valkey:8.1"
)

// Busybox is the 7.0 with busybox for its shell and all its other programs.
const Busybox = "redisbak-test/redis:7.0-busybox"

// Label marks every container and volume of a test.
const Label = "redisbak-test=1"

// NetworkVariable names a network for all servers of tests, on machines whose
// default one cannot be used.
const NetworkVariable = "REDISBAK_TEST_NETWORK"

// startLimit is how long a server may take to answer on a busy machine.
const startLimit = 60 * time.Second

// Images returns the four images, and fails the test if one is missing.
func Images(t testing.TB) []string {
	t.Helper()
	images := []string{Redis60, Redis70, Redis80, Valkey81}
	for _, image := range images {
		if _, err := Docker("image", "inspect", image); err != nil {
			t.Fatalf("image %s is missing (make images): %v", image, err)
		}
	}
	return images
}

// Short is an image's name for a subtest: "redis-7.0".
func Short(image string) string {
	return strings.ReplaceAll(image[strings.LastIndex(image, "/")+1:], ":", "-")
}

// Options describe a server. The zero value is a Redis 7.0 with a volume of
// its own at /data.
type Options struct {
	Image    string
	Args     []string // of the server: "--appendonly", "yes"
	Password string   // becomes --requirepass
	// Plain leaves the arguments as they are. Otherwise protected mode is off,
	// and DEBUG is allowed where it needs to be.
	Plain bool

	Volume  string   // a volume that is there already and stays; empty: a new one
	Bind    string   // a directory of the host, in the volume's place
	Mount   string   // where; empty: /data
	User    string   // "uid:gid"
	Network string   // of docker run; "none" works too
	Name    string   // of the container; empty: a random one
	Docker  []string // further options of docker run
	// Unready returns as soon as the container runs: it may be loading, or
	// about to end.
	Unready bool
}

// Redis is a running server in a container.
type Redis struct {
	ID     string
	Name   string
	Image  string
	Volume string // empty with a bind mount
	Mount  string // of the volume, in the container

	t        testing.TB
	password string
	port     string
	conn     *Conn
}

// Start runs a server and waits until it answers. The container and its volume
// are removed when the test ends.
func Start(t testing.TB, o Options) *Redis {
	t.Helper()
	if o.Image == "" {
		o.Image = Redis70
	}
	if o.Mount == "" {
		o.Mount = "/data"
	}
	if o.Network == "" {
		o.Network = os.Getenv(NetworkVariable)
	}
	if o.Name == "" {
		o.Name = uniqueName()
	}
	r := &Redis{Name: o.Name, Image: o.Image, Volume: o.Volume, Mount: o.Mount, t: t, password: o.Password, port: "6379"}
	source := o.Bind
	if source == "" {
		if r.Volume == "" {
			r.Volume = NewVolume(t)
		}
		source = r.Volume
	}

	args := []string{"run", "--detach", "--label", Label, "--name", r.Name, "--volume", source + ":" + o.Mount}
	if o.User != "" {
		args = append(args, "--user", o.User)
	}
	if o.Network != "" {
		args = append(args, "--network", o.Network)
	}
	args = append(append(args, o.Docker...), o.Image)
	args = append(args, r.arguments(o)...)
	t.Cleanup(r.remove)
	out, err := Docker(args...)
	if err != nil {
		t.Fatalf("start %s: %v", o.Image, err)
	}
	r.ID = strings.TrimSpace(out)
	if !o.Unready {
		r.WaitReady()
	}
	return r
}

// arguments are those of the server's command line.
func (r *Redis) arguments(o Options) []string {
	args := o.Args
	for i, a := range args {
		if a == "--port" && i+1 < len(args) {
			r.port = args[i+1]
		}
	}
	if o.Plain && o.Password == "" {
		return args
	}
	var own []string
	if !o.Plain {
		own = append(own, "--protected-mode", "no")
		if debugIsLocked(o.Image) {
			own = append(own, "--enable-debug-command", "yes")
		}
	}
	if o.Password != "" {
		own = append(own, "--requirepass", o.Password)
	}
	return append(own, args...)
}

// debugIsLocked is for 7.0 and later. Before, the option that unlocks DEBUG is
// unknown, and fatal.
func debugIsLocked(image string) bool {
	_, tag, _ := strings.Cut(image, ":")
	return !strings.HasPrefix(tag, "6.") && !strings.HasPrefix(tag, "5.")
}

func (r *Redis) remove() {
	if r.conn != nil {
		r.conn.Close()
	}
	// A container that was never made is no error here: -f says so too.
	if _, err := Docker("rm", "--force", "--volumes", r.Name); err != nil && !strings.Contains(err.Error(), "No such container") {
		r.t.Errorf("remove container: %v", err)
	}
}

// WaitReady waits until the server answers and has loaded its data.
func (r *Redis) WaitReady() {
	r.t.Helper()
	var last error
	r.reset()
	ok := Poll(startLimit, func() bool {
		if _, last = r.Try("PING"); last == nil {
			return true
		}
		r.reset()
		return strings.HasPrefix(last.Error(), "MISCONF") || !r.Running()
	})
	if !ok || last != nil && !strings.HasPrefix(last.Error(), "MISCONF") {
		r.t.Fatalf("%s does not answer: %v\n%s", r.Name, last, r.Logs())
	}
}

func (r *Redis) reset() {
	if r.conn != nil {
		r.conn.Close()
		r.conn = nil
	}
}

// Addr is the server's address as the host reaches it; empty without network.
func (r *Redis) Addr() string {
	out := r.docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", r.Name)
	ip := strings.Fields(out)
	if len(ip) == 0 {
		return ""
	}
	return net.JoinHostPort(ip[0], r.port)
}

// Dial opens a connection to the server: by its address, or through docker
// exec where it has none.
func (r *Redis) Dial() (io.ReadWriteCloser, error) {
	if addr := r.Addr(); addr != "" {
		return net.DialTimeout("tcp", addr, 5*time.Second)
	}
	return tunnel(r.Name, r.port)
}

// Client is a connection of its own, closed when the test ends.
func (r *Redis) Client() *Conn {
	r.t.Helper()
	c, err := r.connect()
	if err != nil {
		r.t.Fatalf("connect to %s: %v", r.Name, err)
	}
	r.t.Cleanup(c.Close)
	return c
}

func (r *Redis) connect() (*Conn, error) {
	w, err := r.Dial()
	if err != nil {
		return nil, err
	}
	c := NewConn(w)
	if r.password != "" {
		if _, err := c.Do("AUTH", r.password); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Try runs a command and returns its answer as redis-cli would print it, bare.
func (r *Redis) Try(args ...string) (string, error) {
	if r.conn == nil {
		c, err := r.connect()
		if err != nil {
			return "", err
		}
		r.conn = c
	}
	v, err := r.conn.Do(args...)
	if err != nil {
		if _, refused := err.(Error); !refused {
			r.reset()
		}
		return "", err
	}
	return Text(v), nil
}

// Cmd is Try, and fails the test on an error.
func (r *Redis) Cmd(args ...string) string {
	r.t.Helper()
	out, err := r.Try(args...)
	if err != nil {
		r.t.Fatalf("%s: %s: %v", r.Name, strings.Join(args, " "), err)
	}
	return out
}

// Field is one field of INFO; empty if there is none.
func (r *Redis) Field(name string) string {
	r.t.Helper()
	for line := range strings.Lines(r.Cmd("INFO")) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimRight(value, "\r\n")
		}
	}
	return ""
}

// Running tells whether the container runs.
func (r *Redis) Running() bool {
	out, err := Docker("inspect", "--format", "{{.State.Running}}", r.Name)
	return err == nil && strings.TrimSpace(out) == "true"
}

// Logs is all that the container has printed.
func (r *Redis) Logs() string {
	out, err := exec.Command("docker", "logs", r.Name).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s (logs: %v)", out, err)
	}
	return string(out)
}

// Exec runs a command in the container, as root, and returns its output.
func (r *Redis) Exec(args ...string) string {
	r.t.Helper()
	return r.docker(append([]string{"exec", "--user", "0", r.Name}, args...)...)
}

// File reads a file of the container, whether it runs or not.
func (r *Redis) File(path string) []byte {
	r.t.Helper()
	data, err := readFile(r.Name, path)
	if err != nil {
		r.t.Fatalf("read %s of %s: %v", path, r.Name, err)
	}
	return data
}

// Stop ends the server as docker stop does; Kill as kill -9 does.
func (r *Redis) Stop() { r.t.Helper(); r.reset(); r.docker("stop", "--time", "30", r.Name) }

// Kill ends the container at once.
func (r *Redis) Kill() { r.t.Helper(); r.reset(); r.docker("kill", r.Name) }

// Restart starts the stopped or running container anew and waits for it.
func (r *Redis) Restart() {
	r.t.Helper()
	r.reset()
	r.docker("restart", "--time", "30", r.Name)
	r.WaitReady()
}

func (r *Redis) docker(args ...string) string {
	r.t.Helper()
	out, err := Docker(args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// NewVolume makes a volume that goes when the test ends.
func NewVolume(t testing.TB) string {
	t.Helper()
	name := uniqueName()
	if _, err := Docker("volume", "create", "--label", Label, name); err != nil {
		t.Fatalf("create volume: %v", err)
	}
	t.Cleanup(func() {
		if _, err := Docker("volume", "rm", "--force", name); err != nil {
			t.Errorf("remove volume: %v", err)
		}
	})
	return name
}

func uniqueName() string { return "redisbak-test-" + strings.ToLower(rand.Text()[:10]) }

// Poll asks again and again until cond holds, and tells whether it ever did.
func Poll(within time.Duration, cond func() bool) bool {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if cond() {
			return true
		}
		select {
		case <-deadline.C:
			return cond()
		case <-tick.C:
		}
	}
}

// Eventually fails the test unless cond holds within the time.
func Eventually(t testing.TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	if !Poll(within, cond) {
		t.Fatalf("not within %s: %s", within, what)
	}
}

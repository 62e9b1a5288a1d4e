package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Daemon is a Docker engine of a test's own, beside the machine's: it has its
// own containerd, its own directories and no network, and touches no firewall.
// A test may stop and kill it.
type Daemon struct {
	t          testing.TB
	dir        string
	driver     string
	bridged    bool // the machine has docker0, and is to keep it
	containerd *exec.Cmd
	dockerd    *exec.Cmd
}

// daemonLimit is how long an engine may take to answer, or to end.
const daemonLimit = 60 * time.Second

// NewDaemon starts an engine, or says why there can be none. All of it is gone
// when the test ends: processes, mounts and files.
func NewDaemon(t testing.TB, options ...string) (*Daemon, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil, errors.New("this is not root")
	}
	for _, program := range []string{"dockerd", "containerd"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "rbkd") // a socket's path must be short
	if err != nil {
		return nil, err
	}
	d := &Daemon{t: t, dir: dir, bridged: bridged()}
	t.Cleanup(d.remove)
	if err := os.WriteFile(filepath.Join(dir, "dockerd.json"), []byte("{}\n"), 0o600); err != nil {
		return nil, err
	}
	if err := d.startContainerd(); err != nil {
		return nil, err
	}
	// The machine's own way to keep images first; the other always works.
	own, err := Docker("info", "--format", "{{.Driver}}")
	if err != nil {
		return nil, err
	}
	var failed error
	for _, d.driver = range []string{strings.TrimSpace(own), "vfs"} {
		err := d.Start(options...)
		if err == nil {
			return d, nil
		}
		failed = errors.Join(failed, fmt.Errorf("storage driver %s: %w", d.driver, err))
	}
	return nil, failed
}

func (d *Daemon) startContainerd() error {
	config := filepath.Join(d.dir, "containerd.toml")
	text := "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	socket := filepath.Join(d.dir, "c")
	d.containerd = exec.Command("containerd", "--config", config, "--address", socket,
		"--root", filepath.Join(d.dir, "croot"), "--state", filepath.Join(d.dir, "cstate"))
	if err := d.begin(d.containerd, "containerd.log"); err != nil {
		return err
	}
	if !Poll(daemonLimit, func() bool { _, err := os.Stat(socket); return err == nil }) {
		return fmt.Errorf("containerd does not answer: %s", d.log("containerd.log"))
	}
	return nil
}

// begin starts a process in a session of its own, so that an interrupt at the
// terminal leaves its end to the test, and in a network of its own.
func (d *Daemon) begin(cmd *exec.Cmd, log string) error {
	out, err := os.OpenFile(filepath.Join(d.dir, log), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := ownNetwork(cmd.SysProcAttr); err != nil {
		return err
	}
	return cmd.Start()
}

// log is the end of a log.
func (d *Daemon) log(name string) string {
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// Host is the engine's address as DOCKER_HOST.
func (d *Daemon) Host() string { return "unix://" + filepath.Join(d.dir, "s") }

// Start starts the engine, also again, and waits until it answers.
func (d *Daemon) Start(options ...string) error {
	d.t.Helper()
	d.dockerd = exec.Command("dockerd", append([]string{
		"--config-file", filepath.Join(d.dir, "dockerd.json"), "--data-root", filepath.Join(d.dir, "data"),
		"--exec-root", filepath.Join(d.dir, "exec"), "--pidfile", filepath.Join(d.dir, "pid"), "--host", d.Host(),
		"--containerd", filepath.Join(d.dir, "c"), "--storage-driver", d.driver, "--shutdown-timeout", "3",
		"--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
	}, options...)...)
	if err := d.begin(d.dockerd, "dockerd.log"); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(ended) }(d.dockerd)
	answers := func() bool { return d.docker("version") == nil }
	if Poll(daemonLimit, func() bool {
		select {
		case <-ended:
			return true
		default:
			return answers()
		}
	}) && answers() {
		return nil
	}
	d.Stop(syscall.SIGKILL)
	return fmt.Errorf("the engine does not answer: %s", d.log("dockerd.log"))
}

// docker runs a command at this engine.
func (d *Daemon) docker(args ...string) error {
	out, err := exec.Command("docker", append([]string{"--host", d.Host()}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("docker %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return nil
}

// Stop ends the engine by a signal and waits for it.
func (d *Daemon) Stop(s syscall.Signal) {
	d.t.Helper()
	if d.dockerd == nil {
		return
	}
	pid := d.dockerd.Process.Pid
	_ = d.dockerd.Process.Signal(s) // it may have ended
	if !Poll(daemonLimit, func() bool { return syscall.Kill(pid, 0) != nil }) {
		d.t.Errorf("the engine does not end: %s", d.log("dockerd.log"))
		_ = d.dockerd.Process.Kill()
	}
	d.dockerd = nil
}

// Load gives an image of the machine's engine to this one.
func (d *Daemon) Load(image string) error {
	save, load := exec.Command("docker", "save", image), exec.Command("docker", "--host", d.Host(), "load")
	pipe, err := save.StdoutPipe()
	if err != nil {
		return err
	}
	load.Stdin = pipe
	if err := save.Start(); err != nil {
		return err
	}
	out, err := load.CombinedOutput()
	if saved := save.Wait(); err != nil || saved != nil {
		return fmt.Errorf("load %s: %w: %s", image, errors.Join(err, saved), out)
	}
	return nil
}

// remove ends what belongs to this engine, in the order in which things hang on
// each other: containers, engine, containerd, what was left of them, mounts.
func (d *Daemon) remove() {
	if d.dockerd != nil {
		if out, err := exec.Command("docker", "--host", d.Host(), "ps", "--all", "--quiet").Output(); err == nil && len(out) > 0 {
			_ = d.docker(append([]string{"rm", "--force", "--volumes"}, strings.Fields(string(out))...)...)
		}
		d.Stop(syscall.SIGTERM)
	}
	if d.containerd != nil && d.containerd.Process != nil {
		_ = d.containerd.Process.Signal(syscall.SIGTERM)
		_ = d.containerd.Wait() // by our signal
	}
	if d.bridged && !bridged() {
		d.t.Error("the test's engine took docker0 away from the machine's")
	}
	for _, pid := range d.processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if !Poll(daemonLimit, func() bool { return len(d.processes()) == 0 }) {
		d.t.Errorf("processes of the test's engine are left: %v", d.processes())
	}
	for _, at := range d.mounts() {
		// One may have gone with another: what is left is looked for below.
		_ = exec.Command("umount", "--lazy", at).Run()
	}
	if left := d.mounts(); len(left) > 0 {
		d.t.Errorf("mounts of the test's engine are left: %q", left)
		return
	}
	if err := os.RemoveAll(d.dir); err != nil {
		d.t.Errorf("remove the test's engine: %v", err)
	}
}

// bridged tells whether the machine has the bridge of an engine's default
// network.
func bridged() bool {
	_, err := net.InterfaceByName("docker0")
	return err == nil
}

// processes are those that name the engine's directory, and their children:
// what runs in a container is its shim's.
func (d *Daemon) processes() []int {
	parents := map[int]int{}
	ours := map[int]bool{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // gone: empty
		stat, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		_, after, _ := bytes.Cut(stat, []byte(") "))
		fields := bytes.Fields(after)
		if len(fields) < 2 || string(fields[0]) == "Z" {
			continue
		}
		parents[pid], _ = strconv.Atoi(string(fields[1]))
		ours[pid] = bytes.Contains(line, []byte(d.dir+"/"))
	}
	var pids []int
	for pid, parent := range parents {
		if ours[pid] || ours[parent] {
			pids = append(pids, pid)
		}
	}
	return pids
}

// mounts are those below the engine's directory, the innermost first.
func (d *Daemon) mounts() []string {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		d.t.Fatal(err)
	}
	var at []string
	for line := range strings.Lines(string(info)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], d.dir+"/") {
			at = append(at, fields[4])
		}
	}
	slices.Reverse(at)
	return at
}

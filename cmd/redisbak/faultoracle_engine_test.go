//go:build engine

package main

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// faulted is a source, its repository and what must not change about them,
// while commands are made to fail.
type faulted struct {
	*home
	row    tableRow
	source *enginetest.Redis
	proxy  *enginetest.Proxy
	sum    *tally

	before      state
	want        content
	known       []snapshotJSON
	neighbours  bystanders
	password    string
	value       string // of a key, random
	tmp         string
	n           int
	requests    []enginetest.Request // of the last run
	restored    string               // the volume of the restore at hand
	restoredID  string
	storedBytes map[string][sha256.Size]byte // of dump.rdb, by snapshot
}

func newFaulted(t *testing.T, row tableRow) *faulted {
	t.Helper()
	f := &faulted{
		home: newHome(t), row: row, proxy: enginetest.StartProxy(t), sum: &tally{},
		password: "pw-" + rand.Text(), value: "value-" + rand.Text(), tmp: t.TempDir(),
		storedBytes: map[string][sha256.Size]byte{},
	}
	// Without a network: the server is reached through the engine too, and so
	// through the proxy.
	f.source = enginetest.Start(t, enginetest.Options{Image: enginetest.Redis80, Network: "none", Password: f.password})
	t.Cleanup(f.latecomers)
	f.source.Fill(300, 1000)
	f.source.Cmd("SET", "canary", f.value)
	f.source.Cmd("SET", "written-after-each-fault", "x")
	f.want = contentOf(t, f.source)
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(f.password), 0o600); err != nil {
		t.Fatal(err)
	}
	f.env["REDISBAK_PASSWORD_FILE"] = secret
	f.env["TMPDIR"] = f.tmp
	f.snapshot(f.source.Name)
	f.known = f.list()
	f.before = stateOf(f.source)
	f.neighbours = startBystanders(t)
	return f
}

// launched runs the row's command through the proxy.
func (f *faulted) launched(started chan<- *process) *process {
	f.t.Helper()
	f.n++
	f.restored = fmt.Sprintf("%s-target-%d", f.source.Name, f.n)
	f.restoredID = string(f.known[0].ID)
	if f.row.own {
		if _, err := enginetest.Docker("volume", "create", "--label", enginetest.Label, f.restored); err != nil {
			f.t.Fatal(err)
		}
	}
	volume := f.restored
	f.t.Cleanup(func() { enginetest.Docker("volume", "rm", "--force", volume) })
	f.env["DOCKER_HOST"] = f.proxy.Host()
	defer delete(f.env, "DOCKER_HOST")
	// A command that hangs is to end, and be seen.
	p := f.launch(append(f.row.args(f.source.Name, f.restored), "--timeout", "3m")...)
	started <- p
	return p
}

// cleanRun runs the command without a fault and returns its requests. What it
// was looked for in them must be there to be found.
func (f *faulted) cleanRun() []enginetest.Request {
	f.t.Helper()
	f.proxy.Forget()
	p := f.launched(make(chan *process, 1))
	if code := p.wait(); code != exitOK {
		f.t.Fatalf("exit code %d: %s", code, p.output.String())
	}
	clean := f.proxy.Requests()
	f.after(p)
	var auth, value bool
	for _, r := range clean {
		auth = auth || bytes.Contains(r.Body, []byte(f.password))
		value = value || bytes.Contains(r.Body, []byte(f.value))
	}
	if !value || auth != (f.row.name == "snapshot") {
		f.t.Errorf("the secrets that are looked for: password seen %v, value seen %v", auth, value)
	}
	return clean
}

// at runs the command with one fault, and looks at everything afterwards.
func (f *faulted) at(p point) {
	f.t.Helper()
	failed := f.t.Failed()
	f.proxy.Clear()
	f.proxy.Forget()
	started := make(chan *process, 1)
	fault := p.fault
	if p.kill {
		fault.Strike = func() {
			running := <-started
			_ = running.cmd.Process.Kill() // it may have ended
			<-running.ended
		}
	}
	f.proxy.Inject(fault)
	running := f.launched(started)
	code := running.wait()
	f.proxy.Clear()
	met := f.proxy.Met()
	f.sum.points.Add(1)
	switch {
	case p.kill:
		f.sum.kills.Add(1)
		if code == -1 {
			f.sum.killed.Add(1)
		}
	default:
		f.sum.failures.Add(1)
		if met {
			f.sum.met.Add(1)
		}
	}
	f.after(running)
	hit := "nothing"
	if requests := f.requests; met {
		hit = nameOf(requests[p.fault.Skip])
	}
	f.t.Logf("%s: hit %s, exit code %d%s", p, hit, code, complaint(running.output.String()))
	if f.t.Failed() && !failed {
		f.t.Logf("the first that is wrong came of: %s\n%s", p, running.output.String())
	}
}

// complaint is the error that a command ended with.
func complaint(output string) string {
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "error: ") || strings.HasPrefix(line, "warning: ") {
			return ", " + strings.TrimSpace(line)
		}
	}
	return ""
}

// after is the oracle: what must hold whatever has happened.
func (f *faulted) after(running *process) {
	f.t.Helper()
	f.requests = f.proxy.Requests()
	f.listedAsBefore(running)
	f.wroteOnlyToTargets()
	f.keptSecrets(running)
	if f.row.name != "snapshot" {
		f.volumeAfter(running)
	}
	f.nothingLeft()
	f.sourceAsBefore()
	f.neighbours.asBefore(f.t)
}

// listedAsBefore: what was listed is listed and whole; exactly the run that
// says so has added to it.
func (f *faulted) listedAsBefore(running *process) {
	f.t.Helper()
	now, code := f.list(), running.wait()
	for _, e := range f.known {
		if !slices.ContainsFunc(now, func(s snapshotJSON) bool { return s.ID == e.ID }) {
			f.t.Errorf("%s is lost", e.ID)
		}
	}
	for _, s := range now {
		if s.State != "good" || s.Verified == "failed" {
			f.t.Errorf("%s is %s, verified: %s", s.ID, s.State, s.Verified)
		}
	}
	f.run("check", "--read-data").must(f.t, exitOK)
	added := len(now) - len(f.known)
	want := map[int]int{exitOK: 1, exitReserved: 1}[code]
	if f.row.name != "snapshot" {
		want = 0
	}
	switch {
	case code == -1:
		if added != 0 && added != 1 {
			f.t.Errorf("%d snapshots more", added)
		}
	case added != want:
		f.t.Errorf("exit code %d, and %d snapshots more: %s", code, added, running.output.String())
	case code == exitOK && want == 1 && now[0].Verified != "passed", code == exitReserved && want == 1 && now[0].Verified != "never":
		f.t.Errorf("exit code %d, verified: %s", code, now[0].Verified)
	}
	if code > 0 && !strings.Contains(running.output.String(), "error: ") && code != exitReserved {
		f.t.Errorf("exit code %d without an error: %s", code, running.output.String())
	}
	if f.row.name == "snapshot" {
		f.sum.committed.Add(int64(added))
	}
	f.known = now
}

var execOf = regexp.MustCompile(`^/containers/([^/]+)/exec$`)

// wroteOnlyToTargets: no container of ours mounts the source's volume to write,
// or anything but the target and this run's scratch volumes; nothing is done to
// a container or volume of somebody else's but asking the server.
func (f *faulted) wroteOnlyToTargets() {
	f.t.Helper()
	scratch := map[string]bool{f.restored: f.row.name != "snapshot"}
	foreign := append([]string{f.source.ID, f.source.Name, f.source.Volume}, f.neighbours.all...)
	for _, r := range f.requests {
		switch {
		case r.Method == "GET" || r.Method == "HEAD":
		case r.Path == "/volumes/create":
			var v struct {
				Name   string
				Labels map[string]string
			}
			f.read(r, &v)
			scratch[v.Name] = v.Labels["redisbak.repo"] == f.id() && v.Labels["redisbak.role"] == "verify" || scratch[v.Name]
		case r.Path == "/containers/create":
			f.mountsOf(r, scratch)
		default:
			on := strings.Split(r.Path, "/")
			if len(on) > 2 && slices.Contains(foreign, on[2]) && !(on[2] == f.source.ID && execOf.MatchString(r.Path)) {
				f.t.Errorf("%s %s: that is somebody else's", r.Method, r.Path)
			}
		}
	}
}

func (f *faulted) mountsOf(r enginetest.Request, scratch map[string]bool) {
	f.t.Helper()
	var c struct {
		Env, Volumes any
		HostConfig   struct {
			Binds, VolumesFrom any
			Mounts             []struct {
				Type, Source string
				ReadOnly     bool
			}
		}
	}
	f.read(r, &c)
	if h := c.HostConfig; h.Binds != nil || h.VolumesFrom != nil || c.Volumes != nil || len(h.Mounts) != 1 || c.Env != nil {
		f.t.Errorf("a container with more than one mount, or an environment: %s", r.Body)
	}
	for _, m := range c.HostConfig.Mounts {
		readsSource := m.Source == f.source.Volume && m.ReadOnly
		if m.Type != "volume" || !readsSource && (m.Source == f.source.Volume || !scratch[m.Source] && !m.ReadOnly) {
			f.t.Errorf("a container that writes to %s: %s", m.Source, r.Body)
		}
	}
}

// read reads a request's JSON. One that was cut on its way never got there.
func (f *faulted) read(r enginetest.Request, into any) {
	f.t.Helper()
	if err := json.Unmarshal(r.Body, into); err != nil && r.Status != 0 {
		f.t.Errorf("%s %s: %v: %s", r.Method, r.Path, err, r.Body)
	}
}

// keptSecrets: the password went to the server and nowhere else, and the value
// into archives only.
func (f *faulted) keptSecrets(running *process) {
	f.t.Helper()
	asked := ""
	for _, r := range f.requests {
		if m := execOf.FindStringSubmatch(r.Path); m != nil {
			asked = m[1]
		}
		inStream := strings.HasSuffix(r.Path, "/start") && strings.HasPrefix(r.Path, "/exec/") && asked == f.source.ID
		around := fmt.Sprint(r.Path, r.Query, r.Header)
		if strings.Contains(around, f.password) || !inStream && bytes.Contains(r.Body, []byte(f.password)) {
			f.t.Errorf("%s %s holds the password", r.Method, r.Path)
		}
		inArchive := r.Method == "PUT" && strings.HasSuffix(r.Path, "/archive")
		if strings.Contains(around, f.value) || !inArchive && bytes.Contains(r.Body, []byte(f.value)) {
			f.t.Errorf("%s %s holds the value of a key", r.Method, r.Path)
		}
	}
	for _, secret := range []string{f.password, f.value} {
		if strings.Contains(running.output.String(), secret) {
			f.t.Errorf("the output holds a secret: %s", running.output.String())
		}
		for _, dir := range []string{f.dir, f.tmp} {
			for _, file := range holding(f.t, dir, secret) {
				// A value is in the payload, of course.
				if secret == f.password || filepath.Base(file) != "dump.rdb.gz" {
					f.t.Errorf("%s holds a secret", file)
				}
			}
		}
	}
	if left, err := os.ReadDir(f.tmp); err != nil || len(left) > 0 {
		f.t.Errorf("temporary files: %v, %v", left, err)
	}
}

// holding are the files below dir that hold a text as it is.
func holding(t testing.TB, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// volumeAfter: a restore that says so has laid down the snapshot's very bytes;
// one that failed has taken its own volume away, unless its bytes were found
// right, and left the user's where it was and said so; after one that was
// killed the next one begins anew or refuses.
func (f *faulted) volumeAfter(running *process) {
	f.t.Helper()
	code, output := running.wait(), running.output.String()
	_, err := enginetest.Docker("volume", "inspect", f.restored)
	there := err == nil
	if f.row.own && !there {
		f.t.Errorf("the user's own volume is gone: %s", output)
		return
	}
	switch {
	case code == exitOK && !there:
		f.t.Errorf("restored into a volume that is not there: %s", output)
	case code == exitOK:
		f.holdsTheDump()
	case code == -1:
		if f.againInto(f.restored) {
			f.holdsTheDump()
		}
		if r := f.run("restore", "--dry-run", "--volume", f.restored); r.code == exitOK {
			f.t.Errorf("a volume that was filled is taken for an empty one: %s", r)
		}
	case strings.Contains(output, "is restored and checked"):
		f.holdsTheDump()
	case there && !strings.Contains(output, "is still there") && !f.row.own:
		f.t.Errorf("a failed restore left its volume: %s", output)
	case there && f.row.own && len(f.filesIn()) > 0 && !strings.Contains(output, "may hold a part"):
		f.t.Errorf("a failed restore left %v and did not say so: %s", f.filesIn(), output)
	}
	if f.t.Failed() {
		return // it is looked at
	}
	f.swept() // what mounts the volume still
	if _, err := enginetest.Docker("volume", "rm", "--force", f.restored); err != nil {
		f.t.Error(err)
	}
}

// filesIn are the files of the restore's volume, with their hashes.
func (f *faulted) filesIn() map[string][sha256.Size]byte {
	f.t.Helper()
	made, err := enginetest.Docker("create", "--label", enginetest.Label, "--volume", f.restored+":/data", enginetest.Redis80)
	if err != nil {
		f.t.Fatal(err)
	}
	made = strings.TrimSpace(made)
	defer enginetest.Docker("rm", "--volumes", made)
	out, err := enginetest.Docker("cp", made+":/data", "-")
	if err != nil {
		f.t.Fatal(err)
	}
	files := map[string][sha256.Size]byte{}
	for in := tar.NewReader(strings.NewReader(out)); ; {
		header, err := in.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			f.t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			data, err := io.ReadAll(in)
			if err != nil {
				f.t.Fatal(err)
			}
			files[header.Name] = sha256.Sum256(data)
		}
	}
}

// holdsTheDump: the restore's volume holds the snapshot's dump and no other
// file.
func (f *faulted) holdsTheDump() {
	f.t.Helper()
	stored, ok := f.storedBytes[f.restoredID]
	if !ok {
		stored = sha256.Sum256([]byte(f.run("cat", f.restoredID, "dump.rdb").must(f.t, exitOK).stdout))
		f.storedBytes[f.restoredID] = stored
	}
	files := f.filesIn()
	if len(files) != 1 || files["data/dump.rdb"] != stored {
		f.t.Errorf("the restored volume holds %v, want dump.rdb of %s", files, f.restoredID)
	}
}

// nothingLeft: the next command sweeps. A draft is swept by the next snapshot.
func (f *faulted) nothingLeft() {
	f.t.Helper()
	f.swept()
	if len(f.traces()) > 0 && f.row.name == "snapshot" {
		f.run("snapshot", f.source.Name, "--no-verify").must(f.t, exitOK)
		f.known = f.list()
		if left := f.traces(); len(left) > 0 {
			f.t.Errorf("the next snapshot left %q", left)
		}
	}
}

// traces are drafts and files of dead runs in the repository.
func (f *faulted) traces() []string {
	f.t.Helper()
	var traces []string
	for _, pattern := range []string{"*/.draft-*", "*/.pruned-*", ".runs/*"} {
		some, err := filepath.Glob(filepath.Join(f.dir, pattern))
		if err != nil {
			f.t.Fatal(err)
		}
		traces = append(traces, some...)
	}
	return traces
}

func (f *faulted) sourceAsBefore() {
	f.t.Helper()
	var after state
	if !enginetest.Poll(30*time.Second, func() bool { after = stateOf(f.source); return after.equal(f.before) }) {
		f.t.Errorf("the source afterwards:\n%v\nbefore:\n%v", after, f.before)
	}
	if _, err := f.source.Try("SET", "written-after-each-fault", "x"); err != nil {
		f.t.Errorf("the source takes no writes: %v", err)
	}
}

// end: a good snapshot leaves no trace of the faulted runs; what came of them is
// proven, some by a boot, and one restored and compared key by key.
func (f *faulted) end() {
	f.t.Helper()
	f.snapshot(f.source.Name)
	if left := f.traces(); len(left) > 0 {
		f.t.Errorf("left in the repository: %q", left)
	}
	f.holds(nil, nil)
	all := f.list()
	for i, n := range []int{len(all) - 1, len(all) / 2} {
		e := all[n]
		f.run("verify", string(e.ID)).must(f.t, exitOK)
		volume := fmt.Sprintf("%s-end-%d", f.source.Name, i)
		f.restore("--id", string(e.ID), "--volume", volume)
		booted := enginetest.Start(f.t, enginetest.Options{Image: enginetest.Redis80, Network: "none", Volume: volume, Password: f.password})
		same(f.t, string(e.ID), f.want, contentOf(f.t, booted))
		f.sum.rebooted.Add(1)
	}
}

//go:build engine

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// keptHouse is a daemon with a repository of its own, and a webhook that hears
// what it tells.
type keptHouse struct {
	*home
	t             *testing.T
	file, address string
	daemon        *process
	mu            sync.Mutex
	heard         []string
}

// newDaemon writes a configuration, in which HOOK is the webhook's file, and
// starts the real binary with it.
func newDaemon(t *testing.T, yaml string) *keptHouse {
	t.Helper()
	k := &keptHouse{home: newHome(t), t: t, address: freeAddress(t)}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.heard = append(k.heard, strings.TrimSpace(r.URL.Path+" "+string(body)))
	}))
	t.Cleanup(hook.Close)
	dir := t.TempDir()
	urls := filepath.Join(dir, "urls")
	ping := filepath.Join(dir, "ping")
	at := strings.TrimPrefix(hook.URL, "http://")
	for path, text := range map[string]string{urls: "generic://" + at + "/hook?disabletls=yes\n", ping: hook.URL + "/ping\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k.file = filepath.Join(dir, "redisbak.yaml")
	k.write(fmt.Sprintf("listen: %s\nnotify: {urls_file: %s, on: [failure, overdue, recovered]}\n%s",
		k.address, urls, strings.ReplaceAll(yaml, "PING", ping)))
	k.start()
	t.Cleanup(k.latecomers)
	return k
}

func (k *keptHouse) write(text string) {
	k.t.Helper()
	if err := os.WriteFile(k.file, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keptHouse) start() {
	k.t.Helper()
	k.daemon = k.launch("daemon", "--config", k.file)
	enginetest.Eventually(k.t, time.Minute, "the daemon answers", func() bool {
		code, _ := k.get("/healthz")
		return code == http.StatusOK
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (k *keptHouse) get(path string) (int, string) {
	res, err := http.Get("http://" + k.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

// metric is a value of /metrics as it stands there, or "".
func (k *keptHouse) metric(name string) string {
	_, text := k.get("/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (k *keptHouse) told(text string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(k.heard, func(s string) bool { return strings.Contains(s, text) })
}

// stop ends the daemon by SIGTERM: that is no failure.
func (k *keptHouse) stop() {
	k.t.Helper()
	send(k.t, k.daemon, syscall.SIGTERM)
	if code := k.daemon.wait(); code != exitOK {
		k.t.Errorf("after SIGTERM: exit code %d: %s", code, k.daemon.output.String())
	}
}

func (k *keptHouse) of(source string) (all []snapshotJSON) {
	for _, s := range k.list() {
		if s.Source == source {
			all = append(all, s)
		}
	}
	return all
}

// FAULT 28, 51: a real daemon, two sources, of which one appears by its labels
// while it runs. Short schedules hold, numbers on the page and in the metrics
// are those of list --json, a source that stops is told of, and so is its
// recovery; killed in a run, the next daemon catches it up.
func TestDaemonKeepsItsSources(t *testing.T) {
	t.Parallel()
	const canary = "canary-of-the-password"
	first := enginetest.Start(t, enginetest.Options{Password: canary})
	first.Load(1)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newDaemon(t, fmt.Sprintf(`
defaults: {schedule: "@every 3s", jitter: 0s, retention: {last: 2}, verify: every 2}
sources:
  - {name: first, container: %s, ping_url_file: PING, password_file: %s}
`, first.Name, password))
	enginetest.Eventually(t, 2*time.Minute, "the first source has runs", func() bool {
		return k.metric(`redisbak_runs_total{result="success",source="first"}`) >= "3"
	})
	if all := k.of("first"); len(all) > 3 || !slices.ContainsFunc(all, func(s snapshotJSON) bool { return s.Verified == "passed" }) {
		t.Errorf("pruned and verified by its settings: %+v", all)
	}
	if !k.told("/ping/start") || !k.told("/ping ") {
		t.Errorf("the dead man's switch heard %q", k.heard)
	}

	name := "label" + strings.ToLower(first.Name[len(first.Name)-6:])
	second := enginetest.Start(t, enginetest.Options{Docker: []string{
		"--label", "redisbak.enable=true", "--label", "redisbak.name=" + name, "--label", "redisbak.verify=never",
	}})
	second.Load(2)
	enginetest.Eventually(t, 2*time.Minute, "a source that came by its labels is backed up", func() bool { return len(k.of(name)) > 0 })
	typo := enginetest.Start(t, enginetest.Options{Docker: []string{"--label", "redisbak.enabel=true"}})
	enginetest.Eventually(t, time.Minute, "a mistyped label is told of", func() bool {
		return k.told(typo.Name + ", label redisbak.enabel: no such label (did you mean redisbak.enable?)")
	})

	k.showsWhatIsListed(name)

	// One that stops is told of, and is well again after it.
	first.Stop()
	enginetest.Eventually(t, 2*time.Minute, "a source that stopped is told of", func() bool { return k.told("first failed: ") })
	first.Restart()
	enginetest.Eventually(t, 2*time.Minute, "its recovery is told of", func() bool { return k.told("first is well again") })

	// FAULT 9: one that lost its data is told of, and what it had stays.
	good := k.of(name)[0]
	second.Cmd("FLUSHALL")
	enginetest.Eventually(t, 2*time.Minute, "a suspect snapshot is told of", func() bool { return k.told("is suspect: 0 keys") })
	if !slices.ContainsFunc(k.of(name), func(s snapshotJSON) bool { return s.State == "good" && *s.Keys == *good.Keys }) {
		t.Errorf("no good snapshot is left: %+v", k.of(name))
	}

	// By hand.
	k.run("daemon", "run-now", "nobody").must(t, exitFailure).says(t, "error: ")
	enginetest.Eventually(t, time.Minute, "run-now begins a run", func() bool { return k.run("daemon", "run-now", name).code == exitOK })
	_, page := k.get("/")
	_, metrics := k.get("/metrics")
	k.stop()
	for what, text := range map[string]string{"log": k.daemon.output.String(), "page": page, "metrics": metrics} {
		if strings.Contains(text, canary) || text == "" {
			t.Errorf("FAULT 69: the password is in the %s, or that is empty", what)
		}
	}
	k.run("daemon", "run-now", name).must(t, exitUnreachable).says(t, "no daemon runs")
	k.holds(nil, nil)
	k.run("check", "--read-data").must(t, exitOK)
}

var (
	pageRow   = regexp.MustCompile(`<tr data-id="[^>]*>`)
	attribute = regexp.MustCompile(`data-([a-z-]+)="([^"]*)"`)
)

// onPage are the snapshots of a page, by id, in the words of list --json.
func onPage(page string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, row := range pageRow.FindAllString(page, -1) {
		values := map[string]string{}
		for _, m := range attribute.FindAllStringSubmatch(row, -1) {
			values[m[1]] = m[2]
		}
		all[values["id"]] = values
	}
	return all
}

func listedAs(s snapshotJSON) map[string]string {
	return map[string]string{
		"id": string(s.ID), "method": s.Method, "snapshot-state": s.State, "accepted": fmt.Sprint(s.Accepted), "verified": s.Verified,
		"keys": fmt.Sprint(*s.Keys), "size-bytes": fmt.Sprint(s.SizeBytes), "stored-bytes": fmt.Sprint(s.StoredBytes), "pinned": fmt.Sprint(s.Pinned),
	}
}

// showsWhatIsListed compares each number on the page, and the metrics, with
// list --json, in a moment in which no run ends.
func (k *keptHouse) showsWhatIsListed(names ...string) {
	t := k.t
	t.Helper()
	var problems []string
	if !enginetest.Poll(time.Minute, func() bool {
		before := k.run("list", "--json").stdout
		_, page := k.get("/")
		metrics := map[string]string{}
		for _, name := range append(names, "first") {
			metrics[name] = k.metric(fmt.Sprintf("redisbak_backup_keys{source=%q}", name))
		}
		if k.run("list", "--json").stdout != before {
			problems = []string{"something changed meanwhile, each time"}
			return false
		}
		problems = nil
		shown := onPage(page)
		for _, s := range k.list() {
			row := shown[string(s.ID)]
			delete(shown, string(s.ID))
			for name, value := range listedAs(s) {
				if row[name] != value {
					problems = append(problems, fmt.Sprintf("%s: the page has %s %q, listed is %q", s.ID, name, row[name], value))
				}
			}
		}
		if len(shown) > 0 {
			problems = append(problems, fmt.Sprintf("the page has more: %v", shown))
		}
		for name, value := range metrics {
			if all := k.of(name); len(all) == 0 || value != fmt.Sprint(*all[0].Keys) {
				problems = append(problems, fmt.Sprintf("metric of %s: %s keys", name, value))
			}
		}
		return len(problems) == 0
	}) {
		t.Errorf("page and metrics are not what is listed: %s", strings.Join(problems, "; "))
	}
}

// Killed in mid-run and started again: the lock is free, what the dead run left
// is swept, its tick is caught up, and nothing is left behind.
func TestDaemonKilledInMidRun(t *testing.T) {
	t.Parallel()
	source := enginetest.Start(t, enginetest.Options{})
	source.Fill(2000, 1000)
	k := newDaemon(t, fmt.Sprintf(`
defaults: {schedule: "@every 1h", jitter: 0s}
sources:
  - {name: sessions, container: %s}
`, source.Name))
	enginetest.Eventually(t, time.Minute, "a run has objects at the engine", func() bool {
		if containers, _ := k.objects(); len(containers) > 0 {
			return true
		}
		k.run("daemon", "run-now", "sessions")
		return false
	})
	k.daemon.killAfter(0)
	before := len(k.list())
	k.start()
	k.run("daemon", "run-now", "sessions").must(t, exitOK)
	enginetest.Eventually(t, 2*time.Minute, "the next daemon takes a snapshot", func() bool { return len(k.list()) > before })
	second := k.launch("daemon", "--config", k.file)
	if code := second.wait(); code != exitLocked || !strings.Contains(second.output.String(), "another daemon") {
		t.Errorf("a second daemon: exit code %d: %s", code, second.output.String())
	}
	k.stop()
	k.swept()
	if left := leftIn(t, k.home, "sessions"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	k.run("check", "--read-data").must(t, exitOK)
}

// SIGHUP reads the file again: a source comes, another goes; a file that cannot
// be meant changes nothing and is told of.
func TestDaemonReadsItsFileAgain(t *testing.T) {
	t.Parallel()
	source := enginetest.Start(t, enginetest.Options{})
	k := newDaemon(t, fmt.Sprintf(`
defaults: {schedule: "@every 1h"}
sources:
  - {name: before, container: %s}
`, source.Name))
	text, err := os.ReadFile(k.file)
	if err != nil {
		t.Fatal(err)
	}
	has := func(name string) bool { return k.metric(fmt.Sprintf("redisbak_overdue{source=%q}", name)) == "0" }
	enginetest.Eventually(t, time.Minute, "its source is there", func() bool { return has("before") })
	k.write(strings.Replace(string(text), "name: before", "nmae: after", 1))
	send(t, k.daemon, syscall.SIGHUP)
	enginetest.Eventually(t, time.Minute, "a mistake is told of", func() bool { return k.told("did you mean name?") })
	if !has("before") {
		t.Error("a file that cannot be meant took the source away")
	}
	k.write(strings.Replace(string(text), "name: before", "name: after", 1))
	send(t, k.daemon, syscall.SIGHUP)
	enginetest.Eventually(t, time.Minute, "the new source is there", func() bool { return has("after") && !has("before") })

	// What labels ask for hangs on the file too.
	name := "label" + strings.ToLower(source.Name[len(source.Name)-6:])
	enginetest.Start(t, enginetest.Options{Docker: []string{"--label", "redisbak.enable=true", "--label", "redisbak.name=" + name}})
	enginetest.Eventually(t, time.Minute, "a source of labels is there", func() bool { return has(name) })
	k.write(strings.Replace(string(text), "name: before", "name: after", 1) + "discover: off\n")
	send(t, k.daemon, syscall.SIGHUP)
	enginetest.Eventually(t, time.Minute, "labels ask for nothing any more", func() bool { return has("after") && !has(name) })
	k.stop()
}

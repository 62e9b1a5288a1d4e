//go:build engine

package main

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// FAULT 14, 20: kill -9 at random moments of a capture of an append-only file.
// No option is changed, no writes are refused, no helper runs on, and the next
// run takes away what is left.
func TestFault14_AKilledCaptureOfAnAppendOnlyFile(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	// Without save points: after a minute it would save by itself, and have a
	// dump.rdb that is none of ours.
	source := enginetest.Start(t, enginetest.Options{Args: []string{"--appendonly", "yes", "--save", ""}})
	t.Cleanup(h.latecomers)
	source.Load(1)
	commands := [][]string{{"snapshot", source.Name, "--no-verify"}, {"snapshot", source.Name, "--no-verify", "--no-rewrite"}}
	var length []time.Duration
	for _, command := range commands {
		p := h.launch(command...)
		if code := p.wait(); code != exitOK {
			t.Fatalf("exit code %d: %s", code, p.output.String())
		}
		length = append(length, p.took)
	}
	before, options := stateOf(source), configOf(source)
	rng, killed, left := rand.New(rand.NewPCG(14, 2026)), 0, 0
	for n := range sized(8, 60) {
		which := n % len(commands)
		at := time.Duration(rng.Float64() * 1.1 * float64(length[which]))
		if h.launch(commands[which]...).killAfter(at) {
			killed++
		}
		if containers, _ := h.objects(); len(containers) > 0 {
			left++
		}
		var running []string
		if !enginetest.Poll(10*time.Second, func() bool {
			running = dockerLines(t, "ps", "--quiet", "--filter", "label=redisbak.repo="+h.id())
			return len(running) == 0
		}) {
			t.Errorf("killed after %v of %v: a helper runs on: %q", at, length[which], running)
		}
		if now := configOf(source); now != options {
			t.Errorf("killed after %v of %v: the options are %v, were %v", at, length[which], now, options)
		}
		source.Cmd("SET", "written after the kill", fmt.Sprint(n))
		h.run(commands[(n+1)%len(commands)]...).must(t, exitOK)
		h.swept()
		h.holds(nil, nil)
	}
	t.Logf("%d killed, %d of them left something at the engine", killed, left)
	if killed == 0 || left == 0 {
		t.Error("no capture was killed on its way: this test shows nothing")
	}
	var after state
	if !enginetest.Poll(20*time.Second, func() bool { after = stateOf(source); return after.equal(before) }) {
		t.Errorf("the source afterwards:\n%v\nbefore:\n%v", after, before)
	}
	h.run("check", "--read-data").must(t, exitOK)
	h.run("verify").must(t, exitOK)
}

// FAULT 14: an ACL user who may change no option, and no more than the rights
// that are documented.
func TestFault14_AUserWhoMayChangeNothing(t *testing.T) {
	for _, image := range []string{enginetest.Redis70, enginetest.Redis60} {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			limitedUsers(t, image)
		})
	}
}

func limitedUsers(t *testing.T, image string) {
	h := newHome(t)
	const secret = "canary-77b2e0"
	args := []string{"--appendonly", "yes"}
	source := enginetest.Start(t, enginetest.Options{Image: image, Args: args})
	for user, rights := range map[string]string{
		"exact":   "+ping +info +time +bgsave +bgrewriteaof +config|get",
		"nofork":  "+ping +info +time +bgsave +config|get",
		"least":   "+ping +info +time +config|get",
		"blind":   "+ping +info +time +bgsave +bgrewriteaof",
		"blinder": "+ping +info +time",
	} {
		source.Cmd(append([]string{"ACL", "SETUSER", user, "on", ">" + secret}, strings.Fields(rights)...)...)
	}
	source.Load(1)
	unharmed := h.unharmed(source)
	as := func(user string) { h.env["REDISBAK_USERNAME"], h.env["REDISBAK_PASSWORD"] = user, secret }
	takes := func(options ...string) result {
		t.Helper()
		r := h.run(append([]string{"snapshot", source.Name, "--no-verify"}, options...)...).must(t, exitOK)
		if method := h.list()[0].Method; method != "aof" {
			t.Errorf("%s: method %s", h.env["REDISBAK_USERNAME"], method)
		}
		return r
	}

	as("exact")
	takes()
	takes("--no-rewrite")
	as("nofork")
	r := h.run("snapshot", source.Name)
	r.stderr = strings.Replace(r.stderr, "command or its subcommand", "command", 1) // as 6.0 says it
	h.comesTo(exitAuth, "error: container \"NAME\": redis refused BGREWRITEAOF: NOPERM this user has no permissions to run the 'bgrewriteaof' command\n"+
		"hint: let the user run it: ACL SETUSER nofork +bgrewriteaof; or take the append-only file as it is: --no-rewrite\n", r, "NAME="+source.Name)
	unharmed()
	as("least")
	takes("--no-rewrite")

	// Who may not read the options is told where they come from instead.
	const from = "CONFIG GET is denied: data directory /data from the server's process"
	as("blinder")
	takes("--no-rewrite").says(t, from)
	as("blind")
	takes().says(t, from)
	restored := h.restore("--id", string(h.list()[0].ID))
	again := enginetest.Start(t, enginetest.Options{Image: image, Args: args, Volume: restored.Volume})
	same(t, "restored", contentOf(t, source), contentOf(t, again))
}

// FAULT 14: names that nobody tells. Where they can be seen they are used, and
// where not, it is the dump that is captured.
func TestFault14_OtherNamesAndNoConfig(t *testing.T) {
	t.Parallel()
	const secret = "canary-77b2e0"
	for _, c := range []struct {
		name    string
		options enginetest.Options
		method  string
	}{
		{"on the command line", enginetest.Options{Args: strings.Fields("--appendonly yes --appendfilename log.aof --appenddirname log")}, "aof"},
		{"in a shell's line", enginetest.Options{Plain: true, Docker: []string{"--entrypoint", "sh"},
			Args: []string{"-c", "exec redis-server --protected-mode no --enable-debug-command yes --appendonly yes --appendfilename log.aof --appenddirname log"}}, "rdb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			source := enginetest.Start(t, c.options)
			source.Cmd("ACL", "SETUSER", "blind", "on", ">"+secret, "+ping", "+info", "+time", "+bgsave", "+bgrewriteaof")
			source.Load(1)
			h.env["REDISBAK_USERNAME"], h.env["REDISBAK_PASSWORD"] = "blind", secret
			taken := h.snapshot(source.Name)
			if taken.Method != c.method {
				t.Errorf("method %s, want %s", taken.Method, c.method)
			}
			if o := h.entry(taken.ID).Manifest.Source.Options; !o.AppendOnly {
				t.Errorf("that it appends is not recorded: %+v", o)
			}
			if c.method == "rdb" {
				h.run("restore").must(t, exitFailure).says(t, "error: from what the target will start is not known: when container \""+source.Name+
					"\" was captured, nobody told the names of its append-only files\nhint: say what to lay down: --layout ")
				h.holds(nil, nil)
			}
			restored := h.restore("--layout", c.method)
			args := strings.Fields("--appendonly no")
			if c.method == "aof" {
				args = c.options.Args
			}
			again := enginetest.Start(t, enginetest.Options{Args: args, Volume: restored.Volume})
			same(t, "restored", contentOf(t, source), contentOf(t, again))
		})
	}
}

// FAULT 26: files that come and go beside the append-only files, under names
// that look like the server's own, are in no archive and in nobody's way.
func TestFault26_FilesThatComeAndGoBesideAppendOnlyFiles(t *testing.T) {
	for _, c := range []struct {
		image string
		ours  string // what an archive may hold
	}{
		{enginetest.Redis70, `^appendonlydir/appendonly\.aof\.(\d{1,3}\.base\.rdb|\d{1,3}\.incr\.aof|manifest)$`},
		{enginetest.Redis60, `^appendonly\.aof$`},
	} {
		t.Run(enginetest.Short(c.image), func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			args := []string{"--appendonly", "yes"}
			source := enginetest.Start(t, enginetest.Options{Image: c.image, Args: args})
			source.Load(1)
			want := contentOf(t, source)
			stop := renameStorm(t, source)
			var taken snapshotJSON
			for n := range sized(4, 30) {
				options := [][]string{{"--no-verify"}, {"--no-verify", "--no-rewrite"}}[n%2]
				h.run(append([]string{"snapshot", source.Name}, options...)...).must(t, exitOK)
				taken = h.list()[0]
				for _, f := range h.entry(taken.ID).Manifest.Files {
					if !regexp.MustCompile(c.ours).MatchString(f.Path) {
						t.Errorf("the archive holds %s", f.Path)
					}
				}
			}
			h.holds(nil, nil)
			stop()
			restored := h.restore("--id", string(taken.ID))
			files := strings.Fields(inVolume(t, restored.Volume, `cd "$1" && find . -type f`))
			for i, name := range files {
				files[i] = path.Clean(name)
			}
			slices.Sort(files)
			var listed []string
			for _, f := range h.entry(taken.ID).Manifest.Files {
				listed = append(listed, f.Path)
			}
			slices.Sort(listed)
			if !slices.Equal(files, listed) {
				t.Errorf("the restored volume holds %q, want %q", files, listed)
			}
			again := enginetest.Start(t, enginetest.Options{Image: c.image, Args: args, Volume: restored.Volume})
			same(t, "restored", want, contentOf(t, again))
		})
	}
}

// renameStorm makes, renames and removes files in all directories of the data.
func renameStorm(t *testing.T, r *enginetest.Redis) (stop func()) {
	t.Helper()
	r.Exec("touch", "/tmp/storm")
	storm := exec.Command("docker", "exec", "--user", "0", r.Name, "sh", "-c",
		`i=0; while [ -e /tmp/storm ]; do i=$((i+1)); for d in $(find /data -type d); do
			echo x >$d/temp-$i.rdb; mv $d/temp-$i.rdb $d/temp-rewriteaof-$i.aof; mv $d/temp-rewriteaof-$i.aof $d/temp-rewriteaof-bg-$i.aof
			mv $d/temp-rewriteaof-bg-$i.aof $d/appendonly.aof.$((1000+i%7)).incr.aof; echo y >>$d/growing; done; done`)
	if err := storm.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- storm.Wait() }()
	return func() {
		t.Helper()
		select {
		case err := <-ended:
			t.Errorf("the storm ended by itself: %v", err)
		default:
			r.Exec("rm", "/tmp/storm")
			<-ended
		}
	}
}

//go:build engine

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// FAULT 64: what is booted for a snapshot's sake never joins the live servers
// next to it, and never takes their data over.

// pair is a live master and its replica on one network.
type pair struct {
	*home
	network         string
	master, replica *enginetest.Redis
	want            content
}

func startPair(t *testing.T, image string, replicaArgs func(master string) []string) *pair {
	t.Helper()
	p := &pair{home: newHome(t)}
	p.network = p.home.network()
	p.master = enginetest.Start(t, enginetest.Options{Image: image, Network: p.network})
	p.master.Load(1)
	p.want = contentOf(t, p.master)
	p.replica = enginetest.Start(t, enginetest.Options{Image: image, Network: p.network, Args: replicaArgs(p.master.Name)})
	if p.replica.Field("role") == "slave" {
		p.linked()
	}
	return p
}

// linked waits until the replica has the master's data.
func (p *pair) linked() {
	p.t.Helper()
	enginetest.Eventually(p.t, time.Minute, "the replica is in step", func() bool {
		return p.replica.Field("master_link_status") == "up" && p.replica.Field("master_sync_in_progress") == "0" &&
			p.replica.Digest(p.t) == p.want.digest
	})
}

// followers is what the master says of its replicas, without their progress.
func (p *pair) followers() string {
	p.t.Helper()
	address := regexp.MustCompile(`(?m)^(connected_slaves:\d+|slave\d+:ip=[^,]*)`)
	return strings.Join(address.FindAllString(p.master.Cmd("INFO", "replication"), -1), " ")
}

// alone fails the test if the master sees, now or a little later, other
// replicas than its own.
func (p *pair) alone(when, want string) {
	p.t.Helper()
	joined := ""
	if enginetest.Poll(2*time.Second, func() bool { joined = p.followers(); return joined != want }) {
		p.t.Errorf("%s the live master has %s, had %s", when, joined, want)
	}
}

func TestReplicaOfALiveMaster(t *testing.T) {
	for _, image := range []string{enginetest.Redis60, enginetest.Valkey81} {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			p := startPair(t, image, func(master string) []string { return []string{"--replicaof", master, "6379"} })
			before := p.followers()
			if !strings.HasPrefix(before, "connected_slaves:1 slave0:ip=") {
				t.Fatalf("the master has %s", before)
			}
			p.snapshot(p.replica.Name)
			p.run("verify").must(t, exitOK)
			p.alone("after the verification", before)

			// A container with that command line would throw the restored data
			// away for the live master's, which has gone on.
			p.master.Cmd("FLUSHALL")
			p.master.Cmd("SET", "later", "1")
			p.run("restore", "--start").must(t, exitFailure).says(t, "replica of "+p.master.Name, "hint: ")
			p.holds(nil, nil)
			p.alone("after a refused restore --start", before)

			r := p.run("restore", "--json").must(t, exitOK)
			r.says(t, "warning: ", "replica of "+p.master.Name)
			own := document[restoreJSON](t, r)
			recovered := enginetest.Start(t, enginetest.Options{Image: image, Volume: own.Volume, Network: p.network})
			same(t, "the replica's snapshot, started as a master", p.want, contentOf(t, recovered))
			p.alone("after the restore", before)
		})
	}
}

// A replica by its configuration file, while that can be read, and when the
// server is down.
func TestReplicaByItsConfigurationFile(t *testing.T) {
	t.Parallel()
	p := startPair(t, enginetest.Redis70, func(string) []string { return nil })
	before := p.followers()
	file := filepath.Join(t.TempDir(), "redis.conf")
	text := fmt.Sprintf("protected-mode no\nenable-debug-command yes\nreplicaof %s 6379\n", p.master.Name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.replica = enginetest.Start(t, enginetest.Options{
		Network: p.network, Plain: true, Args: []string{"redis-server", "/etc/redis.conf"}, Docker: []string{"--volume", file + ":/etc/redis.conf:ro"},
	})
	p.linked()
	p.snapshot(p.replica.Name)
	p.run("restore", "--start").must(t, exitFailure).says(t, "replica of "+p.master.Name+":6379 by its command line and /etc/redis.conf")
	p.replica.Stop()
	p.run("restore", "--start").must(t, exitFailure).says(t, "was a replica when it was captured, and how it starts could not be read")
	p.holds(nil, nil)
	p.alone("after two refused restores", before)

	// Gone altogether, it is replaced by a server of its image, which follows
	// nobody, and which nobody can take for it.
	if _, err := enginetest.Docker("rm", "--force", p.replica.Name); err != nil {
		t.Fatal(err)
	}
	started := p.restore("--start")
	if on := networksOf(t, *started.Container); !slices.Equal(on, []string{"none"}) {
		t.Errorf("restored onto %q", on)
	}
	if role := enginetest.Attach(t, enginetest.Options{Name: *started.Container}).Field("role"); role != "master" {
		t.Errorf("restored as a %s", role)
	}
}

// A server that was made a replica at run time starts as what its command line
// says: a master.
func TestReplicaAtRunTimeOnly(t *testing.T) {
	t.Parallel()
	p := startPair(t, enginetest.Redis70, func(string) []string { return nil })
	p.replica.Cmd("REPLICAOF", p.master.Name, "6379")
	p.linked()
	before := p.followers()
	p.snapshot(p.replica.Name)
	p.master.Cmd("FLUSHALL")
	started := p.restore("--start")
	recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
	if role := recovered.Field("role"); role != "master" {
		t.Errorf("the restored server is a %s", role)
	}
	same(t, "restored", p.want, contentOf(t, recovered))
	p.alone("after restore --start", before)
	if recovered.Field("connected_slaves") != "0" {
		t.Error("somebody follows the restored server")
	}
}

// A live master's copy stands alone beside it.
func TestMasterOfALiveReplica(t *testing.T) {
	t.Parallel()
	p := startPair(t, enginetest.Redis80, func(master string) []string { return []string{"--replicaof", master, "6379"} })
	before := p.followers()
	p.snapshot(p.master.Name)
	started := p.restore("--start")
	p.alone("after restore --start of the master", before)
	if on := networksOf(t, *started.Container); slices.Contains(on, p.network) {
		t.Errorf("the restored master is on %q, beside its replica", on)
	}
	recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
	same(t, "the master's snapshot", p.want, contentOf(t, recovered))
	if recovered.Field("connected_slaves") != "0" || p.replica.Field("master_host") != p.master.Name {
		t.Error("the live replica went over to the restored master")
	}
}

// The engine gives the address of a dead master to the next container: replicas
// that know it by that must not find the restored one there, and lose what they
// have to the snapshot.
func TestReplicaThatKnowsADeadMasterByAddress(t *testing.T) {
	t.Parallel()
	p := startPair(t, enginetest.Redis70, func(string) []string { return nil })
	p.replica.Cmd("REPLICAOF", strings.TrimSuffix(p.master.Addr(), ":6379"), "6379")
	p.linked()
	p.snapshot(p.master.Name)
	p.master.Cmd("SET", "written after the snapshot", "1")
	p.want = contentOf(t, p.master)
	p.linked()
	p.snapshot(p.replica.Name, "--source", "replica")
	p.master.Kill()
	for _, source := range []string{p.master.Name, "replica"} {
		started := p.restore(source, "--start")
		recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
		if enginetest.Poll(4*time.Second, func() bool { return recovered.Field("connected_slaves") != "0" }) {
			t.Errorf("%s: the live replica follows the restored server", source)
		}
		same(t, "the live replica after the restore of "+source, p.want, contentOf(t, p.replica))
	}
	r := p.run("restore", p.master.Name, "--start", "--volume", p.master.Name+"-other", "--name", p.master.Name+"-other", "--publish", "127.0.0.1::6379")
	r.must(t, exitOK) // on the network bridge
	if on := networksOf(t, p.master.Name+"-other"); !slices.Equal(on, []string{"bridge"}) {
		t.Errorf("restored onto %q", on)
	}
}

func networksOf(t testing.TB, container string) []string {
	t.Helper()
	out, err := enginetest.Docker("inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", container)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(out)
}

// cluster is a live one of three masters.
type cluster struct {
	*home
	nodes []*enginetest.Redis
}

func startCluster(t *testing.T, image string) *cluster {
	t.Helper()
	c := &cluster{home: newHome(t)}
	network := c.network()
	args := []string{"--cluster-enabled", "yes", "--cluster-node-timeout", "5000"}
	create := "$(command -v redis-cli || command -v valkey-cli) --cluster create --cluster-yes"
	for range 3 {
		n := enginetest.Start(t, enginetest.Options{Image: image, Network: network, Args: args})
		c.nodes = append(c.nodes, n)
		create += " " + n.Addr()
	}
	c.nodes[0].Exec("sh", "-euc", create)
	for _, n := range c.nodes {
		enginetest.Eventually(t, time.Minute, "the cluster is formed", func() bool {
			info := n.Cmd("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
		written := 0
		for i := 0; written < 50; i++ {
			if _, err := n.Try("SET", fmt.Sprintf("key:%d", i), "value"); err == nil {
				written++
			} else if !strings.HasPrefix(err.Error(), "MOVED") {
				t.Fatal(err)
			}
		}
	}
	return c
}

// view is a node's picture of the cluster: who is there, where, as what, with
// which slots. What ping and pong move is left out.
func view(n *enginetest.Redis) []string {
	var nodes []string
	for line := range strings.Lines(n.Cmd("CLUSTER", "NODES")) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		flags := strings.TrimPrefix(f[2], "myself,")
		nodes = append(nodes, strings.Join(append([]string{f[0], f[1], flags, f[3]}, f[8:]...), " "))
	}
	slices.Sort(nodes)
	return nodes
}

func (c *cluster) unchanged(when string, want []string, nodes ...*enginetest.Redis) {
	c.t.Helper()
	for _, n := range nodes {
		var got []string
		if enginetest.Poll(2*time.Second, func() bool { got = view(n); return !slices.Equal(got, want) }) {
			c.t.Errorf("%s %s sees\n%s\nbefore\n%s", when, n.Name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestNodeOfALiveCluster(t *testing.T) {
	for _, image := range []string{enginetest.Redis70, enginetest.Valkey81} {
		t.Run(enginetest.Short(image), func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, image)
			before := view(c.nodes[0])
			if len(before) != 3 {
				t.Fatalf("a cluster of %d nodes: %q", len(before), before)
			}
			node := c.nodes[1]
			digest := node.Digest(t)
			taken := c.snapshot(node.Name)
			c.unchanged("after the verification", before, c.nodes...)

			started := c.restoreNode("--start")
			recovered := enginetest.Attach(t, enginetest.Options{Name: *started.Container})
			c.unchanged("beside the restored node", before, c.nodes...)
			standsAlone(t, recovered, digest, *taken.Keys)

			// The disaster itself: the node is down, and its address free.
			node.Stop()
			rest := []*enginetest.Redis{c.nodes[0], c.nodes[2]}
			c.seesDown(rest...)
			before = view(rest[0])
			started = c.restoreNode("--start", "--volume", node.Name+"-down", "--name", node.Name+"-down")
			recovered = enginetest.Attach(t, enginetest.Options{Name: *started.Container})
			standsAlone(t, recovered, digest, *taken.Keys)
			c.unchanged("beside the node restored after the death of the original", before, rest...)
		})
	}
}

// restoreNode also wants to be told that the node is alone.
func (c *cluster) restoreNode(args ...string) restoreJSON {
	c.t.Helper()
	r := c.run(append([]string{"restore", "--json"}, args...)...).must(c.t, exitOK)
	r.says(c.t, "warning: ", "cluster mode")
	return document[restoreJSON](c.t, r)
}

func (c *cluster) seesDown(nodes ...*enginetest.Redis) {
	c.t.Helper()
	for _, n := range nodes {
		enginetest.Eventually(c.t, time.Minute, "the dead node is seen as failed", func() bool {
			return slices.ContainsFunc(view(n), func(line string) bool {
				flags := strings.Fields(line)[2]
				return slices.Contains(strings.Split(flags, ","), "fail")
			})
		})
	}
}

// standsAlone: a restored node has the data, and knows nobody.
func standsAlone(t *testing.T, r *enginetest.Redis, digest string, keys int64) {
	t.Helper()
	if nodes := view(r); len(nodes) != 1 {
		t.Errorf("the restored node knows others: %q", nodes)
	}
	if got := r.Digest(t); got != digest || r.Cmd("DBSIZE") != fmt.Sprint(keys) {
		t.Errorf("the restored node has %s keys, digest %s, want %d, %s", r.Cmd("DBSIZE"), got, keys, digest)
	}
}

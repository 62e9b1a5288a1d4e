package instance

import (
	"slices"
	"testing"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/snapshot"
)

func TestMaster(t *testing.T) {
	for _, c := range []struct {
		args []string
		file string // of a configuration
		want string
	}{
		{},
		{args: []string{"--appendonly", "no"}},
		{args: []string{"--replicaof", "redis-master", "6379"}, want: "redis-master:6379"},
		{args: []string{"--slaveof", "10.0.0.7", "6380"}, want: "10.0.0.7:6380"},
		{args: []string{"--ReplicaOf redis-master 6379"}, want: "redis-master:6379"},
		{args: []string{"--replicaof", "redis-master 6379"}, want: "redis-master:6379"},
		{args: []string{"--replicaof", "no", "one"}},
		{args: []string{"--replicaof", "NO", "ONE"}},
		{args: []string{"--replicaof", "m", "1", "--replicaof", "no", "one"}},
		{file: "port 6379\nreplicaof \"redis-master\" 6379\n", want: "redis-master:6379"},
		{file: "SLAVEOF m 6379\n", want: "m:6379"},
		{file: "# replicaof m 6379\n"},
		{file: "replicaof m 6379\n", args: []string{"--replicaof", "no", "one"}},
		{file: "replicaof m 6379\n", args: []string{"--port", "1"}, want: "m:6379"},
		// Which of the two names comes last is not known: better safe.
		{file: "replicaof m 6379\n", args: []string{"--slaveof", "no", "one"}, want: "m:6379"},
	} {
		options := arguments{}
		if err := parseConfig(c.file, options, nil); err != nil {
			t.Fatal(err)
		}
		given, _, _ := parseArguments(c.args)
		for name, values := range given {
			options[name] = values
		}
		if got := (start{options: options}).master(); got != c.want {
			t.Errorf("%q %q: replicates %q, want %q", c.args, c.file, got, c.want)
		}
	}
}

func TestNetworksOfARestoredContainer(t *testing.T) {
	on := func(names ...string) *docker.Container {
		c := &docker.Container{}
		for _, n := range names {
			c.Networks = append(c.Networks, docker.Network{Name: n})
		}
		return c
	}
	alone := snapshot.Server{Role: "master"}
	for _, c := range []struct {
		name   string
		server snapshot.Server
		source *docker.Container
		want   []string
	}{
		{"alone", alone, on("shop", "admin"), []string{"shop", "admin"}},
		{"alone on the default network", alone, on("bridge"), []string{"bridge"}},
		{"alone without a network", alone, on(), nil},
		{"alone and gone", alone, nil, []string{"bridge"}},
		{"a replica", snapshot.Server{Role: "replica"}, on("shop"), []string{"bridge"}},
		{"a replica on the default network", snapshot.Server{Role: "replica"}, on("bridge"), nil},
		{"a replica, one of its networks the default one", snapshot.Server{Role: "replica"}, on("shop", "bridge"), nil},
		{"a replica, gone", snapshot.Server{Role: "replica"}, nil, nil},
		{"a master with replicas", snapshot.Server{Role: "master", Replicas: 1}, on("shop"), []string{"bridge"}},
		{"a node of a cluster", snapshot.Server{Role: "master", ClusterEnabled: true}, on("shop"), []string{"bridge"}},
		{"a replica without a network", snapshot.Server{Role: "replica"}, on(), nil},
	} {
		got := networks(&snapshot.Manifest{Server: c.server}, c.source)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

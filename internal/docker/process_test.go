package docker

import (
	"errors"
	"slices"
	"testing"
)

func TestTitlesOfServers(t *testing.T) {
	for title, want := range map[string]struct {
		server bool
		port   int
	}{
		"redis-server *:6379":                              {true, 6379},
		"/usr/bin/redis-server 127.0.0.1:6380":             {true, 6380},
		"/opt/bitnami/redis/bin/redis-server 0.0.0.0:6379": {true, 6379},
		"redis-server [::1]:7000 [cluster]":                {true, 7000},
		"valkey-server *:6379":                             {true, 6379},
		"redis-server /etc/redis.conf":                     {true, 0},
		"redis-server --port 6390 --save ":                 {true, 0},
		"redis-server unixsocket:/run/redis.sock":          {true, 0},
		"redis-server *:0":                                 {true, 0},
		"redis-server *:70000":                             {true, 0},
		"redis-server":                                     {true, 0},
		"redis-server *:26379 [sentinel]":                  {false, 26379},
		"redis-server /etc/sentinel.conf --sentinel":       {false, 0},
		"redis-sentinel *:26379 [sentinel]":                {false, 26379},
		"redis-rdb-bgsave *:6379":                          {false, 6379},
		"redis-aof-rewrite *:6379":                         {false, 6379},
		"sh -c redis-server":                               {false, 0},
		"/bin/sh /usr/local/bin/entrypoint redis-server":   {false, 0},
		"tini -- redis-server *:6379":                      {false, 0},
		"redis_exporter -redis.addr redis://redis:6379":    {false, 0},
		"redis-cli -h redis-server":                        {false, 0},
		"/usr/bin/redis-server-wrapper *:6379":             {false, 6379},
		"":                                                 {false, 0},
	} {
		if server, port := isServer(title), titlePort(title); server != want.server || port != want.port {
			t.Errorf("%q: %t %d, want %t %d", title, server, port, want.server, want.port)
		}
	}
}

func TestServerProcessIsTheOnlyOne(t *testing.T) {
	titles := []string{"PID", "PPID", "UID", "GID", "COMMAND"}
	const server = "redis-server *:6379"
	pick := func(rows ...[]string) (Process, error) { return serverProcess(titles, rows) }

	p, err := pick(
		[]string{"10", "1", "0", "0", "tini -- redis-server"},
		[]string{"11", "10", "999", "1000", server},
		[]string{"12", "11", "999", "1000", "redis-rdb-bgsave *:6379"},
		[]string{"13", "11", "999", "1000", server}, // just forked
		[]string{"odd"},
		[]string{"x", "11", "999", "1000", server},
	)
	if want := (Process{PID: 11, UID: 999, GID: 1000, Title: server, Port: 6379}); err != nil || p != want {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := pick([]string{"10", "1", "0", "0", "redis-server *:26379 [sentinel]"}); !errors.Is(err, ErrNoServer) {
		t.Errorf("sentinel only: %v", err)
	}
	if _, err := pick(); !errors.Is(err, ErrNoServer) {
		t.Errorf("nothing: %v", err)
	}
	several := (*AmbiguousError)(nil)
	_, err = pick([]string{"10", "1", "9", "9", "redis-server *:7001"}, []string{"11", "1", "9", "9", "redis-server *:7000"})
	if !errors.As(err, &several) || !slices.Equal(several.Matches, []string{"redis-server *:7000", "redis-server *:7001"}) {
		t.Errorf("two servers: %v", err)
	}
	if _, err := serverProcess([]string{"PID", "CMD"}, nil); err == nil || errors.Is(err, ErrNoServer) {
		t.Errorf("columns missing: %v", err)
	}
}

func TestImagesNamedForServers(t *testing.T) {
	for image, want := range map[string]bool{
		"redis": true, "redis:7.0": true, "docker.io/library/redis@sha256:00": true, "reg:5000/team/my-valkey:8": true, "bitnami/redis-cluster:7": true,
		"oliver006/redis_exporter": false, "redis/redisinsight:2": false, "rediscommander/redis-commander": false, "bitnami/redis-sentinel": false,
		"redis/app": false, "reg.example/redis/web:1": false, "nginx": false, "sha256:0123": false, "": false,
	} {
		if got := namesServer(image); got != want {
			t.Errorf("%q: %t", image, got)
		}
	}
}

func TestContainersArePickedByNameBeforeID(t *testing.T) {
	all := []Summary{
		{ID: "abcd000000000000", Name: "redis"},
		{ID: "abcd111111111111", Name: "cache"},
		{ID: "ffff222222222222", Name: "abcd"},
	}
	for name, want := range map[string]string{"redis": all[0].ID, "abcd": all[2].ID, "abcd1": all[1].ID, "ABCD0": all[0].ID, "ffff222222222222": all[2].ID} {
		if id, err := pick(all, name); err != nil || id != want {
			t.Errorf("%s: %s, %v", name, id, err)
		}
	}
	missing := (*NotFoundError)(nil)
	for _, name := range []string{"fff", "redi", "/redis", "", "dddd", "Redis"} {
		if id, err := pick(all, name); !errors.As(err, &missing) || missing.Kind != "container" || missing.Name != name {
			t.Errorf("%s: %s, %v", name, id, err)
		}
	}
	several := (*AmbiguousError)(nil)
	if _, err := pick(all[:2], "abcd"); !errors.As(err, &several) || !slices.Equal(several.Matches, []string{"redis", "cache"}) {
		t.Errorf("shared prefix: %v", err)
	}
	if got := ownName([]string{"/web/db", "/redis"}); got != "redis" {
		t.Errorf("name among links is %q", got)
	}
}

package docker

import (
	"errors"
	"net/http"
	"slices"
	"testing"
)

// running lists containers with their processes on a fake engine.
func running(f *fake, containers ...map[string]any) {
	var list []map[string]any
	for _, c := range containers {
		id := c["Id"].(string)
		entry := map[string]any{"Id": id, "Names": []string{"/" + id}, "State": "running", "Image": "app"}
		for k, v := range c {
			entry[k] = v
		}
		list = append(list, entry)
		top := answers(200, map[string]any{
			"Titles": []string{"PID", "PPID", "UID", "GID", "COMMAND"}, "Processes": [][]string{{"7", "1", "9", "9", c["runs"].(string)}},
		})
		if status, bad := c["top"].(int); bad {
			top = refuses(status, "no process list")
		}
		f.handle("GET /containers/"+id+"/top", top)
		f.handle("GET /containers/"+id+"/json", answers(200, map[string]any{"Id": id, "Name": "/" + id}))
	}
	f.handle("GET /containers/json", answers(200, list))
}

func TestFindRedisTakesTheOnlyServer(t *testing.T) {
	const server = "redis-server *:6379"
	c := func(id, runs string, more ...any) map[string]any {
		m := map[string]any{"Id": id, "runs": runs}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	ours := func(role string) map[string]string { return Owner{role, "repo", "run"}.labels() }
	others := []map[string]any{
		c("exporter", "redis_exporter", "Image", "oliver006/redis_exporter"),
		c("sentinel", "redis-server *:26379 [sentinel]", "Image", "redis:7"),
		c("verifier", server, "Labels", ours(RoleVerify)), c("helper", server, "Labels", ours(RoleHelper)),
		c("paused", server, "State", "paused"),
		c("gone", "", "top", http.StatusNotFound, "Image", "redis"),
		c("broken", "", "top", http.StatusInternalServerError),
	}
	for name, test := range map[string]struct {
		more []map[string]any
		want []string
	}{
		"none":                {nil, nil},
		"by process":          {[]map[string]any{c("cache", server)}, []string{"cache"}},
		"recovery":            {[]map[string]any{c("back", server, "Labels", ours(RoleRecovery))}, []string{"back"}},
		"by image alone":      {[]map[string]any{c("blind", "", "Image", "redis:7", "top", 500)}, []string{"blind"}},
		"image and no server": {[]map[string]any{c("cli", "redis-cli", "Image", "redis:7")}, nil},
		"several":             {[]map[string]any{c("z", server), c("a", "valkey-server *:6379")}, []string{"a", "z"}},
	} {
		f := newFake(t)
		running(f, slices.Concat(others, test.more)...)
		got, err := f.connect(t).FindRedis(t.Context())
		several := (*AmbiguousError)(nil)
		switch len(test.want) {
		case 0:
			if !errors.Is(err, ErrNoRedis) {
				t.Errorf("%s: %+v, %v", name, got.Name, err)
			}
		case 1:
			if err != nil || got.Name != test.want[0] {
				t.Errorf("%s: %+v, %v", name, got.Name, err)
			}
		default:
			if !errors.As(err, &several) || !slices.Equal(several.Matches, test.want) {
				t.Errorf("%s: %+v, %v", name, got.Name, err)
			}
		}
	}
	f := newFake(t)
	running(f, c("cache", server), c("closed", server, "top", http.StatusForbidden))
	denied := (*DeniedError)(nil)
	if _, err := f.connect(t).FindRedis(t.Context()); !errors.As(err, &denied) || denied.Endpoint != "GET /containers/closed/top" {
		t.Errorf("denied: %v", err)
	}
}

func TestUsersAreThoseThatMountTheVolume(t *testing.T) {
	f := newFake(t)
	mounts := func(kind, name string) []map[string]any { return []map[string]any{{"Type": kind, "Name": name}} }
	f.handle("GET /containers/json", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("all") != "1" || q.Get("filters") != `{"volume":{"v":true}}` {
			t.Errorf("asked with %v", q)
		}
		answers(200, []map[string]any{
			{"Id": "a", "State": "exited", "Mounts": mounts("volume", "v")},
			{"Id": "b", "State": "running", "Mounts": mounts("volume", "v2")},
			{"Id": "c", "State": "running", "Mounts": mounts("bind", "v")},
		})(w, r)
	})
	users, err := f.connect(t).UsersOf(t.Context(), "v")
	if err != nil || len(users) != 1 || users[0].ID != "a" || users[0].Running() {
		t.Errorf("users %+v, %v", users, err)
	}
}

func TestLeftoversAreOfDeadRunsOfThisRepository(t *testing.T) {
	dead := func(run string) bool { return run == "dead" }
	for owner, want := range map[Owner]bool{
		{RoleHelper, "repo", "dead"}: true, {RoleVerify, "repo", "dead"}: true,
		{RoleHelper, "repo", "live"}: false, {RoleHelper, "other", "dead"}: false, {RoleRecovery, "repo", "dead"}: false,
		{"", "repo", "dead"}: false, {RoleHelper, "repo", ""}: false,
	} {
		if _, got := leftover(owner.labels(), "repo", dead); got != want {
			t.Errorf("%+v: %t", owner, got)
		}
	}
}

package instance

import (
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/repo"
)

// FAULT 60: only what a killed restore has certainly laid down itself, and
// nobody could start from, is begun anew. All else is somebody's data.
func TestLeftoverOfAKilledRestore(t *testing.T) {
	const run = "00000000000000a1"
	owner := docker.Owner{Role: docker.RoleRecovery, Repo: "repo", Run: run}
	ours := docker.Volume{Name: "v", Labels: map[string]string{"redisbak.role": owner.Role, "redisbak.repo": owner.Repo, "redisbak.run": owner.Run}}
	set := &repo.RestoreRecord{Run: run, Volume: "v", Bootable: "redis/aof/a.manifest", Paths: []string{"redis/aof/a.1.base.rdb", "redis/aof/a.manifest"}}
	dump := &repo.RestoreRecord{Run: run, Volume: "v", Bootable: "dump.rdb", Paths: []string{"dump.rdb"}}
	for _, c := range []struct {
		name   string
		volume docker.Volume
		users  []docker.Summary
		held   []string
		record *repo.RestoreRecord
		why    string // "": it is begun anew; "-": nothing more is said
	}{
		{"nothing yet", ours, nil, nil, set, ""},
		{"directories", ours, nil, []string{"redis", "redis/aof"}, set, ""},
		{"all but the manifest", ours, nil, []string{"redis", "redis/aof", "redis/aof/a.1.base.rdb"}, set, ""},
		{"the manifest too", ours, nil, []string{"redis", "redis/aof", "redis/aof/a.1.base.rdb", "redis/aof/a.manifest"}, set, "redis/aof/a.manifest may be whole or not"},
		{"what a server made", ours, nil, []string{"redis", "redis/aof", "redis/aof/a.1.incr.aof"}, set, "did not lay down redis/aof/a.1.incr.aof"},
		{"another file", ours, nil, []string{"users.acl"}, set, "did not lay down users.acl"},
		{"another directory", ours, nil, []string{"redis2"}, set, "did not lay down redis2"},
		{"a dump", ours, nil, []string{"dump.rdb"}, dump, "dump.rdb may be whole or not"},
		{"a container refers to it", ours, []docker.Summary{{Name: "c"}}, nil, set, `container "c" refers to it`},
		{"no record", ours, nil, nil, nil, "-"},
		{"not our volume", docker.Volume{Name: "v"}, nil, nil, set, "-"},
		{"of another run", ours, nil, nil, &repo.RestoreRecord{Run: "00000000000000b2", Bootable: "x"}, "-"},
	} {
		yes, why := leftOver(c.volume, c.users, c.held, c.record)
		if yes != (c.why == "") || c.why != "-" && !strings.Contains(why, c.why) || c.why == "-" && why != "" {
			t.Errorf("%s: %v, %q", c.name, yes, why)
		}
	}
}

package instance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
)

// captured are snapshots of one server in each layout; its data lie in a
// directory of the volume.
func captured(own string) *snapshot.Manifest {
	file := func(path, name string) snapshot.File {
		return snapshot.File{Path: path, Name: name, UID: 999, GID: 1000, Mode: 0o600, Size: 7}
	}
	m := &snapshot.Manifest{
		Method: snapshot.MethodAOF, Server: snapshot.Server{Software: "redis", Version: "7.0.15"},
		Root: snapshot.Dir{UID: 999, GID: 1000, Mode: 0o755}, Dirs: []snapshot.Dir{{Path: "redis", UID: 999, GID: 1000, Mode: 0o750}},
	}
	switch own {
	case snapshot.LayoutRDB:
		m.Method, m.Files = snapshot.MethodRDB, []snapshot.File{file("redis/dump.rdb", "dump.rdb.gz")}
	case snapshot.LayoutAOFLegacy:
		m.Files = []snapshot.File{file("redis/appendonly.aof", "appendonly.aof.gz")}
	default:
		m.Dirs = append(m.Dirs, snapshot.Dir{Path: "redis/appendonlydir", UID: 999, GID: 1000, Mode: 0o711})
		for _, name := range []string{"a.3.base.rdb", "a.3.incr.aof", "a.4.incr.aof", "a.manifest"} {
			m.Files = append(m.Files, file("redis/appendonlydir/"+name, "appendonlydir/"+name+".gz"))
		}
	}
	return m
}

// One layout, and never a stale twin; what a server looks for first comes last.
func TestLay(t *testing.T) {
	same := names{dir: "redis", dbFilename: "dump.rdb", appendFilename: "appendonly.aof", appendDirname: "appendonlydir"}
	other := names{dir: "", dbFilename: "d", appendFilename: "b c", appendDirname: "dir"}
	for _, c := range []struct {
		own, layout string
		names       names
		want        string // path<stored name, or path=text; a blank between two
		dirs        string // path mode
	}{
		{"rdb", "rdb", same, "redis/dump.rdb<dump.rdb.gz", "redis 0750"},
		{"rdb", "rdb", other, "d<dump.rdb.gz", ""},
		{"rdb", "aof", same, "redis/appendonlydir/appendonly.aof.1.base.rdb<dump.rdb.gz redis/appendonlydir/appendonly.aof.manifest=file appendonly.aof.1.base.rdb seq 1 type b\n",
			"redis 0750 redis/appendonlydir 0700"},
		{"rdb", "aof", other, "dir/b c.1.base.rdb<dump.rdb.gz dir/b c.manifest=file \"b c.1.base.rdb\" seq 1 type b\n", "dir 0700"},
		{"rdb", "aof-legacy", same, "redis/appendonly.aof<dump.rdb.gz", "redis 0750"},
		{"aof-legacy", "aof-legacy", other, "b c<appendonly.aof.gz", ""},
		{"aof-legacy", "aof", same, "redis/appendonlydir/appendonly.aof<appendonly.aof.gz redis/appendonlydir/appendonly.aof.manifest=file appendonly.aof seq 1 type b\n",
			"redis 0750 redis/appendonlydir 0700"},
		{"aof-legacy", "rdb", same, "redis/dump.rdb<appendonly.aof.gz", "redis 0750"},
		{"aof", "aof", same, "redis/appendonlydir/a.3.base.rdb<appendonlydir/a.3.base.rdb.gz redis/appendonlydir/a.3.incr.aof<appendonlydir/a.3.incr.aof.gz " +
			"redis/appendonlydir/a.4.incr.aof<appendonlydir/a.4.incr.aof.gz redis/appendonlydir/appendonly.aof.manifest<appendonlydir/a.manifest.gz",
			"redis 0750 redis/appendonlydir 0711"},
		{"aof", "rdb", other, "d<appendonlydir/a.manifest.gz", ""}, // converted: the content comes from a server
	} {
		m := captured(c.own)
		l, err := c.names.lay(m, c.layout)
		if err != nil {
			t.Errorf("%s as %s: %v", c.own, c.layout, err)
			continue
		}
		var got, dirs []string
		for _, p := range l.pieces {
			if p.UID != 999 || p.GID != 1000 || p.Mode != 0o600 || p.Text != nil && (p.Size != int64(len(p.Text)) || len(p.SHA256) != 64) {
				t.Errorf("%s as %s: %+v", c.own, c.layout, p)
			}
			if p.Text != nil {
				got = append(got, p.Path+"="+string(p.Text))
			} else {
				got = append(got, p.Path+"<"+p.Name)
			}
		}
		for _, d := range l.dirs {
			if d.UID != 999 || d.GID != 1000 {
				t.Errorf("%s as %s: %+v", c.own, c.layout, d)
			}
			dirs = append(dirs, d.Path, fmt.Sprintf("%04o", d.Mode))
		}
		if strings.Join(got, " ") != c.want || strings.Join(dirs, " ") != c.dirs {
			t.Errorf("%s as %s:\n%q in %q, want\n%q in %q", c.own, c.layout, got, dirs, c.want, c.dirs)
		}
		if convert(m, c.layout) != (c.own != "rdb" && c.layout == "rdb") {
			t.Errorf("%s as %s: converted %v", c.own, c.layout, convert(m, c.layout))
		}
	}
	var parts *restore.PartsError
	if _, err := same.lay(captured("aof"), "aof-legacy"); !errors.As(err, &parts) {
		t.Errorf("several parts as one file: %v", err)
	}
}

func TestLayoutOfTheNextStart(t *testing.T) {
	on, off := snapshot.Options{AppendOnly: true}, snapshot.Options{}
	for _, c := range []struct {
		options           snapshot.Options
		software, version string
		want              string
	}{
		{off, "redis", "6.0.16", "rdb"}, {on, "redis", "6.0.16", "aof-legacy"}, {on, "redis", "6.2.14", "aof-legacy"},
		{on, "redis", "7.0.0", "aof"}, {on, "redis", "8.0.2", "aof"}, {on, "valkey", "8.1.1", "aof"}, {off, "valkey", "8.1.1", "rdb"},
	} {
		if got, _ := layoutOf(c.options, snapshot.Server{Software: c.software, Version: c.version}); got != c.want {
			t.Errorf("%s %s, appendonly %v: %s, want %s", c.software, c.version, c.options.AppendOnly, got, c.want)
		}
	}
	if !startsFrom("aof", "aof-legacy") || startsFrom("aof-legacy", "aof") || startsFrom("rdb", "aof") || startsFrom("aof", "rdb") {
		t.Error("a server takes one file for several parts, and nothing else for anything else")
	}
}

func TestStartOptions(t *testing.T) {
	n := names{dbFilename: "d", appendFilename: "a", appendDirname: "dir"}
	for layout, want := range map[string][]string{
		"rdb":        {"--dbfilename", "d", "--appendonly", "no"},
		"aof":        {"--dbfilename", "d", "--appendonly", "yes", "--appendfilename", "a", "--appenddirname", "dir"},
		"aof-legacy": {"--dbfilename", "d", "--appendonly", "yes", "--appendfilename", "a"}, // an unknown option ends a server before 7.0
	} {
		if got := n.startOptions(layout); !slices.Equal(got, want) {
			t.Errorf("%s: %q", layout, got)
		}
	}
}

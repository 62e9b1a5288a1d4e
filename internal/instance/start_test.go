package instance

import (
	"errors"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
)

// FAULT 55: an option is what the server takes it for, in whatever case and
// place it stands. To take yes for no is to restore into an empty server.
func TestAppendOnlyOfAConfiguration(t *testing.T) {
	files := map[string]string{"off.conf": "appendonly no\n", "on.conf": "AppendOnly YES\n", "nested.conf": "include on.conf\n"}
	for text, want := range map[string]bool{
		"appendonly yes\n":                           true,
		"appendonly YES\n":                           true,
		"AppendOnly Yes\n":                           true,
		"appendonly \"yes\"\n":                       true,
		"appendonly no\n":                            false,
		"appendonly yes\nappendonly no\n":            false,
		"include off.conf\nappendonly yes\n":         true,
		"appendonly yes\ninclude off.conf\n":         false,
		"include on.conf\n":                          true,
		"include on.conf off.conf\n":                 false,
		"appendonly no\ninclude nested.conf\nsave\n": true,
		"# appendonly yes\n":                         false,
	} {
		options := arguments{}
		var include func(file string) error
		include = func(file string) error { return parseConfig(files[file], options, include) }
		if err := parseConfig(text, options, include); err != nil {
			t.Fatal(err)
		}
		o, err := optionsOf("/data", options.first)
		if err != nil || o.AppendOnly != want {
			t.Errorf("%q: appendonly %v, %v", text, o.AppendOnly, err)
		}
	}
	broken := errors.New("no such file")
	if err := parseConfig("include a\nappendonly yes\n", arguments{}, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("an include that cannot be read: %v", err)
	}
}

// What a server looks for must lie on the volume that is restored.
func TestOnTheVolume(t *testing.T) {
	mount := func(name, at string) docker.Mount {
		return docker.Mount{Type: docker.MountVolume, Name: name, Destination: at}
	}
	c := docker.Container{Name: "c", Mounts: []docker.Mount{mount("old", "/data"), mount("new", "/data2"), mount("aof", "/data/sub/aof")}}
	for _, tt := range []struct {
		options snapshot.Options
		ok      bool
	}{
		{snapshot.Options{Dir: "/data"}, true},
		{snapshot.Options{Dir: "/data/sub"}, true},
		{snapshot.Options{Dir: "/data/sub", AppendOnly: true}, true},
		{snapshot.Options{Dir: "/data2"}, false},
		{snapshot.Options{Dir: "/data/sub/aof"}, false},
		{snapshot.Options{Dir: "/data/sub", AppendDirname: "aof"}, true},
		{snapshot.Options{Dir: "/data/sub", AppendDirname: "aof", AppendOnly: true}, false},
		{snapshot.Options{Dir: "/elsewhere"}, false},
	} {
		err := onTheVolume(c, "/data", tt.options)
		if unknown := (*restore.UnknownStartError)(nil); (err == nil) != tt.ok || err != nil && !errors.As(err, &unknown) {
			t.Errorf("%+v: %v", tt.options, err)
		}
		if err != nil && !strings.Contains(err.Error(), `container "c"`) {
			t.Errorf("%+v: %v does not name the container", tt.options, err)
		}
	}
}

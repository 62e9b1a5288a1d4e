package server

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The texts were printed by real servers: 6.0 with three databases, 7.0 with
// an append-only file in the midst of a save, 8.0 in cluster mode after it
// loaded a file with an expired key, Valkey as a replica of nowhere.
func TestParseInfo(t *testing.T) {
	tests := []struct {
		file string
		want Info
	}{
		{"redis-6.0.txt", Info{
			Software: "redis", Version: "6.0.16", Mode: "standalone", RunID: "@", ProcessID: 1, TCPPort: 6379,
			Role: Master, LastSaveTime: 1795319831, LastBGSaveStatus: "ok", LastCOW: 237568,
			AOFRewriteStatus: "ok", AOFWriteStatus: "ok",
			Keyspace: []Keys{{0, 3, 1}, {3, 1, 1}, {12, 1, 0}},
		}},
		{"redis-7.0-saving-aof.txt", Info{
			Software: "redis", Version: "7.0.15", Mode: "standalone", RunID: "@", ProcessID: 1, TCPPort: 6379,
			Role: Master, LastBGSaveStatus: "ok", BGSaveInProgress: true, RDBSaves: 1, HasRDBSaves: true, HasLoadedKeys: true,
			HasKeysProcessed: true, KeysTotal: 3001, ChangesSinceSave: 1,
			AOFEnabled: true, AOFRewriteStatus: "ok", AOFWriteStatus: "ok", AOFCurrentSize: 50,
			Keyspace: []Keys{{0, 3001, 0}},
		}},
		{"redis-8.0-cluster.txt", Info{
			Software: "redis", Version: "8.0.2", Mode: "cluster", RunID: "@", ProcessID: 1, TCPPort: 6379,
			Role: Master, ClusterEnabled: true, LastBGSaveStatus: "ok", HasRDBSaves: true, HasKeysProcessed: true,
			LoadedKeys: 1, ExpiredOnLoad: 1, HasLoadedKeys: true,
			AOFRewriteStatus: "ok", AOFWriteStatus: "ok",
			Modules:  []Module{{"vectorset", 1}},
			Keyspace: []Keys{{0, 1, 0}},
		}},
		{"valkey-8.1-replica.txt", Info{
			Software: "valkey", Version: "8.1.1", Mode: "standalone", RunID: "@", ProcessID: 1, TCPPort: 6379,
			Role: Replica, LastSaveTime: 1795319829, LastBGSaveStatus: "ok", HasRDBSaves: true, HasKeysProcessed: true,
			HasLoadedKeys: true, AOFRewriteStatus: "ok", AOFWriteStatus: "ok", MaxMemory: 100 << 20,
		}},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", test.file))
			if err != nil {
				t.Fatal(err)
			}
			got := parseInfo(string(text))
			if len(got.RunID) != 40 || got.UsedMemory == 0 || got.UsedMemoryRSS == 0 || got.LastSaveTime == 0 {
				t.Errorf("run id %q, memory %d, rss %d, last save %d", got.RunID, got.UsedMemory, got.UsedMemoryRSS, got.LastSaveTime)
			}
			// What differs from run to run is not compared.
			got.RunID, got.UsedMemory, got.UsedMemoryRSS, got.UsedMemoryDataset, got.Uptime = "@", 0, 0, 0, 0
			if got.HasKeysProcessed && got.BGSaveInProgress {
				if got.KeysProcessed == 0 || got.CurrentForkPerc == 0 {
					t.Errorf("no progress: %d keys, %v %%", got.KeysProcessed, got.CurrentForkPerc)
				}
				got.KeysProcessed, got.CurrentForkPerc = 0, 0
			}
			if test.want.LastSaveTime == 0 {
				got.LastSaveTime = 0
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestParseInfoOfOddTexts(t *testing.T) {
	tests := []struct {
		name, text string
		want       Info
	}{
		{"empty", "", Info{Software: "redis"}},
		{"unknown fields and sections", "# New\r\nnew_field:1\r\n\r\nno colon\r\ndb:keys=1\r\ndbx:keys=1\r\n:\r\n", Info{Software: "redis"}},
		{"newlines only", "redis_version:9.9.9\nrole:slave\n", Info{Software: "redis", Version: "9.9.9", Role: Replica}},
		{"value with colons", "config_file:/a:b.conf\r\n", Info{Software: "redis", ConfigFile: "/a:b.conf"}},
		{"memory below zero", "used_memory_dataset:18446744073709525880\r\n", Info{Software: "redis"}},
		{"databases out of order", "db10:keys=1,expires=0\r\ndb2:keys=5,expires=3,avg_ttl=1,subexpiry=2\r\n",
			Info{Software: "redis", Keyspace: []Keys{{2, 5, 3}, {10, 1, 0}}}},
		{"modules", "module:name=bf,ver=80001,api=1,filters=0,usedby=[search],using=[],options=[a|b]\r\nmodule:name=ReJSON,ver=20808\r\n",
			Info{Software: "redis", Modules: []Module{{"bf", 80001}, {"ReJSON", 20808}}}},
		{"link of a replica", "role:slave\r\nmaster_link_status:up\r\nmaster_sync_in_progress:1\r\n",
			Info{Software: "redis", Role: Replica, MasterLinkUp: true, MasterSyncInProgress: true}},
		{"children", "module_fork_in_progress:1\r\naof_rewrite_in_progress:1\r\naof_rewrite_scheduled:1\r\nasync_loading:1\r\n",
			Info{Software: "redis", ModuleFork: true, AOFRewriteInProgress: true, AOFRewriteScheduled: true, AsyncLoading: true}},
		{"mode of a newer valkey", "server_mode:cluster\r\nvalkey_version:9.1.2\r\nredis_version:7.2.4\r\n",
			Info{Software: "valkey", Version: "9.1.2", Mode: "cluster"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := parseInfo(test.text); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// An answer that is not INFO's must not pass for a server without data.
func TestInfoOfSomethingElse(t *testing.T) {
	for _, raw := range []string{bulk("hello"), ":1\r\n", "$-1\r\n", "*0\r\n", bulk("redis_version:7.0.0\r\n")} {
		f := answering(t, "")
		f.onOther = func(args []string) string {
			if args[0] == "INFO" {
				return raw
			}
			return ""
		}
		if i, err := f.connect().Info(t.Context()); err == nil {
			t.Errorf("%q: %+v", raw, i)
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		i := parseInfo(text)
		for n := 1; n < len(i.Keyspace); n++ {
			if i.Keyspace[n-1].DB > i.Keyspace[n].DB {
				t.Error("databases out of order")
			}
		}
		if i.Version != "" && !strings.Contains(text, i.Version) {
			t.Errorf("version %q is made up", i.Version)
		}
	})
}

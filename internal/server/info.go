package server

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// Roles of a server.
const (
	Master  = "master"
	Replica = "replica"
)

// Keys counts the keys of one database.
type Keys struct {
	DB      int
	Keys    int64
	Expires int64 // those of them that have a time to live
}

// Module is a module that is loaded in the server.
type Module struct {
	Name    string
	Version int64
}

// Info is what INFO tells. A field that the server does not know is zero; where
// zero is an answer too, a Has… field tells them apart.
type Info struct {
	Software   string // "redis" or "valkey"
	Version    string // of the software
	Mode       string // "standalone", "cluster" or "sentinel"
	RunID      string
	ProcessID  int
	TCPPort    int
	ConfigFile string // empty: started with arguments only
	Uptime     int64  // seconds

	Role                 string // Master or Replica
	MasterLinkUp         bool
	MasterSyncInProgress bool
	ConnectedReplicas    int
	ClusterEnabled       bool

	Loading              bool
	LoadedBytes          int64 // of the files that it loads; zero when it does not
	LoadTotal            int64 // bytes
	AsyncLoading         bool
	LoadedKeys           int64 // by the last load of an RDB
	ExpiredOnLoad        int64 // keys that the last load dropped as expired
	HasLoadedKeys        bool
	BGSaveInProgress     bool // also true for a diskless full sync of a replica
	LastSaveTime         int64
	LastBGSaveStatus     string // "ok" or "err"
	RDBSaves             int64  // saves begun, not saves done
	HasRDBSaves          bool
	ModuleFork           bool
	CurrentForkPerc      float64
	KeysProcessed        int64 // by the child that runs now
	KeysTotal            int64
	HasKeysProcessed     bool
	LastCOW              int64 // bytes copied on write during the last save
	ChangesSinceSave     int64
	AOFEnabled           bool
	AOFRewriteInProgress bool
	AOFRewriteScheduled  bool
	AOFRewriteStatus     string // "ok" or "err"
	AOFWriteStatus       string // "ok" or "err"
	AOFCurrentSize       int64
	AOFBaseSize          int64
	AOFBufferLength      int64
	UsedMemory           int64
	UsedMemoryRSS        int64
	UsedMemoryDataset    int64
	MaxMemory            int64
	EvictedKeys          int64
	Modules              []Module
	Keyspace             []Keys // one row per database that has keys, ascending
}

// OtherChild names the child process that keeps the server from forking, or is
// empty.
func (i Info) OtherChild() string {
	switch {
	case i.BGSaveInProgress:
		return "save"
	case i.AOFRewriteInProgress:
		return "AOF rewrite"
	case i.ModuleFork:
		return "module's fork"
	}
	return ""
}

// Info asks the server.
func (s *Server) Info(ctx context.Context) (Info, error) {
	replies, err := s.read(ctx, command("INFO"))
	if err != nil {
		return Info{}, err
	}
	return replies[0].info()
}

func (r reply) info() (Info, error) {
	text, err := r.text()
	if err != nil {
		return Info{}, err
	}
	i := parseInfo(text)
	if i.Version == "" || i.RunID == "" {
		return Info{}, ErrNotRedis
	}
	return i, nil
}

// parseInfo reads an answer to INFO. Unknown fields are ignored.
func parseInfo(text string) Info {
	f := fields{}
	var i Info
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		switch {
		case !ok || strings.HasPrefix(name, "#"):
		case name == "module":
			i.Modules = append(i.Modules, parseModule(value))
		case isDatabase(name):
			i.Keyspace = append(i.Keyspace, parseKeys(name, value))
		default:
			f[name] = value
		}
	}
	slices.SortFunc(i.Keyspace, func(a, b Keys) int { return a.DB - b.DB })
	f.server(&i)
	f.persistence(&i)
	f.rest(&i)
	return i
}

type fields map[string]string

func (f fields) has(name string) bool { _, ok := f[name]; return ok }
func (f fields) flag(name string) bool {
	return f.number(name) != 0
}

// number is zero where there is none, and where Redis has subtracted more than
// there was: it then prints a number beyond all bounds.
func (f fields) number(name string) int64 {
	n, err := strconv.ParseInt(f[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (f fields) server(i *Info) {
	// Valkey says redis_version:7.2.4 whatever it is.
	i.Software, i.Version = "redis", f["redis_version"]
	if v := f["valkey_version"]; v != "" {
		i.Software, i.Version = "valkey", v
	}
	i.Mode = f["redis_mode"]
	if i.Mode == "" {
		i.Mode = f["server_mode"]
	}
	i.RunID = f["run_id"]
	i.ProcessID = int(f.number("process_id"))
	i.TCPPort = int(f.number("tcp_port"))
	i.ConfigFile = f["config_file"]
	i.Uptime = f.number("uptime_in_seconds")

	switch f["role"] {
	case "master":
		i.Role = Master
	case "slave", "replica":
		i.Role = Replica
	}
	i.MasterLinkUp = f["master_link_status"] == "up"
	i.MasterSyncInProgress = f.flag("master_sync_in_progress")
	i.ConnectedReplicas = int(f.number("connected_slaves"))
	i.ClusterEnabled = f.flag("cluster_enabled")
}

func (f fields) persistence(i *Info) {
	i.Loading = f.flag("loading")
	i.LoadedBytes = f.number("loading_loaded_bytes")
	i.LoadTotal = f.number("loading_total_bytes")
	i.AsyncLoading = f.flag("async_loading")
	i.LoadedKeys = f.number("rdb_last_load_keys_loaded")
	i.ExpiredOnLoad = f.number("rdb_last_load_keys_expired")
	i.HasLoadedKeys = f.has("rdb_last_load_keys_loaded")
	i.BGSaveInProgress = f.flag("rdb_bgsave_in_progress")
	i.LastSaveTime = f.number("rdb_last_save_time")
	i.LastBGSaveStatus = f["rdb_last_bgsave_status"]
	i.RDBSaves = f.number("rdb_saves")
	i.HasRDBSaves = f.has("rdb_saves")
	i.ModuleFork = f.flag("module_fork_in_progress")
	i.CurrentForkPerc, _ = strconv.ParseFloat(f["current_fork_perc"], 64)
	i.KeysProcessed = f.number("current_save_keys_processed")
	i.KeysTotal = f.number("current_save_keys_total")
	i.HasKeysProcessed = f.has("current_save_keys_processed")
	i.LastCOW = f.number("rdb_last_cow_size")
	i.ChangesSinceSave = f.number("rdb_changes_since_last_save")
	i.AOFEnabled = f.flag("aof_enabled")
	i.AOFRewriteInProgress = f.flag("aof_rewrite_in_progress")
	i.AOFRewriteScheduled = f.flag("aof_rewrite_scheduled")
	i.AOFRewriteStatus = f["aof_last_bgrewrite_status"]
	i.AOFWriteStatus = f["aof_last_write_status"]
	i.AOFCurrentSize = f.number("aof_current_size")
	i.AOFBaseSize = f.number("aof_base_size")
	i.AOFBufferLength = f.number("aof_buffer_length")
}

func (f fields) rest(i *Info) {
	i.UsedMemory = f.number("used_memory")
	i.UsedMemoryRSS = f.number("used_memory_rss")
	i.UsedMemoryDataset = f.number("used_memory_dataset")
	i.MaxMemory = f.number("maxmemory")
	i.EvictedKeys = f.number("evicted_keys")
}

// isDatabase is for "db0", "db1", …
func isDatabase(name string) bool {
	digits, ok := strings.CutPrefix(name, "db")
	if !ok {
		return false
	}
	_, err := strconv.ParseUint(digits, 10, 31)
	return err == nil
}

// parseKeys reads "db0:keys=3,expires=1,avg_ttl=0".
func parseKeys(name, value string) Keys {
	db, _ := strconv.Atoi(strings.TrimPrefix(name, "db"))
	f := pairs(value)
	return Keys{DB: db, Keys: f.number("keys"), Expires: f.number("expires")}
}

// parseModule reads "module:name=bf,ver=80001,api=1,…".
func parseModule(value string) Module {
	f := pairs(value)
	return Module{Name: f["name"], Version: f.number("ver")}
}

func pairs(value string) fields {
	f := fields{}
	for pair := range strings.SplitSeq(value, ",") {
		if name, v, ok := strings.Cut(pair, "="); ok {
			f[name] = v
		}
	}
	return f
}

package snapshot

import (
	"strings"
	"time"
)

// Version is the format that this package writes, and the newest one it
// reads. FORMAT.md describes it byte by byte.
const Version = 1

// Manifest says what a snapshot holds, where it came from and which instant it
// shows. It is written once, at the commit, and never changed.
//
// It never holds a secret and never a raw command line.
type Manifest struct {
	Format int `json:"format"`
	// Requires names features without which this snapshot cannot be read
	// rightly. A reader that does not know one of them refuses the snapshot.
	Requires []string `json:"requires,omitempty"`

	ID          ID        `json:"id"`
	Source      Source    `json:"source"`
	Server      Server    `json:"server"`
	Method      string    `json:"method"` // MethodRDB or MethodAOF
	StartedAt   time.Time `json:"started_at"`
	FinishedAt  time.Time `json:"finished_at"`
	PointInTime time.Time `json:"point_in_time"` // the fork (rdb) or the cut (aof), by the server's clock

	Root Dir   `json:"root"`           // the volume's own root directory
	Dirs []Dir `json:"dirs,omitempty"` // directories below it that hold files, outermost first
	// Files are the payload. The one without which a server would not see the
	// others comes last.
	Files []File `json:"files"`

	// Keyspace has one row per non-empty database, in ascending order; nil
	// (null) means that the keys could not be counted.
	Keyspace []Keys `json:"keyspace"`

	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // why it is suspect
}

// Capture methods.
const (
	MethodRDB = "rdb" // the dump of a save
	MethodAOF = "aof" // the append-only file, or the files of a multi-part one
)

// Layouts: the form in which data lie in a volume, and so what a server must
// start from. A snapshot has its own, and can be laid down in others.
const (
	LayoutRDB       = "rdb"        // a dump, for a server that starts with appendonly no
	LayoutAOF       = "aof"        // a multi-part AOF: a directory with a manifest (7.0 and later)
	LayoutAOFLegacy = "aof-legacy" // an AOF in one file
)

// KnownLayout says whether a layout is one of these.
func KnownLayout(layout string) bool {
	return layout == LayoutRDB || layout == LayoutAOF || layout == LayoutAOFLegacy
}

// Layout is the one in which the data were captured.
func (m *Manifest) Layout() string {
	switch {
	case m.Method == MethodRDB:
		return LayoutRDB
	case len(m.Files) == 1 && strings.HasPrefix(m.Files[0].Name, AOFName):
		return LayoutAOFLegacy
	}
	return LayoutAOF
}

// State is the judgement at the time of the capture.
type State string

// The states that a manifest may hold.
const (
	Good    State = "good"
	Suspect State = "suspect"
)

// Source says where the data came from.
type Source struct {
	Name        string  `json:"name"` // of the source in the repository
	Container   string  `json:"container"`
	ContainerID string  `json:"container_id"`
	Image       string  `json:"image"`    // as the container was created from
	ImageID     string  `json:"image_id"` // sha256:…
	Mount       Mount   `json:"mount"`
	Options     Options `json:"options"`
}

// Mount types.
const (
	MountVolume = "volume"
	MountBind   = "bind"
)

// Mount is the one mount that holds the server's data directory.
type Mount struct {
	Type        string `json:"type"`           // MountVolume or MountBind
	Name        string `json:"name,omitempty"` // of a volume
	Path        string `json:"path,omitempty"` // of a bind mount, on the engine's host
	Destination string `json:"destination"`    // absolute, in the container
}

// Options are the server's start options that decide what it will load. No
// other option is ever recorded.
type Options struct {
	Dir            string `json:"dir"` // absolute, in the container
	DBFilename     string `json:"dbfilename"`
	AppendOnly     bool   `json:"appendonly"`
	AppendFilename string `json:"appendfilename,omitempty"`
	AppendDirname  string `json:"appenddirname,omitempty"`
	Databases      int    `json:"databases"`
	// Live: how the server will start could not be read; these are the options
	// that it ran with, which may have been switched at run time.
	Live bool `json:"live,omitempty"`
}

// Server is what the captured server said of itself.
type Server struct {
	Software        string   `json:"software"` // "redis" or "valkey"
	Version         string   `json:"version"`
	Role            string   `json:"role"` // "master" or "replica"
	RunID           string   `json:"run_id"`
	RDBMagic        string   `json:"rdb_magic,omitempty"` // "REDIS" or "VALKEY", of the captured file
	RDBVersion      int      `json:"rdb_version,omitempty"`
	UsedMemoryBytes int64    `json:"used_memory_bytes"`
	ClusterEnabled  bool     `json:"cluster_enabled,omitempty"`
	Replicas        int      `json:"replicas,omitempty"` // connected to it
	Modules         []Module `json:"modules,omitempty"`
}

// Module is a module that was loaded in the server.
type Module struct {
	Name    string `json:"name"`
	Version int64  `json:"version"`
}

// Dir is a directory's owner and mode. Path is relative to the volume's root,
// slash-separated, and empty for the root itself.
type Dir struct {
	Path string `json:"path,omitempty"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Mode Mode   `json:"mode"`
}

// File is one file of the payload.
type File struct {
	Path         string      `json:"path"`        // in the volume, relative to its root, slash-separated
	Name         string      `json:"name"`        // in the snapshot's directory, slash-separated
	Compression  Compression `json:"compression"` // of Name
	Size         int64       `json:"size"`        // of Path, bytes
	SHA256       string      `json:"sha256"`      // of Path's bytes, lower-case hex
	StoredSize   int64       `json:"stored_size"` // of Name, bytes
	StoredSHA256 string      `json:"stored_sha256"`
	UID          int         `json:"uid"`
	GID          int         `json:"gid"`
	Mode         Mode        `json:"mode"`
}

// Mode is a file's permission bits, written as four octal digits ("0600").
type Mode uint32

// Compression is how a payload file is stored.
type Compression string

// The compressions of format 1.
const (
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
	None Compression = "none"
)

// Keys counts the keys of one database.
type Keys struct {
	DB      int   `json:"db"`
	Keys    int64 `json:"keys"`
	Expires int64 `json:"expires"` // those of them that have a time to live
}

// Proof is what a boot of the snapshot showed, the latest one.
type Proof struct {
	ID         ID            `json:"id"`
	Result     Result        `json:"result"`
	Reason     string        `json:"reason,omitempty"` // why not passed
	At         time.Time     `json:"at"`               // the end of the verification
	Layout     string        `json:"layout"`           // what was booted
	ImageID    string        `json:"image_id"`
	Server     string        `json:"server"`   // software and version that was booted, "redis 7.0.15"
	Keyspace   []Keys        `json:"keyspace"` // counted in the booted server
	Digest     string        `json:"digest,omitempty"`
	Fill       time.Duration `json:"fill_ns"` // payload to scratch volume
	Load       time.Duration `json:"load_ns"` // start of the container to data served
	Total      time.Duration `json:"total_ns"`
	ManifestID string        `json:"manifest_sha256"` // of the manifest.json that was verified
}

// Result of a verification.
type Result string

// Passed and Failed are verdicts on the snapshot. Inconclusive is none: the
// boot could not be carried out, which says nothing about the data.
const (
	Passed       Result = "passed"
	Failed       Result = "failed"
	Inconclusive Result = "inconclusive"
)

// Marks are what users say about a snapshot after it was committed.
type Marks struct {
	ID       ID       `json:"id"`
	Pinned   bool     `json:"pinned"`
	Accepted bool     `json:"accepted"`
	Tags     []string `json:"tags,omitempty"`
}

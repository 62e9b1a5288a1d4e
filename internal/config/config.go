package config

import (
	"slices"
	"time"

	"github.com/redisbak/redisbak/retention"
	"github.com/redisbak/redisbak/snapshot"
)

// Auto stands for a duration that follows from others: the jitter and the age
// from which on a source is overdue follow from the schedule.
const Auto time.Duration = -1

// Config is all that the daemon is told.
type Config struct {
	Repository  string // "": the default of --repo
	Listen      string // HOST:PORT, or "": nothing is served
	Timezone    string // "": TZ, else the host's
	Discover    bool   // follow containers with the label redisbak.enable=true
	Concurrency int    // how many runs at once
	Log         Log
	Status      Status
	Notify      Notify
	Defaults    Settings
	Sources     []Source // those of the file, with the defaults applied
}

// Log is how the daemon talks.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // text, json
}

// Status is who may see the page; with an empty User, whoever reaches it.
type Status struct {
	User     string
	Password Secret
	Hosts    []string // names by which it may be asked for, beside its address and localhost
}

// Notify is whom to tell, and of what.
type Notify struct {
	URLs Secret  // one on a line; not set: nobody is told
	On   []Event // what is told
}

// Event is what may be told.
type Event string

// The events.
const (
	Failure   Event = "failure"
	Overdue   Event = "overdue"
	Recovered Event = "recovered"
	Success   Event = "success"
)

// Tells says whether an event is to be told.
func (n Notify) Tells(e Event) bool { return n.URLs.Set() && slices.Contains(n.On, e) }

// Source is one Redis that is backed up: one of the file or of a label.
type Source struct {
	Name      string // in the repository
	Container string // its name or id
	Address   string // HOST:PORT, or "": through the container
	Settings
	Ping Secret // URL of a dead man's switch: start, success and fail are told to it
}

// Settings are what the defaults and the sources share.
type Settings struct {
	Schedule     string        // its text, checked
	Jitter       time.Duration // at most so much later; or Auto
	OverdueAfter time.Duration // how old the last success may be; or Auto

	Method      string // auto, rdb, aof, "rdb,aof" or "aof,rdb"
	NoRewrite   bool
	Compression snapshot.Compression
	Tags        []string
	Timeout     time.Duration // of one run; 0: none
	LockWait    time.Duration

	Verify    Verify
	Drill     time.Duration    // how often an older snapshot is verified; 0: never
	Retention retention.Policy // empty: nothing is pruned

	Username string
	Password Secret
	TLS      TLS
}

// Verify says which snapshots are verified: 0 none, 1 each one, n each n-th.
type Verify int

// TLS is how the server is spoken to.
type TLS struct {
	On         bool
	CA         string // paths
	Cert       string
	Key        string
	ServerName string
	Insecure   bool
}

// builtin is what holds where nothing is said.
func builtin() *Config {
	return &Config{
		Listen:      "127.0.0.1:9467",
		Discover:    true,
		Concurrency: 2,
		Log:         Log{Level: "info", Format: "text"},
		Notify:      Notify{On: []Event{Failure, Overdue, Recovered}},
		Defaults: Settings{
			Schedule: "15 3 * * *", Jitter: Auto, OverdueAfter: Auto,
			Method: "auto", Compression: snapshot.Gzip, Verify: 1,
		},
	}
}

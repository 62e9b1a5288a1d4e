// Package redisbak is the root of redisbak, which copies a Redis server that
// keeps its data in a Docker volume into a repository of snapshots, proves each
// snapshot by booting it, and puts any of them back with one command.
//
// There is no code here, only the map of the house and, in imports_test.go, the
// test that holds everybody to it. docs/DESIGN.md says why it is built so.
//
// # The nouns
//
//	Instance   one Redis server in one container on one volume or bind mount
//	Snapshot   one immutable copy of its data, at one point in time
//	Repo       a directory of snapshots, with its locks
//	Draft      a snapshot being written; it is real only after its commit
//	Plan       what a restore will do, printable before anything changes
//	Proof      what a boot of a snapshot showed
//	Policy     which snapshots are to stay
//	Decision   that one stays or goes, and why
//	Spec       when something is to run
//	Job        what is to run, and when
//
// # The verbs
//
// Each means one thing, in the code, the commands and the documents: capture
// (out of Redis), commit (into the repository), stage, swap, undo, prune (delete
// by policy), check (re-read bytes), verify (boot).
//
// # The rooms
//
//	cmd/redisbak         the command line: one file a command, one table of errors
//	backup               use case: Instance -> Draft -> commit; says when it is suspect
//	restore              use case: make a Plan, carry it out
//	verify               use case: boot a throw-away copy, question it, write the Proof
//	daemon               use case: sources with their schedules, for as long as it runs
//	retention            pure arithmetic: Policy and snapshots -> Decisions
//	schedule             cron expressions -> times -> runs of jobs, and what was missed
//	snapshot             the format on disk, specified in snapshot/FORMAT.md
//	internal/config      what the daemon's file, environment and labels say
//	internal/notify      messages to people, and a dead man's switch
//	internal/repo        snapshots at rest: layout, locks, draft to commit, list, check
//	internal/instance    joins the four below; what the use cases ask for
//	internal/docker      containers, volumes, copies in and out, guarded templates
//	internal/server      a live Redis or Valkey: INFO, CONFIG, a save of one's own
//	internal/rdb         the bytes of an RDB file: structure and checksum
//	internal/aof         the bytes of append-only files: manifest and commands
//	internal/status      what the daemon knows: metrics, health checks, a page
//	internal/enginetest  for tests only: real servers, data of every kind, comparison
//	internal/repotest    for tests only: a repository without a server and an engine
//
// # The arrows
//
// Imports point down the house and never back:
//
//	cmd/redisbak
//	  |-- backup, verify, restore ------> internal/repo -> snapshot
//	  |-- internal/config --------------> retention, snapshot
//	  `-- internal/instance ------------> internal/docker, internal/server,
//	                                      internal/rdb, internal/aof
//	retention ------------------------> snapshot
//	daemon ---------------------------> schedule, which knows nobody
//	internal/status                     knows none of them: it is given values
//
// The use cases import no technology. They declare the few methods that they
// need of it; internal/instance knows the use cases and has these methods, by
// joining docker, server, rdb and aof, which do not know each other. Each
// library has one owner: Docker's client belongs to internal/docker, the Redis
// client to internal/server, compression to snapshot, cron expressions to
// schedule, YAML to internal/config, messages to internal/notify, metrics to
// internal/status, the command line to cmd/redisbak; no type of theirs crosses
// the owner's border, so that a change of library is a change in one package.
package redisbak

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/backup"
	"github.com/redisbak/redisbak/internal/aof"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/instance"
	"github.com/redisbak/redisbak/internal/rdb"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/retention"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

// spoken is what stderr shows of an error.
type spoken struct {
	err   error
	code  int
	lines string
}

// everyError has one of each error that the packages can return, by its name
// there, and what a user reads then.
func everyError() map[string]spoken {
	id := snapshot.ID("20260208T031502Z-7k3f")
	entry := repo.Entry{Manifest: &snapshot.Manifest{ID: id, PointInTime: time.Date(2026, 2, 8, 3, 15, 2, 0, time.UTC), State: snapshot.Good}}
	return map[string]spoken{
		"backup.ErrAfterCommit": {fmt.Errorf("%w: marks of %s: %w", backup.ErrAfterCommit, id, fs.ErrClosed), 1,
			"error: snapshot committed, then: marks of 20260208T031502Z-7k3f: file already closed\nhint: the snapshot is there: redisbak list\n"},
		"backup.RefusedError": {&backup.RefusedError{Source: "sessions", Reasons: []string{"one", "two"}}, 1,
			"error: source \"sessions\": no save asked for: one; two\nhint: mend that; --force asks for the save all the same, and a save that fails can stop the server's writes (MISCONF)\n"},

		"docker.AmbiguousError": {&docker.AmbiguousError{Kind: "container", Name: "ab12", Matches: []string{"a", "b"}}, 2,
			"error: several containers match ab12: a, b\nhint: give its name, or more of its id\n"},
		"docker.DeniedError": {&docker.DeniedError{Endpoint: "POST /containers/create", Err: errors.New("Forbidden")}, 15,
			"error: docker denied POST /containers/create: Forbidden\nhint: let the proxy before the engine pass this call\n"},
		"docker.ErrNoRedis":     {docker.ErrNoRedis, 1, "error: no running container runs redis or valkey\nhint: name the container: redisbak snapshot CONTAINER\n"},
		"docker.ErrNoServer":    {fmt.Errorf("container c: %w", docker.ErrNoServer), 1, "error: container c: no redis-server or valkey-server process\nhint: name the container that runs Redis or Valkey\n"},
		"docker.ErrNoTunnel":    {docker.ErrNoTunnel, 14, "error: no shell with bash or nc in the container\nhint: give its address: --address HOST:PORT\n"},
		"docker.ErrNotDir":      {fmt.Errorf("/data: %w", docker.ErrNotDir), 1, "error: /data: not a directory\nhint: redisbak copies plain files only: let the server keep its dump as one, without a link\n"},
		"docker.ErrNotRegular":  {fmt.Errorf("/data/dump.rdb: %w", docker.ErrNotRegular), 1, "error: /data/dump.rdb: not a regular file\nhint: redisbak copies plain files only: let the server keep its dump as one, without a link\n"},
		"docker.ErrRefused":     {docker.ErrRefused, 14, "error: connection refused inside the container\nhint: is the server up? redisbak can be told where it is: --address HOST:PORT\n"},
		"docker.ErrShortStream": {docker.ErrShortStream, 1, "error: stream from docker ended early\nhint: run it again; the engine's log may tell why the stream broke off\n"},
		"docker.ExistsError": {&docker.ExistsError{Kind: "container", Name: "copy"}, 1,
			"error: container copy exists already\nhint: give the new container another name: --name\n"},
		"docker.GuardError": {&docker.GuardError{Reason: "no mount"}, 1,
			"error: refused to ask docker: no mount\nhint: this is a fault of redisbak's own: please report it; nothing was sent\n"},
		"docker.HostError": {&docker.HostError{Name: "fd://", Reason: "no"}, 15,
			"error: docker host \"fd://\": no\nhint: set DOCKER_HOST to a unix, tcp or ssh address, or choose another docker context\n"},
		"docker.IdleError": {&docker.IdleError{What: "copy", After: time.Minute}, 15,
			"error: copy: no progress for 1m0s\nhint: look at the engine's log and at its disk, and run it again\n"},
		"docker.NotFoundError": {&docker.NotFoundError{Kind: "volume", Name: "data"}, 1,
			"error: no such volume: data\nhint: docker volume ls lists the volumes; none was created\n"},
		"docker.PublishError": {&docker.PublishError{Spec: "x", Err: errors.New("no")}, 2,
			"error: publish \"x\": no\nhint: publish a port like 6380:6379 or 127.0.0.1:6380:6379\n"},
		"docker.UnreachableError": {&docker.UnreachableError{Host: "unix:///x", Err: fs.ErrPermission}, 15,
			"error: docker at unix:///x: permission denied\nhint: is Docker running, and may this user talk to it? DOCKER_HOST names another engine\n"},
		"docker.VersionError": {&docker.VersionError{Host: "h", API: "1.40"}, 15,
			"error: docker at h: API 1.40 is older than 1.41\nhint: redisbak needs Docker Engine 20.10 or later\n"},

		"instance.ChangedError": {&instance.ChangedError{What: "container \"c\" was stopped"}, 1,
			"error: container \"c\" was stopped during the capture\nhint: run it again; nothing was committed\n"},
		"instance.CountsError": {&instance.CountsError{Server: "db0: 2", File: "db0: 1"}, 1,
			"error: the dump holds other keys than the server had at the fork: db0: 2 at the server, db0: 1 in the file\nhint: run it again while nobody flushes or reloads the data\n"},
		"instance.DataError": {&instance.DataError{Container: "c", Reason: "no volume"}, 1,
			"error: container \"c\": no volume\nhint: keep the server's data directory on a Docker volume or a bind mount\n"},
		"instance.LoadingError": {&instance.LoadingError{Container: "c"}, 1,
			"error: container \"c\": its server is still loading its data\nhint: wait until it has loaded its data, and run it again\n"},
		"instance.NoServerError": {&instance.NoServerError{Container: "c", Image: "busybox"}, 1,
			"error: container \"c\" (image busybox) runs no Redis or Valkey server\nhint: name the container that runs Redis or Valkey\n"},
		"instance.NotRunningError": {&instance.NotRunningError{Container: "c", State: "paused"}, 14,
			"error: container \"c\" is not running: it is paused\nhint: let it go on: docker unpause c\n"},
		"instance.StagedError": {&instance.StagedError{Volume: "v", Path: "dump.rdb", What: "its SHA-256"}, 1,
			"error: volume \"v\": dump.rdb was laid down and reads back differently: its SHA-256\nhint: look at the disk of the engine's host, and run it again\n"},
		"instance.StartError": {&instance.StartError{Container: "c", Reason: "it is exited"}, 1,
			"error: container \"c\": it is exited\nhint: docker logs c tells why\n"},
		"instance.UnreachableError": {&instance.UnreachableError{Container: "c", Tried: []error{errors.New("by x: no")}}, 14,
			"error: container \"c\": its server cannot be reached; by x: no\nhint: give its address: --address HOST:PORT\n"},
		"instance.WrongVolumeError": {&instance.WrongVolumeError{Container: "c", Detail: "old"}, 1,
			"error: container \"c\": the server reached is not the one on this volume: old\nhint: name the container of the server that you mean, or its own --address\n"},

		"rdb.FormatError": {&rdb.FormatError{Offset: 7, Reason: "torn"}, 1,
			"error: " + (&rdb.FormatError{Offset: 7, Reason: "torn"}).Error() + "\nhint: run it again; if it happens again, look at the server's disk and log\n"},

		"repo.AmbiguousError": {&repo.AmbiguousError{Prefix: "2", IDs: []string{"2a", "2b"}}, 2, "error: 2 snapshots begin with 2: 2a, 2b\nhint: give more of the id\n"},
		"repo.ConflictError": {&repo.ConflictError{ID: id, Source: "s", Dir: "/r"}, 13,
			"error: /r holds another snapshot 20260208T031502Z-7k3f of s\nhint: look at both: redisbak show ID; what is there was left as it is\n"},
		"repo.DamagedError": {&repo.DamagedError{Problem: repo.Problem{ID: "2a", File: "dump.rdb.gz", Problem: "missing"}}, 13,
			"error: snapshot 2a: dump.rdb.gz: missing\nhint: choose another snapshot (redisbak list); redisbak check names all that is wrong\n"},
		"repo.ErrExists":       {fmt.Errorf("repository /r: %w", repo.ErrExists), 1, "error: repository /r: exists already\nhint: use it as it is; nothing was changed\n"},
		"repo.ErrLockLost":     {repo.ErrLockLost, 11, "error: the lock is no longer ours\nhint: another host writes to this repository: give each host its own --source, or its own repository\n"},
		"repo.ErrLocked":       {&repo.LockedError{Source: "s", Holder: "h"}, 11, "error: source s is locked by h\nhint: wait for it: --lock-wait 10m\n"},
		"repo.ErrNoRepository": {&repo.NoRepositoryError{Dir: "/nowhere/r", Reason: "no"}, 10, "error: /nowhere/r is not a repository: no\nhint: mount it, or make it: redisbak init /nowhere/r\nhint: name another one: --repo DIR, or REDISBAK_REPO\n"},
		"repo.ErrNotFound":     {&repo.NotFoundError{Source: "s"}, 10, "error: no source s in the repository\nhint: redisbak list shows what there is\n"},
		"repo.ErrNotWritable":  {fmt.Errorf("%w: %w", repo.ErrNotWritable, fs.ErrPermission), 1, "error: the repository cannot be written: permission denied\nhint: make room, or give this user the right to write there\n"},
		"repo.LockedError":     {&repo.LockedError{Source: "s", Holder: "h"}, 11, "error: source s is locked by h\nhint: wait for it: --lock-wait 10m\n"},
		"repo.NoRepositoryError": {&repo.NoRepositoryError{Dir: "/nowhere/r", Reason: "no such directory"}, 10,
			"error: /nowhere/r is not a repository: no such directory\nhint: mount it, or make it: redisbak init /nowhere/r\nhint: name another one: --repo DIR, or REDISBAK_REPO\n"},
		"repo.NoSnapshotError": {&repo.NoSnapshotError{Source: "s", Wanted: " on that day", Before: &entry}, 10,
			"error: no good snapshot of s on that day; nearest before: 20260208T031502Z-7k3f (2026-02-08T03:15:02Z)\nhint: the one before is of 2026-02-08 03:15:02 UTC: --id 20260208T031502Z-7k3f\n"},
		"repo.NotDurableError": {&repo.NotDurableError{ID: id, Err: errors.New("input/output error")}, 1,
			"error: snapshot 20260208T031502Z-7k3f was committed but may not survive a loss of power: input/output error\nhint: look at the disk, then at the snapshot: redisbak check --read-data\n"},
		"repo.NotFoundError": {&repo.NotFoundError{ID: "2a"}, 10, "error: no snapshot 2a in the repository\nhint: redisbak list shows what there is\n"},
		"repo.UnusableError": {&repo.UnusableError{Dir: "/r", Reason: "it is not empty"}, 1,
			"error: /r cannot become a repository: it is not empty\nhint: name a new directory in one that is there, or an empty one\n"},
		"repo.UnsteadyError": {&repo.UnsteadyError{Source: "s", Reason: "it changes"}, 1,
			"error: the listing of source s cannot be trusted: it changes\nhint: nothing was removed; look at the disk, or at the connection to it, and run it again\n"},

		"retention.DeleteAllError": {&retention.DeleteAllError{Good: 3}, 2,
			"error: retention policy: keeps none of the good snapshots, of which there are 3\nhint: nothing was removed; add a rule that some of them meet: --keep-last 3 --keep-daily 7 --keep-weekly 4\n"},
		"retention.InputError": {&retention.InputError{ID: id, Why: "is there twice"}, 1,
			"error: retention: snapshot 20260208T031502Z-7k3f: is there twice\nhint: nothing was removed; redisbak check names what is wrong with the snapshots\n"},
		"retention.PolicyError": {&retention.PolicyError{Rule: "last", Why: "-1 is negative"}, 2,
			"error: retention policy: last: -1 is negative\nhint: --keep-last 3 --keep-daily 7 --keep-weekly 4\n"},
		"retention.SharedError": {&retention.SharedError{Containers: [2]string{"0123456789abcdef", "fedcba9876543210"}}, 1,
			"error: retention: containers 0123456789ab and fedcba987654 write its snapshots in turn\nhint: nothing was removed; give each container a source of its own: --source, or the label redisbak.name\n"},

		"restore.ApartError": {&restore.ApartError{Why: "it is a node"}, 1,
			"error: no port can be published: it is a node\nhint: leave --publish out, and connect the container to a network when you know who is on it\n"},
		"restore.LayoutError": {&restore.LayoutError{Layout: "rdb", Starts: "aof", Why: "appendonly yes"}, 1,
			"error: the container would start from layout aof and ignore what is laid down as rdb: appendonly yes\nhint: leave --layout out; or leave --start out, and start it yourself with the options for that layout\n"},
		"restore.LoadError": {&restore.LoadError{Reason: "no"}, 1,
			"error: target cannot load the snapshot: no\nhint: restore into a server that is configured like the source\n"},
		"restore.PartsError": {&restore.PartsError{ID: id}, 1,
			"error: snapshot 20260208T031502Z-7k3f: its append-only file is in several parts, and cannot be laid down as layout aof-legacy\nhint: leave --layout out, or --layout aof\n"},
		"restore.ReplicaError": {&restore.ReplicaError{Why: "replicaof a"}, 1,
			"error: target would take its master's data in the place of the restored ones: replicaof a\nhint: start it without replicaof, or restore without --start and start it yourself\n"},
		"restore.UnknownStartError": {&restore.UnknownStartError{Reason: "no"}, 1,
			"error: from what the target will start is not known: no\nhint: say what to lay down: --layout rdb, aof or aof-legacy\n"},
		"restore.VolumeError": {&restore.VolumeError{Volume: "v", Reason: "it is not empty"}, 1,
			"error: volume \"v\": it is not empty\nhint: restore into another volume: --volume NAME\nhint: or, if nobody needs what it holds: docker volume rm v\n"},

		"docker.ErrNoShell": {docker.ErrNoShell, 1, "error: no shell with stat, head and cat in the image\nhint: --method rdb does without one\n"},
		"instance.AOFError": {&instance.AOFError{Container: "c", Reason: "its append-only file is not complete"}, 1,
			"error: container \"c\": its append-only file is not complete\nhint: redis-cli BGREWRITEAOF has the server make its files anew; --method rdb does without them\n"},
		"instance.AOFMountError": {&instance.AOFMountError{Container: "c", Dir: "/data/appendonlydir"}, 1,
			"error: container \"c\": its append-only files are on a mount of their own, at /data/appendonlydir\nhint: --method rdb captures its dump; or keep them on the same mount as the data directory\n"},
		"instance.EndError": {&instance.EndError{Container: "c", Detail: "a has 1 bytes, and should have 2"}, 1,
			"error: container \"c\": its append-only file does not end where the server says that it does: a has 1 bytes, and should have 2\nhint: run it again, without --no-rewrite; --method rdb does without the append-only file\n"},
		"aof.FormatError": {&aof.FormatError{Offset: 1, Reason: "no"}, 1,
			"error: append-only file, byte 1: no\nhint: run it again, without --no-rewrite; --method rdb does without the append-only file\n"},
		"aof.ManifestError": {&aof.ManifestError{Line: 1, Reason: "no"}, 1,
			"error: AOF manifest, line 1: no\nhint: redis-cli BGREWRITEAOF has the server make its files anew; --method rdb does without them\n"},
		"instance.ConvertError": {&instance.ConvertError{ID: id, Layout: "aof-legacy", Err: errors.New("no")}, 1,
			"error: snapshot 20260208T031502Z-7k3f: convert its append-only file into a dump: no\nhint: redisbak verify tells whether the snapshot boots; --layout aof-legacy lays it down as it is, for a server that starts with appendonly yes\n"},
		"instance.NoAOFError": {&instance.NoAOFError{Container: "c"}, 1,
			"error: container \"c\": appendonly is off: there is no append-only file to capture\nhint: --method rdb captures its dump; --method auto takes what there is\n"},
		"server.RewriteError": {&server.RewriteError{Reason: server.ErrRestarted}, 1,
			"error: redis AOF rewrite: the server was restarted\nhint: docker logs of that container tells more; --no-rewrite takes the append-only file as it is\n"},
		"server.AuthError": {&server.AuthError{Command: "BGSAVE", Reason: "NOPERM this user …"}, 12,
			"error: redis refused BGSAVE: NOPERM this user …\nhint: let the user run all that a snapshot needs: ACL SETUSER default +ping +info +time +bgsave +config|get\n"},
		"server.BusyError": {&server.BusyError{For: "save", What: "a save", Waited: time.Hour}, 1,
			"error: redis save: still waiting for a save after 1h0m0s\nhint: run it again when the server's other saves and rewrites are done\n"},
		"server.ErrAborted": {&server.SaveError{Reason: server.ErrAborted}, 1,
			"error: redis save: snapshot aborted\nhint: docker logs of that container tells more; nothing was committed\n"},
		"server.ErrConfigDenied": {server.ErrConfigDenied, 12, "error: the configuration cannot be read\nhint: let the user read it: ACL SETUSER NAME +config|get\n"},
		"server.ErrDenied":       {server.ErrDenied, 14, "error: protected mode refuses this connection\nhint: give its address: --address HOST:PORT\n"},
		"server.ErrNotRedis":     {server.ErrNotRedis, 1, "error: not a Redis server: its answer is not of the Redis protocol\nhint: name the server's own address: --address HOST:PORT; with TLS: --tls\n"},
		"server.ErrRestarted": {&server.SaveError{Reason: server.ErrRestarted}, 1,
			"error: redis save: the server was restarted\nhint: docker logs of that container tells more; nothing was committed\n"},
		"server.LoadingError":   {&server.LoadingError{}, 1, "error: redis is loading its data set\nhint: wait until it has loaded its data, and run it again\n"},
		"server.NoCommandError": {&server.NoCommandError{Command: "BGSAVE"}, 1, "error: redis has no command BGSAVE: renamed or disabled\nhint: redisbak needs BGSAVE: do not rename it for redisbak's user\n"},
		"server.ReplyError":     {&server.ReplyError{Command: "INFO", Text: "ERR no"}, 1, "error: redis INFO: ERR no\nhint: the server's log may tell more\n"},
		"server.SaveError": {&server.SaveError{Reason: errors.New("it failed"), MISCONF: true}, 1,
			"error: redis save: it failed; redis now refuses writes (MISCONF)\nhint: docker logs of that container tells more; nothing was committed\nhint: the server refuses writes (MISCONF) until a save succeeds: mend the cause, then run redis-cli BGSAVE, or CONFIG SET stop-writes-on-bgsave-error no\n"},
		"server.UnreachableError": {&server.UnreachableError{Err: errors.New("refused")}, 14,
			"error: connect to redis: refused\nhint: is the server up? redisbak can be told where it is: --address HOST:PORT\n"},

		"snapshot.FormatError": {&snapshot.FormatError{What: "marks.json", Why: "no"}, 1, "error: marks.json: no\nhint: redisbak check names what is wrong\n"},
		"snapshot.MismatchError": {&snapshot.MismatchError{Name: "dump.rdb.gz", What: "size", Want: "1", Got: "2"}, 13,
			"error: dump.rdb.gz: size is 2, want 1\nhint: the stored bytes are damaged: choose another snapshot (redisbak list), and look at the disk (redisbak check --read-data)\n"},
		"snapshot.NewerFormatError": {&snapshot.NewerFormatError{What: "manifest.json", Format: 2}, 1,
			"error: manifest.json: has format 2, this redisbak reads format 1\nhint: use a newer redisbak to read it\n"},

		"verify.FailedError": {&verify.FailedError{Proof: verify.Proof{ID: id, Reason: "no"}}, 13,
			"error: snapshot 20260208T031502Z-7k3f: verification failed: no\nhint: choose an older one: redisbak list\n"},
		"verify.IncompatibleError": {&verify.IncompatibleError{Image: "i", Reason: "no"}, 1,
			"error: image i cannot load the snapshot: no\nhint: name an image with the snapshot's server or a later one: --image\n"},
	}
}

// neverSpoken become a verdict before anyone is told.
func neverSpoken() map[string]bool { return map[string]bool{"verify.RefusedError": true} }

// Every error that a package can return says what happened and what to do, on
// one error line and at least one hint line, and has its exit code.
func TestEveryErrorHasItsCodeAndItsHint(t *testing.T) {
	known := everyError()
	for name, want := range known {
		for _, err := range []error{want.err, fmt.Errorf("outer: %w", want.err), errors.Join(want.err, errors.New("and more"))} {
			var stderr bytes.Buffer
			a := &app{world: world{stderr: &stderr, getenv: func(string) string { return "" }}, globals: globals{zone: time.UTC}}
			if code := a.finish(t.Context(), err); code != want.code {
				t.Errorf("%s: exit code %d, want %d", name, code, want.code)
			}
			text := stderr.String()
			if err == want.err && text != want.lines {
				t.Errorf("%s:\n%swant:\n%s", name, text, want.lines)
			}
			if strings.Count(text, "error: ") != 1 || !strings.HasPrefix(text, "error: ") || !strings.Contains(text, "\nhint: ") {
				t.Errorf("%s: not one error line, then hints:\n%s", name, text)
			}
		}
	}
	for _, dir := range []string{"backup", "restore", "verify", "snapshot", "retention", "internal/docker", "internal/instance", "internal/rdb", "internal/repo", "internal/server"} {
		for _, name := range errorsOf(t, dir) {
			if _, ok := known[name]; !ok && !neverSpoken()[name] {
				t.Errorf("%s is in no row: what does a user read?", name)
			}
		}
	}
}

// errorsOf lists the exported errors that a package declares.
func errorsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				names = append(names, errorNames(filepath.Base(dir), spec)...)
			}
		}
	}
	return names
}

func errorNames(pkg string, spec ast.Spec) (names []string) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && strings.HasSuffix(spec.Name.Name, "Error") {
			names = append(names, pkg+"."+spec.Name.Name)
		}
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			if n.IsExported() && strings.HasPrefix(n.Name, "Err") {
				names = append(names, pkg+"."+n.Name)
			}
		}
	}
	return names
}

func TestATimeoutNamesWhatTookAllTheTime(t *testing.T) {
	for name, c := range map[string]spoken{
		"work": {context.DeadlineExceeded, 1, "error: not done within --timeout 5s\nhint: give it more time; what was committed before stays, what was begun is undone\n"},
		"lock": {fmt.Errorf("%w: %w", &repo.LockedError{Source: "s", Holder: "h"}, context.DeadlineExceeded), 11, "error: source s is locked by h\nhint: wait for it: --lock-wait 10m\n"},
	} {
		var stderr bytes.Buffer
		a := &app{world: world{stderr: &stderr, getenv: func(string) string { return "" }}, globals: globals{timeoutText: "5s", timeout: 5 * time.Second}}
		if code := a.finish(t.Context(), c.err); code != c.code || stderr.String() != c.lines {
			t.Errorf("%s: exit code %d:\n%s", name, code, &stderr)
		}
	}
}

func TestAnInterruptIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	a := &app{world: world{stderr: &stderr, getenv: func(string) string { return "" }}}
	if code := a.finish(ctx, fmt.Errorf("copy: %w", context.Canceled)); code != exitInterrupted || stderr.String() != "error: interrupted\n" {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
}

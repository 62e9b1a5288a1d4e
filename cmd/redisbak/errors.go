package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/redisbak/redisbak/backup"
	"github.com/redisbak/redisbak/internal/aof"
	"github.com/redisbak/redisbak/internal/config"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/instance"
	"github.com/redisbak/redisbak/internal/notify"
	"github.com/redisbak/redisbak/internal/rdb"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/retention"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

// Exit codes. Scripts rely on them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitReserved    = 3 // all committed, but suspect, not pruned, or not verified
	exitNotFound    = 10
	exitLocked      = 11
	exitAuth        = 12
	exitVerify      = 13
	exitUnreachable = 14
	exitDocker      = 15
	exitInterrupted = 130
)

// outcomeError ends a command that said all there is to say already.
type outcomeError struct{ code int }

func (e *outcomeError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// ofSources is how a command ends that was asked to work on several sources and
// told of each that failed, whose codes these are: with theirs where all of them
// failed alike.
func ofSources(codes []int, asked int) error {
	switch {
	case len(codes) == 0:
		return nil
	case len(codes) == asked && len(slices.Compact(codes)) == 1:
		return &outcomeError{codes[0]}
	}
	return &outcomeError{exitFailure}
}

// rule maps one kind of error to its exit code and to what can be done.
type rule struct {
	is    func(error) bool
	code  int
	hints func(error) []string
}

// rules is the one table of errors. The first rule that fits wins.
func (a *app) rules() []rule {
	return []rule{
		{as[*usageError], exitUsage, a.usageHints},
		{as[*notify.URLError], exitUsage, fixed("each line of notify.urls_file is a URL like ntfy://ntfy.example/topic; docs/configuration.md has more")},
		{as[*retention.PolicyError], exitUsage, fixed(examplePolicy)},
		{as[*retention.InputError], exitFailure, fixed("nothing was removed; redisbak check names what is wrong with the snapshots")},
		{as[*retention.SharedError], exitFailure, fixed("nothing was removed; give each container a source of its own: --source, or the label redisbak.name")},
		{as[*retention.DeleteAllError], exitUsage, fixed("nothing was removed; add a rule that some of them meet: " + examplePolicy)},

		// Verdicts on snapshots.
		{as[*verify.FailedError], exitVerify, fixed("choose an older one: redisbak list")},
		{as[*verify.IncompatibleError], exitFailure, fixed("name an image with the snapshot's server or a later one: --image")},
		{as[*snapshot.MismatchError], exitVerify, fixed("the stored bytes are damaged: choose another snapshot (redisbak list), and look at the disk (redisbak check --read-data)")},
		{as[*snapshot.NewerFormatError], exitFailure, fixed("use a newer redisbak to read it")},

		// The engine: before the rest, which may wrap what it says.
		{as[*docker.AmbiguousError], exitUsage, ambiguousHints},
		{as[*docker.UnreachableError], exitDocker, fixed("is Docker running, and may this user talk to it? DOCKER_HOST names another engine")},
		{as[*docker.DeniedError], exitDocker, fixed("let the proxy before the engine pass this call")},
		{as[*docker.HostError], exitDocker, fixed("set DOCKER_HOST to a unix, tcp or ssh address, or choose another docker context")},
		{as[*docker.VersionError], exitDocker, fixed("redisbak needs Docker Engine 20.10 or later")},
		{as[*docker.IdleError], exitDocker, fixed("look at the engine's log and at its disk, and run it again")},
		{is(docker.ErrShortStream), exitFailure, fixed("run it again; the engine's log may tell why the stream broke off")},
		{is(docker.ErrNoRedis), exitFailure, fixed("name the container: redisbak snapshot CONTAINER")},
		{as[*docker.NotFoundError], exitFailure, notFoundHints},
		{as[*docker.ExistsError], exitFailure, existsHints},
		{as[*docker.PublishError], exitUsage, fixed("publish a port like 6380:6379 or 127.0.0.1:6380:6379")},
		{is(docker.ErrNotRegular), exitFailure, plainFilesOnly},
		{is(docker.ErrNotDir), exitFailure, plainFilesOnly},
		{as[*docker.GuardError], exitFailure, ourFault},

		// The repository.
		{as[*repo.NotDurableError], exitFailure, fixed("look at the disk, then at the snapshot: redisbak check --read-data")},
		{is(repo.ErrNotWritable), exitFailure, fixed("make room, or give this user the right to write there")},
		{is(fs.ErrPermission), exitFailure, fixed("run it as the user to whom this belongs, or give this user the right to read it")},
		{as[*repo.DamagedError], exitVerify, damagedHints},
		{as[*repo.NoRepositoryError], exitNotFound, noRepositoryHints},
		{as[*repo.UnusableError], exitFailure, fixed("name a new directory in one that is there, or an empty one")},
		{as[*repo.NoSnapshotError], exitNotFound, a.noSnapshotHints},
		{as[*repo.NotFoundError], exitNotFound, fixed("redisbak list shows what there is")},
		{as[*repo.AmbiguousError], exitUsage, fixed("give more of the id")},
		{is(repo.ErrExists), exitFailure, fixed("use it as it is; nothing was changed")},
		{as[*repo.ConflictError], exitVerify, fixed("look at both: redisbak show ID; what is there was left as it is")},
		{as[*daemonError], exitFailure, fixed("the daemon's log and its status page tell its sources, and what they do")},
		{as[*noDaemonError], exitUnreachable, fixed("start it: redisbak daemon; or take a snapshot yourself: redisbak snapshot CONTAINER")},
		{as[*repo.UnsteadyError], exitFailure, fixed("nothing was removed; look at the disk, or at the connection to it, and run it again")},
		{is(repo.ErrLocked), exitLocked, lockedHints},
		{is(repo.ErrLockLost), exitLocked, fixed("another host writes to this repository: give each host its own --source, or its own repository")},
		{as[*snapshot.FormatError], exitFailure, fixed("redisbak check names what is wrong")},

		// The server.
		{as[*server.AuthError], exitAuth, a.authHints},
		{is(server.ErrConfigDenied), exitAuth, fixed("let the user read it: ACL SETUSER NAME +config|get")},
		{as[*instance.NotRunningError], exitUnreachable, notRunningHints},
		{as[*instance.UnreachableError], exitUnreachable, a.unreachableHints},
		{as[*server.UnreachableError], exitUnreachable, fixed("is the server up? redisbak can be told where it is: --address HOST:PORT")},
		{is(server.ErrDenied), exitUnreachable, fixed("give its address: --address HOST:PORT")},
		{is(docker.ErrNoTunnel), exitUnreachable, fixed("give its address: --address HOST:PORT")},
		{is(docker.ErrRefused), exitUnreachable, fixed("is the server up? redisbak can be told where it is: --address HOST:PORT")},
		{as[*instance.NoServerError], exitFailure, noServerHints},
		{is(docker.ErrNoServer), exitFailure, noServerHints},
		{is(server.ErrNotRedis), exitFailure, fixed("name the server's own address: --address HOST:PORT; with TLS: --tls")},
		{as[*instance.LoadingError], exitFailure, fixed("wait until it has loaded its data, and run it again")},
		{as[*server.LoadingError], exitFailure, fixed("wait until it has loaded its data, and run it again")},
		{as[*server.SaveError], exitFailure, saveHints},
		{as[*server.BusyError], exitFailure, fixed("run it again when the server's other saves and rewrites are done")},
		{as[*server.NoCommandError], exitFailure, commandHints},
		{as[*server.ReplyError], exitFailure, fixed("the server's log may tell more")},

		// The capture.
		{as[*backup.RefusedError], exitFailure, fixed("mend that; --force asks for the save all the same, and a save that fails can stop the server's writes (MISCONF)")},
		{is(backup.ErrAfterCommit), exitFailure, fixed("the snapshot is there: redisbak list")},
		{as[*rdb.FormatError], exitFailure, fixed("run it again; if it happens again, look at the server's disk and log")},
		{as[*instance.CountsError], exitFailure, fixed("run it again while nobody flushes or reloads the data")},
		{as[*instance.ChangedError], exitFailure, fixed("run it again; nothing was committed")},
		{as[*instance.DataError], exitFailure, fixed("keep the server's data directory on a Docker volume or a bind mount")},
		{as[*instance.NoAOFError], exitFailure, fixed("--method rdb captures its dump; --method auto takes what there is")},
		{as[*instance.AOFMountError], exitFailure, fixed("--method rdb captures its dump; or keep them on the same mount as the data directory")},
		{as[*instance.AOFError], exitFailure, fixed(anewAOF)},
		{as[*instance.EndError], exitFailure, fixed(withoutAOF)},
		{as[*aof.FormatError], exitFailure, fixed(withoutAOF)},
		{as[*aof.ManifestError], exitFailure, fixed(anewAOF)},
		{as[*server.RewriteError], exitFailure, fixed("docker logs of that container tells more; --no-rewrite takes the append-only file as it is")},
		{is(docker.ErrNoShell), exitFailure, fixed("--method rdb does without one")},
		{as[*instance.WrongVolumeError], exitFailure, fixed("name the container of the server that you mean, or its own --address")},

		// The restore.
		{as[*restore.VolumeError], exitFailure, volumeHints},
		{as[*restore.LayoutError], exitFailure, fixed("leave --layout out; or leave --start out, and start it yourself with the options for that layout")},
		{as[*instance.ConvertError], exitFailure, convertHints},
		{as[*restore.PartsError], exitFailure, fixed("leave --layout out, or --layout aof")},
		{as[*restore.ReplicaError], exitFailure, fixed("start it without replicaof, or restore without --start and start it yourself")},
		{as[*restore.ApartError], exitFailure, fixed("leave --publish out, and connect the container to a network when you know who is on it")},
		{as[*restore.UnknownStartError], exitFailure, fixed("say what to lay down: --layout rdb, aof or aof-legacy")},
		{as[*restore.LoadError], exitFailure, fixed("restore into a server that is configured like the source")},
		{as[*instance.StagedError], exitFailure, fixed("look at the disk of the engine's host, and run it again")},
		{as[*instance.StartError], exitFailure, startHints},
	}
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func get[T error](err error) T {
	var target T
	errors.As(err, &target)
	return target
}

func fixed(hints ...string) func(error) []string { return func(error) []string { return hints } }

// finish says what went wrong and returns the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	a.talk.done()
	if err == nil {
		return exitOK
	}
	// What an interrupt left undone is no outcome; a verdict that came before
	// it is.
	interrupted := errors.Is(ctx.Err(), context.Canceled)
	var outcome *outcomeError
	if errors.As(err, &outcome) && (!interrupted || outcome.code == exitVerify) {
		return outcome.code
	}
	if a.talk.state == nil {
		a.talk = newTalk(a.stderr, a.getenv, a.quiet, a.verbose, a.noProgress)
	}
	if interrupted {
		a.talk.fail("interrupted")
		return exitInterrupted
	}
	return a.explain(err)
}

// explain prints one error with its hints and returns its exit code.
func (a *app) explain(err error) int {
	switch locked := get[*repo.LockedError](err); {
	case a.timeout == 0 || !errors.Is(err, context.DeadlineExceeded):
	case locked != nil:
		err = locked // what it was that took all the time
	default:
		a.talk.fail(fmt.Sprintf("not done within --timeout %s", a.timeoutText))
		a.talk.hint("give it more time; what was committed before stays, what was begun is undone")
		return exitFailure
	}
	if wrong := get[*config.Error](err); wrong != nil {
		return a.explainConfig(wrong)
	}
	a.talk.fail(err.Error())
	for _, h := range a.hints(err) {
		a.talk.hint(h)
	}
	return a.rule(err).code
}

// rule is the one of an error.
func (a *app) rule(err error) rule {
	for _, r := range a.rules() {
		if r.is(err) {
			return r
		}
	}
	return rule{code: exitFailure}
}

// hints are what can be done about an error.
func (a *app) hints(err error) []string {
	if r := a.rule(err); r.hints != nil {
		return r.hints(err)
	}
	return nil
}

// explainConfig prints all that is wrong with a configuration, each with what
// to write instead.
func (a *app) explainConfig(wrong *config.Error) int {
	for _, f := range wrong.Faults {
		hint := f.Hint
		f.Hint = ""
		a.talk.fail(f.String())
		if hint != "" {
			a.talk.hint(hint)
		}
	}
	a.talk.hint("docs/configuration.md has every key")
	return exitUsage
}

func damagedHints(err error) []string {
	switch get[*repo.DamagedError](err).Problem.File {
	case snapshot.ManifestName:
		return []string{"its payload may still be whole: leave the directory as it is; redisbak check names all that is wrong"}
	case snapshot.MarksName:
		return []string{"the snapshot itself is not concerned: if its marks (pinned, accepted, tags) can be spared, remove that file"}
	}
	return []string{"choose another snapshot (redisbak list); redisbak check names all that is wrong"}
}

func noRepositoryHints(err error) []string {
	const other = "name another one: --repo DIR, or REDISBAK_REPO"
	dir := get[*repo.NoRepositoryError](err).Dir
	names, readErr := os.ReadDir(dir)
	switch {
	case readErr != nil && !errors.Is(readErr, fs.ErrNotExist): // a file, most likely
		return []string{other}
	case len(names) > 0:
		return []string{other, "if the redisbak.json of this one is lost or damaged: copy that of a new one here (redisbak init DIR)"}
	}
	return []string{"mount it, or make it: redisbak init " + dir, other}
}

func (a *app) noSnapshotHints(err error) []string {
	e := get[*repo.NoSnapshotError](err)
	var hints []string
	for _, near := range []struct {
		where string
		entry *repo.Entry
	}{{"before", e.Before}, {"after", e.After}} {
		if near.entry != nil {
			m := near.entry.Manifest
			hints = append(hints, fmt.Sprintf("the one %s is of %s: --id %s", near.where, local(m.PointInTime, a.zone), m.ID))
		}
	}
	for _, skipped := range e.Skipped {
		hint := fmt.Sprintf("passed over: %s, %s", skipped.Manifest.ID, skipped.WhyNotGood())
		if skipped.Verified() != repo.Failed {
			hint += fmt.Sprintf("; --id %s takes it all the same", skipped.Manifest.ID)
		}
		hints = append(hints, hint)
	}
	switch {
	case hints != nil:
	case e.Source == "":
		hints = append(hints, "take the first one: redisbak snapshot CONTAINER")
	default:
		hints = append(hints, "redisbak list shows what there is")
	}
	return hints
}

const examplePolicy = "--keep-last 3 --keep-daily 7 --keep-weekly 4"

func plainFilesOnly(error) []string {
	return []string{"redisbak copies plain files only: let the server keep its dump as one, without a link"}
}

func ourFault(error) []string {
	return []string{"this is a fault of redisbak's own: please report it; nothing was sent"}
}

func lockedHints(err error) []string {
	if e := get[*repo.LockedError](err); e != nil && e.Lock == "daemon" {
		return []string{"one daemon keeps a repository: stop the other one first"}
	}
	return []string{"wait for it: --lock-wait 10m"}
}

func noServerHints(error) []string { return []string{"name the container that runs Redis or Valkey"} }

func convertHints(err error) []string {
	return []string{"redisbak verify tells whether the snapshot boots; --layout " + get[*instance.ConvertError](err).Layout +
		" lays it down as it is, for a server that starts with appendonly yes"}
}

func startHints(err error) []string {
	return []string{"docker logs " + get[*instance.StartError](err).Container + " tells why"}
}

func ambiguousHints(err error) []string {
	switch e := get[*docker.AmbiguousError](err); {
	case e.Kind == "server process":
		return []string{"redisbak takes one server a container: start the others in containers of their own"}
	case e.Name == "":
		return []string{"name the one that is meant: redisbak snapshot CONTAINER; or take all: redisbak snapshot --all"}
	}
	return []string{"give its name, or more of its id"}
}

func notFoundHints(err error) []string {
	switch e := get[*docker.NotFoundError](err); e.Kind {
	case "container":
		return []string{"docker ps -a lists the containers"}
	case "volume":
		return []string{"docker volume ls lists the volumes; none was created"}
	case "image":
		return []string{"bring it (docker load, docker pull, or restore --pull), or name one with the same server: --image"}
	}
	return nil
}

func existsHints(err error) []string {
	if get[*docker.ExistsError](err).Kind == "container" {
		return []string{"give the new container another name: --name"}
	}
	return []string{"restore into another volume: --volume NAME"}
}

func (a *app) authHints(err error) []string {
	switch e := get[*server.AuthError](err); {
	case e.Command == "BGREWRITEAOF" && strings.HasPrefix(e.Reason, "NOPERM"):
		return []string{fmt.Sprintf("let the user run it: ACL SETUSER %s +bgrewriteaof; or take the append-only file as it is: --no-rewrite", cmp.Or(a.username, "default"))}
	case strings.HasPrefix(e.Reason, "NOPERM"):
		return []string{fmt.Sprintf("let the user run all that a snapshot needs: ACL SETUSER %s +ping +info +time +bgsave +config|get", cmp.Or(a.username, "default"))}
	case strings.HasPrefix(e.Reason, "WRONGPASS"):
		return []string{"is it the right password? --password-file FILE, or REDISBAK_PASSWORD; for an ACL user also --username NAME"}
	case e.Command == "AUTH":
		return []string{"leave it out: --password-file, REDISBAK_PASSWORD and REDISBAK_PASSWORD_FILE"}
	}
	return []string{"give the password: --password-file FILE, or REDISBAK_PASSWORD; for an ACL user also --username NAME"}
}

func (a *app) unreachableHints(error) []string {
	hints := []string{"give its address: --address HOST:PORT"}
	if a.address != "" {
		hints[0] = "is that its address, and is it up? without --address redisbak looks for a way itself"
	}
	if a.tls.on {
		hints = append(hints, "does it speak TLS there? where it does not, leave --tls out")
	}
	return hints
}

func notRunningHints(err error) []string {
	switch e := get[*instance.NotRunningError](err); e.State {
	case "paused":
		return []string{"let it go on: docker unpause " + e.Container}
	case "restarting":
		return []string{"why it does not stay up: docker logs " + e.Container}
	default:
		return []string{"start it: docker start " + e.Container}
	}
}

func saveHints(err error) []string {
	e := get[*server.SaveError](err)
	hints := []string{"docker logs of that container tells more; nothing was committed"}
	if e.MISCONF {
		hints = append(hints, "the server refuses writes (MISCONF) until a save succeeds: mend the cause, then run redis-cli BGSAVE, or CONFIG SET stop-writes-on-bgsave-error no")
	}
	return hints
}

func volumeHints(err error) []string {
	hints := []string{"restore into another volume: --volume NAME"}
	if e := get[*restore.VolumeError](err); !e.Needed {
		hints = append(hints, "or, if nobody needs what it holds: docker volume rm "+e.Volume)
	}
	return hints
}

func commandHints(err error) []string {
	if get[*server.NoCommandError](err).Command == "BGREWRITEAOF" {
		return []string{"--no-rewrite takes the append-only file as it is"}
	}
	return []string{"redisbak needs BGSAVE: do not rename it for redisbak's user"}
}

const anewAOF = "redis-cli BGREWRITEAOF has the server make its files anew; --method rdb does without them"

const withoutAOF = "run it again, without --no-rewrite; --method rdb does without the append-only file"

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redisbak/redisbak/backup"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/instance"
	"github.com/redisbak/redisbak/internal/rdb"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/restore"
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

// rule maps one kind of error to its exit code and to what can be done.
type rule struct {
	is    func(error) bool
	code  int
	hints func(error) []string
}

// rules is the one table of errors. The first rule that fits wins.
func rules() []rule {
	return []rule{
		{as[*usageError], exitUsage, fixed("redisbak COMMAND --help shows what a command takes")},
		{as[*verify.FailedError], exitVerify, fixed("choose an older one: redisbak list")},
		{as[*verify.IncompatibleError], exitFailure, fixed("name an image with the snapshot's server or a later one: --image")},
		{as[*snapshot.MismatchError], exitVerify, fixed("the stored bytes are damaged: choose another snapshot (redisbak list), and look at the disk (redisbak check --read-data)")},
		{as[*rdb.FormatError], exitFailure, fixed("run it again; if it happens again, look at the server's disk and log")},
		{as[*instance.CountsError], exitFailure, fixed("run it again while nobody flushes or reloads the data")},
		{as[*snapshot.NewerFormatError], exitFailure, fixed("use a newer redisbak to read it")},
		{as[*repo.DamagedError], exitVerify, fixed("redisbak check names what is wrong; its payload may still be whole")},
		{as[*repo.NoRepositoryError], exitNotFound, noRepositoryHints},
		{as[*repo.UnusableError], exitFailure, nil},
		{as[*repo.NoSnapshotError], exitNotFound, noSnapshotHints},
		{is(repo.ErrNotFound), exitNotFound, fixed("redisbak list shows what there is")},
		{as[*repo.AmbiguousError], exitUsage, fixed("give more of the id")},
		{is(repo.ErrExists), exitFailure, nil},
		{is(repo.ErrLocked), exitLocked, fixed("wait for it: --lock-wait 10m")},
		{is(repo.ErrLockLost), exitLocked, fixed("another host writes to this repository: give each host its own --source, or its own repository")},
		{is(repo.ErrNotWritable), exitFailure, fixed("make room, or give this user the right to write there")},
		{as[*docker.AmbiguousError], exitUsage, ambiguousHints},
		{as[*docker.UnreachableError], exitDocker, fixed("is Docker running, and may this user talk to it? DOCKER_HOST names another engine")},
		{as[*docker.DeniedError], exitDocker, fixed("let the proxy before the engine pass this call")},
		{as[*docker.HostError], exitDocker, fixed("set DOCKER_HOST to a unix, tcp or ssh address")},
		{as[*docker.VersionError], exitDocker, fixed("redisbak needs Docker Engine 20.10 or later")},
		{as[*docker.IdleError], exitDocker, fixed("look at the engine's log and at its disk, and run it again")},
		{is(docker.ErrShortStream), exitFailure, fixed("run it again; the engine's log may tell why the stream broke off")},
		{is(docker.ErrNoRedis), exitFailure, fixed("name the container: redisbak snapshot CONTAINER")},
		{as[*docker.NotFoundError], exitFailure, notFoundHints},
		{as[*docker.ExistsError], exitFailure, existsHints},
		{as[*docker.PublishError], exitUsage, fixed("publish a port like 6380:6379 or 127.0.0.1:6380:6379")},
		{as[*server.AuthError], exitAuth, authHints},
		{as[*instance.NotRunningError], exitUnreachable, notRunningHints},
		{as[*instance.UnreachableError], exitUnreachable, fixed("give its address: --address HOST:PORT")},
		{as[*server.UnreachableError], exitUnreachable, fixed("is the server up? redisbak can be told where it is: --address HOST:PORT")},
		{as[*instance.NoServerError], exitFailure, fixed("name the container that runs Redis")},
		{is(server.ErrNotRedis), exitFailure, fixed("name the server's own address: --address HOST:PORT; with TLS: --tls")},
		{as[*instance.LoadingError], exitFailure, fixed("wait until it has loaded its data, and run it again")},
		{as[*server.LoadingError], exitFailure, fixed("wait until it has loaded its data, and run it again")},
		{as[*server.SaveError], exitFailure, saveHints},
		{as[*server.BusyError], exitFailure, fixed("run it again when the server's other saves and rewrites are done")},
		{as[*server.NoCommandError], exitFailure, fixed("redisbak needs BGSAVE: do not rename it for redisbak's user")},
		{as[*backup.RefusedError], exitFailure, fixed("mend that, or ask for the save all the same: --force")},
		{as[*instance.DataError], exitFailure, fixed("keep the server's data directory on a Docker volume or a bind mount")},
		{as[*instance.WrongVolumeError], exitFailure, fixed("name the container of the server that you mean, or its own --address")},
		{as[*restore.VolumeError], exitFailure, volumeHints},
		{as[*restore.AOFError], exitFailure, fixed("start it with --appendonly no and restore with --layout rdb")},
		{as[*restore.UnknownStartError], exitFailure, fixed("say what to lay down: --layout rdb")},
		{as[*restore.LoadError], exitFailure, fixed("restore into a server that is configured like the source")},
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
	var outcome *outcomeError
	if errors.As(err, &outcome) {
		return outcome.code
	}
	if a.talk.state == nil {
		a.talk = newTalk(a.stderr, a.getenv, a.quiet, a.verbose, a.noProgress)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		a.talk.fail("interrupted")
		return exitInterrupted
	}
	return a.explain(err)
}

// explain prints one error with its hints and returns its exit code.
func (a *app) explain(err error) int {
	if a.timeout > 0 && errors.Is(err, context.DeadlineExceeded) {
		a.talk.fail(fmt.Sprintf("not done within --timeout %s", a.timeoutText))
		a.talk.hint("nothing was committed; give it more time")
		return exitFailure
	}
	a.talk.fail(err.Error())
	for _, r := range rules() {
		if !r.is(err) {
			continue
		}
		if r.hints != nil {
			for _, h := range r.hints(err) {
				a.talk.hint(h)
			}
		}
		return r.code
	}
	return exitFailure
}

func noRepositoryHints(err error) []string {
	return []string{fmt.Sprintf("mount it, or make it: redisbak init %s", get[*repo.NoRepositoryError](err).Dir)}
}

func noSnapshotHints(err error) []string {
	e := get[*repo.NoSnapshotError](err)
	var hints []string
	for _, near := range []struct {
		where string
		entry *repo.Entry
	}{{"before", e.Before}, {"after", e.After}} {
		if near.entry != nil {
			hints = append(hints, fmt.Sprintf("the nearest good one %s is %s", near.where, near.entry.Manifest.ID))
		}
	}
	for _, skipped := range e.Skipped {
		hints = append(hints, fmt.Sprintf("%s is passed over (%s); --id %s takes it all the same", skipped.Manifest.ID, skipped.WhyNotGood(), skipped.Manifest.ID))
	}
	if hints == nil {
		hints = append(hints, "redisbak list shows what there is")
	}
	return hints
}

func ambiguousHints(err error) []string {
	return []string{"name one of: " + strings.Join(get[*docker.AmbiguousError](err).Matches, ", ")}
}

func notFoundHints(err error) []string {
	switch e := get[*docker.NotFoundError](err); e.Kind {
	case "container":
		return []string{"docker ps -a lists the containers"}
	case "volume":
		return []string{"docker volume ls lists the volumes; none was created"}
	case "image":
		return []string{"load the image, or name one with the same server: --image; --pull fetches it"}
	}
	return nil
}

func existsHints(err error) []string {
	if get[*docker.ExistsError](err).Kind == "container" {
		return []string{"give the new container another name: --name"}
	}
	return []string{"restore into another volume: --volume NAME"}
}

func authHints(err error) []string {
	e := get[*server.AuthError](err)
	if strings.HasPrefix(e.Reason, "NOPERM") {
		return []string{fmt.Sprintf("let the user run it: ACL SETUSER NAME +%s", strings.ToLower(strings.ReplaceAll(e.Command, " ", "|")))}
	}
	return []string{"give the password: --password-file FILE, with --username NAME for an ACL user"}
}

func notRunningHints(err error) []string {
	e := get[*instance.NotRunningError](err)
	if e.State == "paused" {
		return []string{"docker unpause " + e.Container}
	}
	return []string{"start it: docker start " + e.Container}
}

func saveHints(err error) []string {
	e := get[*server.SaveError](err)
	hints := []string{"the server's log tells more; nothing was committed"}
	if e.MISCONF {
		hints = append(hints, "the server refuses writes (MISCONF) until a save succeeds: mend the cause, then run redis-cli BGSAVE, or CONFIG SET stop-writes-on-bgsave-error no")
	}
	return hints
}

func volumeHints(err error) []string {
	e := get[*restore.VolumeError](err)
	return []string{
		"restore into another volume: --volume NAME",
		fmt.Sprintf("or, if nobody needs what it holds: docker volume rm %s", e.Volume),
	}
}

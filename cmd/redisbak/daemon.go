package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/daemon"
	"github.com/redisbak/redisbak/internal/config"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/notify"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/internal/status"
	"github.com/redisbak/redisbak/schedule"
)

type daemonOptions struct {
	config string
	listen string
	init   bool
}

func (a *app) daemonCommand() *cobra.Command {
	var o daemonOptions
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Take snapshots by schedule, and say when something is wrong",
		Long: `Run until it is told to stop: take snapshots of the sources of a file, and of
containers with the label redisbak.enable=true, at their times; verify them and
delete what a policy does not keep; catch up what was missed; tell of failures,
and of sources that nobody backed up; and serve metrics and a status page.

SIGHUP reads the file again, SIGUSR1 runs all sources at once, SIGTERM and
SIGINT end the runs that are under way, and then the daemon, with exit code 0.`,
		Example: `  redisbak daemon --config /etc/redisbak/redisbak.yaml
  redisbak daemon run-now sessions`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDaemon(cmd, o) },
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&o.init, "init", false, "make a repository of an empty directory: a container's fresh volume")
	cmd.AddCommand(a.runNowCommand(), a.readyCommand())
	return cmd
}

func (o *daemonOptions) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.config, "config", "", "the daemon's `FILE`, YAML (env REDISBAK_CONFIG)")
	cmd.Flags().StringVar(&o.listen, "listen", "", "serve metrics and the status page at `ADDR` (HOST:PORT)")
}

// load reads the configuration: the file, the environment, and what the command
// line says, which goes before both.
func (a *app) load(cmd *cobra.Command, o daemonOptions) (*config.Config, error) {
	path := o.config
	if path == "" {
		path = a.getenv("REDISBAK_CONFIG")
	}
	in := config.Input{Env: a.environ(), CheckSchedule: func(text string) error {
		_, err := schedule.Parse(text, time.UTC)
		return err
	}}
	for _, f := range []struct{ flag, key string }{{"repo", "repository"}, {"tz", "timezone"}, {"listen", "listen"}} {
		if flag := cmd.Flags().Lookup(f.flag); flag != nil && flag.Changed {
			in.Options = append(in.Options, config.Option{Key: f.key, Name: "--" + f.flag, Text: flag.Value.String()})
		}
	}
	c, warnings, err := config.Load(path, in)
	for _, w := range warnings {
		a.talk.warn(w.String())
	}
	if err != nil {
		return nil, err
	}
	if c.Repository != "" {
		a.repo, a.repoDefault = c.Repository, false
	}
	if c.Timezone != "" {
		if a.zone, err = time.LoadLocation(c.Timezone); err != nil {
			return nil, usagef("timezone %q: %w", c.Timezone, err)
		}
		a.zoneErr = nil
	}
	return c, a.zoneErr
}

// keeper is one run of the daemon.
type keeper struct {
	*app
	cmd     *cobra.Command
	options daemonOptions
	repo    *repo.Repo
	crew    *daemon.Daemon
	version string

	applying sync.Mutex // one change of the sources after the other

	mu       sync.Mutex
	config   *config.Config
	notifier *notify.Notifier
	seen     []docker.Summary // all containers, when they were looked at last
	lookedAt time.Time
	began    time.Time
	followed error            // why containers are not followed; nil: they are
	found    map[string]found // by container: what its labels ask for
	sources  map[string]config.Source
	labelled map[string]bool      // those of sources that only labels ask for
	wrong    map[string]string    // what cannot be meant, by container: told once
	gone     map[string]time.Time // sources of labels that are no more: told after a while
	sending  sync.WaitGroup

	// sendContext outlives the daemon's by a moment: its last words.
	sendContext context.Context
}

// lastWords is how long messages may take that are on their way when the daemon
// ends.
const lastWords = 10 * time.Second

func (a *app) runDaemon(cmd *cobra.Command, o daemonOptions) error {
	for _, name := range []string{"username", "password-file", "address", "tls", "source", "lock-wait", "timeout"} {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed {
			return hinted(usagef("--%s: a daemon has many sources", name), "say it in the file, for all of them or for one: docs/configuration.md")
		}
	}
	c, err := a.load(cmd, o)
	if err != nil {
		return err
	}
	a.talk.log(c.Log, a.now)
	notifier, err := notifierOf(c)
	if err != nil {
		return err
	}
	r, err := a.daemonRepo(o)
	if err != nil {
		return err
	}
	unlock, err := r.LockDaemon()
	if err != nil {
		return err
	}
	k := &keeper{
		app: a, cmd: cmd, options: o, repo: r, config: c, notifier: notifier, version: currentVersion(),
		found: map[string]found{}, wrong: map[string]string{}, gone: map[string]time.Time{}, began: a.now(),
	}
	k.crew = daemon.New(daemon.Options{
		Clock: schedule.WallClock(), AtOnce: c.Concurrency, Journal: journal{r}, Tell: k.tell,
	})
	return errors.Join(k.serve(cmd.Context()), unlock())
}

// daemonRepo opens the repository, or makes it where that is asked for.
func (a *app) daemonRepo(o daemonOptions) (*repo.Repo, error) {
	if !o.init {
		return a.createRepo()
	}
	switch _, err := repo.Init(a.repo); {
	case err == nil:
		a.talk.warn("new repository created at " + a.repo)
	case !errors.Is(err, repo.ErrExists):
		return nil, err
	}
	return a.openRepo()
}

// serve runs all parts until the context ends, or one that must not fail does.
func (k *keeper) serve(ctx context.Context) error {
	var cut context.CancelFunc
	k.sendContext, cut = context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// Before anything else: a signal that nobody has asked for ends the process.
	heard := make(chan os.Signal, 4)
	signal.Notify(heard, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(heard)
	listener, err := k.listen()
	if err != nil {
		return err
	}
	socket, err := k.openSocket()
	if err != nil {
		return errors.Join(err, closeAll(listener))
	}
	k.look(nil)
	var parts sync.WaitGroup
	failed := make(chan error, 4)
	part := func(run func(context.Context) error) {
		parts.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				failed <- err
				stop()
			}
		})
	}
	if listener != nil {
		options, err := k.pageOptions()
		if err != nil {
			return errors.Join(err, closeAll(listener, socket))
		}
		part(func(ctx context.Context) error { return status.Serve(ctx, listener, k.view, options) })
		k.talk.info("status page and metrics at http://%s/", listener.Addr())
	}
	part(func(ctx context.Context) error { return k.answer(ctx, socket) })
	part(k.discover)
	part(func(ctx context.Context) error { return k.hearSignals(ctx, heard) })
	k.talk.info("redisbak %s: keeps %s", k.version, plural(int64(len(k.crew.Standings())), "source"))
	part(k.crew.Run)
	<-ctx.Done()
	k.talk.info("stopping")
	parts.Wait()
	time.AfterFunc(lastWords, cut)
	k.sending.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// listen opens the address of the page, if there is to be one.
func (k *keeper) listen() (net.Listener, error) {
	if k.config.Listen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", k.config.Listen)
	if err != nil {
		return nil, hinted(fmt.Errorf("listen at %s: %w", k.config.Listen, err), "another daemon may run there: --listen names another address, and listen: off none")
	}
	return l, nil
}

func closeAll(listeners ...net.Listener) error {
	var failed []error
	for _, l := range listeners {
		if l != nil {
			failed = append(failed, l.Close())
		}
	}
	return errors.Join(failed...)
}

// hearSignals does what SIGHUP and SIGUSR1 ask for.
func (k *keeper) hearSignals(ctx context.Context, heard <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-heard:
			if s == syscall.SIGHUP {
				k.reload()
				continue
			}
			for _, s := range k.crew.Standings() {
				if err := k.crew.RunNow(s.Name); err != nil {
					k.talk.warn(err.Error())
				}
			}
		}
	}
}

// reload reads the file again. One that cannot be meant changes nothing.
func (k *keeper) reload() {
	// The zone, the repository and more are the app's, which runs use all the
	// time: they are read into another one.
	other := *k.app
	c, err := other.load(k.cmd, k.options)
	var notifier *notify.Notifier
	if err == nil {
		notifier, err = notifierOf(c)
	}
	if err != nil {
		k.tell(daemon.Message{Kind: daemon.Misadvised, Text: fmt.Sprintf("the configuration is not read again, the old one holds: %v", err), Time: k.now()})
		return
	}
	k.mu.Lock()
	was := k.config
	if other.repo != k.app.repo || other.zone.String() != k.zone.String() || c.Listen != was.Listen || c.Concurrency != was.Concurrency ||
		c.Log != was.Log || fmt.Sprint(c.Status) != fmt.Sprint(was.Status) {
		k.talk.warn("repository, timezone, listen, concurrency, log and status take effect with the next start")
	}
	k.config, k.notifier = c, notifier
	k.mu.Unlock()
	k.talk.info("the configuration was read again")
	k.look(nil)
}

// journal keeps the daemon's records in the repository.
type journal struct{ repo *repo.Repo }

func (j journal) Load(source string) (daemon.Record, bool) {
	d, ok := j.repo.ReadDiary(source)
	return daemon.Record{
		FirstSeen: d.FirstSeen, LastDue: d.LastDue, Began: d.Began, Ended: d.Ended, Result: daemon.Result(d.Result),
		Note: d.Note, LastSuccess: d.LastSuccess, LastDrill: d.LastDrill, Runs: d.Runs, Told: d.Told, ToldAt: d.ToldAt,
		ToldOverdue: d.ToldOverdue, Took: d.Took,
	}, ok
}

func (j journal) Store(source string, r daemon.Record) error {
	return j.repo.WriteDiary(repo.Diary{
		Source: source, FirstSeen: r.FirstSeen, LastDue: r.LastDue, Began: r.Began, Ended: r.Ended, Result: string(r.Result),
		Note: r.Note, LastSuccess: r.LastSuccess, LastDrill: r.LastDrill, Runs: r.Runs, Told: r.Told, ToldAt: r.ToldAt,
		ToldOverdue: r.ToldOverdue, Took: r.Took,
	})
}

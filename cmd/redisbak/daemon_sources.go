package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redisbak/redisbak/daemon"
	"github.com/redisbak/redisbak/internal/config"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/notify"
	"github.com/redisbak/redisbak/schedule"
)

// found is what the labels of a container ask for.
type found struct {
	source config.Source
	id     string
}

const (
	// followAgain is how long a daemon waits that has lost the engine.
	followAgain = 15 * time.Second
	// settle is how long it waits after an event: they come in flocks.
	settle = 300 * time.Millisecond
	// lookAgain is how often it looks without one: a secret file may have come
	// back, and an engine may have stopped to tell.
	lookAgain = 2 * time.Minute
	// unfollowedLimit is how long containers may not be followed before it is
	// told: an engine that restarts takes less.
	unfollowedLimit = 2 * time.Minute
	// goneLimit is how long a source of labels may be away before it is told: a
	// container that is made anew is away for seconds.
	goneLimit = 5 * time.Minute
)

// discover follows the containers that come and go, until the context ends. An
// engine that cannot be reached is told of, and asked again.
func (k *keeper) discover(ctx context.Context) error {
	for logged, told := "", false; ; {
		began := k.now()
		err := k.follow(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		k.mu.Lock()
		k.followed = err
		if k.lookedAt.After(began) {
			logged, told = "", false
		}
		k.mu.Unlock()
		if text := err.Error(); text != logged {
			logged = text
			k.talk.warn("containers are not followed for the moment: " + text)
		}
		if text := k.unfollowed(); text != "" && !told {
			told = true
			k.tell(daemon.Message{Kind: daemon.Misadvised, Text: text, Time: k.now()})
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followAgain):
		}
	}
}

// unfollowed says that containers have not been followed for too long, and why.
func (k *keeper) unfollowed() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	since := k.began
	if k.lookedAt.After(since) {
		since = k.lookedAt
	}
	if k.followed == nil || k.now().Sub(since) < unfollowedLimit {
		return ""
	}
	return fmt.Sprintf("containers are not followed since %s, and nothing is backed up: %v", since.UTC().Format(time.RFC3339), k.followed)
}

func (k *keeper) follow(ctx context.Context) error {
	engine, err := docker.Connect(ctx, docker.Environment(k.getenv))
	if err != nil {
		return err
	}
	defer engine.Close()
	if err := engine.Sweep(ctx, k.repo.ID(), k.repo.RunDead); err != nil && ctx.Err() == nil {
		k.talk.warn(fmt.Sprintf("what a killed run left at the engine is still there: %v", err))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	changed := make(chan struct{}, 1)
	go func() {
		stop(engine.Follow(ctx, func(string) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}))
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-time.After(lookAgain):
		}
		all, err := engine.Containers(ctx, true)
		if err != nil {
			return err
		}
		k.look(all)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(settle):
		}
	}
}

// look reads the labels of all containers; nil: those that it saw last, after
// the configuration has changed.
func (k *keeper) look(all []docker.Summary) {
	k.applying.Lock()
	defer k.applying.Unlock()
	k.mu.Lock()
	if all != nil {
		k.seen, k.lookedAt, k.followed = all, k.now(), nil
	}
	all = k.seen
	defaults, discover := k.config.Defaults, k.config.Discover
	k.mu.Unlock()
	seen, wrong := map[string]found{}, map[string]string{}
	for _, c := range all {
		if c.Passing() {
			continue
		}
		s, enabled, warnings, err := config.FromLabels(c.Name, c.Labels, defaults, k.checkSchedule)
		if err != nil {
			wrong[c.Name] = err.Error()
		}
		for _, w := range warnings {
			wrong[c.Name] = strings.TrimPrefix(wrong[c.Name]+"; "+w.String(), "; ")
		}
		seen[c.Name] = found{id: c.ID}
		if enabled && discover && err == nil {
			seen[c.Name] = found{source: s, id: c.ID}
		}
	}
	k.note(seen, wrong)
	k.apply()
	k.tellGone()
}

// note keeps what was found, and tells of what is wrong once.
func (k *keeper) note(seen map[string]found, wrong map[string]string) {
	taken := map[string]string{}
	k.mu.Lock()
	for _, s := range k.config.Sources {
		taken[s.Name] = s.Container
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		s := seen[name].source
		other, ok := taken[s.Name]
		switch {
		case s.Name == "":
		case ok && other != s.Container:
			wrong[name] = fmt.Sprintf("container %s: source %s is of container %s already: give it another label redisbak.name", name, s.Name, other)
		default:
			taken[s.Name] = s.Container
		}
	}
	before := k.wrong
	k.found, k.wrong = seen, wrong
	k.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		if wrong[name] != before[name] {
			k.tell(daemon.Message{Kind: daemon.Misadvised, Text: wrong[name], Time: k.now()})
		}
	}
}

func (k *keeper) checkSchedule(text string) error {
	_, err := schedule.Parse(text, k.zone)
	return err
}

// apply makes the sources of the file and those of labels the daemon's. Where
// both name one, the file's holds.
func (k *keeper) apply() {
	k.mu.Lock()
	sources := map[string]config.Source{}
	for _, s := range k.config.Sources {
		sources[s.Name] = s
	}
	labelled := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(k.found)) {
		s := k.found[name].source
		if s.Name == "" {
			continue
		}
		if _, ok := sources[s.Name]; ok {
			continue // it was told
		}
		sources[s.Name], labelled[s.Name] = s, true
	}
	before, lost := k.sources, k.labelled
	if !k.config.Discover {
		lost = nil // somebody has said so
	}
	k.sources, k.labelled = sources, labelled
	k.mu.Unlock()
	var all []daemon.Source
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		s, err := k.daemonSource(sources[name])
		if err != nil {
			k.tell(daemon.Message{Kind: daemon.Misadvised, Source: name, Text: err.Error(), Time: k.now()})
			continue
		}
		all = append(all, s)
	}
	if err := k.crew.Set(all); err != nil {
		k.talk.warn(err.Error())
	}
	k.sayChanges(before, sources, lost)
}

// sayChanges logs which sources came and went. Lost are those that only labels
// asked for: that they went may be a mistake.
func (k *keeper) sayChanges(before, now map[string]config.Source, lost map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := before[name]; !ok {
			k.talk.info("source %s: container %s, %s", name, now[name].Container, now[name].Schedule)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := now[name]; !ok {
			k.talk.info("source %s is gone: it is not backed up any more", name)
			if lost[name] {
				k.gone[name] = k.now()
			}
		}
	}
	for name := range now {
		delete(k.gone, name)
	}
}

// tellGone tells of sources that are gone for good, as it seems.
func (k *keeper) tellGone() {
	for name, since := range k.gone {
		if k.now().Sub(since) >= goneLimit {
			delete(k.gone, name)
			k.tell(daemon.Message{Kind: daemon.Misadvised, Source: name, Time: k.now(),
				Text: fmt.Sprintf("source %s is gone since %s, with its container or its labels: it is not backed up any more", name, since.UTC().Format(time.RFC3339))})
		}
	}
}

// daemonSource gives a source what the daemon calls.
func (k *keeper) daemonSource(s config.Source) (daemon.Source, error) {
	spec, err := schedule.Parse(s.Schedule, k.zone)
	if err != nil {
		return daemon.Source{}, fmt.Errorf("source %s: %w", s.Name, err)
	}
	d := daemon.Source{
		Name: s.Name, Spec: spec, VerifyEvery: int(s.Verify), DrillEvery: s.Drill,
		Capture: func(ctx context.Context, verify bool) (daemon.Outcome, error) { return k.capture(ctx, s, verify) },
		Drill:   func(ctx context.Context) (daemon.Outcome, error) { return k.drill(ctx, s) },
	}
	switch {
	case s.Jitter == 0:
		d.Jitter = -1 // none
	case s.Jitter != config.Auto:
		d.Jitter = s.Jitter
	}
	if s.OverdueAfter != config.Auto {
		d.OverdueAfter = s.OverdueAfter
	}
	if s.Ping.Set() {
		d.Tell = func(ctx context.Context, p daemon.Phase, note string) error { return ping(ctx, s.Ping, p, note) }
	}
	return d, nil
}

// ping calls a dead man's switch, whose URL is read each time: it may change.
func ping(ctx context.Context, secret config.Secret, p daemon.Phase, note string) error {
	text, err := secret.Read()
	if err != nil {
		return err
	}
	s, err := notify.NewSwitch(text)
	if err != nil {
		return err
	}
	switch p {
	case daemon.Began:
		return s.Start(ctx)
	case daemon.Good:
		return s.Success(ctx, note)
	default:
		return s.Fail(ctx, note)
	}
}

// notifierOf makes the one that sends to the URLs of a file, one on a line.
func notifierOf(c *config.Config) (*notify.Notifier, error) {
	if !c.Notify.URLs.Set() {
		return &notify.Notifier{}, nil
	}
	text, err := c.Notify.URLs.Read()
	if err != nil {
		return nil, err
	}
	var urls []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			urls = append(urls, line)
		}
	}
	return notify.New(urls)
}

// tell logs what happened, and sends it to those who want to hear of it.
func (k *keeper) tell(m daemon.Message) {
	switch m.Kind {
	case daemon.Done: // the run has said so itself
	case daemon.Recovered:
		k.talk.info("%s", m.Text)
	case daemon.Failed:
		k.talk.fail(m.Text)
	default:
		k.talk.warn(m.Text)
	}
	k.mu.Lock()
	wanted, notifier := k.config.Notify.Tells(eventOf(m.Kind)), k.notifier
	k.mu.Unlock()
	if !wanted || notifier.Len() == 0 {
		return
	}
	// Nobody waits for it but the end of the daemon.
	k.sending.Go(func() {
		err := notifier.Send(k.sendContext, notify.Message{Title: "redisbak: " + string(m.Kind), Body: m.Text})
		if err != nil {
			k.talk.warn(err.Error())
		}
	})
}

// eventOf is the event by which a kind of message is asked for. What is wrong
// with the configuration is a failure: something is not backed up.
func eventOf(k daemon.Kind) config.Event {
	switch k {
	case daemon.Overdue:
		return config.Overdue
	case daemon.Recovered:
		return config.Recovered
	case daemon.Done:
		return config.Success
	default:
		return config.Failure
	}
}

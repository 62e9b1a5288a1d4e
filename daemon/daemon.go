package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redisbak/redisbak/schedule"
)

// watchEvery is how often it is looked whether a source is overdue.
const watchEvery = time.Minute

const (
	// grace is how long after the start nobody is told that a source is overdue,
	// and catchUpGrace how long a run may take on top of its usual time that makes
	// good for what was missed while nobody was there.
	grace        = 3 * time.Minute
	catchUpGrace = time.Hour
)

// tellAgain is after how long a failure is told again that goes on. It is less
// than a day, so that each failure of a daily source is told, late or early.
const tellAgain = 20 * time.Hour

// tellLimit bounds what a dead man's switch may take of a run's time.
const tellLimit = 40 * time.Second

// Options are what a Daemon is made of.
type Options struct {
	Clock   schedule.Clock
	AtOnce  int // runs
	Journal Journal
	// Tell hears what people may want to hear. It must not block: it is called
	// while runs wait.
	Tell func(Message)
	// Random draws a delay, as of schedule.Options; nil: evenly.
	Random func(most time.Duration) time.Duration
}

// Daemon runs sources by their schedules. Its methods may be called from
// anywhere.
type Daemon struct {
	clock   schedule.Clock
	journal Journal
	tell    func(Message)
	runner  *schedule.Runner

	mu      sync.Mutex
	sources map[string]*state
	lost    bool // the journal could not be written: that was told
}

// state is all that is known of a source.
type state struct {
	Source
	record  Record
	next    time.Time
	missed  int64
	runs    map[Result]int64
	catchUp time.Time // when the run was due that is on its way for missed ticks; zero: none is
	failing bool
	// what was told
	unreached bool // its dead man's switch
}

// New makes a Daemon without sources.
func New(o Options) *Daemon {
	d := &Daemon{clock: o.Clock, journal: o.Journal, tell: o.Tell, sources: map[string]*state{}}
	d.runner = schedule.New(schedule.Options{Clock: o.Clock, AtOnce: o.AtOnce, Observe: d.observe, Random: o.Random})
	return d
}

// Run goes on until the context ends, and returns when the last run has ended.
func (d *Daemon) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	watching.Go(func() { d.watch(ctx) })
	defer watching.Wait()
	return d.runner.Run(ctx)
}

// RunNow begins a run at once.
func (d *Daemon) RunNow(name string) error { return d.runner.RunNow(name) }

// Set makes these the sources: new ones come, others go, and those of a name
// that is there already get their new settings; a run that is on its way goes
// on to its end with the old ones. All that cannot be meant are told; the rest
// holds.
func (d *Daemon) Set(sources []Source) error {
	var wrong []error
	wanted := map[string]bool{}
	for _, s := range sources {
		if wanted[s.Name] {
			wrong = append(wrong, fmt.Errorf("source %s: it is there twice", s.Name))
			continue
		}
		wanted[s.Name] = true
		wrong = append(wrong, d.add(s))
	}
	for _, name := range d.names() {
		if !wanted[name] {
			d.mu.Lock()
			delete(d.sources, name)
			d.mu.Unlock()
			_ = d.runner.Remove(name) // it is there
		}
	}
	return errors.Join(wrong...)
}

func (d *Daemon) add(s Source) error {
	d.mu.Lock()
	st, known := d.sources[s.Name]
	if !known {
		st = &state{runs: map[Result]int64{}}
		var kept bool
		if st.record, kept = d.journal.Load(s.Name); !kept {
			st.record = Record{FirstSeen: d.clock.Now().UTC()}
		}
		st.record.clamp(d.clock.Now())
		st.failing = kept && st.record.Result != "" && !st.record.Result.Committed()
		d.sources[s.Name] = st
	}
	st.Source = s
	record := st.record
	d.mu.Unlock()
	if !known {
		d.store(s.Name, record)
	}
	return d.runner.Add(schedule.Job{
		// From when it was first seen ticks are owed: a daemon that was killed in
		// its first run catches that up as well.
		Name: s.Name, Spec: s.Spec, Jitter: s.Jitter, Last: later(record.LastDue, record.FirstSeen),
		Run: func(ctx context.Context, t schedule.Tick) error { return d.run(ctx, s.Name, t) },
	})
}

func (d *Daemon) names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.sources {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// change alters what is known of a source, and keeps it if it was recorded.
func (d *Daemon) change(name string, alter func(*state)) {
	d.mu.Lock()
	st, ok := d.sources[name]
	var before, after Record
	if ok {
		before = st.record
		alter(st)
		after = st.record
	}
	d.mu.Unlock()
	if ok && before != after {
		d.store(name, after)
	}
}

// store keeps a record. What cannot be kept is no reason to stop: it is what is
// owed after the next restart that is unsure then. That is told once, until one
// is kept again.
func (d *Daemon) store(name string, r Record) {
	err := d.journal.Store(name, r)
	d.mu.Lock()
	known := d.lost
	d.lost = err != nil
	d.mu.Unlock()
	if err != nil && !known {
		d.say(JournalLost, name, fmt.Sprintf("%s: what was done cannot be kept for the next start: %v", name, err))
	}
}

func (d *Daemon) say(k Kind, source, text string) {
	d.tell(Message{Kind: k, Source: source, Text: strings.TrimSpace(text), Time: d.clock.Now()})
}

// watch looks every minute whether a source is overdue. At the start it waits a
// little: what was missed while nobody was there is being caught up.
func (d *Daemon) watch(ctx context.Context) {
	for wait := grace; ; wait = watchEvery {
		fires, stop := d.clock.Timer(wait)
		select {
		case <-ctx.Done():
			stop()
			return
		case <-fires:
			d.lookForOverdue()
		}
	}
}

func (d *Daemon) lookForOverdue() {
	now := d.clock.Now()
	for _, name := range d.names() {
		text := ""
		d.change(name, func(st *state) {
			st.record.clamp(now)
			if st.catchUp.After(now) {
				st.catchUp = now
			}
			catching := !st.catchUp.IsZero() && now.Before(st.catchUp.Add(st.record.Took+catchUpGrace))
			if st.record.ToldOverdue || catching || !now.After(st.deadline()) {
				return
			}
			st.record.ToldOverdue = true
			text = fmt.Sprintf("%s is overdue: no good snapshot since %s", name, st.since().UTC().Format(time.RFC3339))
			if st.record.LastSuccess.IsZero() {
				text = fmt.Sprintf("%s is overdue: it was never backed up since it was first seen, at %s", name, st.since().UTC().Format(time.RFC3339))
			}
		})
		if text != "" {
			d.say(Overdue, name, text)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// since is what the age of a source counts from.
func (st *state) since() time.Time {
	if st.record.LastSuccess.IsZero() {
		return st.record.FirstSeen
	}
	return st.record.LastSuccess
}

// deadline is when a source is overdue: at the second tick after its last
// success, for the first has then gone by in vain, and so much later as a run
// takes, which may be longer than from tick to tick.
func (st *state) deadline() time.Time {
	if st.OverdueAfter > 0 {
		return st.since().Add(st.OverdueAfter)
	}
	return st.Spec.Next(st.Spec.Next(st.since())).Add(st.record.Took)
}

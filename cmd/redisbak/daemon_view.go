package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/redisbak/redisbak/daemon"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/internal/status"
	"github.com/redisbak/redisbak/schedule"
	"github.com/redisbak/redisbak/snapshot"
)

// pageOptions are those of the status page.
func (k *keeper) pageOptions() (status.Options, error) {
	c := k.config.Status
	o := status.Options{User: c.User, Hosts: c.Hosts, Log: slog.New(slog.NewTextHandler(k.stderr, nil))}
	if c.Password.Set() {
		var err error
		if o.Password, err = c.Password.Read(); err != nil {
			return o, err
		}
	}
	return o, nil
}

// view puts together what the daemon knows and what is in the repository.
func (k *keeper) view(context.Context) (status.View, error) {
	listing, err := k.repo.List("")
	if err != nil {
		return status.View{}, err
	}
	v := status.View{Now: k.now(), Version: k.version, Repository: k.repo.Dir(), Zone: k.zone}
	if free, err := k.repo.FreeBytes(); err == nil {
		v.FreeBytes = &free
	}
	for _, p := range listing.Problems {
		v.Problems = append(v.Problems, status.Problem(p))
	}
	if text := k.unfollowed(); text != "" {
		v.Trouble = append(v.Trouble, text)
		v.Problems = append(v.Problems, status.Problem{Problem: text})
	}
	bySource := map[string][]status.Snapshot{}
	var order []string
	for _, e := range listing.Snapshots {
		name := e.Manifest.Source.Name
		if bySource[name] == nil {
			order = append(order, name)
		}
		bySource[name] = append(bySource[name], snapshotView(e))
	}
	for _, s := range k.crew.Standings() {
		v.Sources = append(v.Sources, k.sourceView(s, bySource[s.Name]))
		delete(bySource, s.Name)
	}
	// What was backed up once and is no source any more is there all the same.
	for _, name := range order {
		if all, ok := bySource[name]; ok {
			v.Sources = append(v.Sources, status.Source{Name: name, State: status.Unknown, Snapshots: all})
		}
	}
	return v, nil
}

func (k *keeper) sourceView(s daemon.Standing, snapshots []status.Snapshot) status.Source {
	k.mu.Lock()
	container := k.sources[s.Name].Container
	there, looked := k.isThere(container), !k.lookedAt.IsZero()
	k.mu.Unlock()
	out := status.Source{
		Name: s.Name, Container: container, Schedule: s.Schedule, Next: s.Next, Overdue: s.Overdue, MissedRuns: s.Missed,
		Snapshots:   snapshots,
		LastAttempt: status.Attempt{At: s.Began, Result: string(s.Result), Duration: s.Ended.Sub(s.Began)},
	}
	if s.Result == "" || s.Ended.Before(s.Began) {
		out.LastAttempt.Duration = 0
	}
	if s.Result != daemon.Success {
		out.LastAttempt.Error = s.Note
	}
	if s.Overdue {
		out.OverdueSince = s.Deadline
	}
	if s.State == schedule.Running {
		out.RunningSince = s.Since
	}
	for _, r := range daemon.Results() {
		out.Runs = append(out.Runs, status.Runs{Result: string(r), N: s.Runs[r]})
	}
	out.State = stateOfSource(s, looked && !there)
	return out
}

// isThere says whether a container of that name, id or prefix of an id was seen.
// The caller holds k.mu.
func (k *keeper) isThere(container string) bool {
	for name, f := range k.found {
		if name == container || len(container) >= 4 && strings.HasPrefix(f.id, container) {
			return true
		}
	}
	return false
}

// stateOfSource is the one word for a source.
func stateOfSource(s daemon.Standing, unknown bool) status.State {
	switch {
	case s.State == schedule.Running:
		return status.Running
	case unknown:
		return status.Unknown
	case s.Overdue:
		return status.Overdue
	case s.Result == daemon.Suspect:
		return status.Suspect
	case s.Failing:
		return status.Failed
	case s.Result == "":
		return status.Never
	}
	return status.OK
}

func snapshotView(e repo.Entry) status.Snapshot {
	m := e.Manifest
	s := status.Snapshot{
		ID: string(m.ID), PointInTime: m.PointInTime, FinishedAt: m.FinishedAt, Method: m.Method,
		State: string(e.State()), StateReason: m.Reason, Accepted: e.Marks.Accepted, Good: e.Good(),
		Verified: e.Verified(), Keys: e.Keys(), SizeBytes: e.Bytes(), StoredBytes: e.StoredBytes(),
		Pinned: e.Marks.Pinned, Tags: e.Marks.Tags,
		Phases: []status.Phase{{Name: status.PhaseCapture, Duration: m.FinishedAt.Sub(m.StartedAt)}},
	}
	if p := e.Proof; p != nil && p.Result != snapshot.Inconclusive {
		s.VerifiedAt, s.VerifyReason = p.At, p.Reason
		s.Phases = append(s.Phases, phasesOf(p)...)
	}
	return s
}

func phasesOf(p *snapshot.Proof) []status.Phase {
	phases := []status.Phase{{Name: status.PhaseFill, Duration: p.Fill}, {Name: status.PhaseLoad, Duration: p.Load}}
	if rest := p.Total - p.Fill - p.Load; rest > time.Duration(0) {
		phases = append(phases, status.Phase{Name: status.PhaseQuestion, Duration: rest})
	}
	return phases
}

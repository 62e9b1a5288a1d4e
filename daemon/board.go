package daemon

import (
	"maps"
	"time"

	"github.com/redisbak/redisbak/schedule"
)

// Standing is what is known of a source, for those who look.
type Standing struct {
	Name     string
	Schedule string
	Next     time.Time
	State    schedule.State
	Since    time.Time // of the state; of an idle source zero
	Record
	Missed   int64
	Runs     map[Result]int64 // since the start
	Overdue  bool
	Failing  bool
	Deadline time.Time // from which on it is overdue
}

// Standings lists the sources by name.
func (d *Daemon) Standings() []Standing {
	jobs := map[string]schedule.Status{}
	for _, j := range d.runner.Jobs() {
		jobs[j.Name] = j
	}
	now := d.clock.Now()
	var all []Standing
	for _, name := range d.names() {
		d.mu.Lock()
		st, ok := d.sources[name]
		if !ok {
			d.mu.Unlock()
			continue
		}
		s := Standing{
			Name: name, Schedule: st.Spec.String(), Next: st.next, State: schedule.Idle, Record: st.record, Missed: st.missed,
			Runs: maps.Clone(st.runs), Failing: st.failing, Deadline: st.deadline(),
		}
		d.mu.Unlock()
		s.Overdue = now.After(s.Deadline)
		if j, ok := jobs[name]; ok {
			s.State, s.Since, s.Next = j.State, j.Since, j.Next
		}
		all = append(all, s)
	}
	return all
}

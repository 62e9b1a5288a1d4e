package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// FAULT 51, FAULT 52: jobs that come, go, run by hand, fail and overrun, while
// the clock is set, the machine sleeps and the process is started anew, from
// many goroutines. No job overlaps itself, no more run at once than may, and
// what is due has one end.
func TestFault52StormOfEverything(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inWorld(t, "2026-03-28 12:00:00 +0000", func(w *world) {
				s := &storm{world: w, random: rand.New(rand.NewPCG(seed, 52)), running: map[string]bool{}}
				const atOnce = 3
				w.boot(atOnce)
				for range 300 {
					s.blow(atOnce)
				}
				w.pass(time.Hour)
				if len(w.events) < 100 || s.most > atOnce {
					t.Errorf("%d events, %d at once", len(w.events), s.most)
				}
			})
		})
	}
}

type storm struct {
	*world
	random *rand.Rand

	mu      sync.Mutex
	running map[string]bool
	most    int
}

// job draws a job. What it does is drawn from the tick, for runs go on side by
// side.
func (s *storm) job() Job {
	specs := []string{"*/10 * * * *", "30 2 * * *", "@every 7m", "@every 90s", "@hourly", "*/20 * * * * *"}
	name := fmt.Sprint("job ", s.random.IntN(8))
	j := Job{
		Name: name, Spec: spec(s, specs[s.random.IntN(len(specs))], zone(s, "Europe/Berlin")),
		Jitter: []time.Duration{-1, 0, 20 * time.Minute}[s.random.IntN(3)], Last: s.kept(name),
	}
	lasts := time.Duration(s.random.IntN(1500)) * time.Second
	j.Run = func(ctx context.Context, tick Tick) error {
		s.enter(name)
		defer s.leave(name)
		if (tick.Due.Unix()/60+int64(tick.Attempt))%3 == 0 {
			return lasting(lasts/4, errRun)(ctx, tick)
		}
		return lasting(lasts, nil)(ctx, tick)
	}
	return j
}

func (s *storm) enter(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[name] {
		s.Errorf("%s overlaps itself", name)
	}
	s.running[name] = true
	s.most = max(s.most, len(s.running))
}

func (s *storm) leave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, name)
}

// blow does one thing, or a few from many goroutines at once.
func (s *storm) blow(atOnce int) {
	span := time.Duration(s.random.IntN(3600)) * time.Second
	switch s.random.IntN(12) {
	case 0, 1:
		s.add(s.job())
	case 2:
		s.together()
	case 3:
		s.clock.jump(span)
	case 4:
		s.clock.jump(-span)
	case 5:
		s.sleep(10 * span)
	case 6:
		if s.random.IntN(4) == 0 {
			s.stop()
			s.boot(atOnce)
		}
	default:
		s.pass(span / 4)
	}
}

// together removes, adds, runs and asks all at once.
func (s *storm) together() {
	var group sync.WaitGroup
	for range 5 {
		j, name := s.job(), fmt.Sprint("job ", s.random.IntN(8))
		group.Go(func() {
			var unknown *UnknownError
			if err := s.runner.Remove(name); err != nil && !errors.As(err, &unknown) {
				s.Error(err)
			}
		})
		group.Go(func() { s.add(j) })
		group.Go(func() {
			var unknown *UnknownError
			var busy *BusyError
			if err := s.runner.RunNow(name); err != nil && !errors.As(err, &unknown) && !errors.As(err, &busy) {
				s.Error(err)
			}
		})
		group.Go(func() {
			for _, status := range s.runner.Jobs() {
				if (status.State == Idle) != status.Since.IsZero() {
					s.Errorf("status %+v", status)
				}
			}
		})
	}
	group.Wait()
	synctest.Wait()
}

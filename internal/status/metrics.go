package status

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// family is one metric: its name, what it says, and its values in a view. A
// value that is not known is not emitted.
type family struct {
	name, help string
	labels     []string
	kind       prometheus.ValueType
	values     func(View, emit)
}

// emit takes a value and the values of the labels, in their order.
type emit func(value float64, labels ...string)

// ofSource is a family with one value, or none, for each source.
func ofSource(name, help string, value func(Source) (float64, bool)) family {
	return family{name: name, help: help, labels: []string{"source"}, kind: prometheus.GaugeValue, values: func(v View, out emit) {
		for _, s := range v.Sources {
			if x, ok := value(s); ok {
				out(x, s.Name)
			}
		}
	}}
}

// timeOf is a family of Unix times.
func timeOf(name, help string, at func(Source) time.Time) family {
	return ofSource(name, help, func(s Source) (float64, bool) {
		t := at(s)
		return seconds(t), !t.IsZero()
	})
}

// ofNewestGood is a family of what the newest good snapshot has.
func ofNewestGood(name, help string, value func(Snapshot) (float64, bool)) family {
	return ofSource(name, help, func(s Source) (float64, bool) {
		e, ok := s.newestGood()
		if !ok {
			return 0, false
		}
		return value(e)
	})
}

func known(x float64) (float64, bool) { return x, true }

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / float64(time.Second) }

func families() []family {
	return append(append(timeFamilies(), countFamilies()...), runFamilies()...)
}

func timeFamilies() []family {
	return []family{
		timeOf("redisbak_recoverable_point_timestamp_seconds",
			"Instant that the newest good snapshot shows: what was written to the source later is in no backup.", Source.recoverablePoint),
		timeOf("redisbak_last_success_timestamp_seconds",
			"Time at which the last good snapshot was committed.", Source.lastSuccess),
		timeOf("redisbak_last_attempt_timestamp_seconds",
			"Time at which the last run began, whatever came of it.", func(s Source) time.Time { return s.LastAttempt.At }),
		timeOf("redisbak_last_verified_restore_timestamp_seconds",
			"Time at which a snapshot last passed a verification, that is, was restored to a throw-away volume and served by a server.", Source.lastVerified),
		timeOf("redisbak_next_run_timestamp_seconds",
			"Time of the next run.", func(s Source) time.Time { return s.Next }),
	}
}

func countFamilies() []family {
	return []family{
		ofSource("redisbak_verify_result",
			"Verdict on the newest snapshot: 1 passed, 0 failed. Absent while nobody has verified it.", Source.verdict),
		ofNewestGood("redisbak_backup_keys",
			"Keys in the newest good snapshot. Absent where they could not be counted.", func(e Snapshot) (float64, bool) {
				if e.Keys == nil {
					return 0, false
				}
				return known(float64(*e.Keys))
			}),
		ofNewestGood("redisbak_backup_bytes",
			"Size of the newest good snapshot as the server wrote it.", func(e Snapshot) (float64, bool) { return known(float64(e.SizeBytes)) }),
		ofNewestGood("redisbak_backup_stored_bytes",
			"Size of the newest good snapshot as it is stored.", func(e Snapshot) (float64, bool) { return known(float64(e.StoredBytes)) }),
		ofSource("redisbak_good_backups",
			"Snapshots that may be restored without a second thought: good or accepted, and no verification of them failed.",
			func(s Source) (float64, bool) { return known(float64(s.good())) }),
		ofSource("redisbak_suspect_backups",
			"Snapshots that are far smaller than those before, and that nobody has accepted.",
			func(s Source) (float64, bool) { return known(float64(s.suspect())) }),
		ofSource("redisbak_stored_bytes",
			"Size of all snapshots of the source as they are stored.", func(s Source) (float64, bool) { return known(float64(s.stored())) }),
		{name: "redisbak_repo_free_bytes", help: "Free space on the file system of the repository.", kind: prometheus.GaugeValue, values: func(v View, out emit) {
			if v.FreeBytes != nil {
				out(float64(*v.FreeBytes))
			}
		}},
		{name: "redisbak_repo_problems", help: "Things that are wrong with snapshots in the repository, as redisbak list tells of them.", kind: prometheus.GaugeValue,
			values: func(v View, out emit) { out(float64(len(v.Problems))) }},
		{name: "redisbak_build_info", help: "Always 1; the labels say which redisbak runs, and the Go that it was built with.",
			labels: []string{"version", "goversion"}, kind: prometheus.GaugeValue,
			values: func(v View, out emit) { out(1, v.Version, runtime.Version()) }},
	}
}

func runFamilies() []family {
	return []family{
		ofSource("redisbak_overdue",
			"1 where a good snapshot should be there by now and is not, else 0.", func(s Source) (float64, bool) { return known(flag(s.Overdue)) }),
		{name: "redisbak_source_state", help: "State of the source: 1 for the one that it is in, 0 for the others.",
			labels: []string{"source", "state"}, kind: prometheus.GaugeValue, values: func(v View, out emit) {
				for _, s := range v.Sources {
					for _, state := range states() {
						out(flag(s.State == state), s.Name, string(state))
					}
				}
			}},
		{name: "redisbak_runs_total", help: "Runs that have ended, by their result, since the daemon started.",
			labels: []string{"source", "result"}, kind: prometheus.CounterValue, values: func(v View, out emit) {
				for _, s := range v.Sources {
					for _, r := range s.Runs {
						out(float64(r.N), s.Name, r.Result)
					}
				}
			}},
		{name: "redisbak_missed_runs_total", help: "Times at which a run was due and none began: the daemon was down, or the run before was not done.",
			labels: []string{"source"}, kind: prometheus.CounterValue, values: func(v View, out emit) {
				for _, s := range v.Sources {
					out(float64(s.MissedRuns), s.Name)
				}
			}},
		{name: "redisbak_phase_duration_seconds", help: "Time that the parts of the work on the newest snapshot took. None is a part of another; fill and load together are what a restore takes.",
			labels: []string{"source", "phase"}, kind: prometheus.GaugeValue, values: func(v View, out emit) {
				for _, s := range v.Sources {
					e, _ := s.newestAny()
					for _, p := range e.Phases {
						out(p.Duration.Seconds(), s.Name, p.Name)
					}
				}
			}},
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// metrics are made from one view, before a collector is asked: collectors run
// in goroutines of their own, where a panic would end the daemon.
type metrics []prometheus.Metric

func measure(v View) metrics {
	var all metrics
	for _, f := range families() {
		desc := prometheus.NewDesc(f.name, f.help, f.labels, nil)
		f.values(v, func(value float64, labels ...string) {
			m, err := prometheus.NewConstMetric(desc, f.kind, value, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(desc, err)
			}
			all = append(all, m)
		})
	}
	return all
}

// Describe names nothing: which metrics there are depends on what is known.
// Names and labels are checked when they are gathered.
func (m metrics) Describe(chan<- *prometheus.Desc) {}

func (m metrics) Collect(out chan<- prometheus.Metric) {
	for _, one := range m {
		out <- one
	}
}

// ofProcess has what is true without a view: how the process feels.
func ofProcess() *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// metrics serves /metrics. Where there is no view, there is an error and no
// metrics: a scrape that fails is an alarm, one that shows half is none.
func (s *site) metrics(w http.ResponseWriter, r *http.Request) {
	v, ok := s.look(w, r)
	if !ok {
		return
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(measure(v)); err != nil {
		s.fail(w, r, err)
		return
	}
	promhttp.HandlerFor(prometheus.Gatherers{s.process, registry}, promhttp.HandlerOpts{
		DisableCompression: true, EnableOpenMetrics: true, ErrorHandling: promhttp.HTTPErrorOnError,
	}).ServeHTTP(w, r)
}

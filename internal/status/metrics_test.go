package status

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scraped are the values on /metrics, by name and labels.
func scraped(t *testing.T, v View) map[string]float64 {
	t.Helper()
	answer := get(t, serving(t, v), "/metrics")
	if answer.Code != http.StatusOK {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for name, family := range families {
		if !strings.HasPrefix(name, "redisbak_") {
			continue
		}
		for _, m := range family.Metric {
			values[name+labelText(m)] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func labelText(m *dto.Metric) string {
	var all []string
	for _, l := range m.Label {
		all = append(all, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	if all == nil {
		return ""
	}
	slices.Sort(all)
	return "{" + strings.Join(all, ",") + "}"
}

// Every number comes back as the view has it.
func TestMetricsSayWhatTheViewSays(t *testing.T) {
	v := full(t)
	got := scraped(t, v)
	first := time.Date(2026, 2, 8, 2, 15, 2, 0, time.UTC)
	unix := func(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
	for name, want := range map[string]float64{
		`redisbak_recoverable_point_timestamp_seconds{source="sessions"}`:     unix(first) + 0.123,
		`redisbak_last_success_timestamp_seconds{source="sessions"}`:          unix(first) + 9,
		`redisbak_last_attempt_timestamp_seconds{source="sessions"}`:          unix(first),
		`redisbak_last_verified_restore_timestamp_seconds{source="sessions"}`: unix(first) + 21,
		`redisbak_next_run_timestamp_seconds{source="sessions"}`:              1770603300,
		`redisbak_verify_result{source="sessions"}`:                           1,
		`redisbak_backup_keys{source="sessions"}`:                             1_329_630,
		`redisbak_backup_bytes{source="sessions"}`:                            1_008_641_978,
		`redisbak_backup_stored_bytes{source="sessions"}`:                     238_271_577,
		`redisbak_good_backups{source="sessions"}`:                            28,
		`redisbak_good_backups{source="brand-new"}`:                           0,
		`redisbak_suspect_backups{source="sessions"}`:                         1,
		`redisbak_stored_bytes{source="sessions"}`:                            6_383_826_735,
		`redisbak_missed_runs_total{source="sessions"}`:                       2,
		`redisbak_runs_total{result="success",source="sessions"}`:             31,
		`redisbak_runs_total{result="failed",source="sessions"}`:              1,
		`redisbak_runs_total{result="skipped",source="queue"}`:                1,
		`redisbak_overdue{source="queue"}`:                                    1,
		`redisbak_overdue{source="sessions"}`:                                 0,
		`redisbak_source_state{source="queue",state="running"}`:               1,
		`redisbak_source_state{source="queue",state="ok"}`:                    0,
		`redisbak_source_state{source="brand-new",state="never"}`:             1,
		`redisbak_phase_duration_seconds{phase="capture",source="sessions"}`:  8.274,
		`redisbak_phase_duration_seconds{phase="load",source="sessions"}`:     3.92,
		`redisbak_repo_free_bytes`:                                            73_400_320_512,
		`redisbak_repo_problems`:                                              1,
	} {
		if x, ok := got[name]; !ok || math.Abs(x-want) > 1e-6*math.Abs(want)/1e3 {
			t.Errorf("%s: %f (there: %v), want %f", name, x, ok, want)
		}
	}
	if !slices.ContainsFunc(keysOf(got), func(name string) bool {
		return strings.HasPrefix(name, "redisbak_build_info{") && strings.Contains(name, `version="v1.4.0"`)
	}) {
		t.Error("no redisbak_build_info of this version")
	}
}

func keysOf(m map[string]float64) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// What is not known is absent: an alert on 0 would ring for nothing, and one
// on an old 0 never.
func TestMetricsLeaveOutWhatIsNotKnown(t *testing.T) {
	v := full(t)
	v.FreeBytes = nil
	v.Sources[0].Snapshots[0].Keys = nil
	v.Sources[0].Snapshots[0].Verified = VerifyNever
	got := scraped(t, v)
	for _, name := range []string{
		`redisbak_repo_free_bytes`,
		`redisbak_backup_keys{source="sessions"}`,
		`redisbak_verify_result{source="sessions"}`,
		`redisbak_recoverable_point_timestamp_seconds{source="brand-new"}`,
		`redisbak_recoverable_point_timestamp_seconds{source="cache"}`, // its one snapshot is suspect
		`redisbak_last_success_timestamp_seconds{source="cache"}`,
		`redisbak_last_attempt_timestamp_seconds{source="brand-new"}`,
		`redisbak_last_verified_restore_timestamp_seconds{source="cache"}`,
		`redisbak_verify_result{source="cache"}`,
		`redisbak_backup_keys{source="cache"}`,
		`redisbak_backup_bytes{source="brand-new"}`,
		`redisbak_next_run_timestamp_seconds{source="` + v.Sources[4].Name + `"}`,
	} {
		if x, ok := got[name]; ok {
			t.Errorf("%s is %f, and is not known", name, x)
		}
	}
}

// The names are a contract: dashboards and alerts rely on them.
func TestMetricsHaveTheNamesThatWerePromised(t *testing.T) {
	got := strings.Join(keysOf(scraped(t, full(t))), "\n") + "\n"
	for _, name := range []string{
		"redisbak_recoverable_point_timestamp_seconds", "redisbak_last_success_timestamp_seconds", "redisbak_last_attempt_timestamp_seconds",
		"redisbak_last_verified_restore_timestamp_seconds", "redisbak_verify_result", "redisbak_backup_keys", "redisbak_backup_bytes",
		"redisbak_good_backups", "redisbak_suspect_backups", "redisbak_missed_runs_total", "redisbak_next_run_timestamp_seconds",
	} {
		if !strings.Contains(got, name+`{source="sessions"}`+"\n") {
			t.Errorf("no %s{source}", name)
		}
	}
	if !strings.Contains(got, `redisbak_runs_total{result="success",source="sessions"}`) {
		t.Error("no redisbak_runs_total{result,source}")
	}
}

// Names, types and help texts are as Prometheus wants them, and the process
// tells of itself too.
func TestMetricsPassPromlint(t *testing.T) {
	answer := get(t, serving(t, full(t)), "/metrics")
	body := answer.Body.String()
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "redisbak_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(body, "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

// A scrape that shows half would look like a source that is gone.
func TestMetricsAreAllOrNothing(t *testing.T) {
	twice := full(t)
	twice.Sources = append(twice.Sources, twice.Sources[0])
	broken := full(t)
	broken.Sources[0].Runs = append(broken.Sources[0].Runs, Runs{"not\xffutf8", 1})
	for name, v := range map[string]View{"two sources of one name": twice, "a label that is no text": broken} {
		if answer := get(t, serving(t, v), "/metrics"); answer.Code != http.StatusInternalServerError || strings.Contains(answer.Body.String(), "redisbak_good_backups{") {
			t.Errorf("%s: status %d: %.200s", name, answer.Code, answer.Body)
		}
	}
	none := answering(t, func() (View, error) { return View{}, errors.New("disk gone") }, Options{})
	if answer := get(t, none, "/metrics"); answer.Code != http.StatusInternalServerError || !strings.Contains(answer.Body.String(), "disk gone") {
		t.Errorf("no view: status %d: %s", answer.Code, answer.Body)
	}
}

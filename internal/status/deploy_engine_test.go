//go:build engine

package status

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// promtool runs Prometheus's own tool.
func promtool(t *testing.T) func(args ...string) string {
	t.Helper()
	path, err := exec.Command("../../testdata/engine/promtool.sh", t.TempDir()).Output()
	if err != nil {
		t.Fatalf("promtool.sh: %v", err)
	}
	return func(args ...string) string {
		t.Helper()
		out, err := exec.Command(strings.TrimSpace(string(path)), args...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
}

// Prometheus reads the alerts; they ring when they should and not before; it
// understands what the dashboard asks for; and it likes the metrics.
func TestPrometheusReadsWhatIsDeployed(t *testing.T) {
	run := promtool(t)
	if out := run("check", "rules", alertsFile); !strings.Contains(out, "SUCCESS") {
		t.Errorf("%s", out)
	}
	if out := run("test", "rules", "testdata/alerts_test.yml"); !strings.Contains(out, "SUCCESS") {
		t.Errorf("%s", out)
	}

	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	n := 0
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			expr := strings.ReplaceAll(target.Expr, "$source", "a|b")
			fmt.Fprintf(&rules, "      - {record: 'panel:%d', expr: '%s'}\n", n, expr)
			n++
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run("check", "rules", file); !strings.Contains(out, fmt.Sprintf("%d rules found", n)) {
		t.Errorf("%d questions of the dashboard: %s", n, out)
	}
}

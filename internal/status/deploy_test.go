package status

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	alertsFile    = "../../deploy/alerts.yml"
	dashboardFile = "../../deploy/grafana.json"
)

// dashboard is what the tests read of Grafana's format.
type dashboard struct {
	Panels []struct {
		ID      int
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct {
			RefID string
			Expr  string
		}
	}
	Templating struct {
		List []struct{ Name string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%s: %v", dashboardFile, err)
	}
	return d
}

// What alerts and dashboard ask for is what /metrics has: a metric of another
// name is no error for Prometheus, and an alert that never rings.
func TestAlertsAndDashboardNameMetricsThatExist(t *testing.T) {
	there := map[string]bool{}
	for name := range scraped(t, full(t)) {
		name, _, _ = strings.Cut(name, "{")
		there[name] = true
	}
	for _, file := range []string{alertsFile, dashboardFile, "testdata/alerts_test.yml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bredisbak_[a-z_]+`).FindAllString(string(text), -1)
		if len(names) < 10 {
			t.Errorf("%s: %d metrics", file, len(names))
		}
		for _, name := range names {
			if !there[name] {
				t.Errorf("%s: there is no %s", file, name)
			}
		}
	}
}

// Each panel asks for something, and lies in the grid, on no other one.
func TestDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if p.Title == "" || len(p.Targets) == 0 || ids[p.ID] {
			t.Errorf("panel %d %q: no title, nothing to ask for, or its number is another's", p.ID, p.Title)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.W == 0 || g.H == 0 || g.X+g.W > 24 {
			t.Errorf("%s: is not in the grid: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	if len(d.Panels) < 10 || len(d.Templating.List) != 2 {
		t.Errorf("%d panels, %d variables", len(d.Panels), len(d.Templating.List))
	}
}

// Every alert is tried in the test that promtool runs, where it rings.
func TestEveryAlertIsTried(t *testing.T) {
	rules, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("testdata/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 6 {
		t.Fatalf("%d alerts", len(alerts))
	}
	for _, alert := range alerts {
		if !strings.Contains(string(tests), "alertname: "+alert[1]+"\n        exp_alerts:") {
			t.Errorf("%s never rings in a test", alert[1])
		}
		if !strings.Contains(string(tests), "alertname: "+alert[1]+"}") {
			t.Errorf("%s is never silent in a test", alert[1])
		}
	}
}

package status

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxPoints is how many of the newest snapshots a chart shows.
const maxPoints = 200

// manyPoints is from where on a chart has dots only for what is not good.
const manyPoints = 60

// chart is a line over time, drawn in a field of 1000 by 100 that is stretched
// to the width of the page. Texts are outside, where nothing stretches them.
type chart struct {
	Name, Label string
	Text        string // all that it shows, for who cannot see it
	Latest      string
	Range       string // from the least to the most
	First, Last string // days, at the ends of the axis
	Line, Area  string // paths
	Dots        []dot
	Points      int
}

type dot struct{ At, Class, Title string }

const (
	chartWidth  = 1000
	chartHeight = 100
	headroom    = 1.1 // the highest value does not touch the edge
)

// quantity is what a chart shows of each snapshot.
type quantity struct {
	name, label string
	value       func(Snapshot) (float64, bool)
	text        func(float64) string
}

func quantities() []quantity {
	return []quantity{
		{"size", "Size", func(e Snapshot) (float64, bool) { return float64(e.SizeBytes), true },
			func(x float64) string { return bytesText(int64(x)) }},
		{"keys", "Keys", func(e Snapshot) (float64, bool) {
			if e.Keys == nil {
				return 0, false
			}
			return float64(*e.Keys), true
		}, func(x float64) string { return countText(int64(x)) }},
		{"duration", "Capture and proof", func(e Snapshot) (float64, bool) {
			d, ok := e.duration()
			return d.Seconds(), ok
		}, func(x float64) string { return durationText(time.Duration(x * float64(time.Second))) }},
	}
}

// charts are those of a source that have something to show: two points make a
// line.
func charts(s Source, zone *time.Location) []chart {
	points := slices.Clone(s.Snapshots)
	slices.SortStableFunc(points, func(a, b Snapshot) int { return a.PointInTime.Compare(b.PointInTime) })
	points = points[max(0, len(points)-maxPoints):]
	var all []chart
	for _, q := range quantities() {
		if c := draw(q, s.Name, points, zone); c.Points > 1 {
			all = append(all, c)
		}
	}
	return all
}

// draw makes the chart of one quantity from snapshots, the oldest first.
func draw(q quantity, source string, points []Snapshot, zone *time.Location) chart {
	c := chart{Name: q.name, Label: q.label}
	var low, high, last float64
	for _, e := range points {
		x, ok := q.value(e)
		if !ok {
			continue
		}
		if c.Points == 0 {
			low, high = x, x
		}
		low, high, last = min(low, x), max(high, x), x
		c.Points++
	}
	if c.Points == 0 {
		return c
	}
	first, end := points[0].PointInTime, points[len(points)-1].PointInTime
	c.First, c.Last = first.In(zone).Format(time.DateOnly), end.In(zone).Format(time.DateOnly)
	c.Latest = q.text(last)
	if c.Range = q.text(low) + " to " + q.text(high); low == high {
		c.Range = "always " + q.text(high)
	}
	c.Text = fmt.Sprintf("%s of %s in %s from %s to %s: %s, last %s", q.label, source,
		plural(int64(c.Points), "snapshot"), c.First, c.Last, c.Range, c.Latest)
	c.trace(q, points, frame{first, end, high}, zone)
	return c
}

// frame is what a chart has at its edges; the lower one is 0.
type frame struct {
	from, to time.Time
	high     float64
}

func (f frame) x(t time.Time) float64 {
	if span := f.to.Sub(f.from); span > 0 {
		return chartWidth * float64(t.Sub(f.from)) / float64(span)
	}
	return chartWidth / 2
}

func (f frame) y(value float64) float64 {
	if f.high <= 0 {
		return chartHeight
	}
	return chartHeight * (1 - value/(f.high*headroom))
}

// trace draws lines between neighbours that both have a value. Where one has
// none there is a gap.
func (c *chart) trace(q quantity, points []Snapshot, f frame, zone *time.Location) {
	var line, area strings.Builder
	var start, x float64
	open := false
	end := func() {
		if open {
			fmt.Fprintf(&area, "L%s %dL%s %dZ", coordinate(x), chartHeight, coordinate(start), chartHeight)
		}
		open = false
	}
	for _, e := range points {
		value, ok := q.value(e)
		if !ok {
			end()
			continue
		}
		x = f.x(e.PointInTime)
		at, move := coordinate(x)+" "+coordinate(f.y(value)), "L"
		if !open {
			move, start, open = "M", x, true
		}
		line.WriteString(move + at)
		area.WriteString(move + at)
		if class := dotClass(e); class != "is-good" || c.Points <= manyPoints {
			c.Dots = append(c.Dots, dot{At: "M" + at + "h0", Class: class, Title: dotTitle(e, q.text(value), zone)})
		}
	}
	end()
	c.Line, c.Area = line.String(), area.String()
}

func dotClass(e Snapshot) string {
	switch {
	case e.Verified == VerifyFailed:
		return "is-failed"
	case !e.Good:
		return "is-suspect"
	}
	return "is-good"
}

func dotTitle(e Snapshot, value string, zone *time.Location) string {
	title := e.PointInTime.In(zone).Format("2006-01-02 15:04") + ": " + value
	switch dotClass(e) {
	case "is-failed":
		title += ", verification failed"
	case "is-suspect":
		title += ", suspect"
	}
	return title
}

func coordinate(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }

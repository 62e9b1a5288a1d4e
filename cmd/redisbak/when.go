package main

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/redisbak/redisbak/internal/config"
)

const day = 24 * time.Hour

// parseDay reads the local day of --date and returns its first instant and the
// next day's: a day of a change of clocks has 23 or 25 hours.
func parseDay(text string, zone *time.Location) (from, to time.Time, err error) {
	for _, layout := range []string{"20060102", "2006-01-02"} {
		if day, err := time.Parse(layout, text); err == nil {
			return beginning(day, zone), beginning(day.AddDate(0, 0, 1), zone), nil
		}
	}
	return from, to, usagef("--date %q: not a day like 20260208 or 2026-02-08", text)
}

// beginning is the first instant of a zone's day. It need not be midnight:
// where the clocks are put forward at that hour there is none. day is that
// day's midnight in UTC.
func beginning(day time.Time, zone *time.Location) time.Time {
	const far = 16 * time.Hour // no zone is further from UTC
	start := day.Add(-far)
	after := sort.Search(int(2*far/time.Second), func(seconds int) bool {
		y, m, d := start.Add(time.Duration(seconds) * time.Second).In(zone).Date()
		return !time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Before(day)
	})
	return start.Add(time.Duration(after) * time.Second).In(zone)
}

// parseInstant reads --at: RFC 3339, a local time, or "2h ago".
func parseInstant(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if before, ok := strings.CutSuffix(strings.TrimSpace(text), " ago"); ok {
		d, err := config.ParseDuration(strings.TrimSpace(before))
		if err != nil {
			return time.Time{}, usagef("--at %q: %w", text, err)
		}
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef(`--at %q: not an instant like 2026-02-08T14:03:00Z, "2026-02-08 14:03" or "2h ago"`, text)
}

// both prints an instant in the user's zone and in UTC.
func both(t time.Time, zone *time.Location) string {
	return fmt.Sprintf("%s (%s)", local(t, zone), t.UTC().Format(time.RFC3339))
}

func local(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02 15:04:05 MST")
}

// age is how long ago an instant was, in the coarsest unit that tells.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d/day))
	}
}

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration reads "90s", "2h30m", "7d", "4w" or "1y"; a year is 365 days.
func parseDuration(text string) (time.Duration, error) {
	rest, total := text, time.Duration(0)
	if rest == "" {
		return 0, fmt.Errorf("empty")
	}
	for rest != "" {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits == len(rest) {
			return 0, fmt.Errorf("not a number with one of the units s, m, h, d, w, y")
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("number out of range")
		}
		unit := map[byte]time.Duration{
			's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': day, 'w': 7 * day, 'y': 365 * day,
		}[rest[digits]]
		if unit == 0 {
			return 0, fmt.Errorf("unknown unit %q: use s, m, h, d, w or y", rest[digits])
		}
		if n > int64(1<<63-1-total)/int64(unit) {
			return 0, fmt.Errorf("out of range")
		}
		total += time.Duration(n) * unit
		rest = rest[digits+1:]
	}
	return total, nil
}

// parseDay reads the local day of --date and returns its first instant and the
// next day's: a day of a change of clocks has 23 or 25 hours.
func parseDay(text string, zone *time.Location) (from, to time.Time, err error) {
	for _, layout := range []string{"20060102", "2006-01-02"} {
		if from, err = time.ParseInLocation(layout, text, zone); err == nil {
			y, m, d := from.Date()
			return from, time.Date(y, m, d+1, 0, 0, 0, 0, zone), nil
		}
	}
	return from, to, usagef("--date %q: not a day like 20260208 or 2026-02-08", text)
}

// parseInstant reads --at: RFC 3339, a local time, or "2h ago".
func parseInstant(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if before, ok := strings.CutSuffix(strings.TrimSpace(text), " ago"); ok {
		d, err := parseDuration(strings.TrimSpace(before))
		if err != nil {
			return time.Time{}, usagef("--at %q: %v", text, err)
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
	return fmt.Sprintf("%s (%s)", t.In(zone).Format("2006-01-02 15:04:05 MST"), t.UTC().Format(time.RFC3339))
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

package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "1s": time.Second, "90s": 90 * time.Second, "2h30m": 150 * time.Minute, "1m1s": 61 * time.Second,
		"7d": 7 * 24 * time.Hour, "4w": 28 * 24 * time.Hour, "1y": 365 * 24 * time.Hour, "1y1w1d1h1m1s": (365+7+1)*24*time.Hour + time.Hour + time.Minute + time.Second,
		"007s": 7 * time.Second, "292y": 292 * 365 * 24 * time.Hour, "9223372036s": 9223372036 * time.Second,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
	const form = "not numbers with units, like 90s, 2h30m or 7d"
	for text, want := range map[string]string{
		"": "empty", "5": form, "s": form, "5 m": form, "-5s": form, "+5s": form, "1.5h": form, "5s5": form, " 5s": form, "5s ": form, "1_000s": form, "5µs": form,
		"5x": "unknown unit 'x': use s, m, h, d, w or y", "5H": "unknown unit 'H': use s, m, h, d, w or y", "5ms": "not numbers with units, like 90s, 2h30m or 7d",
		"293y": "out of range", "292y1y": "out of range", "9223372037s": "out of range", "99999999999999999999s": "number out of range",
	} {
		if got, err := ParseDuration(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v %v, want %q", text, got, err, want)
		}
	}
}

// What is written is read as the same.
func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "1s": time.Second, "1m30s": 90 * time.Second, "2h30m": 150 * time.Minute, "7d": 7 * day, "365d": 365 * day, "1d1s": day + time.Second,
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, (1<<63-1)/int64(time.Second)).Draw(t, "seconds")) * time.Second
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%v: %s: %v %v", d, FormatDuration(d), got, err)
		}
	})
}

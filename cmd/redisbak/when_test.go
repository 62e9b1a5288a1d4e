package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func zoned(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// A day is what the people of a place call one: where clocks are put forward or
// back it has 23 or 25 hours, half an hour less in some places, and it need not
// begin at midnight. One day on an island was left out altogether.
func TestParseDayIsTheLocalDay(t *testing.T) {
	for _, c := range []struct {
		zone, text, from, to string
		hours                float64
	}{
		{"UTC", "20260208", "2026-02-08T00:00:00Z", "2026-02-09T00:00:00Z", 24},
		{"UTC", "2026-02-08", "2026-02-08T00:00:00Z", "2026-02-09T00:00:00Z", 24},
		{"UTC", "2024-02-29", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z", 24},
		{"UTC", "2026-12-31", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z", 24},
		{"Europe/Berlin", "20260208", "2026-02-07T23:00:00Z", "2026-02-08T23:00:00Z", 24},
		{"Europe/Berlin", "20260329", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23},
		{"Europe/Berlin", "20260330", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z", 24},
		{"Europe/Berlin", "20261025", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25},
		{"America/New_York", "20260308", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", 23},
		{"Australia/Lord_Howe", "20261004", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z", 23.5},
		{"Africa/Cairo", "20260424", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z", 23},
		{"Africa/Cairo", "20260423", "2026-04-22T22:00:00Z", "2026-04-23T22:00:00Z", 24},
		{"Africa/Cairo", "20261029", "2026-10-28T21:00:00Z", "2026-10-29T22:00:00Z", 25},
		{"America/Sao_Paulo", "20171015", "2017-10-15T03:00:00Z", "2017-10-16T02:00:00Z", 23},
		{"America/Havana", "20261101", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", 25},
		{"Pacific/Apia", "20111229", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", 24},
		{"Pacific/Apia", "20111230", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", 0},
		{"Pacific/Apia", "20111231", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z", 24},
	} {
		from, to, err := parseDay(c.text, zoned(t, c.zone))
		if err != nil {
			t.Errorf("%s in %s: %v", c.text, c.zone, err)
			continue
		}
		if got := from.UTC().Format(time.RFC3339); got != c.from {
			t.Errorf("%s in %s begins at %s, want %s", c.text, c.zone, got, c.from)
		}
		if got := to.UTC().Format(time.RFC3339); got != c.to || to.Sub(from).Hours() != c.hours {
			t.Errorf("%s in %s ends at %s after %v, want %s after %v h", c.text, c.zone, got, to.Sub(from), c.to, c.hours)
		}
	}
}

// Days follow each other without a gap and without an overlap, so that every
// snapshot belongs to exactly one.
func TestDaysFollowEachOther(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Asia/Kathmandu"} {
		zone := zoned(t, name)
		var end time.Time
		for day := time.Date(2017, 1, 1, 12, 0, 0, 0, time.UTC); day.Year() < 2028; day = day.AddDate(0, 0, 1) {
			from, to, err := parseDay(day.Format("20060102"), zone)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !end.IsZero() && !from.Equal(end) {
				t.Errorf("%s: %s begins at %s, and the day before ended at %s", name, day.Format(time.DateOnly), from, end)
			}
			if noon := time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, zone); noon.Before(from) || !noon.Before(to) {
				t.Errorf("%s: noon of %s is not in it", name, day.Format(time.DateOnly))
			}
			end = to
		}
	}
}

func TestParseDayRefuses(t *testing.T) {
	for _, text := range []string{"", "2026", "202602", "20260229", "20260230", "20261301", "20260200", "2026-2-8", "2026-02-8", "08.02.2026", "2026/02/08", " 20260208", "20260208 ", "20260208T0000", "today", "+20260208", "2026-02-08Z"} {
		_, _, err := parseDay(text, time.UTC)
		if err == nil || !as[*usageError](err) || !strings.HasSuffix(err.Error(), ": not a day like 20260208 or 2026-02-08") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseInstant(t *testing.T) {
	now := time.Date(2026, 2, 8, 12, 0, 0, 0, time.UTC)
	berlin := zoned(t, "Europe/Berlin")
	for text, want := range map[string]string{
		"2026-02-08T14:03:00Z": "2026-02-08T14:03:00Z", "2026-02-08T14:03:00+05:30": "2026-02-08T08:33:00Z", "2026-02-08T14:03:00.25Z": "2026-02-08T14:03:00Z",
		"2026-02-08 14:03": "2026-02-08T13:03:00Z", "2026-02-08 14:03:05": "2026-02-08T13:03:05Z", "2026-02-08T14:03": "2026-02-08T13:03:00Z", "2026-02-08T14:03:05": "2026-02-08T13:03:05Z",
		"2026-07-08 14:03": "2026-07-08T12:03:00Z",
		"2h ago":           "2026-02-08T10:00:00Z", "1d12h ago": "2026-02-07T00:00:00Z", " 1w ago ": "2026-02-01T12:00:00Z", "0s ago": "2026-02-08T12:00:00Z", "90s  ago": "2026-02-08T11:58:30Z",
	} {
		got, err := parseInstant(text, now, berlin)
		if err != nil || got.UTC().Truncate(time.Second).Format(time.RFC3339) != want {
			t.Errorf("%q: %v %v, want %s", text, got.UTC(), err, want)
		}
	}
	for _, text := range []string{"", "ago", " ago", "now", "2h", "ago 2h", "2 hours ago", "-2h ago", "2026-02-08", "14:03", "2026-02-08 24:00", "2026-02-30 10:00", "2026-02-08 14:03 CET", "1770559380"} {
		if got, err := parseInstant(text, now, berlin); err == nil || !as[*usageError](err) || !strings.HasPrefix(err.Error(), "--at ") {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m",
		time.Hour: "1h", 47*time.Hour + 59*time.Minute: "47h", 48 * time.Hour: "2d", 400 * 24 * time.Hour: "400d",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TZ is read as the C library reads it: cron jobs and containers have it in all
// of these forms.
func TestEnvironmentZone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "zone")
	data, err := os.ReadFile("/usr/share/zoneinfo/UTC")
	if err != nil {
		// Any zone's data will do, and the smallest valid is short.
		data = []byte("TZif2" + strings.Repeat("\x00", 15) + strings.Repeat("\x00", 20) + "\x00\x00\x00\x01\x00\x00\x00\x04" + strings.Repeat("\x00", 6) + "UTC\x00")
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for tz, want := range map[string]string{
		"": "Local", ":": "Local", "UTC": "UTC", ":UTC": "UTC", "Europe/Berlin": "Europe/Berlin", ":Europe/Berlin": "Europe/Berlin", file: file, ":" + file: file,
	} {
		zone, err := environmentZone(tz)
		if err != nil || zone.String() != want {
			t.Errorf("TZ=%q: %v %v, want %s", tz, zone, err, want)
		}
	}
	for _, tz := range []string{"Mars/Phobos", "CET-1CEST,M3.5.0,M10.5.0/3", "../UTC", ":/nowhere", "/etc/hostname", "/"} {
		zone, err := environmentZone(tz)
		if !as[*usageError](err) || zone != time.UTC {
			t.Errorf("TZ=%q: %v %v", tz, zone, err)
		}
	}
}

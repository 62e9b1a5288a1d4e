package schedule

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// FAULT 50: the hour that is skipped in spring and the one that is doubled in
// autumn, in zones that do it in different ways.
func TestFault50EachTimeRunsOnceWhenClocksChange(t *testing.T) {
	for _, tt := range []struct{ name, zone, spec, from, to, want string }{
		{"spring, in the gap", "Europe/Berlin", "30 2 * * *", "2026-03-28 00:00:00 +0100", "2026-03-30 12:00:00 +0200",
			"28 02:30:00 +0100, 29 03:00:00 +0200, 30 02:30:00 +0200"},
		{"spring, the start of the gap", "Europe/Berlin", "0 2 * * *", "2026-03-28 12:00:00 +0100", "2026-03-30 12:00:00 +0200",
			"29 03:00:00 +0200, 30 02:00:00 +0200"},
		{"spring, the end of the gap", "Europe/Berlin", "0 3 * * *", "2026-03-28 12:00:00 +0100", "2026-03-30 12:00:00 +0200",
			"29 03:00:00 +0200, 30 03:00:00 +0200"},
		{"spring, in the gap and at its end", "Europe/Berlin", "0 2,3 * * *", "2026-03-28 12:00:00 +0100", "2026-03-30 02:00:00 +0200",
			"29 03:00:00 +0200, 30 02:00:00 +0200"},
		{"spring, often in the gap", "Europe/Berlin", "*/20 1-3 * * *", "2026-03-28 12:00:00 +0100", "2026-03-29 12:00:00 +0200",
			"29 01:00:00 +0100, 29 01:20:00 +0100, 29 01:40:00 +0100, 29 03:00:00 +0200, 29 03:20:00 +0200, 29 03:40:00 +0200"},
		{"spring, every second hour", "Europe/Berlin", "0 */2 * * *", "2026-03-28 23:00:00 +0100", "2026-03-29 06:00:00 +0200",
			"29 00:00:00 +0100, 29 03:00:00 +0200, 29 04:00:00 +0200, 29 06:00:00 +0200"},
		{"autumn, in the doubled hour", "Europe/Berlin", "30 2 * * *", "2026-10-24 12:00:00 +0200", "2026-10-26 12:00:00 +0100",
			"25 02:30:00 +0200, 26 02:30:00 +0100"},
		{"autumn, its start", "Europe/Berlin", "0 2 * * *", "2026-10-24 12:00:00 +0200", "2026-10-26 12:00:00 +0100",
			"25 02:00:00 +0200, 26 02:00:00 +0100"},
		{"autumn, its end", "Europe/Berlin", "0 3 * * *", "2026-10-24 12:00:00 +0200", "2026-10-26 12:00:00 +0100",
			"25 03:00:00 +0100, 26 03:00:00 +0100"},
		{"autumn, from between the passes", "Europe/Berlin", "30 2 * * *", "2026-10-25 02:10:00 +0100", "2026-10-26 12:00:00 +0100",
			"26 02:30:00 +0100"},
		{"autumn, seconds", "Europe/Berlin", "59 59 2 * * *", "2026-10-24 12:00:00 +0200", "2026-10-25 12:00:00 +0100",
			"25 02:59:59 +0200"},
		{"hourly, spring", "Europe/Berlin", "@hourly", "2026-03-29 00:30:00 +0100", "2026-03-29 04:00:00 +0200",
			"29 01:00:00 +0100, 29 03:00:00 +0200, 29 04:00:00 +0200"},
		{"hourly, autumn", "Europe/Berlin", "0 * * * *", "2026-10-25 01:30:00 +0200", "2026-10-25 03:00:00 +0100",
			"25 02:00:00 +0200, 25 02:00:00 +0100, 25 03:00:00 +0100"},
		{"hourly by another name", "Europe/Berlin", "0 0-23 * * *", "2026-10-25 01:30:00 +0200", "2026-10-25 03:00:00 +0100",
			"25 02:00:00 +0200, 25 02:00:00 +0100, 25 03:00:00 +0100"},
		{"half-hourly, spring", "Europe/Berlin", "*/30 * * * *", "2026-03-29 01:00:00 +0100", "2026-03-29 03:30:00 +0200",
			"29 01:30:00 +0100, 29 03:00:00 +0200, 29 03:30:00 +0200"},
		{"new york, spring", "America/New_York", "15 2 * * *", "2026-03-07 12:00:00 -0500", "2026-03-09 12:00:00 -0400",
			"08 03:00:00 -0400, 09 02:15:00 -0400"},
		{"new york, autumn", "America/New_York", "15 1 * * *", "2026-10-31 12:00:00 -0400", "2026-11-02 12:00:00 -0500",
			"01 01:15:00 -0400, 02 01:15:00 -0500"},
		{"half an hour, spring", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03 12:00:00 +1030", "2026-10-05 12:00:00 +1100",
			"04 02:30:00 +1100, 05 02:15:00 +1100"},
		{"half an hour, after the gap", "Australia/Lord_Howe", "45 2 * * *", "2026-10-03 12:00:00 +1030", "2026-10-04 12:00:00 +1100",
			"04 02:45:00 +1100"},
		{"half an hour, autumn", "Australia/Lord_Howe", "45 1 * * *", "2026-04-04 12:00:00 +1100", "2026-04-06 12:00:00 +1030",
			"05 01:45:00 +1100, 06 01:45:00 +1030"},
		{"half an hour, autumn, hourly", "Australia/Lord_Howe", "45 * * * *", "2026-04-05 00:00:00 +1100", "2026-04-05 03:00:00 +1030",
			"05 00:45:00 +1100, 05 01:45:00 +1100, 05 01:45:00 +1030, 05 02:45:00 +1030"},
		{"midnight is skipped", "America/Sao_Paulo", "@daily", "2018-11-02 12:00:00 -0300", "2018-11-05 12:00:00 -0200",
			"03 00:00:00 -0300, 04 01:00:00 -0200, 05 00:00:00 -0200"},
		{"midnight comes twice", "America/Sao_Paulo", "30 23 * * *", "2018-02-16 12:00:00 -0200", "2018-02-18 23:00:00 -0300",
			"16 23:30:00 -0200, 17 23:30:00 -0200"},
		{"midnight is skipped, beirut", "Asia/Beirut", "10 0 * * *", "2026-03-27 12:00:00 +0200", "2026-03-30 12:00:00 +0300",
			"28 00:10:00 +0200, 29 01:00:00 +0300, 30 00:10:00 +0300"},
		{"monthly on a skipped midnight", "Asia/Beirut", "0 0 29 * *", "2026-03-01 12:00:00 +0200", "2026-04-02 12:00:00 +0300",
			"29 01:00:00 +0300"},
		{"a day is skipped", "Pacific/Apia", "30 2 * * *", "2011-12-28 12:00:00 -1000", "2011-12-31 12:00:00 +1400",
			"29 02:30:00 -1000, 31 00:00:00 +1400, 31 02:30:00 +1400"},
		{"no change at all", "UTC", "30 2 * * *", "2026-03-28 12:00:00 +0000", "2026-03-30 12:00:00 +0000",
			"29 02:30:00 +0000, 30 02:30:00 +0000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(ticks(t, spec(t, tt.spec, zone(t, tt.zone)), tt.from, tt.to), ", ")
			if got != tt.want {
				t.Errorf("%s in %s\n got %s\nwant %s", tt.spec, tt.zone, got, tt.want)
			}
		})
	}
}

// changes are days around changes of clocks, in zones of every kind.
func changes() map[string][]string {
	return map[string][]string{
		"Europe/Berlin":       {"2026-03-28", "2026-10-24"},
		"America/New_York":    {"2026-03-07", "2026-10-31"},
		"Australia/Lord_Howe": {"2026-04-04", "2026-10-03"},
		"America/Sao_Paulo":   {"2018-02-16", "2018-11-02"},
		"Asia/Beirut":         {"2026-03-27", "2026-10-23"},
		"Pacific/Apia":        {"2011-12-28"},
		"Africa/Casablanca":   {"2026-02-14", "2026-03-21"}, // behind in Ramadan
		"Europe/Dublin":       {"2026-03-28", "2026-10-24"}, // winter is the exception
		"America/Caracas":     {"2016-04-30", "2007-12-08"}, // half an hour, once
		"UTC":                 {"2026-03-28"},
	}
}

// FAULT 50: what Next says is what somebody sees who watches the clock on the
// wall for three days, minute by minute. A spec that names hours runs when the
// clock reaches one of its times for the first time, by leaps too; one for all
// hours runs whenever the clock shows one.
func TestFault50NextIsWhatTheClockOnTheWallShows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom(slices.Sorted(func(yield func(string) bool) {
			for name := range changes() {
				if !yield(name) {
					return
				}
			}
		})).Draw(rt, "zone")
		z := zone(t, name)
		day := rapid.SampledFrom(changes()[name]).Draw(rt, "day")
		from, err := time.ParseInLocation("2006-01-02", day, z)
		if err != nil {
			t.Fatal(err)
		}
		m := drawMatcher(rt)
		s := spec(t, m.text(), z)

		var want []time.Time
		high := shown(from)
		for at := from.Add(time.Minute); at.Before(from.Add(72 * time.Hour)); at = at.Add(time.Minute) {
			now, due := shown(at), false
			if len(m.hours) == 24 {
				due = m.matches(now)
			} else {
				for r := high.Add(time.Minute); !r.After(now); r = r.Add(time.Minute) {
					due = due || m.matches(r)
				}
			}
			if now.After(high) {
				high = now
			}
			if due {
				want = append(want, at)
			}
		}
		at := from
		for i, w := range want {
			if at = s.Next(at); !at.Equal(w) {
				rt.Fatalf("%s in %s: tick %d is at %s, want %s", s, name, i, at, w)
			}
		}
		if at = s.Next(at); at.Before(from.Add(72 * time.Hour)) {
			rt.Fatalf("%s in %s: a tick too many, at %s", s, name, at)
		}
	})
}

// FAULT 50: a daily time runs once for each calendar day, for years.
func TestFault50OneRunForEachDay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Africa/Casablanca", "UTC"}).Draw(rt, "zone")
		z := zone(t, name)
		hour, minute := rapid.IntRange(0, 23).Draw(rt, "hour"), rapid.IntRange(0, 59).Draw(rt, "minute")
		m := matcher{minutes: []int{minute}, hours: []int{hour}}
		s := spec(t, m.text(), z)
		day := time.Date(2025, 1, 1, 0, 0, 0, 0, z)
		at := day.Add(-time.Second)
		for range 3 * 365 {
			at = s.Next(at)
			if y, mo, d := at.Date(); y != day.Year() || mo != day.Month() || d != day.Day() {
				rt.Fatalf("%s in %s: runs at %s, want one on %s", s, name, at, day.Format(time.DateOnly))
			}
			day = time.Date(day.Year(), day.Month(), day.Day()+1, 12, 0, 0, 0, z)
		}
	})
}

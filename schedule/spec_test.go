package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", `schedule "": is empty`},
		{"blanks", " \t\n", `schedule "": is empty`},
		{"too few fields", "* * *", "expected 5 to 6 fields"},
		{"too many fields", "* * * * * * *", "expected 5 to 6 fields"},
		{"an hour too late", "0 24 * * *", "above maximum (23)"},
		{"backwards", "0 5-3 * * *", "beyond end of range"},
		{"no step", "*/0 * * * *", "positive number"},
		{"half a range", "0 1- * * *", `field "1-" is none`},
		{"nothing between commas", "0 1,,2 * * *", `field "1,,2" is none`},
		{"a comma", ", * * * *", `field "," is none`},
		{"more than a star", "*-x * * * *", `field "*-x" is none`},
		{"a sign", "+5 * * * *", `field "+5" is none`},
		{"a word", "0 noon * * *", "noon"},
		{"a descriptor", "@fortnightly", "unrecognized descriptor"},
		{"at boot", "@reboot", "unrecognized descriptor"},
		{"every of nothing", "@every", `"" is no duration like 90m`},
		{"every of a word", "@every day", "no duration like 90m"},
		{"every of none", "@every 0s", "less than a second"},
		{"every, backwards", "@every -6h", "less than a second"},
		{"every, backwards in part", "@every 1d-1h", "no duration"},
		{"every, in a moment", "@every 999ms", "less than a second"},
		{"every, no days", "@every 0d", "less than a second"},
		{"every, in parts of seconds", "@every 1.5s", "no whole number of seconds"},
		{"every, hardly ever", "@every 367d", "longer than a year"},
		{"every, for ever", "@every 99999999999999999999h", "no duration"},
		{"every, days at the wrong place", "@every 1h1d", "no duration"},
		{"unknown text", strings.Repeat("1,", 200) + "1 * * * *", "longer than 256 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.text, time.UTC)
			var specErr *SpecError
			if !errors.As(err, &specErr) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse(%q): %v, want a *SpecError with %q", tt.text, err, tt.want)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
		})
	}
	if _, err := Parse("@daily", nil); err == nil {
		t.Error("no zone: no error")
	}
}

// The library panics at the first two of them.
func TestParseRefusesAZone(t *testing.T) {
	for _, text := range []string{"TZ=UTC", "CRON_TZ=Europe/Rome", "TZ=UTC 0 3 * * *", "CRON_TZ=Europe/Rome @daily", "tz=UTC 0 3 * * *", "0 3 * * * TZ=UTC"} {
		if _, err := Parse(text, time.UTC); !errors.Is(err, ErrZone) {
			t.Errorf("Parse(%q): %v, want ErrZone", text, err)
		}
	}
}

func TestParseRefusesDaysThatNeverCome(t *testing.T) {
	for _, text := range []string{"0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * * 30-31 2 *"} {
		if _, err := Parse(text, time.UTC); !errors.Is(err, ErrNever) {
			t.Errorf("Parse(%q): %v, want ErrNever", text, err)
		}
	}
}

func TestNext(t *testing.T) {
	for _, tt := range []struct{ spec, after, want string }{
		{"15 3 * * *", "2026-02-08 03:15:00 +0000", "2026-02-09 03:15:00 +0000"},
		{"  15   3 * * *\n", "2026-02-08 03:14:59 +0000", "2026-02-08 03:15:00 +0000"},
		{"10 15 3 * * *", "2026-02-08 03:15:00 +0000", "2026-02-08 03:15:10 +0000"},
		{"0 0 29 2 *", "2026-01-01 00:00:00 +0000", "2028-02-29 00:00:00 +0000"},
		{"0 0 29 2 *", "2096-02-29 00:00:00 +0000", "2104-02-29 00:00:00 +0000"},
		{"0 * 29 2 *", "2096-02-29 23:00:00 +0000", "2104-02-29 00:00:00 +0000"},
		{"0 3 * * mon-FRI", "2026-02-06 12:00:00 +0000", "2026-02-09 03:00:00 +0000"},
		{"0 3 13 * 5", "2026-02-07 12:00:00 +0000", "2026-02-13 03:00:00 +0000"},
		{"@hourly", "2026-02-08 03:15:00 +0000", "2026-02-08 04:00:00 +0000"},
		{"@daily", "2026-02-08 03:15:00 +0000", "2026-02-09 00:00:00 +0000"},
		{"@weekly", "2026-02-08 03:15:00 +0000", "2026-02-15 00:00:00 +0000"},
		{"@monthly", "2026-02-08 03:15:00 +0000", "2026-03-01 00:00:00 +0000"},
		{"@yearly", "2026-02-08 03:15:00 +0000", "2027-01-01 00:00:00 +0000"},
		{"@every 6h", "2026-02-08 03:15:07 +0000", "2026-02-08 09:15:07 +0000"},
		{"@every 1d", "2026-02-08 03:15:07 +0000", "2026-02-09 03:15:07 +0000"},
		{"@every 1w2d3h4m", "2026-02-08 00:00:00 +0000", "2026-02-17 03:04:00 +0000"},
	} {
		got := spec(t, tt.spec, time.UTC).Next(instant(t, tt.after))
		if !got.Equal(instant(t, tt.want)) {
			t.Errorf("%q after %s: %s, want %s", tt.spec, tt.after, got, tt.want)
		}
	}
}

// A day of 23 hours is none for @every.
func TestEveryCountsRealTime(t *testing.T) {
	got := spec(t, "@every 1d", zone(t, "Europe/Berlin")).Next(instant(t, "2026-03-28 12:00:00 +0100"))
	if want := "2026-03-29T13:00:00+02:00"; got.Format(time.RFC3339) != want {
		t.Errorf("%s, want %s", got.Format(time.RFC3339), want)
	}
}

func TestDefaultJitter(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{
		time.Second: 100 * time.Millisecond, time.Minute: 6 * time.Second, 5 * time.Minute: 30 * time.Second, 24 * time.Hour: 30 * time.Second, -time.Hour: 0,
	} {
		if got := DefaultJitter(interval); got != want {
			t.Errorf("of %s: %s, want %s", interval, got, want)
		}
	}
}

// A year of @every 1s, and one of a spec for every second, are counted at once.
func TestPassedIsBounded(t *testing.T) {
	from, to := instant(t, "2025-01-01 00:00:00 +0000"), instant(t, "2026-01-01 00:00:00 +0000")
	p := spec(t, "@every 1s", time.UTC).passed(from, to)
	if p.count != 365*24*3600 || p.more || !p.last.Equal(to) {
		t.Errorf("@every 1s: %+v", p)
	}
	p = spec(t, "* * * * * *", time.UTC).passed(from, to)
	if p.count != countLimit || !p.more || !p.last.Equal(to) {
		t.Errorf("every second: %+v", p)
	}
	to = instant(t, "2025-12-31 12:00:00 +0000")
	p = spec(t, "0 * * 1-11 *", time.UTC).passed(from, to)
	if want := int64(334*24 - 1); p.count != want || p.more || !p.last.Equal(instant(t, "2025-11-30 23:00:00 +0000")) {
		t.Errorf("hourly until November: %+v, want %d", p, want)
	}
	p = spec(t, "* * * * 1-11 *", time.UTC).passed(from, to)
	if !p.more || !p.last.IsZero() || !p.counted.Equal(to) {
		t.Errorf("every second until November: %+v", p)
	}
}

// matcher is a second reading of specs, without the library and without clever
// arithmetic. Fields that are nil are stars.
type matcher struct {
	minutes, hours, days, months, weekdays []int
}

func (m matcher) matches(t time.Time) bool {
	in := func(set []int, n int) bool { return set == nil || slices.Contains(set, n) }
	day := in(m.days, t.Day()) && in(m.weekdays, int(t.Weekday()))
	if m.days != nil && m.weekdays != nil {
		day = in(m.days, t.Day()) || in(m.weekdays, int(t.Weekday()))
	}
	return t.Second() == 0 && in(m.minutes, t.Minute()) && in(m.hours, t.Hour()) && in(m.months, int(t.Month())) && day
}

func (m matcher) text() string {
	var fields []string
	for _, set := range [][]int{m.minutes, m.hours, m.days, m.months, m.weekdays} {
		field := "*"
		if set != nil {
			field = strings.ReplaceAll(strings.Trim(fmt.Sprint(set), "[]"), " ", ",")
		}
		fields = append(fields, field)
	}
	return strings.Join(fields, " ")
}

// drawMatcher draws specs of times that come on most days.
func drawMatcher(t *rapid.T) matcher {
	some := func(name string, low, high, most int) []int {
		set := rapid.SliceOfNDistinct(rapid.IntRange(low, high), 1, most, rapid.ID[int]).Draw(t, name)
		slices.Sort(set)
		return set
	}
	m := matcher{minutes: some("minutes", 0, 59, 3)}
	switch rapid.IntRange(0, 3).Draw(t, "hours") {
	case 0:
		m.hours = make([]int, 24)
		for i := range m.hours {
			m.hours[i] = i
		}
	case 1:
		m.hours = some("small hours", 0, 4, 4)
	default:
		m.hours = some("any hours", 0, 23, 12)
	}
	return m
}

// Next says, in UTC, what trying minute after minute says.
func TestNextIsWhatTryingEachMinuteFinds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := drawMatcher(rt)
		some := func(name string, low, high int) []int {
			if rapid.Bool().Draw(rt, name+"?") {
				return nil
			}
			return rapid.SliceOfNDistinct(rapid.IntRange(low, high), 1, 5, rapid.ID[int]).Draw(rt, name)
		}
		m.days, m.weekdays = some("days", 1, 28), some("weekdays", 0, 6)
		if rapid.IntRange(0, 3).Draw(rt, "months?") == 0 {
			m.months = some("months", 1, 12)
		}
		s := spec(t, m.text(), time.UTC)
		at := time.Unix(rapid.Int64Range(1.7e9, 2.5e9).Draw(rt, "after"), rapid.Int64Range(0, 1e9-1).Draw(rt, "ns")).UTC()
		for range 5 {
			want := at.Truncate(time.Minute).Add(time.Minute)
			for !m.matches(want) {
				want = want.Add(time.Minute)
			}
			if got := s.Next(at); !got.Equal(want) {
				rt.Fatalf("%s after %s: %s, want %s", s, at, got, want)
			}
			at = want
		}
	})
}

// The later one asks, the later the answer, in every zone; and never is it an
// instant that has come.
func TestNextOnlyGoesForward(t *testing.T) {
	names := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Africa/Casablanca", "UTC"}
	rapid.Check(t, func(rt *rapid.T) {
		z := zone(t, rapid.SampledFrom(names).Draw(rt, "zone"))
		texts := []string{drawMatcher(rt).text(), "@every 7h", "*/7 * * * * *", "30 2 * * *", "@hourly", "@monthly", "0 0 29 2 *"}
		s := spec(t, rapid.SampledFrom(texts).Draw(rt, "spec"), z)
		a := time.Unix(0, rapid.Int64Range(-2e18, 4e18).Draw(rt, "after"))
		b := a.Add(time.Duration(rapid.Int64Range(0, 1e14).Draw(rt, "later")))
		next, later := s.Next(a), s.Next(b)
		if !next.After(a) || !later.After(b) || later.Before(next) {
			rt.Fatalf("%s in %s: after %s comes %s, after %s comes %s", s, z, a, next, b, later)
		}
		if s.every == 0 && next.After(b) && !later.Equal(next) {
			rt.Fatalf("%s in %s: after %s comes %s, after %s, which is before that, %s", s, z, a, next, b, later)
		}
	})
}

// Whatever is typed: an error, or a spec that comes within eight years.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "TZ=UTC", "CRON_TZ=Europe/Rome", "0 0 30 2 *", "30 2 * * *", "@daily", "@every 1d", "@every 1w2d3h4m5s", "@every -1s",
		"*/10 * * * * *", "0 0 29 2 *", "0 3 13 * 5", "1-5/2,7 ? jan-mar * mon", ", * * * *", "*-x * * * *", "@every 9223372036854775807ns", "0/99999999999 * * * *"} {
		f.Add(text, int64(1.8e9))
	}
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		s, err := Parse(text, berlin)
		if err != nil {
			var specErr *SpecError
			if !errors.As(err, &specErr) {
				t.Fatalf("Parse(%q): %T", text, err)
			}
			return
		}
		after := time.Unix(((seconds%4e9)+4e9)%4e9, 0)
		next := s.Next(after)
		if !next.After(after) || next.After(after.AddDate(8, 0, 1)) {
			t.Fatalf("%q after %s: %s", text, after, next)
		}
		again, err := Parse(s.String(), berlin)
		if err != nil || !again.equal(s) || !again.Next(after).Equal(next) {
			t.Fatalf("%q, printed as %q, is another spec: %v", text, s, err)
		}
	})
}

package schedule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

const (
	longestText  = 256
	longestEvery = 366 * 24 * time.Hour

	// The most ticks of a calendar spec that are counted one by one.
	countLimit = 50_000
)

// Spec is when something is to run. The zero Spec is none; [Parse] makes one.
type Spec struct {
	text  string
	zone  *time.Location
	every time.Duration // above zero: by this alone
	wall  *calendar
}

// Parse reads five fields (minute, hour, day of month, month, day of week), six
// (seconds first), @hourly, @daily, @weekly, @monthly, @yearly, or @every with a
// duration like 90m, 6h or 1d12h. The fields are times of zone. Where day of
// month and day of week both are named, a day is meant that is one of the two.
//
// The error is a *SpecError.
func Parse(text string, zone *time.Location) (Spec, error) {
	trimmed := strings.TrimSpace(text)
	s, err := parse(trimmed, zone)
	if err != nil {
		if len(trimmed) > longestText {
			trimmed = strings.ToValidUTF8(trimmed[:longestText/4], "") + "…"
		}
		return Spec{}, &SpecError{Text: trimmed, Err: err}
	}
	return s, nil
}

func parse(text string, zone *time.Location) (Spec, error) {
	switch {
	case zone == nil:
		return Spec{}, errors.New("no time zone is given")
	case text == "":
		return Spec{}, errors.New("is empty")
	case len(text) > longestText:
		return Spec{}, fmt.Errorf("is longer than %d bytes", longestText)
	case strings.Contains(strings.ToUpper(text), "TZ="):
		return Spec{}, ErrZone // and the parser panics at some of them
	}
	if text == "@every" || strings.HasPrefix(text, "@every ") {
		every, err := parseEvery(strings.TrimSpace(strings.TrimPrefix(text, "@every")))
		return Spec{text: text, zone: zone, every: every}, err
	}
	fields := strings.Fields(text)
	if err := checkFields(fields); err != nil {
		return Spec{}, err
	}
	text = strings.Join(fields, " ")
	parsed, err := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour |
		cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(text)
	if err != nil {
		return Spec{}, err
	}
	fixed, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Spec{}, fmt.Errorf("is of a kind that is not known here: %T", parsed)
	}
	wall := newCalendar(fixed, zone)
	if wall.after(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Spec{}, ErrNever
	}
	return Spec{text: text, zone: zone, wall: wall}, nil
}

// checkFields refuses what the parser takes for something else: it reads “*-x”
// as “*”, and overlooks commas with nothing between them.
func checkFields(fields []string) error {
	if strings.HasPrefix(fields[0], "@") {
		return nil
	}
	for _, field := range fields {
		for item := range strings.SplitSeq(field, ",") {
			values, _, _ := strings.Cut(item, "/")
			first, last, both := strings.Cut(values, "-")
			star := first == "*" || first == "?"
			if star && both || !star && !isWord(first) || both && !isWord(last) {
				return fmt.Errorf("field %q is none", field)
			}
		}
	}
	return nil
}

// isWord says whether a text is letters and digits only.
func isWord(text string) bool {
	strange := func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') }
	return text != "" && !strings.ContainsFunc(text, strange)
}

// parseEvery reads a duration that may have weeks and days before its hours.
func parseEvery(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	var sum time.Duration
	rest := text
	for _, unit := range []struct {
		name  string
		value time.Duration
	}{{"w", 7 * day}, {"d", day}} {
		number, after, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration like 90m, 6h or 1d12h", text)
		}
		sum, rest = sum+time.Duration(n)*unit.value, after
	}
	if rest != "" || text == "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 && rest != text || d > longestEvery {
			return 0, fmt.Errorf("%q is no duration like 90m, 6h or 1d12h, of a year at most", text)
		}
		sum += d
	}
	switch {
	case sum < time.Second:
		return 0, fmt.Errorf("%q is less than a second", text)
	case sum%time.Second != 0:
		return 0, fmt.Errorf("%q is no whole number of seconds", text)
	case sum > longestEvery:
		return 0, fmt.Errorf("%q is longer than a year", text)
	}
	return sum, nil
}

// String returns the spec as it was given.
func (s Spec) String() string { return s.text }

// IsZero says whether this is no spec at all.
func (s Spec) IsZero() bool { return s.every == 0 && s.wall == nil }

// equal says whether two specs are the same, zones by their names.
func (s Spec) equal(o Spec) bool {
	return s.text == o.text && s.zone.String() == o.zone.String()
}

// Next returns the first tick strictly after an instant, in the spec's zone. One
// of @every is that much later than the instant: it is for the caller to count
// from the last one.
func (s Spec) Next(after time.Time) time.Time {
	if s.every > 0 {
		return after.Round(0).In(s.zone).Add(s.every)
	}
	return s.wall.next(after)
}

// passed is which ticks there were in a span of time.
type passed struct {
	count   int64
	more    bool      // there were more, and they were not counted
	last    time.Time // the last of them; zero: it was more than late before the end
	counted time.Time // an instant from which the next tick counts on
}

// passed counts the ticks after one instant and not after another. It takes a
// fraction of a second, however long the span is.
func (s Spec) passed(from, to time.Time) passed {
	if s.every > 0 {
		n := to.Sub(from) / s.every
		last := from.Add(n * s.every)
		return passed{count: int64(n), last: last, counted: last}
	}
	p := passed{counted: to}
	for t := s.Next(from); !t.IsZero() && !t.After(to); t = s.Next(t) {
		if p.count == countLimit {
			p.more = true
			break
		}
		p.count, p.last = p.count+1, t
	}
	if p.more {
		p.last = time.Time{}
		for t := s.Next(to.Add(-late)); !t.After(to); t = s.Next(t) {
			p.last = t
		}
	}
	return p
}

// DefaultJitter is how much later than its tick a run may begin where nothing
// is said: a tenth of the time to the next tick, and half a minute at most.
func DefaultJitter(interval time.Duration) time.Duration {
	return max(0, min(interval/10, 30*time.Second))
}

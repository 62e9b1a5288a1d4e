package schedule

import (
	"time"

	"github.com/robfig/cron/v3"
)

// farthest is more than two offsets from UTC, and so any two clocks on a wall,
// have ever been apart. No clock was changed by more.
const farthest = 32 * time.Hour

// calendar is a spec of the clock on the wall of one zone.
//
// What the clock shows is written as a time in UTC, a reading. The library is
// asked for readings only, for there is no gap and no doubled hour among them;
// which instant a reading is, is decided here.
type calendar struct {
	fields  *cron.SpecSchedule
	zone    *time.Location
	hourful bool // for all 24 hours: by real time
}

func newCalendar(fields *cron.SpecSchedule, zone *time.Location) *calendar {
	const allHours = 1<<24 - 1
	in := *fields
	in.Location = time.UTC
	return &calendar{fields: &in, zone: zone, hourful: in.Hour&allHours == allHours}
}

// next is the first tick strictly after an instant.
func (c *calendar) next(after time.Time) time.Time {
	after = after.Round(0).In(c.zone)
	if c.hourful {
		return c.nextShown(after)
	}
	reading := c.after(c.highest(after))
	if reading.IsZero() {
		return time.Time{}
	}
	return c.reached(reading)
}

// after is the first reading of the spec after another one. The library gives up
// at the end of the fifth year, and a 29 February can be eight years away.
func (c *calendar) after(reading time.Time) time.Time {
	next := c.fields.Next(reading)
	if next.IsZero() {
		next = c.fields.Next(time.Date(reading.Year()+5, 12, 31, 23, 59, 59, 0, time.UTC))
	}
	return next
}

// shown is what the clock shows at an instant.
func shown(at time.Time) time.Time {
	_, offset := at.Zone()
	return at.UTC().Add(time.Duration(offset) * time.Second)
}

// highest is the highest reading that the clock has shown up to an instant. That
// is what it shows then, unless it was set back a short while ago.
func (c *calendar) highest(at time.Time) time.Time {
	high := shown(at)
	for since, _ := at.ZoneBounds(); !since.IsZero() && at.Sub(since) < farthest; {
		before := since.Add(-1)
		if r := shown(before); r.After(high) {
			high = r
		}
		since, _ = before.ZoneBounds()
	}
	return high
}

// reached is the first instant at which the clock shows a reading or a later
// one: the first pass where it shows it twice, the end of the gap where never.
func (c *calendar) reached(reading time.Time) time.Time {
	from := reading.Add(-farthest).In(c.zone)
	for {
		at, until := showing(reading, from)
		if at.Before(from) {
			return from // the clock went from below it to above it
		}
		if until.IsZero() || at.Before(until) {
			return at
		}
		from = until
	}
}

// nextShown is the first instant after another one at which the clock shows a
// reading of the spec.
func (c *calendar) nextShown(after time.Time) time.Time {
	from, reading := after, c.after(shown(after))
	for !reading.IsZero() {
		at, until := showing(reading, from)
		if until.IsZero() || at.Before(until) {
			return at
		}
		from = until
		reading = c.after(shown(from).Add(-1)) // what it shows at once counts too
	}
	return time.Time{}
}

// showing is the instant at which a clock would show a reading if it were never
// changed after from, and when it is changed next; zero: never.
func showing(reading, from time.Time) (at, until time.Time) {
	_, offset := from.Zone()
	_, until = from.ZoneBounds()
	return reading.Add(-time.Duration(offset) * time.Second).In(from.Location()), until
}

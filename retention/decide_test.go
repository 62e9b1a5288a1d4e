package retention

import (
	"testing"
	"time"
)

func TestWhichStayAndWhy(t *testing.T) {
	for _, tt := range []struct {
		name    string
		policy  Policy
		now     string
		history string
	}{
		{"last", Policy{Last: 2}, "2026-02-09T00:00:00Z", `
			2026-02-08 03:15  passed  | keep | newest verified, last 1 of 2
			2026-02-07 03:15  passed  | keep | last 2 of 2
			2026-02-06 03:15  passed  | go   | no rule keeps it
			2026-02-05 03:15          | go   | no rule keeps it`},

		{"daily: the newest of each day that has one", Policy{Daily: 3}, "2026-02-09T00:00:00Z", `
			2026-02-08 23:59  passed  | keep | newest verified, daily 2026-02-08
			2026-02-08 00:00  passed  | go   | no rule keeps it
			2026-02-06 12:00  passed  | keep | daily 2026-02-06
			2026-02-06 11:00  passed  | go   | no rule keeps it
			2026-02-01 12:00  passed  | keep | daily 2026-02-01
			2026-01-31 12:00  passed  | go   | no rule keeps it`},

		{"the oldest stays while a count is not full", Policy{Daily: 3, Yearly: 1}, "2026-02-09T00:00:00Z", `
			2026-02-08 12:00  passed  | keep | newest verified, daily 2026-02-08, yearly 2026
			2026-02-07 12:00  passed  | keep | daily 2026-02-07
			2026-02-07 11:00  passed  | go   | no rule keeps it
			2026-02-07 10:00  passed  | keep | oldest, daily 2 of 3`},

		{"each rule that keeps it is named", Policy{Last: 1, Hourly: 2, Daily: 2, Weekly: 2, Monthly: 2, Yearly: 2, Within: 2 * time.Hour}, "2027-01-05T00:00:00Z", `
			2027-01-04 10:30  passed  | keep | newest verified, last 1 of 1, hourly 2027-01-04 10:00 +0000, daily 2027-01-04, weekly 2027-W01, monthly 2027-01, yearly 2027, within 2h
			2027-01-04 10:10  passed  | keep | within 2h
			2027-01-04 09:50  passed  | keep | hourly 2027-01-04 09:00 +0000, within 2h
			2027-01-04 07:50  passed  | keep | the state 2h ago
			2027-01-04 06:50  passed  | go   | no rule keeps it
			2027-01-03 06:50  passed  | keep | daily 2027-01-03, weekly 2026-W53
			2026-12-31 06:50  passed  | keep | monthly 2026-12, yearly 2026
			2026-12-30 06:50  passed  | go   | no rule keeps it`},

		{"what is not good takes no place", Policy{Last: 1, Daily: 2}, "2026-02-20T00:00:00Z", `
			2026-02-19 12:00  bad     | keep | not good, no newer verified one
			2026-02-18 12:00  passed  | keep | newest verified, last 1 of 1, daily 2026-02-18
			2026-02-17 12:00  bad     | keep | not good, younger than 7d
			2026-02-16 12:00  passed  | keep | daily 2026-02-16
			2026-02-11 12:01  bad     | keep | not good, younger than 7d
			2026-02-11 12:00  bad     | go   | not good, a newer one is verified
			2026-02-10 12:00  passed  | go   | no rule keeps it
			2026-02-09 12:00  bad pinned | keep | pinned`},

		{"what is not good stays until a newer one is verified", Policy{Last: 1}, "2026-06-01T00:00:00Z", `
			2026-05-31 12:00          | keep | last 1 of 1
			2026-04-01 12:00  bad     | keep | not good, no newer verified one
			2026-03-01 12:00  passed  | keep | newest verified
			2026-02-01 12:00  bad     | go   | not good, a newer one is verified`},

		{"unverified ones stay until a count is full of newer ones", Policy{Daily: 2}, "2026-02-09T00:00:00Z", `
			2026-02-08 12:00          | keep | daily 2026-02-08
			2026-02-08 11:00          | keep | unverified, daily 1 of 2
			2026-02-07 12:00          | keep | daily 2026-02-07
			2026-02-07 11:00          | go   | no rule keeps it
			2026-02-06 12:00          | go   | no rule keeps it`},

		{"one full count is enough", Policy{Daily: 2, Weekly: 3}, "2026-02-11T00:00:00Z", `
			2026-02-10 12:00          | keep | daily 2026-02-10, weekly 2026-W07
			2026-02-10 11:00          | keep | unverified, daily 1 of 2, weekly 1 of 3
			2026-02-09 11:00          | keep | daily 2026-02-09
			2026-02-09 10:00          | go   | no rule keeps it
			2026-02-08 11:00          | keep | weekly 2026-W06
			2026-02-07 11:00          | go   | no rule keeps it
			2026-02-01 11:00          | keep | weekly 2026-W05
			2026-01-31 11:00          | go   | no rule keeps it`},

		{"last is full where it keeps no more", Policy{Last: 1, Yearly: 5}, "2026-02-11T00:00:00Z", `
			2026-02-10 12:00          | keep | last 1 of 1, yearly 2026
			2026-02-10 11:00          | go   | no rule keeps it
			2026-02-09 11:00          | keep | oldest, yearly 1 of 5`},

		{"a verified one frees the older ones", Policy{Daily: 2}, "2026-02-09T00:00:00Z", `
			2026-02-08 12:00          | keep | daily 2026-02-08
			2026-02-08 11:00          | keep | unverified, daily 1 of 2
			2026-02-08 10:00  passed  | keep | newest verified
			2026-02-08 09:00          | go   | no rule keeps it
			2026-02-07 12:00          | keep | daily 2026-02-07
			2026-02-06 12:00  passed  | go   | no rule keeps it`},

		{"the newest verified one stays behind any number of unverified ones", Policy{Last: 2}, "2026-02-09T00:00:00Z", `
			2026-02-08 12:00          | keep | last 1 of 2
			2026-02-08 11:00          | keep | last 2 of 2
			2026-02-08 10:00          | go   | no rule keeps it
			2026-02-01 10:00  passed  | keep | newest verified
			2026-01-31 10:00  passed  | go   | no rule keeps it`},

		{"a verified one that is not good stays beside the newest that is both", Policy{Last: 1}, "2026-05-09T00:00:00Z", `
			2026-02-08 12:00             | keep | last 1 of 1
			2026-02-07 12:00  bad passed | keep | newest verified, not good, no newer verified one
			2026-02-06 12:00  bad passed | keep | not good, no newer verified one
			2026-02-05 12:00  passed     | keep | newest good verified
			2026-01-31 12:00  bad passed | go   | not good, a newer one is verified`},

		{"within ends at the newest good one, not now", Policy{Within: 7 * testDay}, "2028-02-09T00:00:00Z", `
			2026-02-28 12:00  bad     | keep | not good, no newer verified one
			2026-02-20 12:00  passed  | keep | newest verified, within 7d
			2026-02-13 12:01  passed  | keep | within 7d
			2026-02-13 11:59  passed  | keep | the state 7d ago
			2026-02-13 11:58  passed  | go   | no rule keeps it`},

		{"within: one that is exactly as old is the state of then", Policy{Within: 36 * time.Hour}, "2026-02-22T00:00:00Z", `
			2026-02-20 12:00  passed  | keep | newest verified, within 1d12h
			2026-02-19 00:00  passed  | keep | within 1d12h
			2026-02-19 00:00  passed  | keep | within 1d12h
			2026-02-18 23:59  passed  | go   | no rule keeps it`},

		{"within ends at now, where a clock is a little ahead", Policy{Within: time.Hour}, "2026-02-20T12:00:00Z", `
			2026-02-20 12:05  passed  | keep | newest verified, within 1h
			2026-02-20 11:00  passed  | keep | within 1h
			2026-02-20 10:59  passed  | go   | no rule keeps it`},

		{"a pinned one counts like any other", Policy{Daily: 2}, "2026-02-09T00:00:00Z", `
			2026-02-08 12:00  passed  | keep | newest verified, daily 2026-02-08
			2026-02-07 12:00  pinned  | keep | pinned, daily 2026-02-07
			2026-02-07 11:00  marks?  | keep | marks cannot be read
			2026-02-06 12:00  passed  | go   | no rule keeps it
			2026-01-01 12:00  pinned  | keep | pinned`},

		{"what may have failed stays and does not count", Policy{Last: 1, Daily: 1}, "2026-02-19T00:00:00Z", `
			2026-02-18 12:00  doubt        | keep | proof cannot be read
			2026-02-17 12:00  doubt passed | keep | proof cannot be read
			2026-02-16 12:00               | keep | last 1 of 1, daily 2026-02-16
			2026-02-01 12:00  bad          | keep | not good, no newer verified one
			2026-01-31 12:00  bad doubt    | keep | proof cannot be read`},

		{"what is damaged stays, counts for nothing and is no reference", Policy{Last: 1, Within: testDay}, "2026-02-19T00:00:00Z", `
			2026-02-18 12:00  damaged passed | keep | damaged
			2026-02-16 12:00  passed         | keep | newest verified, last 1 of 1, within 1d
			2026-02-14 12:00  passed         | keep | the state 1d ago
			2026-02-13 12:00  bad damaged    | keep | damaged
			2026-02-12 12:00  passed         | go   | no rule keeps it`},

		{"tags", Policy{Last: 1, Tags: []string{"x", "y", "x"}}, "2026-02-19T00:00:00Z", `
			2026-02-18 12:00  passed        | keep | newest verified, last 1 of 1
			2026-02-17 12:00  tag=x         | keep | tag x
			2026-02-16 12:00  tag=y tag=x   | keep | tag x, tag y
			2026-02-15 12:00  tag=X         | go   | no rule keeps it
			2026-02-08 12:00  bad tag=x     | go   | not good, a newer one is verified`},

		{"tags alone are never full", Policy{Tags: []string{"x"}}, "2026-02-19T00:00:00Z", `
			2026-02-18 12:00          | keep | unverified
			2026-02-17 12:00  passed  | keep | newest verified
			2026-02-16 12:00          | go   | no rule keeps it
			2026-02-15 12:00  tag=x   | keep | tag x`},

		{"clocks that cannot be right", Policy{Last: 2, Daily: 2}, "2026-02-19T00:00:00Z", `
			2026-02-19 00:06  passed                     | keep | clock: shows data of the future
			2026-02-19 00:05  passed                     | keep | newest verified, last 1 of 2, daily 2026-02-19
			2026-02-18 12:00  began=2026-02-19T00:05:01Z | keep | clock: begun in the future
			2026-02-17 12:00  began=2026-02-18T12:00:01Z ended=2026-02-18T12:00:09Z | keep | clock: data and capture are days apart
			2026-02-17 11:00  began=2026-02-18T11:00:00Z ended=2026-02-18T11:00:09Z | keep | last 2 of 2, daily 2026-02-17
			2026-02-16 12:00  began=2026-02-15T11:00:00Z ended=2026-02-15T11:59:59Z | keep | clock: data and capture are days apart
			2026-02-16 11:00  began=2026-02-15T10:00:00Z ended=2026-02-15T11:00:00Z | go   | no rule keeps it
			2026-01-01 00:00  passed                     | keep | clock: begun before 2026
			2025-12-31 23:59  bad                        | keep | clock: shows data of before 2026`},

		{"a clock that cannot be right proves nothing", Policy{Last: 1}, "2026-02-19T00:00:00Z", `
			2026-03-19 00:00  passed  | keep | clock: shows data of the future
			2026-02-18 12:00          | keep | last 1 of 1
			2026-02-01 12:00  bad     | keep | not good, no newer verified one
			2026-01-31 12:00  passed  | keep | newest verified`},

		{"of one instant, the greater id is the newer", Policy{Last: 1}, "2026-02-19T00:00:00Z", `
			2026-02-18 12:00  passed  | keep | newest verified, last 1 of 1
			2026-02-18 12:00  passed  | go   | no rule keeps it`},

		{"no good one", Policy{Last: 1}, "2026-12-19T00:00:00Z", `
			2026-02-18 12:00  bad     | keep | not good, no newer verified one
			2026-01-18 12:00  bad     | keep | not good, no newer verified one`},

		{"nothing", Policy{Last: 1}, "2026-02-19T00:00:00Z", ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkHistory(t, tt.policy, instant(t, tt.now), time.UTC, tt.history)
		})
	}
}

// Days, hours and weeks are those of the zone, and a change of clocks costs
// nothing.
func TestZones(t *testing.T) {
	for _, tt := range []struct {
		name, zone string
		policy     Policy
		history    string
	}{
		{"a day of 23 hours", "Europe/Berlin", Policy{Daily: 3}, `
			2026-03-30 00:00  passed  | keep | newest verified, daily 2026-03-30
			2026-03-29 23:59  passed  | keep | daily 2026-03-29
			2026-03-29 00:00  passed  | go   | no rule keeps it
			2026-03-28 23:59  passed  | keep | daily 2026-03-28
			2026-03-28 00:59  passed  | go   | no rule keeps it`},

		{"a day of 25 hours", "Europe/Berlin", Policy{Daily: 3}, `
			2026-10-26 00:00  passed  | keep | newest verified, daily 2026-10-26
			2026-10-25 23:59  passed  | keep | daily 2026-10-25
			2026-10-25 00:00  passed  | go   | no rule keeps it
			2026-10-24 23:59  passed  | keep | daily 2026-10-24
			2026-10-23 23:59  passed  | go   | no rule keeps it`},

		{"the hour that is skipped", "Europe/Berlin", Policy{Hourly: 3}, `
			2026-03-29T03:30:00+02:00 passed | keep | newest verified, hourly 2026-03-29 03:00 +0200
			2026-03-29T01:45:00+01:00 passed | keep | hourly 2026-03-29 01:00 +0100
			2026-03-29T01:15:00+01:00 passed | go   | no rule keeps it
			2026-03-29T00:15:00+01:00 passed | keep | hourly 2026-03-29 00:00 +0100
			2026-03-28T23:15:00+01:00 passed | go   | no rule keeps it`},

		{"the hour that is doubled is two", "Europe/Berlin", Policy{Hourly: 4}, `
			2026-10-25T03:10:00+01:00 passed | keep | newest verified, hourly 2026-10-25 03:00 +0100
			2026-10-25T02:50:00+01:00 passed | keep | hourly 2026-10-25 02:00 +0100
			2026-10-25T02:10:00+01:00 passed | go   | no rule keeps it
			2026-10-25T02:50:00+02:00 passed | keep | hourly 2026-10-25 02:00 +0200
			2026-10-25T02:10:00+02:00 passed | go   | no rule keeps it
			2026-10-25T01:50:00+02:00 passed | keep | hourly 2026-10-25 01:00 +0200
			2026-10-25T00:50:00+02:00 passed | go   | no rule keeps it`},

		{"a week across New Year", "Europe/Berlin", Policy{Weekly: 3}, `
			2027-01-04 00:00  passed  | keep | newest verified, weekly 2027-W01
			2027-01-03 23:59  passed  | keep | weekly 2026-W53
			2027-01-01 00:00  passed  | go   | no rule keeps it
			2026-12-28 00:00  passed  | go   | no rule keeps it
			2026-12-27 23:59  passed  | keep | weekly 2026-W52
			2026-12-20 23:59  passed  | go   | no rule keeps it`},

		{"a week that belongs to the next year", "Europe/Berlin", Policy{Weekly: 2, Yearly: 2}, `
			2030-01-02 12:00  passed  | keep | newest verified, weekly 2030-W01, yearly 2030
			2029-12-31 12:00  passed  | keep | yearly 2029
			2029-12-30 12:00  passed  | keep | weekly 2029-W52
			2029-12-29 12:00  passed  | go   | no rule keeps it`},

		{"the day is the zone's", "Pacific/Auckland", Policy{Daily: 1, Monthly: 2}, `
			2026-01-31T11:00:00Z passed | keep | newest verified, daily 2026-02-01, monthly 2026-02
			2026-01-31T10:59:00Z passed | keep | monthly 2026-01
			2026-01-31T10:00:00Z passed | go   | no rule keeps it`},

		{"the week is the zone's", "Pacific/Auckland", Policy{Weekly: 2}, `
			2026-02-08T11:00:00Z passed | keep | newest verified, weekly 2026-W07
			2026-02-08T10:59:00Z passed | keep | weekly 2026-W06
			2026-02-08T10:00:00Z passed | go   | no rule keeps it`},

		{"a year begins before its month does in UTC", "America/New_York", Policy{Yearly: 2}, `
			2027-01-01T05:00:00Z passed | keep | newest verified, yearly 2027
			2027-01-01T04:59:00Z passed | keep | yearly 2026
			2026-06-01T04:59:00Z passed | go   | no rule keeps it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkHistory(t, tt.policy, instant(t, "2031-01-01T00:00:00Z"), zoned(t, tt.zone), tt.history)
		})
	}
}

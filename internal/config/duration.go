package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// unit is a letter of a duration.
type unit struct {
	letter byte
	length time.Duration
}

func units() []unit {
	return []unit{{'y', 365 * day}, {'w', 7 * day}, {'d', day}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}
}

// ParseDuration reads "90s", "2h30m", "7d", "4w" or "1y"; a year is 365 days.
func ParseDuration(text string) (time.Duration, error) {
	const form = "not numbers with units, like 90s, 2h30m or 7d"
	rest, total := text, time.Duration(0)
	if rest == "" {
		return 0, errors.New("empty")
	}
	for rest != "" {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits == len(rest) {
			return 0, errors.New(form)
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return 0, errors.New("number out of range")
		}
		length, err := unitOf(rest[digits], form)
		if err != nil {
			return 0, err
		}
		if n > int64(1<<63-1-total)/int64(length) {
			return 0, errors.New("out of range")
		}
		total += time.Duration(n) * length
		rest = rest[digits+1:]
	}
	return total, nil
}

func unitOf(letter byte, form string) (time.Duration, error) {
	for _, u := range units() {
		if u.letter == letter {
			return u.length, nil
		}
	}
	if letter >= 'A' && letter <= 'Z' || letter >= 'a' && letter <= 'z' {
		return 0, errors.New("unknown unit " + strconv.QuoteRune(rune(letter)) + ": use s, m, h, d, w or y")
	}
	return 0, errors.New(form)
}

// FormatDuration writes whole seconds so that ParseDuration reads them. Days
// are the coarsest unit: "7d" is what people write.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range units() {
		if u.length <= day && d >= u.length {
			b.WriteString(strconv.FormatInt(int64(d/u.length), 10))
			b.WriteByte(u.letter)
			d %= u.length
		}
	}
	return b.String()
}

package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// bytesText is a size for people, "1.23 GB", in powers of 1000.
func bytesText(n int64) string {
	if n < 1000 {
		return plural(n, "byte")
	}
	x, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		if x /= 1000; x < 999.5 {
			break
		}
	}
	return strconv.FormatFloat(x, 'f', decimals(x), 64) + "\u00a0" + unit
}

// decimals are those of three figures.
func decimals(x float64) int {
	switch {
	case x < 9.995:
		return 2
	case x < 99.95:
		return 1
	}
	return 0
}

// countText is a number with its thousands apart, "1,234,567".
func countText(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return sign + digits
}

// durationText is a duration for people, in its two largest units: "1 h 5 min".
func durationText(d time.Duration) string {
	d = max(d, 0)
	two := func(large, small time.Duration, a, b string) string {
		d := d.Round(small)
		if rest := d % large / small; rest > 0 {
			return fmt.Sprintf("%d\u00a0%s %d\u00a0%s", d/large, a, rest, b)
		}
		return fmt.Sprintf("%d\u00a0%s", d/large, a)
	}
	switch {
	case d >= day-30*time.Second:
		return two(day, time.Hour, "d", "h")
	case d >= time.Hour-30*time.Second:
		return two(time.Hour, time.Minute, "h", "min")
	case d >= time.Minute-500*time.Millisecond:
		return two(time.Minute, time.Second, "min", "s")
	case d >= time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', min(decimals(d.Seconds()), 1), 64) + "\u00a0s"
	}
	return fmt.Sprintf("%d\u00a0ms", d.Milliseconds())
}

// agoText is the time since then, or until then, in words: "3 h 5 min ago".
func agoText(now, then time.Time) string {
	switch d := now.Sub(then); {
	case d <= -time.Minute:
		return "in " + roughText(-d)
	case d < time.Minute:
		return "just now"
	default:
		return roughText(d) + " ago"
	}
}

// roughText is a duration of at least a minute, without seconds.
func roughText(d time.Duration) string { return durationText(d.Truncate(time.Minute)) }

func plural(n int64, noun string) string {
	if n == 1 {
		return "1\u00a0" + noun
	}
	return countText(n) + "\u00a0" + noun + "s"
}

// since is " since T", or nothing where it is not known since when.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + t.UTC().Format(time.RFC3339)
}

// shellWord is a word as a shell reads it.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:=@%,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// restoreCommand are the words of the command that starts a container on the
// snapshot's data.
func restoreCommand(repository, id string) []string {
	return []string{"redisbak", "restore", "--repo", shellWord(repository), "--id", shellWord(id), "--start"}
}

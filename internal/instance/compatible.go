package instance

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/redisbak/redisbak/snapshot"
)

// bannerVersion finds the line by which every server says at its start what
// it is: "Redis version=7.0.15, bits=64, …".
var bannerVersion = regexp.MustCompile(`(?i)\b(redis|valkey) version=([0-9][0-9.]*)`)

// banner reads a server's software and version from its log.
func banner(log string) (software, version string) {
	if m := bannerVersion.FindStringSubmatch(log); m != nil {
		return strings.ToLower(m[1]), m[2]
	}
	return "", ""
}

// incompatible says why a server cannot be expected to load what another one
// wrote, or "" where it should. A fork loads what the same fork of the same or
// an earlier release wrote; Redis up to 7.2 and Valkey before 9 share a format.
func incompatible(wrote snapshot.Server, software, version string) string {
	from, to := release(wrote.Version), release(version)
	why := fmt.Sprintf("it was written by %s %s, and the image runs %s %s", wrote.Software, wrote.Version, software, version)
	switch {
	case wrote.Software == software:
		if to < from {
			return why
		}
	case wrote.Software == "redis" && software == "valkey":
		if from > release("7.2") {
			return why
		}
	case wrote.Software == "valkey" && software == "redis":
		if from >= release("9") || to < release("7.2") {
			return why
		}
	}
	return ""
}

// release makes "7.2.4" comparable by its first two numbers. The format of a
// dump does not change within a release.
func release(version string) int {
	parts := strings.SplitN(version, ".", 3)
	number := func(i int) int {
		if i >= len(parts) {
			return 0
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return 0
		}
		return n
	}
	return number(0)*1000 + number(1)
}

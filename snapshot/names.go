package snapshot

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// The names in a snapshot's directory, beside the payload.
const (
	ManifestName = "manifest.json"
	SumsName     = "SHA256SUMS"
	ProofName    = "proof.json"
	MarksName    = "marks.json"
)

// The names of payload files, before the suffix of their compression; the real
// names are in File.Path.
const (
	RDBName = "dump.rdb"       // of method rdb
	AOFName = "appendonly.aof" // of method aof, in one file
	AOFDir  = "appendonlydir"  // of method aof, multi-part: the directory of files with their own names
)

// manifestSuffix ends the name of the manifest of a multi-part AOF.
const manifestSuffix = ".manifest"

// Suffix is what a stored file's name ends with.
func (c Compression) Suffix() string {
	switch c {
	case Gzip:
		return ".gz"
	case Zstd:
		return ".zst"
	default:
		return ""
	}
}

// ValidPayloadName refuses what cannot be the name of a payload file that is
// compressed by c.
func ValidPayloadName(name string, c Compression) error {
	if why := payloadFault(name, c); why != "" {
		return fmt.Errorf("payload file %s: %s", shown(name), why)
	}
	return nil
}

func payloadFault(name string, c Compression) string {
	bare, ok := strings.CutSuffix(name, c.Suffix())
	if !ok {
		return "does not end with " + c.Suffix()
	}
	if bare == RDBName || bare == AOFName {
		return ""
	}
	base, ok := strings.CutPrefix(bare, AOFDir+"/")
	if !ok {
		return fmt.Sprintf("is not %s, %s or in %s", RDBName, AOFName, AOFDir)
	}
	return baseFault(base)
}

const (
	maxSourceName = 64
	maxTag        = 64
	maxElement    = 255  // bytes of one element of a path, as file systems have it
	maxPath       = 4095 // bytes of a path, as Linux has it
	maxText       = 1024 // bytes of any other text
)

// ValidSourceName refuses what cannot be the name of a source, which is also
// the name of its directory: 1 to 64 of A-Z a-z 0-9 . _ -, and neither . nor -
// at the start (a file that tools hide, an option).
func ValidSourceName(s string) error {
	if why := sourceNameFault(s); why != "" {
		return fmt.Errorf("source name %s: %s", shown(s), why)
	}
	return nil
}

func sourceNameFault(s string) string {
	switch {
	case s == "":
		return "empty"
	case len(s) > maxSourceName:
		return fmt.Sprintf("longer than %d characters", maxSourceName)
	case s[0] == '.' || s[0] == '-':
		return fmt.Sprintf("begins with %q", s[0])
	case !allOf(s, "._-"):
		return "holds a character other than A-Z a-z 0-9 . _ -"
	}
	return ""
}

// ValidTag refuses what cannot be a tag: 1 to 64 bytes of text without spaces,
// commas and control characters.
func ValidTag(s string) error {
	if why := tagFault(s); why != "" {
		return fmt.Errorf("tag %s: %s", shown(s), why)
	}
	return nil
}

func tagFault(s string) string {
	switch {
	case s == "":
		return "empty"
	case len(s) > maxTag:
		return fmt.Sprintf("longer than %d bytes", maxTag)
	case strings.ContainsAny(s, " ,"):
		return "holds a space or a comma"
	}
	return textFault(s)
}

// allOf says whether s consists of ASCII letters, digits and those of extra.
func allOf(s, extra string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') &&
			strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}

// isHex says whether s is n lower-case hexadecimal digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// breaksLine says whether r is a control character, or one that ends a line
// for some readers. Such text could forge a line of SHA256SUMS or of a table,
// or drive the terminal on which it is shown.
func breaksLine(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

// textFault says what is wrong with a text of one line, or "".
func textFault(s string) string {
	if !utf8.ValidString(s) {
		return "not UTF-8"
	}
	if strings.ContainsFunc(s, breaksLine) {
		return "holds a control character"
	}
	return ""
}

// oneLine makes any text fit for a reason: one line, UTF-8, not too long.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if breaksLine(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	s = strings.TrimSpace(s)
	if len(s) <= maxText {
		return s
	}
	const dots = "…"
	cut := maxText - len(dots)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + dots
}

// pathFault says what is wrong with a path that is relative to a volume or to
// a snapshot's directory, or "". What passes can be joined to a directory and
// stays inside it, and is the same on every system.
func pathFault(p string) string {
	switch {
	case p == "":
		return "empty"
	case len(p) > maxPath:
		return fmt.Sprintf("longer than %d bytes", maxPath)
	case textFault(p) != "":
		return textFault(p)
	case strings.HasPrefix(p, "/"):
		return "absolute"
	case strings.Contains(p, `\`):
		return "holds a backslash"
	}
	for e := range strings.SplitSeq(p, "/") {
		switch {
		case e == "..":
			return "holds .."
		case e == "" || e == ".":
			return "not clean"
		case len(e) > maxElement:
			return fmt.Sprintf("holds a name of more than %d bytes", maxElement)
		}
	}
	return ""
}

// filePathFault is pathFault for a file of the server's data.
func filePathFault(p string) string {
	if why := pathFault(p); why != "" {
		return why
	}
	// temp-<pid>.rdb and its like are files that the server is still writing.
	if strings.HasPrefix(path.Base(p), "temp-") {
		return "a temporary file of the server"
	}
	return ""
}

// baseFault says what is wrong with a plain file name, or "".
func baseFault(s string) string {
	if strings.Contains(s, "/") {
		return "holds a slash"
	}
	return pathFault(s)
}

// absoluteFault says what is wrong with an absolute path in a container.
func absoluteFault(p string) string {
	switch {
	case len(p) > maxPath:
		return fmt.Sprintf("longer than %d bytes", maxPath)
	case textFault(p) != "":
		return textFault(p)
	case !strings.HasPrefix(p, "/"):
		return "not absolute"
	case path.Clean(p) != p:
		return "not clean"
	}
	return ""
}

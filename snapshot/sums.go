package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Sum is a line of SHA256SUMS.
type Sum struct {
	Name   string // in the snapshot's directory, slash-separated
	SHA256 string // lower-case hex
}

// SumsFor gives the lines that belong to a manifest and to its bytes: the
// payload in the manifest's order, then manifest.json.
func SumsFor(m *Manifest, manifestJSON []byte) []Sum {
	sums := make([]Sum, 0, len(m.Files)+1)
	for _, f := range m.Files {
		sums = append(sums, Sum{Name: f.Name, SHA256: f.StoredSHA256})
	}
	h := sha256.Sum256(manifestJSON)
	return append(sums, Sum{Name: ManifestName, SHA256: hex.EncodeToString(h[:])})
}

// EncodeSums gives the bytes of SHA256SUMS, as sha256sum itself writes them.
func EncodeSums(entries []Sum) []byte {
	var b []byte
	for _, s := range entries {
		b = append(b, s.SHA256...)
		b = append(b, "  "...)
		b = append(b, s.Name...)
		b = append(b, '\n')
	}
	return b
}

// ParseSums reads a SHA256SUMS, and takes only what EncodeSums writes.
func ParseSums(r io.Reader) ([]Sum, error) {
	data, err := readLimited(SumsName, r)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, &FormatError{What: SumsName, Why: "empty"}
	}
	var sums []Sum
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		s, why := parseSum(line)
		if why == "" && seen[s.Name] {
			why = "names " + shown(s.Name) + " again"
		}
		if why != "" {
			return nil, &FormatError{What: SumsName, Why: fmt.Sprintf("line %d %s", len(sums)+1, why)}
		}
		seen[s.Name] = true
		sums = append(sums, s)
	}
	return sums, nil
}

func parseSum(line string) (s Sum, why string) {
	line, whole := strings.CutSuffix(line, "\n")
	if !whole {
		return Sum{}, "does not end with a newline"
	}
	digest, name, ok := strings.Cut(line, "  ")
	if !ok || !isHex(digest, 2*sha256.Size) {
		return Sum{}, "is not 64 lower-case hexadecimal digits, two spaces and a name"
	}
	if fault := pathFault(name); fault != "" {
		return Sum{}, "has a name that is refused: " + fault
	}
	return Sum{Name: name, SHA256: digest}, ""
}

package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// EncodeManifest gives the bytes of manifest.json. Times are written in UTC
// whatever their zone, and the reason is made one line; for the rest m must be
// valid.
func EncodeManifest(m *Manifest) ([]byte, error) {
	c := *m
	c.StartedAt, c.FinishedAt, c.PointInTime = inUTC(m.StartedAt), inUTC(m.FinishedAt), inUTC(m.PointInTime)
	c.Reason = oneLine(m.Reason)
	if err := c.Validate(); err != nil {
		return nil, err
	}
	data, err := canonical(&c)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", ManifestName, err)
	}
	if len(data) > maxJSON {
		return nil, &FormatError{What: ManifestName, Why: "larger than 1 MiB"}
	}
	return data, nil
}

// inUTC is t as it will be read back: without a zone of its own and without a
// monotonic clock.
func inUTC(t time.Time) time.Time { return t.Round(0).UTC() }

// DecodeManifest reads a manifest.json, and gives only one that is valid.
// Members that it does not know are passed over: within format 1, they are
// only ever added, and one without which the snapshot cannot be read rightly
// is announced in "requires". The error is a *NewerFormatError for a format or
// a required feature that is not known here, a *FormatError for any other fault
// of the bytes, and else wraps that of r.
func DecodeManifest(r io.Reader) (*Manifest, error) {
	data, err := readLimited(ManifestName, r)
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if !ours(data, m) || m.Format != Version || len(m.Requires) > 0 {
		if m, err = decodeStrictly(data); err != nil {
			return nil, err
		}
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m, nil
}

// ours reads data into v if it is, byte for byte, what canonical writes for
// v, as nearly every file is: that needs no tree, and so a fraction of the
// time. Else it says no, and v is of no use.
func ours(data []byte, v any) bool {
	if json.Unmarshal(data, v) != nil {
		return false
	}
	again, err := canonical(v)
	return err == nil && bytes.Equal(again, data)
}

// decodeStrictly reads a manifest by the rules of FORMAT.md. It is not yet
// valid.
func decodeStrictly(data []byte) (*Manifest, error) {
	tree, err := object(data)
	if err != nil {
		return nil, &FormatError{What: ManifestName, Why: err.Error()}
	}
	// What a newer writer meant by the other members is not for us to judge,
	// so these two come before all else.
	if err := known(tree); err != nil {
		return nil, err
	}
	var m Manifest
	if err := fill(tree, &m, func(string) {}); err != nil {
		return nil, &FormatError{What: ManifestName, Why: err.Error()}
	}
	return &m, nil
}

// known refuses a format or a required feature that is not known here.
func known(tree map[string]any) error {
	var format struct {
		Format int `json:"format"`
	}
	var requires struct {
		Requires []string `json:"requires,omitempty"`
	}
	ignore := func(string) {}
	if err := fill(tree, &format, ignore); err != nil {
		return &FormatError{What: ManifestName, Why: err.Error()}
	}
	if format.Format > Version {
		return &NewerFormatError{What: ManifestName, Format: format.Format}
	}
	if err := fill(tree, &requires, ignore); err != nil {
		return &FormatError{What: ManifestName, Why: err.Error()}
	}
	for _, feature := range requires.Requires {
		if !knownFeature(feature) {
			return &NewerFormatError{What: ManifestName, Feature: feature}
		}
	}
	return nil
}

// knownFeature says whether this reader knows a feature that a manifest may
// require. Format 1 began with none.
func knownFeature(string) bool { return false }

// EncodeProof gives the bytes of proof.json: the time in UTC, the reason made
// one line, the hash at the end.
func EncodeProof(p *Proof) ([]byte, error) {
	c := *p
	c.At = inUTC(p.At)
	c.Reason = oneLine(p.Reason)
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return seal(ProofName, &c)
}

// DecodeProof reads a proof.json. Other than a manifest it is its encoding
// byte for byte, or refused: it changes over time, and no list of checksums
// covers it. Errors are as those of DecodeManifest.
func DecodeProof(r io.Reader) (*Proof, error) {
	return unseal(ProofName, r, EncodeProof)
}

// EncodeMarks gives the bytes of marks.json: tags in order and each of them
// once, the hash at the end.
func EncodeMarks(m *Marks) ([]byte, error) {
	c := *m
	c.Tags = slices.Compact(slices.Sorted(slices.Values(m.Tags)))
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return seal(MarksName, &c)
}

// DecodeMarks reads a marks.json, as DecodeProof does a proof.json.
func DecodeMarks(r io.Reader) (*Marks, error) {
	return unseal(MarksName, r, EncodeMarks)
}

// A sealed file ends with its hash: the SHA-256 of all bytes before the line
// that holds it.
const (
	sealHead   = `  "sha256": "`
	sealTail   = "\"\n}\n"
	sealLength = len(sealHead) + 2*sha256.Size + len(sealTail)
)

func seal(what string, v any) ([]byte, error) {
	data, err := canonical(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	data = withSeal(append(bytes.TrimSuffix(data, []byte("\n}\n")), ",\n"...))
	if len(data) > maxJSON {
		return nil, &FormatError{What: what, Why: "larger than 1 MiB"}
	}
	return data, nil
}

// withSeal appends the line with the hash, and the end of the object.
func withSeal(body []byte) []byte {
	sum := sha256.Sum256(body)
	body = append(body, sealHead...)
	body = hex.AppendEncode(body, sum[:])
	return append(body, sealTail...)
}

func unseal[T any](what string, r io.Reader, encode func(*T) ([]byte, error)) (*T, error) {
	data, err := readLimited(what, r)
	if err != nil {
		return nil, err
	}
	// Bytes that come out of encode again are sealed rightly and hold nothing
	// else; only what is wrong with others needs a closer look.
	v := new(T)
	if json.Unmarshal(data, v) == nil {
		if again, err := encode(v); err == nil && bytes.Equal(again, data) {
			return v, nil
		}
	}
	return nil, unsealed(what, data, encode)
}

// unsealed says why data is not a sealed file that encode has written.
func unsealed[T any](what string, data []byte, encode func(*T) ([]byte, error)) error {
	bad := func(why string) error { return &FormatError{What: what, Why: why} }
	tree, err := object(data)
	if err != nil {
		return bad(err.Error())
	}
	want, body, ok := splitSeal(data)
	if !ok {
		return bad(`the last line does not hold "sha256"`)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != want {
		return bad("changed since it was written: its sha256 is another")
	}
	delete(tree, "sha256")

	var v T
	extra := []string{}
	if err := fill(tree, &v, func(path string) { extra = append(extra, path) }); err != nil {
		return bad(err.Error())
	}
	// Its hash is right, so it was not damaged: a newer redisbak wrote it.
	if len(extra) > 0 {
		return &NewerFormatError{What: what, Feature: slices.Min(extra)}
	}
	if _, err := encode(&v); err != nil {
		return err
	}
	return bad("not written in the canonical form")
}

func splitSeal(data []byte) (sum string, body []byte, ok bool) {
	if len(data) < sealLength {
		return "", nil, false
	}
	body, end := data[:len(data)-sealLength], string(data[len(data)-sealLength:])
	end, ok1 := strings.CutPrefix(end, sealHead)
	end, ok2 := strings.CutSuffix(end, sealTail)
	return end, body, ok1 && ok2 && isHex(end, 2*sha256.Size)
}

package snapshot

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const sealedDir = "repository/sessions/20261122T035034Z-7k3f/"

// decoders of the two sealed files, as one type.
func sealed() map[string]func(io.Reader) ([]byte, error) {
	return map[string]func(io.Reader) ([]byte, error){
		ProofName: func(r io.Reader) ([]byte, error) {
			p, err := DecodeProof(r)
			if err != nil {
				return nil, err
			}
			return EncodeProof(p)
		},
		MarksName: func(r io.Reader) ([]byte, error) {
			m, err := DecodeMarks(r)
			if err != nil {
				return nil, err
			}
			return EncodeMarks(m)
		},
	}
}

// resealed is a sealed file with its body changed and its hash made right.
func resealed(t testing.TB, text []byte, old, new string) string {
	t.Helper()
	_, body, ok := splitSeal(text)
	if !ok || !bytes.Contains(body, []byte(old)) {
		t.Fatalf("no %q in %s", old, body)
	}
	body = bytes.Replace(body, []byte(old), []byte(new), 1)
	return string(withSeal(bytes.Clone(body)))
}

func TestFault35SealedFilesOneBitOff(t *testing.T) {
	for name, decode := range sealed() {
		good := read(t, sealedDir+name)
		for at := range good {
			for bit := range 8 {
				bad := bytes.Clone(good)
				bad[at] ^= 1 << bit
				if text, err := decode(bytes.NewReader(bad)); err == nil {
					t.Fatalf("%s: bit %d of byte %d: taken as %s", name, bit, at, text)
				}
			}
		}
	}
}

func TestFault36SealedFilesCutOrLonger(t *testing.T) {
	for name, decode := range sealed() {
		good := read(t, sealedDir+name)
		for n := range good {
			if text, err := decode(bytes.NewReader(good[:n])); err == nil {
				t.Fatalf("%s: the first %d bytes are taken as %s", name, n, text)
			}
		}
		for _, more := range []string{"\n", " ", "\x00", "x", string(good)} {
			if text, err := decode(strings.NewReader(string(good) + more)); err == nil {
				t.Fatalf("%s: with %q behind it, taken as %s", name, more, text)
			}
		}
		if _, err := decode(&endless{piece: string(good), left: 100 << 20}); err == nil || err.Error() != name+": larger than 1 MiB" {
			t.Errorf("%s: 100 MiB: %v", name, err)
		}
	}
}

func TestFault37HostileMarks(t *testing.T) {
	good := read(t, sealedDir+MarksName)
	plain, _, _ := strings.Cut(string(good), ",\n  \"sha256\"")
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "empty"},
		"without hash":     {plain + "\n}\n", `the last line does not hold "sha256"`},
		"hash not last":    {strings.Replace(string(good), "\"\n}\n", "\",\n  \"x\": 1\n}\n", 1), `the last line does not hold "sha256"`},
		"other hash":       {strings.Replace(string(good), `"sha256": "7`, `"sha256": "8`, 1), "changed since it was written: its sha256 is another"},
		"hash upper case":  {strings.Replace(string(good), "d346f4a", "D346F4A", 1), `the last line does not hold "sha256"`},
		"changed":          {strings.Replace(string(good), `"pinned": true`, `"pinned": false`, 1), "changed since it was written: its sha256 is another"},
		"other type":       {resealed(t, good, "true", `"yes"`), "pinned: a string, want a boolean"},
		"missing":          {resealed(t, good, "  \"accepted\": false,\n", ""), "accepted: missing"},
		"key twice":        {resealed(t, good, `"pinned"`, `"pinned": false, "pinned"`), `duplicate key "pinned"`},
		"hash twice":       {resealed(t, good, `"pinned"`, `"sha256": "x", "pinned"`), `duplicate key "sha256"`},
		"key case":         {resealed(t, good, `"pinned"`, `"Pinned"`), "pinned: missing"},
		"other space":      {resealed(t, good, `"pinned": `, `"pinned":`), "not written in the canonical form"},
		"other order":      {resealed(t, good, "\"pinned\": true,\n  \"accepted\": false", "\"accepted\": false,\n  \"pinned\": true"), "not written in the canonical form"},
		"escapes":          {resealed(t, good, "monthly", `\u006donthly`), "not written in the canonical form"},
		"lone surrogate":   {resealed(t, good, "monthly", `monthly\ud800`), "not written in the canonical form"},
		"carriage returns": {resealed(t, good, "{\n", "{\r\n"), "not written in the canonical form"},
		"tags unsorted":    {resealed(t, good, "before-upgrade", "z"), "not written in the canonical form"},
		"tags twice":       {resealed(t, good, "before-upgrade", "monthly"), "not written in the canonical form"},
		"tag with space":   {resealed(t, good, "monthly", "mon thly"), `tags[1]: "mon thly" is refused: holds a space or a comma`},
		"no tags":          {resealed(t, good, "[\n    \"before-upgrade\",\n    \"monthly\"\n  ]", "[]"), "not written in the canonical form"},
		"null tags":        {resealed(t, good, "[\n    \"before-upgrade\",\n    \"monthly\"\n  ]", "null"), "tags: null, want an array"},
		"id":               {resealed(t, good, "20261122T035034Z-7k3f", "../../../20261122T035"), `id: "../../../20261122T035" is refused: not of the form 20060102T150405Z-xxxx`},
		"array":            {"[" + string(good) + "]", "an array, want an object"},
	} {
		_, err := DecodeMarks(strings.NewReader(c.text))
		var format *FormatError
		if !errors.As(err, &format) || format.What != MarksName || format.Why != c.want {
			t.Errorf("%s:\n have %v\n want marks.json: %s", name, err, c.want)
		}
	}
}

// A whole file with members that are not known is a newer redisbak's.
func TestFault37NewerMarks(t *testing.T) {
	good := read(t, sealedDir+MarksName)
	_, err := DecodeMarks(strings.NewReader(resealed(t, good, `"pinned"`, `"note": "z", "colour": {"a": 1}, "pinned"`)))
	var newer *NewerFormatError
	if !errors.As(err, &newer) || *newer != (NewerFormatError{What: MarksName, Feature: "colour"}) {
		t.Errorf("%#v", err)
	}
	if want := `marks.json: needs "colour", which this redisbak does not know`; err.Error() != want {
		t.Errorf("%s, want %s", err, want)
	}
}

func TestFault37HostileProof(t *testing.T) {
	good := read(t, sealedDir+ProofName)
	for name, c := range map[string]struct{ old, new, want string }{
		"result":             {`"passed"`, `"maybe"`, `result: "maybe" is not one of passed, failed, inconclusive`},
		"failed, no reason":  {`"passed"`, `"failed"`, "reason: empty"},
		"passed, reason":     {`"result": "passed",`, "\"result\": \"passed\",\n  \"reason\": \"x\",", "reason: given where none is due"},
		"layout":             {`"layout": "rdb"`, `"layout": "tar"`, `layout: "tar" is not one of rdb, aof, aof-legacy`},
		"time":               {`"at": "2026-11-22T03:50:42Z"`, `"at": "2026-11-22T03:50:42+00:00"`, `at: "2026-11-22T03:50:42+00:00" is not in UTC`},
		"time not canonical": {`"at": "2026-11-22T03:50:42Z"`, `"at": "2026-11-22T03:50:42.000Z"`, "not written in the canonical form"},
		"image":              {`"image_id": "sha256:`, `"image_id": "sha512:`, `image_id: "sha512:9dc589a3870a560797ce4435bd0078bf85f232654f52934f73df93d00a7e2d9d" is not sha256: and 64 lower-case hexadecimal digits`},
		"digest":             {`"digest": "6e`, `"digest": "6E`, `digest: "6E13f1ff2f36d8a2ba0c2f5f3fee73a6b2ad4f3b" is not 40 lower-case hexadecimal digits`},
		"duration":           {`"fill_ns": 4`, `"fill_ns": -4`, "fill_ns: -412336901 is less than 0"},
		"keyspace":           {`"db": 3`, `"db": 0`, "keyspace[1].db: 0 comes after 0"},
		"server":             {`"redis 7.0.15"`, `"redis\u001b7.0.15"`, "server: holds a control character"},
		"manifest":           {`"manifest_sha256": "4`, `"manifest_sha256": "`, `manifest_sha256: "b406b2b7af2a788697f780be41e5a695cbef7a1c3d96f39e0220e3a004c1bf3" is not 64 lower-case hexadecimal digits`},
	} {
		_, err := DecodeProof(strings.NewReader(resealed(t, good, c.old, c.new)))
		if err == nil || err.Error() != "proof.json: "+c.want {
			t.Errorf("%s:\n have %v\n want proof.json: %s", name, err, c.want)
		}
	}
}

func TestProofRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hexOf := func(n int) string {
			return rapid.StringOfN(rapid.RuneFrom([]rune("0123456789abcdef")), n, n, n).Draw(t, "hex")
		}
		duration := rapid.Int64Range(0, 1<<50)
		p := Proof{
			ID:         "20260208T031502Z-7k3f",
			Result:     rapid.SampledFrom([]Result{Passed, Failed, Inconclusive}).Draw(t, "result"),
			At:         time.Unix(rapid.Int64Range(0, 1<<37).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
			Layout:     "rdb",
			ImageID:    "sha256:" + hexOf(64),
			Server:     "valkey 8.1.1",
			Fill:       time.Duration(duration.Draw(t, "fill")),
			Load:       time.Duration(duration.Draw(t, "load")),
			Total:      time.Duration(duration.Draw(t, "total")),
			ManifestID: hexOf(64),
		}
		if p.Result != Passed {
			p.Reason = "x" + rapid.String().Draw(t, "reason")
		}
		if rapid.Bool().Draw(t, "counted") {
			p.Keyspace = []Keys{}
			for db := range rapid.IntRange(0, 4).Draw(t, "dbs") {
				p.Keyspace = append(p.Keyspace, Keys{DB: db, Keys: 5, Expires: 2})
			}
			p.Digest = hexOf(40)
		}
		text, err := EncodeProof(&p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeProof(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		p.Reason = oneLine(p.Reason)
		if !reflect.DeepEqual(*again, p) {
			t.Fatalf("%+v comes back as %+v", p, *again)
		}
	})
}

func TestMarksRoundTrip(t *testing.T) {
	m := Marks{ID: "20260208T031502Z-7k3f", Tags: []string{"z", "a", "z", "m"}}
	text, err := EncodeMarks(&m)
	if err != nil {
		t.Fatal(err)
	}
	if m.Tags[0] != "z" {
		t.Error("the caller's tags were sorted")
	}
	again, err := DecodeMarks(bytes.NewReader(text))
	want := Marks{ID: m.ID, Tags: []string{"a", "m", "z"}}
	if err != nil || !reflect.DeepEqual(*again, want) {
		t.Errorf("%+v, %v", again, err)
	}
	if text, err := EncodeMarks(&Marks{ID: m.ID, Tags: []string{"a b"}}); err == nil {
		t.Errorf("a tag with a space is written: %s", text)
	}
}

func FuzzDecodeMarks(f *testing.F) {
	for _, name := range append(glob(f, "repository/sessions/*/marks.json"), glob(f, "repository/sessions/*/proof.json")...) {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		// A fuzzer cannot guess a hash: the body is also tried with its own.
		tries := [][]byte{text}
		if _, body, ok := splitSeal(text); ok {
			tries = append(tries, withSeal(bytes.Clone(body)))
		} else {
			tries = append(tries, withSeal(bytes.Clone(text)))
		}
		for _, text := range tries {
			for name, decode := range sealed() {
				if again, err := decode(bytes.NewReader(text)); err == nil && !bytes.Equal(again, text) {
					t.Fatalf("%s: %s comes back as %s", name, text, again)
				}
			}
		}
	})
}

package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

// The vectors are frozen: what a released redisbak has written once must be
// read for ever. A test that fails here is right, and the code wrong.
const vectors = "../testdata/format/v1"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(vectors, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no vectors match %s: %v", pattern, err)
	}
	for i := range names {
		names[i], _ = filepath.Rel(vectors, names[i])
	}
	return names
}

// manifest is the good one of the vectors.
func manifest(t testing.TB) *Manifest {
	t.Helper()
	m, err := DecodeManifest(bytes.NewReader(read(t, "repository/sessions/20261122T035034Z-7k3f/manifest.json")))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestVectors(t *testing.T) {
	raw := read(t, "dump.rdb")
	dirs := glob(t, "repository/*/*")
	if len(dirs) != 5 {
		t.Errorf("%d snapshots, want one of each compression, and one of each layout of an append-only file", len(dirs))
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text := read(t, dir+"/"+ManifestName)
			m, err := DecodeManifest(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if string(m.ID) != filepath.Base(dir) {
				t.Errorf("id %s", m.ID)
			}
			if again, err := EncodeManifest(m); err != nil || !bytes.Equal(again, text) {
				t.Errorf("manifest comes back as %s, %v", again, err)
			}
			sums := read(t, dir+"/"+SumsName)
			if want := EncodeSums(SumsFor(m, text)); !bytes.Equal(sums, want) {
				t.Errorf("sums are\n%swant\n%s", sums, want)
			}
			if _, err := ParseSums(bytes.NewReader(sums)); err != nil {
				t.Error(err)
			}

			proofText := read(t, dir+"/"+ProofName)
			proof, err := DecodeProof(bytes.NewReader(proofText))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := EncodeProof(proof); err != nil || !bytes.Equal(again, proofText) {
				t.Errorf("proof comes back as %s, %v", again, err)
			}
			parsed, err := ParseSums(bytes.NewReader(sums))
			if err != nil || proof.ManifestID != parsed[len(parsed)-1].SHA256 || proof.ID != m.ID {
				t.Errorf("proof is of manifest %s of %s", proof.ManifestID, proof.ID)
			}
			if m.Source.Name == "sessions" { // a snapshot that nobody marked has no such file
				marksText := read(t, dir+"/"+MarksName)
				marks, err := DecodeMarks(bytes.NewReader(marksText))
				if err != nil {
					t.Fatal(err)
				}
				if again, err := EncodeMarks(marks); err != nil || !bytes.Equal(again, marksText) {
					t.Errorf("marks come back as %s, %v", again, err)
				}
			}

			for _, f := range m.Files {
				stored := read(t, dir+"/"+f.Name)
				if err := CheckStored(bytes.NewReader(stored), f); err != nil {
					t.Error(err)
				}
				if got, err := unpack(stored, f); err != nil || m.Method == MethodRDB && !bytes.Equal(got, raw) {
					t.Errorf("%s: %d bytes, %v", f.Name, len(got), err)
				}
			}
		})
	}
}

func TestVectorsOfAppendOnlyFiles(t *testing.T) {
	for pattern, want := range map[string]struct {
		layout string
		ends   []string // of the files' content
	}{
		"repository/carts/*/manifest.json": {LayoutAOF, []string{"", "PXAT\r\n$13\r\n", "seq 2 type i\n"}},
		"repository/queue/*/manifest.json": {LayoutAOFLegacy, []string{"PEXPIREAT\r\n$3\r\nttl\r\n$13\r\n"}},
	} {
		name := glob(t, pattern)[0]
		m, err := DecodeManifest(bytes.NewReader(read(t, name)))
		if err != nil || m.Method != MethodAOF || m.Layout() != want.layout || len(m.Files) != len(want.ends) {
			t.Errorf("%s: method %s, layout %s, %d files, %v", name, m.Method, m.Layout(), len(m.Files), err)
			continue
		}
		for i, f := range m.Files {
			content, err := unpack(read(t, filepath.Dir(name)+"/"+f.Name), f)
			if tail := string(content[max(0, len(content)-60):]); err != nil || !strings.Contains(tail, want.ends[i]) {
				t.Errorf("%s ends with %q, %v", f.Name, tail, err)
			}
		}
	}
}

func TestVectorOfEveryMember(t *testing.T) {
	text := read(t, "every-member.json")
	m, err := DecodeManifest(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := EncodeManifest(m); err != nil || !bytes.Equal(again, text) {
		t.Errorf("comes back as %s, %v", again, err)
	}
	want := manifest(t)
	want.Source.Mount = Mount{Type: MountBind, Path: "/srv/<redis> & söhne", Destination: "/var/lib"}
	want.Source.Options.AppendOnly = true
	want.Source.Options.Dir = "/var/lib/a/b"
	want.Source.Options.DBFilename = `Dump of "today".rdb`
	want.Files[0].Path = `a/b/Dump of "today".rdb`
	want.Dirs = []Dir{{"a", 0, 0, 0o700}, {"a/b", 4294967294, 4294967294, 0o777}}
	want.Server.Software, want.Server.Version, want.Server.Role = "valkey", "8.1.1", "replica"
	want.Server.RDBMagic, want.Server.RDBVersion, want.Server.ClusterEnabled = "VALKEY", 80, true
	want.Server.Modules = []Module{{"ReJSON", 20609}, {"bf", 20809}}
	want.Keyspace = []Keys{}
	want.State, want.Reason = Suspect, "empty, and the 3 good snapshots before it were not"
	if !reflect.DeepEqual(m, want) {
		t.Errorf("read as %+v, want %+v", m, want)
	}
}

func TestVectorsThatAreTolerated(t *testing.T) {
	want := manifest(t)
	for _, name := range glob(t, "tolerated/*.json") {
		m, err := DecodeManifest(bytes.NewReader(read(t, name)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.Requires = nil; !reflect.DeepEqual(m, want) {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
}

func TestFault37HostileManifests(t *testing.T) {
	want := map[string]string{}
	for line := range strings.Lines(string(read(t, "hostile/errors.txt"))) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[name] = strings.TrimSpace(text)
	}
	names := glob(t, "hostile/*.json")
	for _, name := range names {
		short := strings.TrimSuffix(filepath.Base(name), ".json")
		m, err := DecodeManifest(bytes.NewReader(read(t, name)))
		if err == nil {
			t.Errorf("%s is taken: %+v", short, m)
			continue
		}
		if err.Error() != want[short] {
			t.Errorf("%s:\n have %s\n want %s", short, err, want[short])
		}
		var format *FormatError
		var newer *NewerFormatError
		politely := strings.HasPrefix(short, "newer-") || short == "requires-unknown" || short == "requires-long"
		if politely != errors.As(err, &newer) || politely == errors.As(err, &format) {
			t.Errorf("%s: %T", short, err)
		}
		if strings.ContainsFunc(err.Error(), breaksLine) || len(err.Error()) > 300 {
			t.Errorf("%s: not fit to be shown: %q", short, err)
		}
	}
	if len(want) != len(names) {
		t.Errorf("%d errors for %d manifests", len(want), len(names))
	}
}

func TestFault37NewerFormatSaysWhat(t *testing.T) {
	for text, want := range map[string]NewerFormatError{
		`{"format": 2}`:                         {What: ManifestName, Format: 2},
		`{"format": 1, "requires": ["a", "b"]}`: {What: ManifestName, Feature: "a"},
	} {
		_, err := DecodeManifest(strings.NewReader(text))
		var newer *NewerFormatError
		if !errors.As(err, &newer) || *newer != want {
			t.Errorf("%s: %#v", text, err)
		}
	}
}

// endless gives the same bytes again and again, and counts them.
type endless struct {
	piece string
	given int64
	left  int64
}

func (e *endless) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) && e.left > 0 {
		c := copy(b[n:min(int64(len(b)), int64(n)+e.left)], e.piece[e.given%int64(len(e.piece)):])
		n += c
		e.given += int64(c)
		e.left -= int64(c)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestFault37HugeManifest(t *testing.T) {
	for name, piece := range map[string]string{
		"spaces": " ", "nesting": "[", "objects": `{"a":`, "numbers": "0,", "keys": `"a":1,`, "text": "x", "quotes": `"`, "zeros": "\x00",
	} {
		r := &endless{piece: piece, left: 100 << 20}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := DecodeManifest(r)
		runtime.ReadMemStats(&after)
		if err == nil || err.Error() != "manifest.json: larger than 1 MiB" {
			t.Errorf("%s: %v", name, err)
		}
		if r.given > 1<<20+4096 {
			t.Errorf("%s: %d bytes were read", name, r.given)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
			t.Errorf("%s: %d bytes of memory", name, got)
		}
	}
	// The largest that is looked into at all.
	for name, piece := range map[string]string{"spaces": " ", "nesting": "[", "objects": `{"a":`, "numbers": "0,", "quotes": `"`} {
		if _, err := DecodeManifest(&endless{piece: piece, left: 1 << 20}); err == nil {
			t.Errorf("1 MiB of %s: taken", name)
		}
	}
}

func TestFault37DeepManifest(t *testing.T) {
	good := strings.TrimSuffix(strings.TrimSpace(string(read(t, "repository/sessions/20261122T035034Z-7k3f/manifest.json"))), "}")
	with := func(deep string) error {
		_, err := DecodeManifest(strings.NewReader(good + `, "added": ` + deep + "}"))
		return err
	}
	nest := func(open, end string, n int) string { return strings.Repeat(open, n) + "0" + strings.Repeat(end, n) }
	// The manifest itself is the first of the 16 levels.
	for _, n := range []int{1, 15} {
		if err := errors.Join(with(nest("[", "]", n)), with(nest(`{"a":`, "}", n))); err != nil {
			t.Errorf("%d levels: %v", n, err)
		}
	}
	for _, n := range []int{16, 17, 1000, 100_000} {
		for _, deep := range []string{nest("[", "]", n), nest(`{"a":`, "}", n), strings.Repeat("[", n)} {
			if err := with(deep); err == nil || err.Error() != "manifest.json: nested deeper than 16" {
				t.Errorf("%d levels: %v", n, err)
			}
		}
	}
}

func TestFault37TornManifest(t *testing.T) {
	good := read(t, "every-member.json")
	for n := range len(good) - 1 { // the last newline may be missing
		if m, err := DecodeManifest(bytes.NewReader(good[:n])); err == nil {
			t.Fatalf("the first %d bytes are taken: %+v", n, m)
		}
	}
	broken := errors.New("input/output error")
	_, err := DecodeManifest(io.MultiReader(bytes.NewReader(good[:100]), iotest.ErrReader(broken)))
	var format *FormatError
	if !errors.Is(err, broken) || errors.As(err, &format) {
		t.Errorf("a fault of the disk comes out as %v", err)
	}
}

// Whatever a member is changed to, it is refused or comes back the same.
func TestFault37ChangedMembers(t *testing.T) {
	good := read(t, "every-member.json")
	rapid.Check(t, func(t *rapid.T) {
		text := bytes.Clone(good)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
			piece := rapid.SampledFrom([]string{"", "\"", "{", "}", "[", "]", ",", ":", "null", "-", "0", "9", "1e9", "\\", "../", "\x00", "\xff", "\n", "true", "🦀"}).Draw(t, "piece")
			cut := min(len(text), at+rapid.IntRange(0, 3).Draw(t, "cut"))
			text = append(append(bytes.Clone(text[:at]), piece...), text[cut:]...)
		}
		stable(t, text)
	})
}

// stable: a manifest that is taken is valid, and its encoding is for ever.
func stable(t interface{ Fatalf(string, ...any) }, text []byte) {
	m, err := DecodeManifest(bytes.NewReader(text))
	if err != nil {
		return
	}
	if err := m.Validate(); err != nil {
		t.Fatalf("not valid: %v", err)
	}
	once, err := EncodeManifest(m)
	if err != nil {
		// The reason may be blank, or the encoding longer than what was read.
		if m.State == Suspect || len(text) > maxJSON/4 {
			return
		}
		t.Fatalf("encode: %v", err)
	}
	again, err := DecodeManifest(bytes.NewReader(once))
	if err != nil {
		t.Fatalf("decode again: %v", err)
	}
	twice, err := EncodeManifest(again)
	if err != nil || !bytes.Equal(once, twice) {
		t.Fatalf("%s, then %s, %v", once, twice, err)
	}
	for _, f := range m.Files {
		for _, p := range []string{f.Path, f.Name} {
			if !filepath.IsLocal(p) || filepath.Clean(p) != p {
				t.Fatalf("path %q is taken", p)
			}
		}
	}
}

func FuzzDecodeManifest(f *testing.F) {
	for _, name := range append(glob(f, "hostile/*.json"), glob(f, "tolerated/*.json")...) {
		f.Add(read(f, name))
	}
	for _, name := range append(glob(f, "repository/sessions/*/manifest.json"), "every-member.json") {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, text []byte) { stable(t, text) })
}

func TestEncodeManifestMakesItCanonical(t *testing.T) {
	m := manifest(t)
	want, err := EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	berlin := time.FixedZone("CET", 3600)
	m.StartedAt, m.FinishedAt, m.PointInTime = m.StartedAt.In(berlin), m.FinishedAt.In(berlin), m.PointInTime.In(berlin)
	if got, err := EncodeManifest(m); err != nil || !bytes.Equal(got, want) {
		t.Errorf("with times of another zone: %s, %v", got, err)
	}
	if m.StartedAt.Location() != berlin {
		t.Error("the caller's manifest was changed")
	}

	m.State, m.Reason = Suspect, "line one\nline\x1b[31m two\n"
	got, err := EncodeManifest(m)
	if err != nil || !bytes.Contains(got, []byte(`"reason": "line one line [31m two"`)) {
		t.Errorf("with a reason of two lines: %s, %v", got, err)
	}
	if m.Reason != "line one\nline\x1b[31m two\n" {
		t.Error("the caller's manifest was changed")
	}
}

func TestEncodeManifestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *Manifest)
		want   string
	}{
		"format":   {func(m *Manifest) { m.Format = 2 }, "format: 2 is not 1"},
		"requires": {func(m *Manifest) { m.Requires = []string{"x"} }, `requires[0]: "x" is not known`},
		"no time":  {func(m *Manifest) { m.FinishedAt = time.Time{} }, "finished_at: zero"},
		"year":     {func(m *Manifest) { m.StartedAt = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) }, "started_at: year 12026 is not between 1970 and 9999"},
		"mode":     {func(m *Manifest) { m.Root.Mode = 0o2775 }, "root.mode: 02775 is more than 0777"},
		"utf-8":    {func(m *Manifest) { m.Source.Options.DBFilename = "d\xfcmp.rdb" }, `source.options.dbfilename: "d\xfcmp.rdb" is refused: not UTF-8`},
		"temp":     {func(m *Manifest) { m.Files[0].Path = "temp-1.rdb" }, `files[0].path: "temp-1.rdb" is refused: a temporary file of the server`},
		"none":     {func(m *Manifest) { m.Files = nil }, "files: none"},
		"large": {func(m *Manifest) {
			for i := range 40_000 {
				m.Server.Modules = append(m.Server.Modules, Module{Name: fmt.Sprint("module", i)})
			}
		}, "larger than 1 MiB"},
	} {
		m := manifest(t)
		c.change(m)
		text, err := EncodeManifest(m)
		if err == nil || err.Error() != "manifest.json: "+c.want {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
}

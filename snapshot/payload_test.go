package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

func compressions() []Compression { return []Compression{Gzip, Zstd, None} }

// rounds is n where everything runs at full size, and else a tenth of it.
func rounds(n int) int {
	if os.Getenv("REDISBAK_TEST_FULL") == "1" {
		return n
	}
	return max(n/10, 1)
}

// pack stores raw as a payload file.
func pack(t testing.TB, raw []byte, c Compression) ([]byte, File) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), described(w, c)
}

func described(w *Writer, c Compression) File {
	f := File{Path: "dump.rdb", Name: RDBName + c.Suffix(), Compression: c}
	f.Size, f.SHA256, f.StoredSize, f.StoredSHA256 = w.Sum()
	return f
}

// unpack reads a payload file to its end.
func unpack(stored []byte, f File) ([]byte, error) { return unpackFrom(bytes.NewReader(stored), f) }

func unpackFrom(r io.Reader, f File) ([]byte, error) {
	p, err := NewReader(r, f)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return io.ReadAll(p)
}

func hexSum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func TestPayloadRoundTrip(t *testing.T) {
	pool := append(likeRDB(2<<20), make([]byte, 1<<20)...)
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(compressions()).Draw(t, "compression")
		edge := rapid.SampledFrom([]int{0, 1, 64 << 10, gzipBlock, 2 * gzipBlock, 5 * gzipBlock}).Draw(t, "edge")
		size := max(0, edge+rapid.IntRange(-2, 2).Draw(t, "off"))
		if rapid.Bool().Draw(t, "any size") {
			size = rapid.IntRange(0, 1<<20).Draw(t, "size")
		}
		from := rapid.IntRange(0, len(pool)-size).Draw(t, "from")
		raw := pool[from : from+size]

		var stored bytes.Buffer
		w, err := NewWriter(&stored, c)
		if err != nil {
			t.Fatal(err)
		}
		for rest := raw; len(rest) > 0; {
			n := min(len(rest), rapid.SampledFrom([]int{1, 100, 32 << 10, 300_001, 1 << 20}).Draw(t, "chunk"))
			piece := bytes.Clone(rest[:n])
			if got, err := w.Write(piece); got != n || err != nil {
				t.Fatalf("%d of %d written, %v", got, n, err)
			}
			clear(piece) // the writer may not keep what it was given
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f := described(w, c)
		want := File{Path: f.Path, Name: f.Name, Compression: c, Size: int64(size), SHA256: hexSum(raw),
			StoredSize: int64(stored.Len()), StoredSHA256: hexSum(stored.Bytes())}
		if f != want {
			t.Fatalf("described as %+v, want %+v", f, want)
		}
		from2 := io.Reader(bytes.NewReader(stored.Bytes()))
		if rapid.Bool().Draw(t, "odd reads") {
			from2 = iotest.DataErrReader(iotest.HalfReader(from2))
		}
		got, err := unpackFrom(from2, f)
		if err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("%d bytes come back, %v", len(got), err)
		}
		if err := CheckStored(iotest.HalfReader(bytes.NewReader(stored.Bytes())), f); err != nil {
			t.Fatal(err)
		}
	})
}

// The same data give the same file, whenever they are stored.
func TestGzipHeaderHoldsNoTime(t *testing.T) {
	stored, _ := pack(t, []byte("x"), Gzip)
	if want := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0}; !bytes.Equal(stored[:8], want) {
		t.Errorf("header %x, want %x", stored[:8], want)
	}
}

// What a user without redisbak does.
func TestPayloadWithOrdinaryTools(t *testing.T) {
	raw := likeRDB(3*gzipBlock + 12345)
	for _, c := range []Compression{Gzip, None} {
		stored, f := pack(t, raw, c)
		m := manifest(t)
		f.UID, f.GID, f.Mode = 999, 999, 0o600
		m.Files = []File{f}
		text, err := EncodeManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for name, data := range map[string][]byte{f.Name: stored, ManifestName: text, SumsName: EncodeSums(SumsFor(m, text))} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want := f.Name + ": OK\nmanifest.json: OK\n"
		if got := tool(t, dir, "sha256sum", "--strict", "-c", SumsName); got != want {
			t.Errorf("sha256sum says %q", got)
		}
		if c == Gzip {
			tool(t, dir, "gunzip", f.Name)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "dump.rdb")); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: %d bytes, %v", c, len(got), err)
		}
	}
}

func TestVectorsWithOrdinaryTools(t *testing.T) {
	for _, dir := range glob(t, "repository/*/*") {
		tool(t, filepath.Join(vectors, dir), "sha256sum", "--strict", "-c", SumsName)
		script := `head -n -2 proof.json | sha256sum | cut -c1-64; sed -n 's/^  "sha256": "\(.*\)"$/\1/p' proof.json`
		lines := strings.Fields(tool(t, filepath.Join(vectors, dir), "sh", "-c", script))
		if len(lines) != 2 || lines[0] != lines[1] {
			t.Errorf("%s: the seal, by hand: %v", dir, lines)
		}
	}
	if got := tool(t, filepath.Join(vectors, sealedDir), "gunzip", "-c", "dump.rdb.gz"); got != string(read(t, "dump.rdb")) {
		t.Errorf("gunzip gives %q", got)
	}
}

func tool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v: %s", name, err, stderr.String())
	}
	return string(out)
}

// refuses: both ways of reading give a *MismatchError, and never io.EOF.
func refuses(t *testing.T, what string, stored []byte, f File) {
	t.Helper()
	var mismatch *MismatchError
	if _, err := unpack(stored, f); !errors.As(err, &mismatch) || mismatch.Name != f.Name {
		t.Errorf("%s: %s: read: %v", f.Compression, what, err)
	}
	if err := CheckStored(bytes.NewReader(stored), f); !errors.As(err, &mismatch) || mismatch.Name != f.Name {
		t.Errorf("%s: %s: check: %v", f.Compression, what, err)
	}
}

func TestFault35PayloadOneBitOff(t *testing.T) {
	raw := likeRDB(gzipBlock + 100_000)
	r := rand.New(rand.NewPCG(35, 0))
	for _, c := range compressions() {
		good, f := pack(t, raw, c)
		for range rounds(200) {
			at, bit := r.IntN(len(good)), r.IntN(8)
			bad := bytes.Clone(good)
			bad[at] ^= 1 << bit
			refuses(t, fmt.Sprintf("bit %d of byte %d", bit, at), bad, f)
		}
		for at := range min(12, len(good)) { // headers hold bits that no decoder minds
			bad := bytes.Clone(good)
			bad[at] ^= 1
			refuses(t, fmt.Sprintf("bit 0 of byte %d", at), bad, f)
		}
	}
}

func TestFault36PayloadCutOrLonger(t *testing.T) {
	raw := likeRDB(gzipBlock + 100_000)
	for _, c := range compressions() {
		good, f := pack(t, raw, c)
		for _, n := range []int{0, 1, 5, 10, len(good) / 2, len(good) - 8, len(good) - 1} {
			refuses(t, fmt.Sprintf("%d bytes", n), good[:n], f)
		}
		for _, more := range [][]byte{{0}, []byte("garbage"), good} {
			refuses(t, fmt.Sprintf("%d bytes more", len(more)), append(bytes.Clone(good), more...), f)
		}
	}
}

func TestFault35DiskFaultIsNoMismatch(t *testing.T) {
	raw := likeRDB(gzipBlock)
	broken := errors.New("input/output error")
	for _, c := range compressions() {
		stored, f := pack(t, raw, c)
		for _, n := range []int{0, 3, 20, len(stored) / 2, len(stored)} {
			disk := func() io.Reader { return io.MultiReader(bytes.NewReader(stored[:n]), iotest.ErrReader(broken)) }
			_, err := unpackFrom(disk(), f)
			for how, err := range map[string]error{"read": err, "check": CheckStored(disk(), f)} {
				var mismatch *MismatchError
				if !errors.Is(err, broken) || errors.As(err, &mismatch) || !strings.HasPrefix(err.Error(), "read "+f.Name+": ") {
					t.Errorf("%s: %s: fault at %d of %d: %v", c, how, n, len(stored), err)
				}
			}
		}
	}
}

func TestMismatchSaysWhat(t *testing.T) {
	raw := []byte(strings.Repeat("what is in Redis ", 1000))
	other := strings.Repeat("0", 64)
	for _, c := range compressions() {
		stored, good := pack(t, raw, c)
		for name, k := range map[string]struct {
			change func(f *File)
			what   string
		}{
			"smaller":        {func(f *File) { f.Size-- }, MismatchSize},
			"larger":         {func(f *File) { f.Size++ }, MismatchSize},
			"nothing":        {func(f *File) { f.Size = 0 }, MismatchSize},
			"negative":       {func(f *File) { f.Size = -1 }, MismatchSize},
			"hash":           {func(f *File) { f.SHA256 = other }, MismatchSHA256},
			"stored larger":  {func(f *File) { f.StoredSize++ }, MismatchStoredSize},
			"stored hash":    {func(f *File) { f.StoredSHA256 = other }, MismatchStoredSHA256},
			"stored nothing": {func(f *File) { f.StoredSize = -1 }, ""}, // which of them depends on the compression
		} {
			f := good
			k.change(&f)
			_, err := unpack(stored, f)
			var mismatch *MismatchError
			if !errors.As(err, &mismatch) || k.what != "" && mismatch.What != k.what {
				t.Errorf("%s: %s: %v", c, name, err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), f.Name+": ") {
				t.Errorf("%s: %s: %v", c, name, err)
			}
		}
	}
	err := &MismatchError{Name: "dump.rdb.gz", What: MismatchStoredSize, Want: "20", Got: "10"}
	if want := "dump.rdb.gz: stored size is 10, want 20"; err.Error() != want {
		t.Errorf("%s, want %s", err, want)
	}
}

// The hashes of these are right: somebody made them so.
func TestFault37PayloadThatIsNotOneStream(t *testing.T) {
	raw := likeRDB(100_000)
	for _, c := range []Compression{Gzip, Zstd} {
		stored, f := pack(t, raw, c)
		added := map[string][]byte{"garbage": []byte("garbage"), "a zero": {0}, "a second stream": stored}
		if c == Gzip {
			// Of zstd, the reader does not tell it from the first one.
			added["an empty stream"], _ = pack(t, nil, c)
		}
		for name, more := range added {
			bad := append(bytes.Clone(stored), more...)
			g := f
			g.StoredSize, g.StoredSHA256 = int64(len(bad)), hexSum(bad)
			_, err := unpack(bad, g)
			var mismatch *MismatchError
			if !errors.As(err, &mismatch) || mismatch.What != MismatchStream && mismatch.What != MismatchSize {
				t.Errorf("%s with %s behind it: %v", c, name, err)
			}
		}
		if _, err := NewReader(strings.NewReader("x"), File{Compression: "lzma"}); err == nil {
			t.Error("lzma is taken")
		}
	}
}

func TestFault37Bombs(t *testing.T) {
	for _, c := range []Compression{Gzip, Zstd} {
		bomb, f := pack(t, make([]byte, 64<<20), c)
		f.Size = 1000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := unpack(bomb, f)
		runtime.ReadMemStats(&after)
		var mismatch *MismatchError
		if len(got) > 1000 || !errors.As(err, &mismatch) || mismatch.What != MismatchSize || mismatch.Got != "more" {
			t.Errorf("%s: %d bytes, %v", c, len(got), err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 24<<20 {
			t.Errorf("%s: %d bytes of memory", c, n)
		}
	}

	// A stored file that goes on for ever is read to its stated end only.
	for _, c := range compressions() {
		_, f := pack(t, likeRDB(50_000), c)
		r := &endless{piece: "\x00", left: 1 << 40}
		if err := CheckStored(r, f); err == nil {
			t.Errorf("%s: taken", c)
		}
		if r.given > f.StoredSize+1 {
			t.Errorf("%s: %d bytes were read, %d were promised", c, r.given, f.StoredSize)
		}
	}

	// A stream that asks for much memory is refused.
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	raw := likeRDB(2 << 20)
	if _, err := io.Copy(z, bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	f := File{Name: "dump.rdb.zst", Compression: Zstd, Size: int64(len(raw)), SHA256: hexSum(raw), StoredSize: int64(b.Len()), StoredSHA256: hexSum(b.Bytes())}
	if got, err := unpack(b.Bytes(), f); err == nil {
		t.Errorf("a window of 64 MiB is taken: %d bytes", len(got))
	}
}

func TestReaderStaysAtItsEnd(t *testing.T) {
	for _, c := range compressions() {
		stored, f := pack(t, []byte("hello"), c)
		r, err := NewReader(bytes.NewReader(stored), f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); err != nil {
			t.Error(err)
		}
		for range 2 {
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("%s: %d, %v after the end", c, n, err)
			}
		}

		r, err = NewReader(bytes.NewReader(stored), f)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: %v after Close", c, err)
		}
	}
}

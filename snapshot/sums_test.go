package snapshot

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSums(t *testing.T) {
	m := manifest(t)
	m.Files = append(m.Files, File{Name: "appendonlydir/x.1.base.rdb.gz", StoredSHA256: strings.Repeat("0c", 32)})
	sums := SumsFor(m, []byte("{}\n"))
	text := string(EncodeSums(sums))
	// The last hash is what `printf '{}\n' | sha256sum` says.
	want := m.Files[0].StoredSHA256 + "  dump.rdb.gz\n" +
		strings.Repeat("0c", 32) + "  appendonlydir/x.1.base.rdb.gz\n" +
		"ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356  manifest.json\n"
	if text != want {
		t.Errorf("got\n%swant\n%s", text, want)
	}
	again, err := ParseSums(iotest.OneByteReader(strings.NewReader(text)))
	if err != nil || string(EncodeSums(again)) != text || len(again) != 3 {
		t.Errorf("read back: %v, %v", again, err)
	}
}

func TestParseSumsRefuses(t *testing.T) {
	h := strings.Repeat("ab", 32)
	for name, c := range map[string]struct{ text, want string }{
		"empty":          {"", "SHA256SUMS: empty"},
		"no newline":     {h + "  dump.rdb", "SHA256SUMS: line 1 does not end with a newline"},
		"cut off":        {h + "  a\n" + h[:20], "SHA256SUMS: line 2 does not end with a newline"},
		"binary mode":    {h + " *dump.rdb\n", "SHA256SUMS: line 1 is not 64 lower-case hexadecimal digits, two spaces and a name"},
		"upper case":     {strings.ToUpper(h) + "  a\n", "SHA256SUMS: line 1 is not 64 lower-case hexadecimal digits, two spaces and a name"},
		"short hash":     {h[1:] + "  a\n", "SHA256SUMS: line 1 is not 64 lower-case hexadecimal digits, two spaces and a name"},
		"escaped name":   {`\` + h + "  a\\nb\n", "SHA256SUMS: line 1 is not 64 lower-case hexadecimal digits, two spaces and a name"},
		"empty line":     {h + "  a\n\n", "SHA256SUMS: line 2 is not 64 lower-case hexadecimal digits, two spaces and a name"},
		"carriage":       {h + "  a\r\n", "SHA256SUMS: line 1 has a name that is refused: holds a control character"},
		"no name":        {h + "  \n", "SHA256SUMS: line 1 has a name that is refused: empty"},
		"up":             {h + "  ../../etc/passwd\n", "SHA256SUMS: line 1 has a name that is refused: holds .."},
		"absolute":       {h + "  /etc/passwd\n", "SHA256SUMS: line 1 has a name that is refused: absolute"},
		"backslash":      {h + `  a\b` + "\n", "SHA256SUMS: line 1 has a name that is refused: holds a backslash"},
		"named twice":    {h + "  a\n" + h + "  a\n", `SHA256SUMS: line 2 names "a" again`},
		"larger than it": {strings.Repeat(h+"  a\n", 1<<20/67+1), "SHA256SUMS: larger than 1 MiB"},
	} {
		sums, err := ParseSums(strings.NewReader(c.text))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, %v, want %s", name, sums, err, c.want)
		}
		var format *FormatError
		if !errors.As(err, &format) || format.What != SumsName {
			t.Errorf("%s: %T", name, err)
		}
	}
	broken := errors.New("input/output error")
	if _, err := ParseSums(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v does not wrap its cause", err)
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add(strings.Repeat("ab", 32) + "  dump.rdb.gz\n" + strings.Repeat("01", 32) + "  manifest.json\n")
	f.Fuzz(func(t *testing.T, s string) {
		sums, err := ParseSums(strings.NewReader(s))
		if err == nil && string(EncodeSums(sums)) != s {
			t.Fatalf("%q comes back as %q", s, EncodeSums(sums))
		}
	})
}

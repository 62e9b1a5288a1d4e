package aof

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

// shown is what a test compares of a manifest: "b1 name", one for each entry.
func shown(entries []Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, fmt.Sprintf("%c%d %s", e.Type, e.Seq, e.Name))
	}
	return strings.Join(all, ", ")
}

// manifests are as servers write them.
var manifests = []struct{ name, text, entries, live string }{
	{"fresh",
		"file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n",
		"b1 appendonly.aof.1.base.rdb, i1 appendonly.aof.1.incr.aof", ""},
	{"during a rewrite",
		"file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n",
		"b1 a.1.base.rdb, i1 a.1.incr.aof, i2 a.2.incr.aof", ""},
	{"after a rewrite",
		"file a.2.base.rdb seq 2 type b\nfile a.1.base.rdb seq 1 type h\nfile a.1.incr.aof seq 1 type h\nfile a.2.incr.aof seq 2 type i\n",
		"b2 a.2.base.rdb, h1 a.1.base.rdb, h1 a.1.incr.aof, i2 a.2.incr.aof", "b2 a.2.base.rdb, i2 a.2.incr.aof"},
	{"after an upgrade",
		"file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n",
		"b1 appendonly.aof, i1 appendonly.aof.1.incr.aof", ""},
	{"Redis 8.0",
		"file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i startoffset 0\n",
		"b1 a.1.base.rdb, i1 a.1.incr.aof", ""},
	{"Redis 8.0, after a shutdown",
		"file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i startoffset 0 endoffset 81\n",
		"b1 a.1.base.rdb, i1 a.1.incr.aof", ""},
	{"no base", "file a.1.incr.aof seq 1 type i\n", "i1 a.1.incr.aof", ""},
	{"a name with spaces",
		`file "my file.aof.1.base.rdb" seq 1 type b` + "\n", "b1 my file.aof.1.base.rdb", ""},
}

func TestParseManifestOfServers(t *testing.T) {
	for _, c := range manifests {
		t.Run(c.name, func(t *testing.T) {
			m, err := ParseManifest([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if c.live == "" {
				c.live = c.entries
			}
			if got := shown(m.Entries); got != c.entries {
				t.Errorf("entries %s, want %s", got, c.entries)
			}
			if got := shown(m.Live()); got != c.live {
				t.Errorf("live %s, want %s", got, c.live)
			}
			text := string(m.Text())
			if !strings.Contains(c.text, "type h") && text != c.text {
				t.Errorf("text %q, want %q", text, c.text)
			}
			if strings.Contains(text, "type h") {
				t.Errorf("history is left in %q", text)
			}
		})
	}
}

func TestParseManifestIsAsWideAsServers(t *testing.T) {
	long := "#" + strings.Repeat("x", maxLine-2) + "\n"
	for _, c := range []struct{ name, text, want string }{
		{"a comment", "# hello\nfile a seq 1 type b\n", "b1 a"},
		{"comments alone", "#\n#\n", ""},
		{"a comment without a newline", "file a seq 1 type b\n# cut", "b1 a"},
		{"a comment with a zero byte", "#\x00\nfile a seq 1 type b\n", "b1 a"},
		{"a comment as long as a line may be", long + "file a seq 1 type b\n", "b1 a"},
		{"a line as long as it may be", "file a seq 1 type b x " + strings.Repeat("y", maxLine-23) + "\n", "b1 a"},
		{"any order of keys", "type i seq 7 file a\n", "i7 a"},
		{"any case of keys", "FILE a SeQ 1 tYPE b\n", "b1 a"},
		{"unknown keys", "x y file a seq 1 z \"\" type b\n", "b1 a"},
		{"a key twice", "file a file b seq 1 seq 2 type h type i\n", "i2 b"},
		{"a type of many letters", "file a seq 1 type base\n", "b1 a"},
		{"blanks", " \t file \t a \v\fseq  1 type b \t\r\n", "b1 a"},
		{"blanks that end no word", "file a seq 1 type b x\vy\fz w\n", "b1 a"},
		{"a line that ends as on Windows", "file a seq 1 type b\r\n", "b1 a"},
		{"a base after the rest", "file i seq 1 type i\nfile b seq 9 type b\n", "i1 i, b9 b"},
		{"gaps in the numbers", "file a seq 3 type i\nfile b seq 9 type i\n", "i3 a, i9 b"},
		{"history in any order", "file a seq 3 type h\nfile b seq 3 type h\nfile c seq 1 type h\n", "h3 a, h3 b, h1 c"},
		{"numbers of equal files", "file a seq 1 type b\nfile b seq 1 type i\n", "b1 a, i1 b"},
		{"double quotes", `file "a\x20\x3Fb\"\q" seq "1" "type" b` + "\n", `b1 a ?b"q`},
		{"single quotes", `file 'a "\' b' seq '1' type b` + "\n", `b1 a "' b`},
		{"quotes within a word", `file a" b" seq 1 type b` + "\n", "b1 a b"},
		{"half of an escape", `file "\x4" seq 1 type b` + "\n", "b1 x4"},
		{"bytes that are no text", "file \xff\"\\xfe\" seq 1 type b\n", "b1 \xff\xfe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ParseManifest([]byte(c.text))
			if got := shown(m.Entries); err != nil || got != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestParseManifestRefuses(t *testing.T) {
	const ok = "file a seq 1 type b\n"
	for _, c := range []struct {
		name, text string
		line       int
		reason     string
	}{
		{"nothing", "", 1, "the manifest is empty"},
		{"a blank line", ok + "\nfile b seq 1 type i\n", 2, "a blank line"},
		{"a line of blanks", ok + " \t\r\n", 2, "a blank line"},
		{"a newline alone", "\n", 1, "a blank line"},
		{"no newline", "file a seq 1 type b", 1, "no newline"},
		{"no newline at the end", ok + "file b seq 1 type", 2, "no newline"},
		{"a long line", "file a seq 1 type b x " + strings.Repeat("y", maxLine-22) + "\n", 1, "longer than 1024 bytes"},
		{"a long comment", ok + "#" + strings.Repeat("x", maxLine-1) + "\n", 2, "longer than 1024 bytes"},
		{"five words", "file a seq 1 type\n", 1, "5 words"},
		{"seven words", "file a seq 1 type b x\n", 1, "7 words"},
		{"no file", "fil a seq 1 type b\n", 1, "missing"},
		{"no seq", "file a sequ 1 type b\n", 1, "missing"},
		{"no type", "file a seq 1 typ b\n", 1, "missing"},
		{"a key that only looks alike", "file a \u017feq 1 type b\n", 1, "missing"},
		{"an empty type", "file a seq 1 type \"\"\n", 1, "missing"},
		{"an empty type at last", "file a seq 1 type b type ''\n", 1, "missing"},
		{"an unknown type", "file a seq 1 type x\n", 1, "unknown type 'x'"},
		{"a type in capitals", "file a seq 1 type B\n", 1, "unknown type 'B'"},
		{"number 0", "file a seq 0 type b\n", 1, `sequence number "0"`},
		{"a number below 0", "file a seq -1 type b\n", 1, `sequence number "-1"`},
		{"a signed number", "file a seq +1 type b\n", 1, `sequence number "+1"`},
		{"a number and more", "file a seq 1x type b\n", 1, `sequence number "1x"`},
		{"a large number", "file a seq 9223372036854775808 type b\n", 1, "sequence number"},
		{"a path", "file ../a seq 1 type b\n", 1, "is a path"},
		{"a path of Windows", `file a\b seq 1 type b` + "\n", 1, "is a path"},
		{"an escaped path", `file "\x2fetc" seq 1 type b` + "\n", 1, "is a path"},
		{"a path that does not count", "file a/b file c seq 1 type b\n", 1, "is a path"},
		{"an empty name", "file \"\" seq 1 type b\n", 1, "an empty file name"},
		{"this directory", "file . seq 1 type b\n", 1, "is a directory"},
		{"the directory above", "file .. seq 1 type h\n", 1, "is a directory"},
		{"a zero byte", "file a\x00 seq 1 type b\n", 1, "a zero byte"},
		{"an escaped zero byte", `file "a\x00b" seq 1 type b` + "\n", 1, "a zero byte"},
		{"a zero byte in a key", `"file\x00" a file b seq 1 type b` + "\n", 1, "a zero byte"},
		{"a newline in a name", `file "a\nb" seq 1 type b` + "\n", 1, "a control character"},
		{"an escape sequence", "file \x1b[2J seq 1 type b\n", 1, "a control character"},
		{"an escape sequence of one character", "file a\u009b2J seq 1 type b\n", 1, "a control character"},
		{"an open quotation", "file \"a seq 1 type b\n", 1, "quotes"},
		{"a quotation that ends in a backslash", `file a seq 1 type "b\` + "\n", 1, "quotes"},
		{"an open single quotation", "file a seq 1 type 'b\n", 1, "quotes"},
		{"a word after a quotation", "file \"a\"b seq 1 type b\n", 1, "quotes"},
		{"a word after a single quotation", "file 'a'b seq 1 type b\n", 1, "quotes"},
		{"two base files", ok + "file b seq 2 type b\n", 2, "a second base file"},
		{"a number twice", "file a seq 2 type i\nfile b seq 2 type i\n", 2, "file 2 comes after number 2"},
		{"falling numbers", "file a seq 2 type i\nfile b seq 1 type i\n", 2, "file 1 comes after number 2"},
		{"a name twice", ok + "#\nfile a seq 1 type i\n", 3, `"a" is listed twice`},
		{"an RDB file", "REDIS0011\xfa\tredis-ver\x057.2.4\n", 1, "2 words"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ParseManifest([]byte(c.text))
			var refusal *ManifestError
			if !errors.As(err, &refusal) || refusal.Line != c.line || !strings.Contains(refusal.Reason, c.reason) {
				t.Errorf("%v, want line %d: %s", err, c.line, c.reason)
			}
			if m.Entries != nil {
				t.Errorf("entries %s beside the error", shown(m.Entries))
			}
		})
	}
}

func TestManifestText(t *testing.T) {
	m, err := ParseManifest([]byte("# made by hand\nFILE 'i' seq 1  type i startoffset 7 \nfile h seq 1 type h\nfile b seq 1 type b\n"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "file b seq 1 type b\nFILE 'i' seq 1  type i startoffset 7 \n"
	if got := string(m.Text()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	made := Manifest{[]Entry{{Name: "an i", Seq: 2, Type: Incr}, {Name: "b", Seq: 1, Type: Base}}}
	if got, want := string(made.Text()), "file b seq 1 type b\nfile \"an i\" seq 2 type i\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBaseManifest(t *testing.T) {
	for name, want := range map[string]string{
		"appendonly.aof.1.base.rdb": "appendonly.aof.1.base.rdb",
		"a b":                       `"a b"`,
		`a"b`:                       `"a\"b"`,
		`a\b`:                       `"a\\b"`,
		"a'b":                       `"a'b"`,
		"#a":                        `"#a"`,
		"a\n\r\t\b\a\x00\x7f":       `"a\n\r\t\b\a\x00\x7f"`,
		"é\xff":                     `"\xc3\xa9\xff"`,
		"":                          `""`,
	} {
		if got, want := string(BaseManifest(name)), "file "+want+" seq 1 type b\n"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// names are those that a file may have, and a manifest may list.
func names() *rapid.Generator[string] {
	char := rapid.OneOf(
		rapid.SampledFrom([]string{" ", `"`, "'", "#", "\xff", "\x80", "é", "日", "\u00a0"}),
		rapid.Map(rapid.IntRange(' ', '~'), func(n int) string { return string(rune(n)) }),
		rapid.Map(rapid.Rune(), func(r rune) string { return string(r) }))
	return rapid.Map(rapid.SliceOfN(char, 1, 60), func(chars []string) string {
		return strings.Join(chars, "")
	}).Filter(func(s string) bool {
		return s != "." && s != ".." && !strings.ContainsAny(s, `/\`) && !strings.ContainsFunc(s, unicode.IsControl)
	})
}

func TestBaseManifestIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := names().Draw(t, "name")
		text := BaseManifest(name)
		m, err := ParseManifest(text)
		if err != nil || len(m.Entries) != 1 {
			t.Fatalf("%q: %v", text, err)
		}
		if e := m.Entries[0]; e.Name != name || e.Seq != 1 || e.Type != Base {
			t.Fatalf("%q: %+v, want %q", text, e, name)
		}
	})
}

// What is quoted is read back whatever it is, also where it is no file's name.
func TestSplitUndoesQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		char := rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\x00\a\b\t\n\v\f\r \"'\\#x0")))
		var line string
		var want []string
		for range rapid.IntRange(1, 4).Draw(t, "words") {
			word := string(rapid.SliceOfN(char, 0, 12).Draw(t, "word"))
			want = append(want, word)
			line += rapid.SampledFrom([]string{" ", "\t", " \v\f"}).Draw(t, "blank") + quote(word)
		}
		if got, ok := split(line); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is read as %q, want %q", line, got, want)
		}
	})
}

// lines are the lines of a manifest that may be one.
func lines() *rapid.Generator[string] {
	word := rapid.OneOf(rapid.SampledFrom([]string{`"a b"`, "'c'", `"\x64"`, "e", "f", "g"}), rapid.Map(names(), quote))
	entry := rapid.Custom(func(t *rapid.T) string {
		kind := rapid.SampledFrom([]string{"b", "h", "i", "i", "i"}).Draw(t, "type")
		more := rapid.SampledFrom([]string{"", " startoffset 5", " x \"y z\"", "\t "}).Draw(t, "more")
		return fmt.Sprintf("file %s seq %d type %s%s", word.Draw(t, "name"), rapid.IntRange(1, 30).Draw(t, "seq"), kind, more)
	})
	return rapid.OneOf(entry, entry, entry, rapid.Just("# comment"))
}

func TestManifestTextIsRead(t *testing.T) {
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(lines(), 1, 4).Draw(t, "lines"), "\n") + "\n"
		m, err := ParseManifest([]byte(text))
		if err != nil || len(m.Live()) == 0 {
			return
		}
		read++
		roundTrip(t, m)
	})
	if read < 10 {
		t.Errorf("only %d manifests were read", read)
	}
}

// roundTrip checks that the text of a manifest with live files says the same.
func roundTrip(t interface{ Fatalf(string, ...any) }, m Manifest) {
	again, err := ParseManifest(m.Text())
	if err != nil || !reflect.DeepEqual(again.Entries, m.Live()) {
		t.Fatalf("%q\nreads as %+v, %v\nwant %+v", m.Text(), again.Entries, err, m.Live())
	}
	if string(again.Text()) != string(m.Text()) {
		t.Fatalf("%q\nis then %q", m.Text(), again.Text())
	}
}

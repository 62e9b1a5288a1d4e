package aof

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// command is one as servers write it.
func command(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// said is all that a Walker says.
type said struct {
	Size, Whole, Commands, Timestamp int64
	Err                              string
}

func what(w *Walker, err error) said {
	s := said{w.Size(), w.Whole(), w.Commands(), w.Timestamp(), ""}
	if err != nil {
		s.Err = err.Error()
	}
	return s
}

// walk feeds text in pieces of at most n bytes.
func walk(text string, n int) said {
	w := NewWalker(Options{Annotations: true})
	for len(text) > 0 {
		piece := text[:min(n, len(text))]
		text = text[len(piece):]
		if _, err := w.Write([]byte(piece)); err != nil {
			return what(w, err)
		}
	}
	return what(w, nil)
}

func TestWalker(t *testing.T) {
	set := command("SET", "key", "value")
	multi, exec := command("MULTI"), command("EXEC")
	ts := "#TS:1700000000\r\n"
	for _, c := range []struct {
		name                string
		whole, rest         string
		commands, timestamp int64
	}{
		{"nothing", "", "", 0, 0},
		{"a fresh file", command("SELECT", "0") + set, "", 2, 0},
		{"half a command", set, set[:len(set)-1], 1, 0},
		{"an empty value", command("SET", "", ""), "", 1, 0},
		{"an empty name", command(""), "", 1, 0},
		{"any bytes in a value", command("SET", "\r\n*1\r\n$4\r\nEXEC\r\n", "#\x00\xff"), "", 1, 0},
		{"a long value", command("SET", "key", strings.Repeat("x", 100_000)), "", 1, 0},
		{"many arguments", command(append([]string{"DEL"}, strings.Fields(strings.Repeat("k ", 12345))...)...), "", 1, 0},
		{"a transaction", set + multi + set + set + exec, "", 5, 0},
		{"an open transaction", set, multi + set + set, 1, 0},
		{"only MULTI", set, multi, 1, 0},
		{"an empty transaction", multi + exec, "", 2, 0},
		{"a transaction after another", multi + set + exec, multi + set, 3, 0},
		{"any case", command("MuLtI") + set + command("exec"), "", 3, 0},
		{"any case, open", "", command("multi") + set, 0, 0},
		{"MULTI with arguments, as servers load it", "", command("MULTI", "x") + set, 0, 0},
		{"EXEC with arguments, as servers load it", multi + command("EXEC", "x", "y"), "", 2, 0},
		{"MULTI as a value", command("SET", "MULTI", "EXEC") + command("GET", "multi"), "", 2, 0},
		{"names that are nearly MULTI", command("MULT") + command("MULTIX") + command("MULTJ") + set, "", 4, 0},
		{"names that are nearly EXEC", "", multi + command("EXE") + command("EXECX") + command("EXEX"), 0, 0},
		{"EXEC without MULTI, as servers load it", command("SELECT", "0") + exec + set, "", 3, 0},
		{"MULTI within MULTI, as servers load it", set + multi + set + multi + set + exec + set, "", 7, 0},
		{"MULTI within MULTI, open", set, multi + set + multi + set, 1, 0},
		{"EXEC closes all of it", multi + multi + exec, multi, 3, 0},
		{"DISCARD is a command as any", "", multi + command("DISCARD"), 0, 0},
		{"a time stamp", ts + set, "", 1, 1700000000},
		{"a time stamp at the end", set, ts, 1, 0},
		{"a time stamp before half a command", set, ts + set[:5], 1, 0},
		{"the last time stamp", ts + set + "#TS:1700000001\r\n" + set, "#TS:1700000002\r\n", 2, 1700000001},
		{"a time stamp within a transaction", multi + ts + set + exec, "", 3, 1700000000},
		{"a time stamp within an open transaction", set, multi + ts + set, 1, 0},
		{"annotations of others", ts + "# hello\n#\n#TS:\r\n#TS:1x\r\n#TS:-1\r\n#TS: 5\r\n#ts:5\r\n#TS:5\n" + set, "", 1, 1700000000},
		{"a time that no clock shows", "#TS:9223372036854775808\r\n" + set, "", 1, 0},
		{"a long annotation that begins as a time stamp", "#TS:1" + strings.Repeat("0", 40) + "\r\n" + set, "", 1, 0},
		{"the longest annotation", "#" + strings.Repeat("x", maxAnnotation-2) + "\n" + set, "", 1, 0},
		{"half an annotation", set, "#TS:17", 1, 0},
		{"an annotation as long as two, cut", set, "#" + strings.Repeat("x", maxAnnotation-1), 1, 0},
		{"a length beyond what there is", set, "*1\r\n$1099511627776\r\nxyz", 1, 0},
		{"as many arguments as can be", set, "*2147483647\r\n$1\r\nx\r\n", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := said{int64(len(c.whole + c.rest)), int64(len(c.whole)), c.commands, c.timestamp, ""}
			for _, n := range []int{1, 2, 3, 7, 1 << 20} {
				if got := walk(c.whole+c.rest, n); got != want {
					t.Errorf("in pieces of %d: %+v, want %+v", n, got, want)
				}
			}
		})
	}
}

func TestWalkerRefuses(t *testing.T) {
	set := command("SET", "key", "value")
	for _, c := range []struct{ name, taken, rest, reason string }{
		{"an RDB file", set, "REDIS0011", "where a command begins"},
		{"a command in a line", set, "SET key value\r\n", "where a command begins"},
		{"a zero byte", "", "\x00", "where a command begins"},
		{"a newline between commands", set, "\r\n", "where a command begins"},
		{"a length where a command begins", set, "$3\r\n", "where a command begins"},
		{"no arguments", "*0", "\r\n", "no arguments"},
		{"a number of arguments below 0", "*", "-1\r\n", "in a number"},
		{"no number of arguments", "*", "\r\n", "in a number"},
		{"a sign", "*", "+1\r\n", "in a number"},
		{"a blank", "*", " 1\r\n", "in a number"},
		{"a blank after", "*1", " \r\n", "in a number"},
		{"a leading zero", "*0", "1\r\n", "begins with 0"},
		{"a newline alone", "*1", "\n$3\r\nfoo\r\n", "in a number"},
		{"a letter in a number", "*1", "x\n$3\r\nfoo\r\n", "in a number"},
		{"more arguments than can be", "*214748364", "8\r\n", "above 2147483647"},
		{"far more arguments", "*999999999", "9999999999999999999999999\r\n", "above 2147483647"},
		{"no newline", "*1\r", "$3\r\n", `want '\n'`},
		{"no length", "*1\r\n", "foo\r\n", "want '$'"},
		{"a command within another", "*2\r\n$3\r\nfoo\r\n", "*1\r\n", "want '$'"},
		{"an annotation within a command", "*1\r\n", "#TS:1\r\n", "want '$'"},
		{"a length below 0", "*1\r\n$", "-1\r\n", "in a number"},
		{"no digits in a length", "*1\r\n$", "\r\n\r\n", "in a number"},
		{"a letter in a length", "*1\r\n$3", "x\nfoo\r\n", "in a number"},
		{"a long length", "*1\r\n$109951162777", "7\r\n", "above 1099511627776"},
		{"a length with a leading zero", "*1\r\n$0", "3\r\nfoo\r\n", "begins with 0"},
		{"no newline after a length", "*1\r\n$3\r", "foo\r\n", `want '\n'`},
		{"a value that is longer than said", "*1\r\n$3\r\nfoo", "d\r\n", `want '\r'`},
		{"a value that is longer by its \\r", "*1\r\n$3\r\nfoo", "d\n*1\r\n", `want '\r'`},
		{"a value that is shorter than said", "*1\r\n$3\r\nfo\r", "\n*1\r\n", `want '\r'`},
		{"a value without its newline", "*1\r\n$3\r\nfoo\r", "*1\r\n", `want '\n'`},
		{"a long annotation", "#" + strings.Repeat("x", maxAnnotation-1), "\n", "more than 1023 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 7, 1 << 20} {
				got := walk(c.taken+c.rest, n)
				prefix := fmt.Sprintf("append-only file, byte %d: ", len(c.taken))
				if got.Size != int64(len(c.taken)) || !strings.HasPrefix(got.Err, prefix) || !strings.Contains(got.Err, c.reason) {
					t.Errorf("in pieces of %d: %+v, want %s%s", n, got, prefix, c.reason)
				}
			}
		})
	}
}

func TestWalkerKnowsNoAnnotationsBefore7(t *testing.T) {
	w := NewWalker(Options{})
	set := command("SET", "key", "value")
	n, err := w.Write([]byte(set + "#TS:1\r\n" + set))
	var format *FormatError
	if !errors.As(err, &format) || format.Offset != int64(len(set)) || n != len(set) || w.Whole() != int64(len(set)) {
		t.Errorf("%d taken, whole to %d, %v", n, w.Whole(), err)
	}
}

func TestWalkerStopsForGood(t *testing.T) {
	w := NewWalker(Options{})
	n, err := w.Write([]byte(command("PING") + "?"))
	before := what(w, err)
	if n != len(command("PING")) || err == nil {
		t.Fatalf("%d taken, %v", n, err)
	}
	for _, p := range []string{command("PING"), "?", ""} {
		n, again := w.Write([]byte(p))
		if n != 0 || again != err || what(w, again) != before {
			t.Errorf("after the error: %d taken, %+v, before %+v", n, what(w, again), before)
		}
	}
}

// model is a file that was made, with what is known of each of its bytes.
type model struct {
	text     string
	framing  []bool // whether a byte belongs to the framing
	ends     map[int64]bool
	places   []said // the places to cut, Size left out
	multi    bool
	commands int64
	stamp    int64
}

func (m *model) add(framing bool, text string) {
	m.text += text
	for range len(text) {
		m.framing = append(m.framing, framing)
	}
}

func (m *model) command(args ...string) {
	m.add(true, fmt.Sprintf("*%d\r\n", len(args)))
	for _, a := range args {
		m.add(true, fmt.Sprintf("$%d\r\n", len(a)))
		m.add(false, a)
		m.add(true, "\r\n")
	}
	m.commands++
	switch {
	case strings.EqualFold(args[0], "MULTI"):
		m.multi = true
	case strings.EqualFold(args[0], "EXEC"):
		m.multi = false
	}
	m.ends[int64(len(m.text))] = true
	if !m.multi {
		m.places = append(m.places, said{0, int64(len(m.text)), m.commands, m.stamp, ""})
	}
}

// at is what must be said of the first n bytes.
func (m *model) at(n int) said {
	var s said
	for _, p := range m.places {
		if p.Whole <= int64(n) {
			s = p
		}
	}
	s.Size = int64(n)
	return s
}

// files makes files of any commands, transactions and annotations. Values are
// drawn from word.
func files(word *rapid.Generator[string]) *rapid.Generator[*model] {
	return rapid.Custom(func(t *rapid.T) *model {
		m := &model{ends: map[int64]bool{0: true}}
		for range rapid.IntRange(0, 12).Draw(t, "items") {
			switch rapid.IntRange(0, 6).Draw(t, "kind") {
			case 0:
				m.command(rapid.SampledFrom([]string{"MULTI", "multi", "MultI"}).Draw(t, "multi"))
			case 1:
				m.command(rapid.SampledFrom([]string{"EXEC", "exec", "eXEc"}).Draw(t, "exec"))
			case 2:
				m.stamp = rapid.Int64Range(1, 1<<40).Draw(t, "time")
				m.add(true, fmt.Sprintf("#TS:%d\r\n", m.stamp))
			case 3:
				m.add(true, rapid.SampledFrom([]string{"#\n", "# a b c\r\n", "#TS:x\r\n"}).Draw(t, "annotation"))
			default:
				m.command(rapid.SliceOfN(word, 1, 4).Draw(t, "command")...)
			}
		}
		return m
	})
}

func anyWord() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"SET", "multi?", "MULTI", "EXEC", "\r\n", "*1\r\n$4\r\nEXEC\r\n", "#TS:1\r\n"}),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 30), func(b []byte) string { return string(b) }))
}

// feed writes text to a Walker in any pieces.
func feed(t *rapid.T, text string) said {
	w := NewWalker(Options{Annotations: true})
	for len(text) > 0 {
		n := min(len(text), rapid.SampledFrom([]int{1, 2, 3, 5, 17, 1000}).Draw(t, "piece"))
		piece := []byte(text[:n])
		if taken, err := w.Write(piece); taken != n || err != nil {
			return what(w, err)
		}
		clear(piece) // it may not keep what it was given
		text = text[n:]
	}
	return what(w, nil)
}

func TestWalkerAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := files(anyWord()).Draw(t, "file")
		if got, want := feed(t, m.text), m.at(len(m.text)); got != want {
			t.Fatalf("%q\n%+v, want %+v", m.text, got, want)
		}
	})
}

func TestWalkerOfEveryTruncation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := files(anyWord()).Draw(t, "file")
		w := NewWalker(Options{Annotations: true})
		for n := range len(m.text) {
			if _, err := w.Write([]byte{m.text[n]}); err != nil {
				t.Fatal(err)
			}
			if got, want := what(w, nil), m.at(n+1); got != want {
				t.Fatalf("%q\n%+v, want %+v", m.text[:n+1], got, want)
			}
		}
	})
}

// A changed byte of the framing is refused, or makes a value swallow what
// follows, up to where some command ends. Where it says that the file may be
// cut, a command ended in the file as it was: no byte of a value is ever taken
// for framing. Values hold no line ends here: with them, and no checksum,
// nothing could be told.
func TestWalkerOfDamagedFraming(t *testing.T) {
	refused, swallowed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		m := files(rapid.StringMatching(`[A-Z]{0,30}`)).Draw(t, "file")
		if len(m.text) == 0 {
			return
		}
		at := rapid.IntRange(0, len(m.text)-1).Draw(t, "at")
		other := rapid.OneOf(rapid.SampledFrom([]byte("0123456789*$#\r\n")), rapid.Byte()).Draw(t, "byte")
		if !m.framing[at] || m.text[at] == other {
			return
		}
		damaged := m.text[:at] + string([]byte{other}) + m.text[at+1:]
		got := feed(t, damaged)
		before := m.at(at)
		switch {
		case got.Err != "":
			refused++
			if got.Size < int64(at) || got.Whole < before.Whole {
				t.Fatalf("%q\nwas %q\n%+v, before %+v", damaged, m.text, got, before)
			}
		case !m.ends[got.Whole]:
			t.Fatalf("%q\nwas %q\n%+v", damaged, m.text, got)
		default:
			swallowed++
		}
	})
	if refused < 10 || swallowed == 0 {
		t.Errorf("%d refused, %d swallowed", refused, swallowed)
	}
}

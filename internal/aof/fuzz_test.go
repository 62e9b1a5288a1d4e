package aof

import (
	"errors"
	"strings"
	"testing"
)

func FuzzParseManifest(f *testing.F) {
	for _, m := range manifests {
		f.Add([]byte(m.text))
	}
	f.Add([]byte("#\nfile \"a\\x20\\n\" 'seq' 1 TYPE incr x 'y\\' z'\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseManifest(text)
		if err != nil {
			var refusal *ManifestError
			if !errors.As(err, &refusal) || refusal.Line < 1 || refusal.Line > 1+strings.Count(string(text), "\n") {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, e := range m.Entries {
			if err := checkName(e.Name); err != nil || e.Seq < 1 {
				t.Fatalf("%+v: %v", e, err)
			}
		}
		if len(m.Live()) > 0 {
			roundTrip(t, m)
		}
	})
}

func FuzzWalker(f *testing.F) {
	set := command("SET", "key", "value")
	f.Add([]byte(set+command("MULTI")+set+command("exec")+set[:9]), uint(3), true)
	f.Add([]byte("#TS:1700000000\r\n"+set+"#\n"), uint(5), true)
	f.Add([]byte("*1\r\n$1099511627776\r\nx"), uint(2), false)
	f.Fuzz(func(t *testing.T, data []byte, piece uint, annotations bool) {
		o := Options{Annotations: annotations}
		w := NewWalker(o)
		n, err := w.Write(data)
		got := what(w, err)
		if got.Size != int64(n) || n > len(data) || err == nil && n < len(data) {
			t.Fatalf("%d of %d taken: %+v", n, len(data), got)
		}
		if got.Whole > got.Size || got.Commands < 0 || got.Commands > got.Whole || got.Timestamp < 0 {
			t.Fatalf("%+v", got)
		}
		if again := inPieces(o, data, 1+int(piece%64)); again != got {
			t.Fatalf("%+v\nin pieces %+v", got, again)
		}
		cut := NewWalker(o)
		if _, err := cut.Write(data[:got.Whole]); err != nil || cut.Whole() != got.Whole || cut.Commands() != got.Commands || cut.Timestamp() != got.Timestamp {
			t.Fatalf("%+v\nwhen cut there %+v", got, what(cut, err))
		}
	})
}

func inPieces(o Options, data []byte, n int) said {
	w := NewWalker(o)
	for len(data) > 0 {
		piece := data[:min(n, len(data))]
		data = data[len(piece):]
		if _, err := w.Write(piece); err != nil {
			return what(w, err)
		}
	}
	return what(w, nil)
}

package snapshot

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

func TestNewID(t *testing.T) {
	at := time.Date(2026, 2, 8, 4, 15, 2, 999_999_999, time.FixedZone("CET", 3600))
	// 255 and 252 are past the last whole multiple of 36, and thrown away.
	id, err := NewID(at, bytes.NewReader([]byte{255, 7, 252, 20, 3, 36 + 15}))
	if err != nil {
		t.Fatal(err)
	}
	if want := ID("20260208T031502Z-7k3f"); id != want {
		t.Errorf("id %s, want %s", id, want)
	}
	if want := at.UTC().Truncate(time.Second); !id.Time().Equal(want) || id.Time().Location() != time.UTC {
		t.Errorf("time %v, want %v", id.Time(), want)
	}
	if _, err := ParseID(string(id)); err != nil {
		t.Error(err)
	}
}

func TestNewIDRefuses(t *testing.T) {
	broken := errors.New("no entropy")
	for name, c := range map[string]struct {
		at     time.Time
		random io.Reader
		cause  error
	}{
		"before 1970":    {time.Time{}, rand.Reader, nil},
		"after 9999":     {time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), rand.Reader, nil},
		"short source":   {time.Unix(1e9, 0), bytes.NewReader([]byte{1, 2}), io.EOF},
		"broken source":  {time.Unix(1e9, 0), iotest.ErrReader(broken), broken},
		"constant bytes": {time.Unix(1e9, 0), bytes.NewReader(bytes.Repeat([]byte{255}, 1<<20)), nil},
	} {
		id, err := NewID(c.at, c.random)
		if err == nil || c.cause != nil && !errors.Is(err, c.cause) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
}

func TestNewIDUsesAllLetters(t *testing.T) {
	seen := map[byte]int{}
	const rounds = 5000
	for range rounds {
		id, err := NewID(time.Unix(1e9, 0), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []byte(id[len(idTime)+1:]) {
			seen[c]++
		}
	}
	// 555 of each are expected; one in a million runs strays by a quarter.
	for _, c := range []byte(idLetters) {
		if n, want := seen[c], rounds*idRandom/len(idLetters); n < want*3/4 || n > want*5/4 {
			t.Errorf("letter %c: %d times, want about %d", c, n, want)
		}
	}
}

func TestParseIDRefuses(t *testing.T) {
	for _, s := range []string{
		"", "latest", "20260208", "20260208T031502Z", "20260208T031502Z-", "20260208T031502Z-7k3", "20260208T031502Z-7k3ff",
		"20260208T031502Z-7K3F", "20260208T031502Z_7k3f", "20260208t031502z-7k3f", "20260208T031502Z-7k3é", "20260208T031502Z-../.",
		"20261308T031502Z-7k3f", "20260230T031502Z-7k3f", "20260208T241502Z-7k3f", "20260208T036002Z-7k3f", "20260208T031560Z-7k3f",
		"19691231T235959Z-7k3f", "-0260208T031502Z-7k3f", "20260208T031502Z-7k3f\n", " 0260208T031502Z-7k3f", "20260208T0315.2Z-7k3f",
	} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q is taken as %q", s, id)
		}
		if !ID(s).Time().IsZero() {
			t.Errorf("%q has time %v", s, ID(s).Time())
		}
	}
}

func TestIDsSortByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Int64Range(0, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix())
		a, b := seconds.Draw(t, "a"), seconds.Draw(t, "b")
		ids := []ID{}
		for _, s := range []int64{a, b} {
			id, err := NewID(time.Unix(s, 0), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if id.Time().Unix() != s {
				t.Fatalf("%s is of second %d, want %d", id, id.Time().Unix(), s)
			}
			ids = append(ids, id)
		}
		if a != b && (a < b) != (ids[0] < ids[1]) {
			t.Fatalf("%s and %s are not in the order of %d and %d", ids[0], ids[1], a, b)
		}
	})
}

func TestValidSourceName(t *testing.T) {
	good := []string{"a", "redis-server", "my_app.redis-1", "0", "_x", "A..b", strings.Repeat("s", 64)}
	bad := []string{"", ".", "..", ".hidden", "-rf", "a/b", `a\b`, "a b", "a\x00", "a\n", "ä", "a:b", strings.Repeat("s", 65), "../a"}
	for _, s := range good {
		if err := ValidSourceName(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range bad {
		if ValidSourceName(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestValidTag(t *testing.T) {
	good := []string{"a", "before-upgrade", "v7.2→8.0", "env:prod", "a/b", strings.Repeat("t", 64)}
	bad := []string{"", " ", "a b", "a,b", "a\tb", "a\x1b[1m", "a\xff", strings.Repeat("t", 65), "a\u0085b"}
	for _, s := range good {
		if err := ValidTag(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range bad {
		if ValidTag(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestMode(t *testing.T) {
	for text, want := range map[string]Mode{"0000": 0, "0600": 0o600, "0777": 0o777, "0007": 7} {
		var m Mode
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want {
			t.Errorf("%s: %o, %v", text, m, err)
		}
		if again, err := want.MarshalText(); err != nil || string(again) != text {
			t.Errorf("%o: %s, %v", want, again, err)
		}
	}
	for _, text := range []string{"", "600", "00600", "1000", "4755", "0o600", "-600", "+600", "0888", " 600", "06_0"} {
		var m Mode
		if m.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is taken as %o", text, m)
		}
	}
	if text, err := Mode(0o1777).MarshalText(); err == nil {
		t.Errorf("01777 is written as %s", text)
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain":                    "plain",
		"two\nlines\r\n":           "two lines",
		"\x1b[31mred":              "[31mred",
		"bad \xff byte":            "bad \ufffd byte",
		"a\u2028b\u0085c":          "a b c",
		strings.Repeat("é", 600):   strings.Repeat("é", 510) + "…",
		strings.Repeat("x", 1024):  strings.Repeat("x", 1024),
		strings.Repeat("\n", 5000): "",
	} {
		got := oneLine(in)
		if got != want {
			t.Errorf("%.40q: %.40q, want %.40q", in, got, want)
		}
		if textFault(got) != "" || len(got) > maxText || oneLine(got) != got {
			t.Errorf("%.40q: %.40q is not one line", in, got)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"20260208T031502Z-7k3f", "99991231T235959Z-zzzz", "20260208T031502Z-7K3F"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		random := []byte{}
		for _, c := range []byte(s[len(idTime)+1:]) {
			random = append(random, byte(slices.Index([]byte(idLetters), c)))
		}
		again, err := NewID(id.Time(), bytes.NewReader(random))
		if err != nil || string(again) != s {
			t.Fatalf("%q comes back as %q, %v", s, again, err)
		}
	})
}

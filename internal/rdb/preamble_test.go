package rdb

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"
)

func TestScanPreambleLeavesWhatFollows(t *testing.T) {
	for name, file := range preambles(t) {
		for _, follows := range [][]byte{nil, []byte("*1\r\n$4\r\nPING\r\n"), bytes.Repeat([]byte("command "), 100_000)} {
			want, err := Scan(bytes.NewReader(file))
			if err != nil {
				t.Fatal(name, err)
			}
			r := iotest.HalfReader(bytes.NewReader(append(bytes.Clone(file), follows...)))
			got, rest, err := ScanPreamble(r)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s and %d bytes: %+v, %v, want %+v", name, len(follows), got, err, want)
				continue
			}
			if left, err := io.ReadAll(rest); err != nil || !bytes.Equal(left, follows) {
				t.Errorf("%s: %d of %d bytes left, %v", name, len(left), len(follows), err)
			}
		}
	}
}

func TestScanPreambleRefusesWhatScanRefuses(t *testing.T) {
	for name, file := range preambles(t) {
		for _, bad := range [][]byte{file[:len(file)-1], file[:len(file)/2], flippedLast(file), nil} {
			var format *FormatError
			if _, _, err := ScanPreamble(bytes.NewReader(bad)); !errors.As(err, &format) {
				t.Errorf("%s, %d of %d bytes: %v", name, len(bad), len(file), err)
			}
		}
	}
	broken := errors.New("broken")
	for name, file := range preambles(t) {
		_, rest, err := ScanPreamble(io.MultiReader(bytes.NewReader(file), iotest.ErrReader(broken)))
		if err == nil {
			_, err = io.ReadAll(rest)
		}
		if !errors.Is(err, broken) {
			t.Errorf("%s: a failing stream came out as %v", name, err)
		}
	}
}

// Where its end cannot be told, that is said, and nothing is guessed.
func TestScanPreambleOfUnknownContent(t *testing.T) {
	s, rest, err := ScanPreamble(bytes.NewReader([]byte("REDIS9999 whatever")))
	if err != nil || s.Counted || s.Unknown == "" || rest != nil {
		t.Errorf("got %+v, %v, %v", s, rest, err)
	}
}

// preambles are whole RDB files.
func preambles(t *testing.T) map[string][]byte {
	return map[string][]byte{
		"every type": values(magicRedis).end(),
		"empty":      newDump("REDIS0011").end(),
		"no sum":     values(magicRedis).endUnsummed(),
	}
}

// flippedLast alters the checksum.
func flippedLast(file []byte) []byte {
	bad := bytes.Clone(file)
	bad[len(bad)-1] ^= 0xff
	return bad
}

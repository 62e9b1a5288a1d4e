package rdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// How the bytes arrive must not matter.
func TestScanReadsAnyReader(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"a byte at a time": iotest.OneByteReader,
		"half":             iotest.HalfReader,
		"data with EOF":    iotest.DataErrReader,
		"data with EOF, a byte at a time": func(r io.Reader) io.Reader {
			return iotest.DataErrReader(iotest.OneByteReader(r))
		},
		"nothing now and then": func(r io.Reader) io.Reader { return &hesitant{r: r} },
	}
	dumps := map[string][]byte{"redis": values(magicRedis).end(), "newer": newDump("REDIS0013").raw(make([]byte, 5000)...).end()}
	for _, f := range fixtures {
		dumps[f.name] = fixture(t, f.name)
	}
	for how, reader := range readers {
		for name, data := range dumps {
			t.Run(how+"/"+name, func(t *testing.T) {
				want, err := Scan(bytes.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				got, err := Scan(reader(bytes.NewReader(data)))
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%+v, %v\nwant %+v", got, err, want)
				}
				if _, err := Scan(reader(bytes.NewReader(data[:len(data)-1]))); err == nil {
					t.Error("a cut file accepted")
				}
			})
		}
	}
}

// hesitant returns no byte and no error at every other read.
type hesitant struct {
	r    io.Reader
	read bool
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.read = !h.read; h.read {
		return 0, nil
	}
	return h.r.Read(p)
}

func TestScanReturnsTheReadersError(t *testing.T) {
	lost := errors.New("connection lost")
	dumps := map[string][]byte{"known": fixture(t, "redis-6.0"), "newer": newDump("REDIS0013").raw(make([]byte, 500)...).end()}
	for name, data := range dumps {
		for _, cause := range []error{lost, io.ErrUnexpectedEOF, fmt.Errorf("%w: %w", lost, io.EOF)} {
			for n := range len(data) + 1 { // after the last byte too: the stream did not end well
				_, err := Scan(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(cause)))
				var format *FormatError
				if !errors.Is(err, cause) || errors.As(err, &format) {
					t.Fatalf("%s, %v after %d of %d bytes: %v", name, cause, n, len(data), err)
				}
			}
		}
	}
	if _, err := Scan(struct{ io.Reader }{stuck{}}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// A real dump is put across the end of the buffer at each of its bytes, or at
// every fifth.
func TestScanCrossesTheBufferAnywhere(t *testing.T) {
	data := fixture(t, "redis-8.0")
	body := data[headerSize : len(data)-footerSize]
	pad := strings.Repeat("pad", bufferSize)
	want := scan(t, data)
	want.Keyspace[0].Keys++
	step := 5
	if os.Getenv("REDISBAK_TEST_FULL") == "1" {
		step = 1
	}
	for n := bufferSize - len(body) - 30; n < bufferSize; n += step {
		d := newDump("REDIS0012").key(0, "pad").str(pad[:n]).raw(body...)
		d.raw(make([]byte, footerSize)...) // the checksum is tested elsewhere, and slow
		got := scan(t, d.b)
		got.ChecksumDisabled, got.Size = false, want.Size
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("after %d bytes: %+v", n, got)
		}
	}
}

// Files that end, or stop being understood, around the end of the buffer.
func TestScanEndsAnywhereInTheBuffer(t *testing.T) {
	pad := strings.Repeat("pad", bufferSize)
	for _, header := range []string{"REDIS0012", "REDIS0013"} {
		for n := bufferSize - 60; n < bufferSize+10; n++ {
			data := newDump(header).key(0, "pad").str(pad[:n]).end()
			if s := scan(t, data); s.Size != int64(len(data)) {
				t.Fatalf("%s, %d bytes: %+v", header, n, s)
			}
			for _, cut := range []int{1, 7, 8, 9, 10, 20} {
				refused(t, data[:len(data)-cut])
			}
			data[100] ^= 1
			refused(t, data)
		}
	}
}

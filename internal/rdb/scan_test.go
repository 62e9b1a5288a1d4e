package rdb

import (
	"bufio"
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// fixtures are the dumps of real servers; testdata/README.md tells of them.
var fixtures = []struct {
	name      string
	version   int
	server    [2]string // the field that names the server's version, and the version
	functions int
	expired   map[int]int64
	unchecked bool
}{
	{name: "redis-6.0", version: 9, server: [2]string{"redis-ver", "6.0."}, expired: map[int]int64{0: 2, 3: 1}},
	{name: "redis-7.0", version: 10, server: [2]string{"redis-ver", "7.0."}, functions: 2, expired: map[int]int64{0: 2, 3: 1}},
	{name: "redis-7.0-no-checksum", version: 10, server: [2]string{"redis-ver", "7.0."}, unchecked: true, expired: map[int]int64{0: 2, 3: 1}},
	{name: "redis-8.0", version: 12, server: [2]string{"redis-ver", "8.0."}, functions: 2, expired: map[int]int64{0: 2, 3: 1}},
	{name: "redis-8.0-cluster", version: 12, server: [2]string{"redis-ver", "8.0."}},
	{name: "redis-8.0-empty", version: 12, server: [2]string{"redis-ver", "8.0."}},
	{name: "valkey-8.1", version: 11, server: [2]string{"valkey-ver", "8.1."}, functions: 2, expired: map[int]int64{0: 2, 3: 1}},
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".rdb"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// keyspace reads the INFO keyspace that a server gave at the save.
func keyspace(t *testing.T, name string, expired map[int]int64) (keys []Keys) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".keyspace"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := regexp.MustCompile(`^db(\d+):keys=(\d+),expires=(\d+),`)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		db, _ := strconv.Atoi(m[1])
		count, _ := strconv.ParseInt(m[2], 10, 64)
		expires, _ := strconv.ParseInt(m[3], 10, 64)
		keys = append(keys, Keys{DB: db, Keys: count, Expires: expires, Expired: expired[db]})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestScanFixtures(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			data := fixture(t, f.name)
			s, err := Scan(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if want := keyspace(t, f.name, f.expired); !reflect.DeepEqual(s.Keyspace, want) {
				t.Errorf("keyspace %v, the server said %v", s.Keyspace, want)
			}
			if s.Magic != "REDIS" || s.Version != f.version || !s.Counted || s.Unknown != "" {
				t.Errorf("%s version %d, counted %t, unknown %q", s.Magic, s.Version, s.Counted, s.Unknown)
			}
			if s.Functions != f.functions || s.ChecksumDisabled != f.unchecked || s.Size != int64(len(data)) || s.Modules != nil {
				t.Errorf("functions %d, checksum disabled %t, size %d, modules %v", s.Functions, s.ChecksumDisabled, s.Size, s.Modules)
			}
			if v := s.Aux[f.server[0]]; !strings.HasPrefix(v, f.server[1]) || s.Aux["redis-bits"] != "64" {
				t.Errorf("fields %v", s.Aux)
			}
			if year := s.CTime.Year(); year < 2025 || year > 2040 || s.Aux["ctime"] != strconv.FormatInt(s.CTime.Unix(), 10) {
				t.Errorf("ctime %v of %q", s.CTime, s.Aux["ctime"])
			}
			if s.UsedMemory < 500_000 || s.UsedMemory > 10_000_000 {
				t.Errorf("used memory %d", s.UsedMemory)
			}
		})
	}
}

// refused is an error unless Scan refuses data as corrupt and says nothing else.
func refused(t *testing.T, data []byte) *FormatError {
	t.Helper()
	s, err := Scan(bytes.NewReader(data))
	var format *FormatError
	if !errors.As(err, &format) {
		t.Fatalf("accepted: %+v, %v", s, err)
	}
	if !reflect.DeepEqual(s, Summary{}) {
		t.Fatalf("refused, but reports %+v", s)
	}
	if format.Offset < 0 || format.Offset > int64(len(data)) || format.Reason == "" {
		t.Fatalf("refused at %d of %d bytes: %q", format.Offset, len(data), format.Reason)
	}
	return format
}

func TestScanRefusesEveryCut(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			data := fixture(t, f.name)
			for n := range data {
				refused(t, data[:n])
			}
		})
	}
}

// flipper gives the bits to flip in the next byte: one of them, or each and all
// in a full run.
func flipper() func() []byte {
	if os.Getenv("REDISBAK_TEST_FULL") == "1" {
		return func() []byte { return []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} }
	}
	random := rand.New(rand.NewPCG(6, 379))
	return func() []byte { return []byte{1 << random.IntN(8)} }
}

func TestScanRefusesEveryFlippedByte(t *testing.T) {
	flips := flipper()
	for _, f := range fixtures {
		if f.unchecked {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			data := fixture(t, f.name)
			for i := range data {
				for _, flip := range flips() {
					data[i] ^= flip
					refused(t, data)
					data[i] ^= flip
				}
			}
		})
	}
}

// Without a checksum an altered file may pass, but it must not do harm.
func TestScanSurvivesEveryFlippedByteWithoutChecksum(t *testing.T) {
	data := fixture(t, "redis-7.0-no-checksum")
	flips := flipper()
	for i := range data {
		for _, flip := range flips() {
			data[i] ^= flip
			_, err := Scan(bytes.NewReader(data))
			var format *FormatError
			if err != nil && !errors.As(err, &format) {
				t.Fatalf("byte %d: %v", i, err)
			}
			data[i] ^= flip
		}
	}
}

func TestScanRefusesAnythingAfterTheEnd(t *testing.T) {
	for _, f := range fixtures {
		data := fixture(t, f.name)
		size := int64(len(data))
		for _, garbage := range []string{"\x00", "\n", "*1\r\n", strings.Repeat("\x00", 2*bufferSize)} {
			if e := refused(t, append(data[:size:size], garbage...)); e.Offset != size {
				t.Errorf("%s: %v", f.name, e)
			}
		}
	}
}

func TestScanRefusesOtherFiles(t *testing.T) {
	for _, data := range []string{
		"", "R", "REDIS", "VALKEY08", "REDIS0012", "redis0012\xff", "REDIX0012\xff", "VALKEX080\xff", "hello, world, this is no dump",
		"REDIS0000\xff\x00\x00\x00\x00\x00\x00\x00\x00", "REDIS+012\xff\x00\x00\x00\x00\x00\x00\x00\x00",
		"REDIS001x\xff\x00\x00\x00\x00\x00\x00\x00\x00", "VALKEY-80\xff\x00\x00\x00\x00\x00\x00\x00\x00",
		"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n",
	} {
		refused(t, []byte(data))
	}
	if e := refused(t, nil); e.Reason != "the file is empty" {
		t.Error(e)
	}
}

func TestChecksumIsTheServersOne(t *testing.T) {
	const want = 0xe9c6d914c4b8d9ca // published for this text
	text := []byte("123456789")
	s := newSource(nil)
	s.pos = copy(s.buf, text)
	s.sum()
	if s.crc != want || slowCRC(0, text) != want {
		t.Errorf("crc %016x, slowly %016x, want %016x", s.crc, slowCRC(0, text), uint64(want))
	}
}

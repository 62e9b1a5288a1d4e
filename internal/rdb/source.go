package rdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"io"
)

const (
	bufferSize = 256 << 10
	footerSize = 8 // the checksum
	emptyReads = 100

	// polynomial of Jones, reflected: the CRC-64 that Redis uses.
	polynomial = 0x95AC9329AC4BC9B5
)

// source reads a file through one buffer of fixed size and sums what was
// consumed, a buffer at a time: one update per field would cost several times
// as much as the walk itself.
type source struct {
	r        io.Reader
	buf      []byte
	pos, end int   // buf[pos:end] is read but not consumed
	summed   int   // buf[summed:pos] is consumed but not in crc
	base     int64 // offset of buf[0] in the file
	err      error // why r gives no more: io.EOF at its end

	table *crc64.Table
	crc   uint64
}

func newSource(r io.Reader) source {
	return source{r: r, buf: make([]byte, bufferSize), table: crc64.MakeTable(polynomial)}
}

// offset is the place in the file of the next byte.
func (s *source) offset() int64 { return s.base + int64(s.pos) }

// sum brings crc up to the consumed bytes. The CRC of Redis starts at zero and
// is not inverted, unlike that of hash/crc64.
func (s *source) sum() {
	s.crc = ^crc64.Update(^s.crc, s.table, s.buf[s.summed:s.pos])
	s.summed = s.pos
}

// more drops the consumed bytes and fills the buffer, as far as r goes.
func (s *source) more() {
	s.sum()
	s.base += int64(s.pos)
	s.end = copy(s.buf, s.buf[s.pos:s.end])
	s.pos, s.summed = 0, 0
	for empty := 0; s.end < len(s.buf) && s.err == nil; {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.err = err
		if n > 0 {
			empty = 0
		} else if empty++; empty == emptyReads && err == nil {
			s.err = io.ErrNoProgress
		}
	}
}

// need makes the next n bytes available at buf[pos:]. n is at most a few KiB.
func (s *source) need(n int) error {
	if s.end-s.pos >= n {
		return nil
	}
	s.more()
	if s.end-s.pos >= n {
		return nil
	}
	return s.ended()
}

// ended is the error for a stream that stopped where more must follow.
func (s *source) ended() error {
	if !s.atEnd() {
		return s.failure()
	}
	return &FormatError{s.base + int64(s.end), "the file ends early: it was cut, or a length in it is wrong"}
}

// atEnd says whether r ended, as opposed to failed. An error that wraps io.EOF
// is a failure, such as a lost connection.
func (s *source) atEnd() bool { return s.err == io.EOF }

func (s *source) failure() error { return fmt.Errorf("RDB stream: %w", s.err) }

func (s *source) byte() (byte, error) {
	if s.pos == s.end {
		if err := s.need(1); err != nil {
			return 0, err
		}
	}
	b := s.buf[s.pos]
	s.pos++
	return b, nil
}

// bytes consumes n bytes, a few KiB at most. They are valid until the next call.
func (s *source) bytes(n int) ([]byte, error) {
	if err := s.need(n); err != nil {
		return nil, err
	}
	b := s.buf[s.pos : s.pos+n]
	s.pos += n
	return b, nil
}

// skip consumes n bytes of whatever.
func (s *source) skip(n uint64) error {
	for n > uint64(s.end-s.pos) {
		n -= uint64(s.end - s.pos)
		s.pos = s.end
		s.more()
		if s.end == 0 {
			return s.ended()
		}
	}
	s.pos += int(n)
	return nil
}

// footer checks the checksum, which comes next.
func (s *source) footer(present bool) (disabled bool, err error) {
	s.sum()
	if !present {
		return true, nil
	}
	if err := s.need(footerSize); err != nil {
		return false, err
	}
	if disabled, err = s.check(s.buf[s.pos:]); err != nil {
		return false, err
	}
	s.pos += footerSize
	return disabled, nil
}

// nothing checks that the stream ends here.
func (s *source) nothing() error {
	if s.pos == s.end {
		s.more()
	}
	switch {
	case s.pos < s.end:
		return &FormatError{s.offset(), "the RDB file has ended, but other bytes follow"}
	case !s.atEnd():
		return s.failure()
	}
	return nil
}

// rest is what was not consumed.
func (s *source) rest() io.Reader {
	unread := bytes.NewReader(s.buf[s.pos:s.end])
	if s.err != nil {
		return io.MultiReader(unread, failing{s.err})
	}
	return io.MultiReader(unread, s.r)
}

// failing is a stream that has given its last byte.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// check compares the checksum in footer with crc. Eight zero bytes are how a
// server says that it was told to write none.
func (s *source) check(footer []byte) (disabled bool, err error) {
	want := binary.LittleEndian.Uint64(footer)
	if want == 0 {
		return true, nil
	}
	if want != s.crc {
		return false, &FormatError{s.offset(), fmt.Sprintf("checksum mismatch: the file says %016x, its bytes give %016x", want, s.crc)}
	}
	return false, nil
}

// drain reads on to the end without looking at the structure, and checks the
// last bytes as the checksum.
func (s *source) drain() (disabled bool, err error) {
	const tail = 1 + footerSize // opEOF and the checksum
	for {
		s.pos = max(s.pos, s.end-tail)
		if s.err != nil {
			break
		}
		s.more()
	}
	if !s.atEnd() {
		return false, s.failure()
	}
	if s.end-s.pos < tail {
		return false, s.ended()
	}
	last := s.buf[s.pos]
	s.pos++
	s.sum()
	disabled, err = s.check(s.buf[s.pos:])
	if err == nil && last != opEOF {
		// A file cut in the middle of zeros must not pass for one without
		// a checksum. Nor may one pass that lacks its last byte, a zero:
		// its checksum matches if that of the bytes before opEOF begins
		// with the value of opEOF, as one in 256 does.
		err = s.ended()
	}
	return disabled, err
}

package snapshot

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// NewReader gives the raw bytes of the payload file f, whose stored bytes r
// gives. Read gives io.EOF only after sizes and hashes, of the raw and of the
// stored bytes, were found to be those of f, and a *MismatchError where they
// are not. What was read before is proven by that io.EOF and by nothing else.
//
// It never gives more than f.Size bytes, and never takes more than
// f.StoredSize and one from r, whatever is in them. An error of r comes out
// wrapped. Close must be called; it does not close r.
func NewReader(r io.Reader, f File) (io.ReadCloser, error) {
	p := &reader{
		file:   f,
		raw:    sha256.New(),
		left:   max(f.Size, 0),
		stored: newTally(r, f),
		close:  func() {},
	}
	switch f.Compression {
	case None:
		p.unpacked = p.stored
	case Gzip:
		p.buffer = bufio.NewReaderSize(p.stored, readAhead)
		z, err := gzip.NewReader(p.buffer)
		if err != nil {
			return nil, p.explain(err)
		}
		z.Multistream(false)
		p.unpacked = z
	case Zstd:
		z, err := zstd.NewReader(p.stored, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(zstdMaxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		p.unpacked, p.close = z, z.Close
	default:
		return nil, fmt.Errorf("compression %s is not known", shown(string(f.Compression)))
	}
	return p, nil
}

const (
	readAhead = 128 << 10
	// zstdMaxWindow bounds the memory that a foreign stream may ask for.
	zstdMaxWindow = 8 << 20
)

type reader struct {
	file     File
	stored   *tally
	buffer   *bufio.Reader // between stored and unpacked, gzip only
	unpacked io.Reader
	raw      hash.Hash
	left     int64 // of the raw bytes
	err      error // what all further reads give
	close    func()
}

func (p *reader) Read(b []byte) (int, error) {
	switch {
	case p.err != nil:
		return 0, p.err
	case len(b) == 0:
		return 0, nil
	case p.left == 0:
		p.err = p.finish()
		return 0, p.err
	}
	if int64(len(b)) > p.left {
		b = b[:p.left]
	}
	n, err := p.unpacked.Read(b)
	p.raw.Write(b[:n])
	p.left -= int64(n)
	switch {
	case err == nil || err == io.EOF && p.left == 0:
	case err == io.EOF:
		p.err = p.mismatch(MismatchSize, p.file.Size, p.file.Size-p.left)
	default:
		p.err = p.explain(err)
	}
	return n, p.err
}

// finish judges, once all raw bytes that the manifest promises were read. It
// gives io.EOF where all is as it should be.
func (p *reader) finish() error {
	var one [1]byte
	switch _, err := io.ReadFull(p.unpacked, one[:]); {
	case err == nil:
		return p.mismatch(MismatchSize, p.file.Size, "more")
	case err != io.EOF:
		return p.explain(err)
	}
	if got := hex.EncodeToString(p.raw.Sum(nil)); got != p.file.SHA256 {
		return p.mismatch(MismatchSHA256, p.file.SHA256, got)
	}
	if p.buffer != nil {
		if _, err := p.buffer.ReadByte(); err == nil {
			return p.mismatch(MismatchStream, "one stream", "followed by other bytes")
		}
	}
	if err := p.stored.finish(); err != nil {
		return err
	}
	return io.EOF
}

// explain tells a fault of the disk from one of the bytes that are on it.
func (p *reader) explain(err error) error {
	if p.stored.err != nil {
		return p.stored.err
	}
	got := "corrupt (" + err.Error() + ")"
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		got = "cut off"
	}
	return p.mismatch(MismatchStream, "whole "+string(p.file.Compression), got)
}

func (p *reader) mismatch(what string, want, got any) error {
	return &MismatchError{Name: p.file.Name, What: what, Want: fmt.Sprint(want), Got: fmt.Sprint(got)}
}

// Close frees what the decompressor holds. Later reads fail.
func (p *reader) Close() error {
	if p.err == nil {
		p.err = errors.New("read of a closed payload file")
	}
	p.close()
	p.close = func() {}
	return nil
}

// CheckStored reads the stored bytes of f from r and compares their size and
// SHA-256 with those in f; the error is a *MismatchError where they differ.
func CheckStored(r io.Reader, f File) error {
	return newTally(r, f).finish()
}

// tally gives the stored bytes of a file, at most as many as there should be,
// and hashes them on their way.
type tally struct {
	r    io.Reader
	file File
	hash hash.Hash
	left int64
	err  error // of r, never io.EOF
}

func newTally(r io.Reader, f File) *tally {
	return &tally{r: r, file: f, hash: sha256.New(), left: max(f.StoredSize, 0)}
}

func (t *tally) Read(b []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	if t.left == 0 {
		return 0, io.EOF
	}
	if int64(len(b)) > t.left {
		b = b[:t.left]
	}
	n, err := t.r.Read(b)
	t.hash.Write(b[:n])
	t.left -= int64(n)
	if err != nil && err != io.EOF {
		t.err = fmt.Errorf("read %s: %w", t.file.Name, err)
		return n, t.err
	}
	return n, err
}

// finish reads what is left and judges all of it.
func (t *tally) finish() error {
	// io.Discard would read by pieces of its own, which are small.
	sink := struct{ io.Writer }{io.Discard}
	if _, err := io.CopyBuffer(sink, t, make([]byte, readAhead)); err != nil {
		return err
	}
	bad := func(what, want, got string) error {
		return &MismatchError{Name: t.file.Name, What: what, Want: want, Got: got}
	}
	size := strconv.FormatInt(t.file.StoredSize, 10)
	if t.left > 0 {
		return bad(MismatchStoredSize, size, strconv.FormatInt(t.file.StoredSize-t.left, 10))
	}
	var one [1]byte
	switch _, err := io.ReadFull(t.r, one[:]); {
	case err == nil:
		return bad(MismatchStoredSize, size, "more")
	case err != io.EOF:
		return fmt.Errorf("read %s: %w", t.file.Name, err)
	}
	if got := hex.EncodeToString(t.hash.Sum(nil)); got != t.file.StoredSHA256 {
		return bad(MismatchStoredSHA256, t.file.StoredSHA256, got)
	}
	return nil
}

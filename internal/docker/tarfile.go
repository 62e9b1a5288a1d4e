package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"
)

const (
	tarBlock = 512
	// tarTrailer is the end-of-archive mark: two blocks of zeros.
	tarTrailer = 2 * tarBlock
	// tarPadding bounds the zeros that may follow the mark.
	tarPadding = 1 << 20
)

// Header is what a tar entry says of a file. The ids are the engine's numbers.
type Header struct {
	Name    string
	Size    int64
	UID     int
	GID     int
	Mode    fs.FileMode
	ModTime time.Time
}

// TarFile is one regular file out of a container. Read gives io.EOF only when
// the whole file came, and the end of the archive after it, and the answer
// ended there; ErrShortStream otherwise.
type TarFile struct {
	Header

	what  string
	tar   *tar.Reader
	body  *lastBytes // what the tar reader reads
	close func()
	ctx   context.Context
	fail  func(error) error
	got   int64
	next  int64 // offset in the archive of what follows the current entry
	end   error // of the stream, once it was reached
}

// entry opens an archive and reads the header of its first entry.
func (h *Helper) entry(ctx context.Context, name string) (*TarFile, *tar.Header, error) {
	op := h.archive(http.MethodGet, "read", name)
	w := newWatch(ctx, h.engine.idle, op.what)
	w.arm()
	body, _, err := h.engine.api.CopyFromContainer(w.ctx, h.id, name)
	w.disarm()
	if err != nil {
		defer w.end()
		return nil, nil, h.engine.fail(w.ctx, op, err)
	}
	f := &TarFile{
		what:  op.what,
		body:  &lastBytes{r: &watchedReader{r: body, w: w}},
		ctx:   w.ctx,
		fail:  func(err error) error { return h.engine.fail(w.ctx, op, err) },
		close: func() { w.end(); body.Close() },
	}
	f.tar = tar.NewReader(f.body)
	header, err := f.advance()
	if err != nil {
		defer f.close()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, nil, f.broken(err)
	}
	f.Header = Header{
		Name: header.Name, Size: header.Size, UID: header.Uid, GID: header.Gid,
		Mode: header.FileInfo().Mode(), ModTime: header.ModTime,
	}
	return f, header, nil
}

// advance goes to the next entry and remembers where it will end.
func (f *TarFile) advance() (*tar.Header, error) {
	header, err := f.tar.Next()
	if err == nil {
		f.next = f.body.n + (header.Size+tarBlock-1)/tarBlock*tarBlock
	}
	return header, err
}

// Read reads the file's bytes.
func (f *TarFile) Read(p []byte) (int, error) {
	if f.end != nil {
		return 0, f.end
	}
	n, err := f.tar.Read(p)
	f.got += int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		f.end = io.EOF
		if err := f.finish(); err != nil {
			f.end = err
		}
	default:
		f.end = f.broken(err)
	}
	return n, f.end
}

// Close ends the stream, also in the middle.
func (f *TarFile) Close() error {
	f.close()
	return nil
}

// finish reads what follows the file's last byte: its padding, the end of the
// archive and the end of the answer. The tar reader would take a stream that
// ends after the padding for a whole archive.
func (f *TarFile) finish() error {
	_, err := f.advance()
	if err == nil {
		return fmt.Errorf("%s: more than one entry in the archive", f.what)
	}
	if !errors.Is(err, io.EOF) {
		return f.broken(err)
	}
	return f.ended()
}

// ended is called when the tar reader has said that the archive is over. It
// makes sure that it was, by the mark, and that nothing but zeros follows.
func (f *TarFile) ended() error {
	rest, err := io.ReadAll(io.LimitReader(f.body, tarPadding+1))
	if err != nil {
		return f.broken(err)
	}
	if len(rest) > tarPadding || bytes.Count(rest, []byte{0}) != len(rest) {
		return fmt.Errorf("%s: garbage after the archive", f.what)
	}
	// The mark must lie behind the entry: a file may well end with zeros.
	if f.body.n < f.next+tarTrailer || f.body.last != [tarTrailer]byte{} {
		return f.broken(io.ErrUnexpectedEOF)
	}
	return nil
}

// broken says why a stream ended before its end.
func (f *TarFile) broken(err error) error {
	if stopCause(f.ctx) != nil {
		return f.fail(err)
	}
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) {
		return fmt.Errorf("%s: %w", f.what, err)
	}
	if f.Name != "" {
		return fmt.Errorf("%s: %w after %d of %d bytes: %w", f.what, ErrShortStream, f.got, f.Size, err)
	}
	return fmt.Errorf("%s: %w: %w", f.what, ErrShortStream, err)
}

// lastBytes remembers the end of what went through it, as long as an
// end-of-archive mark.
type lastBytes struct {
	r    io.Reader
	last [tarTrailer]byte
	n    int64
}

func (l *lastBytes) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n >= tarTrailer {
		copy(l.last[:], p[n-tarTrailer:n])
	} else if n > 0 {
		copy(l.last[:], l.last[n:])
		copy(l.last[tarTrailer-n:], p[:n])
	}
	l.n += int64(n)
	return n, err
}

package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Write puts files and directories into the helper's mount. fill writes a tar
// whose names are relative to the container's root ("data/dump.rdb"); each
// entry is a regular file or a directory at or below the mount point, named
// once. Owners and modes are taken as given.
//
// What fill writes is read back here and written anew, so that the engine sees
// nothing but plain entries, uncompressed, whatever fill does. When fill or an
// entry fails, the request is broken off: the engine never sees a whole
// archive. What it had unpacked until then stays in the mount.
func (h *Helper) Write(ctx context.Context, fill func(*tar.Writer) error) error {
	if !h.write {
		return guard("writing through a helper that reads")
	}
	op := h.archive(http.MethodPut, "write", h.mount.Destination)
	w := newWatch(ctx, h.engine.idle, op.what)
	defer w.end()

	raw, fills := io.Pipe()
	clean, sends := io.Pipe()
	filled := make(chan error, 1)
	go func() {
		filled <- produce(fills, fill)
	}()
	checked := make(chan error, 1)
	go func() {
		err := h.copyEntries(&watchedWriter{w: sends, watch: w}, raw)
		raw.CloseWithError(orClosed(err))
		w.arm() // for the engine's answer
		sends.CloseWithError(err)
		checked <- err
	}()
	// Not CopyUIDGID: against its name it gives everything to the image's own
	// user, where the image names one. Without it the entries' numbers hold.
	sent := h.engine.api.CopyToContainer(w.ctx, h.id, "/", requestBody{clean}, container.CopyToContainerOptions{})
	w.disarm()
	clean.CloseWithError(errStopped) // frees our two, if the request was never sent
	return h.verdict(w.ctx, op, <-filled, <-checked, sent)
}

// errStopped is what our own ends of the pipes see when the engine has ended
// the request.
var errStopped = errors.New("stopped")

// requestBody tells its writer that it was the request that ended, and not
// some pipe of the writer's own.
type requestBody struct{ *io.PipeReader }

func (b requestBody) Close() error { return b.CloseWithError(errStopped) }

func orClosed(err error) error {
	if err == nil {
		return io.ErrClosedPipe
	}
	return err
}

// verdict picks the first cause out of three errors of which the others may be
// consequences.
func (h *Helper) verdict(ctx context.Context, op operation, filled, checked, sent error) error {
	if stopCause(ctx) != nil {
		return h.engine.fail(ctx, op, errors.Join(sent, filled, checked))
	}
	if refused := (*GuardError)(nil); errors.As(checked, &refused) {
		return refused
	}
	if filled != nil && !errors.Is(filled, errStopped) {
		return fmt.Errorf("%s: %w", op.what, filled)
	}
	if sent != nil {
		return h.engine.fail(ctx, op, sent)
	}
	if checked != nil && !errors.Is(checked, errStopped) {
		return fmt.Errorf("%s: %w", op.what, checked)
	}
	if filled != nil || checked != nil {
		// The engine said "done" before it had everything.
		return fmt.Errorf("%s: docker stopped reading before the end", op.what)
	}
	return nil
}

// produce runs fill. Whatever it ends with reaches the other end of the pipe.
func produce(to *io.PipeWriter, fill func(*tar.Writer) error) error {
	tw := tar.NewWriter(to)
	err := fill(tw)
	if err == nil {
		err = tw.Close()
	}
	to.CloseWithError(err)
	return err
}

// copyEntries checks each entry and writes a plain one in its place.
func (h *Helper) copyEntries(to io.Writer, from io.Reader) error {
	in, out := tar.NewReader(from), tar.NewWriter(to)
	buf := make([]byte, 256<<10)
	seen := map[string]bool{}
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return err
		}
		plain, err := plainEntry(h.mount.Destination, header)
		if err != nil {
			return err
		}
		if name := path.Clean(plain.Name); seen[name] {
			return guard("entry %q twice", name)
		} else {
			seen[name] = true
		}
		if err := out.WriteHeader(plain); err != nil {
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, buf); err != nil {
			return err
		}
	}
}

// plainEntry is the guard on what is written into a mount. It returns an entry
// that has the header's name, size, owner, mode and time, and nothing else.
func plainEntry(root string, h *tar.Header) (*tar.Header, error) {
	name := h.Name
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir:
		name = strings.TrimSuffix(name, "/")
	default:
		return nil, guard("entry %q of type %q", h.Name, h.Typeflag)
	}
	below := strings.TrimPrefix(root, "/")
	switch {
	case name == "" || path.Clean(name) != name || path.IsAbs(name):
		return nil, guard("entry name %q is not a plain path", h.Name)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return nil, guard("entry name %q has odd characters", h.Name)
	case name != below && !strings.HasPrefix(name, below+"/"):
		return nil, guard("entry %q is outside of %s", h.Name, root)
	case name == below && h.Typeflag != tar.TypeDir:
		return nil, guard("entry %q would replace the mount point", h.Name)
	case strings.HasPrefix(name, "BZh"):
		// The engine unpacks what looks compressed to it, by the first bytes.
		return nil, guard("entry %q looks like bzip2", h.Name)
	case h.Mode&^0o777 != 0:
		return nil, guard("entry %q with mode %o", h.Name, h.Mode)
	case h.Uid < 0 || h.Gid < 0 || h.Size < 0:
		return nil, guard("entry %q with a negative owner or size", h.Name)
	}
	plain := &tar.Header{
		Typeflag: h.Typeflag, Name: name, Size: h.Size, Mode: h.Mode,
		Uid: h.Uid, Gid: h.Gid, ModTime: h.ModTime.Truncate(time.Second),
	}
	if h.Typeflag == tar.TypeDir {
		plain.Name, plain.Size = name+"/", 0
	}
	return plain, nil
}

// watchedWriter is armed while a write waits for the engine to take it.
type watchedWriter struct {
	w     io.Writer
	watch *watch
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	w.watch.arm()
	defer w.watch.disarm()
	return w.w.Write(p)
}

package docker

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// holdScript holds files open for us, one on top of the other, so that they can
// be copied whole after their server has renamed or unlinked them. It takes
// orders, a line each, and answers each with a line; its working directory is
// $1. It ends with its standard input, and so with us.
//
//	open NAME   opens a file and puts it on top     opened ID SIZE UID GID MODE
//	size        of the file on top                  size ID SIZE UID GID MODE
//	copy N      the first N bytes of it             the bytes, and a line "copied"
//	drop        closes the file on top              dropped
//	list NAME   what a small file says now          listed ID SIZE UID GID MODE, and its bytes
//	stat NAME   what lies under a name now          found ID SIZE UID GID MODE
//
// or "missing", or "denied". ID is device and inode: another file has another.
const holdScript = `
for tool in stat head cat; do command -v "$tool" >/dev/null || { echo tools; exit 1; }; done
lost() { if [ -e "$1" ]; then echo denied; else echo missing; fi; }
cd -- "$1" || { lost "$1"; exit 1; }
of='%d:%i %s %u %g %a'
serve() {
  while IFS= read -r order; do
    case $order in
      open\ *) { stat -L -c "opened $of" /proc/self/fd/3 && serve; } 3<"./${order#* }" || lost "./${order#* }" ;;
      size) stat -L -c "size $of" /proc/self/fd/3 || echo missing ;;
      copy\ *) head -c "${order#* }" <&3; echo copied ;;
      drop) echo dropped; return 0 ;;
      list\ *) { stat -L -c "listed $of" /proc/self/fd/4 && cat <&4; } 4<"./${order#* }" || lost "./${order#* }" ;;
      stat\ *) stat -c "found $of" -- "./${order#* }" || echo missing ;;
    esac
  done
}
echo ready
serve
`

// Holder is a started helper: a shell of the image, as the data's own user,
// without a network and without privileges, with one read-only mount. It runs
// one script of ours and nothing else, and dies when we do.
type Holder struct {
	engine *Engine
	id     string
	owner  Owner
	conn   types.HijackedResponse
	what   string
	watch  *watch
	out    *bufio.Reader // the script's stdout
	stderr *tail
}

// HolderSpec says what a holder holds files of.
type HolderSpec struct {
	ImageID string // sha256:…
	Mount   Mount  // a volume or a bind mount, at the source's own mount point
	User    string // "uid:gid" of the data
	Dir     string // absolute, below the mount point
}

// ErrNoShell is returned when an image has no shell, or none of the programs
// that go with it.
var ErrNoShell = errors.New("no shell with stat, head and cat in the image")

// StartHolder starts a holder. The owner's role is RoleHelper. A directory
// that is not there is a *NotFoundError, and so is a missing volume.
func (e *Engine) StartHolder(ctx context.Context, o Owner, s HolderSpec) (*Holder, error) {
	m, err := e.toMount(s.Mount, true)
	if err != nil {
		return nil, err
	}
	r := request{
		name: e.objectName(o),
		config: container.Config{
			Image: s.ImageID, Labels: o.labels(), User: s.User,
			Entrypoint: []string{"sh", "-c", holdScript, "redisbak"}, Cmd: []string{s.Dir},
			AttachStdin: true, AttachStdout: true, AttachStderr: true, OpenStdin: true, StdinOnce: true,
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
		host: container.HostConfig{
			NetworkMode: "none", CapDrop: []string{"ALL"}, CapAdd: holderRead.capabilities(s.User),
			SecurityOpt: []string{"no-new-privileges"}, ReadonlyRootfs: true,
			LogConfig: container.LogConfig{Type: "none"},
		},
	}
	r.host.Mounts = append(r.host.Mounts, m)
	id, err := e.mounted(ctx, holderRead, r, s.Mount, o)
	if err != nil {
		return nil, err
	}
	h := &Holder{engine: e, id: id, owner: o, what: fmt.Sprintf("hold files of %s in helper %.12s", s.Dir, id), stderr: &tail{max: execOutput}}
	if err := h.start(ctx, s.Dir); err != nil {
		return nil, errors.Join(err, h.Remove(ctx))
	}
	return h, nil
}

func (h *Holder) start(ctx context.Context, dir string) error {
	op := operation{method: http.MethodPost, path: "/containers/" + h.id + "/attach", what: h.what, kind: "container", name: h.id}
	conn, err := h.engine.hijacked(ctx, op, func(ctx context.Context) (types.HijackedResponse, error) {
		return h.engine.api.ContainerAttach(ctx, h.id, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	})
	if err != nil {
		return err
	}
	h.conn = conn
	h.watch = newWatch(ctx, h.engine.idle, h.what)
	context.AfterFunc(h.watch.ctx, func() { conn.Close() })
	h.out = bufio.NewReaderSize(&frames{r: &watchedReader{r: conn.Reader, w: h.watch}, stderr: h.stderr}, 256<<10)
	if err := h.engine.start(ctx, h.id); err != nil {
		if state, stateErr := h.engine.status(ctx, h.id); stateErr == nil && (state.ExitCode == 126 || state.ExitCode == 127) {
			return fmt.Errorf("%s: %w", h.what, ErrNoShell)
		}
		return err
	}
	switch word, err := h.line(); {
	case err != nil:
		return err
	case word == "ready":
		return nil
	case word == "missing":
		return &NotFoundError{Kind: "directory", Name: dir}
	case word == "tools":
		return fmt.Errorf("%s: %w", h.what, ErrNoShell)
	case word == "denied":
		return fmt.Errorf("%s: %w", h.what, fs.ErrPermission)
	default:
		return h.odd(word)
	}
}

// Held is what a file is like.
type Held struct {
	ID   string // of the file itself, whatever its name
	Size int64
	UID  int
	GID  int
	Mode fs.FileMode // permission bits
}

// Open opens a file of the directory and holds it, on top of those that are
// held already. A file that is not there is a *NotFoundError.
func (h *Holder) Open(name string) (Held, error) { return h.ask("open", name, "opened") }

// Size looks at the file that was opened last: it may have grown.
func (h *Holder) Size() (Held, error) { return h.ask("size", "", "size") }

// Stat looks at what lies under a name now.
func (h *Holder) Stat(name string) (Held, error) { return h.ask("stat", name, "found") }

// listLimit bounds a file that List reads.
const listLimit = 1 << 20

// List reads a small file that is replaced as a whole when it changes.
func (h *Holder) List(name string) (Held, []byte, error) {
	held, err := h.ask("list", name, "listed")
	if err != nil {
		return held, nil, err
	}
	if held.Size > listLimit {
		return held, nil, fmt.Errorf("%s: %s has %d bytes, more than a list of files may have", h.what, name, held.Size)
	}
	text := make([]byte, held.Size)
	if _, err := io.ReadFull(h.out, text); err != nil {
		return held, nil, h.broken(err)
	}
	return held, text, nil
}

// Copy gives the first n bytes of the file that was opened last, which has as
// many. They must be read to their end before anything else is asked.
func (h *Holder) Copy(n int64) (io.Reader, error) {
	if err := h.order("copy " + strconv.FormatInt(n, 10)); err != nil {
		return nil, err
	}
	return &copied{h: h, left: n}, nil
}

// copied is the bytes of one file and the word after them.
type copied struct {
	h    *Holder
	left int64
	err  error
}

func (c *copied) Read(p []byte) (int, error) {
	if c.err == nil && c.left == 0 {
		c.err = c.h.expect("copied")
		if c.err == nil {
			c.err = io.EOF
		}
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.h.out.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if err != nil {
		c.err = c.h.broken(err)
	}
	return n, c.err
}

// Drop closes the file that was opened last; the one before it is on top again.
func (h *Holder) Drop() error {
	if err := h.order("drop"); err != nil {
		return err
	}
	return h.expect("dropped")
}

// Remove ends the script and deletes the container with its anonymous volumes.
// It works after ctx has ended, within a limit of its own.
func (h *Holder) Remove(ctx context.Context) error {
	if h.watch != nil {
		h.conn.Close()
		h.watch.end()
	}
	ctx, cancel := undo(ctx)
	defer cancel()
	return h.engine.removeContainer(ctx, h.id, h.owner)
}

// ask gives an order about one file and reads the answer.
func (h *Holder) ask(order, name, answer string) (Held, error) {
	if strings.ContainsAny(name, "/\n\x00") {
		return Held{}, fmt.Errorf("%s: %q is no plain name", h.what, name)
	}
	line := order
	if name != "" {
		line += " " + name
	}
	if err := h.order(line); err != nil {
		return Held{}, err
	}
	got, err := h.line()
	if err != nil {
		return Held{}, err
	}
	if got == "missing" {
		return Held{}, &NotFoundError{Kind: "file", Name: name}
	}
	if got == "denied" {
		return Held{}, fmt.Errorf("%s: open %s: %w", h.what, name, fs.ErrPermission)
	}
	var held Held
	var mode uint32
	if _, err := fmt.Sscanf(got, answer+" %s %d %d %d %o", &held.ID, &held.Size, &held.UID, &held.GID, &mode); err != nil {
		return Held{}, h.odd(got)
	}
	held.Mode = fs.FileMode(mode) & fs.ModePerm
	return held, nil
}

func (h *Holder) order(line string) error {
	if _, err := io.WriteString(h.conn.Conn, line+"\n"); err != nil {
		return h.broken(err)
	}
	return nil
}

func (h *Holder) line() (string, error) {
	line, err := h.out.ReadSlice('\n')
	if err != nil {
		return "", h.broken(err)
	}
	return strings.TrimSuffix(string(line), "\n"), nil
}

func (h *Holder) expect(word string) error {
	got, err := h.line()
	if err != nil {
		return err
	}
	if got != word {
		return h.odd(got)
	}
	return nil
}

// broken explains a script that says nothing more.
func (h *Holder) broken(err error) error {
	if cause := context.Cause(h.watch.ctx); cause != nil {
		err = cause
	} else if errors.Is(err, io.EOF) {
		err = ErrShortStream
	}
	if said := strings.TrimSpace(h.stderr.String()); said != "" {
		return fmt.Errorf("%s: %w (%.200s)", h.what, err, said)
	}
	return fmt.Errorf("%s: %w", h.what, err)
}

func (h *Holder) odd(answer string) error {
	return fmt.Errorf("%s: unexpected answer %.80q (%.200s)", h.what, answer, strings.TrimSpace(h.stderr.String()))
}

// frames takes the engine's stream apart: stdout is read, stderr kept aside.
// It stands in for stdcopy, which can only push.
type frames struct {
	r      io.Reader
	stderr io.Writer
	left   int64 // of the current frame of stdout
}

// frameHeader is a kind, three bytes of nothing, and a length.
const frameHeader = 8

func (f *frames) Read(p []byte) (int, error) {
	for f.left == 0 {
		var head [frameHeader]byte
		if _, err := io.ReadFull(f.r, head[:]); err != nil {
			return 0, err
		}
		size := int64(binary.BigEndian.Uint32(head[4:]))
		switch stdcopy.StdType(head[0]) {
		case stdcopy.Stdout:
			f.left = size
		case stdcopy.Stderr, stdcopy.Systemerr:
			if _, err := io.CopyN(f.stderr, f.r, size); err != nil {
				return 0, err
			}
		default:
			return 0, fmt.Errorf("stream of kind %d", head[0])
		}
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, err
}

package repo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"github.com/redisbak/redisbak/snapshot"
)

// Draft is a snapshot that is being written. It is used by one goroutine, and
// ends by Commit or by Abort; Abort after Commit does nothing.
type Draft struct {
	repo   *Repo
	lock   *Lock
	source string
	id     snapshot.ID
	dir    string
	files  []*DraftFile
	dirs   []string // below dir, one level deep
	done   bool     // committed, or not to be committed any more
	gone   bool     // no draft is left: it was renamed or removed
}

// Begin starts a draft. The lock must be the writer lock of source, and must
// be held until the draft has ended.
func (r *Repo) Begin(ctx context.Context, source string, id snapshot.ID, lock *Lock) (*Draft, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := snapshot.ParseID(string(id)); err != nil {
		return nil, err
	}
	if !lock.isWriter(r, source) {
		return nil, fmt.Errorf("begin snapshot %s: the writer lock of source %s is not held", id, source)
	}
	if err := errors.Join(lock.Held(), r.present()); err != nil {
		return nil, fmt.Errorf("begin snapshot %s: %w", id, err)
	}
	dir := filepath.Join(r.sourceDir(source), draftPrefix+string(id))
	err := r.disk.Mkdir(dir)
	if errors.Is(err, fs.ErrExist) {
		// An import has the same id each time. What holds the draft's name while
		// the lock is ours was left by one that was killed.
		if err = r.disk.RemoveAll(dir); err == nil {
			err = r.disk.Mkdir(dir)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("begin snapshot %s: %w", id, writeError(err))
	}
	return &Draft{repo: r, lock: lock, source: source, id: id, dir: dir}, nil
}

// DraftFile is a payload file of a draft. What is written to it is hashed,
// compressed and hashed again.
type DraftFile struct {
	name        string
	compression snapshot.Compression
	f           file
	w           *snapshot.Writer
	err         error
	closed      bool
}

// Create begins a payload file under its stored name. Only names that a
// snapshot may hold are taken.
func (d *Draft) Create(name string, c snapshot.Compression) (*DraftFile, error) {
	if d.done {
		return nil, fmt.Errorf("snapshot %s: it has ended", d.id)
	}
	if err := snapshot.ValidPayloadName(name, c); err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", d.id, err)
	}
	if err := d.makeDir(path.Dir(name)); err != nil {
		return nil, fmt.Errorf("create %s: %w", name, writeError(err))
	}
	f, err := d.repo.disk.Create(filepath.Join(d.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, writeError(err))
	}
	w, err := snapshot.NewWriter(f, c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create %s: %w", name, err), f.Close())
	}
	df := &DraftFile{name: name, compression: c, f: f, w: w}
	d.files = append(d.files, df)
	return df, nil
}

// makeDir makes the directory of a payload file, unless it is there.
func (d *Draft) makeDir(dir string) error {
	if dir == "." || slices.Contains(d.dirs, dir) {
		return nil
	}
	if err := d.repo.disk.Mkdir(filepath.Join(d.dir, dir)); err != nil {
		return err
	}
	d.dirs = append(d.dirs, dir)
	return nil
}

func (df *DraftFile) Write(p []byte) (int, error) {
	n, err := df.w.Write(p)
	if err != nil {
		df.err = errors.Join(df.err, err)
		return n, fmt.Errorf("write %s: %w", df.name, writeError(err))
	}
	return n, nil
}

// Close ends the compression and flushes the file to the disk, by the same
// descriptor by which it was written: an error that the disk kept for us is
// told there, once. A second call does nothing.
func (df *DraftFile) Close() error {
	if df.closed {
		return nil
	}
	df.closed = true
	err := df.w.Close()
	if err == nil && df.err == nil {
		err = df.f.Sync()
	}
	err = errors.Join(err, df.f.Close())
	if err != nil {
		df.err = errors.Join(df.err, err)
		return fmt.Errorf("write %s: %w", df.name, writeError(err))
	}
	return nil
}

// Sum gives size and SHA-256 of what was written and of what was stored. It
// is valid after Close.
func (df *DraftFile) Sum() (size int64, sha string, stored int64, storedSHA string) {
	return df.w.Sum()
}

// Discard takes a file back out of the draft, as if it had not been created:
// what was captured turned out to be of the wrong instant, and is captured anew.
func (d *Draft) Discard(df *DraftFile) error {
	if d.done {
		return fmt.Errorf("snapshot %s: it has ended", d.id)
	}
	df.abandon()
	d.files = slices.DeleteFunc(d.files, func(other *DraftFile) bool { return other == df })
	if err := d.repo.disk.RemoveAll(filepath.Join(d.dir, df.name)); err != nil {
		return fmt.Errorf("discard %s: %w", df.name, err)
	}
	return nil
}

// abandon closes a file whose content nobody wants any more.
func (df *DraftFile) abandon() {
	if df.closed {
		return
	}
	df.closed = true
	df.err = errors.New("it was given up")
	_ = df.w.Close() // stops the compressor
	_ = df.f.Close()
}

// Commit makes the draft the snapshot that m describes: each payload file is
// read back from the disk and compared, the manifest and the sums are written,
// all is flushed, the lock is looked at once more, and then the draft takes
// the snapshot's name. After an error it is still a draft and cannot be
// committed any more; only a *NotDurableError is of a snapshot that is there.
func (d *Draft) Commit(ctx context.Context, m *snapshot.Manifest) (Entry, error) {
	if d.done {
		return Entry{}, fmt.Errorf("commit snapshot %s: it has ended", d.id)
	}
	return d.commit(ctx, func() (Entry, error) { return d.prepare(ctx, m) })
}

// commit gives the draft its name once prepare has made it a whole snapshot.
func (d *Draft) commit(ctx context.Context, prepare func() (Entry, error)) (Entry, error) {
	d.done = true
	entry, err := prepare()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = d.publish()
	}
	if err != nil {
		return Entry{}, fmt.Errorf("commit snapshot %s: %w", d.id, writeError(err))
	}
	// The snapshot is there; what remains is to make its name last. The source
	// may be new, and whoever made it may have died before this.
	if err := errors.Join(d.repo.disk.SyncDir(d.repo.sourceDir(d.source)), d.repo.disk.SyncDir(d.repo.dir)); err != nil {
		return entry, &NotDurableError{ID: d.id, Err: err}
	}
	return entry, nil
}

// prepare does all that comes before the rename.
func (d *Draft) prepare(ctx context.Context, m *snapshot.Manifest) (Entry, error) {
	if err := d.agree(m); err != nil {
		return Entry{}, err
	}
	text, err := snapshot.EncodeManifest(m)
	if err != nil {
		return Entry{}, err
	}
	// What will be read is what counts, not what was meant.
	written, err := snapshot.DecodeManifest(bytes.NewReader(text))
	if err != nil {
		return Entry{}, err
	}
	return d.seal(ctx, written, text)
}

// small is one of a snapshot's files beside the payload.
type small struct {
	name string
	text []byte
}

// seal adds to the payload, once it was read back, the manifest, the sums and
// what more there is, and flushes all of it.
func (d *Draft) seal(ctx context.Context, m *snapshot.Manifest, text []byte, more ...small) (Entry, error) {
	for _, f := range m.Files {
		if err := d.readBack(ctx, f); err != nil {
			return Entry{}, err
		}
	}
	sums := snapshot.EncodeSums(snapshot.SumsFor(m, text))
	for _, f := range append([]small{{snapshot.ManifestName, text}, {snapshot.SumsName, sums}}, more...) {
		if err := d.write(f.name, f.text); err != nil {
			return Entry{}, err
		}
	}
	for _, dir := range append(d.dirs, ".") {
		if err := d.repo.disk.SyncDir(filepath.Join(d.dir, dir)); err != nil {
			return Entry{}, err
		}
	}
	digest := sha256.Sum256(text)
	return Entry{
		Manifest:       m,
		Marks:          snapshot.Marks{ID: d.id},
		Dir:            filepath.Join(d.repo.sourceDir(d.source), string(d.id)),
		ManifestSHA256: hex.EncodeToString(digest[:]),
	}, nil
}

// publish gives the draft its name.
func (d *Draft) publish() error {
	if err := errors.Join(d.lock.Held(), d.repo.present()); err != nil {
		return err
	}
	if err := d.repo.disk.Rename(d.dir, filepath.Join(d.repo.sourceDir(d.source), string(d.id))); err != nil {
		return err
	}
	d.gone = true
	return nil
}

// agree compares the manifest with what was written.
func (d *Draft) agree(m *snapshot.Manifest) error {
	if m.ID != d.id || m.Source.Name != d.source {
		return fmt.Errorf("the manifest is of snapshot %s of %s", m.ID, m.Source.Name)
	}
	if len(m.Files) != len(d.files) {
		return fmt.Errorf("the manifest lists %d files, %d were written", len(m.Files), len(d.files))
	}
	listed := make(map[string]snapshot.File, len(m.Files))
	for _, f := range m.Files {
		listed[f.Name] = f
	}
	for _, df := range d.files {
		if !df.closed || df.err != nil {
			return fmt.Errorf("%s was not written to its end", df.name)
		}
		size, sha, stored, storedSHA := df.Sum()
		f, ok := listed[df.name]
		if !ok || f.Compression != df.compression || f.Size != size || f.SHA256 != sha ||
			f.StoredSize != stored || f.StoredSHA256 != storedSHA {
			return fmt.Errorf("the manifest does not describe %s as it was written", df.name)
		}
	}
	return nil
}

// readBack reads a payload file from the disk and compares it with f.
func (d *Draft) readBack(ctx context.Context, f snapshot.File) error {
	stored, err := d.repo.disk.Open(filepath.Join(d.dir, f.Name))
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	defer stored.Close()
	if err := snapshot.CheckStored(bound(ctx, stored), f); err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	return nil
}

// write writes one of the small files, and reads it back as well.
func (d *Draft) write(name string, content []byte) error {
	path := filepath.Join(d.dir, name)
	if err := writeFile(d.repo.disk, path, content); err != nil {
		return err
	}
	stored, err := d.repo.disk.Open(path)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	defer stored.Close()
	back, err := io.ReadAll(io.LimitReader(stored, int64(len(content))+1))
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if !bytes.Equal(back, content) {
		return fmt.Errorf("read back: %s is not as it was written", name)
	}
	return nil
}

// Abort ends a draft that is not to become a snapshot, and removes it.
func (d *Draft) Abort() error {
	d.done = true
	if d.gone {
		return nil
	}
	for _, df := range d.files {
		df.abandon()
	}
	if err := d.repo.disk.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("remove draft of snapshot %s: %w", d.id, err)
	}
	d.gone = true
	return nil
}

// bound is r, which fails once ctx has ended.
func bound(ctx context.Context, r io.Reader) io.Reader { return boundReader{ctx: ctx, r: r} }

type boundReader struct {
	ctx context.Context
	r   io.Reader
}

func (b boundReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

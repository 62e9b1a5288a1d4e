package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/redisbak/redisbak/internal/aof"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/snapshot"
)

const (
	// holdTries bounds how often a set of files is opened anew because a
	// rewrite replaced it meanwhile.
	holdTries = 200
	// flushWait bounds the wait for what the server has accepted and not yet
	// written. It writes at the end of each round of its loop, or two seconds
	// later where its disk is slow.
	flushWait = 10 * time.Second
	flushPoll = 10 * time.Millisecond
)

// heldSet is the files of an append-only file at one instant, held open. What
// the server does to their names after that does not matter any more.
type heldSet struct {
	files    []heldPart // the one that the server appends to comes last
	manifest *heldPart  // nil where there is but one file
	read     []byte     // the manifest as it was read
	text     []byte     // of the manifest, without what is not held
	at       time.Time  // by the server's clock
	info     server.Info
}

// heldPart is one of the files.
type heldPart struct {
	held   docker.Held
	path   string // in the volume
	stored string // in the snapshot, without the suffix of its compression
	length int64  // at the instant
}

func (s heldSet) bytes() (n int64) {
	for _, part := range s.files {
		n += part.length
	}
	return n
}

// lastLength is how long the last file is by what the server says.
func (s heldSet) lastLength(info server.Info) int64 {
	length := info.AOFCurrentSize + info.AOFBufferLength
	for n, part := range s.files[:len(s.files)-1] {
		if n == 0 && info.AOFBaseSize == 0 {
			continue // a set that was born with this process: its base is not counted in
		}
		length -= part.length
	}
	return length
}

// errReplaced is a set that was not the server's any more when all of it was
// open.
var errReplaced = errors.New("the append-only file was rewritten while it was opened")

// hold opens the files. A rewrite that comes between is none of their business
// once they are open; until then it means another try.
func (i *Instance) hold(ctx context.Context, holder *docker.Holder) (heldSet, error) {
	once := i.holdParts
	if !i.multiPart() {
		once = i.holdSingle
	}
	for range holdTries {
		if i.noRewrite { // else a rewrite of this very run has settled it
			if err := i.server.SettleAOF(ctx, i.multiPart()); err != nil {
				return heldSet{}, i.named(err)
			}
		}
		set, err := once(ctx, holder)
		if err == nil {
			if err = i.setLengths(ctx, holder, &set); err == nil {
				return set, nil
			}
		}
		dropErr := dropAll(holder, len(set.files))
		if !errors.Is(err, errReplaced) {
			return heldSet{}, err
		}
		if err := errors.Join(dropErr, ctx.Err()); err != nil {
			return heldSet{}, err
		}
	}
	return heldSet{}, fmt.Errorf("container %q: %w, %d times in a row", i.container.Name, errReplaced, holdTries)
}

// dropAll closes the n files that were opened last.
func dropAll(holder *docker.Holder, n int) (err error) {
	for range n {
		err = errors.Join(err, holder.Drop())
	}
	return err
}

// listing is a manifest with its text.
type listing struct {
	aof.Manifest
	name string
	text []byte
}

// base identifies the base file, "" for none.
func (l listing) base() string {
	for _, e := range l.Live() {
		if e.Type == aof.Base {
			return fmt.Sprintf("%d %s", e.Seq, e.Name)
		}
	}
	return ""
}

func (i *Instance) manifest(holder *docker.Holder) (docker.Held, listing, error) {
	l := listing{name: i.options.AppendFilename + ".manifest"}
	held, text, err := holder.List(l.name)
	if isNotFound(err) {
		err = i.noAOF(path.Join(i.place.file(i.options.AppendDirname), l.name))
	}
	if err != nil {
		return held, l, err
	}
	l.text = text
	if l.Manifest, err = aof.ParseManifest(text); err != nil {
		err = fmt.Errorf("container %q: %s: %w", i.container.Name, l.name, err)
	}
	return held, l, err
}

// holdParts opens the files of one unchanged manifest, and asks the server in
// between: its answer is of these files and no others. The set that it returns
// with an error has as many files as are open.
func (i *Instance) holdParts(ctx context.Context, holder *docker.Holder) (set heldSet, err error) {
	held, list, err := i.manifest(holder)
	if err != nil {
		return set, err
	}
	live := list.Live()
	if list.base() == "" || live[len(live)-1].Type != aof.Incr {
		return set, &AOFError{Container: i.container.Name, Reason: fmt.Sprintf(
			"its append-only file is not complete: %s names no base, or no file to append to", list.name)}
	}
	dir := path.Join(i.place.rel(), i.options.AppendDirname)
	set.read, set.text = list.text, list.Text()
	set.manifest = &heldPart{held: held, path: path.Join(dir, list.name), stored: snapshot.AOFDir + "/" + list.name}
	for _, e := range live {
		file, err := holder.Open(e.Name)
		if isNotFound(err) {
			return set, i.missing(holder, &set, list.name, e.Name)
		}
		if err != nil {
			return set, err
		}
		set.files = append(set.files, heldPart{held: file, length: file.Size, path: path.Join(dir, e.Name), stored: snapshot.AOFDir + "/" + e.Name})
	}
	if set.at, set.info, err = i.server.Moment(ctx); err != nil {
		return set, i.named(err)
	}
	if i.noRewrite && set.info.AOFRewriteInProgress {
		if err := i.firstRewrite(holder); err != nil {
			return set, err
		}
	}
	return set, i.unchanged(holder, &set)
}

// writesTo fails where the file that was held has more bytes than the server
// that was reached has written to its own. A rewrite of this run shows the same
// by the base that it replaced.
func (i *Instance) writesTo(ctx context.Context, holder *docker.Holder, set *heldSet, size int64) error {
	if !i.noRewrite {
		return nil
	}
	_, info, err := i.server.Moment(ctx)
	if err != nil {
		return i.named(err)
	}
	if err := i.unchanged(holder, set); err != nil {
		return err
	}
	if most := set.lastLength(info); size > most {
		return &WrongVolumeError{Container: i.container.Name, Detail: fmt.Sprintf("%s has %d bytes, and the server has written %d",
			set.files[len(set.files)-1].path, size, most)}
	}
	return nil
}

// unchanged is errReplaced where the server has other files by now.
func (i *Instance) unchanged(holder *docker.Holder, set *heldSet) error {
	if set.manifest == nil {
		now, err := holder.Stat(i.options.AppendFilename)
		if isNotFound(err) || err == nil && now.ID != set.files[0].held.ID {
			return errReplaced
		}
		return err
	}
	_, again, err := i.manifest(holder)
	if err == nil && !bytes.Equal(again.text, set.read) {
		err = errReplaced
	}
	return err
}

// firstRewrite fails where the server still makes its first base: what lies
// under the names of the manifest is then of an earlier time.
func (i *Instance) firstRewrite(holder *docker.Holder) error {
	_, err := holder.Stat("temp-" + i.options.AppendFilename + ".incr")
	switch {
	case isNotFound(err):
		return nil
	case err != nil:
		return err
	}
	return &AOFError{Container: i.container.Name, Reason: "its append-only file is not complete: appendonly was switched on, and the first rewrite is not done"}
}

// missing tells a file that a rewrite has just taken away from one that the
// manifest names in vain.
func (i *Instance) missing(holder *docker.Holder, set *heldSet, manifest, name string) error {
	if err := i.unchanged(holder, set); err != nil {
		return err
	}
	return &AOFError{Container: i.container.Name, Reason: fmt.Sprintf(
		"its append-only file is not complete: %s names %s, which is not there", manifest, name)}
}

// holdSingle opens the one file of a server before 7.0. It is the one that the
// server writes to as long as its name leads to it.
func (i *Instance) holdSingle(ctx context.Context, holder *docker.Holder) (set heldSet, err error) {
	name := i.options.AppendFilename
	file, err := holder.Open(name)
	if isNotFound(err) {
		return set, i.noAOF(i.place.file(name))
	}
	if err != nil {
		return set, err
	}
	set.files = []heldPart{{held: file, path: path.Join(i.place.rel(), name), stored: snapshot.AOFName}}
	if set.at, set.info, err = i.server.Moment(ctx); err != nil {
		return set, i.named(err)
	}
	return set, i.unchanged(holder, &set)
}

// setLengths works out how long the last file was at the instant, and waits
// until the server has written as much of it.
func (i *Instance) setLengths(ctx context.Context, holder *docker.Holder, set *heldSet) error {
	info := set.info
	switch {
	case info.RunID != i.info.RunID:
		return &ChangedError{What: fmt.Sprintf("the server in container %q was restarted", i.container.Name)}
	case !info.AOFEnabled:
		return &ChangedError{What: fmt.Sprintf("appendonly of container %q was switched off", i.container.Name)}
	case i.noRewrite && (info.AOFRewriteScheduled || info.AOFRewriteInProgress && !i.multiPart()):
		return errReplaced
	case info.AOFWriteStatus == "err":
		return &AOFError{Container: i.container.Name, Reason: "the server cannot write to its append-only file (aof_last_write_status:err)"}
	}
	length, last := set.lastLength(info), len(set.files)-1
	set.files[last].length = length
	deadline := time.Now().Add(flushWait)
	for {
		now, err := holder.Size()
		switch {
		case err != nil:
			return err
		case length >= 0 && now.Size >= length:
			return i.writesTo(ctx, holder, set, now.Size)
		case length < 0 || time.Now().After(deadline):
			return &EndError{Container: i.container.Name, Detail: fmt.Sprintf("%s has %d bytes, and should have %d", set.files[last].path, now.Size, length)}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(flushPoll):
		}
	}
}

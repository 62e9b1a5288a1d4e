package instance

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
	"strings"

	"github.com/redisbak/redisbak/internal/aof"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
)

// names are where a starting server looks for its data.
type names struct {
	dir            string // relative to the volume's root, "" for the root
	dbFilename     string
	appendFilename string
	appendDirname  string
}

// namesOf reads them out of a server's options; at is the mount point.
func namesOf(o snapshot.Options, at string) names {
	p := place{dir: o.Dir}
	p.mount.Destination = at
	n := names{dir: p.rel(), dbFilename: o.DBFilename, appendFilename: o.AppendFilename, appendDirname: o.AppendDirname}
	if n.appendFilename == "" {
		n.appendFilename = defaultAppendFilename
	}
	if n.appendDirname == "" {
		n.appendDirname = defaultAppendDirname
	}
	return n
}

// appendOnlyLayout is the one for a server that starts with appendonly yes. A
// server that can load what 7.0 or later wrote keeps a multi-part AOF itself;
// what older ones wrote goes into one file, which every server loads, and a
// newer one then takes apart by itself.
func appendOnlyLayout(wrote snapshot.Server) string {
	if wrote.Software == "valkey" || release(wrote.Version) >= release("7.0") {
		return snapshot.LayoutAOF
	}
	return snapshot.LayoutAOFLegacy
}

// convert says whether the data must go through a server to get into a layout:
// commands become a dump in no other way.
func convert(m *snapshot.Manifest, layout string) bool {
	return layout == snapshot.LayoutRDB && m.Method == snapshot.MethodAOF
}

// laid is what a volume is to hold.
type laid struct {
	dirs   []snapshot.Dir
	pieces []restore.Piece
}

// lay works out which files go where for a server to start from a layout. The
// last piece is the one without which it would see none of them.
func (n names) lay(m *snapshot.Manifest, layout string) (laid, error) {
	last := m.Files[len(m.Files)-1]
	at := func(f snapshot.File, elements ...string) restore.Piece {
		f.Path = path.Join(append([]string{n.dir}, elements...)...)
		return restore.Piece{File: f}
	}
	own := m.Layout()
	switch {
	case layout == snapshot.LayoutRDB:
		return laid{n.dirs(m, n.dir, last), []restore.Piece{at(last, n.dbFilename)}}, nil
	case layout == snapshot.LayoutAOFLegacy && own != snapshot.LayoutAOF:
		return laid{n.dirs(m, n.dir, last), []restore.Piece{at(last, n.appendFilename)}}, nil
	case layout != snapshot.LayoutAOF:
		return laid{}, &restore.PartsError{ID: m.ID}
	}
	l := laid{dirs: n.dirs(m, path.Join(n.dir, n.appendDirname), last)}
	manifest := n.appendFilename + ".manifest"
	if own == snapshot.LayoutAOF {
		for _, f := range m.Files[:len(m.Files)-1] {
			l.pieces = append(l.pieces, at(f, n.appendDirname, path.Base(f.Path)))
		}
		l.pieces = append(l.pieces, at(last, n.appendDirname, manifest))
		return l, nil
	}
	base := n.appendFilename + ".1.base.rdb"
	if own == snapshot.LayoutAOFLegacy {
		base = n.appendFilename // as a server that takes it over names it
	}
	text := restore.Piece{Text: aof.BaseManifest(base)}
	sum := sha256.Sum256(text.Text)
	text.Path, text.Size, text.SHA256 = path.Join(n.dir, n.appendDirname, manifest), int64(len(text.Text)), hex.EncodeToString(sum[:])
	text.UID, text.GID, text.Mode = last.UID, last.GID, last.Mode
	l.pieces = []restore.Piece{at(last, n.appendDirname, base), text}
	return l, nil
}

// newDirMode is what a server's own umask leaves of a directory that it makes.
const newDirMode fs.FileMode = 0o700

// dirs are the directories down to rel. One that the snapshot does not know
// gets the owner of the data: it is for the server alone.
func (n names) dirs(m *snapshot.Manifest, rel string, data snapshot.File) []snapshot.Dir {
	var dirs []snapshot.Dir
	at := ""
	for part := range strings.SplitSeq(rel, "/") {
		if part == "" {
			continue
		}
		at = path.Join(at, part)
		dir := snapshot.Dir{Path: at, UID: data.UID, GID: data.GID, Mode: mode(newDirMode)}
		if at == n.dir || strings.HasPrefix(n.dir, at+"/") {
			dir = m.Root // down to the working directory, like the volume itself
			dir.Path = at
		}
		for _, known := range m.Dirs {
			if known.Path == at {
				dir = known
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// startOptions are those by which a server starts from a layout.
func (n names) startOptions(layout string) []string {
	options := []string{"--dbfilename", n.dbFilename}
	switch layout {
	case snapshot.LayoutAOF:
		return append(options, "--appendonly", "yes", "--appendfilename", n.appendFilename, "--appenddirname", n.appendDirname)
	case snapshot.LayoutAOFLegacy:
		return append(options, "--appendonly", "yes", "--appendfilename", n.appendFilename)
	}
	return append(options, "--appendonly", "no")
}

// layoutOf is what a server with these options starts from.
func layoutOf(o snapshot.Options, wrote snapshot.Server) (layout, why string) {
	if o.AppendOnly {
		return appendOnlyLayout(wrote), "appendonly yes"
	}
	return snapshot.LayoutRDB, "appendonly no"
}

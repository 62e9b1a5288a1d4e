package snapshot

import (
	"fmt"
	"path"
	"strings"
	"time"
)

const (
	maxSize = 1 << 60
	maxID   = 1<<32 - 2 // of a user or group; the last one means "none"
	maxDB   = 1<<31 - 1
)

// faults keeps the first fault that is found, as "member: why".
type faults struct{ first string }

// add notes a fault unless why is empty.
func (f *faults) add(member, why string) {
	if why != "" && f.first == "" {
		f.first = member + ": " + why
	}
}

// check notes a fault unless ok.
func (f *faults) check(ok bool, member, format string, args ...any) {
	if !ok && f.first == "" {
		f.first = member + ": " + fmt.Sprintf(format, args...)
	}
}

// refused puts a text before what is wrong with it, and is "" if nothing is.
func refused(s, why string) string {
	if why == "" {
		return ""
	}
	return shown(s) + " is refused: " + why
}

func (f *faults) err(what string) error {
	if f.first == "" {
		return nil
	}
	return &FormatError{What: what, Why: f.first}
}

// text: one line of UTF-8, not empty and not long.
func (f *faults) text(member, s string) {
	f.check(s != "", member, "empty")
	f.check(len(s) <= maxText, member, "longer than %d bytes", maxText)
	f.add(member, textFault(s))
}

func (f *faults) oneOf(member, s string, all ...string) {
	for _, a := range all {
		if s == a {
			return
		}
	}
	f.check(false, member, "%s is not one of %s", shown(s), strings.Join(all, ", "))
}

func (f *faults) between(member string, n, least, most int64) {
	f.check(n >= least, member, "%d is less than %d", n, least)
	f.check(n <= most, member, "%d is more than %d", n, most)
}

func (f *faults) id(member string, id ID) {
	f.add(member, refused(string(id), idFault(string(id))))
}

func (f *faults) hash(member, s string) {
	f.check(isHex(s, 64), member, "%s is not 64 lower-case hexadecimal digits", shown(s))
}

func (f *faults) imageID(member, s string) {
	digest, ok := strings.CutPrefix(s, "sha256:")
	f.check(ok && isHex(digest, 64), member, "%s is not sha256: and 64 lower-case hexadecimal digits", shown(s))
}

func (f *faults) moment(member string, t time.Time) {
	f.check(!t.IsZero(), member, "zero")
	y := t.UTC().Year()
	f.check(y >= idFirst && y <= idLast, member, "year %d is not between %d and %d", y, idFirst, idLast)
}

// reason: there is one exactly where one is due.
func (f *faults) reason(s string, due bool) {
	if !due {
		f.check(s == "", "reason", "given where none is due")
		return
	}
	f.text("reason", s)
}

func (f *faults) owner(member string, uid, gid int, mode Mode) {
	f.between(member+".uid", int64(uid), 0, maxID)
	f.between(member+".gid", int64(gid), 0, maxID)
	f.check(mode <= 0o777, member+".mode", "%#o is more than 0777", uint32(mode))
}

func (f *faults) keyspace(rows []Keys) {
	last := -1
	for i, k := range rows {
		at := fmt.Sprintf("keyspace[%d]", i)
		f.between(at+".db", int64(k.DB), 0, maxDB)
		f.check(k.DB > last, at+".db", "%d comes after %d", k.DB, last)
		f.between(at+".keys", k.Keys, 1, maxSize)
		f.between(at+".expires", k.Expires, 0, k.Keys)
		last = k.DB
	}
}

// Validate refuses a manifest that breaks a rule of the format; the error is a
// *FormatError that names the first member that does. After it, every path in
// the manifest stays inside the directory it is joined to.
func (m *Manifest) Validate() error {
	var f faults
	f.check(m.Format == Version, "format", "%d is not %d", m.Format, Version)
	for i, r := range m.Requires {
		f.check(knownFeature(r), fmt.Sprintf("requires[%d]", i), "%s is not known", shown(r))
	}
	f.id("id", m.ID)
	m.Source.validate(&f)
	m.Server.validate(&f)
	f.oneOf("method", m.Method, MethodRDB, MethodAOF)
	f.moment("started_at", m.StartedAt)
	f.moment("finished_at", m.FinishedAt)
	f.moment("point_in_time", m.PointInTime)
	m.validateFiles(&f)
	f.keyspace(m.Keyspace)
	f.oneOf("state", string(m.State), string(Good), string(Suspect))
	f.reason(m.Reason, m.State == Suspect)
	return f.err(ManifestName)
}

func (s *Source) validate(f *faults) {
	f.add("source.name", refused(s.Name, sourceNameFault(s.Name)))
	f.text("source.container", s.Container)
	f.check(!strings.Contains(s.Container, "/"), "source.container", "holds a slash")
	f.hash("source.container_id", s.ContainerID)
	f.text("source.image", s.Image)
	f.imageID("source.image_id", s.ImageID)
	s.Mount.validate(f)
	o := &s.Options
	f.add("source.options.dir", refused(o.Dir, absoluteFault(o.Dir)))
	f.add("source.options.dbfilename", refused(o.DBFilename, baseFault(o.DBFilename)))
	if o.AppendFilename != "" {
		f.add("source.options.appendfilename", refused(o.AppendFilename, baseFault(o.AppendFilename)))
	}
	if o.AppendDirname != "" {
		f.add("source.options.appenddirname", refused(o.AppendDirname, baseFault(o.AppendDirname)))
	}
	f.between("source.options.databases", int64(o.Databases), 0, maxDB)
}

func (m *Mount) validate(f *faults) {
	f.oneOf("source.mount.type", m.Type, MountVolume, MountBind)
	if m.Type == MountBind {
		// Of the engine's host, whose rules for paths need not be ours.
		f.text("source.mount.path", m.Path)
		f.check(m.Name == "", "source.mount.name", "given for a bind mount")
	} else {
		f.text("source.mount.name", m.Name)
		f.check(m.Path == "", "source.mount.path", "given for a volume")
	}
	f.add("source.mount.destination", refused(m.Destination, absoluteFault(m.Destination)))
}

func (s *Server) validate(f *faults) {
	f.oneOf("server.software", s.Software, "redis", "valkey")
	f.text("server.version", s.Version)
	f.oneOf("server.role", s.Role, "master", "replica")
	f.check(isHex(s.RunID, 40), "server.run_id", "%s is not 40 lower-case hexadecimal digits", shown(s.RunID))
	if s.RDBMagic != "" {
		f.oneOf("server.rdb_magic", s.RDBMagic, "REDIS", "VALKEY")
		f.between("server.rdb_version", int64(s.RDBVersion), 1, 9999)
	} else {
		f.check(s.RDBVersion == 0, "server.rdb_version", "given without rdb_magic")
	}
	f.between("server.used_memory_bytes", s.UsedMemoryBytes, 0, maxSize)
	f.between("server.replicas", int64(s.Replicas), 0, maxSize)
	for i, m := range s.Modules {
		f.text(fmt.Sprintf("server.modules[%d].name", i), m.Name)
	}
}

func (m *Manifest) validateFiles(f *faults) {
	f.check(m.Root.Path == "", "root.path", "given for the root itself")
	f.owner("root", m.Root.UID, m.Root.GID, m.Root.Mode)

	paths := map[string]bool{} // in the volume
	for i, d := range m.Dirs {
		at := fmt.Sprintf("dirs[%d]", i)
		f.add(at+".path", refused(d.Path, pathFault(d.Path)))
		f.check(!paths[d.Path], at+".path", "%s is there twice", shown(d.Path))
		up := above(d.Path)
		f.check(up == "" || paths[up], at+".path", "%s comes before the directory that holds it", shown(d.Path))
		f.owner(at, d.UID, d.GID, d.Mode)
		paths[d.Path] = true
	}

	f.check(len(m.Files) > 0, "files", "none")
	names, holds := map[string]bool{}, map[string]bool{}
	for i := range m.Files {
		at, file := fmt.Sprintf("files[%d]", i), &m.Files[i]
		f.check(!paths[file.Path], at+".path", "%s is there twice", shown(file.Path))
		f.check(!names[file.Name], at+".name", "%s is there twice", shown(file.Name))
		file.validate(f, at, m.Method)
		if f.first != "" {
			return // the loop below is for paths that are known to be sane
		}
		for up := above(file.Path); up != ""; up = above(up) {
			f.check(paths[up], at+".path", "%s is in a directory that dirs does not list", shown(file.Path))
			holds[up] = true
		}
		paths[file.Path], names[file.Name] = true, true
	}
	for i, d := range m.Dirs {
		f.check(holds[d.Path], fmt.Sprintf("dirs[%d].path", i), "%s holds no file", shown(d.Path))
	}
	for i, file := range m.Files {
		f.check(!holds[file.Path], fmt.Sprintf("files[%d].path", i), "%s is also a directory", shown(file.Path))
	}
	m.validateSet(f)
}

// storedName is the name that belongs to a file's path.
func (file *File) storedName(method string) string {
	suffix := file.Compression.Suffix()
	switch {
	case method == MethodRDB:
		return RDBName + suffix
	case strings.HasPrefix(file.Name, AOFName):
		return AOFName + suffix
	}
	return AOFDir + "/" + path.Base(file.Path) + suffix
}

// validateSet: the files of a multi-part AOF lie in one directory, and their
// manifest comes last. An AOF in one file has no other beside it.
func (m *Manifest) validateSet(f *faults) {
	if m.Method != MethodAOF || m.Layout() == LayoutAOFLegacy {
		return
	}
	last := len(m.Files) - 1
	dir := above(m.Files[last].Path)
	for i, file := range m.Files {
		at := fmt.Sprintf("files[%d]", i)
		f.check(strings.HasPrefix(file.Name, AOFDir+"/"), at+".name", "%s has no place beside other files", shown(file.Name))
		f.check(dir != "" && above(file.Path) == dir, at+".path", "%s is not in the directory of the manifest", shown(file.Path))
		isManifest := strings.HasSuffix(file.Path, manifestSuffix)
		f.check(isManifest == (i == last), at+".path", "%s: the last file is the manifest, and no other", shown(file.Path))
	}
}

// above is the directory that holds a clean relative path, "" for the root.
func above(p string) string {
	return p[:max(strings.LastIndexByte(p, '/'), 0)]
}

func (file *File) validate(f *faults, at, method string) {
	f.add(at+".path", refused(file.Path, filePathFault(file.Path)))
	f.oneOf(at+".compression", string(file.Compression), string(Gzip), string(Zstd), string(None))
	want := file.storedName(method)
	f.check(file.Name == want, at+".name", "%s, want %q", shown(file.Name), want)
	f.between(at+".size", file.Size, 0, maxSize)
	f.between(at+".stored_size", file.StoredSize, 0, maxSize)
	f.hash(at+".sha256", file.SHA256)
	f.hash(at+".stored_sha256", file.StoredSHA256)
	if file.Compression == None {
		f.check(file.StoredSize == file.Size && file.StoredSHA256 == file.SHA256,
			at+".stored_sha256", "stored bytes differ from the file's, and it is not compressed")
	}
	f.owner(at, file.UID, file.GID, file.Mode)
}

// Validate refuses a proof that breaks a rule of the format.
func (p *Proof) Validate() error {
	var f faults
	f.id("id", p.ID)
	f.oneOf("result", string(p.Result), string(Passed), string(Failed), string(Inconclusive))
	f.reason(p.Reason, p.Result != Passed)
	f.moment("at", p.At)
	f.oneOf("layout", p.Layout, LayoutRDB, LayoutAOF, LayoutAOFLegacy)
	// A boot that could not be carried out may not know what it would boot.
	if p.Result != Inconclusive || p.ImageID != "" {
		f.imageID("image_id", p.ImageID)
	}
	f.check(len(p.Server) <= maxText, "server", "longer than %d bytes", maxText)
	f.add("server", textFault(p.Server))
	f.keyspace(p.Keyspace)
	if p.Digest != "" {
		f.check(isHex(p.Digest, 40), "digest", "%s is not 40 lower-case hexadecimal digits", shown(p.Digest))
	}
	f.between("fill_ns", int64(p.Fill), 0, maxSize)
	f.between("load_ns", int64(p.Load), 0, maxSize)
	f.between("total_ns", int64(p.Total), 0, maxSize)
	f.hash("manifest_sha256", p.ManifestID)
	return f.err(ProofName)
}

// Validate refuses marks that break a rule of the format.
func (m *Marks) Validate() error {
	var f faults
	f.id("id", m.ID)
	for i, t := range m.Tags {
		f.add(fmt.Sprintf("tags[%d]", i), refused(t, tagFault(t)))
	}
	return f.err(MarksName)
}

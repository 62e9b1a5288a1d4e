package instance

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/rdb"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
)

// Target puts snapshots back into volumes of one engine.
type Target struct {
	Engine *docker.Engine
	Owner  docker.Owner // of the objects that it makes; the role is the Target's
	Access Access       // to the server that Start starts
	Now    func() time.Time
}

// Survey looks at everything that the plan depends on.
func (t Target) Survey(ctx context.Context, e repo.Entry, req restore.Request) (restore.Survey, error) {
	m := e.Manifest
	source, err := t.sourceOf(ctx, m)
	if err != nil {
		return restore.Survey{}, err
	}
	s := restore.Survey{Destination: m.Source.Mount.Destination}
	image, err := t.image(ctx, m, source, req)
	if err != nil {
		return s, err
	}
	s.Image = restore.Image{ID: image.ID, Ref: imageName(image)}
	if err := t.surveyLayout(ctx, m, source, req, &s); err != nil {
		return s, err
	}
	joins, err := t.neighbours(ctx, m, source, req)
	if err != nil {
		return s, err
	}
	s.Warnings = append(s.Warnings, joins...)
	if err := t.surveyVolume(ctx, m, image.ID, req, &s); err != nil {
		return s, err
	}
	if req.Start != nil {
		if err := t.nameIsFree(ctx, req.Start.Name); err != nil {
			return s, err
		}
	}
	if s.Layout == snapshot.LayoutRDB {
		s.Expired, err = t.expired(ctx, e) // an append-only file keeps them at first
	}
	return s, err
}

// surveyLayout works out what is laid down. What the user asks for may be
// another thing than the target starts from, but not if we are to start it.
func (t Target) surveyLayout(ctx context.Context, m *snapshot.Manifest, source *docker.Container, req restore.Request, s *restore.Survey) error {
	start, err := t.start(ctx, m, source)
	if unknown := (*restore.UnknownStartError)(nil); errors.As(err, &unknown) && req.Layout != "" && req.Start == nil {
		start.warnings = append(start.warnings, fmt.Sprintf("%v: laid down under the names of the capture", err))
		err = nil
	}
	if err != nil {
		return err
	}
	s.Layout, s.Warnings = start.layout, start.warnings
	if req.Layout != "" {
		s.Layout = req.Layout
	}
	if !snapshot.KnownLayout(s.Layout) {
		return &restore.UnknownStartError{Reason: fmt.Sprintf("layout %q is not known", s.Layout)}
	}
	files, err := start.names.lay(m, s.Layout)
	if err != nil {
		return err
	}
	// Without the source, the image's own command is told by us how to start.
	if req.Start != nil && source != nil && !startsFrom(start.layout, s.Layout) {
		return &restore.LayoutError{Layout: s.Layout, Starts: start.layout, Why: start.why}
	}
	s.Dirs, s.Pieces, s.Convert = files.dirs, files.pieces, convert(m, s.Layout)
	return nil
}

// startsFrom: a server that looks for an append-only file in several parts also
// takes one in a single file.
func startsFrom(layout, given string) bool {
	return layout == given || layout == snapshot.LayoutAOF && given == snapshot.LayoutAOFLegacy
}

// sourceOf finds the container that the snapshot was taken of, nil where it is
// gone. One of the same name on the same volume counts as the same: compose
// makes containers anew all the time.
func (t Target) sourceOf(ctx context.Context, m *snapshot.Manifest) (*docker.Container, error) {
	for _, name := range []string{m.Source.ContainerID, m.Source.Container} {
		c, err := t.Engine.Find(ctx, name)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if c.ID == m.Source.ContainerID || sameMount(c, m.Source.Mount) {
			return &c, nil
		}
	}
	return nil, nil
}

func sameMount(c docker.Container, m snapshot.Mount) bool {
	return slices.ContainsFunc(c.Mounts, func(have docker.Mount) bool {
		return have.Type == m.Type && have.Name == m.Name && path.Clean(have.Destination) == path.Clean(m.Destination) &&
			(m.Type != snapshot.MountBind || have.Source == m.Path)
	})
}

// image is the one whose server will load the data.
func (t Target) image(ctx context.Context, m *snapshot.Manifest, source *docker.Container, req restore.Request) (docker.Image, error) {
	ref := req.Image
	switch {
	case ref != "":
	case source != nil:
		ref = source.ImageID
	default:
		ref = m.Source.ImageID
	}
	image, err := t.Engine.Image(ctx, ref)
	if !isNotFound(err) || !req.Pull {
		return image, err
	}
	if ref == m.Source.ImageID {
		ref = m.Source.Image // an id cannot be pulled, the name under which it came can
	}
	if err := t.Engine.Pull(ctx, ref, nil); err != nil {
		return image, err
	}
	return t.Engine.Image(ctx, ref)
}

// start finds out from what the target will start. What counts is its next
// start, not what was switched at run time.
func (t Target) start(ctx context.Context, m *snapshot.Manifest, source *docker.Container) (start nextStart, err error) {
	recorded := m.Source.Options
	at := m.Source.Mount.Destination
	start.names = namesOf(recorded, at)
	start.layout, start.why = layoutOf(recorded, m.Server)
	start.why += " when it was captured"
	how := "started when it was captured"
	if recorded.Live {
		how = "ran when it was captured, for how it started could not be read then"
	}
	unnamed := unnamedFiles(m)
	if source == nil && unnamed != nil {
		return start, unnamed
	}
	if source == nil {
		start.warnings = []string{fmt.Sprintf("container %q is gone: laid down as it %s", m.Source.Container, how)}
		return start, nil
	}
	next, err := readStart(ctx, t.Engine, *source)
	if ctx.Err() != nil {
		return start, ctx.Err()
	}
	if err == nil && recorded.Live && next.file == "" {
		err = errHidden // what the capture saw of it came from elsewhere
	}
	if err != nil && unnamed != nil {
		return start, unnamed
	}
	if err != nil {
		start.warnings = []string{fmt.Sprintf("how container %q starts could not be read (%v): laid down as it %s", source.Name, err, how)}
		return start, nil
	}
	given, err := next.over(recorded, source.WorkingDir)
	if err != nil {
		return start, &restore.UnknownStartError{Reason: err.Error()}
	}
	if err := enoughDatabases(m, given); err != nil {
		return start, err
	}
	if err := onTheVolume(*source, at, given); err != nil {
		return start, err
	}
	start.names = namesOf(given, at)
	start.layout, start.why = layoutOf(given, m.Server)
	start.why = fmt.Sprintf("%s by the %s of container %q", start.why, next.source, source.Name)
	if given.AppendOnly != recorded.AppendOnly {
		start.warnings = append(start.warnings, fmt.Sprintf("by its %s, container %q starts with appendonly %s; when it was captured, it was %s",
			next.source, source.Name, yesNo(given.AppendOnly), yesNo(recorded.AppendOnly)))
	}
	return start, nil
}

// unnamedFiles: the server had append-only files, and the capture neither was
// told their names nor found them under the usual ones.
func unnamedFiles(m *snapshot.Manifest) error {
	if o := m.Source.Options; !o.Live || !o.AppendOnly || o.AppendFilename != "" {
		return nil
	}
	return &restore.UnknownStartError{Reason: fmt.Sprintf("when container %q was captured, nobody told the names of its append-only files", m.Source.Container)}
}

// onTheVolume fails where a server would look for its data on another mount
// than the one that is restored.
func onTheVolume(c docker.Container, at string, o snapshot.Options) error {
	dirs := []string{o.Dir}
	if o.AppendOnly {
		dirs = append(dirs, path.Join(o.Dir, namesOf(o, at).appendDirname))
	}
	for _, dir := range dirs {
		found, err := locate(c, dir)
		if err == nil && path.Clean(found.mount.Destination) != path.Clean(at) {
			err = fmt.Errorf("container %q looks for its data in %s, which is on another mount than %s", c.Name, dir, at)
		}
		if err != nil {
			return &restore.UnknownStartError{Reason: err.Error()}
		}
	}
	return nil
}

// nextStart is from what a target will start.
type nextStart struct {
	layout   string
	why      string
	names    names
	warnings []string
}

// enoughDatabases: a server that is configured for fewer databases than the
// dump names ends at once.
func enoughDatabases(m *snapshot.Manifest, given snapshot.Options) error {
	for _, k := range m.Keyspace {
		if k.DB >= given.Databases {
			return &restore.LoadError{Reason: fmt.Sprintf("it holds keys in database %d, and the target is configured for %d databases", k.DB, given.Databases)}
		}
	}
	return nil
}

// surveyVolume refuses a volume that is in use or holds anything.
func (t Target) surveyVolume(ctx context.Context, m *snapshot.Manifest, imageID string, req restore.Request, s *restore.Survey) error {
	v, err := t.Engine.Volume(ctx, req.Volume)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	s.VolumeExists = true
	users, err := t.Engine.UsersOf(ctx, v.Name)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.State == "running" || u.State == "paused" || u.State == "restarting" {
			return &restore.VolumeError{Volume: v.Name, Needed: true, Reason: fmt.Sprintf("it is in use by container %q", u.Name)}
		}
	}
	held, err := t.contents(ctx, imageID, v.Name, m.Source.Mount.Destination, req.Leftover)
	if err != nil {
		return err
	}
	why := ""
	if s.BeginAnew, why = leftOver(v, users, held, req.Leftover); s.BeginAnew || len(held) == 0 {
		return nil
	}
	return &restore.VolumeError{Volume: v.Name, Needed: v.Name == m.Source.Mount.Name,
		Reason: fmt.Sprintf("it is not empty: it holds %s%s", quoteList(topmost(held)), why)}
}

// contentsLimit is how many paths of a volume are looked at, beside those that
// a killed restore may have laid down.
const contentsLimit = 64

// contents lists what lies in a volume, without the lost+found of a file
// system of its own.
func (t Target) contents(ctx context.Context, imageID, volume, at string, rec *repo.RestoreRecord) ([]string, error) {
	limit := contentsLimit
	if rec != nil {
		limit += 2 * len(rec.Paths)
	}
	owner := t.Owner
	owner.Role = docker.RoleHelper
	helper, err := t.Engine.CreateHelper(ctx, owner, docker.HelperSpec{
		ImageID: imageID, Mount: docker.Mount{Type: docker.MountVolume, Name: volume, Destination: at},
	})
	if err != nil {
		return nil, err
	}
	defer helper.Remove(ctx)
	paths, err := helper.Paths(ctx, at, limit)
	return slices.DeleteFunc(paths, func(p string) bool { return p == "lost+found" || strings.HasPrefix(p, "lost+found/") }), err
}

// topmost are those paths that lie in no directory.
func topmost(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return strings.Contains(p, "/") })
}

// leftOver says whether a volume is the untouched left-over of a killed
// restore, which may be begun anew; why tells what speaks against it. Whatever
// is in doubt is somebody's data.
func leftOver(v docker.Volume, users []docker.Summary, held []string, rec *repo.RestoreRecord) (yes bool, why string) {
	owner, ours := docker.OwnerOf(v.Labels)
	if rec == nil || !ours || owner.Role != docker.RoleRecovery || owner.Run != rec.Run {
		return false, ""
	}
	if len(users) > 0 {
		return false, fmt.Sprintf(", left by a restore that was killed, and container %q refers to it", users[0].Name)
	}
	if slices.Contains(held, rec.Bootable) {
		return false, fmt.Sprintf(", left by a restore that was killed, and %s may be whole or not", rec.Bootable)
	}
	for _, p := range held {
		onTheWay := func(laid string) bool { return laid == p || strings.HasPrefix(laid, p+"/") }
		if !slices.ContainsFunc(rec.Paths, onTheWay) {
			return false, fmt.Sprintf(", left by a restore that was killed, which did not lay down %s", p)
		}
	}
	return true, ""
}

func quoteList(names []string) string {
	const shown = 3
	quoted := make([]string, 0, shown+1)
	for i, n := range names {
		if i == shown {
			quoted = append(quoted, "…")
			break
		}
		quoted = append(quoted, strconv.Quote(n))
	}
	return strings.Join(quoted, ", ")
}

func (t Target) nameIsFree(ctx context.Context, name string) error {
	c, err := t.Engine.Find(ctx, name)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if c.Name != name {
		return nil // an id that begins like the name
	}
	return &docker.ExistsError{Kind: "container", Name: name}
}

// expired counts the keys that a server will drop as it loads the dump now. Of
// an append-only file, whose last word on a key may come anywhere, none are
// counted.
func (t Target) expired(ctx context.Context, e repo.Entry) (int64, error) {
	if e.Manifest.Method != snapshot.MethodRDB {
		return 0, nil
	}
	dump := e.Manifest.Files[len(e.Manifest.Files)-1]
	content, err := e.Open(ctx, dump)
	if err != nil {
		return 0, err
	}
	defer content.Close()
	summary, err := rdb.ScanAt(content, t.Now())
	var torn *rdb.FormatError
	if errors.As(err, &torn) {
		return 0, fmt.Errorf("snapshot %s: %s: %w", e.Manifest.ID, dump.Name, err)
	}
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, k := range summary.Keyspace {
		total += k.Expired
	}
	return total, nil
}

// CreateVolume makes the volume of this run's restore.
func (t Target) CreateVolume(ctx context.Context, name string) error {
	_, err := t.Engine.CreateVolume(ctx, name, t.recovery(t.Owner.Run))
	return err
}

// RemoveVolume removes a volume that the given run created for a restore.
func (t Target) RemoveVolume(ctx context.Context, name, run string) error {
	return t.Engine.RemoveVolume(ctx, name, t.recovery(run))
}

func (t Target) recovery(run string) docker.Owner {
	return docker.Owner{Role: docker.RoleRecovery, Repo: t.Owner.Repo, Run: run}
}

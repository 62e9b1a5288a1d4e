package instance

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/docker/go-units"

	"github.com/redisbak/redisbak/backup"
	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/snapshot"
)

// LoadingError says that a server still reads its data set: a save now would
// hold a part of it.
type LoadingError struct{ Container string }

func (e *LoadingError) Error() string {
	return fmt.Sprintf("container %q: its server is still loading its data", e.Container)
}

// Preflight describes the instance and says what stands against a save.
func (i *Instance) Preflight(ctx context.Context) (backup.Preflight, error) {
	info, err := i.server.Info(ctx)
	if err != nil {
		return backup.Preflight{}, i.named(err)
	}
	if info.Loading || info.AsyncLoading {
		return backup.Preflight{}, &LoadingError{Container: i.container.Name}
	}
	options, warnings, err := liveOptions(ctx, i, info)
	if err != nil {
		return backup.Preflight{}, err
	}
	at, err := locate(i.container, options.Dir)
	if err != nil {
		return backup.Preflight{}, err
	}
	if at.mount.Type == docker.MountVolume {
		if _, err := i.engine.Volume(ctx, at.mount.Name); err != nil {
			return backup.Preflight{}, err
		}
	}
	i.info, i.options, i.place = info, options, at
	next, more, err := i.nextOptions(ctx)
	if err != nil {
		return backup.Preflight{}, err
	}
	i.next = next
	warnings = append(warnings, more...)
	more, err = i.settleMethod(ctx)
	if err != nil {
		return backup.Preflight{}, err
	}
	warnings = append(warnings, more...)
	pre := backup.Preflight{Source: i.source(), Server: describe(info), Warnings: warnings}
	pre.Refusals = append(pre.Refusals, replicaRefusals(info)...)
	if i.method == snapshot.MethodAOF && i.noRewrite {
		return pre, nil // no fork, and no second file: no room is needed
	}
	room, warns, err := i.room(ctx)
	if err != nil {
		return backup.Preflight{}, err
	}
	pre.Refusals = append(pre.Refusals, room...)
	pre.Warnings = append(pre.Warnings, warns...)
	if i.method == snapshot.MethodRDB {
		pre.Warnings = append(pre.Warnings, i.cacheWarning(ctx)...)
	}
	return pre, nil
}

// NoAOFError says that a server keeps no append-only file that could be
// captured.
type NoAOFError struct{ Container string }

func (e *NoAOFError) Error() string {
	return fmt.Sprintf("container %q: appendonly is off: there is no append-only file to capture", e.Container)
}

// settleMethod: the data are captured in the form from which the server itself
// would start. What an append-only file leaves behind when it is switched off
// is nothing that anybody should start from.
func (i *Instance) settleMethod(ctx context.Context) (warnings []string, err error) {
	if i.method == snapshot.MethodAOF && !i.info.AOFEnabled {
		return nil, &NoAOFError{Container: i.container.Name}
	}
	if i.method == snapshot.MethodAOF {
		return nil, i.sameMount()
	}
	if i.method != "" {
		return nil, nil
	}
	i.method = snapshot.MethodRDB
	if !i.info.AOFEnabled {
		return nil, nil
	}
	file := i.place.file(i.options.AppendFilename)
	if i.multiPart() {
		file = path.Join(i.place.file(i.options.AppendDirname), i.options.AppendFilename+".manifest")
	}
	if err := i.sameMount(); err != nil {
		return nil, err
	}
	helper, err := i.helper(ctx)
	if err != nil {
		return nil, err
	}
	defer helper.Remove(ctx)
	if _, err = helper.Stat(ctx, file); isNotFound(err) {
		if i.guessed && i.next.Live {
			// It starts from files that have other names, and nobody tells which.
			i.next.AppendFilename, i.next.AppendDirname = "", ""
		}
		return []string{fmt.Sprintf("appendonly is on, and there is no %s: the server's dump is captured instead", file)}, nil
	}
	i.method = snapshot.MethodAOF
	return nil, err
}

// AOFMountError says that a server's append-only files cannot be reached by way
// of its data directory.
type AOFMountError struct{ Container, Dir string }

func (e *AOFMountError) Error() string {
	return fmt.Sprintf("container %q: its append-only files are on a mount of their own, at %s", e.Container, e.Dir)
}

// sameMount refuses append-only files that have a mount of their own: what a
// helper sees below the data directory is then not what the server sees.
func (i *Instance) sameMount() error {
	dir := i.place.file(i.options.AppendDirname)
	if at, err := locate(i.container, dir); i.multiPart() && (err != nil || at.mount != i.place.mount) {
		return &AOFMountError{Container: i.container.Name, Dir: dir}
	}
	return nil
}

// cacheWarning tells the owner of a server that keeps nothing on disk that the
// save leaves a file, which the server will load. Where CONFIG is denied nobody
// knows.
func (i *Instance) cacheWarning(ctx context.Context) []string {
	if i.info.AOFEnabled {
		return nil
	}
	live, err := i.server.Config(ctx, "save")
	if save, ok := live["save"]; err != nil || !ok || save != "" {
		return nil
	}
	return []string{fmt.Sprintf("the server keeps nothing on disk (save \"\", appendonly no): the dump that it saves now stays at %s, and it will load it at its next start",
		i.place.file(i.options.DBFilename))}
}

// named adds the container to an error of its server.
func (i *Instance) named(err error) error {
	var loading *server.LoadingError
	if errors.As(err, &loading) {
		return &LoadingError{Container: i.container.Name}
	}
	return fmt.Errorf("container %q: %w", i.container.Name, err)
}

func (i *Instance) source() snapshot.Source {
	m := i.place.mount
	mount := snapshot.Mount{Type: m.Type, Destination: m.Destination}
	if m.Type == docker.MountVolume {
		mount.Name = m.Name
	} else {
		mount.Path = m.Source
	}
	return snapshot.Source{
		Container: i.container.Name, ContainerID: i.container.ID, Image: i.container.Image,
		ImageID: i.container.ImageID, Mount: mount, Options: i.next,
	}
}

func describe(info server.Info) snapshot.Server {
	s := snapshot.Server{
		Software: info.Software, Version: info.Version, Role: info.Role, RunID: info.RunID,
		UsedMemoryBytes: info.UsedMemory, ClusterEnabled: info.ClusterEnabled, Replicas: info.ConnectedReplicas,
	}
	for _, m := range info.Modules {
		s.Modules = append(s.Modules, snapshot.Module{Name: m.Name, Version: m.Version})
	}
	return s
}

// replicaRefusals: a replica that lost its master answers and saves as if
// nothing were wrong, and its data may be of last week.
func replicaRefusals(info server.Info) []string {
	if info.Role != server.Replica {
		return nil
	}
	switch {
	case info.MasterSyncInProgress:
		return []string{"it is a replica in the middle of a full resynchronisation"}
	case !info.MasterLinkUp:
		return []string{"it is a replica whose link to its master is down: its data may be old"}
	}
	return nil
}

const (
	// spaceMargin is how much more room than the estimated dump there must be:
	// the new dump stands beside the old one until it is whole.
	spaceMargin = 1.2
	// freshCOW is the share of the data set that a save is expected to copy
	// where the server has not measured one yet.
	freshCOW = 0.1
)

// room looks for space and memory for a save. What cannot be seen is a
// warning; what is seen to be too little is a refusal.
func (i *Instance) room(ctx context.Context) (refusals, warnings []string, err error) {
	seen, err := probe(ctx, i.engine, i.container, i.process, i.options.Dir)
	if ctx.Err() != nil {
		return nil, nil, err
	}
	if err != nil {
		return memoryRefusals(i.info, i.container.MemoryLimit, probed{available: -1, overcommit: -1}),
			[]string{fmt.Sprintf("free space unknown: %v", err)}, nil
	}
	if !seen.writable {
		refusals = append(refusals, fmt.Sprintf("its user (uid %d) cannot write to its data directory %s", i.process.UID, i.options.Dir))
	}
	switch need := i.dumpEstimate(ctx); {
	case seen.freeBytes < 0:
		warnings = append(warnings, "free space unknown")
	case float64(seen.freeBytes) < spaceMargin*float64(need):
		refusals = append(refusals, fmt.Sprintf("its data directory %s has %s free, and the dump may take %s",
			i.options.Dir, units.BytesSize(float64(seen.freeBytes)), units.BytesSize(spaceMargin*float64(need))))
	}
	return append(refusals, memoryRefusals(i.info, i.container.MemoryLimit, seen)...), warnings, nil
}

// dumpEstimate is the larger of the last dump and the data in memory.
func (i *Instance) dumpEstimate(ctx context.Context) int64 {
	estimate := i.info.UsedMemoryDataset
	helper, err := i.helper(ctx)
	if err != nil {
		return estimate
	}
	defer helper.Remove(ctx)
	if last, err := helper.Stat(ctx, i.place.file(i.options.DBFilename)); err == nil {
		estimate = max(estimate, last.Size)
	}
	return estimate
}

// memoryRefusals compares what a fork may take with what there is. The kernel
// kills the largest process where it guessed too low, and that is the server.
func memoryRefusals(info server.Info, limit int64, seen probed) []string {
	cow := info.LastCOW
	if cow == 0 {
		cow = int64(freshCOW * float64(info.UsedMemoryDataset))
	}
	var refusals []string
	if limit > 0 && info.UsedMemoryRSS+cow > limit {
		refusals = append(refusals, fmt.Sprintf("a fork may need %s beside the %s in use, and the container's memory limit is %s",
			units.BytesSize(float64(cow)), units.BytesSize(float64(info.UsedMemoryRSS)), units.BytesSize(float64(limit))))
	}
	if seen.available >= 0 && cow > seen.available {
		refusals = append(refusals, fmt.Sprintf("a fork may need %s, and the host has %s of memory available",
			units.BytesSize(float64(cow)), units.BytesSize(float64(seen.available))))
	}
	if seen.overcommit == 2 && seen.available >= 0 && info.UsedMemoryRSS > seen.available {
		refusals = append(refusals, "vm.overcommit_memory is 2 on the host, and a fork of this server would be refused")
	}
	return refusals
}

// helper makes a helper on the source's mount, read-only.
func (i *Instance) helper(ctx context.Context) (*docker.Helper, error) {
	return i.engine.CreateHelper(ctx, i.owner, docker.HelperSpec{
		ImageID: i.container.ImageID, Mount: i.place.mount,
	})
}

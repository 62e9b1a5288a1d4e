package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

// Lab boots snapshots in verifier containers on scratch volumes.
type Lab struct {
	Engine *docker.Engine
	Owner  docker.Owner // of the objects that it makes; the role is the Lab's
}

const (
	bootPoll = 50 * time.Millisecond
	// lookTimeout bounds one look at a server that may still be loading.
	lookTimeout = 15 * time.Second
	// answerTimeout bounds what a server does to all of its data before it
	// answers: the digest reads every value.
	answerTimeout = 30 * time.Minute

	// A booted server needs what the source's data needed, and room to fork
	// for the save that the verification asks for.
	memoryFactor = 1.3
	memoryBase   = 64 << 20
)

// Boot lays e down on a scratch volume and boots a server on it. After an
// error nothing of it is left.
func (l Lab) Boot(ctx context.Context, e repo.Entry, opts verify.BootOptions) (verify.Subject, error) {
	s, err := l.boot(ctx, e, opts)
	if err != nil {
		return nil, err // not a subject that is nil
	}
	return s, nil
}

func (l Lab) boot(ctx context.Context, e repo.Entry, opts verify.BootOptions) (*subject, error) {
	image, err := l.image(ctx, e, opts.Image)
	if err != nil {
		return nil, err
	}
	memory := int64(memoryFactor*float64(e.Manifest.Server.UsedMemoryBytes)) + memoryBase
	if err := l.memory(memory); err != nil {
		return nil, err
	}
	owner := l.Owner
	owner.Role = docker.RoleVerify
	volume, err := l.Engine.NewVolume(ctx, owner)
	if err != nil {
		return nil, err
	}
	s := &subject{lab: l, owner: owner, entry: e, volume: volume.Name, layout: opts.Layout}
	if s.layout == "" {
		s.layout = e.Manifest.Layout()
	}
	if err := s.boot(ctx, image, memory, opts.Progress); err != nil {
		return nil, errors.Join(err, s.discard(ctx))
	}
	return s, nil
}

// discardTimeout bounds the removal of what a failed boot made.
const discardTimeout = 60 * time.Second

func (s *subject) discard(ctx context.Context) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	return s.Close(clean)
}

// image is the one to boot: by id, so that a tag that moved changes nothing.
func (l Lab) image(ctx context.Context, e repo.Entry, ref string) (docker.Image, error) {
	if ref == "" {
		ref = e.Manifest.Source.ImageID
	}
	return l.Engine.Image(ctx, ref)
}

// memory refuses a boot for which the host has no room: the kernel would kill
// somebody, and not always the verifier. Of a remote host nothing is known.
func (l Lab) memory(need int64) error {
	if !l.Engine.Local() {
		return nil
	}
	free, err := memAvailable()
	if err != nil || free >= need {
		return nil
	}
	return fmt.Errorf("not enough memory on the host: %s available, %s needed",
		units.BytesSize(float64(free)), units.BytesSize(float64(need)))
}

func memAvailable() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no MemAvailable in /proc/meminfo")
}

// subject is a server booted on a scratch volume.
type subject struct {
	lab      Lab
	owner    docker.Owner
	entry    repo.Entry
	volume   string
	layout   string
	verifier *docker.Verifier
	trial    *server.Trial
	facts    verify.Facts
}

func (s *subject) Facts() verify.Facts { return s.facts }

func (s *subject) boot(ctx context.Context, image docker.Image, memory int64, progress restore.Progress) error {
	m := s.entry.Manifest
	began := time.Now()
	files, err := s.names().lay(m, s.layout)
	if err != nil {
		return err
	}
	_, err = staging{
		entry: s.entry, laid: files, imageID: image.ID, volume: s.volume,
		at: m.Source.Mount.Destination, report: progress,
	}.run(ctx, s.lab.Engine, s.owner)
	if err != nil {
		return err
	}
	s.facts = verify.Facts{Layout: s.layout, ImageID: image.ID, Fill: time.Since(began)}
	began = time.Now()
	last := m.Files[len(m.Files)-1]
	s.verifier, err = s.lab.Engine.CreateVerifier(ctx, s.owner, docker.VerifierSpec{
		ImageID: image.ID, Volume: s.volume, Destination: m.Source.Mount.Destination,
		User: fmt.Sprintf("%d:%d", last.UID, last.GID), Cmd: bootCommand(m, s.names(), s.layout, image), MemoryBytes: memory,
	})
	if err != nil {
		return err
	}
	if err := s.verifier.Start(ctx); err != nil {
		return err
	}
	if err := s.serve(ctx, image, progress); err != nil {
		return err
	}
	s.facts.Load = time.Since(began)
	return nil
}

// names are those of the server that was captured.
func (s *subject) names() names {
	m := s.entry.Manifest
	return namesOf(m.Source.Options, m.Source.Mount.Destination)
}

// bootCommand starts a server on the data as a replica of nowhere: so it
// neither drops expired keys nor evicts, and counts and digest are those of
// the source. Save points and cluster mode are off, a file that was cut is
// refused, and no option comes from the source but where its data lie.
func bootCommand(m *snapshot.Manifest, n names, layout string, image docker.Image) []string {
	o := m.Source.Options
	cmd := append([]string{m.Server.Software + "-server", "--dir", o.Dir}, n.startOptions(layout)...)
	cmd = append(cmd,
		"--save", "", "--aof-load-truncated", "no", "--auto-aof-rewrite-percentage", "0",
		"--replicaof", "127.0.0.1", "1", "--databases", strconv.Itoa(o.Databases),
		"--maxmemory", "0", "--cluster-enabled", "no", "--port", strconv.Itoa(defaultPort), "--bind", "127.0.0.1",
	)
	if m.Server.Software != "redis" || release(m.Server.Version) >= release("7.0") {
		// Older servers have DEBUG on, and end at an option that they do not know.
		cmd = append(cmd, "--enable-debug-command", "local")
	}
	// An image of the other fork has the other server.
	for _, known := range []string{"redis-server", "valkey-server"} {
		if slices.Contains(image.Cmd, known) {
			cmd[0] = known
		}
	}
	if n := len(image.Entrypoint); n > 0 && isServerName(image.Entrypoint[n-1]) {
		cmd = cmd[1:]
	}
	return cmd
}

// serve waits until the server has loaded the data, as long as it gets on.
func (s *subject) serve(ctx context.Context, image docker.Image, progress restore.Progress) error {
	patience := newPatience(time.Now())
	for {
		info, err := s.look(ctx)
		if err == nil && !info.Loading {
			s.facts.Server = info.Software + " " + info.Version
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if ended := s.ended(ctx, image); ended != nil {
			return ended
		}
		if patience.over(time.Now(), info) {
			return errors.Join(fmt.Errorf("verifier has not got on with loading the data for %s", standstill), err)
		}
		if info.Loading {
			progress("load", info.LoadedBytes, info.LoadTotal)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(bootPoll):
		}
	}
}

// look asks the server once how it is.
func (s *subject) look(ctx context.Context) (server.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if s.trial == nil {
		trial, err := server.ConnectTrial(ctx, server.Options{Timeout: answerTimeout, Dial: func(ctx context.Context) (net.Conn, error) {
			return s.verifier.Dial(ctx, defaultPort)
		}})
		if err != nil {
			return server.Info{}, err
		}
		s.trial = trial
	}
	return s.trial.Info(ctx)
}

// ended explains a verifier that has stopped; nil while it runs.
func (s *subject) ended(ctx context.Context, image docker.Image) error {
	state, err := s.verifier.State(ctx)
	if err != nil || state.Running {
		return err
	}
	log, err := s.verifier.Logs(ctx)
	if err != nil {
		return err
	}
	complaint := complaint(log)
	switch {
	case state.OOMKilled || state.ExitCode == 137:
		return fmt.Errorf("verifier was killed (exit code %d, out of memory: %v)", state.ExitCode, state.OOMKilled)
	case state.Error != "" || state.ExitCode == 126 || state.ExitCode == 127:
		return fmt.Errorf("verifier did not start (exit code %d): %s %s", state.ExitCode, state.Error, complaint)
	}
	software, version := banner(log)
	if software == "" && strings.Contains(log, "Bad directive") {
		// The one option of ours that not all servers know.
		return &verify.IncompatibleError{Image: imageName(image), Reason: fmt.Sprintf(
			"its server is older than %s %s, which wrote it", s.entry.Manifest.Server.Software, s.entry.Manifest.Server.Version)}
	}
	if software == "" {
		return fmt.Errorf("verifier ended with exit code %d before its server spoke: %s", state.ExitCode, complaint)
	}
	if why := incompatible(s.entry.Manifest.Server, software, version); why != "" {
		return &verify.IncompatibleError{Image: imageName(image), Reason: why}
	}
	s.facts.Server = software + " " + version
	return &verify.RefusedError{Reason: fmt.Sprintf("%s refused the data: %s", s.facts.Server, complaint), Facts: s.facts}
}

func imageName(image docker.Image) string {
	if len(image.Tags) > 0 {
		return image.Tags[0]
	}
	return image.ID
}

// logPrefix is what servers put before a message: process, time and level.
var logPrefix = regexp.MustCompile(`^\d+:[A-Z] \d+ \S+ \d+ [0-9:.]+ [.\-*#] `)

// routine is what servers log as loudly as their complaints.
var routine = regexp.MustCompile(`^(WARNING|Server initialized|Configuration loaded|oO0OoO0OoO0Oo|(Redis|Valkey) version=)`)

// complaint is what a server had to say at last, without the times: its last
// two warnings, of which the first names the cause, or else its last line. What
// it prints beside its log may name keys.
func complaint(log string) string {
	var said []string
	last := ""
	for line := range strings.Lines(log) {
		last = strings.TrimSpace(line)
		text := logPrefix.ReplaceAllString(last, "")
		if text != last && strings.HasSuffix(strings.TrimSuffix(last, text), "# ") && !routine.MatchString(text) {
			said = append(said, text)
		}
	}
	if len(said) == 0 {
		return logPrefix.ReplaceAllString(last, "")
	}
	return strings.Join(said[max(0, len(said)-2):], "; ")
}

// Observe counts and digests what the server loaded.
func (s *subject) Observe(ctx context.Context) (verify.Observation, error) {
	info, err := s.trial.Info(ctx)
	if err != nil {
		return verify.Observation{}, err
	}
	digest, err := s.trial.Digest(ctx)
	if reply := (*server.ReplyError)(nil); errors.As(err, &reply) && strings.HasPrefix(reply.Text, "ERR DEBUG command not allowed") {
		// A newer server than the one that was captured, whose options the
		// command line was made for. Its digest would be another anyway.
		digest, err = "", nil
	}
	if err != nil {
		return verify.Observation{}, err
	}
	return verify.Observation{Keyspace: keyspace(info.Keyspace), Digest: digest}, nil
}

// TryWrites shows that the data can go on living: as the data's owner the
// server writes, saves and appends.
func (s *subject) TryWrites(ctx context.Context) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"become a master", s.trial.Promote},
		{"write a key", s.trial.WriteProbe},
		{"save", s.trial.SaveAndWait},
		{"append", s.trial.AppendProbe},
	} {
		if err := step.do(ctx); err != nil {
			return s.answered(ctx, fmt.Errorf("the booted server could not %s: %w", step.what, err))
		}
	}
	return nil
}

// shortage is what a server logs when the host, not the data, stood in its way.
var shortage = regexp.MustCompile(`No space left on device|Cannot allocate memory|terminated by signal 9`)

// answered makes a refusal of what the server itself said no to. A lost
// connection or a shortage on the host says nothing about the data.
func (s *subject) answered(ctx context.Context, err error) error {
	var reply *server.ReplyError
	var save *server.SaveError
	if !errors.As(err, &reply) && !errors.As(err, &save) {
		return err
	}
	log, logErr := s.Log(ctx)
	if logErr != nil {
		return errors.Join(err, logErr)
	}
	if short := shortage.FindString(log); short != "" {
		return fmt.Errorf("%w (%s)", err, short)
	}
	return &verify.RefusedError{Reason: err.Error()}
}

// Log is the verifier's output so far.
func (s *subject) Log(ctx context.Context) (string, error) { return s.verifier.Logs(ctx) }

// Close removes the verifier, then its volume.
func (s *subject) Close(ctx context.Context) error {
	if s.trial != nil {
		s.trial.Close()
	}
	if s.verifier != nil {
		if err := s.verifier.Remove(ctx); err != nil {
			return err
		}
	}
	return s.lab.Engine.RemoveVolume(ctx, s.volume, s.owner)
}

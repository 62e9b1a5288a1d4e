package instance

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/snapshot"
)

// The server's defaults for the options that decide what it loads.
const (
	defaultDBFilename     = "dump.rdb"
	defaultAppendFilename = "appendonly.aof"
	defaultAppendDirname  = "appendonlydir"
	defaultDatabases      = 16
)

// optionNames are the only options that are ever read: none of them can hold
// a secret.
func optionNames() []string {
	return []string{"dir", "dbfilename", "appendonly", "appendfilename", "appenddirname", "databases"}
}

// liveOptions reads the options that decide what the server loads. Where
// CONFIG is denied they come from the probe, the command line and the files;
// the warning says so.
func liveOptions(ctx context.Context, i *Instance, info server.Info) (snapshot.Options, []string, error) {
	live, err := i.server.Config(ctx, optionNames()...)
	if err == nil {
		opts, err := optionsOf(live["dir"], func(name, missing string) string {
			if v, ok := live[name]; ok {
				return v
			}
			return missing
		})
		return opts, nil, err
	}
	if !errors.Is(err, server.ErrConfigDenied) {
		return snapshot.Options{}, nil, err
	}
	opts, err := guessOptions(ctx, i, info)
	if err != nil {
		return snapshot.Options{}, nil, err
	}
	i.guessed = true
	return opts, []string{fmt.Sprintf("CONFIG GET is denied: data directory %s from the server's process, "+
		"dump file %s from its command line and files", opts.Dir, opts.DBFilename)}, nil
}

func optionsOf(dir string, get func(name, missing string) string) (snapshot.Options, error) {
	databases, err := strconv.Atoi(get("databases", strconv.Itoa(defaultDatabases)))
	if err != nil || databases < 1 {
		return snapshot.Options{}, fmt.Errorf("option databases: not a number of databases: %q", get("databases", ""))
	}
	if !path.IsAbs(dir) {
		return snapshot.Options{}, fmt.Errorf("option dir: not an absolute path: %q", dir)
	}
	return snapshot.Options{
		Dir:            path.Clean(dir),
		DBFilename:     get("dbfilename", defaultDBFilename),
		AppendOnly:     isYes(get("appendonly", "no")),
		AppendFilename: get("appendfilename", defaultAppendFilename),
		AppendDirname:  get("appenddirname", defaultAppendDirname),
		Databases:      databases,
	}, nil
}

// isYes reads a switch as servers do, who mind no case.
func isYes(value string) bool { return strings.EqualFold(value, "yes") }

// guessOptions finds the options of a server that does not tell them.
func guessOptions(ctx context.Context, i *Instance, info server.Info) (snapshot.Options, error) {
	seen, err := probe(ctx, i.engine, i.container, i.process, "")
	if err != nil {
		return snapshot.Options{}, &DataError{Container: i.container.Name, Reason: fmt.Sprintf(
			"its data directory is not known: CONFIG GET is denied, and its process cannot be looked at: %v", err)}
	}
	given := arguments{}
	if next, err := readStart(ctx, i.engine, i.container); err == nil {
		given = next.options
	}
	opts, err := optionsOf(seen.dir, given.first)
	if err != nil {
		return snapshot.Options{}, err
	}
	opts.AppendOnly = info.AOFEnabled
	if given.first("dbfilename", "") == "" && len(seen.rdbFiles) == 1 {
		opts.DBFilename = seen.rdbFiles[0]
	}
	return opts, nil
}

// start is what a container's command line makes its server start with.
type start struct {
	options arguments
	file    string // the configuration file, "" if none is named
	source  string // for messages: where it was read
}

// errHidden is returned when a container's command line does not show how its
// server starts.
var errHidden = errors.New("its command line does not show the server's options")

// nextOptions are those with which the server will start, and which a restore
// must lay its data down for. What was switched at run time is told: it is gone
// at the next start. Where the command line shows nothing, they are those with
// which it runs.
func (i *Instance) nextOptions(ctx context.Context) (snapshot.Options, []string, error) {
	live := i.options
	live.Live = true
	start, err := readStart(ctx, i.engine, i.container)
	if ctx.Err() != nil {
		return live, nil, ctx.Err()
	}
	if err != nil || start.file == "" && i.info.ConfigFile != "" {
		return live, nil, nil // a wrapper may have its own file, and so its own options
	}
	next, err := start.over(i.options, i.container.WorkingDir)
	if err != nil {
		return live, nil, nil
	}
	if at, err := locate(i.container, next.Dir); err != nil || at.mount != i.place.mount {
		return live, []string{fmt.Sprintf("container %q starts in another directory, %s, than it runs in: %s; the snapshot is of the latter",
			i.container.Name, next.Dir, i.options.Dir)}, nil
	}
	warnings := i.switched(start.source, next)
	next.Databases = max(next.Databases, i.options.Databases) // of which the data may make use
	return next, warnings, nil
}

// switched tells what is another thing at the next start.
func (i *Instance) switched(by string, next snapshot.Options) (warnings []string) {
	tell := func(option, now, then string) {
		if now != then {
			warnings = append(warnings, fmt.Sprintf("%s was switched at run time only: it is %s, and by its %s, container %q starts with %s",
				option, now, by, i.container.Name, then))
		}
	}
	tell("appendonly", yesNo(i.options.AppendOnly), yesNo(next.AppendOnly))
	tell("dir", i.options.Dir, next.Dir)
	tell("dbfilename", i.options.DBFilename, next.DBFilename)
	return warnings
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// over gives the options with which a server starts: what is given, else its
// defaults. The data directory's default is the container's working directory.
func (s start) over(recorded snapshot.Options, workingDir string) (snapshot.Options, error) {
	dir := s.options.first("dir", "")
	switch {
	case dir == "" && workingDir != "":
		dir = workingDir
	case dir == "":
		dir = recorded.Dir
	case !path.IsAbs(dir):
		dir = path.Join("/", workingDir, dir)
	}
	return optionsOf(dir, s.options.first)
}

// configScript prints a configuration file from inside the container. $1 is
// its path, from the command line. The mark after it tells a whole file from
// one whose end was lost on the way: that may be the line that counts.
const (
	configScript = `cat -- "$1" && printf '\n%s' '` + configEnd + `'`
	configEnd    = "# redisbak read this file to its end"
)

// includeDepth bounds files that include files.
const includeDepth = 8

// readStart reads a container's command line, and the configuration file that
// it names, as the server would at its next start.
func readStart(ctx context.Context, e *docker.Engine, c docker.Container) (start, error) {
	args, ok := serverArguments(c.Argv(), c.Cmd)
	if !ok {
		return start{}, errHidden
	}
	given, file, stdin := parseArguments(args)
	if stdin {
		return start{}, fmt.Errorf("%w: it reads a configuration from its standard input", errHidden)
	}
	if _, ok := given["include"]; ok {
		return start{}, fmt.Errorf("%w: it includes a file on its command line", errHidden)
	}
	if file == "" {
		return start{options: given, source: "command line"}, nil
	}
	merged := arguments{}
	if err := readConfig(ctx, e, c, file, merged, includeDepth); err != nil {
		return start{}, err
	}
	for name, values := range given {
		merged[name] = values
	}
	return start{options: merged, file: file, source: "command line and " + file}, nil
}

func readConfig(ctx context.Context, e *docker.Engine, c docker.Container, file string, into arguments, depth int) error {
	if depth == 0 {
		return fmt.Errorf("configuration file %s: included too deeply", file)
	}
	if !path.IsAbs(file) {
		file = path.Join("/", c.WorkingDir, file)
	}
	if !c.Running() {
		return fmt.Errorf("configuration file %s: container %q is not running, so it cannot be read", file, c.Name)
	}
	res, err := e.Exec(ctx, c.ID, docker.ExecSpec{Cmd: []string{"sh", "-c", configScript, "redisbak-config", file}})
	if err != nil {
		return err
	}
	if res.ExitCode != 0 {
		return fmt.Errorf("configuration file %s in container %q: %s", file, c.Name, firstLine(res.Stderr))
	}
	text, whole := strings.CutSuffix(string(res.Stdout), configEnd)
	if !whole {
		return fmt.Errorf("configuration file %s in container %q: its end did not arrive", file, c.Name)
	}
	return parseConfig(text, into, func(include string) error {
		return readConfig(ctx, e, c, include, into, depth-1)
	})
}

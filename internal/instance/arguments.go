package instance

import (
	"path"
	"strings"
)

// arguments are a server's options as its command line and its configuration
// files give them, by lower-case name; the last one wins, as in the server.
type arguments map[string][]string

// first is the option's first value, or missing.
func (a arguments) first(name, missing string) string {
	if values := a[name]; len(values) > 0 {
		return values[0]
	}
	return missing
}

// parseArguments reads what follows the server's name on its command line: an
// optional configuration file, then --name value... groups. stdin says that
// the server also reads a configuration from there.
func parseArguments(args []string) (opts arguments, file string, stdin bool) {
	opts = arguments{}
	if len(args) > 0 && (args[0] == "-" || !strings.HasPrefix(args[0], "-")) {
		stdin = args[0] == "-"
		if !stdin {
			file = args[0]
		}
		args = args[1:]
	}
	name := ""
	for _, arg := range args {
		switch {
		case arg == "-":
			stdin = true
		case strings.HasPrefix(arg, "--"):
			// "--port 6380" in one argument is read like two.
			words := strings.Fields(strings.TrimPrefix(arg, "--"))
			if len(words) == 0 {
				name = ""
				continue
			}
			name = strings.ToLower(words[0])
			opts[name] = words[1:]
		case name != "":
			opts[name] = append(opts[name], arg)
		}
	}
	return opts, file, stdin
}

// serverArguments finds the server's own arguments in a container's command
// line; ok is false where a shell or another wrapper hides them.
func serverArguments(argv, cmd []string) (args []string, ok bool) {
	for i, arg := range argv {
		if isServerName(arg) {
			return argv[i+1:], true
		}
	}
	// The official entrypoint puts the server's name before a command that
	// begins with an option or a configuration file.
	if len(argv) > 0 && path.Base(argv[0]) == "docker-entrypoint.sh" && len(cmd) > 0 &&
		(strings.HasPrefix(cmd[0], "-") || strings.HasSuffix(cmd[0], ".conf")) {
		return cmd, true
	}
	return nil, false
}

func isServerName(arg string) bool {
	switch path.Base(arg) {
	case "redis-server", "valkey-server":
		return true
	}
	return false
}

// parseConfig reads a configuration file's directives into opts, and has each
// file that it includes read in its place: what comes after it counts more.
func parseConfig(text string, opts arguments, include func(file string) error) error {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := splitWords(line)
		if len(words) == 0 {
			continue
		}
		name := strings.ToLower(words[0])
		if name == "include" {
			for _, file := range words[1:] {
				if err := include(file); err != nil {
					return err
				}
			}
			continue
		}
		opts[name] = words[1:]
	}
	return nil
}

// splitWords splits a directive as the server does, as far as the options go
// that matter here: blanks separate, single and double quotes hold together,
// a backslash in double quotes takes the next byte.
func splitWords(line string) []string {
	var words []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '"' && c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			in, quote = true, c
		case c == ' ' || c == '\t':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			in = true
			word.WriteByte(c)
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words
}

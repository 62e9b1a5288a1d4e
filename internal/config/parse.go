package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxFile is the size of a file from which on it is no configuration.
const maxFile = 1 << 20

// Input is all that a Config is made of.
type Input struct {
	Name    string // of the file, for messages
	Text    []byte // of the file
	Env     []string
	Options []Option

	// CheckSchedule says what is wrong with a schedule; nil believes all.
	CheckSchedule func(text string) error
}

// Option is what the command line says; it goes before all else.
type Option struct {
	Key  string // like listen
	Name string // like --listen
	Text string
}

// Load reads the file at path, or none where path is "", and parses it with the
// rest of the input. Its error is an *Error.
func Load(path string, in Input) (*Config, []Warning, error) {
	in.Name, in.Text = path, nil
	if path == "" {
		return Parse(in)
	}
	refuse := func(why string) (*Config, []Warning, error) {
		return nil, nil, &Error{Faults: []Fault{{Place: path, Why: why}}}
	}
	f, err := os.Open(path)
	if err != nil {
		return refuse(fileError(err).Error())
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return refuse("is a directory")
	}
	in.Text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return refuse(fileError(err).Error())
	}
	return Parse(in)
}

// Parse makes a Config of an input. Its error is an *Error with all that is
// wrong; warnings are told in any case.
func Parse(in Input) (*Config, []Warning, error) {
	r := &reader{file: in.Name, checkSchedule: in.CheckSchedule, seen: map[string]spot{}}
	if r.file == "" {
		r.file = "the configuration"
	}
	c, top := builtin(), spot{reader: r}
	values, whole := top.document(in.Text, c.fields())
	list := values["sources"]
	delete(values, "sources")
	top.read(values, c.fields())
	top.environment(c, in.Env)
	top.options(c, in.Options)
	if list != nil && !refersOn(list) {
		top.in("sources", list).sources(c, list)
	}
	if whole {
		top.together(c)
	}
	if err := failure(r.faults); err != nil {
		return nil, r.warnings, err
	}
	return c, r.warnings, nil
}

// document returns the values of the file by their keys; whole says whether it
// could be read to its end.
func (s spot) document(text []byte, fields []field) (values map[string]*yaml.Node, whole bool) {
	if len(text) > maxFile {
		s.refuse("is larger than 1 MiB: that is no configuration", "")
		return nil, false
	}
	if at, ok := s.unfit(text); ok {
		at.refuse("holds a byte that is no text", "save the file as UTF-8")
		return nil, false
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		s.refuse(err.Error(), "")
		return nil, false
	}
	var doc, next yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF): // nothing but comments
		return nil, true
	case err != nil:
		s.syntax(err)
		return nil, false
	}
	if err := loader.Load(&next); !errors.Is(err, io.EOF) {
		s.refuse("holds more than one document, or ends in what is none", "leave out the lines ---")
		return nil, false
	}
	root := &doc
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	s.plain(root)
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" || refersOn(root) {
		return nil, true
	}
	return s.at(root).mapping(root, fields), true
}

// unfit finds the first byte that a text of UTF-8 does not have.
func (s spot) unfit(text []byte) (spot, bool) {
	s.line, s.column = 1, 0
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		s.column++
		switch {
		case r == '\n':
			s.line, s.column = s.line+1, 0
		case r == utf8.RuneError && size == 1, unicode.IsControl(r) && r != '\t' && r != '\r':
			return s, true
		}
		text = text[size:]
	}
	return s, false
}

// syntax notes that a file is no YAML.
func (s spot) syntax(err error) {
	why, broken := err.Error(), (*yaml.LoadError)(nil)
	if errors.As(err, &broken) {
		why = broken.Message
		if broken.Mark.Line > 0 {
			s.line, s.column = broken.Mark.Line, max(1, broken.Mark.Column)
		}
	}
	// These two repeat what the file holds: it may be a password without quotes.
	switch {
	case strings.Contains(why, "anchor"), strings.Contains(why, "alias"):
		why = "* begins an alias, which is not understood here"
	case strings.Contains(why, "`"):
		why = "! begins a tag, which is not understood here"
	}
	s.refuse("is no YAML: "+why, "a text that begins with one of *&!%@`#{[ or holds \": \" needs quotes")
}

// environment reads the variables over what the file says.
func (s spot) environment(c *Config, env []string) {
	given := map[string]string{}
	var names []string
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		if _, twice := given[name]; twice || value == "" || !strings.HasPrefix(name, variablePrefix) {
			continue
		}
		given[name] = value
		names = append(names, name)
	}
	kinds := map[string]kind{}
	for _, k := range keys(c.fields(), "") {
		kinds[k.path] = k.kind
	}
	for name, path := range shortVariables() {
		s.variable(name, given[name], path, kinds[path])
	}
	if password := given[passwordVariable]; password != "" {
		c.Defaults.Password = Secret{value: &password, from: passwordVariable}
	}
	for _, k := range keys(c.fields(), "") {
		s.variable(variable(k.path), given[variable(k.path)], k.path, k.kind)
	}
	s.unknownVariables(names, knownVariables(c))
	if given[sourcesVariable] != "" {
		s.elsewhere(sourcesVariable, "").warn("sources are in the file, or found by their labels", "")
	}
}

// knownVariables are all that there are, and the one that there is not, of
// which more can be said.
func knownVariables(c *Config) []string {
	known := []string{fileVariable, passwordVariable, sourcesVariable}
	for _, k := range keys(c.fields(), "") {
		known = append(known, variable(k.path))
	}
	return append(known, slices.Sorted(maps.Keys(shortVariables()))...)
}

func (s spot) variable(name, text, path string, k kind) {
	if text != "" {
		s.elsewhere(name, path).given(k, text)
	}
}

// elsewhere is the spot of a key that is not in the file.
func (s spot) elsewhere(place, path string) spot {
	return spot{reader: s.reader, place: place, path: path}
}

// given reads a text that is not in the file.
func (s spot) given(k kind, text string) {
	s.seen[s.path] = s
	if n := nodeOf(k, s, text); n != nil {
		k.read(s, n)
	}
}

func (s spot) unknownVariables(names, known []string) {
	isKnown := map[string]bool{}
	for _, k := range known {
		isKnown[k] = true
	}
	for _, name := range names {
		if isKnown[name] {
			continue
		}
		hint := ""
		if near := nearest(name, known); near != "" {
			hint = "did you mean " + near + "?"
		}
		s.elsewhere(shorten(name), "").warn("no such variable: it changes nothing", hint)
	}
}

// options reads the command line's over all else.
func (s spot) options(c *Config, options []Option) {
	for _, o := range options {
		known := false
		for _, k := range keys(c.fields(), "") {
			if k.path == o.Key {
				known = true
				s.elsewhere(o.Name, k.path).given(k.kind, o.Text)
			}
		}
		if !known {
			s.elsewhere(o.Name, "").refuse(fmt.Sprintf("no key is named %s", o.Key), "")
		}
	}
}

package config

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// reader collects what is wrong while all is read.
type reader struct {
	file          string
	checkSchedule func(string) error
	faults        []Fault
	warnings      []Warning
	seen          map[string]spot // where the value of each key was given last
}

// spot is a value: where it is, and the path of its key.
type spot struct {
	*reader
	place        string // where it is not in the file
	path         string
	line, column int
}

// in is the spot of a value below this one.
func (s spot) in(name string, n *yaml.Node) spot {
	below := s
	below.path = name
	if s.path != "" {
		below.path = s.path + "." + name
	}
	return below.at(n)
}

// at is the same key at the position of another node.
func (s spot) at(n *yaml.Node) spot {
	if n != nil && n.Line > 0 {
		s.line, s.column = n.Line, n.Column
	}
	return s
}

// where is the place in words.
func (s spot) where() string {
	switch {
	case s.place != "":
		return s.place
	case s.line == 0:
		return s.file
	default:
		return fmt.Sprintf("%s:%d:%d", s.file, s.line, s.column)
	}
}

// enough is the number of faults after which no more are looked for.
const enough = 100

// refuse notes a fault of this value.
func (s spot) refuse(why, hint string) {
	if s.full() {
		return
	}
	s.faults = append(s.faults, Fault{Place: s.where(), Key: s.path, Why: why, Hint: hint, line: s.line, column: s.column})
}

func (s spot) full() bool { return len(s.faults) >= enough }

// warn notes what may not be meant.
func (s spot) warn(why, hint string) {
	s.warnings = append(s.warnings, Warning{Place: s.where(), Key: s.path, Why: why, Hint: hint})
}

// mapping returns the values of a mapping by their keys, and refuses every key
// that is not one of these.
func (s spot) mapping(n *yaml.Node, fields []field) map[string]*yaml.Node {
	if n.Kind != yaml.MappingNode {
		s.refuse(isA(n)+" where keys with values belong", "")
		return nil
	}
	values, first := map[string]*yaml.Node{}, map[string]spot{}
	for i := 0; i+1 < len(n.Content) && !s.full(); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			s.at(k).refuse(isA(k)+" where the name of a key belongs", "")
			continue
		}
		name := k.Value
		at := s.in(shorten(name), k)
		switch known := slices.ContainsFunc(fields, func(f field) bool { return f.name == name }); {
		case !known:
			why, hint := unknownKey(name, fields)
			at.refuse(why, hint)
		case values[name] != nil:
			at.refuse("given twice: before at "+first[name].where(), "leave one of them out")
		default:
			values[name], first[name] = v, at
		}
	}
	return values
}

// read reads the values of a mapping in the order of the fields.
func (s spot) read(values map[string]*yaml.Node, fields []field) {
	for _, f := range fields {
		n := values[f.name]
		if n == nil || refersOn(n) {
			continue // the latter has been refused already
		}
		at := s.in(f.name, n)
		s.seen[at.path] = at
		f.kind.read(at, n)
	}
}

// unknownKey says why a key is not one, and what it was meant to be.
func unknownKey(name string, fields []field) (why, hint string) {
	names := namesOf(fields)
	if file := fileFor(name); slices.Contains(names, file) {
		return "a secret does not belong here", "put it into a file of its own and give the path: " + file
	}
	const why0 = "no such key"
	if near := nearest(name, names); near != "" {
		return why0, "did you mean " + near + "?"
	}
	for _, p := range places() {
		if slices.Contains(p.names, name) {
			return why0 + " here", "it belongs " + p.where
		}
	}
	for _, p := range places() {
		if near := nearest(name, p.names); near != "" {
			return why0, "did you mean " + near + "? It belongs " + p.where
		}
	}
	return why0, "keys here: " + join(names, "and")
}

// place is where in the file keys belong.
type place struct {
	names []string
	where string
}

func places() []place {
	c := builtin()
	return []place{
		{namesOf(c.fields()), "at the top level"},
		{namesOf(c.Defaults.fields()), "below defaults, or in a source"},
		{namesOf(new(Source).fields()), "in a source"},
		{namesOf(c.Notify.fields()), "below notify"},
		{namesOf(c.Status.fields()), "below status"},
		{namesOf(c.Log.fields()), "below log"},
		{namesOf(policyFields(&c.Defaults.Retention)), "below retention"},
	}
}

// fileFor is the key of the file for a secret that is given itself, or "".
func fileFor(name string) string {
	switch name {
	case "password", "pass", "secret", "requirepass":
		return "password_file"
	case "urls", "url":
		return "urls_file"
	}
	return ""
}

func namesOf(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// scalar is the text of a plain value.
func (s spot) scalar(n *yaml.Node, wanted string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		s.refuse(isA(n)+" where "+wanted+" belongs", "")
	case n.Tag == "!!null" || n.Value == "":
		s.refuse("is empty", "give "+wanted+", or leave the key out")
	case unprintable(n.Value):
		s.refuse("holds a control character", "")
	default:
		return n.Value, true
	}
	return "", false
}

// isA names what a node is.
func isA(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	}
	return "a text"
}

// refersOn says whether a value is made of more than what is written there.
func refersOn(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0
}

// plain refuses what makes a value mean more than what is written there. What
// an anchor or an alias is called may be a secret that was not put in quotes.
func (s spot) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		s.at(n).refuse("* begins an alias, which is not understood here", "write the value out; a text that begins with * needs quotes")
	case n.Anchor != "":
		s.at(n).refuse("& begins an anchor, which is not understood here", "leave it out; a text that begins with & needs quotes")
	case n.Style&yaml.TaggedStyle != 0:
		s.at(n).refuse("! begins a tag, which is not understood here", "leave it out; a text that begins with ! needs quotes")
	}
	for _, below := range n.Content {
		if s.full() {
			return
		}
		s.plain(below)
	}
}

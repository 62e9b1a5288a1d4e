package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// kind is what a value may be. One of a pointer to a field reads it from a node
// and shows it as one that reads the same.
type kind interface {
	read(spot, *yaml.Node)
	show() *yaml.Node // nil: there is nothing to show
}

// texted is a kind whose text, in a variable, a label or an option, is not
// simply its value in the file.
type texted interface {
	node(spot, string) *yaml.Node // nil: it was refused
}

// nodeOf makes a node of a text that is not in the file.
func nodeOf(k kind, s spot, text string) *yaml.Node {
	if t, ok := k.(texted); ok {
		return t.node(s, text)
	}
	return scalarNode("!!str", text)
}

func scalarNode(tag, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

// text is any text that passes its check.
type text struct {
	to    *string
	check check
}

func (t text) read(s spot, n *yaml.Node) {
	value, ok := s.scalar(n, "a text")
	if !ok {
		return
	}
	if t.check != nil {
		if why, hint := t.check(value); why != "" {
			s.refuse(why, hint)
			return
		}
	}
	*t.to = value
}

func (t text) show() *yaml.Node {
	if *t.to == "" {
		return nil
	}
	return scalarNode("!!str", *t.to)
}

// optional is a text, or off.
type optional struct{ text }

func (o optional) read(s spot, n *yaml.Node) {
	if isOff(n) {
		*o.to = ""
		return
	}
	o.text.read(s, n)
}

func (o optional) show() *yaml.Node {
	if *o.to == "" {
		return scalarNode("!!str", "off")
	}
	return o.text.show()
}

func isOff(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Value == "off" }

// schedule is a text that the given function understands.
type schedule struct{ to *string }

func (k schedule) read(s spot, n *yaml.Node) {
	value, ok := s.scalar(n, "a schedule")
	if !ok {
		return
	}
	if s.checkSchedule != nil {
		if err := s.checkSchedule(value); err != nil {
			s.refuse(fmt.Sprintf("%q: %v", value, err), `like "15 3 * * *", @daily or @every 6h`)
			return
		}
	}
	*k.to = value
}

func (k schedule) show() *yaml.Node { return scalarNode("!!str", *k.to) }

// named is a word and what it stands for.
type named[T comparable] struct {
	word  string
	value T
}

// same are words that stand for themselves.
func same[T ~string](words ...T) []named[T] {
	var all []named[T]
	for _, w := range words {
		all = append(all, named[T]{string(w), w})
	}
	return all
}

// word is one of some words.
type word[T comparable] struct {
	to    *T
	words []named[T]
}

func (w word[T]) read(s spot, n *yaml.Node) {
	var names []string
	for _, known := range w.words {
		names = append(names, known.word)
	}
	given, ok := s.scalar(n, join(names, "or"))
	if !ok {
		return
	}
	at := slices.Index(names, given)
	if at < 0 {
		s.refuse(notOne(given, names))
		return
	}
	*w.to = w.words[at].value
}

func (w word[T]) show() *yaml.Node {
	for _, known := range w.words {
		if known.value == *w.to {
			return scalarNode("!!str", known.word)
		}
	}
	return nil
}

// flag is true or false.
type flag struct{ to *bool }

func (flag) node(_ spot, value string) *yaml.Node {
	if value == "true" || value == "false" {
		return scalarNode("!!bool", value)
	}
	return scalarNode("!!str", value)
}

func (f flag) read(s spot, n *yaml.Node) {
	value, ok := s.scalar(n, "true or false")
	switch {
	case !ok:
	case n.Tag == "!!bool" && (value == "true" || value == "false"):
		*f.to = value == "true"
	case value == "true" || value == "false":
		s.refuse("a text where true or false belongs", "leave out the quotes")
	default:
		s.refuse(notOne(value, []string{"true", "false"}))
	}
}

func (f flag) show() *yaml.Node { return scalarNode("!!bool", strconv.FormatBool(*f.to)) }

// detail is a flag that means something only where another is true.
type detail struct {
	flag
	of *bool
}

func (d detail) show() *yaml.Node {
	if !*d.of {
		return nil
	}
	return d.flag.show()
}

// number is a whole number between two.
type number struct {
	to          *int
	least, most int
}

func (number) node(_ spot, value string) *yaml.Node { return scalarNode("!!int", value) }

func (k number) read(s spot, n *yaml.Node) {
	value, ok := s.scalar(n, "a number")
	if !ok {
		return
	}
	i, err := strconv.Atoi(value)
	switch {
	case n.Tag != "!!int" || err != nil || value != strconv.Itoa(i):
		s.refuse(fmt.Sprintf("%q is not a whole number", shorten(value)), "")
	case i < k.least || i > k.most:
		s.refuse(fmt.Sprintf("%d is not between %d and %d", i, k.least, k.most), "")
	default:
		*k.to = i
	}
}

func (k number) show() *yaml.Node { return scalarNode("!!int", strconv.Itoa(*k.to)) }

// span is a duration, or a word that stands for one.
type span struct {
	to    *time.Duration
	zero  bool   // it may be 0s
	word  string // or ""
	value time.Duration
}

func (k span) read(s spot, n *yaml.Node) {
	given, ok := s.scalar(n, "a duration")
	if !ok {
		return
	}
	if k.word != "" && given == k.word {
		*k.to = k.value
		return
	}
	d, err := ParseDuration(given)
	if err == nil && (d > 0 || k.zero) {
		*k.to = d
		return
	}
	why, hint := "would be nothing", ""
	if err != nil {
		why = fmt.Sprintf("%q: %v", shorten(given), err)
	}
	if k.word != "" {
		hint = "or " + k.word
	}
	s.refuse(why, hint)
}

func (k span) show() *yaml.Node {
	if k.word != "" && *k.to == k.value {
		return scalarNode("!!str", k.word)
	}
	return scalarNode("!!str", FormatDuration(*k.to))
}

// verify is always, never, or "every N".
type verify struct{ to *Verify }

func (k verify) read(s spot, n *yaml.Node) {
	const most = 1000
	value, ok := s.scalar(n, "always, never or every N")
	if !ok {
		return
	}
	every, counted := strings.CutPrefix(value, "every ")
	i, err := strconv.Atoi(every)
	switch {
	case value == "always":
		*k.to = 1
	case value == "never":
		*k.to = 0
	case counted && err == nil && i >= 1 && i <= most && every == strconv.Itoa(i):
		*k.to = Verify(i)
	case counted:
		s.refuse(fmt.Sprintf("%q: not a number between 1 and %d", shorten(value), most), "every 7 verifies each seventh snapshot")
	default:
		s.refuse(notOne(value, []string{"always", "never", "every N"}))
	}
}

func (k verify) show() *yaml.Node { return scalarNode("!!str", k.to.String()) }

// String is the word for it.
func (v Verify) String() string {
	switch v {
	case 0:
		return "never"
	case 1:
		return "always"
	}
	return fmt.Sprintf("every %d", int(v))
}

package config

import (
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/redisbak/redisbak/retention"
)

// section is a mapping of its own.
type section struct{ fields []field }

func (k section) read(s spot, n *yaml.Node) { s.read(s.mapping(n, k.fields), k.fields) }

func (k section) show() *yaml.Node { return mappingNode(k.fields) }

func mappingNode(fields []field) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range fields {
		if v := f.kind.show(); v != nil {
			m.Content = append(m.Content, scalarNode("!!str", f.name), v)
		}
	}
	if len(m.Content) == 0 {
		return nil
	}
	return m
}

// list is a list of texts, none of them twice.
type list[T ~string] struct {
	to    *[]T
	check check
}

// node reads a list with commas: none of these texts can hold one.
func (list[T]) node(_ spot, value string) *yaml.Node { return listNode(strings.Split(value, ",")) }

func listNode(words []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, w := range words {
		n.Content = append(n.Content, scalarNode("!!str", strings.TrimSpace(w)))
	}
	return n
}

func (k list[T]) read(s spot, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		s.refuse(isA(n)+" where a list belongs", "like [a, b]")
		return
	}
	if len(n.Content) > enough {
		s.refuse("is longer than 100", "")
		return
	}
	var all []T
	for _, item := range n.Content {
		at := s.at(item)
		value, ok := at.scalar(item, "a text")
		if !ok {
			continue
		}
		if why, hint := k.check(value); why != "" {
			at.refuse(why, hint)
		} else if slices.Contains(all, T(value)) {
			at.refuse(value+" is there twice", "")
		} else {
			all = append(all, T(value))
		}
	}
	*k.to = all
}

func (k list[T]) show() *yaml.Node {
	var words []string
	for _, w := range *k.to {
		words = append(words, string(w))
	}
	return listNode(words)
}

// policy is a retention, or off.
type policy struct{ to *retention.Policy }

func policyFields(p *retention.Policy) []field {
	const most = 1_000_000
	count := func(name string, to *int) field { return field{name, number{to, 1, most}} }
	return []field{
		count("last", &p.Last), count("hourly", &p.Hourly), count("daily", &p.Daily),
		count("weekly", &p.Weekly), count("monthly", &p.Monthly), count("yearly", &p.Yearly),
		{"within", span{&p.Within, false, "", 0}},
		{"tags", list[string]{&p.Tags, tag}},
	}
}

// node reads "last=3,daily=7,tags=a b".
func (k policy) node(s spot, value string) *yaml.Node {
	if value == "off" {
		return scalarNode("!!str", value)
	}
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	fields := policyFields(new(retention.Policy))
	for rule := range strings.SplitSeq(value, ",") {
		name, count, ok := strings.Cut(strings.TrimSpace(rule), "=")
		if !ok {
			s.refuse(notOne(rule, []string{"off", "rules like last=3,daily=7"}))
			return nil
		}
		v := scalarNode("!!str", count)
		if name == "tags" {
			v = listNode(strings.Fields(count))
		} else if at := slices.IndexFunc(fields, func(f field) bool { return f.name == name }); at >= 0 {
			v = nodeOf(fields[at].kind, s, count)
		}
		m.Content = append(m.Content, scalarNode("!!str", name), v)
	}
	return m
}

func (k policy) read(s spot, n *yaml.Node) {
	if isOff(n) {
		*k.to = retention.Policy{}
		return
	}
	if n.Kind != yaml.MappingNode {
		s.refuse(isA(n)+" where a retention belongs", "like {last: 3, daily: 7}, or off")
		return
	}
	var p retention.Policy
	before, fields := len(s.faults), policyFields(&p)
	s.read(s.mapping(n, fields), fields)
	if len(s.faults) > before {
		return
	}
	if err := p.Validate(); err != nil {
		why, policy := err.Error(), (*retention.PolicyError)(nil)
		if errors.As(err, &policy) {
			why = strings.TrimSpace(policy.Rule + " " + policy.Why)
		}
		s.refuse(why, "like {last: 3, daily: 7}, or off: nothing is pruned")
		return
	}
	*k.to = p
}

func (k policy) show() *yaml.Node {
	if k.to.Empty() {
		return scalarNode("!!str", "off")
	}
	var given []field
	for _, f := range policyFields(k.to) {
		switch to := f.kind.(type) {
		case number:
			if *to.to == 0 {
				continue
			}
		case span:
			if *to.to == 0 {
				continue
			}
		case list[string]:
			if len(*to.to) == 0 {
				continue
			}
		}
		given = append(given, f)
	}
	m := mappingNode(given)
	m.Style = yaml.FlowStyle
	return m
}

// sources is the list of sources.
type sources struct{ c *Config }

func (k sources) show() *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for i := range k.c.Sources {
		n.Content = append(n.Content, mappingNode(k.c.Sources[i].fields()))
	}
	if len(n.Content) == 0 {
		return nil
	}
	return n
}

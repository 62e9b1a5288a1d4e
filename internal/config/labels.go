package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// enableLabel makes a container a source.
const enableLabel = labelPrefix + "enable"

// ours are the labels of redisbak's own containers and volumes, which nobody
// writes by hand.
func ours() []string {
	return []string{labelPrefix + "role", labelPrefix + "repo", labelPrefix + "run", labelPrefix + "made"}
}

// FromLabels makes a Source of a container's labels, over the defaults; enabled
// says whether they ask for it. A label that cannot be meant is an *Error
// whether they do or not: a mistyped one is most often the one that asks.
func FromLabels(container string, labels map[string]string, defaults Settings, checkSchedule func(string) error) (source Source, enabled bool, warnings []Warning, err error) {
	r := &reader{checkSchedule: checkSchedule, seen: map[string]spot{}}
	s := spot{reader: r, place: "container " + container}
	values := map[string]*yaml.Node{"container": scalarNode("!!str", container)}
	source = Source{Settings: defaults}
	fields := labelFields(&source)
	known := []string{enableLabel}
	for _, f := range fields {
		known = append(known, label(f.name))
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		at := s.elsewhere(s.place+", label "+shorten(name), "")
		key := strings.ReplaceAll(strings.TrimPrefix(name, labelPrefix), "-", "_")
		field := slices.IndexFunc(fields, func(f field) bool { return label(f.name) == name })
		switch {
		case !strings.HasPrefix(name, labelPrefix) || slices.Contains(ours(), name):
		case name == enableLabel:
			n := flag{}.node(at, labels[name])
			flag{&enabled}.read(at, n)
		case key == "ping_url":
			at.refuse("a secret does not belong here", "put it into a file of its own and give the path: "+label("ping_url_file"))
		case field < 0:
			refuseLabel(at, name, known)
		default:
			values[fields[field].name] = scalarNode("!!str", labels[name])
			at.given(fields[field].kind, labels[name])
		}
	}
	if enabled {
		s.labelled(&source, container, func(key string) bool { return values[key] != nil })
	}
	if err := failure(r.faults); err != nil {
		return Source{}, enabled, r.warnings, err
	}
	if !enabled {
		return Source{}, false, r.warnings, nil
	}
	return source, true, r.warnings, nil
}

// labelFields are the keys of a source that are labels.
func labelFields(source *Source) []field {
	return slices.DeleteFunc(source.fields(), func(f field) bool { return f.name == "container" || f.name == "ping_url" })
}

func refuseLabel(at spot, name string, known []string) {
	key := strings.TrimPrefix(name, labelPrefix)
	if file := fileFor(key); file == "password_file" {
		at.refuse("a secret does not belong here", "put it into a file of its own and give the path: "+label(file))
		return
	}
	hint := "labels here: " + join(known, "and")
	if near := nearest(key, trimmed(known)); near != "" {
		hint = "did you mean " + labelPrefix + near + "?"
	}
	at.refuse("no such label", hint)
}

func trimmed(labels []string) []string {
	var all []string
	for _, l := range labels {
		all = append(all, strings.TrimPrefix(l, labelPrefix))
	}
	return all
}

// labelled settles what only all labels together show.
func (s spot) labelled(source *Source, container string, given func(string) bool) {
	source.Container = container
	if source.Name == "" && !given("name") {
		if why, _ := sourceName(container); why != "" {
			s.refuse(why, fmt.Sprintf("give it another name: %s", label("name")))
			return
		}
		source.Name = container
	}
	s.settings(source, given)
}

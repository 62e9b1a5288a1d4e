package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// read is the walk over a source's part; the list is read after all else.
func (sources) read(spot, *yaml.Node) {}

// sources reads the list of them.
func (s spot) sources(c *Config, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		s.refuse(isA(n)+" where a list of sources belongs", "like - {name: sessions, container: redis-server}")
		return
	}
	named := map[string]spot{}
	for i, item := range n.Content {
		if s.full() {
			return
		}
		at := s.at(item)
		at.path = fmt.Sprintf("%s[%d]", s.path, i)
		source, ok := at.source(c.Defaults, item)
		if !ok {
			continue
		}
		if first, twice := named[source.Name]; twice {
			at.refuse(fmt.Sprintf("the name %s is that of another source, at %s", source.Name, first.where()), "give one of them another name")
			continue
		}
		named[source.Name] = at
		c.Sources = append(c.Sources, source)
	}
}

// source reads one of them over the defaults; ok says that it has a name.
func (s spot) source(defaults Settings, n *yaml.Node) (Source, bool) {
	if refersOn(n) {
		return Source{}, false
	}
	source := Source{Settings: defaults}
	values := s.mapping(n, source.fields())
	if values == nil {
		return source, false
	}
	s.read(values, source.fields())
	given := func(key string) bool { return values[key] != nil }
	if given("ping_url") && given("ping_url_file") {
		s.refuse("ping_url and ping_url_file are both given", "leave one of them out")
	}
	switch {
	case !given("container"):
		s.refuse("no container is named", "container: its name or its id")
		return source, false
	case source.Container == "":
		return source, false // it has been refused
	case !given("name"):
		if why, _ := sourceName(source.Container); why != "" {
			s.refuse(why, "give it another name: name")
			return source, false
		}
		source.Name = source.Container
	}
	s.settings(&source, given)
	return source, source.Name != ""
}

// settings settles what only all keys of a source together show.
func (s spot) settings(source *Source, given func(string) bool) {
	if !source.Password.Set() && !given("username") {
		source.Username = "" // the defaults' user, whose password was switched off
	}
	own := false
	for _, key := range []string{"tls_ca", "tls_cert", "tls_key", "tls_server_name", "tls_insecure"} {
		own = own || given(key)
	}
	if !source.TLS.On && given("tls") && !own {
		source.TLS = TLS{} // the defaults' TLS, which was switched off
	}
	s.access(source.Settings)
	t := source.TLS
	if t.On && t.ServerName == "" && source.Address == "" && !t.Insecure {
		s.refuse("tls: which name the server's certificate must have is not known", "give tls_server_name, or address")
	}
}

// access refuses what would be left out without a word.
func (s spot) access(k Settings) {
	t := k.TLS
	switch details := t; {
	case !t.On && details != (TLS{}):
		s.refuse("keys of TLS without tls: true: the server would be spoken to in the clear", "add tls: true")
	case (t.Cert == "") != (t.Key == ""):
		s.refuse("tls_cert and tls_key belong together: one of them is missing", "")
	}
	if k.Username != "" && !k.Password.Set() {
		s.refuse("a user without a password", "add password_file")
	}
}

// together looks at what no value shows by itself.
func (s spot) together(c *Config) {
	last := func(path string, others ...string) spot {
		for _, p := range append([]string{path}, others...) {
			if at, ok := s.seen[p]; ok {
				at.path = path
				return at
			}
		}
		return s.elsewhere(s.file, path)
	}
	last("defaults", "defaults.tls", "defaults.username").access(c.Defaults)
	if (c.Status.User == "") != !c.Status.Password.Set() && s.sound("status.user", "status.password_file") {
		last("status", "status.user", "status.password_file").refuse("user and password_file belong together: one of them is missing", "")
	}
	if c.Listen != "" && c.Status.User == "" && !isLoopback(c.Listen) {
		last("listen").warn("everybody who reaches "+c.Listen+" can read the page and the metrics", "listen on 127.0.0.1, or give status.user and status.password_file")
	}
	if _, given := s.seen["notify.on"]; given && !c.Notify.URLs.Set() && s.sound("notify.urls_file") {
		last("notify.on").warn("nobody is told: there is no notify.urls_file", "")
	}
	if _, given := s.seen["sources"]; !given && len(c.Sources) == 0 && !c.Discover && len(s.faults) == 0 {
		s.refuse("there is nothing to do: no sources, and discover is off", "name a source, or discover: labels")
	}
}

// sound says whether none of these keys has been refused: what does not fit
// such a one may well fit what was meant.
func (s spot) sound(paths ...string) bool {
	for _, f := range s.faults {
		for _, p := range paths {
			if f.Key == p {
				return false
			}
		}
	}
	return true
}

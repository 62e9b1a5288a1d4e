package config

import (
	"path/filepath"

	"go.yaml.in/yaml/v4"
)

// hidden stands in Show for a secret that the file holds itself. It is refused
// where it is read: a configuration that was saved from there would else tell
// nobody, and not say so.
const hidden = "(hidden)"

// secretFile is the path of a file with a secret. Nothing that is given here is
// ever repeated: it may be the secret.
type secretFile struct {
	to    *Secret
	off   bool  // off stands for none, also where the defaults have one
	check check // of what the file holds; may be nil
}

func (k secretFile) read(s spot, n *yaml.Node) {
	if k.off && isOff(n) {
		*k.to = Secret{}
		return
	}
	path, ok := s.secretPath(n, k.check)
	if ok {
		*k.to = Secret{file: path}
	}
}

func (k secretFile) show() *yaml.Node {
	switch {
	case k.to.file != "":
		return scalarNode("!!str", k.to.file)
	case k.off && k.to.value == nil:
		return scalarNode("!!str", "off")
	}
	return nil
}

// secretPath reads the path of a file that is there, holds something, and is
// not for everybody's eyes.
func (s spot) secretPath(n *yaml.Node, content check) (string, bool) {
	path, ok := s.scalar(n, "the path of a file")
	if !ok {
		return "", false
	}
	if !filepath.IsAbs(path) {
		s.refuse("is not an absolute path", "the secret itself does not belong here: put it into a file and give its path")
		return "", false
	}
	secret, mode, err := readSecret(path)
	if err != nil {
		s.refuse("the file "+err.Error(), "")
		return "", false
	}
	if content != nil {
		if why, hint := content(secret); why != "" {
			s.refuse("what the file holds "+why, hint)
			return "", false
		}
	}
	if mode.Perm()&0o004 != 0 && !byEngine(path) {
		s.warn("everybody on the host can read the file "+path, "chmod o= "+path)
	}
	return path, true
}

// secretURL is a URL that may hold a secret.
type secretURL struct {
	to *Secret
}

func (k secretURL) read(s spot, n *yaml.Node) {
	value, ok := s.scalar(n, "a URL")
	if !ok {
		return
	}
	if why, hint := urlFault(value); why != "" {
		s.refuse(why, hint)
		return
	}
	*k.to = Secret{value: &value, from: s.path}
}

func (k secretURL) show() *yaml.Node {
	if k.to.value == nil {
		return nil
	}
	return scalarNode("!!str", hidden)
}

// filePath is the path of a file that must be there: a certificate, a key.
type filePath struct {
	to     *string
	secret bool
}

func (k filePath) read(s spot, n *yaml.Node) {
	if k.secret {
		if path, ok := s.secretPath(n, nil); ok {
			*k.to = path
		}
		return
	}
	path, ok := s.scalar(n, "the path of a file")
	if !ok {
		return
	}
	if why, hint := absolute(path); why != "" {
		s.refuse(why, hint)
		return
	}
	if _, _, err := readSecret(path); err != nil {
		s.refuse("the file "+err.Error(), "")
		return
	}
	*k.to = path
}

func (k filePath) show() *yaml.Node {
	if *k.to == "" {
		return nil
	}
	return scalarNode("!!str", *k.to)
}

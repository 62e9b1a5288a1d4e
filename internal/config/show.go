package config

import (
	"bytes"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"
)

// Show writes the effective configuration as YAML: every key that has a value,
// in the order of the documents, with the defaults applied to each source. It
// parses to the same Config, unless the file holds a secret itself: that is
// written as (hidden), and refused when it is read.
func (c *Config) Show(w io.Writer) error {
	text, err := yaml.Dump(mappingNode(c.fields()), yaml.WithLineWidth(-1))
	if err != nil {
		return err
	}
	if c.Defaults.Password.value != nil {
		text = append([]byte("# The defaults' password is "+c.Defaults.Password.String()+".\n"), text...)
	}
	_, err = w.Write(text)
	return err
}

// String is what Show writes.
func (c *Config) String() string {
	var b bytes.Buffer
	if err := c.Show(&b); err != nil {
		return "configuration that cannot be shown: " + err.Error()
	}
	return b.String()
}

// GoString is what Show writes.
func (c *Config) GoString() string { return c.String() }

// MarshalYAML is what Show writes.
func (c *Config) MarshalYAML() (any, error) { return mappingNode(c.fields()), nil }

// String is the source as Show writes it.
func (s Source) String() string {
	text, err := yaml.Dump(mappingNode(s.fields()), yaml.WithLineWidth(-1))
	if err != nil {
		return fmt.Sprintf("source %s that cannot be shown: %v", s.Name, err)
	}
	return string(text)
}

// GoString is what String writes.
func (s Source) GoString() string { return s.String() }

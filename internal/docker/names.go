package docker

import (
	"fmt"
	"regexp"
)

// objectName is what the engine takes as the name of a container or volume.
var objectName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// ValidName refuses what the engine would refuse as the name of a new
// container or volume, before anything is done for it.
func ValidName(name string) error {
	if !objectName.MatchString(name) {
		return fmt.Errorf("%q: not a name of two or more of a-z A-Z 0-9 _ . - that begins with a letter or digit", name)
	}
	return nil
}

// ValidPublish refuses ports to publish that cannot be understood. The error
// is a *PublishError.
func ValidPublish(specs []string) error {
	_, _, err := publish(specs)
	return err
}

package backup

import (
	"fmt"

	"github.com/redisbak/redisbak/internal/repo"
)

// rival says that two containers write snapshots of one source in turn, or
// nothing: two hosts, or two projects, with a container of the same name. A
// container that was made anew takes the place of the old one for good, and is
// none. history is newest first.
func rival(container string, history []repo.Entry) string {
	if len(history) == 0 || history[0].Manifest.Source.ContainerID == container {
		return ""
	}
	other := history[0].Manifest.Source
	for _, e := range history {
		if e.Manifest.Source.ContainerID == container {
			return fmt.Sprintf("source %q is shared by two containers: %s is of %q (%.12s), older ones are of this one; "+
				"give each a source of its own: --source, or the label redisbak.name", other.Name, history[0].Manifest.ID, other.Container, other.ContainerID)
		}
	}
	return ""
}

package restore

import (
	"fmt"
	"time"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// Plan is what a restore will do. It can be printed before anything changes;
// Run carries out exactly this.
type Plan struct {
	Entry       repo.Entry
	Volume      string
	Create      bool   // the volume does not exist yet
	Destination string // mount point of the volume
	Layout      string // one of snapshot's layouts
	Image       Image
	Dirs        []snapshot.Dir // below the volume's root, outermost first
	Pieces      []Piece        // the one without which a server would see none comes last
	Convert     bool           // the one piece is the dump that a boot of the snapshot saves
	Verify      bool           // boot a throw-away copy first
	Start       *Start
	Expired     int64 // keys that the server will drop as it loads: their time has come
	Warnings    []string
	Steps       []Step

	replaces string // run of the killed restore whose volume is begun anew
}

// Step is one thing that the plan does.
type Step struct {
	Action string // one of the Action constants
	Detail string
}

// Actions of a step, in the order in which they come.
const (
	ActionCheck   = "check"
	ActionVerify  = "verify"
	ActionConvert = "convert"
	ActionCreate  = "create"
	ActionStage   = "stage"
	ActionReread  = "re-read"
	ActionStart   = "start"
)

func (s Step) String() string { return fmt.Sprintf("%-8s %s", s.Action, s.Detail) }

// Image is the image whose server will load the data.
type Image struct {
	ID  string
	Ref string
}

// Piece is one file that is laid down.
type Piece struct {
	snapshot.File        // Path: where it is to lie. Name: where it is in the snapshot
	Text          []byte // of a file that is not in the snapshot: Name is empty
}

// Start asks for a container on the restored volume.
type Start struct {
	Name    string
	Publish []string
}

// Keys that the plan expects the restored server to serve, nil where the
// snapshot does not know its own count.
func (p *Plan) Keys() *int64 {
	captured := p.Entry.Keys()
	if captured == nil {
		return nil
	}
	left := *captured - p.Expired
	return &left
}

// steps spells the plan out.
func (p *Plan) steps() []Step {
	id := p.Entry.Manifest.ID
	steps := []Step{{ActionCheck, fmt.Sprintf("every stored byte of %s against its checksums", id)}}
	if p.Verify {
		steps = append(steps, Step{ActionVerify, fmt.Sprintf("boot %s on a throw-away copy, image %s", id, p.Image.Ref)})
	}
	if p.Convert {
		steps = append(steps, Step{ActionConvert, fmt.Sprintf("have a boot of it on a throw-away copy save a dump, image %s", p.Image.Ref)})
	}
	into := "volume " + p.Volume
	if p.Create {
		steps = append(steps, Step{ActionCreate, into})
		into = "it"
	}
	for _, f := range p.Pieces {
		size := fmt.Sprintf("%d bytes, ", f.Size)
		if p.Convert {
			size = ""
		}
		steps = append(steps, Step{ActionStage, fmt.Sprintf("%s (%s%d:%d, %04o) into %s", f.Path, size, f.UID, f.GID, f.Mode, into)})
	}
	steps = append(steps, Step{ActionReread, "every byte of it and compare"})
	if p.Start != nil {
		steps = append(steps, Step{ActionStart, fmt.Sprintf("container %s on it, with the original's image and command line", p.Start.Name)})
	}
	return steps
}

// DefaultVolume is the name of the fresh volume of a restore of m.
func DefaultVolume(m *snapshot.Manifest) string {
	base := m.Source.Mount.Name
	if base == "" {
		base = m.Source.Name
	}
	return fmt.Sprintf("%s-recovery-%s", base, m.ID)
}

// DefaultContainer is the name of the container that Start makes for m.
func DefaultContainer(m *snapshot.Manifest) string {
	return fmt.Sprintf("%s-recovery-%s", m.Source.Name, m.ID)
}

// Result of a restore.
type Result struct {
	Plan      *Plan
	Proof     *snapshot.Proof // the one that stands for this layout, nil: none
	Container string          // name of the started container
	Keys      *int64          // served by it; without one, what Plan.Keys expects
	Took      time.Duration
}

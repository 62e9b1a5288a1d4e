package instance

import (
	"time"

	"github.com/redisbak/redisbak/internal/server"
)

// standstill is how long a server that was started may go without any sign of
// progress before it counts as one that will never serve.
const standstill = 2 * time.Minute

// patience is had with a server that loads, as long as it gets on: a limit for
// the whole would be too short for somebody's data.
type patience struct {
	loaded int64 // bytes, when it was last seen to get on
	since  time.Time
}

func newPatience(now time.Time) *patience { return &patience{since: now} }

// over takes what a server has said at a look, the zero Info if nothing, and
// says whether it has stood still for too long.
func (p *patience) over(now time.Time, info server.Info) bool {
	if info.LoadedBytes > p.loaded {
		p.loaded, p.since = info.LoadedBytes, now
	}
	return now.Sub(p.since) > standstill
}

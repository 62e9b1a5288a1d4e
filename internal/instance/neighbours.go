package instance

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redisbak/redisbak/internal/docker"
	"github.com/redisbak/redisbak/internal/server"
	"github.com/redisbak/redisbak/restore"
	"github.com/redisbak/redisbak/snapshot"
)

// A restored server must neither join the live ones that the original belonged
// to, nor be joined by them: either way, one side would throw its data away for
// the other's.

// neighbours says what the target's server will have to do with others. Where
// it would take their data over, Start is refused, and who starts it without us
// is warned.
func (t Target) neighbours(ctx context.Context, m *snapshot.Manifest, source *docker.Container, req restore.Request) ([]string, error) {
	warnings, err := t.joins(ctx, m, source, req.Start != nil)
	if err != nil || req.Start == nil {
		return warnings, err
	}
	apart, err := keptApart(m, source, req.Start)
	return append(warnings, apart...), err
}

// joins looks at whom the server joins by the way in which it starts. A replica
// takes its master's data of today in the place of the snapshot's. A node of a
// cluster joins nobody without its nodes.conf, which is in no snapshot.
func (t Target) joins(ctx context.Context, m *snapshot.Manifest, source *docker.Container, started bool) (warnings []string, err error) {
	if source == nil {
		return nil, nil // started by the image's own command line: it follows nobody
	}
	next, err := readStart(ctx, t.Engine, *source)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	why := ""
	switch {
	case err == nil && next.master() != "":
		why = fmt.Sprintf("container %q starts as a replica of %s by its %s", source.Name, next.master(), next.source)
	case err != nil && m.Server.Role == server.Replica:
		why = fmt.Sprintf("container %q was a replica when it was captured, and how it starts could not be read (%v)", source.Name, err)
	}
	if why != "" && started {
		return nil, &restore.ReplicaError{Why: why}
	}
	if why != "" {
		warnings = append(warnings, why+": started like that, it takes its master's data in the place of the restored ones")
	}
	if err == nil && isYes(next.options.first("cluster-enabled", "no")) {
		warnings = append(warnings, fmt.Sprintf("container %q starts in cluster mode: on the restored volume it is a node that knows no others, "+
			"and answers for keys only when all slots are served", source.Name))
	}
	return warnings, nil
}

// master is the server that a starting one replicates, "" if none.
func (s start) master() string {
	for _, name := range []string{"replicaof", "slaveof"} {
		words := strings.Fields(strings.Join(s.options[name], " "))
		if len(words) > 0 && !strings.EqualFold(strings.Join(words, " "), "no one") {
			return strings.Join(words, ":")
		}
	}
	return ""
}

// bridge is the network that containers join unless told otherwise, hostNetwork
// stands for no network of their own.
const (
	bridge      = "bridge"
	hostNetwork = "host"
)

// networks are those that a restored container joins: the source's.
//
// The engine gives the address of a container that is down to the next one that
// comes. Servers that know each other by address would take the restored one
// for the dead one: replicas would copy it, and lose what they have, a Sentinel
// would make it a replica. So what was one of several is kept off its networks.
func networks(m *snapshot.Manifest, source *docker.Container) []string {
	apart := company(m.Server) != ""
	if source == nil {
		if apart {
			return nil // on which networks its neighbours are is not known
		}
		return []string{bridge}
	}
	var own []string
	for _, n := range source.Networks {
		own = append(own, n.Name)
	}
	switch {
	case slices.Contains(own, hostNetwork):
		return []string{bridge} // its port is the source's
	case !apart:
		return own
	case len(own) == 0 || slices.Contains(own, bridge):
		return nil
	}
	return []string{bridge}
}

// company says what a captured server was to others, "" if nothing.
func company(s snapshot.Server) string {
	switch {
	case s.ClusterEnabled:
		return "a node of a cluster"
	case s.Role == server.Replica:
		return "a replica"
	case s.Replicas > 0:
		return "a master with replicas"
	}
	return ""
}

// keptApart tells that a restored container is kept off the source's networks.
func keptApart(m *snapshot.Manifest, source *docker.Container, start *restore.Start) ([]string, error) {
	was := company(m.Server)
	if was == "" {
		if source != nil && source.NetworkMode == hostNetwork {
			return []string{fmt.Sprintf("the source is on the host's network, and its port can be had only once: the restored container joins network %s instead", bridge)}, nil
		}
		return nil, nil
	}
	why := fmt.Sprintf("the source was %s when it was captured, and servers that know it by its address could take the restored one for it and copy its data", was)
	joined := networks(m, source)
	switch {
	case len(joined) > 0:
		return []string{fmt.Sprintf("%s: so it joins network %s instead of theirs", why, strings.Join(joined, ", "))}, nil
	case len(start.Publish) > 0:
		return nil, &restore.ApartError{Why: why}
	}
	return []string{why + ": so it joins no network"}, nil
}

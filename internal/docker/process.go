package docker

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
)

// Process is a server's main process, with the ids that the engine's host
// knows it by: where the engine maps user ids, those are not the container's.
type Process struct {
	PID   int
	UID   int
	GID   int
	Title string
	Port  int // 0: the title does not tell one
}

// ServerProcess finds the Redis or Valkey server of a container by the title
// that the server gives itself. A Sentinel is none, and neither is a child
// that the server forked. ErrNoServer: there is none.
func (e *Engine) ServerProcess(ctx context.Context, id string) (Process, error) {
	op := operation{method: http.MethodGet, path: "/containers/" + id + "/top", what: "list processes of container " + id, kind: "container", name: id}
	top, err := call(ctx, e, op, func(ctx context.Context) (container.TopResponse, error) {
		// The engine finds its rows by the column PID.
		return e.api.ContainerTop(ctx, id, []string{"-eo", "pid,ppid,uid,gid,args"})
	})
	if err != nil {
		return Process{}, err
	}
	p, err := serverProcess(top.Titles, top.Processes)
	if err != nil {
		return Process{}, fmt.Errorf("container %s: %w", id, err)
	}
	return p, nil
}

// serverProcess picks the one server out of the rows of a process list.
func serverProcess(titles []string, rows [][]string) (Process, error) {
	var columns [5]int
	for i, want := range []string{"PID", "PPID", "UID", "GID", "COMMAND"} {
		if columns[i] = slices.Index(titles, want); columns[i] < 0 {
			return Process{}, fmt.Errorf("process list without column %s", want)
		}
	}
	servers := map[int]Process{}
	parents := map[int]int{}
	for _, row := range rows {
		p, parent, ok := parseRow(row, columns)
		if ok && isServer(p.Title) {
			servers[p.PID] = p
			parents[p.PID] = parent
		}
	}
	// For an instant a forked child bears its parent's title.
	for pid, parent := range parents {
		if _, ok := servers[parent]; ok && parent != pid {
			delete(servers, pid)
		}
	}
	switch len(servers) {
	case 0:
		return Process{}, ErrNoServer
	case 1:
		for _, p := range servers {
			return p, nil
		}
	}
	several := &AmbiguousError{Kind: "server process"}
	for _, p := range servers {
		several.Matches = append(several.Matches, p.Title)
	}
	slices.Sort(several.Matches)
	return Process{}, several
}

func parseRow(row []string, columns [5]int) (p Process, parent int, ok bool) {
	numbers := [4]*int{&p.PID, &parent, &p.UID, &p.GID}
	for i, to := range numbers {
		if columns[i] >= len(row) {
			return p, parent, false
		}
		n, err := strconv.Atoi(row[columns[i]])
		if err != nil {
			return p, parent, false
		}
		*to = n
	}
	if columns[4] >= len(row) {
		return p, parent, false
	}
	p.Title = row[columns[4]]
	p.Port = titlePort(p.Title)
	return p, parent, true
}

// isServer reports whether a process title is that of a data server.
func isServer(title string) bool {
	fields := strings.Fields(title)
	if len(fields) == 0 || slices.Contains(fields, "[sentinel]") || slices.Contains(fields, "--sentinel") {
		return false
	}
	switch path.Base(fields[0]) {
	case "redis-server", "valkey-server":
		return true
	}
	return false
}

// titlePort reads the port of a title like "redis-server *:6379 [cluster]".
func titlePort(title string) int {
	fields := strings.Fields(title)
	if len(fields) < 2 {
		return 0
	}
	i := strings.LastIndex(fields[1], ":")
	if i < 0 {
		return 0
	}
	port, err := strconv.Atoi(fields[1][i+1:])
	if err != nil || port < 1 || port > 65535 {
		return 0
	}
	return port
}

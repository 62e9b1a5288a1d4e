package instance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redisbak/redisbak/internal/docker"
)

// probeScript looks at the data directory with the eyes of the server's own
// user: the engine tells no free space, and root can write where the server
// cannot. $1 is the directory, or empty for the server's working directory,
// which is always its data directory. It changes nothing. Its last line tells a
// whole answer from one whose end was lost on the way.
const probeScript = `
for s in /proc/[0-9]*; do
  read -r c 2>/dev/null <"$s/comm" || continue
  case $c in redis-server|valkey-server) p=$s; break;; esac
done
d=$1
[ -n "$d" ] || d=$(readlink "$p/cwd")
[ -n "$d" ] || exit 3
echo "dir $d"
[ -w "$d" ] && echo "writable yes" || echo "writable no"
echo "df $(df -Pk "$d" | tail -n 1)"
echo "overcommit $(cat /proc/sys/vm/overcommit_memory)"
while read -r k v _; do [ "$k" = MemAvailable: ] && echo "available $v"; done </proc/meminfo
for f in "$d"/*.rdb; do [ -f "$f" ] && echo "rdb ${f##*/}"; done
echo end
`

// probed is what the probe saw. A field that it could not see is zero, and -1
// where zero means something.
type probed struct {
	dir        string
	writable   bool
	freeBytes  int64 // -1: unknown
	available  int64 // bytes of memory on the host; -1: unknown
	overcommit int   // vm.overcommit_memory; -1: unknown
	rdbFiles   []string
}

// probe runs the script in the server's container; dir may be empty.
func probe(ctx context.Context, e *docker.Engine, c docker.Container, p docker.Process, dir string) (probed, error) {
	user := fmt.Sprintf("%d:%d", p.UID, p.GID)
	res, err := e.Exec(ctx, c.ID, docker.ExecSpec{User: user, Cmd: []string{"sh", "-c", probeScript, "redisbak-probe", dir}})
	if err != nil {
		return probed{}, err
	}
	if res.ExitCode != 0 {
		return probed{}, fmt.Errorf("look at the data directory from inside container %q: exit code %d: %s",
			c.Name, res.ExitCode, firstLine(res.Stderr))
	}
	seen, whole := parseProbe(res.Stdout)
	if !whole {
		return probed{}, fmt.Errorf("look at the data directory from inside container %q: the end of the answer did not arrive", c.Name)
	}
	return seen, nil
}

// parseProbe reads what the script printed, and says whether that is all.
func parseProbe(out []byte) (got probed, whole bool) {
	got = probed{freeBytes: -1, available: -1, overcommit: -1}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		switch key {
		case "dir":
			got.dir = value
		case "writable":
			got.writable = value == "yes"
		case "df":
			got.freeBytes = dfAvailable(value)
		case "overcommit":
			if n, err := strconv.Atoi(value); err == nil {
				got.overcommit = n
			}
		case "available":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				got.available = n << 10
			}
		case "rdb":
			got.rdbFiles = append(got.rdbFiles, value)
		case "end":
			whole = true
		}
	}
	return got, whole
}

// dfAvailable reads the fourth column of a line of `df -Pk`, from the right:
// the name of the file system may hold spaces.
func dfAvailable(line string) int64 {
	fields := strings.Fields(line)
	for i := len(fields) - 1; i >= 1; i-- {
		if !strings.HasSuffix(fields[i], "%") {
			continue
		}
		if n, err := strconv.ParseInt(fields[i-1], 10, 64); err == nil {
			return n << 10
		}
	}
	return -1
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}

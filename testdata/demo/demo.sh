#!/usr/bin/env bash
# demo.sh REDISBAK   lose a Redis with all its data, and get it back
#
# REDISBAK is the built command. The container, the volume and the repository are the demo's own and are gone when it
# ends, however it ends. It ends with 0 only if every key came back as it was. REDISBAK_DEMO_IMAGE names the image of
# the server; without it, the cheapest one to be had is taken.
set -euo pipefail

readonly width=80
here=$(cd "$(dirname "$0")" && pwd)
binary=$(realpath "${1:?usage: demo.sh REDISBAK}")
started=$SECONDS

# page breaks what is read into lines of 80 characters, for logs and documents; the lines of a table stay whole. It
# outlives an interrupt, so that whoever writes to it can end in good order. A terminal breaks lines by itself, and
# redisbak, which then writes to it directly, draws its bars there.
page() {
	trap '' INT TERM HUP
	local line indent
	while IFS= read -r line || [ -n "$line" ]; do
		indent=
		while [ "${#line}" -gt "$width" ]; do
			case $line in *[a-zA-Z]'  '*[a-zA-Z]'  '*'  '*) break ;; esac
			local cut=${line:0:width+1}
			case ${cut#"$indent"} in *' '*) cut=${cut% *} ;; *) break ;; esac
			printf '%s\n' "$cut"
			indent='    '
			line=$indent${line:${#cut}+1}
		done
		printf '%s\n' "$line"
	done
}

pager=
exec 3>&1 2>&1
if [ ! -t 1 ]; then
	exec > >(page) 2>&1
	pager=$!
fi

say() { printf '%s\n' "$@"; }
chapter() { printf '\n%s\n' "$*"; }

# show prints a command line as one would type it, and carries it out.
show() {
	say "\$ $*"
	"$@"
}

fail() {
	say "" "VERDICT: $*"
	exit 1
}

container='' volume='' work=''

# ours lists what redisbak made at the engine for the demo's repository.
ours() {
	local id
	id=$(sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' "$work/repo/redisbak.json" 2>/dev/null) || return 0
	[ -z "$id" ] || docker "$@" --filter "label=redisbak.repo=$id"
}

# remove WHAT... removes the objects whose ids come on standard input.
remove() {
	local ids
	mapfile -t ids
	[ "${#ids[@]}" -eq 0 ] || docker "$@" "${ids[@]}" >/dev/null
}

clean_up() {
	local status=$?
	set +e
	trap '' INT TERM HUP
	if [ -n "$work" ]; then
		ours ps --all --quiet | remove rm --force --volumes || status=1
		ours volume ls --quiet | remove volume rm || status=1
		rm -rf "$work"
	fi
	if [ -n "$container" ]; then docker rm --force --volumes "$container" >/dev/null 2>&1; fi
	if [ -n "$volume" ]; then docker volume rm "$volume" >/dev/null 2>&1; fi
	exec >&3 2>&3
	[ -z "$pager" ] || wait "$pager"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# new_names chooses names that nobody else has, and sets them only then.
new_names() {
	local tag
	while :; do
		tag=$(od -An -N2 -tx1 /dev/urandom | tr -d ' ')
		docker container inspect "demo-$tag" >/dev/null 2>&1 && continue
		docker volume inspect "demo-$tag" >/dev/null 2>&1 && continue
		container=demo-$tag volume=demo-$tag
		return
	done
}

cli() { docker exec -i "$container" sh -c 'exec "$(command -v redis-cli || command -v valkey-cli)" "$@"' cli "$@"; }

await_server() {
	local deadline=$((SECONDS + 60))
	until [ "$(cli PING 2>/dev/null)" = PONG ]; do
		[ "$SECONDS" -lt "$deadline" ] || fail "the server did not answer within a minute"
		sleep 0.2
	done
}

# fill loads the data, and a function where the server knows functions.
fill() {
	"$here/data.sh" | cli >"$work/answers"
	if grep -E '^(ERR|WRONGTYPE|MISCONF|NOPERM)' "$work/answers"; then fail "the server refused the data above"; fi
	printf '#!lua name=demo\n%s\n' "redis.register_function('hello', function(_, a) return 'hello ' .. a[1] end)" |
		cli -x FUNCTION LOAD >/dev/null
}

# kinds says in words what a dump holds.
kinds() {
	awk -F '\t' '
		$2 == "functions" { functions = ", functions"; next }
		{ kind[$2]++; keys++; timed += $4 > 0 }
		!seen[$1]++ { databases++ }
		END {
			printf "  %d keys in %d databases, %d of them with a TTL: ", keys, databases, timed
			printf "%d strings, %d hashes,\n", kind["string"], kind["hash"]
			printf "  %d lists, %d sets, %d sorted sets, ", kind["list"], kind["set"], kind["zset"]
			printf "%d stream with its groups%s\n", kind["stream"], functions
		}' "$1"
}

# compare prints how the second dump differs from the first, and fails if it does.
compare() {
	awk -F '\t' -v tolerance="$3" '
		function id() { return $2 == "functions" ? "functions" : "db" $1 " " $3 }
		function complain(of, what) { if (++wrong <= 10) print "  " of ": " what }
		NR == FNR { kind[id()] = $2; expires[id()] = $4; value[id()] = $5; next }
		!(id() in kind) { complain(id(), "was not there"); next }
		{
			late = $4 - expires[id()]
			if ($2 != kind[id()]) complain(id(), "was a " kind[id()] " and is a " $2)
			else if ($5 != value[id()]) complain(id(), "another value")
			else if ((late < 0 ? -late : late) > tolerance) complain(id(), sprintf("expires %.0f ms later", late))
			delete kind[id()]
		}
		END {
			for (k in kind) complain(k, "missing")
			if (wrong > 10) print "  and " wrong - 10 " more"
			exit wrong > 0
		}' "$1" "$2"
}

"$here/../engine/ensure.sh"
image=${REDISBAK_DEMO_IMAGE:-$("$here/../images/build.sh" --any)}
unset REDISBAK_USERNAME REDISBAK_PASSWORD REDISBAK_PASSWORD_FILE
work=$(mktemp -d "${TMPDIR:-/tmp}/redisbak-demo.XXXXXX")
new_names
mkdir "$work/bin"
ln -s "$binary" "$work/bin/redisbak"
export PATH=$work/bin:$PATH
export REDISBAK_REPO=$work/repo

chapter "1. A server that keeps its data in a Docker volume"
show docker run -d --name "$container" -v "$volume:/data" "$image" >"$work/out"
head -n 1 "$work/out" # without the container's id
await_server
fill
"$here/dump.sh" "$container" >"$work/before"
say "It holds:" "$(kinds "$work/before")"

chapter "2. A snapshot, proven by booting it"
say "\$ export REDISBAK_REPO=$REDISBAK_REPO"
show redisbak snapshot "$container"
show redisbak list
# The day is that of the snapshot, should this be midnight.
day=$(date -d "$(redisbak list --json | sed -n 's/.*"point_in_time": "\(.*\)",/\1/p')" +%Y%m%d)

chapter "3. The disaster"
show docker rm -f "$container"
show docker volume rm "$volume"

chapter "4. One command brings it back"
show redisbak restore --date "$day" --start

chapter "5. Is it all there?"
container=$(ours ps --quiet --filter label=redisbak.role=recovery)
[ -n "$container" ] || fail "no container was started"
await_server
tolerance=0
if cli INFO server | grep -q '^redis_version:6'; then tolerance=1000; fi
"$here/dump.sh" "$container" >"$work/after"
say "It holds:" "$(kinds "$work/after")"
compare "$work/before" "$work/after" "$tolerance" ||
	fail "what came back is not what was there"
say "Each key was read on both servers: type, value, the millisecond at which it" \
	"expires, streams with their groups and pending entries, functions." \
	"" "VERDICT: nothing is missing and nothing differs. ($((SECONDS - started)) s in all)"

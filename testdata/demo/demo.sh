#!/usr/bin/env bash
# demo.sh REDISBAK [ACT]   lose a Redis with all its data, and get it back: one that keeps a dump (act 1), and one that
#                          keeps append-only files (act 2)
#
# REDISBAK is the built command. The containers, the volumes and the repository are the demo's own and are gone when it
# ends, however it ends. It ends with 0 only if every key came back as it was. REDISBAK_DEMO_IMAGE names the
# image of the servers; without it, the cheapest one to be had is taken.
set -euo pipefail

readonly width=80
here=$(cd "$(dirname "$0")" && pwd)
binary=$(realpath "${1:?usage: demo.sh REDISBAK [ACT]}")
acts=${2:-1 2}
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

# show_only does so, and keeps what docker prints of ids and progress to itself.
show_only() {
	say "\$ $*"
	"$@" >"$work/out" 2>&1 && return
	cat "$work/out"
	return 1
}

fail() {
	say "" "VERDICT: $*"
	exit 1
}

# The demo's own names, each of a container and of a volume, and the container that is spoken with.
names=() container='' work=''

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
		cd / && rm -rf "$work"
	fi
	local name
	for name in "${names[@]}"; do
		docker rm --force --volumes "$name" >/dev/null 2>&1
		docker volume rm "$name" >/dev/null 2>&1
	done
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
	local tag taken
	while :; do
		tag=$(od -An -N2 -tx1 /dev/urandom | tr -d ' ')
		taken=$(docker ps --all --quiet --filter "name=demo-$tag" && docker volume ls --quiet --filter "name=demo-$tag")
		[ -z "$taken" ] || continue
		names=("demo-$tag" "demo-$tag-aof" "demo-$tag-dump")
		return
	done
}

cli_name() { docker exec "$container" sh -c 'basename "$(command -v redis-cli || command -v valkey-cli)"'; }

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

# is_it_there prints what the container serves, and fails if that is not what NAME held.
is_it_there() {
	local tolerance=0
	await_server
	if [[ $(cli INFO server) == *redis_version:6* ]]; then tolerance=1000; fi
	"$here/dump.sh" "$container" >"$work/after"
	say "It holds:" "$(kinds "$work/after")"
	compare "$work/$1" "$work/after" "$tolerance" ||
		fail "what came back is not what was there"
	say "Each key was read on both servers: type, value, the millisecond at which it" \
		"expires, streams with their groups and pending entries, functions."
}

# lose takes a server away with all that it kept.
lose() {
	show docker rm -f "$1"
	show docker volume rm "$1"
}

# recovered NAME is the container that a restore has started in the place of NAME.
recovered() {
	container=$(ours ps --quiet --filter label=redisbak.role=recovery --filter "name=$1-recovery")
	[ -n "$container" ] || fail "no container was started"
}

# A server that keeps a dump.
act_1() {
	local day
	chapter "1. A server that keeps its data in a Docker volume"
	container=$dumps
	show_only docker run -d --name "$dumps" -v "$dumps:/data" "$image"
	await_server
	fill
	"$here/dump.sh" "$dumps" >"$work/$dumps"
	say "It holds:" "$(kinds "$work/$dumps")"

	chapter "2. A snapshot, proven by booting it"
	say "\$ export REDISBAK_REPO=$REDISBAK_REPO"
	show redisbak snapshot "$dumps"
	show redisbak list
	# The day is that of the snapshot, should this be midnight.
	day=$(date -d "$(redisbak list --json | sed -n 's/.*"point_in_time": "\(.*\)",/\1/p')" +%Y%m%d)

	chapter "3. The disaster"
	lose "$dumps"

	chapter "4. One command brings it back"
	show redisbak restore --date "$day" --start

	chapter "5. Is it all there?"
	recovered "$dumps"
	is_it_there "$dumps"
}

# A server that keeps append-only files.
act_2() {
	chapter "6. A server that keeps its data in append-only files"
	container=$appends
	show_only docker run -d --name "$appends" -v "$appends:/data" "$image" --appendonly yes
	await_server
	fill
	"$here/dump.sh" "$appends" >"$work/$appends"
	say "It holds:" "$(kinds "$work/$appends")"

	chapter "7. What a copy of its dump.rdb would have been worth"
	show redisbak snapshot "$appends" --method rdb
	say "\$ redisbak cat latest --source $appends > dump.rdb"
	redisbak cat latest --source "$appends" >dump.rdb
	show_only docker create --name "$copy" -v "$copy:/data" "$image" --appendonly yes
	show_only docker cp dump.rdb "$copy:/data"
	show_only docker start "$copy"
	container=$copy
	await_server
	show docker exec "$copy" "$(cli_name)" DBSIZE
	[[ $(cli INFO keyspace) != *db[0-9]* ]] || fail "a server with appendonly yes has loaded a dump"
	docker exec "$copy" cat /data/dump.rdb | cmp - dump.rdb || fail "the dump was not there to be loaded"
	say "Nothing. A server that starts with appendonly yes reads its append-only files." \
		"There were none, so it began empty, without a word of complaint. The dump lies" \
		"in its volume, whole, and is ignored until the next save overwrites it."

	chapter "8. What redisbak takes of such a server, when nobody says what"
	show redisbak snapshot "$appends"
	redisbak show latest --source "$appends" >"$work/shown"
	say "\$ redisbak show latest --source $appends | grep -E '^(method|file)'"
	grep -E '^(method|file)' "$work/shown"
	grep -Eq '^method +aof$' "$work/shown" || fail "no append-only file was captured"

	chapter "9. The disaster again, and the way back"
	lose "$appends"
	show redisbak restore "$appends" --start

	chapter "10. Is it all there?"
	recovered "$appends"
	is_it_there "$appends"
	[[ $(cli INFO persistence) == *aof_enabled:1* ]] || fail "it does not run with appendonly yes"
}

"$here/../engine/ensure.sh"
image=${REDISBAK_DEMO_IMAGE:-$("$here/../images/build.sh" --any)}
unset REDISBAK_USERNAME REDISBAK_PASSWORD REDISBAK_PASSWORD_FILE
work=$(mktemp -d "${TMPDIR:-/tmp}/redisbak-demo.XXXXXX")
new_names
dumps=${names[0]} appends=${names[1]} copy=${names[2]}
mkdir "$work/bin"
ln -s "$binary" "$work/bin/redisbak"
export PATH=$work/bin:$PATH
export REDISBAK_REPO=$work/repo
cd "$work"

for act in $acts; do "act_$act"; done
say "" "VERDICT: nothing is missing and nothing differs. ($((SECONDS - started)) s in all)"

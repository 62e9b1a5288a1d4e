#!/usr/bin/env bash
# dump.sh CONTAINER   print all that a Redis or Valkey server holds, one key a line, in an order that is always the same
#
# A line is: database, type, key, the instant at which it expires in milliseconds (0: never), and the value as typed
# reads give it. Sets and hashes, which have no order of their own, are sorted. Streams come with their groups,
# consumers and pending entries. The functions are a line too, where the server has any.
#
# Where the server cannot tell the instant itself (before 7.0), it is reckoned from its clock, and is right to a second.
set -euo pipefail
export LC_ALL=C

readonly container=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cli=$(docker exec "$container" sh -c 'command -v redis-cli || command -v valkey-cli')

# ask DB carries out the commands on its standard input and prints one line for each answer.
ask() { docker exec -i "$container" "$cli" -n "$1" --csv; }

# questions WHAT makes one command of each line "type key".
questions() {
	awk -v what="$1" '
		what == "type" { print "TYPE", $1; next }
		what == "expiry" { print "PEXPIRETIME", $2; next }
		what == "clock" { print "TIME"; print "PTTL", $2; next }
		$1 == "string" { print "GET", $2; next }
		$1 == "list" { print "LRANGE", $2, "0 -1"; next }
		$1 == "set" { print "SMEMBERS", $2; next }
		$1 == "zset" { print "ZRANGE", $2, "0 -1 WITHSCORES"; next }
		$1 == "hash" { print "HGETALL", $2; next }
		$1 == "stream" { print "XINFO STREAM", $2, "FULL COUNT 0"; next }
		{ print "OBJECT ENCODING", $2 }'
}

# instants turns pairs of a TIME and a PTTL into one instant a key.
instants() {
	awk -F '"' 'NR % 2 { now = $2 * 1000 + int($4 / 1000); next } { printf "%.0f\n", ($0 < 0) ? -1 : now + $0 }'
}

# sorted puts the members of sets and the pairs of hashes into order. Inside of a value a quote has a backslash before
# it, so that "," is between two members and nowhere else.
sorted() {
	awk -F '\t' -v OFS='\t' '
		$2 == "set" { $5 = in_order($5, 1) }
		$2 == "hash" { $5 = in_order($5, 2) }
		{ print }
		function in_order(text, size,    part, n, i, j, unit, count, out) {
			n = split(text, part, /","/)
			sub(/^"/, "", part[1])
			sub(/"$/, "", part[n])
			for (i = 1; i <= n; i += size) unit[++count] = size == 1 ? part[i] "" : part[i] "\"=\"" part[i + 1]
			for (i = 2; i <= count; i++) {
				out = unit[i]
				for (j = i - 1; j > 0 && unit[j] > out; j--) unit[j + 1] = unit[j]
				unit[j + 1] = out
			}
			out = unit[1]
			for (i = 2; i <= count; i++) out = out "\",\"" unit[i]
			return "\"" out "\""
		}'
}

knows_instants() { echo PEXPIRETIME redisbak:none | ask 0 | grep -qv '^ERROR'; }

expiries() {
	if knows_instants; then
		questions expiry <"$work/typed" | ask "$1"
	else
		questions clock <"$work/typed" | ask "$1" | instants
	fi | sed 's/^-1$/0/'
}

# dump_database DB prints one line for each of its keys.
dump_database() {
	docker exec "$container" "$cli" -n "$1" --scan </dev/null | sort >"$work/keys"
	questions type <"$work/keys" | ask "$1" | tr -d '"' >"$work/types"
	paste -d ' ' "$work/types" "$work/keys" >"$work/typed"
	expiries "$1" >"$work/expiries"
	questions value <"$work/typed" | ask "$1" >"$work/values"
	sed "s/^/$1 /; s/ /\t/g" "$work/typed" | paste - "$work/expiries" "$work/values" | sorted
}

docker exec "$container" "$cli" INFO keyspace | sed -n 's/^db\([0-9]*\):.*/\1/p' >"$work/databases"
while read -r db; do dump_database "$db"; done <"$work/databases" >"$work/dump"

if grep -n 'ERROR,' "$work/dump" >&2; then
	echo "dump.sh: the server refused to answer the questions above" >&2
	exit 1
fi
cat "$work/dump"
functions=$(echo FUNCTION LIST WITHCODE | ask 0)
case $functions in
'' | ERROR*) ;;
*) printf '\tfunctions\t\t0\t%s\n' "$functions" ;;
esac

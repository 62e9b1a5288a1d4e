#!/usr/bin/env bash
# build.sh [--rebuild] [IMAGE...]   make sure that these test images (default: all of ./servers and ./variants) are there
#                                   and current
# build.sh --any                    make sure that one Redis image, whichever, is there
#
# The images are printed on stdout, one a line; all talk is on stderr. An image that is there and was made by this
# recipe is left alone, unless --rebuild is given. Building needs root, debootstrap (installed where missing) and
# Debian's packages, no registry. See README.md.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../engine/apt.sh
. "$here/../engine/apt.sh"

readonly label=redisbak-test.recipe any_image=redisbak-test/redis:7.0
readonly jobs_at_once=2 pull_seconds=30
# /tmp may be small, in memory, and without device nodes.
readonly temp=${TMPDIR:-/var/tmp} lock=/run/redisbak-test-images.lock

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; }

# rows IMAGE... prints the images' lines of the table: image, suite, package, gid.
rows() {
	local image
	for image; do awk -v image="$image" '$1 == image { print $1, $2, $3, $4 }' "$here/servers"; done
}

# parent IMAGE prints what a variant is made from, and nothing for any other image.
parent() { awk -v image="$1" '$1 == image { print $2 }' "$here/variants"; }

# dockerfile IMAGE prints a variant's.
dockerfile() { echo "$here/${1##*-}/Dockerfile"; }

all_images() { awk 'NF && $1 !~ /^#/ { print $1 }' "$here/servers" "$here/variants"; }

# recipe IMAGE prints the hash of all that decides what the image holds.
recipe() {
	local from
	from=$(parent "$1")
	if [ -z "$from" ]; then
		rows "$1" && cat "$here/recipe.sh" "$here/entrypoint.sh"
	else
		docker image inspect --format '{{.Id}}' "$from" && cat "$(dockerfile "$1")"
	fi | sha256sum | cut -c 1-16
}

is_current() {
	local have
	have=$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null) && [ "$have" = "$(recipe "$1")" ]
}

# to_build IMAGE... prints those that are missing or out of date; with --rebuild, all.
to_build() {
	local image
	for image; do
		if [ "$rebuild" = yes ] || ! is_current "$image"; then echo "$image"; fi
	done
}

running=() # the pids of the suites being built
work=

# clean_up ends the builds and removes what they left. KILL, since unshare holds back the gentler signals; the death of
# unshare is the death of all that runs in its namespaces, mounts included, but not at the same instant.
clean_up() {
	local status=$? tries=0
	trap '' INT TERM HUP
	if [ "${#running[@]}" -gt 0 ]; then
		kill -KILL "${running[@]}" 2>/dev/null || true
		wait "${running[@]}" 2>/dev/null || true
	fi
	if [ -n "$work" ]; then
		until rm -rf --one-file-system "$work" 2>/dev/null; do
			tries=$((tries + 1))
			if [ "$tries" -ge 50 ]; then
				say "could not remove $work"
				break
			fi
			sleep 0.2
		done
	fi
	exit "$status"
}

need_tools() {
	[ "$(id -u)" -eq 0 ] || die "building test images needs root: run this script with sudo"
	local missing=()
	command -v debootstrap >/dev/null || missing+=(debootstrap)
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
	if [ "${#missing[@]}" -gt 0 ]; then
		can_install || die "building test images needs ${missing[*]}: install it, or run this on Debian or Ubuntu"
		apt_install "${missing[@]}" || die "could not install ${missing[*]}: see apt-get's words above"
	fi
}

# only_one waits until no other build runs on this machine, and sweeps what a killed one left. The builds inherit the
# lock, so it is free only when the last of them is gone, even where their build.sh was killed.
only_one() {
	exec 9>>"$lock"
	if ! flock --nonblock 9; then
		say "another build is running; waiting for it"
		flock --timeout 1800 9 || die "another build has been running for half an hour: see who holds $lock"
	fi
	rm -rf --one-file-system "$temp"/redisbak-images.??????
}

# start SUITE IMAGE... starts the build of one suite's images.
start() {
	local suite=$1 image package gid
	shift
	mkdir "$work/$suite"
	for image; do
		read -r _ _ package gid <<<"$(rows "$image")"
		echo "$image $package $gid $(recipe "$image")"
	done >"$work/$suite.in"
	say "building $* from Debian $suite"
	unshare --mount --pid --fork --kill-child --mount-proc bash "$here/recipe.sh" "$work/$suite" "$suite" \
		<"$work/$suite.in" >"$work/$suite.log" 2>&1 &
	running+=($!)
	suite_of[$!]=$suite
}

# finish waits for one suite and says how it went.
finish() {
	local pid status=0 suite still=() p
	wait -n -p pid "${running[@]}" || status=$?
	suite=${suite_of[$pid]}
	for p in "${running[@]}"; do
		[ "$p" = "$pid" ] || still+=("$p")
	done
	running=("${still[@]}")
	if [ "$status" -ne 0 ]; then
		say "error: the images of Debian $suite were not built; the last words were:"
		tail -n 25 "$work/$suite.log" | sed 's/^/  | /' >&2
		failed+=("$suite")
		return
	fi
	say "Debian $suite done at ${SECONDS} s"
	rm -rf --one-file-system "${work:?}/$suite"
}

# begin makes the place to work in, once, when no other build has one.
begin() {
	[ -z "$work" ] || return 0
	need_tools
	only_one
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	work=$(mktemp -d "$temp/redisbak-images.XXXXXX")
}

# build IMAGE... builds those that are not current: what comes from packages first, then what is made from that.
build() {
	local image from servers=() variants=()
	for image; do
		from=$(parent "$image")
		servers+=("${from:-$image}")
		if [ -n "$from" ]; then variants+=("$image"); fi
	done
	build_servers "${servers[@]}"
	for image in "${variants[@]}"; do
		[ -n "$(to_build "$image")" ] || continue
		begin
		# As with the others: it may have been made meanwhile.
		if [ -n "$(to_build "$image")" ]; then build_variant "$image"; fi
	done
	[ -n "$work" ] || return 0

	# What the new images replaced has no name any more. Where a container still uses it, it stays.
	docker image ls --quiet --filter dangling=true --filter "label=$label" | while read -r id; do
		docker image rm "$id" >/dev/null 2>&1 || true
	done
}

# fetch_busybox puts Debian's, which needs no library, into the working directory.
fetch_busybox() {
	local get=(apt-get -qq -o APT::Sandbox::User=root download busybox-static)
	"${get[@]}" || { apt_update && "${get[@]}"; } || return
	dpkg-deb --fsys-tarfile busybox-static_*.deb | tar --extract --strip-components 2 ./bin/busybox || return
	rm busybox-static_*.deb
}

# build_variant IMAGE makes it by its Dockerfile.
build_variant() {
	local image=$1 from
	from=$(parent "$image")
	say "building $image from $from"
	mkdir "$work/variant"
	cp "$(dockerfile "$image")" "$work/variant"
	(cd "$work/variant" && fetch_busybox && docker build --quiet --network none \
		--build-arg "BASE=$from" --label "$label=$(recipe "$image")" --tag "$image" .) >&2 || die "$image was not built"
	rm -rf "${work:?}/variant"
}

# build_servers IMAGE... builds those that are not current, two suites at a time.
build_servers() {
	local suite suites=() wanted=() stale=() failed=()
	local -A suite_of=()

	mapfile -t stale < <(to_build "$@" | awk '!seen[$0]++')
	[ "${#stale[@]}" -gt 0 ] || return 0
	begin
	# Another build may have made them while this one waited.
	mapfile -t stale < <(to_build "${stale[@]}")
	[ "${#stale[@]}" -gt 0 ] || return 0

	mapfile -t suites < <(rows "${stale[@]}" | awk '!seen[$2]++ { print $2 }')
	for suite in "${suites[@]}"; do
		mapfile -t wanted < <(rows "${stale[@]}" | awk -v suite="$suite" '$2 == suite { print $1 }')
		if [ "${#running[@]}" -ge "$jobs_at_once" ]; then finish; fi
		start "$suite" "${wanted[@]}"
	done
	while [ "${#running[@]}" -gt 0 ]; do finish; done
	[ "${#failed[@]}" -eq 0 ] || die "not built: ${failed[*]}"
}

# any prints the name of a Redis image that is there, at whatever price is lowest: local, pulled, built.
any() {
	local image pull=(docker pull --quiet redis:7)
	image=$(for ours in 'redis:*' 'valkey/valkey:*'; do
		docker image ls --filter "reference=$ours" --format '{{.Repository}}:{{.Tag}}'
	done | awk '!/<none>/ && !found { print; found = 1 }')
	if [ -n "$image" ]; then
		echo "$image"
		return
	fi
	if docker image inspect "$any_image" >/dev/null 2>&1; then
		echo "$any_image"
		return
	fi
	say "no Redis image here; trying to pull redis:7 (for at most $pull_seconds s)"
	if command -v timeout >/dev/null; then pull=(timeout "$pull_seconds" "${pull[@]}"); fi
	if "${pull[@]}" >&2; then
		echo redis:7
		return
	fi
	say "redis:7 could not be pulled; building $any_image from Debian's packages instead (a minute or two)"
	build "$any_image"
	echo "$any_image"
}

rebuild=no any=no images=()
while [ $# -gt 0 ]; do
	case $1 in
	--rebuild) rebuild=yes ;;
	--any) any=yes ;;
	-h | --help)
		usage
		exit 0
		;;
	-*)
		say "error: unknown option $1"
		usage
		exit 2
		;;
	*)
		if [ -z "$(rows "$1")$(parent "$1")" ]; then
			say "error: no image $1; there are: $(all_images | paste -sd ' ' -)"
			exit 2
		fi
		images+=("$1")
		;;
	esac
	shift
done

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
	die "no Docker Engine answers: run testdata/engine/ensure.sh, or set DOCKER_HOST"

if [ "$any" = yes ]; then
	any
	exit
fi
if [ "${#images[@]}" -eq 0 ]; then mapfile -t images < <(all_images); fi
build "${images[@]}"
printf '%s\n' "${images[@]}"

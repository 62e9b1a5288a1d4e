# Sourced by the scripts of testdata: how they talk, and how they install what is missing. Talk goes to stderr.
# shellcheck shell=sh

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
	say "error: $*"
	exit 1
}

# can_install says whether apt_install may be tried: root, on a system of Debian's kind.
can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

# apt_update fetches the package lists, once in a run. A broken third-party list must not be in the way of Debian's own:
# what counts is whether the packages come.
apt_update() {
	[ -z "${apt_updated-}" ] || return 0
	apt-get -qq update >&2 || say "apt-get update had problems; going on all the same"
	apt_updated=yes
}

# apt_install PACKAGE... installs the packages without their recommendations.
apt_install() {
	apt_update
	say "installing $* by apt-get"
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" </dev/null >&2
}

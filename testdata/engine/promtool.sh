#!/bin/sh
# promtool.sh DIR prints the path of a promtool, Prometheus's own reader of rules. Where none is installed, it takes the
# one of Debian's package prometheus, unpacked in DIR: nothing is installed, and no service is started.
set -eu

# shellcheck source-path=SCRIPTDIR source=apt.sh
. "$(dirname "$0")/apt.sh"

if command -v promtool; then exit 0; fi
cd "${1:?promtool.sh: DIR is missing}"
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	die "there is no promtool here, and no apt-get to fetch it with: install Prometheus"
fi

# Lists that are there and good enough save the time to fetch them.
fetch() { apt-get -qq download prometheus >&2; }
fetch || { apt_update && fetch; } || die "the package prometheus could not be fetched: see apt-get's words above"
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
rm prometheus_*.deb
printf '%s\n' "$PWD/usr/bin/promtool"

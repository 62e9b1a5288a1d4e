#!/bin/sh
# compose.sh prints the command of Docker Compose: "docker compose" or "docker-compose". Where there is none, and this is
# root on Debian or its like, it installs one.
set -eu

# shellcheck source-path=SCRIPTDIR source=apt.sh
. "$(dirname "$0")/apt.sh"

find_compose() {
	if docker compose version >/dev/null 2>&1; then
		echo docker compose
	elif command -v docker-compose >/dev/null; then
		echo docker-compose
	else
		return 1
	fi
}

# What it is called differs from one release to the next.
install_compose() {
	apt_update
	apt_install docker-compose-v2 || apt_install docker-compose
}

find_compose && exit 0
can_install || die "there is no Docker Compose here: install docker-compose"
install_compose >&2 || die "no Docker Compose could be installed: see apt-get's words above"
find_compose || die "Docker Compose was installed and is not found"

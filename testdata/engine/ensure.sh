#!/bin/sh
# ensure.sh makes sure that a Docker Engine answers the `docker` command, at DOCKER_HOST or the current context where
# they are set. It is quiet where one does. Where none does, and this is root on Debian or Ubuntu, it installs docker.io
# and starts it; it starts nothing in place of an engine elsewhere that was asked for. All talk is on stderr.
set -eu

# shellcheck source-path=SCRIPTDIR source=apt.sh
. "$(dirname "$0")/apt.sh"

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
socket=/var/run/docker.sock
remedy="install Docker (docs.docker.com/engine/install), or point DOCKER_HOST at an engine"

# An engine that is far away and dead makes its caller wait for minutes.
answers() {
	if command -v timeout >/dev/null; then
		timeout 15 docker version >/dev/null 2>&1
	else
		docker version >/dev/null 2>&1
	fi
}

# await SECONDS [PID] waits until the engine answers, the time is over, or the process that should become it has died.
await() {
	deadline=$(($(date +%s) + $1))
	until answers; do
		[ "$(date +%s)" -lt "$deadline" ] || return 1
		[ -z "${2-}" ] || kill -0 "$2" 2>/dev/null || return 1
		sleep 0.5
	done
}

# The client is a package of its own in newer Debian, and a part of docker.io in older.
install_client() {
	apt_update
	if apt-cache show docker-cli >/dev/null 2>&1; then
		apt_install docker-cli
	else
		apt_install docker.io
	fi
}

by_systemd() {
	[ -d /run/systemd/system ] || return 1
	say "starting Docker by systemctl"
	systemctl start docker >&2 && await 60
}

by_service() {
	[ -x /etc/init.d/docker ] && command -v service >/dev/null || return 1
	say "starting Docker by service"
	service docker start >&2 && await 30
}

by_hand() {
	log=$(mktemp -d "${TMPDIR:-/tmp}/redisbak-dockerd.XXXXXX")/dockerd.log
	say "starting dockerd in the background; it writes to $log"
	setsid dockerd </dev/null >"$log" 2>&1 &
	await 60 $! && return
	tail -n 5 "$log" | sed 's/^/  | /' >&2
	return 1
}

if ! command -v docker >/dev/null; then
	can_install || die "there is no docker command here: $remedy"
	install_client || die "the docker command could not be installed: see apt-get's words above"
fi
if answers; then exit 0; fi

endpoint=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) || endpoint=${DOCKER_HOST-}
case ${endpoint:-unix://$socket} in
unix:///var/run/docker.sock | unix:///run/docker.sock) ;;
*) die "the Docker Engine at $endpoint does not answer: start it, or unset DOCKER_HOST (or the context) to use one here" ;;
esac
if [ -S "$socket" ] && [ ! -w "$socket" ]; then
	die "this user may not use the Docker Engine at $socket: run this as root, or join the group docker"
fi
can_install || die "no Docker Engine answers at $socket: start it, or $remedy"

if ! command -v dockerd >/dev/null; then
	say "no Docker Engine here"
	apt_install docker.io ca-certificates || die "docker.io could not be installed: see apt-get's words above"
fi
by_systemd || by_service || by_hand || die "the Docker Engine does not start: see the words above, and run dockerd by hand"
say "the Docker Engine answers"

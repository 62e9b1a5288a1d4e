#!/bin/sh
# The entrypoint of the test images, with the manners of the official one: whoever starts the server as root gets a
# server that runs as its own user and owns its data; whoever starts it as somebody else, or something else, gets that.
set -eu

if command -v valkey-server >/dev/null; then
	server=valkey-server
else
	server=redis-server
fi
user=${server%-server}

# Options or a config file alone are meant for the server.
case ${1-} in
-* | *.conf) set -- "$server" "$@" ;;
esac

# What the server writes is for nobody else to read. A umask that somebody chose stays.
if [ "$(umask)" = 0022 ]; then
	umask 0077
fi

if [ "${1-}" = "$server" ] && [ "$(id -u)" -eq 0 ]; then
	# The working directory is /data. The owner only: the group of a file stays what it was.
	find . ! -user "$user" -exec chown "$user" {} +
	exec setpriv --reuid="$user" --regid="$user" --clear-groups -- "$@"
fi

exec "$@"

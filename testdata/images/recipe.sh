#!/usr/bin/env bash
# recipe.sh DIR SUITE: makes the images of one Debian suite, in the empty directory DIR. Standard input has one line
# for each: IMAGE PACKAGE GID LABEL. build.sh runs it, as root and in mount and pid namespaces of its own, so that what
# debootstrap mounts and what a package might start is gone when it ends, however it ends.
#
# A change of this file or of entrypoint.sh makes build.sh build all images again.
set -euo pipefail

dir=$1 suite=$2
here=$(cd "$(dirname "$0")" && pwd)

umask 022
unset TMPDIR
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" LC_ALL=C DEBIAN_FRONTEND=noninteractive

# The base system, made once for all images of the suite. REDISBAK_TEST_MIRROR is for the day when the suite has moved
# to the archive, or for a mirror nearby; normally debootstrap knows where Debian is.
mkdir "$dir/base"
debootstrap --variant=minbase "$suite" "$dir/base" ${REDISBAK_TEST_MIRROR:+"$REDISBAK_TEST_MIRROR"} </dev/null

# No package starts a service here.
printf '#!/bin/sh\nexit 101\n' >"$dir/base/usr/sbin/policy-rc.d"
chmod 755 "$dir/base/usr/sbin/policy-rc.d"
chroot "$dir/base" apt-get -q -o Acquire::Languages=none update </dev/null

while read -r image package gid label; do
	echo "== $image"
	root=$dir/root
	cp -a "$dir/base" "$root"

	# The user comes first: the package then takes the one that it finds, with our numbers.
	user=${package%-server}
	chroot "$root" groupadd --system --gid "$gid" "$user" </dev/null
	chroot "$root" useradd --system --uid 999 --gid "$user" --home-dir /data --no-create-home --shell /bin/sh "$user" </dev/null
	chroot "$root" apt-get -q -y -o Dpkg::Use-Pty=0 --no-install-recommends install "$package" </dev/null

	ids=$(chroot "$root" id -u "$user" </dev/null):$(chroot "$root" id -g "$user" </dev/null)
	if [ "$ids" != "999:$gid" ]; then
		echo "$image: user $user is $ids, not 999:$gid" >&2
		exit 1
	fi
	version=${image##*:}
	version=${version%%-*}
	if ! chroot "$root" "$package" --version </dev/null | grep -F " v=$version."; then
		echo "$image: the $package of $suite is not a $version" >&2
		exit 1
	fi

	# Debian's own configuration and data directories have no part in the image; nor has anything that says which
	# machine built it.
	rm -rf "${root:?}/etc/$user" "$root/var/lib/$user" "$root/usr/sbin/policy-rc.d" \
		"$root/etc/resolv.conf" "$root/etc/hostname" \
		"$root"/usr/share/{doc,man,info,locale,lintian}/* \
		"$root"/var/lib/apt/lists/* "$root"/var/cache/{apt,debconf,ldconfig}/* "$root"/var/log/* \
		"${root:?}"/dev/* "$root"/tmp/*

	install -d -o 999 -g "$gid" -m 0755 "$root/data"
	install -m 0755 "$here/entrypoint.sh" "$root/usr/local/bin/docker-entrypoint.sh"

	# By way of a file: an archive cut short must not become an image.
	tar --create --file "$dir/root.tar" --numeric-owner --one-file-system --directory "$root" .
	docker import \
		--change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
		--change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
		--change "CMD [\"$package\"]" \
		--change 'WORKDIR /data' \
		--change 'VOLUME /data' \
		--change 'EXPOSE 6379' \
		--change "LABEL redisbak-test.recipe=$label" \
		"$dir/root.tar" "$image"
	rm -rf "$root" "$dir/root.tar"
done

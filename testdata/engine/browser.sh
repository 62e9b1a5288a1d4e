#!/bin/sh
# browser.sh prints the path of a browser of Chromium's kind that needs no screen. Where there is none, and this is root
# on Debian or its like, it installs one.
set -eu

# shellcheck source-path=SCRIPTDIR source=apt.sh
. "$(dirname "$0")/apt.sh"

find_browser() {
	for name in chromium-headless-shell chromium google-chrome chrome; do
		if command -v "$name"; then return 0; fi
	done
	return 1
}

# Older systems have no package of the browser alone. Ubuntu's package is a stub, and installs what needs snapd.
install_browser() {
	apt_update
	apt_install chromium-headless-shell || apt_install chromium
}

find_browser && exit 0
can_install || die "there is no Chromium here: install chromium-headless-shell, chromium or Chrome"
install_browser || die "no Chromium could be installed: see apt-get's words above"
find_browser || die "Chromium was installed and is not found"

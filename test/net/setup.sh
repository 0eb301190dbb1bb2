#!/bin/sh
# SPDX-License-Identifier: MIT
# Avahi and a D-Bus for the tests of mDNS, without installing (and so without starting) a service: the
# distribution's signed packages unpacked into the user's cache. One line on stdout, "avahi run DIR" or
# "avahi skip REASON"; called again it takes some milliseconds.
set -eu
packages="avahi-daemon avahi-utils libavahi-common3 libavahi-core7 libavahi-client3 libdaemon0 libgdbm6
          dbus-daemon libdbus-1-3 libexpat1 libapparmor1 libcap2 libsystemd0"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/conduit/net
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -f "$cache/avahi/whole" ]; then
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "avahi skip no apt here to fetch it with"; exit 0; }
    rm -rf "$cache/avahi" "$cache/debs"
    mkdir -p "$cache/avahi" "$cache/debs"
    known=
    for p in $packages; do apt-cache show "$p" >/dev/null 2>&1 && known="$known $p"; done
    # shellcheck disable=SC2086
    (cd "$cache/debs" && timeout 300 apt-get download -qq $known >log 2>&1 </dev/null) ||
        { echo "avahi skip its packages cannot be fetched: $(grep -m 1 '^E:' "$cache/debs/log" || echo 'no network?')"; exit 0; }
    for d in "$cache"/debs/*.deb; do dpkg -x "$d" "$cache/avahi"; done
    rm -rf "$cache/debs"
    : >"$cache/avahi/whole"
fi
echo "avahi run $cache/avahi"

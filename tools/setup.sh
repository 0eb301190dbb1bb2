#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing: `tools/setup.sh build|test|bench` (each includes the one before).
# apt, through sudo where not root; nothing is asked, nothing outside the package manager and the
# user's cache is touched. When everything is there it takes a few milliseconds.
set -euo pipefail
cd "$(dirname "$0")/.."
level=${1:-build}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/conduit

build="gcc make pkg-config libuv1-dev libsodium-dev libssl-dev libsecp256k1-dev libsqlite3-dev
       libc-ares-dev libyaml-dev ca-certificates xz-utils"
testing="libcmocka-dev python3 python3-venv clang-14|clang libclang-rt-14-dev|libclang-rt-dev npm|nodejs curl git procps
         iproute2 nftables"
bench="nginx haproxy wrk"
want=$build
case $level in
test) want="$want $testing" ;;
bench) want="$want $testing $bench" ;;
build) ;;
*) echo "usage: $0 build|test|bench" >&2; exit 2 ;;
esac

have() { dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
known() { apt-cache show "$1" >/dev/null 2>&1; }
# A program that is there without its package (a toolchain in /usr/local) will do.
have_program() { case $1 in gcc|make|python3|git|curl) command -v "$1" >/dev/null ;;
                 npm|nodejs) command -v npm >/dev/null && command -v node >/dev/null ;;
                 pkg-config) command -v pkg-config >/dev/null ;; *) return 1 ;; esac; }

missing=()
for entry in $want; do
    ok=
    for p in ${entry//|/ }; do { have "$p" || have_program "$p"; } && ok=1; done
    [ -n "$ok" ] || missing+=("$entry")
done

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@";
            else echo "conduit: these packages are missing and neither root nor sudo is at hand: ${missing[*]}" >&2; exit 1; fi; }

if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || { echo "conduit: please install: ${missing[*]}" >&2; exit 1; }
    echo "installing: ${missing[*]}" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null
    pick=()
    for entry in "${missing[@]}"; do # of alternatives, the first one this release has
        for p in ${entry//|/ }; do if known "$p"; then pick+=("$p"); break; fi; done
    done
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${pick[@]}" >/dev/null
fi

# yyjson: packaged from Debian 13 on; before, a checked copy in the user's cache.
if ! PKG_CONFIG_PATH="$cache/deps/lib/pkgconfig" pkg-config --exists yyjson; then
    if apt-cache show libyyjson-dev >/dev/null 2>&1; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends libyyjson-dev >/dev/null
    else
        tools/deps/yyjson.sh
    fi
fi

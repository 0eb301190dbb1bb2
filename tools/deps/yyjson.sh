#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A static libyyjson in the user's cache, for releases without the package (Debian 12).
#
# Upstream's tarball from a newer suite, through a private apt configuration: no root, nothing of the
# system's apt state is touched. apt checks the suite's signature with Debian's own keyring, and the
# tarball's checksum is pinned here besides. The mirror is the one the system already uses.
#
#   ~/.cache/conduit/deps/{include/yyjson.h,lib/libyyjson.a,lib/pkgconfig/yyjson.pc}
set -euo pipefail

version=0.10.0
sha256=ae6fde69a193e10afab426ef13f113d6903446405f9db9ee98bfb572bd6c961a # yyjson_0.10.0+ds.orig.tar.xz
suite=trixie
prefix=${XDG_CACHE_HOME:-$HOME/.cache}/conduit/deps
[ -f "$prefix/lib/pkgconfig/yyjson.pc" ] && [ "${1:-}" != --force ] && exit 0

die() { echo "yyjson: $*" >&2; exit 1; }
command -v apt-get >/dev/null || die "no apt here; install yyjson $version with its yyjson.pc by hand"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f "$keyring" ] || die "missing $keyring (package debian-archive-keyring)"

# The first Debian mirror among the system's own sources, in either format.
mirror=$(apt-get indextargets --format '$(SITE)|$(CODENAME)|$(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
         awk -F'|' '$3 == "Debian" && $2 !~ /security/ {print $1; exit}')
if [ -z "$mirror" ]; then
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
                 /etc/apt/sources.list.d/*.sources 2>/dev/null |
             awk '/^URIs:/ {print $2} /^deb / {for (i = 2; i <= NF; i++) if ($i ~ /:\//) {print $i; break}}' |
             grep -E '/debian/?$' | head -1 || true)
fi
[ -n "$mirror" ] || die "no Debian mirror among apt's sources"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,etc,src}
echo "deb-src [signed-by=$keyring] $mirror $suite main" > "$work/etc/sources.list"
: > "$work/status"
cat > "$work/apt.conf" <<CONF
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/etc/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Acquire::Languages "none";
APT::Sandbox::User "root";
CONF
export APT_CONFIG=$work/apt.conf
echo "fetching yyjson $version from Debian $suite" >&2
apt-get update -qq || die "the package lists of $suite could not be fetched from $mirror"
# Only the upstream tarball is wanted. Its checksum comes from the signed index.
line=$(apt-get source -qq --print-uris yyjson | grep -F ".orig.tar" | grep -v '\.asc' | head -1)
read -r uri file _ sum <<< "${line//\'/}"
case $file in yyjson_"$version"*) ;; *) die "Debian $suite has ${file:-nothing}, not $version" ;; esac
tarball=$work/src/$file
/usr/lib/apt/apt-helper download-file "$uri" "$tarball" "$sum" >/dev/null || die "download failed"
echo "$sha256  $tarball" | sha256sum -c --quiet || die "the tarball is not the one this project pinned"
mkdir "$work/tree" && tar -C "$work/tree" --strip-components=1 -xf "$tarball"

cc=${CC:-gcc}
$cc -O2 -g -fPIC -fstack-protector-strong -c -o "$work/yyjson.o" "$work/tree/src/yyjson.c"
mkdir -p "$prefix"/{include,lib/pkgconfig}
ar rcs "$work/libyyjson.a" "$work/yyjson.o"
install -m 644 "$work/libyyjson.a" "$prefix/lib/"
install -m 644 "$work/tree/src/yyjson.h" "$prefix/include/"
cat > "$work/yyjson.pc" <<PC
prefix=$prefix
Name: yyjson
Description: JSON reader and writer
Version: $version
Cflags: -isystem \${prefix}/include
Libs: -L\${prefix}/lib -lyyjson
PC
install -m 644 "$work/yyjson.pc" "$prefix/lib/pkgconfig/" # last: it says that the rest is there
echo "yyjson $version is in $prefix" >&2

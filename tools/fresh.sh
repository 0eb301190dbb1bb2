#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs a command in a clone of this checkout on a machine that never saw it:
#
#   tools/fresh.sh [--suite bookworm|trixie] [--user] [--keep] [--root DIR] COMMAND…
#   tools/fresh.sh make run ONCE=1
#   tools/fresh.sh --user make test          # not root there, but with sudo
#
# Why: what `make setup` forgets to install is never missing where it was written. A root of nothing
# but Debian's minbase, git, make, sudo and certificates finds it. Needs root here, for chroot.
# It clones what is committed. --keep leaves the root behind and names it; --root DIR goes on in one.
#
# The hard thing is to leave nothing behind and to break nothing outside. All mounts are made in a
# mount namespace of their own and are gone with it, so the `rm` at the end, which runs outside,
# can only ever see plain files; and every process lives in a PID namespace that dies with the script.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=bookworm user= keep= root=
while [ $# -gt 0 ]; do
    case $1 in
    --suite) suite=$2; shift 2 ;;
    --user) user=1; shift ;;
    --keep) keep=1; shift ;;
    --root) root=$2 keep=1; shift 2 ;;
    --) shift; break ;;
    -*) sed -n '3,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || { sed -n '3,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "fresh: needs root, for chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "fresh: apt install debootstrap" >&2; exit 1; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/conduit/fresh
base=$cache/$suite-1.tar # the number changes with what is packed below
mkdir -p "$cache"

# --- the base: minbase and what a person has who could clone this repository ---------------------
if [ ! -f "$base" ]; then
    echo "fresh: debootstrap $suite (once)" >&2
    new=$(mktemp -d "$cache/new.XXXXXX")
    trap 'rm -rf --one-file-system "$new"' EXIT
    mirror=$(sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*debian\/*\) .*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1) || true
    debootstrap --variant=minbase --include=sudo,git,make,ca-certificates \
        "$suite" "$new/root" "${mirror:-http://deb.debian.org/debian}" >"$cache/debootstrap.log" 2>&1 ||
        { tail -n 20 "$cache/debootstrap.log" >&2; exit 1; }
    rm -f "$new"/root/var/cache/apt/archives/*.deb
    tar -C "$new/root" -cf "$base.$$" . && mv "$base.$$" "$base"
    rm -rf --one-file-system "$new"
    trap - EXIT
fi

# --- the root ---------------------------------------------------------------------------------------
if [ -z "$root" ] || [ ! -d "$root" ]; then
    root=${root:-$(mktemp -d "${TMPDIR:-/tmp}/conduit-fresh.XXXXXX")}
    mkdir -p "$root"
    echo "fresh: $suite in $root" >&2
    tar -C "$root" -xpf "$base"
    echo 'debian ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/debian"
    chmod 440 "$root/etc/sudoers.d/debian"
    chroot "$root" useradd -m -s /bin/bash debian
    # What this host needs to reach the network at all: names, proxies, certificates, apt's sources.
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    if [ "$suite" = "$(. /etc/os-release && echo "$VERSION_CODENAME")" ]; then
        cp -r /etc/apt/sources.list.d/debian.sources "$root/etc/apt/sources.list.d/" 2>/dev/null &&
            rm -f "$root/etc/apt/sources.list"
    fi
    for f in /etc/apt/apt.conf.d/*; do
        grep -qE 'Acquire::' "$f" && cp "$f" "$root/etc/apt/apt.conf.d/"
    done
    mkdir -p "$root/usr/local/share/ca-certificates"
    cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
    chroot "$root" update-ca-certificates >/dev/null 2>&1
fi
[ -n "$keep" ] || trap 'rm -rf --one-file-system "$root"' EXIT

home=/root who=root
if [ -n "$user" ]; then home=/home/debian who=debian; fi
rm -rf --one-file-system "${root:?}$home/conduit.new"
git clone -q --no-hardlinks . "$root$home/conduit.new"
if [ -d "$root$home/conduit" ]; then # going on in a root: keep what was built there
    git -C "$root$home/conduit" -c safe.directory='*' fetch -q "$root$home/conduit.new" HEAD
    git -C "$root$home/conduit" -c safe.directory='*' reset -q --hard FETCH_HEAD
    rm -rf --one-file-system "${root:?}$home/conduit.new"
else
    mv "$root$home/conduit.new" "$root$home/conduit"
fi
chroot "$root" chown -R "$who" "$home/conduit"

# Proxies and certificates by environment, as the host has them; nothing else of it.
pass=()
while IFS='=' read -r name value; do
    case $name in
    http_proxy | https_proxy | no_proxy | HTTP_PROXY | HTTPS_PROXY | NO_PROXY | SSL_CERT_FILE | \
        CURL_CA_BUNDLE | REQUESTS_CA_BUNDLE | PIP_CERT | NODE_EXTRA_CA_CERTS | GIT_SSL_CAINFO)
        pass+=("$name=$value") ;;
    esac
done < <(env)

# --- the command ------------------------------------------------------------------------------------
export root
inside='
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs -o mode=755 dev "$root/dev"
    for d in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$root/dev/${d%:*}" c 1 "${d#*:}"; done
    mknod -m 666 "$root/dev/tty" c 5 0
    mkdir "$root/dev/shm" "$root/dev/pts"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s fd/0 "$root/dev/stdin"; ln -s fd/1 "$root/dev/stdout"; ln -s fd/2 "$root/dev/stderr"
    exec chroot "$root" "$@"'
rc=0
unshare --mount --pid --fork --kill-child --propagation private \
    bash -ec "$inside" fresh env -i HOME="$home" USER="$who" LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${pass[@]}" \
    setpriv --reuid="$who" --regid="$who" --init-groups \
    bash -c 'cd ~/conduit && exec "$@"' fresh "$@" || rc=$?
[ -z "$keep" ] || echo "fresh: left in $root" >&2
exit $rc

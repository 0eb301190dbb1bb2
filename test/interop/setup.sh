#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds one foreign peer of the interoperation tests into the user's cache and says how to start it.
#
#   setup.sh js|rust|go
#
# stdout has exactly one line: "run COMMAND…" or "skip REASON"; progress goes to stderr. Exit 1 is a
# build that should have worked and did not. Called again it takes a fraction of a second.
#
# The hard thing: nothing may land in the checkout, so that a fresh clone on the same machine starts
# at once, and two checkouts may build at the same time. So what is downloaded is keyed by the digest
# of the lock file, what is built by the digest of the sources, and each is put in place by a rename.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/conduit/interop
mkdir -p "$cache"

say() { echo "setup: $*" >&2; }
skip() { echo "skip $*"; exit 0; }
digest() { cat "$@" | sha256sum | cut -c1-16; }

# newer_or_equal HAVE WANT: compares dotted versions.
newer_or_equal() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# npm ci into a folder named by the lock file; the program is copied beside node_modules, since ES
# modules are looked up from where the program lies.
setup_js() {
    tree=$cache/js-$(digest "$here/js/package.json" "$here/js/package-lock.json")
    if [ ! -d "$tree" ]; then
        command -v npm >/dev/null || skip "npm is not installed"
        say "installing js-libp2p (once)"
        rm -rf "$tree.$$"
        mkdir "$tree.$$"
        cp "$here/js/package.json" "$here/js/package-lock.json" "$tree.$$"
        (cd "$tree.$$" && npm ci --ignore-scripts --no-audit --no-fund >&2) || {
            rm -rf "$tree.$$"
            say "npm ci failed"
            exit 1
        }
        mv -T "$tree.$$" "$tree" 2>/dev/null || rm -rf "$tree.$$"
    fi
    node=$(command -v node || true)
    if [ -z "$node" ] || ! newer_or_equal "$("$node" --version | tr -d v)" 22; then
        node=$(ls "$tree"/node_modules/node-linux-*/bin/node 2>/dev/null | head -n 1)
        [ -n "$node" ] || skip "Node 22 or newer is needed, and npm has none for $(uname -m)"
    fi
    program=$tree/peer-$(digest "$here/js/peer.mjs").mjs
    [ -f "$program" ] || { cp "$here/js/peer.mjs" "$program.$$" && mv "$program.$$" "$program"; }
    echo "run $node $program"
}

setup_rust() {
    program=$cache/rust-peer-$(digest "$here/rust/Cargo.lock" "$here/rust/Cargo.toml" \
        "$here"/rust/src/*.rs)
    if [ ! -x "$program" ]; then
        command -v cargo >/dev/null || skip "cargo is not installed"
        version=$(cargo --version | cut -d' ' -f2)
        newer_or_equal "$version" 1.88 ||
            skip "cargo $version is older than 1.88, which rust-libp2p needs"
        say "building the rust peer (two minutes the first time)"
        target=$cache/rust-target
        (cd "$here/rust" && CARGO_TARGET_DIR=$target nice cargo build --release --locked \
            -j "${JOBS:-2}" >&2) || { say "cargo build failed"; exit 1; }
        cp "$target/release/conduit-interop-peer" "$program.$$"
        mv "$program.$$" "$program"
    fi
    echo "run $program"
}

setup_go() {
    program=$cache/go-peer-$(digest "$here/go/go.mod" "$here/go/go.sum" "$here"/go/*.go)
    if [ ! -x "$program" ]; then
        command -v go >/dev/null || skip "go is not installed"
        version=$(GOTOOLCHAIN=local go version | sed 's/^go version go\([0-9.]*\).*/\1/')
        newer_or_equal "$version" 1.26 ||
            skip "go $version is older than 1.26, which go-libp2p needs"
        say "building the go peer (a minute the first time)"
        (cd "$here/go" && GOTOOLCHAIN=local nice go build -trimpath -mod=readonly \
            -p "${JOBS:-2}" -o "$program.$$" . >&2) || { say "go build failed"; exit 1; }
        mv "$program.$$" "$program"
    fi
    echo "run $program"
}

case ${1:-} in
    js | rust | go) "setup_$1" ;;
    *)
        echo "usage: setup.sh js|rust|go" >&2
        exit 2
        ;;
esac

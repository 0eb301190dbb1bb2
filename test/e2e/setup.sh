#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Gets the OpenAI SDKs that test_sdk.py runs into the user's cache and says how to run each.
#
#   setup.sh [py|py028|js]…        no name: all of them
#
# For each name one line on stdout, "NAME run COMMAND…" or "NAME skip REASON"; progress goes to
# stderr. Versions are pinned with their hashes in requirements*.txt and package-lock.json. Called
# again it takes some milliseconds: a folder is named by the digest of its pins, and it counts only
# once it is whole, so what a failed download leaves is thrown away. Two checkouts take turns.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/conduit/e2e
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

say() { echo "setup: $*" >&2; }
digest() { cat "$@" | sha256sum | cut -c1-16; }
newer_or_equal() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# A virtual environment knows its own path, so it is made in its place; the mark that it is whole
# comes last.
setup_python() { # NAME REQUIREMENTS
    command -v python3 >/dev/null || { echo "$1 skip python3 is not installed"; return; }
    python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    venv=$cache/$1-$python-$(digest "$2")
    if [ ! -f "$venv/whole" ]; then
        say "installing $(sed -n 's/^openai==\([^ ]*\).*/openai \1/p' "$2") for Python $python (once)"
        rm -rf "$venv"
        if python3 -m venv "$venv" >&2 &&
            "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes \
                --only-binary :all: -r "$2" >"$venv.log" 2>&1; then
            : >"$venv/whole"
            rm -f "$venv.log"
        else
            why=$(grep -m 1 -i error "$venv.log" 2>/dev/null | cut -c1-120 || true)
            rm -rf "$venv" "$venv.log"
            echo "$1 skip pip could not install the SDK: ${why:-no virtual environment}"
            return
        fi
    fi
    echo "$1 run $venv/bin/python"
}

setup_js() {
    tree=$cache/js-$(digest "$here/package.json" "$here/package-lock.json")
    if [ ! -d "$tree" ]; then
        command -v npm >/dev/null || { echo "js skip npm is not installed"; return; }
        say "installing the OpenAI SDK for Node.js (once)"
        rm -rf "$tree.$$"
        mkdir "$tree.$$"
        cp "$here/package.json" "$here/package-lock.json" "$tree.$$"
        (cd "$tree.$$" && npm ci --ignore-scripts --no-audit --no-fund >&2) || {
            rm -rf "$tree.$$"
            echo "js skip npm could not install the SDK"
            return
        }
        mv "$tree.$$" "$tree"
    fi
    node=$(command -v node || true)
    if [ -z "$node" ] || ! newer_or_equal "$("$node" --version | tr -d v)" 22; then
        node=$(ls "$tree"/node_modules/node-linux-*/bin/node 2>/dev/null | head -n 1)
    fi
    [ -n "$node" ] || { echo "js skip Node 22 or newer is needed, and npm has none for $(uname -m)"; return; }
    # ES modules are looked up from where the program lies.
    program=$tree/sdk-$(digest "$here/sdk.mjs").mjs
    [ -f "$program" ] || { cp "$here/sdk.mjs" "$program.$$" && mv "$program.$$" "$program"; }
    echo "js run $node $program"
}

[ $# -gt 0 ] || set -- py py028 js
for name; do
    case $name in
    py) setup_python py "$here/requirements.txt" ;;
    py028) setup_python py028 "$here/requirements-028.txt" ;;
    js) setup_js ;;
    *) echo "usage: setup.sh [py|py028|js]…" >&2; exit 2 ;;
    esac
done

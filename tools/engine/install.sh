#!/bin/sh
# SPDX-License-Identifier: MIT
# Gets a llama-server, by the first way that works:
#   1  one that is there already, in PATH or in the cache, and new enough
#   2  the distribution's own package, when this is root and the package is new enough
#   3  on Debian and Ubuntu: the signed packages of a newer Debian suite, unpacked into the cache and
#      run by their own loader (no root, no compiler; nothing outside the cache is touched)
#   4  a pinned source release, checked by its SHA-256 and built (CONDUIT_ENGINE_SOURCE=URL and
#      CONDUIT_ENGINE_SHA256=… name it; cmake and a C++ compiler are needed)
# Read from stdin by `conduit engine install`, so no command here may read stdin.
set -eu
main() {
FLOOR=10400
case "${XDG_CACHE_HOME:-}" in # as engine_cache_dir does
    /*) cache="$XDG_CACHE_HOME/conduit/engine" ;;
    *) cache="${HOME:-/root}/.cache/conduit/engine" ;;
esac
say() { echo "engine: $*" >&2; }
build_of() { timeout 20 "$1" --version 2>&1 </dev/null |
    sed -n 's/^version: .*(b\([0-9][0-9]*\).*/\1/p; s/^version: .*(build \([0-9][0-9]*\).*/\1/p; s/^version: \([0-9][0-9]*\) (.*/\1/p' | head -n 1; }
good() { [ -x "$1" ] && b=$(build_of "$1") && [ -n "$b" ] && [ "$b" -ge $FLOOR ]; }

have=$(command -v llama-server || true)
found() { say "$1 is there (b$b)"; exit 0; }
for p in "$have" "$cache/bin/llama-server"; do good "$p" && found "$p"; done

# One at a time; a second one finds what the first has fetched. What a killed one left is removed.
mkdir -p "$cache"
exec 9>"$cache/lock"
if command -v flock >/dev/null && ! flock -n 9; then
    say "another install is under way -> waiting for it"
    flock -w 600 9 || { say "it has not ended in ten minutes"; exit 1; }
fi
rm -rf "$cache"/fetch.*

good "$cache/bin/llama-server" && found "$cache/bin/llama-server"
for p in "$have" "$cache/bin/llama-server"; do
    [ -n "$p" ] && [ -x "$p" ] && say "$p is older than b$FLOOR, which has known holes, or does not say -> not used"
done
gpu=""; for d in /dev/dri/renderD*; do [ -e "$d" ] && gpu=1; done

# --- 2: the distribution's package
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -z "${CONDUIT_ENGINE_NO_APT:-}" ]; then
    pkg=$(apt-cache search --names-only '^llama.cpp-tools$' 2>/dev/null </dev/null | cut -d' ' -f1)
    if [ -n "$pkg" ]; then
        say "installing $pkg with apt"
        apt-get install -y -qq $pkg ${gpu:+libggml0-backend-vulkan} >&2 </dev/null || true
        p=$(command -v llama-server || true)
        if [ -n "$p" ] && good "$p"; then say "$p (b$b)"; exit 0; fi
    fi
fi

# --- 3: packages of a newer suite, into the cache
debian() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r $key ] || { say "no Debian keyring at $key (package debian-archive-keyring)"; return 1; }
    mirror="${CONDUIT_ENGINE_MIRROR:-}"
    if [ -z "$mirror" ]; then # the system's own, when it is Debian's
        mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
            tr ' ' '\n' | grep -E '^(https?|file)://.*/debian/?$' | head -n 1) || true
    fi
    mirror="${mirror:-http://deb.debian.org/debian}"
    arch=$(dpkg --print-architecture)
    case $arch in amd64) triple=x86_64-linux-gnu ld=ld-linux-x86-64.so.2 ;;
        arm64) triple=aarch64-linux-gnu ld=ld-linux-aarch64.so.1 ;;
        *) say "no packages are known for $arch"; return 1 ;; esac
    work=$(mktemp -d "$cache/fetch.XXXXXX"); trap 'rm -rf "$work"' EXIT
    for suite in ${CONDUIT_ENGINE_SUITE:-forky sid}; do
        mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/etc" "$work/root"
        echo "deb [signed-by=$key] $mirror $suite main" >"$work/etc/sources.list"
        conf="$work/etc/apt.conf"
        cat >"$conf" <<END
Dir::Etc::SourceList "$work/etc/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$work/lists";
Dir::Cache "$work/cache";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
APT::Sandbox::User "root";
END
        say "reading the list of packages of Debian $suite from $mirror"
        APT_CONFIG="$conf" apt-get update -qq >"$work/why" 2>&1 </dev/null || { say "$suite cannot be read"; continue; }
        # Without a network apt warns and is content: nothing came, and the next suite would be no nearer.
        if [ -z "$(find "$work/lists" -name '*_Packages*' -print -quit)" ]; then
            unreached=$mirror
            return 1
        fi
        want="llama.cpp-tools libllama0 libggml0 libc6 libgcc-s1 libssl3t64 libstdc++6 libgomp1 libzstd1 zlib1g"
        [ -n "$gpu" ] && want="$want libggml0-backend-vulkan libvulkan1"
        say "fetching 12 MB of signed packages"
        (cd "$work/debs" && APT_CONFIG="$conf" apt-get download -q $want >&2 </dev/null) ||
            { say "$suite lacks some of: $want"; continue; }
        for d in "$work"/debs/*.deb; do dpkg -x "$d" "$work/root" >&2 || return 1; done
        lib="$work/root/usr/lib/$triple"
        for so in "$lib"/ggml/backends0/*.so; do # llama.cpp looks beside the loader
            [ -e "$so" ] && ln -sf "ggml/backends0/$(basename "$so")" "$lib/"
        done
        mkdir -p "$work/bin"
        cat >"$work/bin/llama-server" <<END
#!/bin/sh
L="$cache/root/usr/lib/$triple"
exec "\$L/$ld" --library-path "\$L:\$L/llama" "$cache/root/usr/bin/llama-server" "\$@"
END
        chmod 755 "$work/bin/llama-server"
        rm -rf "$cache/root.old"; [ ! -e "$cache/root" ] || mv "$cache/root" "$cache/root.old"
        mv "$work/root" "$cache/root"
        mkdir -p "$cache/bin" && mv "$work/bin/llama-server" "$cache/bin/llama-server"
        rm -rf "$cache/root.old"
        if good "$cache/bin/llama-server"; then
            say "$cache/bin/llama-server (b$b, Debian $suite)"; return 0
        fi
        say "what Debian $suite has does not run here, or is older than b$FLOOR"
        rm -f "$cache/bin/llama-server"
    done
    return 1
}
if debian; then
    [ -z "$gpu" ] || say "a GPU is there; the Vulkan backend was installed with it"
    exit 0
fi

# --- 4: from source
source_build() {
    [ -n "${CONDUIT_ENGINE_SOURCE:-}" ] && [ -n "${CONDUIT_ENGINE_SHA256:-}" ] || return 1
    command -v cmake >/dev/null && command -v c++ >/dev/null || { say "cmake and c++ are needed"; return 1; }
    mkdir -p "$cache/src" && cd "$cache/src"
    say "fetching $CONDUIT_ENGINE_SOURCE"
    curl -fsSL -o llama.tar.gz "$CONDUIT_ENGINE_SOURCE" </dev/null || return 1
    echo "$CONDUIT_ENGINE_SHA256  llama.tar.gz" | sha256sum -c - >&2 || return 1
    rm -rf tree && mkdir tree && tar -xzf llama.tar.gz -C tree --strip-components=1
    say "building; this takes some minutes"
    cmake -S tree -B out -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF -DBUILD_SHARED_LIBS=OFF >&2 </dev/null &&
        cmake --build out --target llama-server -j "$(nproc)" >&2 </dev/null || return 1
    mkdir -p "$cache/bin" && cp out/bin/llama-server "$cache/bin/llama-server" && good "$cache/bin/llama-server"
}
if source_build; then say "$cache/bin/llama-server (b$b, from source)"; exit 0; fi
if [ -n "${unreached:-}" ]; then
    say "$unreached cannot be reached: is there a network? Once it has been there, no network is needed again."
    say "Without one: copy $cache from another machine, name a llama-server with --llama-server PATH, or use another engine with --backend URL; what needs no GGUF works without a network"
    exit 1
fi
say "no way worked. Install llama.cpp (b$FLOOR or newer) yourself and name it with --llama-server PATH,"
say "or use another engine with --backend URL"
exit 1
}
main "$@"

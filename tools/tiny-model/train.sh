#!/bin/sh
# SPDX-License-Identifier: MIT
# Trains models/conduit-tiny.gguf anew from text/ alone: train.sh [--out FILE] [--steps N] [--seed N]
# One thread at low priority, about a quarter of an hour. JAX is installed into the user's cache.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/conduit
venv=$cache/tiny-model-venv

if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    echo "getting JAX (CPU), NumPy and gguf into $venv"
    mkdir -p "$cache"
    [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

# JAX asks for the same large buffers in every step; without these, malloc gives each of them back
# to the kernel, and clearing pages takes 40 % of the time.
export MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_ARENA_MAX=1
export NPROC=1 OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu XLA_FLAGS=--xla_cpu_multi_thread_eigen=false

cd "$here/../.."
exec nice -n 10 "$venv/bin/python" -B "$here/train.py" "$@"

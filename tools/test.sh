#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# `make test`: every stage in turn, then one line with the sum. A stage is a command that writes
# "passed failed skipped" to $COUNTS and prints "skip NAME: reason" for what it leaves out.
set -uo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
total_p=0 total_f=0 total_s=0

stage() { # NAME COMMAND…
    local name=$1 p=0 f=0 s=0 rc; shift
    echo "== $name"
    COUNTS=$work/counts; : >"$COUNTS"
    COUNTS=$COUNTS UNIT_COUNTS=$COUNTS "$@" 2>&1 | tee "$work/out"
    rc=${PIPESTATUS[0]}
    read -r p f s <"$COUNTS" || true
    p=${p:-0} f=${f:-0} s=${s:-0}
    # A stage that died without counting is a failure; so is one that counted none but exited non-zero.
    if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; echo "FAILED $name: exit $rc"; fi
    if [ "$rc" -eq 0 ] && [ $((p + f + s)) -eq 0 ]; then f=1; echo "FAILED $name: it ran no test"; fi
    grep -h '^skip ' "$work/out" >>"$work/skips" || true
    total_p=$((total_p + p)) total_f=$((total_f + f)) total_s=$((total_s + s))
}

make=${MAKE:-make}
stage check "$make" --no-print-directory check
for t in test/stages/*.sh; do
    [ -e "$t" ] && stage "$(basename "$t" .sh)" bash "$t"
done

echo
[ -s "$work/skips" ] && { echo "skipped:"; sed 's/^skip /  /' "$work/skips"; }
echo "$total_p passed, $total_f failed, $total_s skipped"
[ "$total_f" -eq 0 ]

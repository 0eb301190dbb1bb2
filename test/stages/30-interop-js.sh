# SPDX-License-Identifier: MIT
# Our libp2p against js-libp2p, both ways. (rust and go: make interop.)
cd "$(dirname "$0")/../.." || exit 1
out=$(mktemp)
make --no-print-directory interop PEERS=js 2>&1 | tee "$out"
rc=${PIPESTATUS[0]}
sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$out" | tail -n 1 >"$COUNTS"
rm -f "$out"
exit "$rc"

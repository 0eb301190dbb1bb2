# SPDX-License-Identifier: MIT
# The rooms with threads under ThreadSanitizer: the loop's workers and names, the engine's digests.
cd "$(dirname "$0")/../.." || exit 1
p=0 f=0 s=0 rc=0
for room in loop engine; do
    counts=$(mktemp)
    UNIT_COUNTS=$counts make --no-print-directory CFG=tsan ROOM=$room unit || rc=1
    read -r a b c <"$counts" || { a=0 b=1 c=0; }
    p=$((p + a)) f=$((f + b)) s=$((s + c))
    rm -f "$counts"
done
echo "$p $f $s" >"$COUNTS"
exit $rc

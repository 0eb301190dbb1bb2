# SPDX-License-Identifier: MIT
# Every fuzz target for ten seconds; one test each.
cd "$(dirname "$0")/../.." || exit 1
if ! command -v clang clang-19 clang-16 clang-14 >/dev/null 2>&1; then
    echo "skip fuzz-smoke: no clang (apt install clang)"
    echo "0 0 1" >"$COUNTS"
    exit 0
fi
make --no-print-directory -j2 fuzz-build || exit 1
passed=0 failed=0
for t in test/fuzz/fuzz_*.c; do
    name=$(basename "$t" .c); name=${name#fuzz_}
    if out=$(make --no-print-directory fuzz F="$name" S="${FUZZ_SECONDS:-10}" 2>&1); then
        passed=$((passed + 1))
        echo "ok   fuzz $name: $(grep -o 'number_of_executed_units: *[0-9]*' <<<"$out" | grep -o '[0-9]*$') inputs"
    else
        failed=$((failed + 1))
        echo "FAIL fuzz $name"; tail -n 30 <<<"$out"
    fi
done
echo "$passed $failed 0" >"$COUNTS"
[ "$failed" -eq 0 ]

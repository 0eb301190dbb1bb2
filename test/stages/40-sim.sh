# SPDX-License-Identifier: MIT
# Simulated networks: SIM_SEEDS seeds (12; CI's 100) of 50 whole nodes for ten virtual minutes with
# all faults, without a violation; one with sybils; and one seed twice with the same log hash.
cd "$(dirname "$0")/../.." || exit 1
make --no-print-directory build/conduit || exit 1
seeds=${SIM_SEEDS:-12} out=$(mktemp -d) p=0 f=0
export out

one() {
    if build/conduit sim --seed "$1" --quiet >"$out/$1" 2>&1; then
        echo ok >"$out/$1.rc"
    else
        echo failed >"$out/$1.rc"
    fi
}
export -f one
seq 1 "$seeds" | xargs -P "${JOBS:-2}" -I{} bash -c 'one {}'
for seed in $(seq 1 "$seeds"); do
    if [ "$(cat "$out/$seed.rc")" = ok ]; then
        p=$((p + 1))
    else
        f=$((f + 1))
        echo "seed $seed:"
        cat "$out/$seed"
    fi
done
# A net of names that all belong to one machine.
if build/conduit sim --seed 1 --nodes 20 --sybils 30 --quiet >"$out/sybils" 2>&1; then
    p=$((p + 1))
else
    f=$((f + 1))
    cat "$out/sybils"
fi
hash() { build/conduit sim --seed 1 --nodes 20 --quiet | grep 'log hash'; }
a=$(hash) b=$(hash)
if [ -n "$a" ] && [ "$a" = "$b" ]; then
    p=$((p + 1))
else
    f=$((f + 1))
    echo "seed 1 is not the same twice: '$a', '$b'; repeat with: build/conduit sim --seed 1 --nodes 20 --log FILE"
fi
cat "$out"/[0-9]* | awk '/^questions/ {q += $2} /^fault/ {n += $3} END {print "sim: " q " questions, " n " faults"}'
rm -rf "$out"
echo "$p $f 0" >"$COUNTS"
[ "$f" -eq 0 ]

# SPDX-License-Identifier: MIT
# Real networks: namespaces of this machine. Root only; each test is skipped by name elsewhere.
cd "$(dirname "$0")/../net" || exit 1
rc=0
for t in test_*.py; do
    echo "-- $t"
    timeout 900 python3 "$t" || rc=1
done
exit $rc

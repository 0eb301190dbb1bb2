# SPDX-License-Identifier: MIT
# End to end: real processes, real sockets, a real llama-server where there is one.
cd "$(dirname "$0")/../e2e" || exit 1
./setup.sh >/dev/null # the SDKs, once; what cannot be had is skipped by test_sdk.py, with the reason
rc=0
for t in test_*.py; do
    echo "-- $t"
    timeout 900 python3 "$t" || rc=1
done
exit $rc

# SPDX-License-Identifier: MIT
# Real nodes in network namespaces: every pair of NATs, moving machines, paths with delay (test/net).
# Needs root, ip and nft; elsewhere each test is skipped by name.
.PHONY: test-net bench-path
bench-path: $(B)/interop-peer ## our libp2p and others over a path of 60 ms (root)
	@python3 test/net/bench_path.py --ours $(B)/interop-peer $(BENCH)

test-net: build/conduit ## real nodes behind real NATs in network namespaces (root; T=glob, JOBS=3)
	@rc=0; for t in test/net/test_*.py; do echo "-- $$t"; python3 $$t "$(or $(T),*)" || rc=1; done; exit $$rc

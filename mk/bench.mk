# SPDX-License-Identifier: MIT
# Speed, as ratios to yardsticks measured in the same run: test/bench/run.py. Never part of a test.
#
#   make bench                    every figure, nine rounds; the table of docs/PERFORMANCE.md
#   make bench QUICK=1            three short rounds
#   make bench BENCH="--profile events-by-1 --on two"      where the time goes
$(B)/bench-%: $(B)/test/bench/%.o $(B)/test/bench/wire.o
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

$(B)/bench-idle: $(B)/test/bench/idle.o $(call libs,p2p loop codec base)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(call libs,p2p loop codec base) -Wl,--end-group $(LIBS)

.PHONY: bench-idle
bench-idle: $(B)/bench-idle build/conduit ## memory of 10,000 idle peers (COUNT=…)
	@test/bench/idle.py $(if $(COUNT),--count $(COUNT))

.PHONY: bench bench-build
bench-build: $(B)/bench-mock $(B)/bench-load build/conduit $(if $(wildcard test/interop/c/*.c),$(B)/interop-peer)
bench: ## figures beside nginx, HAProxy and other libp2ps (QUICK=1, BENCH="--only …")
	@tools/setup.sh bench
	@$(MAKE) --no-print-directory bench-build
	@python3 test/bench/run.py $(if $(QUICK),--quick) $(BENCH)

# SPDX-License-Identifier: MIT
# Small benchmarks of one room, without sockets: test/bench/bench_NAME.c. They print, and judge nothing.
MICRO_BINS := $(patsubst %.c,$(B)/%,$(wildcard test/bench/bench_*.c))

$(B)/test/bench/bench_%: $(B)/test/bench/bench_%.o $(call libs,$(ROOMS)) $(TESTLIB_OBJ)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(TESTLIB_OBJ) -Wl,--start-group $(call libs,$(ROOMS)) -Wl,--end-group $(LIBS)

.PHONY: bench-micro
bench-micro: $(MICRO_BINS) ## nanoseconds of single rooms, without sockets
	@for b in $^; do $$b || exit 1; done

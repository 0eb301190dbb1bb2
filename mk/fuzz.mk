# SPDX-License-Identifier: MIT
# libFuzzer targets: test/fuzz/fuzz_NAME.c has one LLVMFuzzerTestOneInput; every room is linked in.
#
#   make fuzz F=yamux S=60        one target, for 60 seconds
#   make fuzz-smoke               each target for ten seconds (S=…)
#
# What a run finds worth keeping stays in build/fuzz/corpus/NAME; test/fuzz/seeds/NAME, where there
# is one, is where it starts. A crash leaves its input in build/fuzz/crash/ and says how to repeat it.
FUZZ_CC ?= $(firstword $(shell command -v clang clang-19 clang-16 clang-14 2>/dev/null))
OPT_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
            -fno-omit-frame-pointer
FUZZ_LIBS  := -lcmocka # fixtures of the unit tests
FUZZ_NAMES := $(patsubst test/fuzz/fuzz_%.c,%,$(wildcard test/fuzz/fuzz_*.c))
FUZZ_FLAGS := -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 -verbosity=0

build/fuzz/run_%: build/fuzz/test/fuzz/fuzz_%.o $(if $(filter fuzz,$(CFG)),$(TESTLIB_OBJ)) $(if $(filter fuzz,$(CFG)),$(call libs,$(ROOMS)))
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< $(TESTLIB_OBJ) -Wl,--start-group $(call libs,$(ROOMS)) -Wl,--end-group $(LIBS) $(FUZZ_LIBS)

define fuzz_one
	mkdir -p build/fuzz/corpus/$(1) build/fuzz/crash && echo "fuzz $(1): $(2) s" && \
	build/fuzz/run_$(1) $(FUZZ_FLAGS) -max_total_time=$(2) -artifact_prefix=build/fuzz/crash/$(1)- \
	    build/fuzz/corpus/$(1) $(wildcard test/fuzz/seeds/$(1)) 2>&1 | \
	    { grep -vE '^(INFO:|#+|"|stat::([^n]|new))|NEW_FUNC' || true; }; [ $${PIPESTATUS[0]} -eq 0 ] || \
	    { echo "repeat with: build/fuzz/run_$(1) build/fuzz/crash/$(1)-…"; exit 1; }
endef

.PHONY: fuzz fuzz-smoke fuzz-build
fuzz-build:
	@[ -n "$(FUZZ_CC)" ] || { echo "fuzzing needs clang: apt install clang"; exit 1; }
	@$(MAKE) --no-print-directory CFG=fuzz CC=$(FUZZ_CC) $(FUZZ_NAMES:%=build/fuzz/run_%)

fuzz: ## one fuzz target: F=name, S=seconds
	@[ -f "test/fuzz/fuzz_$(F).c" ] || { echo "which one? F= one of: $(FUZZ_NAMES)"; exit 2; }
	@[ -n "$(FUZZ_CC)" ] || { echo "fuzzing needs clang: apt install clang"; exit 1; }
	@$(MAKE) --no-print-directory CFG=fuzz CC=$(FUZZ_CC) build/fuzz/run_$(F)
	@$(call fuzz_one,$(F),$(or $(S),60))

fuzz-smoke: fuzz-build ## every fuzz target for ten seconds
	@$(foreach f,$(FUZZ_NAMES),$(call fuzz_one,$(f),$(or $(S),10)) &&) true

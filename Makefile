# SPDX-License-Identifier: MIT
# The one front door. `make help` says what there is.
#
#   CFG=release|debug|asan|tsan   which build (build/CFG/…); release is the default
#   ROOM=name                     for `make check`: only that room and what it stands on
SHELL := /bin/bash
CFG   ?= release
CC    ?= gcc
Q     ?= @
JOBS  ?= $(shell nproc 2>/dev/null || echo 2)
B     := build/$(CFG)

# Who stands on whom: DESIGN.md, "Rooms". Order matters to the linker: users first.
ROOMS := sim node gateway engine guard route offer dht p2p http store loop codec base
ROOMS := $(foreach r,$(ROOMS),$(if $(wildcard src/$(r)/*.c),$(r)))
need_base    :=
need_codec   := base
need_loop    := base
need_store   := base
need_http    := loop codec base
need_p2p     := loop codec base
need_dht     := loop codec base
need_offer   := store codec base
need_route   := offer store codec base
need_guard   := offer store codec base
need_engine  := http loop store codec base
need_gateway := engine guard route offer http loop store codec base
need_node    := gateway engine guard route offer dht p2p http store loop codec base
need_sim     := node $(need_node)

-include config.mk
CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/conduit
export PKG_CONFIG_PATH := $(CACHE)/deps/lib/pkgconfig:$(PKG_CONFIG_PATH)
PKGS   := libuv libsodium libcrypto libssl libsecp256k1 sqlite3 yyjson libcares yaml-0.1
PKG_CFLAGS := $(shell PKG_CONFIG_PATH="$(PKG_CONFIG_PATH)" pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell PKG_CONFIG_PATH="$(PKG_CONFIG_PATH)" pkg-config --libs $(PKGS) 2>/dev/null)
VERSION    := 0.1.0
GIT        := $(shell git rev-parse --short HEAD 2>/dev/null || echo none)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
        -Wno-unused-parameter -Wno-missing-field-initializers $(if $(findstring clang,$(CC)),,-Wno-format-truncation)
WERROR ?= -Werror
OPT_release := -O2 -g -fno-plt -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPT_debug   := -O0 -g3
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
CFLAGS  += -std=gnu17 -D_GNU_SOURCE $(WARN) $(WERROR) $(OPT_$(CFG)) -Isrc -Iinclude $(PKG_CFLAGS) \
           -fno-strict-aliasing -MMD -MP
override LDFLAGS += $(filter -fsanitize=%,$(OPT_$(CFG)))
LIBS    := $(PKG_LIBS) -lpthread -lm

obj  = $(patsubst %.c,$(B)/%.o,$(wildcard src/$(1)/*.c))
libs = $(foreach r,$(1),$(if $(wildcard src/$(r)/*.c),$(B)/lib$(r).a))

.PHONY: all help setup deps
all: build/conduit
.DEFAULT_GOAL := all

help: ## what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- objects, one archive per room ---------------------------------------------------------------
.SECONDARY:
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(CFLAGS_$(*F)) -c -o $@ $<

define room_archive
$(B)/lib$(1).a: $(call obj,$(1))
	$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_archive,$(r))))

CMD_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard cmd/conduit/*.c))
CFLAGS_version := -DCONDUIT_VERSION='"$(VERSION)"' -DCONDUIT_GIT='"$(GIT)"'
# version.o is made anew when the commit is another one.
.PHONY: force
$(B)/commit: force
	@mkdir -p $(@D)
	@echo '$(GIT)' | cmp -s - $@ || echo '$(GIT)' > $@
$(B)/cmd/conduit/version.o: $(B)/commit
$(B)/conduit: $(CMD_OBJ) $(call libs,$(ROOMS))
	$(Q)$(CC) $(LDFLAGS) -o $@ $(CMD_OBJ) -Wl,--start-group $(call libs,$(ROOMS)) -Wl,--end-group $(LIBS)
build/conduit: $(B)/conduit
	$(Q)ln -sf $(CFG)/conduit $@

# --- unit and trace tests ------------------------------------------------------------------------
# test/unit/ROOM/test_x.c is one program, linked with ROOM and what it stands on.
TESTS  := $(wildcard test/unit/*/test_*.c)
ifdef ROOM
TESTS  := $(wildcard test/unit/$(ROOM)/test_*.c)
endif
TEST_BINS := $(TESTS:%.c=$(B)/%)
room_of = $(word 3,$(subst /, ,$(1)))
TESTLIB_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard test/lib/*.c))
CFLAGS_TEST := -Itest/lib -Itest
$(B)/test/%.o: CFLAGS += $(CFLAGS_TEST)

define unit_test
$(B)/$(1:.c=): $(B)/$(1:.c=.o) $(call libs,$(call room_of,$(1)) $(need_$(call room_of,$(1)))) $(TESTLIB_OBJ)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$< $(TESTLIB_OBJ) -Wl,--start-group $(call libs,$(call room_of,$(1)) $(need_$(call room_of,$(1)))) -Wl,--end-group $$(LIBS) -lcmocka
endef
$(foreach t,$(wildcard test/unit/*/test_*.c),$(eval $(call unit_test,$(t))))

.PHONY: unit check
unit: $(TEST_BINS)
	@test/lib/run-unit $(TEST_BINS)

check: ## unit and trace tests under ASan+UBSan (ROOM=name for one room)
	@$(MAKE) --no-print-directory CFG=asan unit

-include $(wildcard $(B)/src/*/*.d $(B)/cmd/conduit/*.d $(B)/test/*/*.d $(B)/test/*/*/*.d)
-include $(wildcard mk/*.mk)

setup: ## install what is missing (apt, through sudo where not root)
	@tools/setup.sh test

# --- the main commands -----------------------------------------------------------------------------
.PHONY: run test engine tiny-model docs install
run: ## two nodes, a question, the answer (ONCE=1: exit after it)
	@tools/setup.sh build
	@$(MAKE) --no-print-directory -j$(JOBS) WERROR= build/conduit
	@build/conduit engine install
	@tools/run.sh

test: ## everything: check, fuzz-smoke, js-libp2p, end to end; ends with a count
	@tools/setup.sh test
	@$(MAKE) --no-print-directory build/conduit
	@build/conduit engine install || true
	@tools/test.sh

engine: build/conduit ## get a llama-server (found, or fetched once into the cache)
	@build/conduit engine install

tiny-model: ## models/conduit-tiny.gguf anew, from its text (a quarter of an hour)
	@tools/tiny-model/train.sh

docs: build/conduit ## docs/CONFIG.md from the table of options
	@build/conduit up --help-markdown > docs/CONFIG.md

PREFIX ?= /usr/local
install: build/conduit ## into PREFIX (/usr/local)
	install -D -m 755 $(B)/conduit $(DESTDIR)$(PREFIX)/bin/conduit

.PHONY: format
format: ## the C sources as .clang-format says
	@git ls-files '*.c' '*.h' | xargs $(firstword $(shell command -v clang-format clang-format-14)) -i

# SPDX-License-Identifier: MIT
# Our peer for the interoperation tests, and the matrix: test/interop/README.md.
#
#   make interop                  ours against js, rust and go
#   make interop PEERS=js ONLY=sse LOG=-
INTEROP_OBJ  := $(patsubst %.c,$(B)/%.o,$(wildcard test/interop/c/*.c))
INTEROP_LIBS := $(call libs,dht p2p http loop codec base)

$(B)/interop-peer: $(INTEROP_OBJ) $(INTEROP_LIBS)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(INTEROP_OBJ) -Wl,--start-group $(INTEROP_LIBS) -Wl,--end-group $(LIBS)

.PHONY: interop interop-peer
interop-peer: $(B)/interop-peer
interop: $(B)/interop-peer build/conduit ## our libp2p against js, rust and go (PEERS=js,… ONLY=text LOG=file)
	@test/interop/run.py --ours $(B)/interop-peer $(if $(PEERS),--peers $(PEERS)) $(if $(ONLY),--only "$(ONLY)") $(if $(LOG),--log $(LOG)) --docs docs/INTEROP.md

-include $(wildcard $(B)/test/interop/c/*.d)

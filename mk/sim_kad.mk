# SPDX-License-Identifier: MIT
# How long a lookup takes in a large network: the DHT's own nodes, one message a request, virtual time.
#
#   make sim-kad N=10000 DEAD=30 SEED=1      (LOOKUPS=300 SYBILS=0 NETS=0 KEYS=50 SETTLE=30)
SIM_KAD_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard test/sim/kad*.c))

$(B)/sim-kad: $(SIM_KAD_OBJ) $(call libs,dht codec base)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(SIM_KAD_OBJ) -Wl,--start-group $(call libs,dht codec base) -Wl,--end-group $(LIBS)

.PHONY: sim-kad
sim-kad: $(B)/sim-kad ## lookups among N simulated DHT nodes (DEAD=30 percent silent, SEED=, SYBILS=)
	@N=$(N) DEAD=$(DEAD) SEED=$(SEED) LOOKUPS=$(LOOKUPS) SYBILS=$(SYBILS) NETS=$(NETS) KEYS=$(KEYS) SETTLE=$(SETTLE) $(B)/sim-kad

-include $(wildcard $(B)/test/sim/*.d)

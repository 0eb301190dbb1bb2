# SPDX-License-Identifier: MIT
# A network in one process, in virtual time: `conduit sim --help`.
#
#   make sim SEED=7               fifty nodes, ten minutes, all faults
#   make sim SEED=7 SIM="--nodes 1000 --minutes 60 --svg world.svg"
.PHONY: sim
sim: build/conduit ## a simulated network: SEED=n, SIM="--nodes … --minutes … --svg FILE"
	@build/conduit sim --seed $(or $(SEED),1) $(SIM)

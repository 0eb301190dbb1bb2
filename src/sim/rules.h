// SPDX-License-Identifier: MIT
/* What the rules of a world allow: whom a node that makes no mistake would reach, and so which questions must be
 * answered. Asks the boxes, never the nodes.
 *
 *   a machine without a NAT       whoever is on its side of a partition
 *   one behind a NAT, any kind    the same, as long as nodes that strangers can dial run on that side, which relay,
 *                                 and together have a circuit for each pair of one who asks and one who provides, both
 *                                 behind NATs
 *
 * What has just changed does not count yet: all of it must have been so for SIM_CONVERGE_US. */
#ifndef CONDUIT_SIM_RULES_H
#define CONDUIT_SIM_RULES_H

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_box;

/* Since `since_us` at the latest, and now. */
bool sim_rules_reach(const struct sim_box *from, const struct sim_box *to, uint64_t since_us);
/* Must a question be answered that this box's user asked at `asked_us` and that ends now? Some provider of the model was
 * reachable all along. */
bool sim_rules_must_find(const struct sim_box *from, unsigned model, uint64_t asked_us);

#endif

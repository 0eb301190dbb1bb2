// SPDX-License-Identifier: MIT
/* What goes wrong in a world, when, and for how long: one fault after the other, at random, of the
 * kinds that are allowed, until the healed phase begins; then everybody comes back. */
#ifndef CONDUIT_SIM_FAULTS_H
#define CONDUIT_SIM_FAULTS_H

#include "base/sched.h"

struct sim;

enum { SIM_PARTITIONS = 8 }; /* remembered */

struct sim_faults {
    struct timer next, heal;
    bool is_parted;
    uint64_t parted_us; /* when that became as it is */
    uint64_t ended_us
        [SIM_PARTITIONS]; /* the last ones, the last first; 0: it is not over, or there was none */
    uint64_t silenced_us; /* when somebody fell silent, or a NAT forgot, last */
};

void sim_faults_init(struct sim *s);
void sim_faults_fini(struct sim *s);
void sim_faults_begin(struct sim *s);
/* Everything that is down starts again, within seconds; partitions heal. */
void sim_faults_end(struct sim *s);

#endif

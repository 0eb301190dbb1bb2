// SPDX-License-Identifier: MIT
/* What happened in a world, in order: a line for each event, hashed as it comes and written to a
 * file if there is one. Two runs of a seed must have the same hash; where they part, two files show.
 *
 *   12.345678 n17 asks m-3
 *   12.402113 n17 trace node info offer of … */
#ifndef CONDUIT_SIM_JOURNAL_H
#define CONDUIT_SIM_JOURNAL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct sim_journal {
    uint64_t hash, lines;
    FILE *file; /* or NULL; borrowed */
};

void sim_journal_init(struct sim_journal *j, FILE *file);
/* `who`: the number of a machine, or negative for the world. */
void sim_journal_line(struct sim_journal *j, uint64_t now_us, int who, const char *text);
/* Numbers without a line. */
void sim_journal_mix(struct sim_journal *j, uint64_t v);

#endif

// SPDX-License-Identifier: MIT
/* Running a world from its first node to its last check.
 *
 *   warm-up: nodes start --> faults: things go wrong --> healed: everything must converge --> end
 *
 * One seed gives one run: `log_hash` is over everything that happened, packets included. */
#ifndef CONDUIT_SIM_SIM_H
#define CONDUIT_SIM_SIM_H

#include "base/buf.h"
#include "sim/options.h"

#include <signal.h>

struct sim;

/* `log`: where the journal goes as text, or NULL. NULL with a sentence when it cannot be made. */
struct sim *sim_new(const struct sim_options *o, FILE *log, char why[static SIM_WHY]);
void sim_free(struct sim *s);
/* To the end; `tick` (may be NULL) is called each virtual minute. Returns how many things were
 * violated. */
uint64_t sim_run(struct sim *s, void (*tick)(void *ctx, const struct sim *s), void *ctx);
/* From now on the run is over, at the next turn, when `flag` is not 0: what a signal's handler may set. */
void sim_stop_when(struct sim *s, const volatile sig_atomic_t *flag);
/* Ends every node, and looks that nothing of it is left: how many things were violated in all. Its summary is as it
 * was, but for these. */
uint64_t sim_end(struct sim *s);
uint64_t sim_log_hash(const struct sim *s);
/* For people; as JSON; as a picture. `real_us`: how long it took. */
void sim_summary_text(struct sim *s, uint64_t real_us, struct buf *out);
void sim_summary_json(struct sim *s, uint64_t real_us, struct buf *out);
void sim_picture(struct sim *s, struct buf *out);

#endif

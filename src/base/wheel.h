// SPDX-License-Identifier: MIT
/* Deadlines that have time: a hashed timing wheel (Varghese and Lauck, 1987, scheme 4). Hundreds of them cost one timer, and
 * those of one grain are seen to in one moment; to set one touches two list nodes, however many there are.
 *
 *   slots  | now | +1 | +2 | … | +31 |   each a list of what is due in that grain
 *             ^ the tick comes for the next one with anything in it */
#ifndef CONDUIT_BASE_WHEEL_H
#define CONDUIT_BASE_WHEEL_H

#include "base/sched.h"

enum { WHEEL_SLOTS = 32 };

struct wheel {
    struct sched *sched;
    struct timer tick;
    uint64_t grain_us;
    uint64_t seen; /* grains whose slots are done */
    size_t count;
    struct list slots[WHEEL_SLOTS];
    void (*fire)(struct list *link);
};

/* `fire` gets the link that was put, which is in the wheel no longer. */
void wheel_init(struct wheel *w, struct sched *sched, uint64_t grain_us,
                void (*fire)(struct list *link));
void wheel_fini(struct wheel *w); /* nothing is in it any more */

/* Fires at the first grain that begins at `at_us` or later, and at the next one at the earliest; what is further away
 * than the wheel is wide fires at its end, before its time. Moves what is in it already. */
void wheel_put(struct wheel *w, struct list *link, uint64_t at_us);
void wheel_take(struct wheel *w, struct list *link); /* harmless when not in it */

#endif

// SPDX-License-Identifier: MIT
/* What must hold in a world, looked at all along:
 *
 *   - a question is answered if some provider of the model has been in reach for SIM_CONVERGE_US, behind a NAT or
 *     not (rules.c, user.c);
 *   - a question has exactly one end (user.c);
 *   - a new offer is seen within a second by who watches its provider (offers.c);
 *   - of a killed process nobody who runs beside it has a connection or an offer a second later;
 *   - what a node holds of others is what these signed (no forged record is believed);
 *   - what a node counts of connections, streams and memory is what there is (no scope leaks);
 *   - a node that was freed holds no stream, timer or task. */
#ifndef CONDUIT_SIM_CHECK_H
#define CONDUIT_SIM_CHECK_H

#include "base/list.h"
#include "base/sched.h"

struct sim;
struct sim_box;

#define SIM_CONVERGE_US (120 * US_PER_S)
#define SIM_NOTICE_US   US_PER_S

struct sim_checks {
    struct timer each; /* the slow ones, now and then */
    size_t turn;       /* how often */
    struct list watches;
};

void sim_checks_init(struct sim *s);
void sim_checks_fini(struct sim *s);
/* At the end of the run: nodes still run, users rest. */
void sim_checks_end(struct sim *s);
/* It is about to be killed: who is connected to it must notice. */
void sim_check_death(struct sim_box *b);
/* Something happened lately after which one of them may still hold a connection that the other has no more: one fell
 * silent, a NAT forgot, a partition. Whoever holds such a one at rest finds out as it asks. */
bool sim_check_is_half_open(const struct sim_box *a, const struct sim_box *b);
/* Its node and user were freed: nothing of theirs may be left on the machine. */
void sim_check_held(struct sim_box *b);

#endif

// SPDX-License-Identifier: MIT
/* New offers, and who sees them when. Two kinds come: a provider that runs is given one more model now and then
 * (--offer-every), and a provider starts. For each, all who run are looked at (a sample of them, in large worlds):
 *
 *   watching      its feed of that provider is open: its catalogue must hold the offer within SIM_NOTICE_US. Asserted.
 *   following     a provider that has just started: the feed is being opened, which takes two round trips and some ten
 *                 packets, each of which may be lost and come 200 or 600 ms later. SIM_FOLLOW_US from then on, if the
 *                 path is direct and has four round trips a second. Over a circuit or farther it is counted only.
 *   all others    are told nothing; they hear of the offer when they meet the provider or search. Counted only: how
 *                 many have it within half a minute, and when.
 *
 * Excused: one of the two went, or its life is another one; a partition or a NAT that forgot stands or stood between
 * them; the connection ended (then they have noticed). */
#ifndef CONDUIT_SIM_OFFERS_H
#define CONDUIT_SIM_OFFERS_H

#include "base/list.h"
#include "base/sched.h"

struct sim;
struct sim_box;

#define SIM_FOLLOW_US (2 * US_PER_S)
enum { SIM_EXTRAS = 16 }; /* models that one provider begins to offer, at most */

struct sim_offers {
    struct timer next;
    struct list watches;
};

void sim_offers_init(struct sim *s);
void sim_offers_fini(struct sim *s);
/* This provider has just started. */
void sim_offers_joined(struct sim_box *b);
/* One more model, now; false when it has enough of them. */
bool sim_offers_add(struct sim_box *b);
/* "extra-12-0": the n-th that this box was given. */
const char *sim_offers_name(const struct sim_box *b, unsigned n, char out[static 32]);
/* Was it ever given that one, or has it from the start? */
bool sim_offers_is_made(const struct sim_box *b, const char *model);

#endif

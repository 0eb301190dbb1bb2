// SPDX-License-Identifier: MIT
/* Those in a world who are not honest nodes:
 *
 *   liar    joins as a Conduit node and a server of the DHT; answers every question with poison (itself
 *           and made-up peers as providers, addresses where somebody else or nobody is) or with noise,
 *           tells others' records, and sends as its own feed what others signed, also with one character
 *           changed
 *   sybil   a liar of whom there are many, all in one /24
 *   mute    accepts connections and never says a word
 *
 * None of what they say may be believed: check.c looks. */
#ifndef CONDUIT_SIM_STRANGER_H
#define CONDUIT_SIM_STRANGER_H

#include "base/net.h"
#include "base/list.h"

struct sim;

struct sim_strangers {
    struct list liars, mutes;
    struct net_addr *mute_at; /* to point at */
    size_t mute_count, liar_count;
};

void sim_strangers_init(struct sim *s);
/* They come, once the first nodes are there. */
void sim_strangers_start(struct sim *s);
void sim_strangers_fini(struct sim *s);

#endif

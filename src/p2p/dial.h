// SPDX-License-Identifier: MIT
/* One race for one peer: many addresses, started one after another, the first that works wins.
 * A pure machine; the host carries out what it says.
 *
 *   WAITING --start--> ACTIVE --won--> the others are cancelled, over
 *                        |  \--failed, or attempt_us over--> FAILED, and the next starts at once
 *                        \--stagger over, no answer yet--> the next starts beside it
 *
 * Order: loopback, private, public, over a relay; IPv6 before IPv4; else as they came. The next one waits 30 ms
 * where it is near and 250 ms where it is far (RFC 8305; the figures of go and rust). Won means
 * upgraded with the right peer, not merely connected: a wrong peer at one address (a private
 * address means another machine in another network) must not end the search.
 *
 *   effects:  while (dial_next(&d, now, &e)) do(e);      then a timer at dial_deadline(&d) */
#ifndef CONDUIT_P2P_DIAL_H
#define CONDUIT_P2P_DIAL_H

#include "base/limits.h"
#include "base/net.h"
#include "codec/peer_id.h"

struct dial_cfg {
    uint64_t near_stagger_us, far_stagger_us;
    uint64_t attempt_us;
    int max_active;
};
struct dial_cfg dial_cfg_default(void);

enum dial_state { DIAL_WAITING, DIAL_ACTIVE, DIAL_FAILED, DIAL_WON };

/* Where an attempt leads: an address, or over a relay (then `at` is empty). */
struct dial_target {
    struct net_addr at;
    struct peer_id via;
};
static inline bool dial_target_is_relayed(const struct dial_target *t)
{
    return !peer_id_is_none(&t->via);
}

struct dial_attempt {
    struct dial_target to;
    enum dial_state state;
    uint8_t rank;
    bool to_cancel; /* an effect that was not yet taken */
    int err;
    uint64_t since_us;
};

struct dial {
    struct dial_cfg cfg;
    struct dial_attempt attempts[LIMIT_DIAL_ADDRS]; /* in order of rank */
    int count, active;
    bool expects_more; /* names are still being resolved */
    bool is_over;
    uint64_t next_us; /* the next may start */
    int err;          /* the most telling of the failures */
    char who[64];     /* for the trace */
};

enum dial_effect_kind { DIAL_START, DIAL_CANCEL, DIAL_GIVE_UP };
struct dial_effect {
    enum dial_effect_kind kind;
    struct dial_target to; /* names the attempt: the table is kept sorted, places change */
    int err;               /* GIVE_UP: once, when nothing is left */
};

void dial_init(struct dial *d, const struct dial_cfg *cfg, const char *who, uint64_t now_us);
/* Another address: 0, E_EXISTS, or E_LIMIT (dropped). */
int dial_add(struct dial *d, const struct net_addr *at);
/* The same over a relay: after all others. */
int dial_add_relayed(struct dial *d, const struct peer_id *relay);
/* Names are being resolved, or no longer. While they are, running dry is not the end. */
void dial_expect_more(struct dial *d, bool expects);
bool dial_next(struct dial *d, uint64_t now_us, struct dial_effect *out);
uint64_t dial_deadline(const struct dial *d);

/* What became of an attempt; a failure after its cancelling is ignored. `why` is for the trace. */
void dial_failed(struct dial *d, const struct dial_target *to, int err, const char *why,
                 uint64_t now_us);
void dial_won(struct dial *d, const struct dial_target *to);
/* Nobody waits any more: the active ones are cancelled by the next effects. */
void dial_abort(struct dial *d);

#endif

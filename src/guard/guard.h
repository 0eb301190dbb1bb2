// SPDX-License-Identifier: MIT
/* May this request of somebody else's be served now? Rate in total and per peer, the schedule, the sizes.
 * Who waits for a slot is queue.h. The owner is bound by none of it and is never asked about.
 *
 * It sees only a principal, a request's sizes, and the time. */
#ifndef CONDUIT_GUARD_GUARD_H
#define CONDUIT_GUARD_GUARD_H

#include "base/map.h"
#include "base/principal.h"
#include "guard/invite_book.h"
#include "guard/rate.h"
#include "guard/refusal.h"
#include "guard/schedule.h"

struct guard_config {
    uint32_t per_minute, per_minute_per_peer; /* 0: no limit */
    uint32_t max_prompt_tokens;               /* estimated; 0: no limit */
    uint64_t max_body;
    struct schedule schedule;
};

struct guard {
    struct guard_config cfg;
    struct rate total;
    struct map by_peer;          /* principal bytes -> struct rate; the oldest makes room */
    bool is_paused;              /* the owner said so */
    struct invite_book *invites; /* of this node; NULL: none; borrowed */
};

void guard_init(struct guard *g, const struct guard_config *cfg, uint64_t now_us, uint64_t seed);
void guard_fini(struct guard *g);
/* 0: allowed, and counted. E_DENIED with the refusal. */
int guard_check(struct guard *g, const struct principal *who, uint64_t body_bytes,
                uint64_t prompt_tokens, uint64_t now_us, unsigned minute_of_day,
                struct guard_refusal *why);
/* What a request under an invite may use, beyond guard_check; 0 for all others, and `use` is then empty. */
int guard_begin(struct guard *g, const struct principal *who, const struct invite_ask *ask,
                const struct invite_now *now, struct invite_use *use, struct guard_refusal *why);
/* May this principal know and use this offer of ours? */
bool guard_may_use(const struct guard *g, const struct principal *who, const struct offer *o,
                   uint64_t now_s);
/* A libp2p peer that is served nothing: the refusal that says how it could be. */
int guard_refuse_stranger(struct guard_refusal *why);
/* Is sharing open at all now (offers are withdrawn while it is not)? */
bool guard_is_open(const struct guard *g, unsigned minute_of_day);

#endif

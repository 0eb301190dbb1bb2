// SPDX-License-Identifier: MIT
/* The decision about a peer's request; see guard.h. */
#include "guard/guard.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stdlib.h>

void guard_init(struct guard *g, const struct guard_config *cfg, uint64_t now_us, uint64_t seed)
{
    *g = (struct guard){.cfg = *cfg};
    rate_init(&g->total, cfg->per_minute, now_us);
    map_init(&g->by_peer, seed);
}

void guard_fini(struct guard *g)
{
    for (struct map_entry *e = map_first(&g->by_peer); e; e = map_next(&g->by_peer, e))
        free(e->value);
    map_fini(&g->by_peer);
}

bool guard_is_open(const struct guard *g, unsigned minute_of_day)
{
    return !g->is_paused && schedule_is_open(&g->cfg.schedule, minute_of_day);
}

static struct rate *rate_of(struct guard *g, const struct principal *who, uint64_t now_us)
{
    struct bytes key = who->id_len ? bytes_of(who->id, who->id_len) : bytes_str(who->name);
    struct rate *r = map_get(&g->by_peer, key);
    if (r)
        return r;
    /* A full table forgets the oldest peer: its bucket was most likely full again anyway. */
    if (map_count(&g->by_peer) >= LIMIT_GUARD_PEERS)
        free(map_take(&g->by_peer, map_key(map_first(&g->by_peer))));
    r = MEM_NEW(struct rate);
    rate_init(r, g->cfg.per_minute_per_peer, now_us);
    (void)map_put(&g->by_peer, key, r);
    return r;
}

static unsigned seconds(uint64_t us)
{
    return (unsigned)((us + 999999) / 1000000);
}

int guard_check(struct guard *g, const struct principal *who, uint64_t body_bytes,
                uint64_t prompt_tokens, uint64_t now_us, unsigned minute_of_day,
                struct guard_refusal *why)
{
    uint64_t wait;
    if (principal_is_owner(who))
        return 0;
    if (who->kind == PRINCIPAL_STRANGER)
        return guard_refuse_stranger(why);
    if (g->is_paused)
        return guard_refuse(why, 503, "paused", 60, "this node's owner has paused sharing");
    if (!schedule_is_open(&g->cfg.schedule, minute_of_day))
        return guard_refuse(why, 503, "outside_schedule",
                            schedule_until_change(&g->cfg.schedule, minute_of_day) * 60,
                            "this node shares from %02u:%02u to %02u:%02u of its local time",
                            g->cfg.schedule.start / 60, g->cfg.schedule.start % 60,
                            g->cfg.schedule.end / 60, g->cfg.schedule.end % 60);
    if (g->cfg.max_body && body_bytes > g->cfg.max_body)
        return guard_refuse(why, 413, "request_too_large", 0,
                            "the body has %llu bytes; %llu are allowed",
                            (unsigned long long)body_bytes, (unsigned long long)g->cfg.max_body);
    if (g->cfg.max_prompt_tokens && prompt_tokens > g->cfg.max_prompt_tokens)
        return guard_refuse(why, 400, "context_length_exceeded", 0,
                            "the prompt has about %llu tokens; this node takes %u",
                            (unsigned long long)prompt_tokens, g->cfg.max_prompt_tokens);
    struct rate *own = rate_of(g, who, now_us);
    if ((wait = rate_peek(own, now_us)))
        return guard_refuse(why, 429, "rate_limit_exceeded", seconds(wait),
                            "this node takes %u requests a minute from one peer",
                            g->cfg.per_minute_per_peer);
    if ((wait = rate_take(&g->total, now_us)))
        return guard_refuse(why, 429, "rate_limit_exceeded", seconds(wait),
                            "this node takes %u requests a minute", g->cfg.per_minute);
    (void)rate_take(own, now_us);
    return 0;
}

int guard_refuse_stranger(struct guard_refusal *why)
{
    return guard_refuse(
        why, 403, "invite_needed", 0,
        "this node serves its guests only, or your invite was taken back; its owner "
        "can make you one");
}

int guard_begin(struct guard *g, const struct principal *who, const struct invite_ask *ask,
                const struct invite_now *now, struct invite_use *use, struct guard_refusal *why)
{
    *use = (struct invite_use){0};
    if (who->kind != PRINCIPAL_INVITE)
        return 0;
    if (!g->invites) /* whoever made the principal knows better: a bug, but never a gift */
        return guard_refuse_stranger(why);
    return invite_begin(g->invites, who, ask, now, use, why);
}

bool guard_may_use(const struct guard *g, const struct principal *who, const struct offer *o,
                   uint64_t now_s)
{
    if (who->kind == PRINCIPAL_STRANGER)
        return false;
    if (who->kind != PRINCIPAL_INVITE)
        return true;
    const struct invite_entry *e =
        g->invites ? invite_book_of(g->invites, bytes_of(who->id, who->id_len), now_s) : NULL;
    return e && invite_allows_model(&e->invite.terms, o);
}

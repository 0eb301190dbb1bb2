// SPDX-License-Identifier: MIT
/* The decision about a peer's request; see guard.h. */
#include "guard/guard.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
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

static int refuse(struct guard_refusal *why, int status, const char *code, unsigned retry_after_s,
                  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static int refuse(struct guard_refusal *why, int status, const char *code, unsigned retry_after_s,
                  const char *fmt, ...)
{
    va_list ap;
    *why = (struct guard_refusal){status, code, retry_after_s, ""};
    va_start(ap, fmt);
    vsnprintf(why->message, sizeof why->message, fmt, ap);
    va_end(ap);
    return E_DENIED;
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
    if (g->is_paused)
        return refuse(why, 503, "paused", 60, "this node's owner has paused sharing");
    if (!schedule_is_open(&g->cfg.schedule, minute_of_day))
        return refuse(why, 503, "outside_schedule",
                      schedule_until_change(&g->cfg.schedule, minute_of_day) * 60,
                      "this node shares from %02u:%02u to %02u:%02u of its local time",
                      g->cfg.schedule.start / 60, g->cfg.schedule.start % 60,
                      g->cfg.schedule.end / 60, g->cfg.schedule.end % 60);
    if (g->cfg.max_body && body_bytes > g->cfg.max_body)
        return refuse(why, 413, "request_too_large", 0, "the body has %llu bytes; %llu are allowed",
                      (unsigned long long)body_bytes, (unsigned long long)g->cfg.max_body);
    if (g->cfg.max_prompt_tokens && prompt_tokens > g->cfg.max_prompt_tokens)
        return refuse(why, 400, "context_length_exceeded", 0,
                      "the prompt has about %llu tokens; this node takes %u",
                      (unsigned long long)prompt_tokens, g->cfg.max_prompt_tokens);
    struct rate *own = rate_of(g, who, now_us);
    if ((wait = rate_peek(own, now_us)))
        return refuse(why, 429, "rate_limit_exceeded", seconds(wait),
                      "this node takes %u requests a minute from one peer",
                      g->cfg.per_minute_per_peer);
    if ((wait = rate_take(&g->total, now_us)))
        return refuse(why, 429, "rate_limit_exceeded", seconds(wait),
                      "this node takes %u requests a minute", g->cfg.per_minute);
    (void)rate_take(own, now_us);
    return 0;
}

// SPDX-License-Identifier: MIT
/* The choice of an offer for one request: a pure function of request, offers, measurements, policy
 * and time, that can say why.
 *
 * Each candidate's score is the time the request is expected to take there, in milliseconds: the way
 * to it, the wait for a slot, the first token, a typical answer at its speed, all divided by its
 * chance of success. The lowest wins. Where several are as good (within 10 %), two are drawn and the
 * one with fewer requests of ours in flight is taken, so that many nodes do not run to the same
 * provider at once. Own offers are candidates at zero hops. */
#ifndef CONDUIT_ROUTE_ROUTE_H
#define CONDUIT_ROUTE_ROUTE_H

#include "base/rng.h"
#include "offer/catalogue.h"
#include "route/measure.h"

enum { ROUTE_PICKS_MAX = 8, ROUTE_TEXT = 256 };

struct route_excluded {
    struct peer_id peer;
    struct bytes offer_id; /* empty: all of the peer's */
};

struct route_request {
    struct model_ref model;
    uint32_t needs;          /* enum offer_ability; all of them (ABILITY_CHAT for chat) */
    uint64_t prompt_tokens;  /* estimated; 0 unknown */
    uint64_t body_bytes;
    const struct route_excluded *excluded; /* tried already */
    size_t excluded_count;
};

struct route_policy {
    bool own_only, others_only;
    bool free_only;            /* offers with a price are left out */
    struct bytes region;       /* not empty: only this one */
    uint32_t typical_tokens;   /* of an answer; 0: 200 */
    double guessed_tokens_per_s; /* where nothing is known; 0: 20 */
    uint64_t guessed_latency_us; /* 0: 50 ms */
    /* Who may be asked at all (bans, invites); NULL: everybody. */
    bool (*may_use)(void *ctx, const struct peer_id *peer);
    void *ctx;
};

enum route_reason {
    ROUTE_NONE,
    ROUTE_ONLY,      /* there was one candidate */
    ROUTE_OWN,       /* ours, and the best */
    ROUTE_LEAST_LOADED,
    ROUTE_FASTEST,
    ROUTE_NEAREST,
    ROUTE_RELIABLE,
    ROUTE_DRAWN,     /* as good as others; drawn by lot */
};

/* Why offers of the model were left out; the first that holds. */
enum route_skip {
    ROUTE_SKIP_EXCLUDED, ROUTE_SKIP_ABILITY, ROUTE_SKIP_CONTEXT, ROUTE_SKIP_CLOSED,
    ROUTE_SKIP_POLICY, ROUTE_SKIP_BREAKER, ROUTE_SKIP_COUNT,
};

struct route_pick {
    const struct catalogue_entry *entry;
    double score_ms;   /* expected time; lower is better */
    uint64_t latency_us;
    uint32_t waiting;  /* requests ahead of ours there */
    double tokens_per_s, success;
};

struct route_result {
    struct route_pick picks[ROUTE_PICKS_MAX]; /* best first */
    size_t count;
    size_t candidates;              /* usable ones, also beyond ROUTE_PICKS_MAX */
    size_t known;                   /* offers of that model, usable or not */
    size_t skipped[ROUTE_SKIP_COUNT];
    enum route_reason reason;       /* for picks[0] */
};

/* 0 with at least one pick, or E_NOT_FOUND (known == 0: nobody has the model), E_UNAVAILABLE (known,
 * but none is usable now), E_UNSUPPORTED (none has the abilities or the context). `rng` is used for
 * drawing only. */
int route_choose(const struct route_request *req, const struct catalogue *offers,
                 const struct measures *measures, const struct route_policy *policy,
                 uint64_t now_us, uint64_t wall_ms, struct rng *rng, struct route_result *out);

/* The value of x-conduit-route: printable ASCII, one line. For a pick tried after others failed,
 * `attempt` counts from 1. Returns out.
 *   "chosen=…eCJ3kq9Z reason=least-loaded expect=840ms latency=12ms waiting=0 tps=35.0 candidates=3" */
const char *route_explain(const struct route_result *r, size_t pick, unsigned attempt,
                          char out[static ROUTE_TEXT]);
const char *route_reason_name(enum route_reason reason);
const char *route_skip_name(enum route_skip skip);

#endif

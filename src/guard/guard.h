// SPDX-License-Identifier: MIT
/* Who may be served now: requests per minute, hours, sizes, and the queue in front of the slots.
 *
 *   enter --> REFUSED (413, 429, 503)
 *     |  \--> ALLOWED ------------------------------------------------> leave
 *     \-----> WAITING --slot free / its turn--> ALLOWED (take_decided) --> leave
 *                \-----waited too long--------> REFUSED (take_decided)     leave (gave up): at any time
 *
 * The owner is bound by nothing but the slots, and goes first. Among others the next is the one whose
 * principal has the fewest running, then the one that was served longest ago: a peer that asks a
 * hundred times waits behind its own requests, not in front of others'.
 *
 * Pure: time and minute of the day come in; decisions that come later are fetched with
 * guard_take_decided after each guard_leave, guard_tick and guard_set_slots. A ticket is the caller's
 * memory, from guard_enter until guard_leave (also after a refusal: harmless then). */
#ifndef CONDUIT_GUARD_GUARD_H
#define CONDUIT_GUARD_GUARD_H

#include "base/bytes.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/principal.h"
#include "guard/schedule.h"

/* 0: no limit. */
struct guard_cfg {
    uint32_t requests_per_minute;          /* of all others together; the seed's rate_limit */
    uint32_t peer_requests_per_minute;     /* of one principal */
    uint32_t peer_concurrent;              /* running and waiting, of one principal */
    uint32_t default_slots;                /* concurrent per model where not set; 0: 4 */
    uint32_t queue_length;                 /* waiting per model; 0: LIMIT_GUARD_QUEUE */
    uint64_t queue_wait_us;                /* 0: 120 s */
    uint64_t body_bytes;
    uint64_t prompt_tokens;
    struct schedule schedule;
};

enum guard_verdict { GUARD_ALLOWED, GUARD_WAITING, GUARD_REFUSED };

struct guard_decision {
    enum guard_verdict verdict;
    int status;             /* 413, 429, 503 when refused */
    const char *code;       /* "rate_limited", "peer_rate_limited", "queue_full", "queue_timeout",
                             * "outside_schedule", "paused", "body_too_large", "prompt_too_long",
                             * "too_many_concurrent" */
    const char *message;    /* a sentence */
    unsigned retry_after_s; /* 0: none */
};

struct guard_request {
    const struct principal *who;
    struct bytes model;
    uint64_t body_bytes, prompt_tokens; /* tokens: estimated; 0 unknown */
};

struct guard_model;
struct guard_principal;
struct guard_ticket {
    struct list link; /* waiting or decided */
    struct guard_model *model;
    struct guard_principal *who;
    bool is_owner;
    enum { TICKET_IDLE, TICKET_WAITING, TICKET_GRANTED, TICKET_DECIDED_REFUSED } state;
    uint64_t order, deadline_us;
    struct guard_decision decision;
};

struct guard;
struct guard *guard_new(const struct guard_cfg *cfg, uint64_t map_seed, uint64_t now_us);
void guard_free(struct guard *g); /* no ticket is inside any more */
/* A reloaded configuration; who is inside stays. */
void guard_configure(struct guard *g, const struct guard_cfg *cfg, uint64_t now_us);
/* How many the engine of a model takes at once; 0: back to the default. */
void guard_set_slots(struct guard *g, struct bytes model, uint32_t slots, uint64_t now_us);
/* `conduit pause`: others are refused, the owner is not. */
void guard_pause(struct guard *g, bool is_paused);

/* Decides. GUARD_WAITING: the ticket will come out of guard_take_decided. */
struct guard_decision guard_enter(struct guard *g, struct guard_ticket *t,
                                  const struct guard_request *req, uint64_t now_us,
                                  unsigned minute);
/* Done, or gave up waiting. */
void guard_leave(struct guard *g, struct guard_ticket *t, uint64_t now_us);
/* Tickets whose wait is over, with t->decision; NULL: none. */
struct guard_ticket *guard_take_decided(struct guard *g);
/* Refuses who waited too long. Call at guard_deadline. */
void guard_tick(struct guard *g, uint64_t now_us);
uint64_t guard_deadline(const struct guard *g); /* SCHED_NEVER: none */
/* May others be served at all now? Offers are withdrawn while not. */
bool guard_is_open(const struct guard *g, unsigned minute);

struct guard_load {
    uint32_t slots, running, waiting;
};
struct guard_load guard_load(const struct guard *g, struct bytes model);
/* How many wait in front of this ticket; for the signs of life. */
unsigned guard_position(const struct guard *g, const struct guard_ticket *t);

#endif

// SPDX-License-Identifier: MIT
/* What exchange.c (the life of a request), exchange_choose.c (whom to ask) and exchange_send.c (what the
 * client gets) share. Nobody else includes this. */
#ifndef CONDUIT_GATEWAY_EXCHANGE_IMPL_H
#define CONDUIT_GATEWAY_EXCHANGE_IMPL_H

#include "gateway/answer.h"
#include "gateway/gateway_impl.h"

enum { EXCHANGE_HEADERS = 16, REQUEST_ID = 48 };
#define HOP_FIELD "x-conduit-hop" /* through how many Conduit nodes a request has come */

struct asking {
    struct http_head *head; /* a copy; ours */
    struct buf body;
    struct gateway_request *req; /* with as much skim as it has members; ours */
    struct gateway_lookup lookup;
    struct exchange *e;
    struct route_tried tried;
    struct failover failover;
    struct failure last; /* of the latest attempt, or of the guard */
    char route[160];
    struct attempt_request areq;
    struct http_header *headers; /* that it is asked with; ours */
    struct bytes *slices;        /* of the body: all of it, or around the model's true name; ours */
    struct buf model_json;
    bool has_looked, lookup_was_complete;
    bool guard_said_yes, guard_said_no; /* of the own offers, to a client that is not the owner */
};
_Static_assert(sizeof(struct asking) <= 1032, "glibc serves what is larger a good deal slower");

struct exchange {
    struct list link;
    struct gateway *g;
    struct http_exchange *x;
    struct asking *ask; /* NULL once the answer flows */
    struct principal who;
    enum request_kind kind;
    bool is_peer, is_looking;
    bool is_probe; /* the one request that a half-open breaker let through */
    struct answer answer;
    struct timer timer;
    struct gateway_choice choice;
    struct route_key key;
    char request_id[REQUEST_ID];
    struct attempt *attempt;
    struct invite_use use; /* of a peer under an invite */
    bool has_usage;
    uint64_t used_tokens; /* as the backend said */
    struct buf rest;      /* of a reply too large to be handed over at once */
    size_t rest_at;
    uint64_t attempt_us, first_event_us, events;
};
_Static_assert(sizeof(struct exchange) < 1536, "an answer that streams holds little");

static inline uint64_t exchange_now(const struct exchange *e)
{
    return sched_now(e->g->cfg.sched);
}

/* The timer follows the answer's deadline. */
static inline void exchange_arm(struct exchange *e)
{
    timer_set(e->g->cfg.sched, &e->timer, answer_deadline(&e->answer));
}

/* --- exchange.c --- */
extern const struct attempt_events exchange_attempt_events;
/* Nobody is left to try, or it is too late to. The exchange is gone. */
void exchange_give_up(struct exchange *e, const struct failure *f);

/* --- exchange_choose.c --- */
/* Tries the best offer that was not tried, searches for one, or gives up. */
void exchange_choose(struct exchange *e);
/* The guard's word on this request; its refusal becomes the last failure. */
bool exchange_guard_allows(struct exchange *e);

/* --- exchange_send.c --- */
/* Performs what answer.h decided. True when the exchange with the client has ended. `f` is the failure to
 * tell, where one is. */
bool exchange_perform(struct exchange *e, unsigned effects, struct bytes event,
                      const struct failure *f);
/* A whole reply. True when the client has all of it; else the rest goes out as it takes it. */
bool exchange_reply(struct exchange *e, int status, struct bytes type, struct bytes body);
/* As much of the rest as the client takes now. True when it has all of it, or can take no more. */
bool exchange_send_rest(struct exchange *e);

#endif

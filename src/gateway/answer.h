// SPDX-License-Identifier: MIT
/* How an answer reaches its client: when the 200 goes out, when silence is filled, whether another
 * provider may still take over, and how it ends. One small machine, without bytes or sockets.
 *
 *              first event / head_wait passed                       last event
 *   WAITING ---------------------------------> OPEN ----> FLOWING -------------> ENDED
 *      |        (a head and a comment)          |   event    |                     ^
 *      |  failed: an error status               | failed     | failed              |
 *      +----------------------------------------+------------+-------- error event-+
 *
 * Rules (DESIGN.md, "One data plane"): the 200 is sent with the first complete event, or after
 * `head_wait_us` of waiting; while no *event* was sent another provider may be tried; a stream ends
 * complete ([DONE] after a finish reason) or with an error event and an orderly end without [DONE].
 * Nothing in between. An answer that is not streamed goes out whole, or as an error status. */
#ifndef CONDUIT_GATEWAY_ANSWER_H
#define CONDUIT_GATEWAY_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

enum answer_state { ANSWER_WAITING, ANSWER_OPEN, ANSWER_FLOWING, ANSWER_ENDED };

/* What to do now; several at once, in this order. */
enum answer_effect {
    ANSWER_SEND_HEAD = 1 << 0,
    ANSWER_SEND_COMMENT = 1 << 1, /* a sign of life: ": ping\n", or a 102 when no head is out */
    ANSWER_SEND_EVENT = 1 << 2,
    ANSWER_SEND_STATUS = 1 << 3,      /* the error as a whole response */
    ANSWER_SEND_ERROR_EVENT = 1 << 4, /* the error as the last event */
    ANSWER_END_BODY = 1 << 5,
};

struct answer_config {
    bool is_stream;
    bool shows_life_early; /* towards another node: 102 before the head */
    uint64_t head_wait_us; /* 0: the head waits for the first event for ever */
    uint64_t keepalive_us; /* silence before a comment; 0: none */
    uint64_t stall_us;     /* silence of the provider, life signs included, before it is given up */
};

struct answer {
    struct answer_config cfg;
    enum answer_state state;
    bool is_unwatched;
    uint64_t started_us;
    uint64_t sent_us; /* when the client last got something, or the start */
    uint64_t life_us; /* when the provider last gave a sign of life */
};

void answer_init(struct answer *a, const struct answer_config *cfg, uint64_t now_us);

/* The provider showed life without an event (1xx, comment, queue news); nothing to send. */
void answer_life(struct answer *a, uint64_t now_us);
/* Whether the provider's silence counts: not while nobody is asked, while the client is the slow one, or
 * for an engine of our own. Turned on, the deadline counts anew. On from the beginning. */
void answer_watch(struct answer *a, bool on, uint64_t now_us);
/* A complete event for the client; `is_last` when it is [DONE] after a good end. */
unsigned answer_event(struct answer *a, bool is_last, uint64_t now_us);
/* It failed for good: no provider is left, or events were sent already. */
unsigned answer_failed(struct answer *a);
/* Time passed. Stalling is asked for separately, because the caller may try another provider. */
unsigned answer_tick(struct answer *a, uint64_t now_us);
bool answer_is_stalled(const struct answer *a, uint64_t now_us);
/* Another provider may take over. */
bool answer_can_fail_over(const struct answer *a);
/* When answer_tick or answer_is_stalled has something to say next. */
uint64_t answer_deadline(const struct answer *a);

#endif

// SPDX-License-Identifier: MIT
/* Is the other machine still there? A pure clock-work of one connection.
 *
 *   heard something ----quiet for ping_after----> PING ----quiet for dead_after----> DEAD
 *
 * TCP tells of a dead process at once and of a dead machine after a quarter of an hour; so we ask.
 * While a request is in flight the patience is short (a user waits), else long. Anything heard counts as life, so a
 * busy connection is never pinged. It is longest while the connection rests: nobody has needed it for a while, and who
 * needs it again asks with the first bytes.
 *
 * The hard thing: silence may be our own. When a step comes later than it was due, this process or
 * machine slept, nothing could be heard, and the patience starts again. */
#ifndef CONDUIT_P2P_KEEPALIVE_H
#define CONDUIT_P2P_KEEPALIVE_H

#include "base/sched.h"

#include <stdbool.h>
#include <stdint.h>

struct keepalive_cfg {
    uint64_t idle_ping_us, idle_dead_us; /* quiet for so long: ask; give up */
    uint64_t busy_ping_us, busy_dead_us; /* the same while requests are in flight */
    uint64_t rest_ping_us, rest_dead_us; /* the same while it rests */
    uint64_t doubt_dead_us;              /* after doubt: asked at once, dead after */
};

/* 11 s (a feed says something every 10; up to half a second later, so that many are asked in one moment) and 14.5 s;
 * 250 ms and 900 ms: inside the 15 s and the second that users are promised; 115 s and 135 s,
 * up to five later: no NAT may forget a TCP connection so soon (RFC 5382, REQ-5); 3 s. */
struct keepalive_cfg keepalive_cfg_default(void);

enum keepalive_act { KEEPALIVE_WAIT, KEEPALIVE_PING, KEEPALIVE_DEAD };

struct keepalive {
    struct keepalive_cfg cfg;
    uint64_t since_us;    /* silence counts from here */
    uint64_t rtt_us;      /* of the path: a slow one gets more patience */
    uint64_t expected_us; /* when the next step is due, to see that we slept */
    bool is_busy, is_resting, is_asked, is_doubted;
};

void keepalive_init(struct keepalive *k, const struct keepalive_cfg *cfg, uint64_t now_us);
void keepalive_heard(struct keepalive *k, uint64_t now_us);
void keepalive_busy(struct keepalive *k, bool is_busy, uint64_t now_us);
/* Nothing has been heard for so long that a connection in use would be asked. */
bool keepalive_is_quiet(const struct keepalive *k, uint64_t now_us);
void keepalive_rest(struct keepalive *k, bool is_resting, uint64_t now_us);
/* The machine slept or its addresses changed: does the other side still hear us? Ask now. */
void keepalive_doubt(struct keepalive *k, uint64_t now_us);
enum keepalive_act keepalive_step(struct keepalive *k, uint64_t now_us);
/* Something is about to be sent, and a question will be due soon: true when it should go along. */
bool keepalive_rides(struct keepalive *k, uint64_t now_us);
/* It rests, and what is due may wait for the others': */
bool keepalive_has_time(const struct keepalive *k);
#define KEEPALIVE_GRAIN_US (5 * US_PER_S)
/* When to step next. */
uint64_t keepalive_deadline(struct keepalive *k);

#endif

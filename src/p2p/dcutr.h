// SPDX-License-Identifier: MIT
/* From a relayed connection to a direct one: both sides dial at the same moment, each from its
 * listening port, so that each one's own SYN opens its NAT for the other's. A pure machine.
 *
 *   B: who was dialled over the relay, and begins                A: who dialled
 *
 *   DIRECT (A may be reachable: just dial it) --failed--.
 *   OPENING --stream--> CONNECT with B's addresses ------------> FIRST
 *   ANSWER  <----------- CONNECT with A's addresses ------------ (at once)
 *   (rtt = since CONNECT left) SYNC ---------------------------> SYNC
 *   WAITING for rtt/2, then dials                                dials at once
 *   PUNCHING                                                     PUNCHING
 *     --connected--> OVER, 0        --failed--> B: OPENING again, three times in all; A: OVER
 *
 * On the socket that both opened A is the dialler of Noise and Yamux, B the listener (spec). Each
 * step has ten seconds, a punch five. */
#ifndef CONDUIT_P2P_DCUTR_H
#define CONDUIT_P2P_DCUTR_H

#include "p2p/dcutr_message.h"

enum dcutr_state {
    DCUTR_DIRECT,   /* B */
    DCUTR_OPENING,  /* B */
    DCUTR_ANSWER,   /* B: waits for A's CONNECT */
    DCUTR_WAITING,  /* B: for half a round trip */
    DCUTR_FIRST,    /* A: waits for B's CONNECT */
    DCUTR_SYNCING,  /* A: waits for SYNC */
    DCUTR_PUNCHING, /* both */
    DCUTR_OVER,
};

enum dcutr_act {
    DCUTR_DO_NOTHING,
    DCUTR_DO_DIAL,    /* A's addresses that it told by identify */
    DCUTR_DO_OPEN,    /* a stream over the relayed connection; the old one, if any, is closed */
    DCUTR_DO_CONNECT, /* say it */
    DCUTR_DO_SYNC,    /* say it */
    DCUTR_DO_PUNCH,   /* dial what the other told, from our listening port */
    DCUTR_DO_END,     /* err says how it went */
};

struct dcutr {
    enum dcutr_state state;
    enum dcutr_act act; /* not yet taken */
    bool is_b;
    int attempts, err;
    uint64_t said_us, rtt_us, deadline_us;
};

enum { DCUTR_ATTEMPTS = 3 };

/* B begins, with a dial of A's addresses when there are any that may do; A has got a stream. */
void dcutr_begin(struct dcutr *d, bool has_addrs, uint64_t now_us);
void dcutr_accept(struct dcutr *d, uint64_t now_us);

/* What to do next; call until DO_NOTHING after each event, and at the deadline. */
enum dcutr_act dcutr_next(struct dcutr *d, uint64_t now_us);
uint64_t dcutr_deadline(const struct dcutr *d);

void dcutr_opened(struct dcutr *d, uint64_t now_us); /* B: the stream is there */
void dcutr_received(struct dcutr *d, enum dcutr_type type, uint64_t now_us);
/* The stream broke, or said something that is no message. While punching it does not matter. */
void dcutr_stream_lost(struct dcutr *d, int err, uint64_t now_us);
void dcutr_dial_failed(struct dcutr *d, int err, uint64_t now_us); /* DIRECT or PUNCHING */
/* A direct connection is there, by whoever. */
void dcutr_connected(struct dcutr *d);

#endif

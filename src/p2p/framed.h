// SPDX-License-Identifier: MIT
/* A stream that carries messages behind their varint lengths, with a deadline for all of it.
 *
 *   framed_open -> message, message, … -> ended(err): E_EOF in order, E_TIMEOUT, E_TOO_BIG, …
 *
 * What is sent is queued here, however long, and leaves as the stream takes it. The owner embeds it
 * and closes it once, at any time, also from inside a callback. */
#ifndef CONDUIT_P2P_FRAMED_H
#define CONDUIT_P2P_FRAMED_H

#include "base/buf.h"
#include "base/sched.h"
#include "base/stream.h"

struct framed;
struct framed_events {
    /* One message, borrowed for the call. True: go on; false: `f` was closed, hands off. */
    bool (*message)(struct framed *f, struct bytes message);
    /* Nothing more will come: close it. Only after E_EOF may it be kept, to send more. */
    void (*ended)(struct framed *f, int err);
};

struct framed {
    const struct framed_events *on;
    struct sched *sched;
    struct stream *s;
    struct buf in, out;
    size_t max;
    struct timer timer;
    bool is_finishing; /* the write side ends when all has left */
};

/* Takes the stream; messages over `max_bytes` end it. */
void framed_open(struct framed *f, struct sched *sched, struct stream *s, size_t max_bytes,
                 uint64_t timeout_us, const struct framed_events *on);
/* The deadline again, from now. */
void framed_allow(struct framed *f, uint64_t timeout_us);
/* Message and length, as the encoders make them. 0 or an error of the stream's. */
int framed_send(struct framed *f, struct bytes framed_message);
void framed_finish(struct framed *f);
/* What the stream took still leaves; what is queued here does not. */
void framed_close(struct framed *f);
void framed_reset(struct framed *f, enum stream_reason reason);

#endif

// SPDX-License-Identifier: MIT
/* One message behind a varint length, taken off a stream and not one byte more: what follows may be
 * another protocol's (a relayed connection begins right behind the answer that granted it). */
#ifndef CONDUIT_P2P_MESSAGE_READ_H
#define CONDUIT_P2P_MESSAGE_READ_H

#include "base/limits.h"
#include "base/stream.h"

struct message_read {
    size_t have, need; /* need 0: the length is not known yet */
    uint8_t b[LIMIT_RELAY_MESSAGE];
};

static inline void message_read_init(struct message_read *r)
{
    r->have = r->need = 0;
}
/* 0 and the message (a view into r, until the next init); E_AGAIN; E_TOO_BIG over
 * LIMIT_RELAY_MESSAGE, E_MALFORMED, E_EOF, or the stream's error. After 0 start again with init. */
int message_read_step(struct message_read *r, struct stream *s, struct bytes *out);

#endif

// SPDX-License-Identifier: MIT
/* See message_read.h. */
#include "p2p/message_read.h"

#include "codec/varint.h"

/* Byte by byte, since nobody knows yet how many there are. */
static int read_length(struct message_read *r, struct stream *s)
{
    uint64_t length;
    while (r->need == 0) {
        ssize_t n = stream_read(s, r->b + r->have, 1);
        if (n < 0)
            return (int)n;
        r->have++;
        int used = varint_decode(bytes_of(r->b, r->have), &length);
        if (used < 0)
            return used;
        if (used == 0)
            continue;
        if (length == 0)
            return E_MALFORMED;
        if (length > sizeof r->b)
            return E_TOO_BIG;
        r->need = (size_t)length;
        r->have = 0;
    }
    return 0;
}

int message_read_step(struct message_read *r, struct stream *s, struct bytes *out)
{
    int err = read_length(r, s);
    if (err)
        return err;
    while (r->have < r->need) {
        ssize_t n = stream_read(s, r->b + r->have, r->need - r->have);
        if (n < 0)
            return (int)n;
        r->have += (size_t)n;
    }
    *out = bytes_of(r->b, r->need);
    return 0;
}

// SPDX-License-Identifier: MIT
/* Protocol Buffers, as far as libp2p uses them: a reader that walks the fields of one complete
 * message, and a writer onto a buffer. No schemas: each protocol switches on the field number.
 *
 *   struct pb_reader r = pb_read(message);
 *   struct pb_field f;
 *   while (pb_next(&r, &f))
 *       switch (f.number) {
 *       case 1: if (f.wire == PB_BYTES) …
 *       }
 *   if (r.err) return r.err;
 *
 * A reader's user skips numbers it does not know and treats what is absent as zero. Groups (wire
 * types 3 and 4) are errors. Message framing (the varint in front) is cursor_prefixed or
 * pb_frame_begin. */
#ifndef CONDUIT_CODEC_PB_H
#define CONDUIT_CODEC_PB_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_field {
    uint32_t number;
    enum pb_wire wire;
    uint64_t u64;       /* PB_VARINT, PB_FIXED64, PB_FIXED32 */
    struct bytes bytes; /* PB_BYTES: a view into the message */
};

struct pb_reader {
    struct bytes rest;
    int err; /* 0, or E_MALFORMED */
};

static inline struct pb_reader pb_read(struct bytes message)
{
    return (struct pb_reader){message, 0};
}
/* False at the end and on an error; `err` tells which. */
bool pb_next(struct pb_reader *r, struct pb_field *f);

/* The first error sticks; later puts do nothing. Fields are put in ascending order. */
struct pb_writer {
    struct buf *out;
    int err;
};

static inline struct pb_writer pb_write(struct buf *out)
{
    return (struct pb_writer){out, 0};
}
void pb_put_u64(struct pb_writer *w, uint32_t number,
                uint64_t v); /* also bool and enum; 0 is put */
void pb_put_fixed64(struct pb_writer *w, uint32_t number, uint64_t v);
void pb_put_bytes(struct pb_writer *w, uint32_t number, struct bytes v);
void pb_put_str(struct pb_writer *w, uint32_t number, const char *s);

/* A submessage: everything put between begin and end is inside. `mark` is begin's answer. One
 * length byte is reserved; a longer message is moved by the difference. */
size_t pb_begin(struct pb_writer *w, uint32_t number);
void pb_end(struct pb_writer *w, size_t mark);
/* The same for a whole message behind its varint length (no field tag). */
size_t pb_frame_begin(struct pb_writer *w);
static inline void pb_frame_end(struct pb_writer *w, size_t mark)
{
    pb_end(w, mark);
}

#endif

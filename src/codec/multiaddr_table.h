// SPDX-License-Identifier: MIT
/* The table of protocols in a multiaddr, and how each one's value is text. */
#ifndef CONDUIT_CODEC_MULTIADDR_TABLE_H
#define CONDUIT_CODEC_MULTIADDR_TABLE_H

#include "base/buf.h"
#include "base/bytes.h"

enum { MA_VARIABLE = -1 };

struct ma_proto {
    uint32_t code;
    const char *name;
    int size;     /* of the value; MA_VARIABLE: a length in front */
    bool is_path; /* '/' in it is escaped in text */
    /* Text to value appended, value to text appended: 0, E_MALFORMED. NULL where size is 0. */
    int (*parse)(struct bytes text, struct buf *out);
    int (*format)(struct bytes value, struct buf *out);
    bool (*is_valid)(struct bytes value); /* NULL: any of the right size */
};

const struct ma_proto *ma_proto_by_code(uint64_t code); /* NULL: unknown */
const struct ma_proto *ma_proto_by_name(struct bytes name);

#endif

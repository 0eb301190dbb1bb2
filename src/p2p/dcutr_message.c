// SPDX-License-Identifier: MIT
/* See dcutr_message.h. */
#include "p2p/dcutr_message.h"

#include "codec/pb.h"

int dcutr_encode(const struct dcutr_message *m, struct buf *out)
{
    struct pb_writer w = pb_write(out);
    size_t size = 3; /* the type */
    size_t mark = pb_frame_begin(&w);
    pb_put_u64(&w, 1, (uint64_t)m->type);
    for (size_t i = 0; i < m->addr_count && i < LIMIT_PUNCH_ADDRS; i++) {
        size += 4 + m->addrs[i].n;
        if (size > LIMIT_RELAY_MESSAGE)
            break;
        pb_put_bytes(&w, 2, m->addrs[i]);
    }
    pb_frame_end(&w, mark);
    return w.err;
}

int dcutr_decode(struct bytes in, struct dcutr_message *out)
{
    struct pb_reader r = pb_read(in);
    struct pb_field f;
    uint64_t type = 0;
    *out = (struct dcutr_message){0};
    if (in.n > LIMIT_RELAY_MESSAGE)
        return E_TOO_BIG;
    while (pb_next(&r, &f)) {
        if (f.number == 1 && f.wire == PB_VARINT)
            type = f.u64;
        else if (f.number == 2 && f.wire == PB_BYTES && out->addr_count < LIMIT_PUNCH_ADDRS)
            out->addrs[out->addr_count++] = f.bytes;
    }
    if (r.err || (type != DCUTR_CONNECT && type != DCUTR_SYNC))
        return E_MALFORMED;
    out->type = (enum dcutr_type)type;
    return 0;
}

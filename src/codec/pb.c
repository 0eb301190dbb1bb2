// SPDX-License-Identifier: MIT
/* Protocol Buffers; see pb.h. Varints here may be 10 bytes long and need not be minimal: other
 * implementations write them so. */
#include "codec/pb.h"

enum { PB_VARINT_MAX = 10, PB_NUMBER_MAX = (1 << 29) - 1 };

static bool take_varint(struct pb_reader *r, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < r->rest.n && i < PB_VARINT_MAX; i++) {
        uint8_t c = r->rest.p[i];
        if (i == PB_VARINT_MAX - 1 && c > 1)
            break; /* over 64 bits */
        v |= (uint64_t)(c & 0x7f) << (7 * i);
        if (!(c & 0x80)) {
            r->rest = bytes_skip(r->rest, i + 1);
            *out = v;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct pb_reader *r, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    if (r->rest.n < n)
        return false;
    for (size_t i = n; i-- > 0;)
        v = v << 8 | r->rest.p[i];
    r->rest = bytes_skip(r->rest, n);
    *out = v;
    return true;
}

static bool take_bytes(struct pb_reader *r, struct bytes *out)
{
    uint64_t n;
    if (!take_varint(r, &n) || n > r->rest.n)
        return false;
    *out = bytes_first(r->rest, (size_t)n);
    r->rest = bytes_skip(r->rest, (size_t)n);
    return true;
}

static bool take_field(struct pb_reader *r, struct pb_field *f)
{
    uint64_t tag;
    if (!take_varint(r, &tag) || tag >> 3 == 0 || tag >> 3 > PB_NUMBER_MAX)
        return false;
    *f = (struct pb_field){.number = (uint32_t)(tag >> 3), .wire = (enum pb_wire)(tag & 7)};
    switch (tag & 7) {
    case PB_VARINT:
        return take_varint(r, &f->u64);
    case PB_FIXED64:
        return take_fixed(r, 8, &f->u64);
    case PB_FIXED32:
        return take_fixed(r, 4, &f->u64);
    case PB_BYTES:
        return take_bytes(r, &f->bytes);
    default:
        return false; /* groups, 6, 7 */
    }
}

bool pb_next(struct pb_reader *r, struct pb_field *f)
{
    if (r->err || r->rest.n == 0)
        return false;
    if (!take_field(r, f)) {
        r->err = E_MALFORMED;
        return false;
    }
    return true;
}

static void put(struct pb_writer *w, const void *p, size_t n)
{
    if (!w->err)
        w->err = buf_append(w->out, p, n);
}

static void put_varint(struct pb_writer *w, uint64_t v)
{
    uint8_t raw[PB_VARINT_MAX];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        raw[n++] = (uint8_t)(v | 0x80);
    raw[n++] = (uint8_t)v;
    put(w, raw, n);
}

static void put_tag(struct pb_writer *w, uint32_t number, enum pb_wire wire)
{
    put_varint(w, (uint64_t)number << 3 | wire);
}

void pb_put_u64(struct pb_writer *w, uint32_t number, uint64_t v)
{
    put_tag(w, number, PB_VARINT);
    put_varint(w, v);
}

void pb_put_fixed64(struct pb_writer *w, uint32_t number, uint64_t v)
{
    uint8_t raw[8];
    for (int i = 0; i < 8; i++)
        raw[i] = (uint8_t)(v >> (8 * i));
    put_tag(w, number, PB_FIXED64);
    put(w, raw, sizeof raw);
}

void pb_put_bytes(struct pb_writer *w, uint32_t number, struct bytes v)
{
    put_tag(w, number, PB_BYTES);
    put_varint(w, v.n);
    put(w, v.p, v.n);
}

void pb_put_str(struct pb_writer *w, uint32_t number, const char *s)
{
    pb_put_bytes(w, number, bytes_str(s));
}

size_t pb_frame_begin(struct pb_writer *w)
{
    put(w, "", 1); /* the length byte, most often enough */
    return buf_len(w->out);
}

size_t pb_begin(struct pb_writer *w, uint32_t number)
{
    put_tag(w, number, PB_BYTES);
    return pb_frame_begin(w);
}

void pb_end(struct pb_writer *w, size_t mark)
{
    if (w->err)
        return;
    uint8_t raw[PB_VARINT_MAX];
    size_t n = 0, inside = buf_len(w->out) - mark;
    for (uint64_t v = inside;; v >>= 7) {
        raw[n++] = (uint8_t)(v >= 0x80 ? v | 0x80 : v);
        if (v < 0x80)
            break;
    }
    put(w, raw, n - 1); /* room; its content is moved over */
    if (w->err)
        return;
    uint8_t *at = w->out->base + w->out->head + mark;
    memmove(at - 1 + n, at, inside);
    memcpy(at - 1, raw, n);
}

// SPDX-License-Identifier: MIT
/* Server-sent events out of bytes in any pieces, and back; see sse.h. */
#include "http/sse.h"

#include "base/err.h"

void sse_init(struct sse *s, size_t limit)
{
    *s = (struct sse){.limit = limit ? limit : LIMIT_SSE_EVENT, .at_line_start = true};
    buf_init(&s->spill, 0);
    buf_init(&s->joined, 0);
}

void sse_fini(struct sse *s)
{
    buf_fini(&s->spill);
    buf_fini(&s->joined);
}

/* --- finding ends --- */

/* Offset of the first CR or LF, or v.n. */
static size_t find_line_end(struct bytes v)
{
    size_t lf = bytes_find(v, '\n');
    return bytes_find(bytes_first(v, lf), '\r'); /* its length is lf when there is none */
}

/* Takes the byte order mark off the stream's start. A start that only looks like one is put back.
 */
static int skip_bom(struct sse *s, struct bytes *in)
{
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf};
    while (s->bom < 3 && in->n) {
        if (in->p[0] != mark[s->bom]) {
            uint8_t seen = s->bom;
            s->bom = 3;
            s->at_line_start = seen == 0;
            return buf_append(&s->spill, mark, seen);
        }
        s->bom++;
        *in = bytes_skip(*in, 1);
    }
    return 0;
}

/* Scans `v` on from where the last call stopped: how many bytes belong to the item when it ends
 * here, else 0. *skip: bytes at the front that belong to no item (empty lines, the LF of a CRLF).
 */
static size_t scan(struct sse *s, struct bytes v, bool is_empty, size_t *skip)
{
    size_t at = 0;
    *skip = 0;
    while (at < v.n) {
        bool is_lf = v.p[at] == '\n', is_end = is_lf || v.p[at] == '\r';
        if (s->skip_lf) {
            s->skip_lf = false;
            if (is_lf) {
                at++;
                *skip += is_empty && at == *skip + 1;
                continue;
            }
        }
        if (s->at_line_start && is_end) {
            at++;
            s->skip_lf = !is_lf;
            if (s->has_lines)
                return at;
            *skip = at;
            continue;
        }
        if (s->at_line_start)
            s->in_comment = !s->has_lines && v.p[at] == ':';
        at += find_line_end(bytes_skip(v, at));
        s->at_line_start = at < v.n;
        if (at == v.n)
            return 0;
        s->skip_lf = v.p[at++] == '\r';
        if (s->in_comment)
            return at;
        s->has_lines = true;
    }
    return 0;
}

/* --- reading fields --- */

/* The value of a line "name:value" or "name: value", if it is that field. */
static bool is_field(struct bytes line, struct bytes name, struct bytes *value)
{
    if (!bytes_starts(line, name) || (line.n > name.n && line.p[name.n] != ':'))
        return false;
    *value = bytes_skip(line, name.n + 1);
    if (value->n && value->p[0] == ' ')
        *value = bytes_skip(*value, 1);
    return true;
}

/* One more data line: the first is borrowed, from the second on they are joined. */
static int add_data(struct sse *s, struct sse_item *out, struct bytes value)
{
    int err = 0;
    if (out->data_lines++ == 0) {
        out->data = value;
        return 0;
    }
    if (out->data_lines == 2) {
        buf_clear(&s->joined);
        err = buf_append_bytes(&s->joined, out->data);
    }
    err = err ? err : buf_append_byte(&s->joined, '\n');
    err = err ? err : buf_append_bytes(&s->joined, value);
    out->data = buf_view(&s->joined);
    return err;
}

static int read_line(struct sse *s, struct sse_item *out, struct bytes line)
{
    struct bytes value;
    if (is_field(line, BYTES_LIT("data"), &value))
        return add_data(s, out, value);
    out->is_plain = false;
    if (is_field(line, BYTES_LIT("event"), &value))
        out->name = value;
    else if (is_field(line, BYTES_LIT("id"), &value))
        out->id = value;
    return 0;
}

static int read_item(struct sse *s, struct bytes raw, struct sse_item *out)
{
    struct bytes rest = raw;
    *out = (struct sse_item){.kind = SSE_EVENT, .raw = raw, .is_plain = true};
    if (raw.p[0] == ':') {
        if (!s->has_lines) {
            out->kind = SSE_COMMENT;
            out->is_plain = false;
            out->data = bytes_skip(bytes_first(raw, find_line_end(raw)), 1);
            return 1;
        }
    }
    while (rest.n) {
        size_t n = find_line_end(rest);
        bool is_crlf = n + 1 < rest.n && rest.p[n] == '\r' && rest.p[n + 1] == '\n';
        out->is_plain &= n < rest.n && rest.p[n] == '\n';
        int err = n ? read_line(s, out, bytes_first(rest, n)) : 0;
        if (err)
            return err;
        rest = bytes_skip(rest, n + (is_crlf ? 2 : 1));
    }
    return 1;
}

/* The item is whole: gives it out and makes ready for the next. */
static int give(struct sse *s, struct bytes raw, struct sse_item *out)
{
    int got = read_item(s, raw, out);
    s->has_lines = s->in_comment = false;
    s->at_line_start = true;
    return got;
}

int sse_next(struct sse *s, struct bytes *in, struct sse_item *out)
{
    size_t skip, n;
    if (s->is_spilled_out) {
        buf_clear(&s->spill);
        buf_trim(&s->spill);
        s->is_spilled_out = false;
    }
    if (skip_bom(s, in))
        return E_NO_MEMORY;
    n = scan(s, *in, buf_len(&s->spill) == 0, &skip);
    size_t take = n ? n : in->n;
    struct bytes mine = bytes_skip(bytes_first(*in, take), skip);
    *in = bytes_skip(*in, take);
    if (buf_len(&s->spill) + mine.n > s->limit)
        return E_TOO_BIG;
    if (n && !buf_len(&s->spill))
        return give(s, mine, out);
    if (buf_append_bytes(&s->spill, mine))
        return E_NO_MEMORY;
    if (!n)
        return E_AGAIN;
    s->is_spilled_out = true;
    return give(s, buf_view(&s->spill), out);
}

int sse_finish(struct sse *s, struct sse_item *out)
{
    if (s->is_spilled_out || !buf_len(&s->spill))
        return 0;
    if (!s->at_line_start || !s->has_lines)
        return E_EOF;
    s->is_spilled_out = true;
    return give(s, buf_view(&s->spill), out);
}

/* --- writing --- */

int sse_slices(struct bytes name, struct bytes data, struct bytes out[static SSE_SLICES])
{
    int n = 0;
    if (name.n) {
        out[n++] = BYTES_LIT("event: ");
        out[n++] = name;
        out[n++] = BYTES_LIT("\ndata: ");
    } else
        out[n++] = BYTES_LIT("data: ");
    out[n++] = data;
    out[n++] = BYTES_LIT("\n\n");
    return n;
}

int sse_append(struct buf *b, struct bytes name, struct bytes data)
{
    int err = 0;
    if (name.n) {
        err = buf_append_str(b, "event: ");
        err = err ? err : buf_append_bytes(b, name);
        err = err ? err : buf_append_byte(b, '\n');
    }
    for (bool more = true; more && !err;) {
        size_t n = find_line_end(data);
        bool is_crlf = n + 1 < data.n && data.p[n] == '\r' && data.p[n + 1] == '\n';
        more = n < data.n;
        err = buf_append_str(b, "data: ");
        err = err ? err : buf_append_bytes(b, bytes_first(data, n));
        err = err ? err : buf_append_byte(b, '\n');
        data = bytes_skip(data, n + (is_crlf ? 2 : 1));
    }
    return err ? err : buf_append_byte(b, '\n');
}

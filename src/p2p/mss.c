// SPDX-License-Identifier: MIT
/* multistream-select; see mss.h. One reader of lines, two small machines on top of it. */
#include "p2p/mss.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <assert.h>

static const char header[] = "/multistream/1.0.0";

int mss_append_line(struct buf *out, struct bytes text)
{
    uint8_t len[2];
    size_t n = text.n + 1, len_n = n < 0x80 ? 1 : 2;
    if (n > LIMIT_MSS_LINE)
        return E_TOO_BIG;
    len[0] = (uint8_t)(len_n == 1 ? n : (n & 0x7f) | 0x80);
    len[1] = (uint8_t)(n >> 7);
    int err = buf_append(out, len, len_n);
    if (!err)
        err = buf_append_bytes(out, text);
    return err ? err : buf_append_byte(out, '\n');
}

static int append_str(struct buf *out, const char *text)
{
    return mss_append_line(out, bytes_str(text));
}

int mss_dial(struct mss *m, const char *const *protocols, int count, struct buf *out)
{
    *m = (struct mss){.offer = protocols, .offer_count = count};
    buf_init(&m->partial, LIMIT_MSS_LINE);
    if (count < 1 || strlen(protocols[0]) > LIMIT_MSS_PROTOCOL)
        return E_INVALID;
    int err = append_str(out, header);
    return err ? err : append_str(out, protocols[0]);
}

void mss_listen(struct mss *m, mss_accept accept, void *ctx)
{
    assert(accept);
    *m = (struct mss){.accept = accept, .ctx = ctx, .chosen = -1};
    buf_init(&m->partial, LIMIT_MSS_LINE);
}

void mss_fini(struct mss *m)
{
    buf_fini(&m->partial);
}

/* One byte of the uvarint. 1 when the length is known, 0 for more, or an error. The limit leaves
 * two bytes; a third cannot be minimal *and* small enough. */
static int take_length(struct mss *m, uint8_t c)
{
    m->length |= (uint16_t)((c & 0x7f) << (7 * m->length_bytes));
    m->length_bytes++;
    if (c & 0x80)
        return m->length_bytes < 2 ? 0 : E_TOO_BIG;
    if (m->length_bytes == 2 && c == 0)
        return E_MALFORMED; /* over-long */
    if (m->length == 0)
        return E_MALFORMED;
    if (m->length > LIMIT_MSS_LINE)
        return E_TOO_BIG;
    if (!m->have_header && m->length != sizeof header)
        return E_PROTO; /* soon, rather than waiting for the rest of what is not the header */
    m->has_length = true;
    return 1;
}

/* A whole line without its newline: 1, 0 for more, or an error. The line lies in `in` or in
 * m->partial and is good until the next call. */
static int take_line(struct mss *m, struct bytes in, size_t *used, struct bytes *line)
{
    while (!m->has_length) {
        if (*used == in.n)
            return 0;
        int r = take_length(m, in.p[(*used)++]);
        if (r < 0)
            return r;
    }
    size_t have = buf_len(&m->partial), want = m->length - have;
    struct bytes part = bytes_first(bytes_skip(in, *used), want);
    if (have || part.n < want) {
        int err = buf_append_bytes(&m->partial, part);
        if (err)
            return err;
        part = buf_view(&m->partial);
    }
    *used += part.n - have;
    if (part.n < m->length)
        return 0;
    if (part.p[part.n - 1] != '\n')
        return E_MALFORMED;
    *line = bytes_first(part, part.n - 1);
    return 1;
}

static void forget_line(struct mss *m)
{
    m->has_length = false;
    m->length = 0;
    m->length_bytes = 0;
    buf_fini(&m->partial);
}

static int dialer_line(struct mss *m, struct bytes line, struct buf *out)
{
    if (!m->have_header) {
        m->have_header = true;
        return bytes_eq_str(line, header) ? MSS_MORE : E_PROTO;
    }
    if (bytes_eq_str(line, m->offer[m->chosen])) {
        m->is_agreed = true;
        return MSS_AGREED;
    }
    if (!bytes_eq_str(line, "na"))
        return E_PROTO;
    if (m->chosen + 1 >= m->offer_count)
        return E_UNSUPPORTED;
    return append_str(out, m->offer[++m->chosen]);
}

/* `ls` needs no case of its own: whatever is not one of ours is answered `na`. */
static int listener_line(struct mss *m, struct bytes line, struct buf *out)
{
    if (!m->have_header) {
        m->have_header = true;
        return bytes_eq_str(line, header) ? append_str(out, header) : E_PROTO;
    }
    int at = line.n <= LIMIT_MSS_PROTOCOL ? m->accept(m->ctx, line) : -1;
    if (at < 0) {
        if (++m->refused > LIMIT_MSS_PROPOSALS)
            return E_LIMIT;
        return append_str(out, "na");
    }
    int err = mss_append_line(out, line);
    if (err)
        return err;
    m->chosen = at;
    m->is_agreed = true;
    return MSS_AGREED;
}

int mss_feed(struct mss *m, struct bytes in, size_t *used, struct buf *out)
{
    *used = 0;
    while (!m->is_agreed) {
        struct bytes line = {0};
        int r = take_line(m, in, used, &line);
        if (r <= 0)
            return r;
        r = m->accept ? listener_line(m, line, out) : dialer_line(m, line, out);
        forget_line(m);
        if (r != MSS_MORE)
            return r;
    }
    return MSS_AGREED;
}

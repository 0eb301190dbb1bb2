// SPDX-License-Identifier: MIT
/* Bodies taken out of their framing, slice by slice; see http1.h.
 *
 *     +------------------------------------------------------------------+
 *     v                                                                  |
 *   SIZE --CR------------> SIZE_LF --LF--> DATA --left == 0--> DATA_CR -> DATA_LF
 *     |                     ^     \
 *     +--';'--> EXT --CR----+      +--size 0--> TRAILER --CR--> END_LF --LF--> DONE
 *                                                |    ^
 *                                                v    |
 *                                     TRAILER_LINE -> TRAILER_LF
 */
#include "http/http1.h"

#include <stdio.h>

enum chunk_state {
    SIZE = 0,
    EXT,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_LINE,
    TRAILER_LF,
    END_LF,
    DONE,
};

void http_body_init(struct http_body *b, enum http_framing framing, uint64_t length)
{
    *b = (struct http_body){.framing = framing, .left = framing == HTTP_BODY_LENGTH ? length : 0};
}

static int refuse(struct http_body *b, enum http_fault fault)
{
    b->fault = fault;
    return http_fault_status(fault) == 413 ? E_LIMIT : E_MALFORMED;
}

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to `left` bytes of the body. */
static int take_data(struct http_body *b, struct bytes *in, struct bytes *out)
{
    *out = bytes_first(*in, b->left < in->n ? (size_t)b->left : in->n);
    *in = bytes_skip(*in, out->n);
    b->left -= out->n;
    b->received += out->n;
    return out->n ? 1 : E_AGAIN;
}

static int size_byte(struct http_body *b, uint8_t c)
{
    int digit = hex(c);
    if (digit >= 0) {
        /* 15 digits are 2^60: no overflow, and leading zeros do not go on for ever */
        if (++b->digits > 15)
            return refuse(b, HTTP_FAULT_CHUNK_HUGE);
        b->left = b->left << 4 | (unsigned)digit;
        return 0;
    }
    if (!b->digits)
        return refuse(b, HTTP_FAULT_CHUNK_SIZE);
    b->state = c == ';' ? EXT : SIZE_LF;
    return c == ';' || c == '\r' ? 0 : refuse(b, HTTP_FAULT_CHUNK_SIZE);
}

static int end_of_size(struct http_body *b, uint8_t c)
{
    if (c != '\n')
        return refuse(b, HTTP_FAULT_CHUNK_SIZE);
    b->digits = 0;
    b->state = b->left ? DATA : TRAILER;
    return 0;
}

/* A byte of an extension or trailer line; only CR ends it. */
static int line_byte(struct http_body *b, uint8_t c, enum chunk_state at_cr, enum http_fault fault)
{
    if (c == '\r')
        b->state = at_cr;
    else if ((c < 0x20 && c != '\t') || c == 0x7f)
        return refuse(b, fault);
    return ++b->overhead > LIMIT_HTTP_CHUNK_EXT ? refuse(b, fault) : 0;
}

static int expect(struct http_body *b, uint8_t c, uint8_t want, enum chunk_state next,
                  enum http_fault fault)
{
    b->state = next;
    return c == want ? 0 : refuse(b, fault);
}

/* One byte of framing. */
static int frame_byte(struct http_body *b, uint8_t c)
{
    switch ((enum chunk_state)b->state) {
    case SIZE:
        return size_byte(b, c);
    case EXT:
        return line_byte(b, c, SIZE_LF, HTTP_FAULT_CHUNK_EXT);
    case SIZE_LF:
        return end_of_size(b, c);
    case DATA_CR:
        return expect(b, c, '\r', DATA_LF, HTTP_FAULT_CHUNK_END);
    case DATA_LF:
        return expect(b, c, '\n', SIZE, HTTP_FAULT_CHUNK_END);
    case TRAILER:
        if (c == '\r') {
            b->state = END_LF;
            return 0;
        }
        b->state = TRAILER_LINE;
        if (c == ' ' || c == '\t' || c == ':') /* folded, or without a name */
            return refuse(b, HTTP_FAULT_TRAILER);
        return line_byte(b, c, TRAILER_LF, HTTP_FAULT_TRAILER);
    case TRAILER_LINE:
        return line_byte(b, c, TRAILER_LF, HTTP_FAULT_TRAILER);
    case TRAILER_LF:
        return expect(b, c, '\n', TRAILER, HTTP_FAULT_TRAILER);
    case END_LF:
        return expect(b, c, '\n', DONE, HTTP_FAULT_TRAILER);
    case DATA:
    case DONE:
        break;
    }
    return E_BUG;
}

static int chunked_step(struct http_body *b, struct bytes *in, struct bytes *out)
{
    while (b->state != DONE) {
        if (!in->n)
            return E_AGAIN;
        if (b->state == DATA) {
            int got = take_data(b, in, out);
            if (!b->left)
                b->state = DATA_CR;
            return got;
        }
        int err = frame_byte(b, in->p[0]);
        if (err)
            return err;
        *in = bytes_skip(*in, 1);
    }
    return 0;
}

int http_body_step(struct http_body *b, struct bytes *in, struct bytes *out)
{
    *out = bytes_first(*in, 0);
    if (b->fault)
        return refuse(b, b->fault);
    switch (b->framing) {
    case HTTP_BODY_NONE:
        return 0;
    case HTTP_BODY_LENGTH:
        return b->left ? take_data(b, in, out) : 0;
    case HTTP_BODY_CHUNKED:
        return chunked_step(b, in, out);
    case HTTP_BODY_UNTIL_EOF:
        *out = *in;
        *in = bytes_skip(*in, in->n);
        b->received += out->n;
        return out->n ? 1 : E_AGAIN;
    }
    return E_BUG;
}

int http_body_eof(const struct http_body *b)
{
    switch (b->framing) {
    case HTTP_BODY_NONE:
    case HTTP_BODY_UNTIL_EOF:
        return 0;
    case HTTP_BODY_LENGTH:
        return b->left ? E_EOF : 0;
    case HTTP_BODY_CHUNKED:
        return b->state == DONE ? 0 : E_EOF;
    }
    return E_BUG;
}

size_t http_chunk_head(char out[static HTTP_CHUNK_HEAD], uint64_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 1;
    while (n < 16 && size >> (4 * n))
        n++;
    for (size_t i = 0; i < n; i++)
        out[i] = digits[size >> (4 * (n - 1 - i)) & 15];
    out[n] = '\r';
    out[n + 1] = '\n';
    return n + 2;
}

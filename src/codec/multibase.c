// SPDX-License-Identifier: MIT
/* Which alphabet, which prefix; see multibase.h. */
#include "codec/multibase.h"

#include "base/mem.h"
#include "codec/base_radix.h"

#define HEX_LOWER  "0123456789abcdef"
#define B36_LOWER  "0123456789abcdefghijklmnopqrstuvwxyz"
#define B64_COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const struct base {
    const char *digits;
    unsigned bits; /* 0: one big number */
    bool pads;
    char prefix;       /* 0: none in multibase */
    char prefix_upper; /* the same digits in upper case, read only */
} bases[] = {
    [BASE_HEX] = {HEX_LOWER, 4, false, 'f', 'F'},
    [BASE_32] = {"abcdefghijklmnopqrstuvwxyz234567", 5, false, 'b', 'B'},
    [BASE_36] = {B36_LOWER, 0, false, 'k', 'K'},
    [BASE_58] = {"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 0, false, 'z', 0},
    [BASE_64] = {B64_COMMON "+/", 6, true, 'M', 0},
    [BASE_64_NOPAD] = {B64_COMMON "+/", 6, false, 'm', 0},
    [BASE_64URL] = {B64_COMMON "-_", 6, false, 'u', 0},
};

int base_encode(enum base_kind kind, struct bytes in, struct buf *out)
{
    const struct base *b = &bases[kind];
    return b->bits ? base_bits_encode(in, b->digits, b->bits, b->pads, out)
                   : base_number_encode(in, b->digits, out);
}

static int decode_with(const struct base *b, struct bytes text, struct buf *out)
{
    return b->bits ? base_bits_decode(text, b->digits, b->bits, b->pads, out)
                   : base_number_decode(text, b->digits, out);
}

/* Upper case digits through a lowered copy. */
static int decode_lowered(const struct base *b, struct bytes text, struct buf *out)
{
    struct buf low;
    uint8_t *at;
    buf_init(&low, 0);
    int err = buf_reserve(&low, text.n + 1, &at);
    if (!err) {
        for (size_t i = 0; i < text.n; i++)
            at[i] = text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] | 0x20 : text.p[i];
        buf_commit(&low, text.n);
        err = decode_with(b, buf_view(&low), out);
    }
    buf_fini(&low);
    return err;
}

int base_decode(enum base_kind kind, struct bytes text, struct buf *out)
{
    return kind == BASE_HEX ? decode_lowered(&bases[kind], text, out)
                            : decode_with(&bases[kind], text, out);
}

int multibase_encode(enum base_kind kind, struct bytes in, struct buf *out)
{
    int err = buf_append_byte(out, (uint8_t)bases[kind].prefix);
    return err ? err : base_encode(kind, in, out);
}

int multibase_decode(struct bytes text, struct buf *out)
{
    if (text.n == 0)
        return E_MALFORMED;
    for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
        if (text.p[0] == bases[i].prefix)
            return decode_with(&bases[i], bytes_skip(text, 1), out);
        if (text.p[0] == bases[i].prefix_upper && bases[i].prefix_upper)
            return decode_lowered(&bases[i], bytes_skip(text, 1), out);
    }
    return E_MALFORMED;
}

char *hex_format(struct bytes in, char *out)
{
    for (size_t i = 0; i < in.n; i++) {
        out[2 * i] = HEX_LOWER[in.p[i] >> 4];
        out[2 * i + 1] = HEX_LOWER[in.p[i] & 15];
    }
    out[2 * in.n] = 0;
    return out;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_parse(struct bytes text, uint8_t *out, size_t n)
{
    if (text.n != 2 * n)
        return E_MALFORMED;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(text.p[2 * i]), lo = hex_digit(text.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return E_MALFORMED;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

int base64_put_f32(struct buf *out, const float *v, size_t count)
{
    enum { CHUNK = 96 }; /* floats: 384 bytes, a multiple of 3, so that chunks join */
    uint8_t raw[CHUNK * 4];
    while (count > 0) {
        size_t n = count < CHUNK ? count : CHUNK;
        for (size_t i = 0; i < n; i++) {
            uint32_t u;
            memcpy(&u, &v[i], 4);
            for (int k = 0; k < 4; k++)
                raw[4 * i + (size_t)k] = (uint8_t)(u >> (8 * k));
        }
        int err = base_encode(BASE_64, bytes_of(raw, 4 * n), out);
        if (err)
            return err;
        v += n;
        count -= n;
    }
    return 0;
}

int base64_get_f32(struct bytes text, float *v, size_t *count)
{
    struct buf raw;
    buf_init(&raw, 0);
    int err = text.n / 4 * 3 > *count * 4 + 2 ? E_TOO_BIG : base_decode(BASE_64, text, &raw);
    struct bytes b = buf_view(&raw);
    if (!err && b.n % 4 != 0)
        err = E_MALFORMED;
    for (size_t i = 0; !err && i < b.n / 4; i++) {
        const uint8_t *p = b.p + 4 * i;
        uint32_t u = p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
        memcpy(&v[i], &u, 4);
    }
    if (!err)
        *count = b.n / 4;
    buf_fini(&raw);
    return err;
}

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int uri_escape(struct bytes in, const char *keep, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        uint8_t c = in.p[i];
        int err = is_unreserved(c) || (c && keep && strchr(keep, c)) ? buf_append_byte(out, c)
                                                                     : buf_printf(out, "%%%02X", c);
        if (err)
            return err;
    }
    return 0;
}

int uri_unescape(struct bytes in, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        uint8_t c = in.p[i];
        if (c == '%') {
            if (in.n - i < 3 || hex_parse(bytes_of(in.p + i + 1, 2), &c, 1))
                return E_MALFORMED;
            i += 2;
        }
        int err = buf_append_byte(out, c);
        if (err)
            return err;
    }
    return 0;
}

// SPDX-License-Identifier: MIT
/* Digits of bits and digits of numbers; see base_radix.h. */
#include "codec/base_radix.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

static void index_digits(const char *digits, int8_t index[static 256])
{
    memset(index, -1, 256);
    for (int i = 0; digits[i]; i++)
        index[(uint8_t)digits[i]] = (int8_t)i;
}

int base_bits_encode(struct bytes in, const char *digits, unsigned bits, bool pads, struct buf *out)
{
    size_t most = (in.n * 8 + bits - 1) / bits + 4, n = 0;
    uint8_t *at;
    int err = buf_reserve(out, most, &at);
    if (err)
        return err;
    uint32_t acc = 0, mask = (1u << bits) - 1;
    unsigned have = 0;
    for (size_t i = 0; i < in.n; i++) {
        acc = (acc << 8 | in.p[i]) & 0xffff;
        for (have += 8; have >= bits; have -= bits)
            at[n++] = (uint8_t)digits[acc >> (have - bits) & mask];
    }
    if (have > 0)
        at[n++] = (uint8_t)digits[acc << (bits - have) & mask];
    while (pads && n % 4 != 0)
        at[n++] = '=';
    buf_commit(out, n);
    return 0;
}

/* Without the padding that must be there. */
static int strip_padding(struct bytes *text)
{
    if (text->n % 4 != 0)
        return E_MALFORMED;
    for (int i = 0; i < 2 && text->n > 0 && text->p[text->n - 1] == '='; i++)
        text->n--;
    return 0;
}

int base_bits_decode(struct bytes text, const char *digits, unsigned bits, bool pads,
                     struct buf *out)
{
    int8_t index[256];
    uint8_t *at;
    if (pads && strip_padding(&text))
        return E_MALFORMED;
    int err = buf_reserve(out, text.n * bits / 8 + 1, &at);
    if (err)
        return err;
    index_digits(digits, index);
    uint32_t acc = 0;
    unsigned have = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        int d = index[text.p[i]];
        if (d < 0)
            return E_MALFORMED;
        acc = (acc << bits | (uint32_t)d) & 0xffff;
        have += bits;
        if (have >= 8) {
            have -= 8;
            at[n++] = (uint8_t)(acc >> have);
        }
    }
    /* one text for one value: less than a digit left over, and it is zero */
    if (have >= bits || (acc & ((1u << have) - 1)) != 0)
        return E_MALFORMED;
    buf_commit(out, n);
    return 0;
}

/* number = number * mul + add, little-endian in `v`; returns its new length. */
static size_t number_step(uint8_t *v, size_t n, unsigned mul, unsigned add, unsigned base)
{
    unsigned carry = add;
    for (size_t i = 0; i < n; i++) {
        carry += v[i] * mul;
        v[i] = (uint8_t)(carry % base);
        carry /= base;
    }
    for (; carry > 0; carry /= base)
        v[n++] = (uint8_t)(carry % base);
    return n;
}

int base_number_encode(struct bytes in, const char *digits, struct buf *out)
{
    uint8_t v[LIMIT_BASE58 * 2];
    unsigned base = (unsigned)strlen(digits);
    size_t zeros = 0, n = 0;
    if (in.n > LIMIT_BASE58)
        return E_TOO_BIG;
    while (zeros < in.n && in.p[zeros] == 0)
        zeros++;
    for (size_t i = zeros; i < in.n; i++)
        n = number_step(v, n, 256, in.p[i], base);
    uint8_t *at;
    int err = buf_reserve(out, zeros + n + 1, &at);
    if (err)
        return err;
    memset(at, digits[0], zeros);
    for (size_t i = 0; i < n; i++)
        at[zeros + i] = (uint8_t)digits[v[n - 1 - i]];
    buf_commit(out, zeros + n);
    return 0;
}

int base_number_decode(struct bytes text, const char *digits, struct buf *out)
{
    uint8_t v[LIMIT_BASE58 + 8];
    int8_t index[256];
    unsigned base = (unsigned)strlen(digits);
    size_t zeros = 0, n = 0;
    if (text.n > LIMIT_BASE58)
        return E_TOO_BIG;
    index_digits(digits, index);
    while (zeros < text.n && text.p[zeros] == (uint8_t)digits[0])
        zeros++;
    for (size_t i = zeros; i < text.n; i++) {
        int d = index[text.p[i]];
        if (d < 0)
            return E_MALFORMED;
        n = number_step(v, n, base, (unsigned)d, 256);
    }
    uint8_t *at;
    int err = buf_reserve(out, zeros + n + 1, &at);
    if (err)
        return err;
    memset(at, 0, zeros);
    for (size_t i = 0; i < n; i++)
        at[zeros + i] = v[n - 1 - i];
    buf_commit(out, zeros + n);
    return 0;
}

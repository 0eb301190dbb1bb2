// SPDX-License-Identifier: MIT
/* UTF-8, with a fast way over ASCII; see utf8.h. */
#include "codec/utf8.h"

size_t utf8_char(const uint8_t *p, const uint8_t *end)
{
    uint8_t c = *p;
    size_t left = (size_t)(end - p);
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    if (c < 0xe0)
        return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (left < 3)
        return 0;
    /* the second byte's range keeps out overlongs, surrogates and what is over U+10FFFF */
    uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high || (p[2] & 0xc0) != 0x80)
        return 0;
    if (c < 0xf0)
        return 3;
    return left >= 4 && (p[3] & 0xc0) == 0x80 ? 4 : 0;
}

bool utf8_is_valid(struct bytes in)
{
    const uint8_t *p = in.p, *end = in.p + in.n;
    while (p < end) {
        uint64_t eight;
        if (end - p >= 8) {
            memcpy(&eight, p, 8);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                p += 8;
                continue;
            }
        }
        size_t n = utf8_char(p, end);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

size_t utf8_cut_tail(struct bytes in)
{
    for (size_t back = 1; back <= 3 && back <= in.n; back++) {
        uint8_t c = in.p[in.n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t need = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;
        return c <= 0xf4 && need > back ? back : 0;
    }
    return 0;
}

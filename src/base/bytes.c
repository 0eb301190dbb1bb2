// SPDX-License-Identifier: MIT
/* Comparing, searching and reading borrowed bytes. */
#include "base/bytes.h"

#include "base/err.h"

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool bytes_same_nocase(const uint8_t *a, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

int bytes_cmp(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c)
        return c < 0 ? -1 : 1;
    return a.n < b.n ? -1 : a.n > b.n;
}

size_t bytes_find(struct bytes a, uint8_t c)
{
    const uint8_t *at = a.n ? memchr(a.p, c, a.n) : NULL;
    return at ? (size_t)(at - a.p) : a.n;
}

struct bytes bytes_trim(struct bytes a)
{
    while (a.n && (a.p[0] == ' ' || a.p[0] == '\t'))
        a = bytes_skip(a, 1);
    while (a.n && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t'))
        a.n--;
    return a;
}

int bytes_to_u64(struct bytes a, uint64_t *out)
{
    uint64_t v = 0;
    if (a.n == 0)
        return E_MALFORMED;
    for (size_t i = 0; i < a.n; i++) {
        if (a.p[i] < '0' || a.p[i] > '9')
            return E_MALFORMED;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, a.p[i] - '0', &v))
            return E_LIMIT;
    }
    *out = v;
    return 0;
}

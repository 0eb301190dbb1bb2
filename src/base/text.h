// SPDX-License-Identifier: MIT
/* Copying text into arrays, for what is done with every request: snprintf("%s") says the same and
 * takes ten times as long. */
#ifndef CONDUIT_BASE_TEXT_H
#define CONDUIT_BASE_TEXT_H

#include "base/bytes.h"

/* With its NUL, cut to what fits; size > 0. The two do not overlap. */
static inline void text_copy(char *out, size_t size, const char *text)
{
    size_t n = strlen(text);
    n = n < size ? n : size - 1;
    memcpy(out, text, n);
    out[n] = 0;
}

/* The same of bytes; up to the first NUL in them. */
static inline void text_copy_bytes(char *out, size_t size, struct bytes b)
{
    size_t n = b.n ? strnlen((const char *)b.p, b.n < size - 1 ? b.n : size - 1) : 0;
    memcpy(out, b.n ? b.p : (const uint8_t *)"", n);
    out[n] = 0;
}

/* The prefix and 16 hexadecimal digits; `out` has room for both and a NUL. */
static inline void text_put_id(char *out, const char *prefix, uint64_t id)
{
    size_t n = strlen(prefix);
    memcpy(out, prefix, n);
    for (int i = 0; i < 16; i++)
        out[n + (size_t)i] = "0123456789abcdef"[id >> (60 - 4 * i) & 15];
    out[n + 16] = 0;
}

/* Text put together piece by piece; NUL-terminated after each, cut to what fits. */
struct text {
    char *at;
    size_t room; /* with the NUL; > 0 */
};

static inline void text_add(struct text *t, const char *more)
{
    size_t n = strlen(more);
    n = n < t->room ? n : t->room - 1;
    memcpy(t->at, more, n);
    t->at += n;
    t->room -= n;
    *t->at = 0;
}

static inline void text_add_u64(struct text *t, uint64_t v)
{
    char digits[21];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do
        digits[--at] = (char)('0' + v % 10);
    while (v /= 10);
    text_add(t, digits + at);
}

#endif

// SPDX-License-Identifier: MIT
/* A borrowed run of bytes: a pointer and a length, owned by nobody here. */
#ifndef CONDUIT_BASE_BYTES_H
#define CONDUIT_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *p;
    size_t n;
};

/* A string literal as bytes, without its NUL. */
#define BYTES_LIT(s) ((struct bytes){(const uint8_t *)("" s), sizeof(s) - 1})
/* printf("%.*s") arguments. */
#define BYTES_FMT(b) (int)(b).n, (const char *)(b).p

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){p, n};
}

static inline struct bytes bytes_str(const char *s)
{
    return (struct bytes){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool bytes_eq_str(struct bytes a, const char *s)
{
    return bytes_eq(a, bytes_str(s));
}

bool bytes_same_nocase(const uint8_t *a, const uint8_t *b, size_t n);

/* Equal but for the case of ASCII letters. The length, which tells most names apart, is looked at here. */
static inline bool bytes_eq_nocase(struct bytes a, struct bytes b)
{
    return a.n == b.n && bytes_same_nocase(a.p, b.p, a.n);
}

static inline bool bytes_starts(struct bytes a, struct bytes prefix)
{
    return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

/* From `at` to the end; empty when `at` lies past it. */
static inline struct bytes bytes_skip(struct bytes a, size_t at)
{
    if (!a.p)
        return a; /* C17 has no NULL + 0 */
    return at >= a.n ? (struct bytes){a.p + a.n, 0} : (struct bytes){a.p + at, a.n - at};
}

static inline struct bytes bytes_first(struct bytes a, size_t n)
{
    return (struct bytes){a.p, n < a.n ? n : a.n};
}

/* -1, 0, 1 by bytes, then by length. */
int bytes_cmp(struct bytes a, struct bytes b);

/* Offset of `c`, or a.n. */
size_t bytes_find(struct bytes a, uint8_t c);

/* Without spaces and tabs at both ends. */
struct bytes bytes_trim(struct bytes a);

/* Decimal text to a number: 0, or E_MALFORMED (empty, not digits) or E_LIMIT (over UINT64_MAX). */
int bytes_to_u64(struct bytes a, uint64_t *out);

#endif

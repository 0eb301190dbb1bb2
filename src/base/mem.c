// SPDX-License-Identifier: MIT
/* Allocation that aborts, allocation that may fail, and wiping. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    if (!p) {
        fputs("conduit: out of memory\n", stderr);
        abort();
    }
    return p;
}

/* glibc's calloc passes by the thread's cache of freed pieces, which makes it several times as dear for
 * what comes and goes with every request; from some size on it knows of pages that are zero already. */
void *mem_new(size_t size)
{
    enum { FROM_CACHE = 4096 };
    if (size > FROM_CACHE)
        return must(calloc(1, size));
    return memset(must(malloc(size ? size : 1)), 0, size);
}

void *mem_array(size_t count, size_t size)
{
    size_t all;
    return mem_new(__builtin_mul_overflow(count, size, &all) ? SIZE_MAX : all);
}

void *mem_resize(void *p, size_t size)
{
    return must(realloc(p, size ? size : 1));
}

char *mem_strdup(const char *s)
{
    return must(strdup(s));
}

char *mem_strndup(const void *s, size_t n)
{
    char *p = mem_new(n + 1);
    if (n)
        memcpy(p, s, n);
    return p;
}

char *mem_printf(const char *fmt, ...)
{
    char *out = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&out, fmt, ap);
    va_end(ap);
    return must(n < 0 ? NULL : out);
}

void *mem_try(size_t size)
{
    return malloc(size ? size : 1);
}

void mem_wipe(void *p, size_t n)
{
    memset(p, 0, n);
    __asm__ __volatile__("" : : "r"(p) : "memory");
}

int mem_equal_secret(const void *a, const void *b, size_t n)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t d = 0;
    for (size_t i = 0; i < n; i++)
        d |= x[i] ^ y[i];
    return d == 0;
}

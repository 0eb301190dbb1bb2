// SPDX-License-Identifier: MIT
/* Allocation for small things whose size we chose ourselves: they abort when memory is out, since
 * nothing sensible can follow. What a stranger can size is checked against `limits.h` first and
 * allocated with `mem_try`, which may say no. */
#ifndef CONDUIT_BASE_MEM_H
#define CONDUIT_BASE_MEM_H

#include <stddef.h>

/* Zeroed; never NULL. Free with free(). */
void *mem_new(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *p, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const void *s, size_t n) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Not zeroed; NULL when there is no memory. */
void *mem_try(size_t size) __attribute__((malloc));

/* Overwrites secrets so that the compiler cannot leave it out. */
void mem_wipe(void *p, size_t n);

/* Compares secrets in time that does not depend on them: 1 equal, 0 not. */
int mem_equal_secret(const void *a, const void *b, size_t n);

#define MEM_NEW(type)                 ((type *)mem_new(sizeof(type)))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define ARRAY_LEN(a)                  (sizeof(a) / sizeof *(a))

#endif

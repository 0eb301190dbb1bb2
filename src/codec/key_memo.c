// SPDX-License-Identifier: MIT
/* See key_memo.h. */
#include "codec/key_memo.h"

#include "codec/sha256.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

enum { ROWS = 8192, WAYS = 4, SALT = 32 };

static struct {
    pthread_mutex_t lock;
    bool is_salted;
    uint8_t salt[SALT];
    struct key_memo rows[ROWS][WAYS]; /* newest first */
} memo = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct key_memo *row_of(const struct key_memo *at)
{
    uint32_t n;
    memcpy(&n, at->tag, sizeof n);
    return memo.rows[n % ROWS];
}

bool key_memo_has(const uint8_t key[static 32], const uint8_t sig[static 64], struct bytes message,
                  struct key_memo *at)
{
    uint8_t head[SALT + 32 + 64], hash[SHA256_SIZE];
    bool has = false;
    pthread_mutex_lock(&memo.lock);
    if (!memo.is_salted)
        randombytes_buf(memo.salt, sizeof memo.salt);
    memo.is_salted = true;
    memcpy(head, memo.salt, SALT);
    pthread_mutex_unlock(&memo.lock);
    memcpy(head + SALT, key, 32);
    memcpy(head + SALT + 32, sig, 64);
    sha256_two(bytes_of(head, sizeof head), message, hash);
    memcpy(at->tag, hash, sizeof at->tag);
    pthread_mutex_lock(&memo.lock);
    for (int i = 0; i < WAYS; i++)
        has |= memcmp(row_of(at)[i].tag, at->tag, sizeof at->tag) == 0;
    pthread_mutex_unlock(&memo.lock);
    return has;
}

void key_memo_keep(const struct key_memo *at)
{
    pthread_mutex_lock(&memo.lock);
    struct key_memo *row = row_of(at);
    memmove(row + 1, row, (WAYS - 1) * sizeof *row);
    row[0] = *at;
    pthread_mutex_unlock(&memo.lock);
}

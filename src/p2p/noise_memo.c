// SPDX-License-Identifier: MIT
/* See noise_memo.h. */
#include "p2p/noise_memo.h"

#include "base/mem.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 16,      /* the ephemeral ones */
    PLACES = 131072 /* pairs: each static key with each ephemeral one; who comes later displaces */
};

struct place {
    uint8_t pair[32], shared[32];
    bool is_taken; /* by a result */
};

struct ephemeral {
    uint8_t secret[32], public_key[32];
    bool is_made;
};

static struct memo {
    struct place places[PLACES];
    struct ephemeral keys[KEYS];
} * memo;

void noise_memo_begin(void)
{
    if (!memo)
        memo = mem_new(sizeof *memo);
}

void noise_memo_end(void)
{
    if (memo)
        mem_wipe(memo, sizeof *memo);
    free(memo);
    memo = NULL;
}

bool noise_memo_key(uint8_t secret[static 32], uint8_t public_key[static 32])
{
    if (!memo)
        return false;
    struct ephemeral *e = &memo->keys[secret[0] % KEYS];
    if (!e->is_made) {
        if (crypto_scalarmult_base(e->public_key, secret) != 0)
            return false;
        memcpy(e->secret, secret, sizeof e->secret);
        e->is_made = true;
    }
    memcpy(secret, e->secret, sizeof e->secret);
    memcpy(public_key, e->public_key, sizeof e->public_key);
    return true;
}

/* NULL when it is off, and for a key with itself, which all share one place. */
static struct place *place_of(const uint8_t a[static 32], const uint8_t b[static 32],
                              uint8_t pair[static 32])
{
    uint32_t at;
    if (!memo || memcmp(a, b, 32) == 0)
        return NULL;
    for (int i = 0; i < 32; i++)
        pair[i] = a[i] ^ b[i];
    memcpy(&at, pair, sizeof at);
    return &memo->places[at % PLACES];
}

bool noise_memo_get(const uint8_t a[static 32], const uint8_t b[static 32],
                    uint8_t shared[static 32])
{
    uint8_t pair[32];
    struct place *p = place_of(a, b, pair);
    if (!p || !p->is_taken || memcmp(p->pair, pair, sizeof pair) != 0)
        return false;
    memcpy(shared, p->shared, sizeof p->shared);
    return true;
}

void noise_memo_put(const uint8_t a[static 32], const uint8_t b[static 32],
                    const uint8_t shared[static 32])
{
    uint8_t pair[32];
    struct place *p = place_of(a, b, pair);
    if (!p)
        return;
    memcpy(p->pair, pair, sizeof pair);
    memcpy(p->shared, shared, sizeof p->shared);
    p->is_taken = true;
}

// SPDX-License-Identifier: MIT
/* See noise_memo.h. */
#include "p2p/noise_memo.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    PLACES = 32768
}; /* handshakes under way at a time, three results each; who comes later displaces */

struct place {
    uint8_t pair[32], shared[32];
    bool is_taken; /* by a result */
};

static struct place *places;

void noise_memo_begin(void)
{
    if (!places)
        places = mem_array(PLACES, sizeof *places);
}

void noise_memo_end(void)
{
    if (places)
        mem_wipe(places, PLACES * sizeof *places);
    free(places);
    places = NULL;
}

static struct place *place_of(const uint8_t a[static 32], const uint8_t b[static 32],
                              uint8_t pair[static 32])
{
    uint32_t at;
    for (int i = 0; i < 32; i++)
        pair[i] = a[i] ^ b[i];
    memcpy(&at, pair, sizeof at);
    return &places[at % PLACES];
}

bool noise_memo_take(const uint8_t a[static 32], const uint8_t b[static 32],
                     uint8_t shared[static 32])
{
    uint8_t pair[32];
    struct place *p = places ? place_of(a, b, pair) : NULL;
    if (!p || !p->is_taken || memcmp(p->pair, pair, sizeof pair) != 0)
        return false;
    memcpy(shared, p->shared, sizeof p->shared);
    mem_wipe(p, sizeof *p);
    return true;
}

void noise_memo_put(const uint8_t a[static 32], const uint8_t b[static 32],
                    const uint8_t shared[static 32])
{
    uint8_t pair[32];
    struct place *p = places ? place_of(a, b, pair) : NULL;
    if (!p)
        return;
    memcpy(p->pair, pair, sizeof pair);
    memcpy(p->shared, shared, sizeof p->shared);
    p->is_taken = true;
}

// SPDX-License-Identifier: MIT
/* The DHT against who means harm; the network's own table of abuses is in test/unit/p2p/test_abuse.c. */
#include "dht/table.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct peer_id id_of(uint32_t n)
{
    uint8_t b[34] = {0x12,      0x20, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                     (uint8_t)n};
    struct peer_id id;
    assert_int_equal(peer_id_decode(bytes_of(b, sizeof b), &id), 0);
    return id;
}

static enum dht_table_result meet(struct dht_table *t, uint32_t n, uint32_t ip, uint64_t now)
{
    uint8_t addr[8] = {
        4,   (uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip, 6, 0x0f,
        0xa1};
    struct bytes v = bytes_of(addr, sizeof addr);
    struct dht_peer p = {id_of(n), &v, 1};
    struct dht_contact *check;
    return dht_table_seen(t, &p, now, &check);
}

/* IPFS could be censored by some dozens of identities placed around one key, all of one host. Here a host's
 * network gives three peers at most, so that identities cost addresses: of the twenty that a node names as
 * nearest to the key, seventeen at least are others. */
static void cve_2023_26248_one_address_is_not_the_neighbourhood(void **state)
{
    enum { HONEST = 400, SYBILS = 5000 };
    struct dht_table *t = MEM_NEW(struct dht_table);
    struct peer_id self = id_of(0);
    struct dht_contact *near[LIMIT_DHT_BUCKET];
    dht_table_init(t, &self, 7);
    struct dht_key key = dht_key_of(BYTES_LIT("model:llama"));
    for (uint32_t n = 1; n <= HONEST; n++)
        meet(t, n, 0x08000000 + (n << 16), 1000);
    /* It tries identities until they are near: the best of five thousand, first. */
    for (uint32_t n = 0; n < SYBILS; n++)
        meet(t, 100000 + n, 0x5db80000 + n % 65536, 2000);
    int count = dht_table_nearest(t, &key, NULL, near, LIMIT_DHT_BUCKET), sybils = 0;
    assert_int_equal(count, LIMIT_DHT_BUCKET);
    for (int i = 0; i < count; i++)
        sybils += near[i]->id.b[3] == 1; /* numbers over 65,536 */
    assert_in_range(sybils, 0, LIMIT_DHT_GROUP);
    dht_table_fini(t);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cve_2023_26248_one_address_is_not_the_neighbourhood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

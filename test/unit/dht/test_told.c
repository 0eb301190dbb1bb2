// SPDX-License-Identifier: MIT
/* Of whom a lookup tells: once, with an address if anybody has one, and of each source its share. */
#include "dht/told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Source `source` names peer `n`, with an address or without. */
static bool take(struct dht_told *t, int source, int n, bool has_addr)
{
    static const struct bytes addr = BYTES_LIT("\x04\x0a\x00\x00\x01\x06\x0f\xa1");
    uint8_t raw[34] = {0x12, 0x20, (uint8_t)(n >> 8), (uint8_t)n};
    struct dht_peer p = {.addrs = &addr, .addr_count = has_addr};
    assert_int_equal(peer_id_decode(bytes_of(raw, sizeof raw), &p.id), 0);
    return dht_told_take(t, source, &p);
}

static void once(void **state)
{
    struct dht_told t;
    struct peer_id id;
    int source;
    dht_told_init(&t, 1);
    assert_true(take(&t, 1, 7, true));
    assert_false(take(&t, 1, 7, true));
    assert_false(take(&t, 2, 7, true));
    assert_false(take(&t, 2, 7, false));
    assert_true(take(&t, 2, 8, true));
    assert_false(dht_told_take_waiting(&t, &id, &source));
    dht_told_fini(&t);
}

static void who_has_no_address_waits_for_one(void **state)
{
    struct dht_told t;
    struct peer_id id;
    int source;
    dht_told_init(&t, 1);
    assert_false(take(&t, 0, 7, false));
    assert_false(take(&t, 3, 7, false));
    assert_false(take(&t, 3, 8, false));
    assert_true(take(&t, 2, 7, true));
    assert_false(take(&t, 4, 7, false));
    assert_true(dht_told_take_waiting(&t, &id, &source)); /* 8 alone */
    assert_int_equal(source, 3);
    assert_int_equal(peer_id_bytes(&id).p[3], 8);
    assert_false(dht_told_take_waiting(&t, &id, &source));
    dht_told_fini(&t);
}

/* However many a liar names, the others have their say, of the same peers too. */
static void each_source_has_its_share(void **state)
{
    struct dht_told t;
    struct peer_id id;
    int source, waiting = 0, told = 0;
    dht_told_init(&t, 1);
    for (int n = 0; n < 2 * DHT_SHARE; n++)
        assert_false(take(&t, 1, n, false));
    for (int n = 0; n < 2 * DHT_SHARE; n++)
        told += take(&t, 1, n, true);
    assert_int_equal(told, 0);
    for (int n = 0; n < 2 * DHT_SHARE; n++)
        told += take(&t, 2, 2 * DHT_SHARE - 1 - n, true);
    assert_int_equal(told, DHT_SHARE);
    assert_true(take(&t, 3, 0, true));
    while (dht_told_take_waiting(&t, &id, &source)) {
        assert_int_equal(source, 1);
        waiting++;
    }
    assert_int_equal(waiting, DHT_SHARE - 1);
    dht_told_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once),
        cmocka_unit_test(who_has_no_address_waits_for_one),
        cmocka_unit_test(each_source_has_its_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/* Sets of peer ids, and the files they come from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/limits.h"
#include "guard/peer_list.h"

#include <stdio.h>
#include <string.h>

static struct peer_id numbered(uint32_t n)
{
    struct peer_id id = {.len = 38, .b = {0, 36, 8, 1, 18, 32}};
    for (int i = 0; i < 4; i++)
        id.b[37 - i] = (uint8_t)(n >> (8 * i));
    return id;
}

static void in_any_order_each_once(void **state)
{
    static const uint32_t order[] = {7, 3, 9, 1, 8, 2, 6, 4, 5, 0};
    struct peer_list l = {0};
    struct peer_id id = numbered(3);
    assert_false(peer_list_has(&l, &id));
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < 10; i++) {
            id = numbered(order[i] * 2);
            assert_int_equal(peer_list_add(&l, &id), 0);
        }
    assert_int_equal(l.n, 10);
    for (uint32_t n = 0; n < 21; n++) {
        id = numbered(n);
        assert_int_equal(peer_list_has(&l, &id), n % 2 == 0 && n < 20);
    }
    struct peer_id none = {0};
    assert_false(peer_list_has(&l, &none));
    peer_list_fini(&l);
    id = numbered(2);
    assert_false(peer_list_has(&l, &id));
    assert_int_equal(peer_list_add(&l, &id), 0); /* usable again */
    peer_list_fini(&l);
}

static void it_holds_so_many(void **state)
{
    struct peer_list l = {0};
    struct peer_id id;
    for (uint32_t n = 0; n < LIMIT_PEER_LIST; n++) {
        id = numbered(n);
        assert_int_equal(peer_list_add(&l, &id), 0);
    }
    id = numbered(LIMIT_PEER_LIST);
    assert_int_equal(peer_list_add(&l, &id), E_LIMIT);
    id = numbered(5);
    assert_int_equal(peer_list_add(&l, &id), 0); /* it is in */
    assert_int_equal(l.n, LIMIT_PEER_LIST);
    peer_list_fini(&l);
}

static void a_file_has_one_a_line(void **state)
{
    struct peer_list l = {0};
    struct peer_id a = numbered(1), b = numbered(2);
    char ta[PEER_ID_TEXT], tb[PEER_ID_TEXT], file[400];
    unsigned line;
    peer_id_text(&a, ta, sizeof ta);
    peer_id_text(&b, tb, sizeof tb);
    snprintf(file, sizeof file, "# friends\n\n  %s  # Ann\r\n\t\r\n%s", ta, tb);
    assert_int_equal(peer_list_read(&l, bytes_str(file), &line), 0);
    assert_true(l.n == 2 && peer_list_has(&l, &a) && peer_list_has(&l, &b));
    assert_int_equal(peer_list_read(&l, bytes_str(""), &line), 0);
    snprintf(file, sizeof file, "%s\n#\n%s x\n%s\n", ta, tb, tb);
    assert_int_equal(peer_list_read(&l, bytes_str(file), &line), E_MALFORMED);
    assert_int_equal(line, 3);
    peer_list_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_any_order_each_once),
        cmocka_unit_test(it_holds_so_many),
        cmocka_unit_test(a_file_has_one_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

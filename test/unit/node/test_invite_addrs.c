// SPDX-License-Identifier: MIT
/* Which addresses an invite names. */
#include "node/invite_addrs.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RELAY   "/p2p/12D3KooWRHcdVbAHdEXyTYYe1cNHh6sx4A9Ry2wH1SNnTc2wSUFJ/p2p-circuit"
#define CIRCUIT "/ip4/198.51.100.7/tcp/8000" RELAY

enum { MAX = 8 };

static struct multiaddr picked[INVITE_ADDRS];

/* The picked, with blanks between. */
static const char *pick(const char *const *own)
{
    static char text[1024];
    struct multiaddr m[MAX];
    struct bytes views[MAX];
    size_t n = 0, at = 0;
    for (; own[n]; n++) {
        assert_int_equal(multiaddr_parse(bytes_str(own[n]), &m[n]), 0);
        views[n] = multiaddr_bytes(&m[n]);
    }
    size_t count = invite_addrs_pick(views, n, picked);
    *text = 0;
    for (size_t i = 0; i < count; i++) {
        char one[256];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? " " : "",
                               multiaddr_text(multiaddr_bytes(&picked[i]), one, sizeof one));
    }
    return text;
}

#define PICK(...) pick((const char *const[]){__VA_ARGS__, NULL})

/* Behind a NAT, and before that is known: those of the LAN do not crowd out the one that strangers can come by. */
static void the_first_of_each_kind_comes_first(void **state)
{
    assert_string_equal(
        PICK("/ip4/192.168.1.5/tcp/8000", "/ip4/172.17.0.1/tcp/8000", "/ip4/10.8.0.1/tcp/8000",
             "/ip4/203.0.113.9/tcp/8000", CIRCUIT, "/ip4/127.0.0.1/tcp/8000"),
        "/ip4/203.0.113.9/tcp/8000 " CIRCUIT " /ip4/192.168.1.5/tcp/8000 /ip4/172.17.0.1/tcp/8000");
    assert_string_equal(PICK("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1", "/ip4/10.0.0.3/tcp/1",
                             "/ip4/10.0.0.4/tcp/1", CIRCUIT),
                        CIRCUIT " /ip4/10.0.0.1/tcp/1 /ip4/10.0.0.2/tcp/1 /ip4/10.0.0.3/tcp/1");
    assert_string_equal(
        PICK("/ip6/2001:db8::1/tcp/1", "/ip4/203.0.113.1/tcp/1", "/dns4/a.example/tcp/1"),
        "/ip6/2001:db8::1/tcp/1 /ip4/203.0.113.1/tcp/1 /dns4/a.example/tcp/1");
}

static void loopback_only_when_there_is_nothing_else(void **state)
{
    assert_string_equal(PICK("/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"), "/ip4/127.0.0.1/tcp/1");
    assert_string_equal(PICK("/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1"), "/ip4/10.0.0.1/tcp/1");
    assert_int_equal(invite_addrs_pick(NULL, 0, picked), 0);
}

static void local_ones(void **state)
{
    PICK("/ip4/192.168.1.5/tcp/8000", "/ip4/127.0.0.1/tcp/8000");
    assert_true(invite_addrs_are_local(picked, 1));
    PICK("/ip4/192.168.1.5/tcp/8000", CIRCUIT);
    assert_false(invite_addrs_are_local(picked, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_each_kind_comes_first),
        cmocka_unit_test(loopback_only_when_there_is_nothing_else),
        cmocka_unit_test(local_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

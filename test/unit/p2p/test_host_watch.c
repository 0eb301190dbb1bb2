// SPDX-License-Identifier: MIT
/* Watchers that go, and free themselves or others, while the host tells its news. */
#include "host_world.h"

enum { WATCHERS = 4 };

struct guest {
    struct p2p_watch watch;
    struct ring *ring;
    int seat;
};

/* Watchers in the order they came; when `talker` hears of a connection, all in `victims` go. */
struct ring {
    struct guest *seats[WATCHERS];
    int talker;
    unsigned victims;
    char told[16];
};

static void leave(struct ring *r, int seat)
{
    if (!r->seats[seat])
        return;
    p2p_host_unwatch(&r->seats[seat]->watch);
    free(r->seats[seat]);
    r->seats[seat] = NULL;
}

static void heard(struct p2p_watch *w, const struct peer_id *peer)
{
    struct guest *g = CONTAINER_OF(w, struct guest, watch);
    struct ring *r = g->ring;
    size_t n = strlen(r->told);
    r->told[n] = (char)('0' + g->seat);
    if (g->seat != r->talker)
        return;
    for (int i = 0; i < WATCHERS; i++)
        if (r->victims & 1u << i)
            leave(r, i);
}

/* Who was told when `talker` takes out `victims` (a bit each). */
static void check(int talker, unsigned victims, const char *told)
{
    struct hosts h;
    struct asked a;
    struct ring r = {.talker = talker, .victims = victims};
    hosts_init(&h, 1, 2);
    for (int i = 0; i < WATCHERS; i++) {
        r.seats[i] = calloc(1, sizeof *r.seats[i]);
        *r.seats[i] = (struct guest){.watch = {.connected = heard}, .ring = &r, .seat = i};
        p2p_host_watch(h.m[0].host, &r.seats[i]->watch);
    }
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    assert_string_equal(r.told, told);
    assert_int_equal(h.m[0].connected, 1);
    for (int i = 0; i < WATCHERS; i++)
        leave(&r, i);
    hosts_fini(&h);
}

static void a_watcher_goes_by_itself(void **state)
{
    check(1, 1u << 1, "0123");
    check(3, 1u << 3, "0123");
}

static void a_watcher_takes_out_the_next_one(void **state)
{
    check(1, 1u << 2, "013");
    check(2, 1u << 3, "012");
}

static void a_watcher_takes_out_itself_and_all_others(void **state)
{
    check(0, 0xf, "0");
    check(1, 0xf, "01");
    check(1, 1u << 1 | 1u << 2, "013");
    check(2, 1u << 0 | 1u << 1, "0123");
}

static void who_left_may_leave_again(void **state)
{
    struct hosts h;
    struct p2p_watch w = {0};
    hosts_init(&h, 1, 1);
    p2p_host_watch(h.m[0].host, &w);
    p2p_host_unwatch(&w);
    p2p_host_unwatch(&w);
    p2p_host_watch(h.m[0].host, &w);
    p2p_host_unwatch(&w);
    hosts_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watcher_goes_by_itself),
        cmocka_unit_test(a_watcher_takes_out_the_next_one),
        cmocka_unit_test(a_watcher_takes_out_itself_and_all_others),
        cmocka_unit_test(who_left_may_leave_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

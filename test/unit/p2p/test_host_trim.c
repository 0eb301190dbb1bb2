// SPDX-License-Identifier: MIT
/* Which connections go when there are too many, between whole hosts in virtual time: machines have addresses of their
 * own, so that crowds of one address are crowds here too. */
#include "host_world.h"

/* Over the high mark the idle go first, down to the low one; who is used or protected stays. */
static void over_the_high_mark_the_idle_go(void **state)
{
    struct hosts h;
    struct asked a[3];
    hosts_init(&h, 6, 3);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.connmgr.high = 2;
    cfg.connmgr.low = 1;
    cfg.connmgr.grace_us = 10 * US_PER_S;
    struct machine *small = hosts_add(&h, &cfg);
    for (int i = 0; i < 3; i++)
        ask_echo(&a[i], &h.m[i], small, ECHO, 100);
    a[1].client.holds_finish = true; /* in use */
    p2p_host_protect(small->host, &h.m[2].key.id, true);
    hosts_run(&h, 9 * US_PER_S);
    assert_int_equal(p2p_host_counts(small->host).conns, 3); /* too young to go */
    hosts_run(&h, 20 * US_PER_S);
    assert_false(p2p_host_is_connected(small->host, &h.m[0].key.id));
    assert_true(p2p_host_is_connected(small->host, &h.m[1].key.id));
    assert_true(p2p_host_is_connected(small->host, &h.m[2].key.id));
    assert_int_equal(p2p_host_counts(small->host).trimmed, 1);
    assert_int_equal(a[1].client.got, 100);
    hosts_fini(&h);
}

/* --- crowds --- */

static void serve_at_work(void *ctx, struct stream *s, const struct peer_id *peer)
{
    p2p_stream_keep(s);
    serve_echo(ctx, s, peer);
}

/* One more identity at the machine of `at`. */
static struct machine *hosts_join(struct hosts *h, const struct machine *at)
{
    struct machine *m = &h->m[h->count++];
    m->loop = at->loop;
    key_pair_generate(&m->key, &h->rng);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(&m->key);
    m->host = p2p_host_new(&cfg, m->loop);
    assert_non_null(m->host);
    p2p_host_watch(m->host, &m->watch);
    return m;
}

/* The fifth is small, and the first four share an address; the last has its own. */
static struct machine *crowd_init(struct hosts *h, uint64_t seed, const struct p2p_host_cfg *cfg)
{
    hosts_init(h, seed, 1);
    for (int i = 1; i < 4; i++)
        hosts_join(h, &h->m[0]);
    struct machine *small = hosts_add(h, cfg);
    assert_int_equal(p2p_host_handle(small->host, "/at-work/1", serve_at_work, small), 0);
    hosts_add(h, NULL);
    return small;
}

/* A stream that stays open, on which nothing comes after the first bytes. */
static void hold(struct asked *a, struct machine *from, struct machine *to, const char *protocol)
{
    ask_echo(a, from, to, protocol, 10);
    a->client.holds_finish = true;
}

/* All four of the crowd; the second is worked for. */
static void hold_all(struct hosts *h, struct asked a[static 4], struct machine *small)
{
    for (int i = 0; i < 4; i++)
        hold(&a[i], &h->m[i], small, i == 1 ? "/at-work/1" : ECHO);
}

/* Four places, and no more. */
static struct p2p_host_cfg four_places(void)
{
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.connmgr.max_total = 4;
    cfg.connmgr.high = 4;
    return cfg;
}

static void idle_streams_do_not_hold_places_for_ever(void **state)
{
    struct hosts h;
    struct asked a[6];
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.connmgr.high = 3;
    cfg.connmgr.low = 1;
    struct machine *small = crowd_init(&h, 40, &cfg), *lone = &h.m[5];
    hold_all(&h, a, small);
    hold(&a[4], lone, small, ECHO);
    hosts_run(&h, 29 * US_PER_S);
    assert_int_equal(p2p_host_counts(small->host).conns, 5); /* too young to go */
    a[2].client.total += 5;                                  /* a few bytes more */
    client_write(&a[2].client);
    hosts_run(&h, 10 * US_PER_S);
    assert_int_equal(p2p_host_counts(small->host).conns, 3); /* to the high mark, no further */
    assert_int_equal(p2p_host_counts(small->host).trimmed, 2);
    assert_false(p2p_host_is_connected(small->host, &h.m[0].key.id)); /* two of the crowd … */
    assert_false(p2p_host_is_connected(small->host, &h.m[3].key.id));
    assert_true(
        p2p_host_is_connected(small->host, &h.m[1].key.id)); /* … of which one is served … */
    assert_true(p2p_host_is_connected(small->host, &h.m[2].key.id)); /* … and one says something */
    assert_true(p2p_host_is_connected(small->host, &lone->key.id));
    hosts_fini(&h);
}

/* Who follows something at the peer's, or protects it, keeps it. */
static void what_we_opened_is_not_trimmed(void **state)
{
    struct hosts h;
    struct asked a[6], b;
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.connmgr.high = 1;
    cfg.connmgr.low = 1;
    struct machine *small = crowd_init(&h, 41, &cfg);
    for (int i = 0; i < 3; i++)
        hold(&a[i], &h.m[i], small, ECHO);
    hosts_run(&h, US_PER_S);
    hold(&b, small, &h.m[0], ECHO);
    b.open.is_background = true;
    p2p_host_protect(small->host, &h.m[1].key.id, true);
    hosts_run(&h, 60 * US_PER_S);
    assert_true(p2p_host_is_connected(small->host, &h.m[0].key.id));
    assert_true(p2p_host_is_connected(small->host, &h.m[1].key.id));
    assert_false(p2p_host_is_connected(small->host, &h.m[2].key.id));
    hosts_fini(&h);
}

static void a_crowd_makes_room_for_others(void **state)
{
    struct hosts h;
    struct asked a[6], late;
    struct p2p_host_cfg cfg = four_places();
    struct machine *small = crowd_init(&h, 42, &cfg), *lone = &h.m[5];
    hold_all(&h, a, small);
    p2p_host_protect(small->host, &h.m[0].key.id, true);
    hosts_run(&h, US_PER_S);
    assert_int_equal(p2p_host_counts(small->host).conns, 4);
    ask_echo(&late, lone, small, ECHO, 100); /* all places are taken, by young ones */
    hosts_run(&h, US_PER_S);
    assert_true(late.client.is_complete);
    assert_int_equal(p2p_host_counts(small->host).conns, 4);
    assert_true(p2p_host_is_connected(small->host, &h.m[0].key.id));
    assert_true(p2p_host_is_connected(small->host, &h.m[1].key.id));
    hosts_check(&h);
    int gone = p2p_host_is_connected(small->host, &h.m[2].key.id) ? 3 : 2;
    hold(&a[gone], &h.m[gone], small, ECHO); /* one of the crowd displaces nobody */
    hosts_run(&h, US_PER_S);
    assert_false(p2p_host_is_connected(small->host, &h.m[gone].key.id));
    assert_true(p2p_host_is_connected(small->host, &lone->key.id));
    assert_int_equal(p2p_host_counts(small->host).trimmed, 1);
    hosts_fini(&h);
}

/* What we ask of everybody who comes (who are you, what do you offer) gives nobody a place, however long the answer takes. */
static void our_questions_give_no_place(void **state)
{
    struct hosts h;
    struct asked a[6], q[6], late;
    struct p2p_host_cfg cfg = four_places();
    struct machine *small = crowd_init(&h, 44, &cfg), *lone = &h.m[5];
    for (int i = 0; i < 4; i++)
        hold(&a[i], &h.m[i], small, ECHO);
    hosts_run(&h, US_PER_S);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(p2p_host_handle(h.m[i].host, ECHO, serve_echo, &h.m[i]), i ? 0 : E_EXISTS);
        q[i] = (struct asked){0};
        client_init(&q[i].client, 5, 10);
        q[i].client.holds_finish = true;
        q[i].open = (struct p2p_open){
            .peer = h.m[i].key.id, .protocol = ECHO, .is_background = true, .done = asked_opened};
        p2p_host_open(small->host, &q[i].open);
    }
    hosts_run(&h, US_PER_S);
    assert_int_equal(q[3].client.got, 10);
    ask_echo(&late, lone, small, ECHO, 100);
    hosts_run(&h, US_PER_S);
    assert_true(late.client.is_complete);
    assert_int_equal(p2p_host_counts(small->host).trimmed, 1);
    hosts_run(&h, 30 * US_PER_S); /* later it is more than a question: what we follow */
    p2p_host_disconnect(small->host, &lone->key.id);
    hosts_run(&h, US_PER_S);
    int gone = 0;
    while (p2p_host_is_connected(small->host, &h.m[gone].key.id))
        gone++;
    hold(&a[gone], &h.m[gone], small, ECHO);
    hosts_run(&h, 31 * US_PER_S);
    assert_int_equal(p2p_host_counts(small->host).conns, 4);
    ask_echo(&late, lone, small, ECHO, 100);
    hosts_run(&h, US_PER_S);
    assert_false(
        p2p_host_is_connected(small->host, &h.m[gone].key.id)); /* the only one not followed */
    assert_int_equal(p2p_host_counts(small->host).trimmed, 2);
    hosts_fini(&h);
}

/* When nobody comes from where many do, the newcomer is the one that is refused. */
static void the_lone_do_not_displace_each_other(void **state)
{
    struct hosts h;
    struct asked a[4];
    hosts_init(&h, 43, 3);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.connmgr.max_total = 2;
    struct machine *small = hosts_add(&h, &cfg);
    for (int i = 0; i < 3; i++) {
        ask_echo(&a[i], &h.m[i], small, ECHO, 100);
        hosts_run(&h, US_PER_S);
    }
    assert_true(p2p_host_is_connected(small->host, &h.m[0].key.id));
    assert_true(p2p_host_is_connected(small->host, &h.m[1].key.id));
    assert_false(p2p_host_is_connected(small->host, &h.m[2].key.id));
    hosts_fini(&h);
}

int main(void)
{
    trace_set_all(getenv("TRACE") ? TRACE_DEBUG : TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_the_high_mark_the_idle_go),
        cmocka_unit_test(idle_streams_do_not_hold_places_for_ever),
        cmocka_unit_test(what_we_opened_is_not_trimmed),
        cmocka_unit_test(a_crowd_makes_room_for_others),
        cmocka_unit_test(our_questions_give_no_place),
        cmocka_unit_test(the_lone_do_not_displace_each_other),
    };
    return cmocka_run_group_tests_name("host trim", tests, NULL, NULL);
}

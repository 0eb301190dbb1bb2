// SPDX-License-Identifier: MIT
/* One seed, one run: forty machines dial, write, reset and close at random over slow, jittery and cut
 * paths; every read and every outcome goes into a trace, which must be the same byte for byte. */
#include "base/buf.h"
#include "unit/loop/world.h"

struct host {
    struct loop *loop;
    struct net_addr ip;
};

static struct host host_new(struct loop_virtual *v, const char *ip)
{
    struct host h;
    assert_int_equal(net_addr_parse_ip(ip, 0, &h.ip), 0);
    h.loop = loop_virtual_machine(v, &h.ip);
    return h;
}

struct gossip {
    struct loop_virtual *v;
    struct buf trace;
    int n;
};

enum { GOSSIPS = 40 }; /* more than a small world */

struct gossiper {
    struct loop_dial dial;
    struct timer next;
    struct gossip *g;
    struct loop *loop;
    struct loop_listener *ln;
    int index, rounds;
};

struct chat {
    struct stream *s;
    struct gossiper *who;
};

static void chat_readable(void *ctx)
{
    struct chat *c = ctx;
    uint8_t b[256];
    ssize_t n = stream_read(c->s, b, 1 + rng_below(loop_rng(c->who->loop), sizeof b));
    if (n == E_AGAIN)
        return;
    buf_printf(&c->who->g->trace, "%llu %d %zd\n",
               (unsigned long long)sched_now(loop_sched(c->who->loop)), c->who->index, n);
    if (n < 0) {
        stream_close(c->s);
        free(c);
    }
}

static void chat_closed(void *ctx, int err)
{
    struct chat *c = ctx;
    buf_printf(&c->who->g->trace, "%d closed %d\n", c->who->index, err);
    stream_close(c->s);
    free(c);
}

static const struct stream_events chat_events = {chat_readable, NULL, chat_closed};

static void chat_accepted(void *ctx, struct stream *s)
{
    struct chat *c = MEM_NEW(struct chat);
    c->s = s;
    c->who = ctx;
    stream_listen(s, &chat_events, c);
    stream_want_read(s, true);
}

static void gossip_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct gossiper *w = CONTAINER_OF(d, struct gossiper, dial);
    struct rng *r = loop_rng(w->loop);
    uint8_t text[2000];
    buf_printf(&w->g->trace, "%d dialled %d\n", w->index, err);
    if (s) {
        rng_fill(r, text, sizeof text);
        stream_write(s, bytes_of(text, 1 + rng_below(r, sizeof text)));
        if (rng_below(r, 4) == 0)
            stream_reset(s, STREAM_CANCELLED);
        stream_close(s);
    }
    if (++w->rounds < 20)
        timer_after(loop_sched(w->loop), &w->next, rng_below(r, 50000));
}

static void gossip_next(struct timer *t)
{
    struct gossiper *w = CONTAINER_OF(t, struct gossiper, next);
    struct net_addr to;
    char ip[32];
    snprintf(ip, sizeof ip, "10.1.0.%d", (int)rng_below(loop_rng(w->loop), GOSSIPS + 2));
    net_addr_parse_ip(ip, 7, &to);
    loop_dial(w->loop, &w->dial, &to, NULL, 100000);
}

static void gossip_run(uint64_t seed, struct buf *trace)
{
    struct gossip g = {.v = loop_virtual_new(seed)};
    static struct gossiper who[GOSSIPS];
    for (int i = 0; i < GOSSIPS; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.1.0.%d", i);
        struct host h = host_new(g.v, ip);
        who[i] =
            (struct gossiper){.dial.done = gossip_dialled, .g = &g, .loop = h.loop, .index = i};
        struct loop_listen_options o = {.at = h.ip, .accepted = chat_accepted, .ctx = &who[i]};
        o.at.port = 7;
        assert_int_equal(loop_listen(h.loop, &o, &who[i].ln), 0);
        timer_init(&who[i].next, gossip_next);
        timer_after(loop_sched(h.loop), &who[i].next, 1000);
        struct loop_virtual_link link = {
            .delay_us = 3000, .jitter_us = 9000, .bytes_per_s = 100000, .is_cut = i % 7 == 6};
        if (i > 0)
            loop_virtual_set_link(g.v, who[i - 1].loop, h.loop, &link);
    }
    loop_virtual_run(g.v, 60 * US_PER_S, NULL, NULL);
    for (int i = 0; i < GOSSIPS; i++)
        assert_int_equal(who[i].rounds, 20);
    loop_virtual_free(g.v);
    *trace = g.trace;
}

static void one_seed_gives_one_run(void **state)
{
    struct buf a, b, c;
    gossip_run(1, &a);
    gossip_run(1, &b);
    gossip_run(2, &c);
    assert_true(buf_len(&a) > 10000);
    assert_int_equal(buf_len(&a), buf_len(&b));
    assert_memory_equal(buf_view(&a).p, buf_view(&b).p, buf_len(&a));
    assert_false(bytes_eq(buf_view(&a), buf_view(&c)));
    buf_fini(&a);
    buf_fini(&b);
    buf_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_seed_gives_one_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

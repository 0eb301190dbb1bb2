// SPDX-License-Identifier: MIT
/* Virtual time: what a connection costs in round trips, what cut paths and crashes look like from
 * the other side, and that one seed gives one run. */
#include "unit/loop/world.h"

struct host {
    struct loop *loop;
    struct net_addr ip;
};

struct lan {
    struct world w; /* first: world.h's helpers run it */
    struct host a, b;
};

static struct host host_new(struct loop_virtual *v, const char *ip)
{
    struct host h;
    assert_int_equal(net_addr_parse_ip(ip, 0, &h.ip), 0);
    h.loop = loop_virtual_machine(v, &h.ip);
    return h;
}

static int setup(void **state)
{
    struct lan *n = MEM_NEW(struct lan);
    n->w.virtual = loop_virtual_new(5);
    n->a = host_new(n->w.virtual, "10.0.0.1");
    n->b = host_new(n->w.virtual, "10.0.0.2");
    n->w.near = n->a.loop;
    n->w.far = n->b.loop;
    *state = n;
    return 0;
}

static int teardown(void **state)
{
    struct lan *n = *state;
    world_end(&n->w);
    return 0;
}

static void set_delay(struct lan *n, uint64_t delay_us, uint64_t bytes_per_s, bool is_cut)
{
    struct loop_virtual_link link = {
        .delay_us = delay_us, .bytes_per_s = bytes_per_s, .is_cut = is_cut};
    loop_virtual_set_link(n->w.virtual, n->a.loop, n->b.loop, &link);
}

static uint64_t now(struct lan *n)
{
    return loop_virtual_now(n->w.virtual);
}

static bool is_dialled(void *ctx)
{
    struct lan *n = ctx;
    return n->w.a || n->w.dial_err;
}

static bool is_accepted(void *ctx)
{
    return ((struct lan *)ctx)->w.b != NULL;
}

static int listen_at(struct lan *n, uint16_t port)
{
    struct loop_listen_options o = {.at = n->b.ip, .accepted = world_accepted, .ctx = &n->w};
    o.at.port = port;
    return loop_listen(n->b.loop, &o, &n->w.listener);
}

static int dial(struct lan *n, struct net_addr to, uint16_t port, uint64_t timeout_us)
{
    to.port = port;
    n->w.dial.done = world_dialled;
    n->w.dial_err = 0;
    loop_dial(n->a.loop, &n->w.dial, &to, NULL, timeout_us);
    assert_int_equal(n->w.dial_err, 0);
    assert_true(world_run(&n->w, is_dialled, n, 1000 * US_PER_S));
    return n->w.dial_err;
}

static void close_both(struct lan *n)
{
    if (n->w.a)
        stream_close(n->w.a);
    if (n->w.b)
        stream_close(n->w.b);
    n->w.a = n->w.b = NULL;
}

static void time_starts_as_said(void **state)
{
    struct lan *n = *state;
    assert_int_equal(now(n), US_PER_S);
    assert_int_equal(sched_wall_ms(loop_sched(n->a.loop)), UINT64_C(1767225600000));
    loop_virtual_run(n->w.virtual, 3 * US_PER_S, NULL, NULL);
    assert_int_equal(now(n), 3 * US_PER_S);
    assert_int_equal(sched_now(loop_sched(n->b.loop)), 3 * US_PER_S);
    assert_int_equal(sched_wall_ms(loop_sched(n->b.loop)), UINT64_C(1767225602000));
}

static void connecting_takes_one_round_trip(void **state)
{
    struct lan *n = *state;
    set_delay(n, 40000, 0, false);
    assert_int_equal(listen_at(n, 80), 0);
    uint64_t before = now(n);
    assert_int_equal(dial(n, n->b.ip, 80, US_PER_S), 0);
    assert_int_equal(now(n) - before, 80000);
    assert_null(n->w.b);
    assert_true(world_run(&n->w, is_accepted, n, US_PER_S));
    assert_int_equal(now(n) - before, 120000);
    assert_memory_equal(n->w.b->remote.ip, n->a.ip.ip, 4);
    close_both(n);
}

static void refusing_takes_one_too(void **state)
{
    struct lan *n = *state;
    set_delay(n, 40000, 0, false);
    uint64_t before = now(n);
    assert_int_equal(dial(n, n->b.ip, 81, US_PER_S), E_REFUSED);
    assert_int_equal(now(n) - before, 80000);
    struct net_addr nobody;
    net_addr_parse_ip("10.0.0.99", 0, &nobody);
    assert_int_equal(dial(n, nobody, 80, US_PER_S), E_UNREACHABLE);
}

static void dialling_over_a_cut_path_times_out(void **state)
{
    struct lan *n = *state;
    assert_int_equal(listen_at(n, 80), 0);
    set_delay(n, 1000, 0, true);
    uint64_t before = now(n);
    assert_int_equal(dial(n, n->b.ip, 80, 7 * US_PER_S), E_TIMEOUT);
    assert_int_equal(now(n) - before, 7 * US_PER_S);
    n->w.dial_err = 0;
    struct net_addr to = n->b.ip;
    to.port = 80;
    loop_dial(n->a.loop, &n->w.dial, &to, NULL, 60 * US_PER_S);
    assert_false(world_run(&n->w, is_dialled, n, 5 * US_PER_S));
    set_delay(n, 1000, 0, false); /* healed: a later SYN gets through */
    assert_true(world_run(&n->w, is_dialled, n, 5 * US_PER_S));
    assert_int_equal(n->w.dial_err, 0);
    assert_true(world_run(&n->w, is_accepted, n, US_PER_S));
    close_both(n);
}

static void a_dial_can_be_cancelled_at_any_time(void **state)
{
    struct lan *n = *state;
    assert_int_equal(listen_at(n, 80), 0);
    for (uint64_t at = 0; at < 4000; at += 250) {
        struct net_addr to = n->b.ip;
        to.port = 80;
        n->w.dial.done = world_dialled;
        n->w.dial_err = 0;
        loop_dial(n->a.loop, &n->w.dial, &to, NULL, US_PER_S);
        loop_virtual_run(n->w.virtual, now(n) + at, NULL, NULL);
        loop_dial_cancel(n->a.loop, &n->w.dial);
        assert_true(world_run(&n->w, is_dialled, n, US_PER_S));
        assert_true(n->w.a ? n->w.dial_err == 0 : n->w.dial_err == E_CANCELLED);
        world_run(&n->w, world_never, NULL, 10000);
        assert_true(n->w.a || !n->w.b); /* nobody accepts what was cancelled */
        close_both(n);
    }
}

static void ports_and_paths_are_the_machines_own(void **state)
{
    struct lan *n = *state;
    struct loop_listener *second;
    assert_int_equal(listen_at(n, 80), 0);
    struct loop_listen_options o = {.at = n->b.ip, .accepted = world_accepted, .ctx = &n->w};
    o.at.port = 80;
    assert_int_equal(loop_listen(n->b.loop, &o, &second), E_IN_USE);
    assert_int_equal(loop_listen(n->a.loop, &o, &second), E_UNREACHABLE);
    struct net_addr path = {.kind = NET_UNIX, .path = "/run/x.sock"};
    o.at = path;
    assert_int_equal(loop_listen(n->b.loop, &o, &second), 0);
    assert_int_equal(dial(n, path, 0, US_PER_S), E_REFUSED); /* from the other machine */
    loop_listener_close(second);
}

/* --- a connection and what becomes of it --- */

struct ear {
    int broken;
    bool is_ended;
    size_t got;
    struct stream *s;
    struct lan *n;
    uint64_t at;
};

static void ear_readable(void *ctx)
{
    struct ear *e = ctx;
    uint8_t b[65536];
    ssize_t got;
    while ((got = stream_read(e->s, b, sizeof b)) > 0)
        e->got += (size_t)got;
    e->at = now(e->n);
    e->is_ended |= got == E_EOF;
}

static void ear_writable(void *ctx)
{
}

static void ear_closed(void *ctx, int err)
{
    struct ear *e = ctx;
    e->broken = err;
    e->at = now(e->n);
}

static const struct stream_events ear_events = {ear_readable, ear_writable, ear_closed};

static struct ear listen_to(struct lan *n, struct stream *s)
{
    return (struct ear){.s = s, .n = n};
}

static void connect_both(struct lan *n)
{
    assert_int_equal(listen_at(n, 80), 0);
    assert_int_equal(dial(n, n->b.ip, 80, 5 * US_PER_S), 0);
    assert_true(world_run(&n->w, is_accepted, n, US_PER_S));
}

static bool is_broken(void *ctx)
{
    return ((struct ear *)ctx)->broken != 0;
}

static void a_crash_that_tells_resets(void **state)
{
    struct lan *n = *state;
    set_delay(n, 10000, 0, false);
    connect_both(n);
    struct ear e = listen_to(n, n->w.a);
    stream_listen(n->w.a, &ear_events, &e);
    uint64_t before = now(n);
    loop_virtual_crash(n->w.virtual, n->b.loop, true);
    assert_true(world_run(&n->w, is_broken, &e, US_PER_S));
    assert_int_equal(e.broken, E_RESET);
    assert_int_equal(e.at - before, 10000);
    stream_close(n->w.a);
    n->w.a = NULL;
    assert_int_equal(dial(n, n->b.ip, 80, 5 * US_PER_S), E_REFUSED);
    close_both(n);
}

static void a_silent_crash_says_nothing(void **state)
{
    struct lan *n = *state;
    connect_both(n);
    struct ear e = listen_to(n, n->w.a);
    stream_listen(n->w.a, &ear_events, &e);
    stream_want_read(n->w.a, true);
    loop_virtual_crash(n->w.virtual, n->b.loop, false);
    assert_int_equal(stream_write(n->w.a, BYTES_LIT("hello?")), 6);
    assert_false(world_run(&n->w, is_broken, &e, 600 * US_PER_S));
    assert_int_equal(e.got, 0);
    stream_close(n->w.a);
    n->w.a = NULL;
    assert_int_equal(dial(n, n->b.ip, 80, 5 * US_PER_S), E_TIMEOUT);
    close_both(n);
    struct host again = host_new(n->w.virtual, "10.0.0.2"); /* power is back */
    n->b.loop = again.loop;
    assert_int_equal(dial(n, n->b.ip, 80, 5 * US_PER_S), E_REFUSED);
}

static int ends;

static void dial_ended(struct loop_dial *d, int err, struct stream *s)
{
    assert_int_equal(err, E_CANCELLED);
    ends++;
}

static void resolve_ended(struct loop_resolve *r, int err, const struct net_addr *addrs,
                          size_t addr_count, const struct bytes *texts, size_t text_count)
{
    assert_int_equal(err, E_CANCELLED);
    ends++;
}

static void work_run(struct loop_work *w)
{
    fail();
}

static void work_ended(struct loop_work *w, int err)
{
    assert_int_equal(err, E_CANCELLED);
    ends++;
}

/* Whoever cancelled a request on a machine that then died is told all the same, once. */
static void what_was_cancelled_ends_with_the_machine(void **state)
{
    struct lan *n = *state;
    struct host c = host_new(n->w.virtual, "10.0.0.3");
    struct loop_dial d = {.done = dial_ended};
    struct loop_resolve r = {.done = resolve_ended};
    struct loop_work w = {.run = work_run, .done = work_ended};
    loop_dial(c.loop, &d, &n->b.ip, NULL, 5 * US_PER_S);
    loop_resolve(c.loop, &r, "example.org", LOOP_DNS_A, 5 * US_PER_S);
    loop_work(c.loop, &w);
    loop_virtual_crash(n->w.virtual, c.loop, false);
    loop_dial_cancel(c.loop, &d);
    loop_resolve_cancel(c.loop, &r);
    loop_work_cancel(c.loop, &w);
    world_run(&n->w, world_never, NULL, US_PER_S);
    assert_int_equal(ends, 0); /* nothing runs on it */
    loop_free(c.loop);
    assert_int_equal(ends, 3);
}

static bool has_10(void *ctx)
{
    return ((struct ear *)ctx)->got == 10;
}

static void bytes_on_a_cut_path_arrive_after_it_heals(void **state)
{
    struct lan *n = *state;
    connect_both(n);
    struct ear e = listen_to(n, n->w.b), back = listen_to(n, n->w.a);
    stream_listen(n->w.b, &ear_events, &e);
    stream_listen(n->w.a, &ear_events, &back);
    stream_want_read(n->w.b, true);
    stream_want_read(n->w.a, true);
    set_delay(n, 1000, 0, true);
    stream_write(n->w.b, BYTES_LIT("9876543210"));
    assert_false(world_run(&n->w, has_10, &back, US_PER_S));
    set_delay(n, 1000, 0, false);
    assert_true(world_run(&n->w, has_10, &back, US_PER_S));
    set_delay(n, 1000, 0, true);
    stream_write(n->w.a, BYTES_LIT("01234"));
    assert_false(world_run(&n->w, has_10, &e, 5 * US_PER_S));
    stream_write(n->w.a, BYTES_LIT("56789"));
    stream_close(n->w.a);
    n->w.a = NULL;
    assert_false(world_run(&n->w, has_10, &e, US_PER_S));
    set_delay(n, 1000, 0, false);
    assert_true(world_run(&n->w, has_10, &e, US_PER_S));
    world_run(&n->w, world_never, NULL, 10000);
    assert_true(e.is_ended);
    close_both(n);
}

/* LIMIT_LOOP_LINGER_US: who neither ends nor sends is dropped after two seconds. */
static void lingering_ends(void **state)
{
    struct lan *n = *state;
    connect_both(n);
    struct ear e = listen_to(n, n->w.a);
    stream_listen(n->w.a, &ear_events, &e);
    stream_close(n->w.b);
    n->w.b = NULL;
    assert_false(world_run(&n->w, is_broken, &e, 1900 * US_PER_MS));
    assert_true(world_run(&n->w, is_broken, &e, 200 * US_PER_MS));
    close_both(n);
}

static bool has_million(void *ctx)
{
    return ((struct ear *)ctx)->got == 1000000;
}

static void bandwidth_takes_time(void **state)
{
    struct lan *n = *state;
    static uint8_t million[1000000];
    connect_both(n);
    set_delay(n, 1000, 10000000, false);
    struct ear e = listen_to(n, n->w.b);
    stream_listen(n->w.b, &ear_events, &e);
    stream_want_read(n->w.b, true);
    uint64_t before = now(n);
    assert_int_equal(stream_write(n->w.a, bytes_of(million, sizeof million)), sizeof million);
    assert_true(world_run(&n->w, has_million, &e, 10 * US_PER_S));
    assert_in_range(e.at - before, 100000, 102000);
    close_both(n);
}

static void a_paused_listener_keeps_them_waiting(void **state)
{
    struct lan *n = *state;
    assert_int_equal(listen_at(n, 80), 0);
    loop_listener_pause(n->w.listener, true);
    assert_int_equal(dial(n, n->b.ip, 80, US_PER_S), 0);
    assert_false(world_run(&n->w, is_accepted, n, US_PER_S));
    loop_listener_pause(n->w.listener, false);
    assert_true(world_run(&n->w, is_accepted, n, US_PER_S));
    close_both(n);
}

static void closing_a_listener_resets_who_waits(void **state)
{
    struct lan *n = *state;
    assert_int_equal(listen_at(n, 80), 0);
    loop_listener_pause(n->w.listener, true);
    assert_int_equal(dial(n, n->b.ip, 80, US_PER_S), 0);
    struct ear e = listen_to(n, n->w.a);
    stream_listen(n->w.a, &ear_events, &e);
    assert_false(world_run(&n->w, is_broken, &e, US_PER_S));
    loop_listener_close(n->w.listener);
    n->w.listener = NULL;
    assert_true(world_run(&n->w, is_broken, &e, US_PER_S));
    close_both(n);
}

/* --- names, work, datagrams --- */

struct asked {
    struct loop_resolve r;
    bool is_done;
    int err;
    size_t addrs, texts;
};

static void resolved(struct loop_resolve *r, int err, const struct net_addr *addrs, size_t na,
                     const struct bytes *texts, size_t nt)
{
    struct asked *q = CONTAINER_OF(r, struct asked, r);
    *q = (struct asked){.r = q->r, .is_done = true, .err = err, .addrs = na, .texts = nt};
}

static bool is_answered(void *ctx)
{
    return ((struct asked *)ctx)->is_done;
}

static struct asked ask(struct lan *n, const char *name, enum loop_dns what, uint64_t timeout_us)
{
    struct asked q = {.r.done = resolved};
    loop_resolve(n->a.loop, &q.r, name, what, timeout_us);
    assert_false(q.is_done);
    assert_true(world_run(&n->w, is_answered, &q, 10 * US_PER_S));
    return q;
}

static void names_come_from_the_table(void **state)
{
    struct lan *n = *state;
    loop_virtual_set_name(n->w.virtual, "b.test", &n->b.ip);
    loop_virtual_set_text(n->w.virtual, "_dnsaddr.b.test", "dnsaddr=/ip4/10.0.0.2/tcp/1");
    assert_int_equal(ask(n, "b.test", LOOP_DNS_ANY, US_PER_S).addrs, 1);
    assert_int_equal(ask(n, "b.test", LOOP_DNS_AAAA, US_PER_S).err, E_DNS);
    assert_int_equal(ask(n, "_dnsaddr.b.test", LOOP_DNS_TXT, US_PER_S).texts, 1);
    assert_int_equal(ask(n, "nobody.test", LOOP_DNS_ANY, US_PER_S).err, E_DNS);
    assert_int_equal(ask(n, "b.test", LOOP_DNS_ANY, 1).err, E_TIMEOUT);
    assert_int_equal(ask(n, "localhost", LOOP_DNS_ANY, US_PER_S).addrs, 2);
    struct asked q = {.r.done = resolved};
    loop_resolve(n->a.loop, &q.r, "b.test", LOOP_DNS_ANY, US_PER_S);
    loop_resolve_cancel(n->a.loop, &q.r);
    assert_true(world_run(&n->w, is_answered, &q, US_PER_S));
    assert_int_equal(q.err, E_CANCELLED);
}

struct job {
    struct loop_work w;
    int runs, err;
    bool is_done;
};

static void job_run(struct loop_work *w)
{
    CONTAINER_OF(w, struct job, w)->runs++;
}

static void job_done(struct loop_work *w, int err)
{
    struct job *j = CONTAINER_OF(w, struct job, w);
    j->err = err;
    j->is_done = true;
}

static bool job_is_done(void *ctx)
{
    return ((struct job *)ctx)->is_done;
}

static void work_runs_later_or_not_at_all(void **state)
{
    struct lan *n = *state;
    struct job j = {.w = {job_run, job_done}}, c = j;
    struct loop_child *child;
    struct loop_signal *closed, *left;
    assert_int_equal(loop_signal(n->a.loop, 15, NULL, NULL, &closed), 0);
    assert_int_equal(loop_signal(n->a.loop, 15, NULL, NULL, &left), 0);
    loop_signal_close(closed);
    loop_work(n->a.loop, &j.w);
    loop_work(n->a.loop, &c.w);
    loop_work_cancel(n->a.loop, &c.w);
    assert_int_equal(j.runs, 0);
    assert_true(world_run(&n->w, job_is_done, &j, US_PER_S));
    assert_true(world_run(&n->w, job_is_done, &c, US_PER_S));
    assert_int_equal(j.runs, 1);
    assert_int_equal(c.runs, 0);
    assert_int_equal(c.err, E_CANCELLED);
    assert_int_equal(loop_spawn(n->a.loop, &(struct loop_spawn_options){0}, &child), E_UNSUPPORTED);
}

static void datagram_came(void *ctx, const struct net_addr *from, struct bytes datagram)
{
    assert_true(bytes_eq_str(datagram, "hi"));
    ++*(int *)ctx;
}

static void datagrams_reach_one_or_the_lan(void **state)
{
    struct lan *n = *state;
    int at_a = 0, at_b = 0;
    int at_plain = 0;
    struct loop_udp *a, *b, *second, *plain;
    struct loop_interface on;
    struct net_addr group;
    struct loop_udp_options o = {
        .group = &group, .on = &on, .received = datagram_came, .ctx = &at_a};
    net_addr_parse_ip("0.0.0.0", 5353, &o.at);
    net_addr_parse_ip("224.0.0.251", 5353, &group);
    assert_int_equal(loop_interface_list(n->a.loop, &on, 1), 1);
    assert_false(on.is_up);
    assert_true(net_addr_eq(&on.addr, &n->a.ip));
    assert_int_equal(loop_udp_open(n->a.loop, &o, &a), E_UNREACHABLE);
    loop_virtual_set_lan(n->w.virtual, n->a.loop, 7);
    loop_virtual_set_lan(n->w.virtual, n->b.loop, 7);
    assert_int_equal(loop_interface_list(n->a.loop, &on, 1), 1);
    assert_true(on.is_up && on.is_multicast && !on.is_loopback);
    assert_int_equal(loop_udp_open(n->a.loop, &o, &a), 0);
    assert_int_equal(loop_udp_open(n->a.loop, &o, &second), E_IN_USE);
    o.ctx = &at_b;
    assert_int_equal(loop_udp_open(n->b.loop, &o, &b), 0);
    o = (struct loop_udp_options){.at = o.at, .received = datagram_came, .ctx = &at_plain};
    o.at.port = 5354;
    assert_int_equal(loop_udp_open(n->b.loop, &o, &plain), 0);
    struct net_addr to = n->b.ip;
    to.port = 5354;
    assert_int_equal(loop_udp_send(a, &to, BYTES_LIT("hi")), 0);
    to.port = 5353;
    assert_int_equal(loop_udp_send(a, &to, BYTES_LIT("hi")), 0); /* hears its group alone */
    world_run(&n->w, world_never, NULL, 10000);
    assert_int_equal(at_plain, 1);
    assert_int_equal(at_b, 0);
    assert_int_equal(at_a, 0);
    assert_int_equal(loop_udp_send(a, &group, BYTES_LIT("hi")), 0);
    world_run(&n->w, world_never, NULL, 10000);
    assert_int_equal(at_b, 1);
    assert_int_equal(at_a, 1); /* the sender hears itself, as others on its machine do */
    loop_virtual_set_lan(n->w.virtual, n->b.loop, 8);
    assert_int_equal(loop_udp_send(a, &group, BYTES_LIT("hi")), 0);
    net_addr_parse_ip("224.0.0.252", 5353, &group);
    assert_int_equal(loop_udp_send(a, &group, BYTES_LIT("hi")), 0);
    world_run(&n->w, world_never, NULL, 10000);
    assert_int_equal(at_a, 2);
    assert_int_equal(at_b, 1);
    to.port = 5354;
    assert_int_equal(loop_udp_send(a, &to, BYTES_LIT("hi")), 0);
    loop_udp_close(plain); /* under way: lost */
    world_run(&n->w, world_never, NULL, 10000);
    assert_int_equal(at_plain, 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(time_starts_as_said),
        CASE(connecting_takes_one_round_trip),
        CASE(refusing_takes_one_too),
        CASE(dialling_over_a_cut_path_times_out),
        CASE(a_dial_can_be_cancelled_at_any_time),
        CASE(ports_and_paths_are_the_machines_own),
        CASE(a_crash_that_tells_resets),
        CASE(a_silent_crash_says_nothing),
        CASE(what_was_cancelled_ends_with_the_machine),
        CASE(bytes_on_a_cut_path_arrive_after_it_heals),
        CASE(lingering_ends),
        CASE(bandwidth_takes_time),
        CASE(a_paused_listener_keeps_them_waiting),
        CASE(closing_a_listener_resets_who_waits),
        CASE(names_come_from_the_table),
        CASE(work_runs_later_or_not_at_all),
        CASE(datagrams_reach_one_or_the_lan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/* What the libuv loop offers beside sockets: names (with a DNS server of our own), workers, children,
 * signals, the machine's addresses. */
#include "unit/loop/world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>

static int setup(void **state)
{
    struct world *w = MEM_NEW(struct world);
    w->near = w->far = loop_uv_new();
    *state = w;
    return w->near ? 0 : -1;
}

static int teardown(void **state)
{
    world_end(*state);
    return 0;
}

static bool is_set(void *ctx)
{
    return *(bool *)ctx;
}

/* --- names --- */

struct asked {
    struct loop_resolve r;
    bool is_done;
    int err;
    size_t addr_count, text_count;
    struct net_addr addrs[LOOP_RESOLVE_MAX];
    char text[600];
};

static void resolved(struct loop_resolve *r, int err, const struct net_addr *addrs,
                     size_t addr_count, const struct bytes *texts, size_t text_count)
{
    struct asked *q = CONTAINER_OF(r, struct asked, r);
    assert_false(q->is_done);
    q->is_done = true;
    q->err = err;
    q->addr_count = addr_count;
    q->text_count = text_count;
    memcpy(q->addrs, addrs, addr_count * sizeof *addrs);
    if (text_count)
        snprintf(q->text, sizeof q->text, "%.*s", BYTES_FMT(texts[0]));
}

static struct asked ask(struct world *w, const char *name, enum loop_dns what, uint64_t timeout_us)
{
    struct asked q = {.r.done = resolved};
    loop_resolve(w->near, &q.r, name, what, timeout_us);
    assert_false(q.is_done);
    assert_true(world_run(w, is_set, &q.is_done, 5 * US_PER_S));
    return q;
}

static void names_that_never_leave(void **state)
{
    struct asked q = ask(*state, "localhost", LOOP_DNS_ANY, US_PER_S);
    assert_int_equal(q.err, 0);
    assert_int_equal(q.addr_count, 2);
    assert_true(net_addr_is_loopback(&q.addrs[0]) && net_addr_is_loopback(&q.addrs[1]));
    q = ask(*state, "a.LocalHost.", LOOP_DNS_AAAA, US_PER_S);
    assert_int_equal(q.addr_count, 1);
    assert_int_equal(q.addrs[0].kind, NET_IP6);
    q = ask(*state, "192.0.2.7", LOOP_DNS_ANY, US_PER_S);
    assert_int_equal(q.addr_count, 1);
    assert_memory_equal(q.addrs[0].ip, "\xc0\x00\x02\x07", 4);
    q = ask(*state, "::1", LOOP_DNS_A, US_PER_S);
    assert_int_equal(q.err, E_DNS);
}

/* A DNS server in a datagram callback: `a.test` has an address, `t.test` a text in two strings,
 * `mute.test` gets no answer, all else does not exist. */
struct dns {
    struct loop_udp *udp;
    int asked;
};

static size_t answer_record(uint8_t *to, uint8_t type, const void *data, uint8_t n)
{
    uint8_t head[] = {0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, n};
    memcpy(to, head, sizeof head);
    memcpy(to + sizeof head, data, n);
    return sizeof head + n;
}

static void dns_asked(void *ctx, const struct net_addr *from, struct bytes q)
{
    struct dns *d = ctx;
    uint8_t m[512];
    assert_true(q.n > 17 && q.n < 256);
    size_t end = 12;
    while (end < q.n && q.p[end])
        end += q.p[end] + 1u;
    size_t n = end + 5; /* the question, without EDNS */
    uint8_t type = q.p[end + 2];
    bool is_a = memcmp(q.p + 12, "\1a\4test", 8) == 0, is_t = memcmp(q.p + 12, "\1t\4test", 8) == 0;
    d->asked++;
    if (memcmp(q.p + 12, "\4mute\4test", 11) == 0)
        return;
    memcpy(m, q.p, n);
    memcpy(m + 2, "\x81\x80\0\1\0\0\0\0\0\0", 10);
    if (!is_a && !is_t)
        m[3] |= 3; /* NXDOMAIN */
    if (is_a && type == 1) {
        m[7] = 1;
        n += answer_record(m + n, 1, "\xc0\0\2\x2a", 4);
    } else if (is_t && type == 16) {
        m[7] = 1;
        n += answer_record(m + n, 16, "\7dnsaddr\3=/x", 12);
    }
    loop_udp_send(d->udp, from, bytes_of(m, n));
}

static void names_from_a_server(void **state)
{
    struct world *w = *state;
    struct dns d = {0};
    struct loop_udp_options o = {.received = dns_asked, .ctx = &d};
    char server[NET_ADDR_TEXT];
    net_addr_parse_ip("127.0.0.1", 0, &o.at);
    assert_int_equal(loop_udp_open(w->far, &o, &d.udp), 0);
    net_addr_format(loop_udp_addr(d.udp), server);
    assert_int_equal(loop_resolve_servers(w->near, server), 0);
    struct asked q = ask(w, "a.test", LOOP_DNS_A, 2 * US_PER_S);
    assert_int_equal(q.err, 0);
    assert_int_equal(q.addr_count, 1);
    assert_memory_equal(q.addrs[0].ip, "\xc0\0\2\x2a", 4);
    q = ask(w, "a.test", LOOP_DNS_ANY, 2 * US_PER_S);
    assert_int_equal(q.addr_count, 1);
    q = ask(w, "t.test", LOOP_DNS_TXT, 2 * US_PER_S);
    assert_int_equal(q.text_count, 1);
    assert_string_equal(q.text, "dnsaddr=/x");
    assert_int_equal(ask(w, "no.test", LOOP_DNS_A, 2 * US_PER_S).err, E_DNS);
    assert_int_equal(ask(w, "no.test", LOOP_DNS_TXT, 2 * US_PER_S).err, E_DNS);
    assert_int_equal(ask(w, "mute.test", LOOP_DNS_TXT, 50 * US_PER_MS).err, E_TIMEOUT);
    struct asked c = {.r.done = resolved};
    loop_resolve(w->near, &c.r, "mute.test", LOOP_DNS_A, 2 * US_PER_S);
    loop_resolve_cancel(w->near, &c.r);
    assert_true(world_run(w, is_set, &c.is_done, US_PER_S));
    assert_int_equal(c.err, E_CANCELLED);
    struct asked left = {.r.done = resolved};
    loop_resolve(w->near, &left.r, "mute.test", LOOP_DNS_TXT, 2 * US_PER_S);
    loop_udp_close(d.udp);
    assert_true(d.asked >= 6);
}

/* --- work --- */

struct sum {
    struct loop_work w;
    uint64_t from, result;
    int err, *left;
};

/* Until it is open the threads, four as a rule, hold on to the first of the queue. */
static atomic_bool may_sum;

static void sum_run(struct loop_work *w)
{
    struct sum *s = CONTAINER_OF(w, struct sum, w);
    while (!atomic_load(&may_sum))
        usleep(1000);
    for (uint64_t i = 0; i < 100000; i++)
        s->result += s->from + i;
}

static void sum_done(struct loop_work *w, int err)
{
    struct sum *s = CONTAINER_OF(w, struct sum, w);
    s->err = err;
    --*s->left;
}

static bool none_left(void *ctx)
{
    return *(int *)ctx == 0;
}

static void work_is_done_elsewhere(void **state)
{
    struct world *w = *state;
    static struct sum sums[64];
    int left = 64;
    atomic_store(&may_sum, false);
    for (int i = 0; i < 64; i++) {
        sums[i] = (struct sum){.w = {sum_run, sum_done}, .from = (uint64_t)i, .left = &left};
        loop_work(w->near, &sums[i].w);
    }
    for (int i = 32; i < 64; i++)
        loop_work_cancel(w->near, &sums[i].w);
    assert_int_equal(left, 64);
    atomic_store(&may_sum, true);
    assert_true(world_run(w, none_left, &left, 10 * US_PER_S));
    for (int i = 0; i < 64; i++) {
        assert_int_equal(sums[i].err, i < 32 ? 0 : E_CANCELLED);
        assert_int_equal(sums[i].result, i < 32 ? 100000 * sums[i].from + 4999950000u : 0);
    }
    for (int i = 0; i < 8; i++) /* left to loop_free, which waits for what has begun */
        loop_work(w->near, &sums[i].w);
}

/* --- children and signals --- */

struct death {
    int64_t status;
    int signal;
    bool is_over;
};

static void child_died(void *ctx, int64_t status, int signal)
{
    *(struct death *)ctx = (struct death){status, signal, true};
}

static void children_are_watched(void **state)
{
    struct world *w = *state;
    struct death d = {0};
    struct loop_child *c;
    char path[] = "/tmp/conduit-loop-out-XXXXXX", said[16] = "";
    int fd = mkstemp(path);
    const char *sh[] = {"sh", "-c", "echo $WORD; pwd; exit 7", NULL};
    const char *env[] = {"WORD=hello", "PATH=/bin:/usr/bin", NULL};
    struct loop_spawn_options o = {.file = "sh",
                                   .argv = sh,
                                   .env = env,
                                   .cwd = "/",
                                   .out_fd = fd,
                                   .exited = child_died,
                                   .ctx = &d};
    assert_int_equal(loop_spawn(w->near, &o, &c), 0);
    assert_true(loop_child_pid(c) > 0);
    assert_true(world_run(w, is_set, &d.is_over, 5 * US_PER_S));
    assert_int_equal(d.status, 7);
    loop_child_kill(c, SIGTERM); /* too late is harmless */
    loop_child_close(c);
    assert_true(pread(fd, said, sizeof said - 1, 0) > 0);
    assert_string_equal(said, "hello\n/\n");
    close(fd);
    unlink(path);
    o.file = "/nonexistent/program";
    assert_int_equal(loop_spawn(w->near, &o, &c), E_NOT_FOUND);
}

static void children_are_killed(void **state)
{
    struct world *w = *state;
    struct death d = {0};
    struct loop_child *c, *closed, *left;
    const char *sleeper[] = {"sleep", "1000", NULL};
    struct loop_spawn_options o = {
        .file = "sleep", .argv = sleeper, .out_fd = -1, .exited = child_died, .ctx = &d};
    assert_int_equal(loop_spawn(w->near, &o, &c), 0);
    loop_child_kill(c, SIGTERM);
    assert_true(world_run(w, is_set, &d.is_over, 5 * US_PER_S));
    assert_int_equal(d.signal, SIGTERM);
    loop_child_close(c);
    d.is_over = false;
    assert_int_equal(loop_spawn(w->near, &o, &closed), 0);
    int pid = loop_child_pid(closed);
    loop_child_close(closed);
    world_run(w, world_never, NULL, 100 * US_PER_MS);
    assert_false(d.is_over);
    assert_int_equal(kill(pid, 0), -1); /* reaped, no zombie */
    assert_int_equal(loop_spawn(w->near, &o, &left), 0);
    /* world_end kills it */
}

static void signal_came(void *ctx, int signum)
{
    assert_int_equal(signum, SIGUSR1);
    *(bool *)ctx = true;
}

static void signals_are_caught(void **state)
{
    struct world *w = *state;
    struct loop_signal *s;
    bool came = false;
    assert_int_equal(loop_signal(w->near, SIGUSR1, signal_came, &came, &s), 0);
    loop_run(w->near); /* waiting for a signal keeps nobody up */
    kill(getpid(), SIGUSR1);
    assert_true(world_run(w, is_set, &came, US_PER_S));
    loop_signal_close(s);
    assert_int_not_equal(loop_signal(w->near, SIGKILL, signal_came, &came, &s), 0);
}

static void interfaces_include_loopback(void **state)
{
    struct world *w = *state;
    struct net_addr v[16];
    size_t n = loop_interfaces(w->near, v, 16);
    bool found = false;
    for (size_t i = 0; i < n; i++)
        found |= net_addr_is_loopback(&v[i]);
    assert_true(found);
    assert_true(loop_interfaces(w->near, v, 1) <= 1);
}

/* --- multicast --- */

struct heard {
    struct loop_udp *udp;
    int count, enough;
    bool is_enough;
};

static void heard_one(void *ctx, const struct net_addr *from, struct bytes datagram)
{
    struct heard *h = ctx;
    assert_true(bytes_eq_str(datagram, "all"));
    h->is_enough = ++h->count >= h->enough;
}

static bool find_loopback(struct world *w, struct loop_interface *out)
{
    struct loop_interface v[64];
    size_t n = loop_interface_list(w->near, v, 64);
    assert_int_equal(loop_interface_list(w->near, v, 1), 1);
    n = loop_interface_list(w->near, v, 64);
    for (size_t i = 0; i < n; i++)
        if (v[i].is_loopback && v[i].is_up && v[i].addr.kind == NET_IP4) {
            *out = v[i];
            return true;
        }
    return false;
}

/* Two sockets of one port hear the group they joined, the sender too; one that joined none does not. */
static void multicast_reaches_who_joined(void **state)
{
    struct world *w = *state;
    struct heard a = {.enough = 1}, b = {.enough = 1}, deaf = {0};
    struct loop_interface on;
    struct net_addr group;
    assert_true(find_loopback(w, &on));
    assert_true(on.index > 0 && on.name[0]);
    net_addr_parse_ip("239.255.77.1", 0, &group);
    struct loop_udp_options o = {
        .reuse = true, .group = &group, .on = &on, .received = heard_one, .ctx = &a};
    net_addr_parse_ip("0.0.0.0", 0, &o.at);
    assert_int_equal(loop_udp_open(w->near, &o, &a.udp), 0);
    o.at.port = group.port = loop_udp_addr(a.udp)->port;
    o.ctx = &b;
    assert_int_equal(loop_udp_open(w->near, &o, &b.udp), 0);
    o.group = NULL;
    o.ctx = &deaf;
    net_addr_parse_ip("127.0.0.1", o.at.port, &o.at);
    assert_int_equal(loop_udp_open(w->near, &o, &deaf.udp), 0);
    if (loop_udp_send(a.udp, &group, BYTES_LIT("all")) != 0)
        skip(); /* a machine whose loopback carries no multicast */
    assert_true(world_run(w, is_set, &b.is_enough, 2 * US_PER_S));
    assert_true(world_run(w, is_set, &a.is_enough, 2 * US_PER_S));
    assert_int_equal(deaf.count, 0);
    o.group = &group;
    net_addr_parse_ip("::", o.at.port, &o.at);
    struct loop_udp *wrong;
    assert_int_equal(loop_udp_open(w->near, &o, &wrong), E_INVALID);
}

/* What is sent to the port itself may come from anywhere, also from beyond a router. */
static void who_joined_hears_nothing_else(void **state)
{
    struct world *w = *state;
    struct heard a = {.enough = 1}, other = {0};
    struct loop_interface on;
    struct net_addr group;
    assert_true(find_loopback(w, &on));
    net_addr_parse_ip("239.255.77.2", 0, &group);
    struct loop_udp_options o = {.group = &group, .on = &on, .received = heard_one, .ctx = &a};
    net_addr_parse_ip("0.0.0.0", 0, &o.at);
    assert_int_equal(loop_udp_open(w->near, &o, &a.udp), 0);
    uint16_t port = group.port = loop_udp_addr(a.udp)->port;
    struct net_addr direct = on.addr;
    direct.port = port;
    o = (struct loop_udp_options){.received = heard_one, .ctx = &other};
    net_addr_parse_ip("127.0.0.1", 0, &o.at);
    assert_int_equal(loop_udp_open(w->near, &o, &other.udp), 0);
    assert_int_equal(loop_udp_send(other.udp, &direct, BYTES_LIT("all")), 0);
    if (loop_udp_send(a.udp, &group, BYTES_LIT("all")) != 0)
        skip(); /* a machine whose loopback carries no multicast */
    assert_true(world_run(w, is_set, &a.is_enough, 2 * US_PER_S)); /* after the other, or instead */
    assert_int_equal(loop_udp_send(a.udp, &group, BYTES_LIT("all")), 0);
    a.is_enough = false;
    a.enough = 2;
    assert_true(world_run(w, is_set, &a.is_enough, 2 * US_PER_S));
    assert_int_equal(a.count, 2);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(names_that_never_leave),        CASE(names_from_a_server),
        CASE(work_is_done_elsewhere),        CASE(children_are_watched),
        CASE(children_are_killed),           CASE(signals_are_caught),
        CASE(interfaces_include_loopback),   CASE(multicast_reaches_who_joined),
        CASE(who_joined_hears_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

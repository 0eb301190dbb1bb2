// SPDX-License-Identifier: MIT
/* The libuv loop against the real kernel: dialling and listening at their edges, names (with a DNS
 * server of our own), workers, children, signals, datagrams, time, and what an idle stream costs.
 */
#include "unit/loop/world.h"

#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

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

/* --- time --- */

struct ticker {
    struct timer t;
    struct sched *s;
    uint64_t due_us, late_us;
    int *order, place;
    bool fired;
};

static void tick(struct timer *t)
{
    struct ticker *k = CONTAINER_OF(t, struct ticker, t);
    assert_true(sched_now(k->s) >= k->due_us);
    k->late_us = sched_now(k->s) - k->due_us;
    k->place = ++*k->order;
    k->fired = true;
}

static void timers_fire_in_order_and_never_early(void **state)
{
    struct world *w = *state;
    struct sched *s = loop_sched(w->near);
    static const uint64_t after_us[] = {30300, 100, 20000, 1, 20001, 0};
    static const int places[] = {6, 3, 4, 2, 5, 1};
    struct ticker k[6];
    int order = 0;
    for (int i = 0; i < 6; i++) {
        k[i] = (struct ticker){.s = s, .due_us = sched_now(s) + after_us[i], .order = &order};
        timer_init(&k[i].t, tick);
        timer_set(s, &k[i].t, k[i].due_us);
    }
    loop_run(w->near); /* ends by itself when no timer is left */
    for (int i = 0; i < 6; i++)
        assert_int_equal(k[i].place, places[i]);
    assert_true(sched_wall_ms(s) > UINT64_C(1700000000000));
}

struct deferred {
    struct task t;
    struct sched *s;
    struct ticker then;
};

static void deferred_run(struct task *t)
{
    struct deferred *d = CONTAINER_OF(t, struct deferred, t);
    d->then.due_us = sched_now(d->s) + 2000;
    timer_set(d->s, &d->then.t, d->then.due_us);
}

static void tasks_run_before_the_first_sleep(void **state)
{
    struct world *w = *state;
    int order = 0;
    struct deferred d = {.s = loop_sched(w->near), .then = {.order = &order}};
    d.then.s = d.s;
    timer_init(&d.then.t, tick);
    task_init(&d.t, deferred_run);
    task_defer(d.s, &d.t);
    loop_run(w->near);
    assert_true(d.then.fired);
}

/* --- dialling and listening --- */

static bool is_dialled(void *ctx)
{
    struct world *w = ctx;
    return w->a || w->dial_err;
}

static int dial(struct world *w, const struct net_addr *to, uint64_t timeout_us)
{
    w->dial.done = world_dialled;
    w->dial_err = 0;
    loop_dial(w->near, &w->dial, to, NULL, timeout_us);
    assert_int_equal(w->dial_err, 0); /* not from inside */
    assert_true(world_run(w, is_dialled, w, 5 * US_PER_S));
    return w->dial_err;
}

/* A loopback port that nobody listens on: bound, not listening. */
static int dead_port(struct net_addr *at)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    getsockname(fd, (struct sockaddr *)&in, &len);
    net_addr_parse_ip("127.0.0.1", ntohs(in.sin_port), at);
    return fd;
}

static void dial_is_refused(void **state)
{
    struct net_addr at;
    int fd = dead_port(&at);
    assert_int_equal(dial(*state, &at, US_PER_S), E_REFUSED);
    close(fd);
    at = (struct net_addr){.kind = NET_UNIX, .path = "/tmp/conduit-nobody.sock"};
    assert_int_equal(dial(*state, &at, US_PER_S), E_REFUSED);
    at = (struct net_addr){0};
    assert_int_equal(dial(*state, &at, US_PER_S), E_INVALID);
}

static void dial_never_meets_itself(void **state)
{
    struct world *w = *state;
    struct net_addr at;
    int fd = dead_port(&at);
    close(fd);
    w->dial.done = world_dialled;
    loop_dial(w->near, &w->dial, &at, &at, US_PER_S); /* from and to the same port */
    assert_true(world_run(w, is_dialled, w, 5 * US_PER_S));
    assert_int_equal(w->dial_err, E_REFUSED);
}

/* A listener whose backlog is full answers no SYN. */
static int full_listener(struct net_addr *at, int *fill, int count)
{
    int fd = dead_port(at);
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(at->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listen(fd, 0);
    for (int i = 0; i < count; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&in, sizeof in);
    }
    return fd;
}

static void dial_times_out_and_is_cancelled(void **state)
{
    struct world *w = *state;
    struct net_addr at;
    int fill[4], fd = full_listener(&at, fill, 4);
    uint64_t before = sched_now(loop_sched(w->near));
    assert_int_equal(dial(w, &at, 60 * US_PER_MS), E_TIMEOUT);
    assert_true(sched_now(loop_sched(w->near)) - before >= 60 * US_PER_MS);
    w->dial_err = 0;
    loop_dial(w->near, &w->dial, &at, NULL, 5 * US_PER_S);
    loop_dial_cancel(w->near, &w->dial);
    assert_int_equal(w->dial_err, 0);
    assert_true(world_run(w, is_dialled, w, US_PER_S));
    assert_int_equal(w->dial_err, E_CANCELLED);
    loop_dial(w->near, &w->dial, &at, NULL, 5 * US_PER_S); /* left to loop_free */
    for (int i = 0; i < 4; i++)
        close(fill[i]);
    close(fd);
}

static void dial_cancelled_after_success_gives_no_stream(void **state)
{
    struct world *w = *state;
    struct net_addr at;
    net_addr_parse_ip("127.0.0.1", 0, &at);
    struct loop_listen_options o = {.at = at, .accepted = world_accepted, .ctx = w};
    assert_int_equal(loop_listen(w->far, &o, &w->listener), 0);
    w->dial.done = world_dialled;
    loop_dial(w->near, &w->dial, loop_listener_addr(w->listener), NULL, US_PER_S);
    usleep(5000); /* the kernel has connected it by now */
    loop_dial_cancel(w->near, &w->dial);
    assert_true(world_run(w, is_dialled, w, US_PER_S));
    assert_int_equal(w->dial_err, E_CANCELLED);
    assert_null(w->a);
    if (w->b)
        stream_close(w->b);
}

static void listen_says_in_use(void **state)
{
    struct world *w = *state;
    struct loop_listener *second;
    struct loop_listen_options o = {.accepted = world_accepted, .ctx = w};
    net_addr_parse_ip("127.0.0.1", 0, &o.at);
    assert_int_equal(loop_listen(w->far, &o, &w->listener), 0);
    o.at = *loop_listener_addr(w->listener);
    assert_true(o.at.port != 0);
    assert_int_equal(loop_listen(w->far, &o, &second), E_IN_USE);
    net_addr_parse_ip("192.0.2.1", 0, &o.at);
    assert_int_equal(loop_listen(w->far, &o, &second), E_UNREACHABLE);
}

static bool b_is_accepted(void *ctx)
{
    struct world *w = ctx;
    return w->b && (w->a || w->dial_err);
}

/* The port a node listens on is the port it dials from; for others it is taken all the same. */
static void a_listening_port_may_be_dialled_from(void **state)
{
    struct world *w = *state;
    struct loop_listener *from, *second;
    struct loop_listen_options o = {.reuse_port = true, .accepted = world_accepted, .ctx = w};
    net_addr_parse_ip("127.0.0.1", 0, &o.at);
    assert_int_equal(loop_listen(w->far, &o, &w->listener), 0);
    assert_int_equal(loop_listen(w->far, &o, &from), 0);
    o.at = *loop_listener_addr(from);
    assert_int_equal(loop_listen(w->far, &o, &second), E_IN_USE);
    w->dial.done = world_dialled;
    loop_dial(w->near, &w->dial, loop_listener_addr(w->listener), &o.at, US_PER_S);
    assert_true(world_run(w, b_is_accepted, w, 5 * US_PER_S));
    assert_int_equal(w->dial_err, 0);
    assert_int_equal(w->b->remote.port, o.at.port);
    struct stream *a = w->a, *b = w->b;
    w->a = w->b = NULL; /* the same pair of ends again is no pair of ends */
    loop_dial(w->near, &w->dial, loop_listener_addr(w->listener), &o.at, US_PER_S);
    assert_true(world_run(w, is_dialled, w, 5 * US_PER_S));
    assert_int_equal(w->dial_err, E_UNREACHABLE);
    stream_close(a);
    stream_close(b);
    loop_listener_close(from);
}

static void a_stale_unix_socket_is_replaced(void **state)
{
    struct world *w = *state;
    struct loop_listener *second;
    struct loop_listen_options o = {
        .at.kind = NET_UNIX, .mode = 0660, .accepted = world_accepted, .ctx = w};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct stat st;
    world_path(o.at.path);
    strcpy(un.sun_path, o.at.path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    unlink(o.at.path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd); /* as a killed process leaves it */
    assert_int_equal(loop_listen(w->far, &o, &w->listener), 0);
    assert_int_equal(stat(o.at.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(loop_listen(w->far, &o, &second), E_IN_USE);
    loop_listener_close(w->listener);
    w->listener = NULL;
    assert_int_equal(stat(o.at.path, &st), -1);
    fd = open(o.at.path, O_CREAT | O_WRONLY, 0600); /* a file is nobody's socket */
    close(fd);
    assert_int_equal(loop_listen(w->far, &o, &second), E_IN_USE);
    unlink(o.at.path);
}

static void accepted_and_dialled_have_no_delay(void **state)
{
    struct world *w = *state;
    struct net_addr at;
    net_addr_parse_ip("::1", 0, &at);
    world_connect(w, &at);
    int found = 0;
    for (int fd = 3; fd < 64; fd++) {
        int on = 0;
        socklen_t len = sizeof on;
        struct sockaddr_storage peer;
        socklen_t peer_len = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 &&
            peer.ss_family == AF_INET6 &&
            getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0) {
            assert_true(on);
            found++;
        }
    }
    assert_int_equal(found, 2);
    assert_int_equal(w->b->remote.kind, NET_IP6);
    stream_close(w->a);
    stream_close(w->b);
}

/* --- files run out --- */

static bool b_is_there(void *ctx)
{
    return ((struct world *)ctx)->b != NULL;
}

static void out_of_files_pauses_and_recovers(void **state)
{
    struct world *w = *state;
    struct net_addr at;
    net_addr_parse_ip("127.0.0.1", 0, &at);
    struct loop_listen_options o = {.at = at, .accepted = world_accepted, .ctx = w};
    assert_int_equal(loop_listen(w->far, &o, &w->listener), 0);
    struct rlimit old, tight;
    getrlimit(RLIMIT_NOFILE, &old);
    w->dial.done = world_dialled;
    loop_dial(w->near, &w->dial, loop_listener_addr(w->listener), NULL, 5 * US_PER_S);
    tight = old;
    int next = dup(0);
    close(next);
    tight.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &tight);
    assert_false(world_run(w, b_is_there, w, 50 * US_PER_MS));
    setrlimit(RLIMIT_NOFILE, &old);
    assert_true(world_run(w, b_is_there, w, US_PER_S));
    stream_close(w->a);
    stream_close(w->b);
}

/* --- what an idle stream costs --- */

enum { CROWD = 5000, AT_ONCE = 64 }; /* pairs: 10,000 streams */

struct crowd {
    struct world *w;
    struct newcomer {
        struct loop_dial d;
        struct crowd *c;
    } dials[AT_ONCE];
    struct stream **near, **far;
    int near_n, far_n, asked;
};

static void readable_unasked(void *ctx)
{
    fail_msg("nothing was sent");
}

static const struct stream_events idle_events = {readable_unasked, readable_unasked, NULL};

static void crowd_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct newcomer *n = CONTAINER_OF(d, struct newcomer, d);
    struct crowd *c = n->c;
    assert_int_equal(err, 0);
    stream_listen(s, &idle_events, c);
    stream_want_read(s, true);
    c->near[c->near_n++] = s;
    if (c->asked < CROWD) {
        c->asked++;
        loop_dial(c->w->near, d, loop_listener_addr(c->w->listener), NULL, 5 * US_PER_S);
    }
}

static void crowd_accepted(void *ctx, struct stream *s)
{
    struct crowd *c = ctx;
    stream_listen(s, &idle_events, c);
    stream_want_read(s, true);
    c->far[c->far_n++] = s;
}

static bool crowd_is_there(void *ctx)
{
    struct crowd *c = ctx;
    return c->near_n == CROWD && c->far_n == CROWD;
}

static void idle_streams_are_small(void **state)
{
    struct world *w = *state;
    struct crowd *c = MEM_NEW(struct crowd);
    struct rlimit lim;
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    if (lim.rlim_cur < 2 * CROWD + 100) {
        free(c);
        skip();
    }
    c->w = w;
    c->near = mem_array(CROWD, sizeof *c->near);
    c->far = mem_array(CROWD, sizeof *c->far);
    struct loop_listen_options o = {.accepted = crowd_accepted, .ctx = c};
    net_addr_parse_ip("127.0.0.1", 0, &o.at);
    assert_int_equal(loop_listen(w->far, &o, &w->listener), 0);
    size_t before = mallinfo2().uordblks;
    for (c->asked = 0; c->asked < AT_ONCE; c->asked++) {
        c->dials[c->asked] = (struct newcomer){.d.done = crowd_dialled, .c = c};
        loop_dial(w->near, &c->dials[c->asked].d, loop_listener_addr(w->listener), NULL,
                  5 * US_PER_S);
    }
    assert_true(world_run(w, crowd_is_there, c, 60 * US_PER_S));
    size_t used = mallinfo2().uordblks - before;
    printf("%d idle streams: %zu bytes each\n", 2 * CROWD, used / (2 * CROWD));
    assert_true(used / (2 * CROWD) < 500); /* 0 under sanitizers, which have their own malloc */
    for (int i = 0; i < CROWD; i++) {
        stream_close(c->near[i]);
        stream_close(c->far[i]);
    }
    free(c->near);
    free(c->far);
    free(c);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(timers_fire_in_order_and_never_early),
        CASE(tasks_run_before_the_first_sleep),
        CASE(dial_is_refused),
        CASE(dial_never_meets_itself),
        CASE(dial_times_out_and_is_cancelled),
        CASE(dial_cancelled_after_success_gives_no_stream),
        CASE(listen_says_in_use),
        CASE(a_listening_port_may_be_dialled_from),
        CASE(a_stale_unix_socket_is_replaced),
        CASE(accepted_and_dialled_have_no_delay),
        CASE(out_of_files_pauses_and_recovers),
        CASE(idle_streams_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

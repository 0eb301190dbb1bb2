// SPDX-License-Identifier: MIT
/* Whole nodes in virtual time: who dies, falls silent, is wedged or stops in order; when the others notice, and
 * what becomes of the requests under way.
 *
 *        a, b: providers of "m"          c: the consumer, joined to both     d: joined to a, asks for nothing
 *                  \___________ 20 ms ___________/
 */
#include "node_world.h"

#include "base/trace.h"
#include "node/hello.h"
#include "p2p/host_impl.h"
#include "trickle.h"

#define WORDS "echo:?delay_ms=100&tokens=40" /* four seconds of an answer */

struct crew {
    struct world w;
    struct machine *a, *b, *c, *d;
};

static struct machine *provider(struct world *w, const char *backend)
{
    char spec[128];
    struct machine *m = machine_add(w);
    snprintf(spec, sizeof spec, "m=%s", backend);
    set(m, "backend", spec);
    machine_start(m);
    return m;
}

static struct machine *joined(struct world *w, const char *to)
{
    struct machine *m = machine_add(w);
    set(m, "bootstrap", to);
    machine_start(m);
    return m;
}

static void crew_init(struct crew *k, uint64_t seed, const char *backend, bool has_b)
{
    struct loop_virtual_link link = {.delay_us = 20 * MS};
    world_init(&k->w, seed);
    k->a = provider(&k->w, backend);
    k->b = has_b ? provider(&k->w, backend) : NULL;
    k->c = joined(&k->w, has_b ? "/ip4/10.0.0.1/tcp/8000,/ip4/10.0.0.2/tcp/8000"
                               : "/ip4/10.0.0.1/tcp/8000");
    k->d = joined(&k->w, "/ip4/10.0.0.1/tcp/8000");
    for (int i = 0; i < k->w.count; i++)
        for (int j = 0; j < i; j++)
            loop_virtual_set_link(k->w.v, k->w.m[i].loop, k->w.m[j].loop, &link);
    run_for(&k->w, 3 * S);
}

/* Offers of that node in the consumer's catalogue. */
static unsigned offers_of(const struct machine *at, const struct machine *of)
{
    unsigned n = 0;
    for (const struct catalogue_offer *o = catalogue_next(&at->node->offers, NULL); o;
         o = catalogue_next(&at->node->offers, o))
        n += peer_id_eq(&o->offer.peer, &of->node->key.id);
    return n;
}

static bool is_connected(const struct machine *at, const struct machine *to)
{
    return p2p_host_is_connected(at->node->host, &to->node->key.id);
}

/* How long until neither connection nor offer of `gone` is left at `at`; the limit when it lasts longer. */
static uint64_t noticed_us(struct crew *k, const struct machine *at, const struct machine *gone,
                           uint64_t limit)
{
    uint64_t start = loop_virtual_now(k->w.v), t;
    do {
        run_for(&k->w, MS);
        t = loop_virtual_now(k->w.v) - start;
    } while ((is_connected(at, gone) || offers_of(at, gone)) && t < limit);
    return t;
}

static void ask(struct crew *k, struct client *c, bool is_stream)
{
    char body[160];
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"stream\":%s,\"messages\":[{\"role\":\"user\",\"content\":\"one "
             "two three\"}]}",
             is_stream ? "true" : "false");
    client_ask(c, k->c, "POST", "/v1/chat/completions", body);
}

/* The provider that serves now, and the other one. */
static struct machine *busy_one(struct crew *k, struct machine **other)
{
    bool is_a = gateway_running(k->a->node->gateway) > 0;
    assert_true(is_a || gateway_running(k->b->node->gateway) > 0);
    *other = is_a ? k->b : k->a;
    return is_a ? k->a : k->b;
}

/* --- death --- */

static void a_killed_process_is_noticed_by_everyone_at_once(void **state)
{
    struct crew k;
    crew_init(&k, 1, "echo:", false);
    assert_int_equal(offers_of(k.c, k.a), 1);
    assert_int_equal(offers_of(k.d, k.a), 1);
    loop_virtual_crash(k.w.v, k.a->loop, true);
    assert_in_range(noticed_us(&k, k.c, k.a, 20 * S), 0, 200 * MS); /* the path, and nothing else */
    assert_in_range(noticed_us(&k, k.d, k.a, 20 * S), 0, 100 * MS);
    world_fini(&k.w);
}

static void a_silent_host_is_noticed_within_15_s(void **state)
{
    for (uint64_t at = 0; at < 12 * S; at += 1700 * MS) { /* wherever its clock-work stands */
        struct crew k;
        crew_init(&k, 2, "echo:", false);
        run_for(&k.w, at);
        loop_virtual_crash(k.w.v, k.a->loop, false);
        uint64_t us = noticed_us(&k, k.c, k.a, 60 * S);
        assert_in_range(us, 4 * S, 15 * S);
        assert_in_range(noticed_us(&k, k.d, k.a, 60 * S), 0, 15 * S - us + 1);
        world_fini(&k.w);
    }
}

static void restart(struct crew *k, struct machine *m)
{
    struct net_addr at;
    struct loop_virtual_link link = {.delay_us = 20 * MS};
    machine_off(m);
    loop_free(m->loop);
    assert_int_equal(net_addr_parse_ip(m->ip, 0, &at), 0);
    m->loop = loop_virtual_machine(k->w.v, &at);
    for (int i = 0; i < k->w.count; i++)
        if (&k->w.m[i] != m)
            loop_virtual_set_link(k->w.v, k->w.m[i].loop, m->loop, &link);
    machine_start(m);
}

/* Its first connection died without a word and nobody has noticed yet, and it came back with another: when that one
 * ends, the dead one does not count. */
static void a_dead_connection_hides_no_death(void **state)
{
    struct crew k;
    crew_init(&k, 4, "echo:", false);
    loop_virtual_crash(k.w.v, k.d->loop, false);
    restart(&k, k.d);
    run_for(&k.w, 6 * S);
    assert_true(is_connected(k.a, k.d));
    loop_virtual_crash(k.w.v, k.d->loop, true);
    assert_in_range(noticed_us(&k, k.a, k.d, 20 * S), 0, 200 * MS);
    world_fini(&k.w);
}

static void hello_over(struct hello *h)
{
    *(uint64_t *)h->ctx = sched_now(h->sched);
}

/* Nor does anything new go over it, while the other one lives. */
static void nothing_is_sent_over_a_dead_connection(void **state)
{
    for (uint64_t seed = 5; seed < 11; seed++) { /* either one may be the better by its direction */
        struct crew k;
        uint64_t over_us = 0;
        crew_init(&k, seed, "echo:", false);
        loop_virtual_crash(k.w.v, k.d->loop, false);
        restart(&k, k.d);
        run_for(&k.w, S);
        assert_true(p2p_host_counts(k.a->node->host).conns >= 2);
        struct hello h = {.peer = k.d->node->key.id, .done = hello_over, .ctx = &over_us};
        uint64_t start = loop_virtual_now(k.w.v);
        hello_start(&h, k.a->node->host, k.a->node->sched, k.a->node->client);
        run_for(&k.w, 10 * S);
        assert_int_equal(h.err, 0);
        assert_in_range(over_us, start + 1, start + 200 * MS);
        world_fini(&k.w);
    }
}

/* --- death with a request in flight --- */

/* Before the first event: the other provider answers, and the client sees nothing of it. */
static void a_request_moves_on(bool is_told, uint64_t limit_us)
{
    struct crew k;
    struct client c;
    struct machine *other;
    crew_init(&k, 3, "echo:?delay_ms=3000&tokens=2", true); /* three seconds to the first word */
    ask(&k, &c, true);
    run_for(&k.w, 500 * MS);
    struct machine *dies = busy_one(&k, &other);
    loop_virtual_crash(k.w.v, dies->loop, is_told);
    assert_in_range(noticed_us(&k, k.c, dies, 20 * S), 0, limit_us);
    run_for(&k.w, 100 * MS);
    assert_int_equal(gateway_running(other->node->gateway), 1);
    client_wait(&k.w, &c, 20 * S);
    assert_true(client_has(&c, "HTTP/1.1 200") && client_has(&c, "data: [DONE]"));
    assert_true(client_has(&c, node_peer(other->node)) && !client_has(&c, "\"error\""));
    client_fini(&c);
    world_fini(&k.w);
}

static void a_request_in_flight_moves_on_when_its_provider_is_killed(void **state)
{
    a_request_moves_on(true, 100 * MS);
}

static void a_request_in_flight_moves_on_within_a_second_of_silence(void **state)
{
    a_request_moves_on(false, 1 * S);
}

/* After it: an error and an orderly end without [DONE], as soon. */
static void an_answer_ends_with_an_error(bool is_told, uint64_t limit_us)
{
    struct crew k;
    struct client c;
    struct machine *other;
    crew_init(&k, 4, WORDS, true);
    ask(&k, &c, true);
    run_for(&k.w, 1 * S);
    assert_true(client_has(&c, "HTTP/1.1 200") && client_has(&c, "one"));
    struct machine *dies = busy_one(&k, &other);
    uint64_t at = loop_virtual_now(k.w.v);
    loop_virtual_crash(k.w.v, dies->loop, is_told);
    client_wait(&k.w, &c, 20 * S);
    assert_in_range(c.over_us - at, 0, limit_us);
    if (!client_has(&c, "\"error\"") ||
        !client_has(&c, is_told ? "provider_disconnected" : "provider_timeout"))
        fail_msg("%.*s", BYTES_FMT(buf_view(&c.in)));
    assert_false(client_has(&c, "[DONE]"));
    assert_int_equal(offers_of(k.c, dies), 0);
    client_fini(&c);
    world_fini(&k.w);
}

static void a_cut_answer_ends_with_an_error(void **state)
{
    an_answer_ends_with_an_error(true, 100 * MS);
}

static void a_silent_answer_ends_with_an_error_within_a_second(void **state)
{
    an_answer_ends_with_an_error(false, 1 * S);
}

/* Nobody is left: an error, and not a minute later. */
static void with_nobody_left_the_request_ends(void **state)
{
    struct crew k;
    struct client c;
    crew_init(&k, 5, "echo:?delay_ms=3000&tokens=2", false);
    ask(&k, &c, true);
    run_for(&k.w, 500 * MS);
    loop_virtual_crash(k.w.v, k.a->loop, false);
    uint64_t at = loop_virtual_now(k.w.v);
    client_wait(&k.w, &c, 30 * S);
    assert_in_range(c.over_us - at, 0,
                    7 * S); /* noticed in one, and five of searching for another */
    assert_true(client_has(&c, "HTTP/1.1 50") && client_has(&c, "\"error\""));
    client_fini(&c);
    world_fini(&k.w);
}

/* --- wedged: alive below, dead above --- */

static int swallowed;

static void nothing(void *ctx)
{
}

static void swallowed_ended(void *ctx, int err)
{
    stream_close(ctx);
}

/* Takes the stream and never says a word; the connection goes on answering pings. */
static void swallow(void *ctx, struct stream *s, const struct peer_id *peer)
{
    static const struct stream_events none = {nothing, nothing, swallowed_ended};
    swallowed++;
    stream_listen(s, &none, s);
}

/* In place: identify goes on telling the protocol. */
static void wedge(struct machine *m, bool is_wedged)
{
    static struct host_handler was;
    struct p2p_host *h = m->node->host;
    for (int i = 0; i < HOST_HANDLERS_MAX; i++) {
        struct host_handler *at = &h->handlers[i];
        if (!at->protocol || strcmp(at->protocol, "/http/1.1") != 0)
            continue;
        if (is_wedged)
            was = *at;
        at->handler = is_wedged ? swallow : was.handler;
        at->ctx = is_wedged ? NULL : was.ctx;
    }
}

static void a_wedged_peer_is_noticed_by_deadline_and_breaker(void **state)
{
    struct crew k;
    struct client c;
    uint64_t took[6];
    crew_init(&k, 6, "echo:", true);
    set(k.c, "stall_ms", "20000");
    swallowed = 0;
    wedge(k.a, true);
    for (int i = 0; i < 6; i++) { /* each is answered, by the other one in the end */
        ask(&k, &c, false);
        client_wait(&k.w, &c, 60 * S);
        assert_true(client_has(&c, "HTTP/1.1 200"));
        assert_true(client_has(&c, node_peer(k.b->node)));
        took[i] = c.over_us - c.asked_us;
        client_fini(&c);
    }
    assert_in_range(swallowed, 1,
                    MEASURE_TRIP); /* it is weighed down, and then its breaker is open */
    for (int i = 0; i < 6; i++)
        assert_in_range(took[i], 0, 21 * S);
    assert_in_range(took[5], 0, 1 * S);
    assert_true(is_connected(k.c, k.a)); /* as a connection it is well */
    world_fini(&k.w);
}

/* Its feed falls silent, too, while the connection answers pings: the offers leave the catalogue with the third
 * heartbeat that is missing, without a request having been lost on them, and come back when it does. */
static void a_wedged_peer_leaves_the_catalogue(void **state)
{
    struct crew k;
    crew_init(&k, 9, "echo:", false);
    assert_int_equal(offers_of(k.c, k.a), 1);
    wedge(k.a, true);
    timer_clear(k.a->node->sched, &k.a->node->announce.tick);
    run_for(&k.w, 30 * S);
    assert_int_equal(offers_of(k.c, k.a), 1);
    run_for(&k.w, 16 * S);
    assert_int_equal(offers_of(k.c, k.a), 0);
    assert_true(is_connected(k.c, k.a));
    wedge(k.a, false);
    timer_after(k.a->node->sched, &k.a->node->announce.tick, S);
    run_for(&k.w, 60 * S);
    assert_int_equal(offers_of(k.c, k.a), 1);
    world_fini(&k.w);
}

/* The doctor asks a few peers for their clocks: one that answers a byte a second keeps it six seconds, no more. */
static void a_peer_that_trickles_does_not_hold_the_doctor(void **state)
{
    struct crew k;
    uint64_t over_us = 0;
    crew_init(&k, 12, "echo:", false);
    struct node *c = k.c->node;
    struct hello h = {.peer = k.a->node->key.id, .done = hello_over, .ctx = &over_us};
    trickle_begin(k.a->node);
    uint64_t start = loop_virtual_now(k.w.v);
    hello_start(&h, c->host, c->sched, c->client);
    run_for(&k.w, 20 * S);
    assert_in_range(over_us, start + 1, start + 6 * S);
    assert_int_equal(h.err, E_TIMEOUT);
    assert_true(is_connected(k.c, k.a));
    trickle_end(k.a->node);
    world_fini(&k.w);
}

static void count_line(void *ctx, enum trace_room room, enum trace_level level, const char *line)
{
    *(unsigned *)ctx += strstr(line, "is not good") != NULL;
}

/* A stranger that sends nothing but bad offers does not fill the log with them. */
static void bad_offers_do_not_fill_the_log(void **state)
{
    struct crew k;
    unsigned lines = 0;
    crew_init(&k, 13, "echo:", false);
    trickle_with(k.a->node, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
                 "event: offer\ndata: {\"offer\":\"AAAA\"}\n\n"
                 "event: offer\ndata: {\"offer\":\"AAAA\"}\n\n");
    feeds_refresh(&k.c->node->feeds, &k.a->node->key.id);
    trace_set_sink(count_line, &lines);
    run_for(&k.w, 30 * S);
    trace_set_sink(NULL, NULL);
    assert_in_range(lines, 1, 3);
    trickle_end(k.a->node);
    world_fini(&k.w);
}

/* The only provider is wedged, and a crowd asks: after the breaker's pause one request is sent to see. */
static void a_crowd_waits_for_one_probe(void **state)
{
    enum { CROWD = 12 };
    struct crew k;
    struct client one, crowd[CROWD];
    crew_init(&k, 7, "echo:", false);
    swallowed = 0;
    wedge(k.a, true);
    for (int i = 0; i < MEASURE_TRIP; i++) {
        ask(&k, &one, false);
        client_wait(&k.w, &one, 60 * S);
        assert_true(client_has(&one, "HTTP/1.1 50"));
        client_fini(&one);
    }
    assert_int_equal(swallowed, MEASURE_TRIP);
    run_for(&k.w, 3 * S); /* the pause */
    for (int i = 0; i < CROWD; i++)
        ask(&k, &crowd[i], false);
    run_for(&k.w, 10 * S);
    assert_int_equal(swallowed, MEASURE_TRIP + 1);
    int refused = 0;
    for (int i = 0; i < CROWD; i++)
        refused += crowd[i].is_over && client_has(&crowd[i], "HTTP/1.1 503") &&
                   client_has(&crowd[i], "no_provider_available");
    assert_int_equal(refused, CROWD - 1);
    run_for(&k.w, 15 * S);
    for (int i = 0; i < CROWD; i++) {
        assert_true(crowd[i].is_over);
        client_fini(&crowd[i]);
    }
    world_fini(&k.w);
}

/* --- a graceful stop --- */

static void on_stopped(void *ctx)
{
    ((struct machine *)ctx)->is_stopped = true;
}

/* Requests all the while, one each 30 ms: not one is lost, those under way are finished where they are, and
 * from the moment of the withdrawal the others go elsewhere. */
static void a_graceful_stop_loses_no_request(void **state)
{
    enum { MANY = 120 };
    struct crew k;
    struct client *c = mem_array(MANY, sizeof *c);
    crew_init(&k, 8, "echo:?delay_ms=50&tokens=10", true);
    uint64_t stopped_us = 0;
    for (int i = 0; i < MANY; i++) {
        ask(&k, &c[i], i % 2);
        run_for(&k.w, 30 * MS);
        if (i == MANY / 3) {
            assert_true(gateway_running(k.a->node->gateway) > 0);
            node_stop(k.a->node, on_stopped, k.a);
            stopped_us = loop_virtual_now(k.w.v);
            run_for(&k.w, 25 * MS); /* the path: the withdrawal has arrived */
            assert_int_equal(offers_of(k.c, k.a), 0);
            assert_true(is_connected(k.c, k.a)); /* and before the connection ends */
            assert_true(gateway_running(k.a->node->gateway) > 0);
        }
    }
    run_for(&k.w, 5 * S);
    unsigned by_a = 0, late = 0;
    for (int i = 0; i < MANY; i++) {
        assert_true(c[i].is_over);
        if (!client_has(&c[i], "HTTP/1.1 200") || client_has(&c[i], "\"error\"") ||
            (i % 2 && !client_has(&c[i], "[DONE]")))
            fail_msg("request %d: %.*s", i, BYTES_FMT(buf_view(&c[i].in)));
        bool is_a = client_has(&c[i], node_peer(k.a->node));
        by_a += is_a;
        late += is_a && c[i].asked_us > stopped_us;
        client_fini(&c[i]);
    }
    assert_true(by_a > 0);
    assert_int_equal(late, 0);
    assert_true(k.a->is_stopped);
    assert_false(is_connected(k.c, k.a));
    free(c);
    world_fini(&k.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_process_is_noticed_by_everyone_at_once),
        cmocka_unit_test(a_silent_host_is_noticed_within_15_s),
        cmocka_unit_test(a_dead_connection_hides_no_death),
        cmocka_unit_test(nothing_is_sent_over_a_dead_connection),
        cmocka_unit_test(a_request_in_flight_moves_on_when_its_provider_is_killed),
        cmocka_unit_test(a_request_in_flight_moves_on_within_a_second_of_silence),
        cmocka_unit_test(a_cut_answer_ends_with_an_error),
        cmocka_unit_test(a_silent_answer_ends_with_an_error_within_a_second),
        cmocka_unit_test(with_nobody_left_the_request_ends),
        cmocka_unit_test(a_wedged_peer_is_noticed_by_deadline_and_breaker),
        cmocka_unit_test(a_wedged_peer_leaves_the_catalogue),
        cmocka_unit_test(bad_offers_do_not_fill_the_log),
        cmocka_unit_test(a_peer_that_trickles_does_not_hold_the_doctor),
        cmocka_unit_test(a_crowd_waits_for_one_probe),
        cmocka_unit_test(a_graceful_stop_loses_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

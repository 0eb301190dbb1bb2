// SPDX-License-Identifier: MIT
/* Whole hosts in virtual time and the ledger: what is over a limit of a protocol, a peer, an address or the
 * whole host is refused, counted and shown; whatever happens the books agree with what there is; and when
 * all work is over nothing is left in them. */
#include "host_world.h"

#include "base/rng.h"

#include <time.h>

static const struct resource_row *row(struct hosts *h, int i, const char *scope,
                                      const char *resource, const char *name)
{
    static struct resource_row rows[64];
    size_t n = p2p_host_limits(h->m[i].host, rows, ARRAY_LEN(rows));
    for (size_t k = 0; k < n; k++)
        if (strcmp(rows[k].scope, scope) == 0 && strcmp(rows[k].resource, resource) == 0 &&
            (!name || strcmp(rows[k].name, name) == 0))
            return &rows[k];
    fail_msg("no row %s %s %s", scope, resource, name ? name : "");
    return NULL;
}

static void all_disconnect(struct hosts *h)
{
    for (int i = 0; i < h->count; i++)
        for (int j = 0; j < h->count; j++)
            if (i != j)
                p2p_host_disconnect(h->m[i].host, &h->m[j].key.id);
    hosts_run(h, 30 * US_PER_S);
    hosts_are_at_zero(h);
}

/* `n` streams that are held open, from machine 1 to machine 0 that has a limit; how many live. */
static int hold_streams(struct hosts *h, struct asked *a, int n)
{
    int alive = 0;
    for (int i = 0; i < n; i++) {
        ask_echo(&a[i], &h->m[1], &h->m[0], ECHO, 10);
        a[i].client.holds_finish = true;
    }
    hosts_run(h, 2 * US_PER_S);
    for (int i = 0; i < n; i++)
        alive += a[i].client.got == 10 && !a[i].client.closed_err;
    hosts_check(h);
    return alive;
}

static void limited(struct hosts *h, uint64_t seed, enum resource_scope_kind scope,
                    enum resource_kind kind, uint64_t max)
{
    hosts_init(h, seed, 0);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.limits.max[scope][kind] = max;
    hosts_add(h, &cfg);
    hosts_add(h, NULL);
}

static void streams_of_a_protocol(void **state)
{
    struct hosts h;
    struct asked a[8];
    limited(&h, 1, RESOURCE_PROTOCOL, RESOURCE_IN, 5);
    assert_int_equal(hold_streams(&h, a, 8), 5);
    const struct resource_row *r = row(&h, 0, "protocol", "streams_in", ECHO);
    assert_int_equal(r->used, 5);
    assert_int_equal(r->limit, 5);
    assert_int_equal(r->refused, 3);
    struct asked p = {.ping = {.open = {.peer = h.m[0].key.id}, .done = asked_pinged}};
    p2p_host_ping(h.m[1].host, &p.ping); /* another protocol is not concerned */
    hosts_run(&h, US_PER_S);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.err, 0);
    all_disconnect(&h);
    hosts_fini(&h);
}

static void streams_of_a_peer_an_address_and_all(void **state)
{
    static const enum resource_scope_kind scopes[] = {RESOURCE_PEER, RESOURCE_IP, RESOURCE_SYSTEM,
                                                      RESOURCE_CONN};
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
        struct hosts h;
        struct asked a[12];
        limited(&h, 2 + i, scopes[i], RESOURCE_IN, 9);
        assert_int_equal(hold_streams(&h, a, 12), 9);
        const struct resource_row *r =
            row(&h, 0, resource_scope_text(scopes[i]), "streams_in", NULL);
        assert_int_equal(r->used, 9);
        assert_in_range(r->refused, 3, 4); /* and an identify, perhaps */
        if (scopes[i] == RESOURCE_IP)
            assert_string_equal(r->name, "10.0.0.2");
        all_disconnect(&h);
        hosts_fini(&h);
    }
}

/* Our own streams are refused to who asks for them, with an error and at once. */
static void streams_that_we_open(void **state)
{
    struct hosts h;
    struct asked a[6];
    int refused = 0;
    hosts_init(&h, 9, 1);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.limits.max[RESOURCE_PROTOCOL][RESOURCE_OUT] = 4;
    hosts_add(&h, &cfg);
    assert_int_equal(hold_streams(&h, a, 6), 4);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        refused += a[i].err == E_LIMIT;
    assert_int_equal(refused, 2);
    all_disconnect(&h);
    hosts_fini(&h);
}

/* Two hosts at one address, and a limit of one connection for it. */
static void connections_of_an_address(void **state)
{
    struct hosts h;
    struct asked a, b;
    struct key_pair key;
    limited(&h, 10, RESOURCE_IP, RESOURCE_CONNS, 1);
    key_pair_generate(&key, &h.rng);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(&key);
    struct p2p_host *second = p2p_host_new(&cfg, h.m[1].loop);
    ask_echo(&a, &h.m[1], &h.m[0], ECHO, 10);
    hosts_run(&h, US_PER_S);
    assert_true(a.client.is_complete);
    b = (struct asked){0};
    client_init(&b.client, 5, 10);
    b.open = (struct p2p_open){.peer = h.m[0].key.id,
                               .addrs = &h.m[0].addr_view,
                               .addr_count = 1,
                               .protocol = ECHO,
                               .timeout_us = 5 * US_PER_S,
                               .done = asked_opened};
    p2p_host_open(second, &b.open);
    hosts_run(&h, 6 * US_PER_S);
    assert_int_equal(b.done, 1);
    assert_true(b.err != 0 || b.client.closed_err != 0);
    assert_int_equal(p2p_host_counts(h.m[0].host).conns, 1);
    assert_true(row(&h, 0, "ip", "connections", NULL)->refused > 0);
    hosts_check(&h);
    p2p_host_free(second);
    all_disconnect(&h);
    hosts_fini(&h);
}

/* As many connections as the owner says, and what depends on their number. */
static void connections_of_all(void **state)
{
    struct hosts h;
    struct asked a[3];
    int open = 0;
    hosts_init(&h, 13, 0);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    p2p_host_cfg_connections(&cfg, 2);
    hosts_add(&h, &cfg);
    for (int i = 0; i < 3; i++) {
        struct machine *m = hosts_add(&h, NULL);
        ask_connect(&a[i], m, &h.m[0].key.id, &h.m[0].addr_view, 1);
        hosts_run(&h, US_PER_S);
    }
    for (int i = 1; i < 4; i++)
        open += p2p_host_is_connected(h.m[0].host, &h.m[i].key.id);
    assert_int_equal(open, 2);
    const struct resource_row *r = row(&h, 0, "system", "connections", NULL);
    assert_int_equal(r->used, 2);
    assert_int_equal(r->limit, 2);
    assert_true(r->refused > 0);
    p2p_host_cfg_connections(&cfg, 2 * LIMIT_CONNS);
    assert_true(cfg.max_peers > LIMIT_PEERS);
    assert_true(cfg.limits.max[RESOURCE_SYSTEM][RESOURCE_MEMORY] > LIMIT_HOST_MEMORY);
    all_disconnect(&h);
    hosts_fini(&h);
}

static void memory_for_a_connection(void **state)
{
    struct hosts h;
    struct asked a;
    limited(&h, 11, RESOURCE_SYSTEM, RESOURCE_MEMORY, 100); /* not even for its struct */
    ask_connect(&a, &h.m[1], &h.m[0].key.id, &h.m[0].addr_view, 1);
    hosts_run(&h, 3 * US_PER_S);
    assert_true(a.done && a.err);
    assert_int_equal(p2p_host_counts(h.m[0].host).conns_pending, 0);
    assert_true(row(&h, 0, "system", "memory_bytes", NULL)->refused > 0);
    hosts_are_at_zero(&h);
    hosts_fini(&h);
}

/* --- bytes that nobody reads --- */

static int swallowed;

static void swallow(void *ctx, struct stream *s, const struct peer_id *peer)
{
    static const struct stream_events none = {echo_event, echo_event, echo_closed};
    struct echo *e = MEM_NEW(struct echo);
    e->s = s;
    swallowed++;
    stream_listen(s, &none, e); /* and never wants to read */
}

/* A peer fills its windows on streams that are not read: what is over its memory costs its greediest
 * streams, and nobody else anything. */
static void bytes_that_nobody_reads(void **state)
{
    struct hosts h;
    struct asked a[8], other;
    int reset = 0;
    limited(&h, 12, RESOURCE_PEER, RESOURCE_MEMORY, 1 * MIB);
    hosts_add(&h, NULL);
    swallowed = 0;
    assert_int_equal(p2p_host_handle(h.m[0].host, "/swallow", swallow, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        ask_echo(&a[i], &h.m[1], &h.m[0], "/swallow", 400 * 1000);
    hosts_run(&h, 5 * US_PER_S);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        reset += a[i].client.closed_err == E_RESET;
    assert_in_range(reset, 4, 6); /* three windows of 256 KiB fit, and what goes with them */
    const struct resource_row *r = row(&h, 0, "peer", "memory_bytes", NULL);
    assert_true(r->used <= r->limit && r->refused > 0);
    ask_echo(&other, &h.m[2], &h.m[0], ECHO, 100 * 1000);
    hosts_run(&h, 2 * US_PER_S);
    assert_true(other.client.is_complete);
    all_disconnect(&h);
    hosts_fini(&h);
}

/* --- a random life --- */

enum { LIVES = 40 };

static void one_thing(struct hosts *h, struct asked *a, struct rng *rng)
{
    struct machine *from = &h->m[rng_below(rng, MACHINES)], *to = &h->m[rng_below(rng, MACHINES)];
    struct asked *x = &a[rng_below(rng, LIVES)];
    struct loop_virtual_link cut = {.is_cut = rng_below(rng, 4) == 0, .delay_us = 5 * US_PER_MS};
    if (from == to)
        return;
    switch (rng_below(rng, 8)) {
    case 0:
        p2p_host_disconnect(from->host, &to->key.id);
        return;
    case 1:
        loop_virtual_set_link(h->world, from->loop, to->loop, &cut);
        return;
    case 2:
        if (x->client.s && !x->client.is_complete) {
            stream_reset(x->client.s, STREAM_CANCELLED);
            stream_close(x->client.s);
            x->client.s = NULL;
            x->done = 2;
        }
        return;
    default:
        if (x->connect.host || (x->open.host && (!x->done || x->client.s)))
            return; /* under way */
        ask_echo(x, from, to, ECHO, rng_below(rng, 5) ? rng_below(rng, 5000) : 600 * 1000);
        x->client.holds_finish = rng_below(rng, 3) == 0;
        x->open.timeout_us = (1 + rng_below(rng, 5)) * US_PER_S;
    }
}

static void a_random_life_leaves_nothing(void **state)
{
    const char *given = getenv("SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    struct hosts h;
    struct rng rng;
    struct asked *a = mem_array(LIVES, sizeof *a);
    print_message("seed %llu; repeat with SEED=%llu\n", (unsigned long long)seed,
                  (unsigned long long)seed);
    memset(a, 0, LIVES * sizeof *a);
    rng_init_seeded(&rng, seed);
    hosts_init(&h, seed, MACHINES);
    for (int i = 0; i < 1500; i++) {
        one_thing(&h, a, &rng);
        hosts_run(&h, rng_below(&rng, 40) * US_PER_MS);
        hosts_check(&h);
    }
    for (int i = 0; i < MACHINES; i++) /* whole again */
        for (int j = 0; j < i; j++)
            loop_virtual_set_link(h.world, h.m[i].loop, h.m[j].loop,
                                  &(struct loop_virtual_link){.delay_us = 1000});
    hosts_run(&h, 10 * US_PER_S);
    all_disconnect(&h);
    hosts_fini(&h);
    for (int i = 0; i < LIVES; i++)
        if (a[i].client.s) /* broken, and told; the struct is ours */
            fail_msg("a stream was not closed");
    free(a);
}

/* Every limit has a line, and every line a limit. */
static void the_view_has_every_limit(void **state)
{
    static const struct {
        const char *scope, *resource;
    } all[] = {
        {"system", "pending_connections"},
        {"system", "connections"},
        {"system", "dials"},
        {"system", "streams_in"},
        {"system", "streams_out"},
        {"system", "memory_bytes"},
        {"system", "window_bytes"},
        {"system", "known_peers"},
        {"system", "scopes"},
        {"ip", "pending_connections"},
        {"ip", "accepted_per_s"},
        {"ip", "connections"},
        {"ip", "streams_in"},
        {"ip", "streams_out"},
        {"ip", "memory_bytes"},
        {"relay", "pending_connections"},
        {"relay", "accepted_per_s"},
        {"relay", "connections"},
        {"relay", "streams_in"},
        {"relay", "streams_out"},
        {"relay", "memory_bytes"},
        {"peer", "connections"},
        {"peer", "streams_in"},
        {"peer", "streams_out"},
        {"peer", "memory_bytes"},
        {"connection", "streams_in"},
        {"connection", "streams_out"},
        {"connection", "memory_bytes"},
    };
    struct hosts h;
    struct resource_row rows[64];
    struct asked a;
    hosts_init(&h, 20, 2);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 10);
    a.client.holds_finish = true;
    hosts_run(&h, US_PER_S);
    size_t n = p2p_host_limits(h.m[1].host, rows, ARRAY_LEN(rows));
    assert_true(n > ARRAY_LEN(all));
    for (size_t i = 0; i < n; i++) {
        if (i < ARRAY_LEN(all)) {
            assert_string_equal(rows[i].scope, all[i].scope);
            assert_string_equal(rows[i].resource, all[i].resource);
        } else { /* and what streams of each protocol there are */
            assert_string_equal(rows[i].scope, "protocol");
        }
        assert_true(rows[i].limit != RESOURCE_NO_LIMIT && rows[i].limit > 0);
        if (strstr(rows[i].resource, "_per_s"))
            assert_true(rows[i].used == RESOURCE_NOT_COUNTED);
        else
            assert_true(rows[i].used <= rows[i].limit);
        assert_int_equal(rows[i].refused, 0);
    }
    char id[PEER_ID_TEXT];
    peer_id_text(&h.m[0].key.id, id, sizeof id);
    assert_string_equal(row(&h, 1, "peer", "streams_in", NULL)->name, id);
    assert_int_equal(row(&h, 1, "peer", "connections", NULL)->used, 1);
    assert_int_equal(row(&h, 1, "system", "connections", NULL)->used, 1);
    assert_true(row(&h, 1, "connection", "memory_bytes", NULL)->used > 1000);
    assert_int_equal(p2p_host_limits(h.m[1].host, rows, 3), 3); /* and no further */
    hosts_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_of_a_protocol),
        cmocka_unit_test(streams_of_a_peer_an_address_and_all),
        cmocka_unit_test(streams_that_we_open),
        cmocka_unit_test(connections_of_an_address),
        cmocka_unit_test(connections_of_all),
        cmocka_unit_test(memory_for_a_connection),
        cmocka_unit_test(bytes_that_nobody_reads),
        cmocka_unit_test(a_random_life_leaves_nothing),
        cmocka_unit_test(the_view_has_every_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

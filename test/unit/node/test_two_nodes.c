// SPDX-License-Identifier: MIT
/* Two whole nodes, wiring included, in virtual time: a provider with the built-in echo backend and a consumer
 * that knows only its address. No sockets, no clock: the same seed gives the same run.
 *
 *      consumer 10.0.0.2 ------- 20 ms -------- provider 10.0.0.1 (echo:)
 *         |  client on the same machine
 */
#include "base/buf.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "node/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000u
#define S  1000000u

struct machine {
    struct loop *loop;
    struct config cfg;
    struct node *node;
    char dir[64];
    const char *hours; /* end of the schedule that began yesterday at 23:00, or NULL */
};

struct world {
    struct loop_virtual *v;
    struct machine provider, consumer;
};

static char *const no_env[] = {"HOME=/nonexistent", NULL};

static void machine_up(struct world *w, struct machine *m, const char *ip, const char *key,
                       const char *value)
{
    struct net_addr at;
    char why[CONFIG_WHY];
    snprintf(m->dir, sizeof m->dir, "/tmp/conduit-sim-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    assert_int_equal(net_addr_parse_ip(ip, 0, &at), 0);
    m->loop = loop_virtual_machine(w->v, &at);
    config_init(&m->cfg);
    assert_int_equal(config_set(&m->cfg, "data_dir", m->dir, RANK_FLAG, why), 0);
    assert_int_equal(config_set(&m->cfg, "p2p_host", ip, RANK_FLAG, why), 0);
    assert_int_equal(config_set(&m->cfg, key, value, RANK_FLAG, why), 0);
    if (m->hours) {
        assert_int_equal(config_set(&m->cfg, "schedule.start", "23:00", RANK_FLAG, why), 0);
        assert_int_equal(config_set(&m->cfg, "schedule.end", m->hours, RANK_FLAG, why), 0);
        /* Heartbeats at 53 and 66 s, so that it is not one of them that withdraws. */
        assert_int_equal(config_set(&m->cfg, "heartbeat_interval", "13", RANK_FLAG, why), 0);
    }
    int err = node_start(m->loop, &m->cfg, no_env, "0.0.0", &m->node, why);
    if (err)
        fail_msg("%s", why);
}

static void machine_down(struct machine *m)
{
    char command[96];
    if (m->node)
        node_free(m->node);
    config_fini(&m->cfg);
    snprintf(command, sizeof command, "rm -rf %s", m->dir);
    assert_int_equal(system(command), 0);
}

static void world_up(struct world *w, uint64_t seed)
{
    struct loop_virtual_link link = {.delay_us = 20 * MS};
    *w = (struct world){.v = loop_virtual_new(seed)};
    machine_up(w, &w->provider, "10.0.0.1", "backend", "echo:");
    machine_up(w, &w->consumer, "10.0.0.2", "bootstrap", "/ip4/10.0.0.1/tcp/8000");
    loop_virtual_set_link(w->v, w->provider.loop, w->consumer.loop, &link);
}

static void world_down(struct world *w)
{
    machine_down(&w->consumer);
    machine_down(&w->provider);
    loop_virtual_run(w->v, loop_virtual_now(w->v) + S, NULL,
                     NULL); /* what was cancelled completes */
    loop_virtual_free(w->v);
}

/* --- a client on the consumer's machine --- */

struct client {
    struct loop *loop;
    struct loop_dial dial;
    struct stream *s;
    struct buf out, in;
    bool is_over;
    uint64_t first_us;
};

static void client_readable(void *ctx)
{
    struct client *c = ctx;
    uint8_t chunk[4096];
    ssize_t n;
    while ((n = stream_read(c->s, chunk, sizeof chunk)) > 0) {
        if (!c->first_us)
            c->first_us = sched_now(loop_sched(c->loop));
        (void)buf_append(&c->in, chunk, (size_t)n);
    }
    c->is_over |= n != E_AGAIN;
}

static void client_writable(void *ctx)
{
}

static void client_closed(void *ctx, int err)
{
    ((struct client *)ctx)->is_over = true;
}

static const struct stream_events client_events = {client_readable, client_writable, client_closed};

static void client_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct client *c = CONTAINER_OF(d, struct client, dial);
    if (err) {
        c->is_over = true;
        return;
    }
    c->s = s;
    stream_listen(s, &client_events, c);
    stream_want_read(s, true);
    assert_int_equal(stream_write(s, buf_view(&c->out)), buf_len(&c->out));
}

static bool client_is_over(void *ctx)
{
    return ((struct client *)ctx)->is_over;
}

/* One request on the consumer's address; the whole response as text, heap. */
static char *ask(struct world *w, const char *method, const char *path, const char *body,
                 uint64_t timeout_us)
{
    struct client c = {.loop = w->consumer.loop, .dial.done = client_dialled};
    struct net_addr at;
    buf_init(&c.out, 0);
    buf_init(&c.in, 0);
    (void)buf_printf(&c.out,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     method, path, strlen(body), body);
    assert_int_equal(net_addr_parse_ip("127.0.0.1", 8888, &at), 0);
    loop_dial(c.loop, &c.dial, &at, NULL, 5 * S);
    loop_virtual_run(w->v, loop_virtual_now(w->v) + timeout_us, client_is_over, &c);
    assert_true(c.is_over);
    if (c.s)
        stream_close(c.s);
    buf_fini(&c.out);
    return buf_take_str(&c.in);
}

static const char question[] = "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":"
                               "\"What is the capital of France?\"}]}";

static void run_for(struct world *w, uint64_t us)
{
    loop_virtual_run(w->v, loop_virtual_now(w->v) + us, NULL, NULL);
}

/* --- stories --- */

static void a_question_is_answered_by_the_other_node(void **state)
{
    struct world w;
    world_up(&w, 1);
    run_for(&w, 2 * S);
    char *models = ask(&w, "GET", "/v1/models", "", 5 * S);
    assert_non_null(strstr(models, "\"id\":\"echo\""));
    free(models);
    char *r = ask(&w, "POST", "/v1/chat/completions", question, 20 * S);
    if (!strstr(r, "HTTP/1.1 200"))
        fail_msg("%s", r);
    assert_non_null(strstr(r, "What is the capital of France?"));
    assert_non_null(strstr(r, node_peer(w.provider.node)));
    free(r);
    world_down(&w);
}

static void a_stream_ends_with_done(void **state)
{
    struct world w;
    world_up(&w, 2);
    run_for(&w, 2 * S);
    char *r = ask(&w, "POST", "/v1/chat/completions",
                  "{\"model\":\"echo\",\"stream\":true,\"messages\":[{\"role\":\"user\","
                  "\"content\":\"hello\"}]}",
                  20 * S);
    assert_non_null(strstr(r, "HTTP/1.1 200"));
    assert_non_null(strstr(r, "text/event-stream"));
    assert_non_null(strstr(r, "data: [DONE]"));
    free(r);
    world_down(&w);
}

static void an_unknown_model_is_404_and_a_dead_network_503(void **state)
{
    struct world w;
    struct loop_virtual_link cut = {.is_cut = true};
    world_up(&w, 3);
    run_for(&w, 2 * S);
    char *r =
        ask(&w, "POST", "/v1/chat/completions", "{\"model\":\"nonesuch\",\"messages\":[]}", 20 * S);
    assert_non_null(strstr(r, "HTTP/1.1 404"));
    assert_non_null(strstr(r, "model_not_found"));
    free(r);
    world_down(&w);
    world_up(&w, 4);
    loop_virtual_set_link(w.v, w.provider.loop, w.consumer.loop, &cut);
    r = ask(&w, "POST", "/v1/chat/completions", question, 20 * S);
    assert_non_null(strstr(r, "HTTP/1.1 503"));
    assert_non_null(strstr(r, "lookup_incomplete"));
    assert_non_null(strstr(r, "retry-after"));
    free(r);
    world_down(&w);
}

static void a_provider_that_dies_leaves_the_list(void **state)
{
    struct world w;
    world_up(&w, 5);
    run_for(&w, 2 * S);
    char *r = ask(&w, "GET", "/v1/models", "", 5 * S);
    assert_non_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    loop_virtual_crash(w.v, w.provider.loop, true);
    run_for(&w, 1 * S);
    r = ask(&w, "GET", "/v1/models", "", 5 * S);
    assert_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    world_down(&w);
}

/* The consumer's network is away for five minutes: bootstrap, table and offers come back by themselves,
 * and its user has an answer within a minute and a half. */
static void an_outage_leaves_no_trace(void **state)
{
    struct world w;
    struct loop_virtual_link cut = {.is_cut = true}, link = {.delay_us = 20 * MS};
    world_up(&w, 6);
    run_for(&w, 2 * S);
    loop_virtual_set_link(w.v, w.provider.loop, w.consumer.loop, &cut);
    run_for(&w, 300ull * S);
    char *r = ask(&w, "GET", "/v1/models", "", 5 * S);
    assert_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    loop_virtual_set_link(w.v, w.provider.loop, w.consumer.loop, &link);
    run_for(&w, 90 * S);
    r = ask(&w, "POST", "/v1/chat/completions", question, 20 * S);
    if (!strstr(r, "HTTP/1.1 200"))
        fail_msg("%s", r);
    free(r);
    world_down(&w);
}

/* Wall time begins at midnight: what is shared until 00:01 is withdrawn a minute later, within a second. */
static void at_the_end_of_its_hours_a_provider_withdraws(void **state)
{
    struct world w = {.v = loop_virtual_new(6)};
    w.provider.hours = "00:01";
    machine_up(&w, &w.provider, "10.0.0.1", "backend", "echo:");
    machine_up(&w, &w.consumer, "10.0.0.2", "bootstrap", "/ip4/10.0.0.1/tcp/8000");
    run_for(&w, 50 * S);
    char *r = ask(&w, "GET", "/v1/models", "", 5 * S);
    assert_non_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    loop_virtual_run(w.v, 63 * S, NULL, NULL);
    r = ask(&w, "GET", "/v1/models", "", 5 * S);
    assert_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    world_down(&w);
}

/* That nobody had it is remembered for seconds, not for as long as somebody asks. The late one does not come
 * to the consumer by itself: the path between them is cut until it has given up. */
static void who_asks_every_second_finds_what_came_later(void **state)
{
    struct world w = {.v = loop_virtual_new(8)};
    struct machine late = {0};
    struct loop_virtual_link cut = {.is_cut = true}, link = {.delay_us = MS};
    struct net_addr at;
    char why[CONFIG_WHY];
    bool is_found = false;
    int tries = 0;
    machine_up(&w, &w.provider, "10.0.0.1", "share", "none"); /* where the others meet */
    machine_up(&w, &w.consumer, "10.0.0.2", "bootstrap", "/ip4/10.0.0.1/tcp/8000");
    snprintf(late.dir, sizeof late.dir, "/tmp/conduit-sim-XXXXXX");
    assert_non_null(mkdtemp(late.dir));
    net_addr_parse_ip("10.0.0.3", 0, &at);
    late.loop = loop_virtual_machine(w.v, &at);
    loop_virtual_set_link(w.v, late.loop, w.consumer.loop, &cut);
    config_init(&late.cfg);
    config_set(&late.cfg, "data_dir", late.dir, RANK_FLAG, why);
    config_set(&late.cfg, "p2p_host", "10.0.0.3", RANK_FLAG, why);
    config_set(&late.cfg, "backend", "echo:", RANK_FLAG, why);
    config_set(&late.cfg, "bootstrap", "/ip4/10.0.0.1/tcp/8000", RANK_FLAG, why);
    for (; !is_found && tries < 60; tries++) {
        if (tries == 5 && node_start(late.loop, &late.cfg, no_env, "0.0.0", &late.node, why) != 0)
            fail_msg("%s", why);
        if (tries == 40)
            loop_virtual_set_link(w.v, late.loop, w.consumer.loop, &link);
        char *r = ask(&w, "POST", "/v1/chat/completions", question, 20 * S);
        is_found = strstr(r, "HTTP/1.1 200") != NULL;
        free(r);
        run_for(&w, S);
    }
    assert_true(is_found && tries > 40);
    machine_down(&late);
    world_down(&w);
}

static char *one_run(uint64_t seed)
{
    struct world w;
    world_up(&w, seed);
    run_for(&w, 2 * S);
    char *r = ask(&w, "POST", "/v1/chat/completions", question, 20 * S);
    struct buf b;
    buf_init(&b, 0);
    (void)buf_printf(&b, "%llu %s", (unsigned long long)loop_virtual_now(w.v), r);
    free(r);
    world_down(&w);
    return buf_take_str(&b);
}

static void the_same_seed_gives_the_same_run(void **state)
{
    char *a = one_run(77), *b = one_run(77);
    assert_string_equal(a, b);
    free(a);
    free(b);
}

int main(void)
{
    setenv("TZ", "UTC", 1); /* the schedule is in local time */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_answered_by_the_other_node),
        cmocka_unit_test(a_stream_ends_with_done),
        cmocka_unit_test(an_unknown_model_is_404_and_a_dead_network_503),
        cmocka_unit_test(a_provider_that_dies_leaves_the_list),
        cmocka_unit_test(an_outage_leaves_no_trace),
        cmocka_unit_test(at_the_end_of_its_hours_a_provider_withdraws),
        cmocka_unit_test(who_asks_every_second_finds_what_came_later),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

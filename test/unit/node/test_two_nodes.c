// SPDX-License-Identifier: MIT
/* Two whole nodes, wiring included, in virtual time: a provider with the built-in echo backend and a consumer
 * that knows only its address. No sockets, no clock: the same seed gives the same run.
 *
 *      consumer 10.0.0.2 ------- 20 ms -------- provider 10.0.0.1 (echo:)
 *         |  client on the same machine
 */
#include "node_world.h"

struct pair {
    struct world w;
    struct machine *provider, *consumer;
};

static void provider_up(struct pair *p, const char *key, const char *value)
{
    p->provider = machine_add(&p->w);
    set(p->provider, key, value);
    machine_start(p->provider);
}

static void consumer_up(struct pair *p)
{
    p->consumer = machine_add(&p->w);
    set(p->consumer, "bootstrap", "/ip4/10.0.0.1/tcp/8000");
    machine_start(p->consumer);
}

static void pair_up(struct pair *p, uint64_t seed)
{
    struct loop_virtual_link link = {.delay_us = 20 * MS};
    world_init(&p->w, seed);
    provider_up(p, "backend", "echo:");
    consumer_up(p);
    loop_virtual_set_link(p->w.v, p->provider->loop, p->consumer->loop, &link);
}

/* One request on the consumer's address; the whole response as text, heap. */
static char *ask(struct pair *p, const char *method, const char *path, const char *body,
                 uint64_t timeout_us)
{
    return call(&p->w, p->consumer, method, path, "", body, timeout_us);
}

static const char question[] = "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":"
                               "\"What is the capital of France?\"}]}";

/* --- stories --- */

static void a_question_is_answered_by_the_other_node(void **state)
{
    struct pair p;
    pair_up(&p, 1);
    run_for(&p.w, 2 * S);
    char *models = ask(&p, "GET", "/v1/models", "", 5 * S);
    assert_non_null(strstr(models, "\"id\":\"echo\""));
    free(models);
    char *r = ask(&p, "POST", "/v1/chat/completions", question, 20 * S);
    if (!strstr(r, "HTTP/1.1 200"))
        fail_msg("%s", r);
    assert_non_null(strstr(r, "What is the capital of France?"));
    assert_non_null(strstr(r, node_peer(p.provider->node)));
    free(r);
    world_fini(&p.w);
}

static void a_stream_ends_with_done(void **state)
{
    struct pair p;
    pair_up(&p, 2);
    run_for(&p.w, 2 * S);
    char *r = ask(&p, "POST", "/v1/chat/completions",
                  "{\"model\":\"echo\",\"stream\":true,\"messages\":[{\"role\":\"user\","
                  "\"content\":\"hello\"}]}",
                  20 * S);
    assert_non_null(strstr(r, "HTTP/1.1 200"));
    assert_non_null(strstr(r, "text/event-stream"));
    assert_non_null(strstr(r, "data: [DONE]"));
    free(r);
    world_fini(&p.w);
}

static void an_unknown_model_is_404_and_a_dead_network_503(void **state)
{
    struct pair p;
    struct loop_virtual_link cut = {.is_cut = true};
    pair_up(&p, 3);
    run_for(&p.w, 2 * S);
    char *r =
        ask(&p, "POST", "/v1/chat/completions", "{\"model\":\"nonesuch\",\"messages\":[]}", 20 * S);
    assert_non_null(strstr(r, "HTTP/1.1 404"));
    assert_non_null(strstr(r, "model_not_found"));
    free(r);
    world_fini(&p.w);
    pair_up(&p, 4);
    loop_virtual_set_link(p.w.v, p.provider->loop, p.consumer->loop, &cut);
    r = ask(&p, "POST", "/v1/chat/completions", question, 20 * S);
    assert_non_null(strstr(r, "HTTP/1.1 503"));
    assert_non_null(strstr(r, "lookup_incomplete"));
    assert_non_null(strstr(r, "retry-after"));
    free(r);
    world_fini(&p.w);
}

static void a_provider_that_dies_leaves_the_list(void **state)
{
    struct pair p;
    pair_up(&p, 5);
    run_for(&p.w, 2 * S);
    char *r = ask(&p, "GET", "/v1/models", "", 5 * S);
    assert_non_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    loop_virtual_crash(p.w.v, p.provider->loop, true);
    run_for(&p.w, 1 * S);
    r = ask(&p, "GET", "/v1/models", "", 5 * S);
    assert_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    world_fini(&p.w);
}

/* The consumer's network is away for five minutes: bootstrap, table and offers come back by themselves,
 * and its user has an answer within a minute and a half. */
static void an_outage_leaves_no_trace(void **state)
{
    struct pair p;
    struct loop_virtual_link cut = {.is_cut = true}, link = {.delay_us = 20 * MS};
    pair_up(&p, 6);
    run_for(&p.w, 2 * S);
    loop_virtual_set_link(p.w.v, p.provider->loop, p.consumer->loop, &cut);
    run_for(&p.w, 300ull * S);
    char *r = ask(&p, "GET", "/v1/models", "", 5 * S);
    assert_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    loop_virtual_set_link(p.w.v, p.provider->loop, p.consumer->loop, &link);
    run_for(&p.w, 90 * S);
    r = ask(&p, "POST", "/v1/chat/completions", question, 20 * S);
    if (!strstr(r, "HTTP/1.1 200"))
        fail_msg("%s", r);
    free(r);
    world_fini(&p.w);
}

/* Wall time begins at midnight: what is shared until 00:01 is withdrawn a minute later, within a second. */
static void at_the_end_of_its_hours_a_provider_withdraws(void **state)
{
    struct pair p;
    world_init(&p.w, 6);
    p.provider = machine_add(&p.w);
    set(p.provider, "backend", "echo:");
    set(p.provider, "schedule.start", "23:00"); /* began yesterday */
    set(p.provider, "schedule.end", "00:01");
    /* Heartbeats at 53 and 66 s, so that it is not one of them that withdraws. */
    set(p.provider, "heartbeat_interval", "13");
    machine_start(p.provider);
    consumer_up(&p);
    run_for(&p.w, 50 * S);
    char *r = ask(&p, "GET", "/v1/models", "", 5 * S);
    assert_non_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    loop_virtual_run(p.w.v, 63 * S, NULL, NULL);
    r = ask(&p, "GET", "/v1/models", "", 5 * S);
    assert_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    world_fini(&p.w);
}

/* That nobody had it is remembered for seconds, not for as long as somebody asks. The late one does not come
 * to the consumer by itself: the path between them is cut until it has given up. */
static void who_asks_every_second_finds_what_came_later(void **state)
{
    struct pair p;
    struct loop_virtual_link cut = {.is_cut = true}, link = {.delay_us = MS};
    bool is_found = false;
    int tries = 0;
    world_init(&p.w, 8);
    provider_up(&p, "share", "none"); /* where the others meet */
    consumer_up(&p);
    struct machine *late = machine_add(&p.w);
    loop_virtual_set_link(p.w.v, late->loop, p.consumer->loop, &cut);
    set(late, "backend", "echo:");
    set(late, "bootstrap", "/ip4/10.0.0.1/tcp/8000");
    for (; !is_found && tries < 60; tries++) {
        if (tries == 5)
            machine_start(late);
        if (tries == 40)
            loop_virtual_set_link(p.w.v, late->loop, p.consumer->loop, &link);
        char *r = ask(&p, "POST", "/v1/chat/completions", question, 20 * S);
        is_found = strstr(r, "HTTP/1.1 200") != NULL;
        free(r);
        run_for(&p.w, S);
    }
    assert_true(is_found && tries > 40);
    world_fini(&p.w);
}

static char *one_run(uint64_t seed)
{
    struct pair p;
    pair_up(&p, seed);
    run_for(&p.w, 2 * S);
    char *r = ask(&p, "POST", "/v1/chat/completions", question, 20 * S);
    struct buf b;
    buf_init(&b, 0);
    (void)buf_printf(&b, "%llu %s", (unsigned long long)loop_virtual_now(p.w.v), r);
    free(r);
    world_fini(&p.w);
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

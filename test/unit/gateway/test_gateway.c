// SPDX-License-Identifier: MIT
/* What is not an answer: lists of models, watchers of offers, and who may ask for what. */
#include "gateway/models.h"
#include "gateway_app.h"

#include <time.h>

/* --- lists and feeds --- */

static struct fake_stream *get(struct app *a, enum principal_kind kind, const char *path,
                               const char *extra)
{
    struct fake_stream *f = app_connect(a, kind);
    char head[256];
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nhost: localhost\r\n%s\r\n", path, extra);
    app_says(a, f, head);
    return f;
}

static void equal_names_are_one_row(void **state)
{
    struct app *a = *state;
    app_offer(a, 0, "m");
    app_offer(a, 1, "m");
    app_offer(a, 2, "other/model:x");
    struct fake_stream *c = get(a, PRINCIPAL_OWNER, "/v1/models", "");
    const char *first = strstr(fake_sent(c), "\"id\":\"m\"");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\"id\":\"m\""));
    assert_true(app_got(c, "\"providers\":2,\"own\":true") &&
                app_got(c, "\"id\":\"other/model:x\""));
    c = get(a, PRINCIPAL_OWNER, "/v1/models/other/model:x", "");
    assert_true(app_got(c, "HTTP/1.1 200 ") && app_got(c, "\"id\":\"other/model:x\""));
    assert_true(app_got(get(a, PRINCIPAL_OWNER, "/v1/models/no", ""), "HTTP/1.1 404 "));
    assert_true(app_got(get(a, PRINCIPAL_PEER, "/v1/models", ""),
                        "HTTP/1.1 404 ")); /* not a peer's to ask */
}

static void a_long_list_takes_no_time(void **state)
{
    struct app *a = *state;
    for (unsigned peer = 1; peer < 100; peer++)
        for (unsigned i = 0; i < 200; i++) {
            struct offer o = {.peer = app_peer(peer), .seq = 1, .expires_ms = UINT64_MAX};
            snprintf(o.id, sizeof o.id, "%u", i);
            snprintf(o.protocol, sizeof o.protocol, "openai");
            snprintf(o.model, sizeof o.model, "model-%u-%u", peer, i);
            assert_int_equal(catalogue_put(&a->offers, &o, false), 0);
        }
    struct buf b;
    buf_init(&b, 0);
    clock_t start = clock();
    assert_int_equal(models_list(&a->offers, 0, &b), 0);
    assert_true(clock() - start < 2 * CLOCKS_PER_SEC); /* by squares it is minutes */
    buf_fini(&b);
}

static void a_peer_watches_four_times_at_most(void **state)
{
    struct app *a = *state;
    for (unsigned i = 0; i < LIMIT_FEED_PEER; i++)
        assert_true(
            app_got(get(a, PRINCIPAL_PEER, "/conduit/v1/offers", "accept: text/event-stream\r\n"),
                    "event: snapshot"));
    struct fake_stream *more =
        get(a, PRINCIPAL_PEER, "/conduit/v1/offers", "accept: text/event-stream\r\n");
    assert_true(app_got(more, "HTTP/1.1 429 ") && app_got(more, "too_many_watchers"));
    assert_int_equal(gateway_watchers(a->g), LIMIT_FEED_PEER);
    gateway_feed(a->g, BYTES_LIT("event: load\ndata: {}\n\n"), NULL);
    fake_world_run(&a->w);
    gateway_close(a->g);
    assert_int_equal(gateway_watchers(a->g), 0);
}

static void a_watcher_that_does_not_read_is_cut_off(void **state)
{
    struct app *a = *state;
    struct fake_stream *c =
        get(a, PRINCIPAL_PEER, "/conduit/v1/offers", "accept: text/event-stream\r\n");
    char *big = mem_printf("event: load\ndata: %0*d\n\n", 100000, 1);
    c->window = 0;
    for (int i = 0; i < 5 && gateway_watchers(a->g); i++) {
        gateway_feed(a->g, bytes_str(big), NULL);
        fake_world_run(&a->w);
    }
    free(big);
    assert_int_equal(gateway_watchers(a->g), 0);
    fake_world_advance(&a->w, 40 * S);
    assert_true(c->is_closed);
}

/* --- who may --- */

static void a_peer_gets_our_own_models_only(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_connect(a, PRINCIPAL_PEER);
    app_post(a, c, "", ASK_PLAIN);
    assert_true(app_got(c, "HTTP/1.1 404 "));
    assert_int_equal(a->open_count + a->lookups, 0);
}

static void circles_are_refused(void **state)
{
    struct app *a = *state;
    app_offer(a, 0, "m");
    struct fake_stream *c = app_connect(a, PRINCIPAL_OWNER);
    app_post(a, c, "x-conduit-hop: 1\r\n", ASK_PLAIN);
    assert_true(app_got(c, "HTTP/1.1 508 ") && app_got(c, "loop_detected"));
    c = app_connect(a, PRINCIPAL_PEER);
    app_post(a, c, "x-conduit-hop: 2\r\n", ASK_PLAIN);
    assert_true(app_got(c, "HTTP/1.1 508 "));
    assert_int_equal(a->open_count, 0);
}

static void the_guard_binds_peers_and_keys_but_not_the_owner(void **state)
{
    struct app *a = *state;
    app_offer(a, 0, "m");
    a->guard.is_paused = true;
    struct fake_stream *c = app_connect(a, PRINCIPAL_PEER);
    app_post(a, c, "", ASK_PLAIN);
    assert_true(app_got(c, "HTTP/1.1 503 ") && app_got(c, "retry-after: ") && app_got(c, "paused"));
    c = app_connect(a, PRINCIPAL_KEY);
    app_post(a, c, "", ASK_PLAIN);
    assert_true(app_got(c, "HTTP/1.1 503 ") && app_got(c, "paused"));
    assert_int_equal(a->open_count, 0);
    c = app_connect(a, PRINCIPAL_KEY); /* others' models are theirs to guard */
    app_offer(a, 1, "m");
    app_post(a, c, "", ASK_PLAIN);
    assert_int_equal(a->open_count, 1);
    assert_string_not_equal(a->peers_asked[0], "self");
    app_ask(a, "{\"model\":\"m\",\"messages\":[]}");
    assert_int_equal(a->open_count, 2);
    assert_int_equal(a->taken, 0); /* no place is kept for who is refused, or local */
    a->guard.is_paused = false;
    c = app_connect(a, PRINCIPAL_PEER);
    app_post(a, c, "", ASK_PLAIN);
    assert_int_equal(a->taken, 1);
}

static void a_full_queue_is_429(void **state)
{
    struct app *a = *state;
    app_offer(a, 0, "m");
    struct fake_stream *c = app_connect(a, PRINCIPAL_PEER);
    app_post(a, c, "", ASK_PLAIN);
    app_refuse(a, 0, E_BUSY);
    assert_true(app_got(c, "HTTP/1.1 429 ") && app_got(c, "provider_busy") &&
                app_got(c, "retry-after: 1"));
    assert_int_equal(a->faults, 0);
}

/* --- the node's own routes --- */

static void the_node_serves_routes_of_its_own(void **state)
{
    struct app *a = *state;
    assert_true(app_got(get(a, PRINCIPAL_OWNER, "/conduit/v1/thing/one", ""), "one"));
    assert_true(app_got(get(a, PRINCIPAL_PEER, "/conduit/v1/thing/two", ""), "two"));
    assert_int_equal(a->served, 2);
    assert_true(app_got(get(a, PRINCIPAL_OWNER, "/conduit/v1/nothing", ""), "HTTP/1.1 404 "));
    assert_true(app_got(get(a, PRINCIPAL_OWNER, "/conduit/v1/thing", ""), "HTTP/1.1 405 "));
    assert_int_equal(a->served, 2);
}

static void an_action_exists_on_the_control_socket_only(void **state)
{
    struct app *a = *state;
    static const char post[] =
        "POST /conduit/v1/thing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    struct fake_stream *c = app_connect(a, PRINCIPAL_OWNER);
    fake_feed_str(c, post);
    fake_world_run(&a->w);
    assert_true(app_got(c, "HTTP/1.1 403 ") && app_got(c, "control_socket_only"));
    c = app_connect(a, PRINCIPAL_PEER); /* which has no such route at all */
    fake_feed_str(c, post);
    fake_world_run(&a->w);
    assert_true(app_got(c, "HTTP/1.1 404 "));
    assert_int_equal(a->served, 0);
    c = app_connect(a, PRINCIPAL_OWNER);
    c->s.remote.kind = NET_UNIX;
    fake_feed_str(c, post);
    fake_world_run(&a->w);
    assert_true(app_got(c, "HTTP/1.1 200 "));
    assert_int_equal(a->served, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(equal_names_are_one_row),
        T(a_long_list_takes_no_time),
        T(a_peer_watches_four_times_at_most),
        T(a_watcher_that_does_not_read_is_cut_off),
        T(a_peer_gets_our_own_models_only),
        T(circles_are_refused),
        T(the_guard_binds_peers_and_keys_but_not_the_owner),
        T(a_full_queue_is_429),
        T(the_node_serves_routes_of_its_own),
        T(an_action_exists_on_the_control_socket_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

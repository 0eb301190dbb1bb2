// SPDX-License-Identifier: MIT
/* A connection against another of its kind, over fake wires: the upgrade and everything that can
 * go wrong in it, streams and their life, silence, loss, limits. */
#include "conn_pair.h"

/* --- the upgrade --- */

static void two_sides_find_each_other(void **state)
{
    struct pair p;
    pair_init(&p, 1);
    pair_connect(&p);
    fake_world_run(&p.world);
    assert_int_equal(p.a.opened, 1);
    assert_int_equal(p.b.opened, 1);
    assert_true(peer_id_eq(&p.a.conn->peer, &p.b.key.id));
    assert_true(peer_id_eq(&p.b.conn->peer, &p.a.key.id));
    pair_fini(&p);
}

/* §0: one write, their answer, and the second write carries the request. */
static void the_first_request_leaves_with_the_second_write(void **state)
{
    struct pair p;
    struct client c;
    pair_init(&p, 2);
    pair_connect(&p);
    client_start(&c, p.a.conn, ECHO, true, 3, 1000);
    fake_world_run(&p.world);
    assert_true(c.is_complete);
    assert_int_equal(p.a.wire->writes, 3); /* hello; proof and request; FIN after the echo */
    pair_fini(&p);
}

static void without_early_muxers_mss_decides(void **state)
{
    for (int who = 0; who < 3; who++) {
        struct pair p;
        struct client c;
        pair_init(&p, 3);
        noise_self_init(&p.a.self, &p.a.key, who == 1 ? P2P_YAMUX : NULL, &p.rng);
        noise_self_init(&p.b.self, &p.b.key, who == 2 ? P2P_YAMUX : NULL, &p.rng);
        pair_connect(&p);
        client_start(&c, p.a.conn, ECHO, true, 3, 100000);
        fake_world_run(&p.world);
        assert_true(c.is_complete);
        assert_true(p.a.wire->writes >= 2);
        pair_fini(&p);
    }
}

static void a_wrong_peer_is_refused_and_named(void **state)
{
    struct pair p;
    struct key_pair other;
    pair_init(&p, 4);
    key_pair_generate(&other, &p.rng);
    p.a.conn = conn_new(&p.a.env, &p.a.wire->s, true, &other.id);
    p.b.conn = conn_new(&p.b.env, &p.b.wire->s, false, NULL);
    fake_world_run(&p.world);
    assert_int_equal(p.a.opened + p.b.opened, 0);
    assert_int_equal(p.a.close_err, E_WRONG_PEER);
    assert_int_equal(p.b.close_err, E_CLOSED);
    pair_fini(&p);
}

static void the_host_may_refuse_who_proved_itself(void **state)
{
    struct pair p;
    pair_init(&p, 5);
    p.b.secured_err = E_LIMIT;
    pair_connect(&p);
    fake_world_run(&p.world);
    assert_int_equal(p.b.close_err, E_LIMIT);
    assert_int_equal(p.b.opened, 0);
    assert_int_equal(p.a.closed, 1);
    pair_fini(&p);
}

static void who_says_nothing_has_five_seconds(void **state)
{
    struct pair p;
    pair_init(&p, 6);
    p.b.conn = conn_new(&p.b.env, &p.b.wire->s, false, NULL);
    fake_world_advance(&p.world, 4900 * US_PER_MS);
    assert_int_equal(p.b.closed, 0);
    fake_world_advance(&p.world, 200 * US_PER_MS);
    assert_int_equal(p.b.close_err, E_TIMEOUT);
    pair_fini(&p);
}

/* Slowloris: a byte a second, of a proper hello. */
static void who_is_slow_has_ten_seconds_at_most(void **state)
{
    struct pair p;
    struct buf hello;
    struct upgrade u;
    pair_init(&p, 7);
    buf_init(&hello, 0);
    assert_int_equal(upgrade_init(&u, true, &p.a.self, NULL, &p.rng, &hello), 0);
    p.b.conn = conn_new(&p.b.env, &p.b.wire->s, false, NULL);
    uint64_t start = p.world.sched.now_us;
    for (size_t i = 0; i < buf_len(&hello) && !p.b.closed; i++) {
        fake_feed(p.b.wire, buf_view(&hello).p + i, 1);
        fake_world_advance(&p.world, US_PER_S);
    }
    assert_int_equal(p.b.close_err, E_TIMEOUT);
    assert_true(p.world.sched.now_us - start <= 6 * US_PER_S);
    upgrade_fini(&u);
    buf_fini(&hello);
    pair_fini(&p);
}

static void after_the_hello_ten_seconds_remain(void **state)
{
    struct pair p;
    struct buf hello;
    struct upgrade u;
    pair_init(&p, 8);
    buf_init(&hello, 0);
    assert_int_equal(upgrade_init(&u, true, &p.a.self, NULL, &p.rng, &hello), 0);
    p.b.conn = conn_new(&p.b.env, &p.b.wire->s, false, NULL);
    fake_feed(p.b.wire, buf_view(&hello).p, buf_len(&hello));
    fake_world_advance(&p.world, 9900 * US_PER_MS);
    assert_int_equal(p.b.closed, 0);
    fake_world_advance(&p.world, 200 * US_PER_MS);
    assert_int_equal(p.b.close_err, E_TIMEOUT);
    upgrade_fini(&u);
    buf_fini(&hello);
    pair_fini(&p);
}

static void garbage_ends_it_at_once(void **state)
{
    struct pair p;
    pair_init(&p, 9);
    p.b.conn = conn_new(&p.b.env, &p.b.wire->s, false, NULL);
    fake_feed_str(p.b.wire, "GET / HTTP/1.1\r\nHost: localhost\r\n"
                            "User-Agent: somebody who is lost\r\nAccept: */*\r\n\r\n");
    fake_world_run(&p.world);
    assert_int_equal(p.b.closed, 1);
    assert_int_not_equal(p.b.close_err, 0);
    pair_fini(&p);
}

/* Flips each byte of the dialler's first flight and of the frames behind it, one run each. */
static void a_damaged_byte_never_opens_it(void **state)
{
    for (int at = 0; at < 400; at += 3) {
        struct pair p;
        struct fake_stream *far;
        pair_init(&p, 10);
        p.a.conn = conn_new(&p.a.env, &p.a.wire->s, true, NULL);
        p.b.conn = conn_new(&p.b.env, &p.b.wire->s, false, NULL);
        far = p.a.wire;
        sched_run_tasks(&p.world.sched); /* the first flight lies at b */
        int first = (int)buf_len(&p.b.wire->in);
        if (at < first)
            p.b.wire->in.base[p.b.wire->in.head + (size_t)at] ^= 0x41;
        else {
            while (buf_len(&far->in) == 0) { /* their answer lies at a */
                p.b.wire->s.on->readable(p.b.wire->s.ctx);
                sched_run_tasks(&p.world.sched);
            }
            if ((size_t)(at - first) < buf_len(&far->in))
                far->in.base[far->in.head + (size_t)(at - first)] ^= 0x41;
            else
                fake_break(far, E_RESET);
        }
        fake_world_advance(&p.world, 11 * US_PER_S);
        assert_int_equal(p.a.opened * p.b.opened, 0);
        assert_int_equal(p.a.closed, 1);
        assert_int_equal(p.b.closed, 1);
        pair_fini(&p);
    }
}

/* --- streams --- */

static void run_echoes(uint64_t seed, int streams, size_t bytes, size_t piece, size_t window)
{
    struct pair p;
    struct client *c = mem_array((size_t)streams, sizeof *c);
    pair_open(&p, seed);
    p.a.wire->read_piece = p.b.wire->read_piece = piece;
    p.a.wire->window = p.b.wire->window = window;
    for (int i = 0; i < streams; i++)
        client_start(&c[i], p.a.conn, ECHO, i % 2, seed + (uint64_t)i, bytes);
    fake_world_run(&p.world);
    for (int i = 0; i < streams; i++) {
        assert_int_equal(c[i].done_err, 0);
        assert_true(c[i].is_complete);
    }
    assert_int_equal(p.b.accepted, streams);
    assert_int_equal(p.a.conn->stream_count, 0);
    assert_int_equal(p.a.conn->busy, 0);
    assert_true(list_is_empty(&p.a.conn->streams) && list_is_empty(&p.a.conn->lingering));
    assert_true(list_is_empty(&p.b.conn->streams) && list_is_empty(&p.b.conn->lingering));
    free(c);
    pair_fini(&p);
}

static void sixty_four_streams_at_once(void **state)
{
    run_echoes(20, 64, 200000, 0, SIZE_MAX);
}

static void small_wires_and_odd_pieces(void **state)
{
    struct rng r;
    rng_init_seeded(&r, 21);
    for (uint64_t seed = 0; seed < 12; seed++) {
        size_t piece = 1 + rng_below(&r, 3000), window = 100 + rng_below(&r, 70000);
        run_echoes(seed, 5, 50000, piece, window);
    }
    run_echoes(99, 2, 3000, 1, 1);
}

static void an_empty_stream_ends_properly(void **state)
{
    run_echoes(22, 2, 0, 0, SIZE_MAX);
}

static void the_principal_is_the_peer(void **state)
{
    struct pair p;
    struct client c;
    pair_open(&p, 23);
    client_start(&c, p.a.conn, ECHO, false, 1, 10);
    c.holds_finish = true;
    fake_world_run(&p.world);
    const struct principal *who = stream_principal(c.s);
    char text[PEER_ID_TEXT];
    assert_int_equal(who->kind, PRINCIPAL_PEER);
    assert_memory_equal(who->id, p.b.key.id.b, p.b.key.id.len);
    assert_string_equal(who->name, peer_id_text(&p.b.key.id, text, sizeof text));
    assert_string_equal(c.s->ops->kind, "p2p");
    stream_close(c.s);
    pair_fini(&p);
}

static void an_unknown_protocol_is_said_so(void **state)
{
    struct pair p;
    struct client asking, lazy;
    pair_open(&p, 24);
    client_start(&asking, p.a.conn, "/no/such", false, 1, 10);
    client_start(&lazy, p.a.conn, "/no/such", true, 1, 10);
    fake_world_run(&p.world);
    assert_int_equal(asking.done_err, E_UNSUPPORTED);
    assert_int_equal(lazy.done_err, 0);
    /* What the lazy one wrote is no line of mss, so a reset may overtake the `na`. */
    assert_true(lazy.closed_err == E_UNSUPPORTED || lazy.closed_err == E_RESET);
    pair_fini(&p);
}

/* js-libp2p resets a stream that is half-closed before its handler is attached. */
static void a_lazy_stream_holds_its_fin(void **state)
{
    struct pair p;
    struct client c;
    pair_open(&p, 25);
    conn_set_known(p.a.conn, false);
    client_start(&c, p.a.conn, ECHO, true, 1, 10);
    sched_run_tasks(&p.world.sched); /* opened, written and finished by its user; no answer yet */
    struct conn_stream *cs = CONTAINER_OF(c.s, struct conn_stream, s);
    assert_int_equal(cs->phase, CS_LAZY);
    assert_int_equal(c.sent, 10);
    assert_true(cs->holds_fin);
    assert_false(cs->y.send.fin_queued);
    fake_world_run(&p.world);
    assert_true(c.is_complete);
    /* A Conduit node does not mind: the end goes along with the question. */
    conn_set_known(p.a.conn, true);
    client_start(&c, p.a.conn, ECHO, true, 1, 10);
    sched_run_tasks(&p.world.sched);
    cs = CONTAINER_OF(c.s, struct conn_stream, s);
    assert_int_equal(cs->phase, CS_LAZY);
    assert_false(cs->holds_fin);
    assert_true(cs->y.send.fin_sent);
    fake_world_run(&p.world);
    assert_true(c.is_complete);
    pair_fini(&p);
}

static void a_reset_reaches_the_other_side(void **state)
{
    struct pair p;
    struct client c;
    pair_open(&p, 26);
    client_start(&c, p.a.conn, ECHO, false, 1, 1000);
    c.holds_finish = true;
    fake_world_run(&p.world);
    assert_int_equal(c.got, 1000);
    assert_int_equal(p.b.conn->stream_count, 1);
    stream_reset(c.s, STREAM_CANCELLED);
    stream_close(c.s);
    fake_world_run(&p.world);
    assert_int_equal(p.b.conn->stream_count, 0); /* the echo heard closed(E_RESET) and left */
    assert_int_equal(c.closed_err, 0);           /* who resets is not told */
    pair_fini(&p);
}

static void what_was_written_arrives_after_close(void **state)
{
    struct pair p;
    struct client c;
    pair_open(&p, 27);
    client_start(&c, p.a.conn, ECHO, true, 1, 50000);
    c.holds_finish = true;
    sched_run_tasks(&p.world.sched);
    assert_int_equal(c.sent, 50000);
    stream_close(c.s);
    fake_world_run(&p.world);
    assert_int_equal(p.b.accepted, 1);
    assert_int_equal(p.b.conn->stream_count, 0); /* it read to the end and finished */
    assert_true(list_is_empty(&p.a.conn->lingering));
    pair_fini(&p);
}

static void lingering_has_an_end(void **state)
{
    struct pair p;
    struct client c;
    pair_open(&p, 28);
    client_start(&c, p.a.conn, ECHO, false, 1, 60000);
    c.holds_finish = true;
    fake_world_run(&p.world);
    p.a.wire->window = 0; /* nothing leaves any more */
    assert_int_equal(stream_write(c.s, bytes_of("hello", 5)), 5);
    stream_close(c.s);
    fake_world_run(&p.world);
    assert_false(list_is_empty(&p.a.conn->lingering));
    p.a.env.cfg.keepalive.idle_dead_us = 60 * US_PER_S;
    p.a.conn->keepalive.cfg.idle_dead_us = 60 * US_PER_S;
    fake_world_advance(&p.world, 11 * US_PER_S);
    assert_true(list_is_empty(&p.a.conn->lingering));
    pair_fini(&p);
}

static void a_stream_that_nobody_answers_times_out(void **state)
{
    struct pair p;
    struct client asking, lazy;
    pair_open(&p, 29);
    p.a.conn->keepalive.cfg =
        (struct keepalive_cfg){US_PER_S * 100, US_PER_S * 200, US_PER_S * 100, US_PER_S * 200};
    p.b.wire->s.ops->want(&p.b.wire->s, false, false);
    p.b.wire->s.wants_read = false; /* b is deaf */
    client_start(&asking, p.a.conn, ECHO, false, 1, 10);
    client_start(&lazy, p.a.conn, ECHO, true, 1, 10);
    fake_world_advance(&p.world, 9900 * US_PER_MS);
    assert_false(asking.is_done);
    fake_world_advance(&p.world, 200 * US_PER_MS);
    assert_int_equal(asking.done_err, E_TIMEOUT);
    assert_int_equal(lazy.closed_err, E_TIMEOUT);
    pair_fini(&p);
}

static void a_request_can_be_taken_back(void **state)
{
    struct pair p;
    struct client waiting, asking;
    pair_open(&p, 30);
    client_start(&waiting, p.a.conn, ECHO, false, 1, 10);
    conn_open_cancel(&waiting.open); /* before it left */
    client_start(&asking, p.a.conn, ECHO, false, 1, 10);
    sched_run_tasks(&p.world.sched);
    conn_open_cancel(&asking.open); /* after */
    fake_world_run(&p.world);
    assert_false(waiting.is_done || asking.is_done);
    assert_true(list_is_empty(&p.a.conn->streams));
    assert_true(list_is_empty(&p.b.conn->streams));
    pair_fini(&p);
}

/* --- loss and silence --- */

static void a_lost_connection_breaks_its_streams(void **state)
{
    struct pair p;
    struct client c[3], waiting;
    pair_open(&p, 40);
    for (int i = 0; i < 3; i++) {
        client_start(&c[i], p.a.conn, ECHO, i % 2, 1, 10);
        c[i].holds_finish = true;
    }
    fake_world_run(&p.world);
    client_start(&waiting, p.a.conn, ECHO, false, 1, 10);
    fake_break(p.a.wire, E_RESET);
    fake_break(p.b.wire, E_RESET);
    fake_world_run(&p.world);
    for (int i = 0; i < 3; i++)
        assert_int_equal(c[i].closed_err, E_CLOSED);
    assert_int_equal(waiting.done_err, E_CLOSED);
    assert_int_equal(p.a.closed, 1);
    assert_int_equal(p.b.closed, 1);
    assert_string_equal(p.a.why, "the peer closed the connection");
    pair_fini(&p);
}

static void a_stream_may_outlive_its_connection(void **state)
{
    struct pair p;
    struct client c;
    uint8_t byte;
    pair_open(&p, 41);
    client_start(&c, p.a.conn, ECHO, false, 1, 10);
    c.holds_finish = true;
    fake_world_run(&p.world);
    struct stream *s = c.s;
    stream_listen(s, NULL, NULL);
    fake_eof(p.a.wire);
    fake_world_run(&p.world);
    assert_int_equal(p.a.closed, 1);
    assert_int_equal(stream_read(s, &byte, 1), E_CLOSED);
    assert_int_equal(stream_write(s, bytes_of("x", 1)), E_CLOSED);
    stream_want_read(s, true);
    stream_reset(s, STREAM_CANCELLED);
    stream_close(s);
    pair_fini(&p);
}

static void silence_during_a_request_is_noticed_within_a_second(void **state)
{
    struct pair p;
    struct client c;
    pair_open(&p, 42);
    client_start(&c, p.a.conn, ECHO, false, 1, 10);
    c.holds_finish = true;
    fake_world_advance(&p.world, 20 * US_PER_S); /* pings are answered */
    assert_int_equal(p.a.closed, 0);
    p.b.wire->s.wants_read = false; /* the cable is cut */
    fake_world_advance(&p.world, US_PER_S);
    assert_int_equal(p.a.close_err, E_TIMEOUT);
    assert_int_equal(c.closed_err, E_TIMEOUT);
    assert_string_equal(p.a.why, "the peer fell silent");
    pair_fini(&p);
}

static void silence_of_an_idle_peer_within_fifteen(void **state)
{
    struct pair p;
    pair_open(&p, 43);
    fake_world_advance(&p.world, 60 * US_PER_S);
    assert_int_equal(p.a.closed + p.b.closed, 0);
    p.a.wire->s.wants_read = p.b.wire->s.wants_read = false;
    fake_world_advance(&p.world, 15 * US_PER_S);
    assert_int_equal(p.a.close_err, E_TIMEOUT);
    pair_fini(&p);
}

/* --- limits --- */

static void a_stranger_gets_thirty_two_streams(void **state)
{
    struct pair p;
    struct client c[40];
    int open = 0, refused = 0;
    pair_init(&p, 50);
    p.a.env.cfg.max_outbound_unknown = 100; /* a peer that does not restrain itself */
    pair_connect(&p);
    fake_world_run(&p.world);
    for (int i = 0; i < 40; i++) {
        client_start(&c[i], p.a.conn, ECHO, false, 1, 10);
        c[i].holds_finish = true;
    }
    fake_world_run(&p.world);
    for (int i = 0; i < 40; i++) {
        open += c[i].s != NULL;
        refused += c[i].done_err == E_RESET;
    }
    assert_int_equal(open, LIMIT_YAMUX_STRANGER);
    assert_int_equal(refused, 40 - LIMIT_YAMUX_STRANGER);
    for (int i = 0; i < 40; i++)
        if (c[i].s)
            stream_close(c[i].s);
    pair_fini(&p);
}

static void we_wait_rather_than_be_refused(void **state)
{
    struct pair p;
    struct client c[100];
    int complete = 0;
    pair_init(&p, 51);
    pair_connect(&p);
    fake_world_run(&p.world);
    for (int i = 0; i < 100; i++)
        client_start(&c[i], p.a.conn, ECHO, true, 1, 1000);
    fake_world_run(&p.world);
    for (int i = 0; i < 100; i++)
        complete += c[i].is_complete;
    assert_int_equal(complete, 100);
    pair_fini(&p);
}

static void a_forged_frame_ends_it(void **state)
{
    struct pair p;
    uint8_t frame[2 + 40] = {0, 40};
    pair_open(&p, 52);
    fake_feed(p.b.wire, frame, sizeof frame);
    fake_world_run(&p.world);
    assert_int_equal(p.b.close_err, E_AUTH);
    assert_int_equal(p.a.closed, 1);
    pair_fini(&p);
}

/* --- closing from inside --- */

static struct conn *to_close;

static void close_conn(void *ctx)
{
    conn_close(to_close, E_CLOSED, "closed by a user");
}

static void close_stream_too(void *ctx, int err)
{
    stream_close(ctx);
}

static void a_user_may_close_everything_from_its_callback(void **state)
{
    static const struct stream_events events = {close_conn, close_conn, close_stream_too};
    struct pair p;
    struct client c;
    pair_open(&p, 60);
    client_start(&c, p.a.conn, ECHO, false, 1, 10);
    c.holds_finish = true;
    fake_world_run(&p.world);
    to_close = p.a.conn;
    stream_listen(c.s, &events, c.s);
    assert_int_equal(stream_write(c.s, bytes_of("again", 5)), 5);
    fake_world_run(&p.world);
    assert_int_equal(p.a.closed, 1);
    assert_string_equal(p.a.why, "closed by a user");
    assert_int_equal(p.b.closed, 1);
    pair_fini(&p);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_sides_find_each_other),
        cmocka_unit_test(the_first_request_leaves_with_the_second_write),
        cmocka_unit_test(without_early_muxers_mss_decides),
        cmocka_unit_test(a_wrong_peer_is_refused_and_named),
        cmocka_unit_test(the_host_may_refuse_who_proved_itself),
        cmocka_unit_test(who_says_nothing_has_five_seconds),
        cmocka_unit_test(who_is_slow_has_ten_seconds_at_most),
        cmocka_unit_test(after_the_hello_ten_seconds_remain),
        cmocka_unit_test(garbage_ends_it_at_once),
        cmocka_unit_test(a_damaged_byte_never_opens_it),
        cmocka_unit_test(sixty_four_streams_at_once),
        cmocka_unit_test(small_wires_and_odd_pieces),
        cmocka_unit_test(an_empty_stream_ends_properly),
        cmocka_unit_test(the_principal_is_the_peer),
        cmocka_unit_test(an_unknown_protocol_is_said_so),
        cmocka_unit_test(a_lazy_stream_holds_its_fin),
        cmocka_unit_test(a_reset_reaches_the_other_side),
        cmocka_unit_test(what_was_written_arrives_after_close),
        cmocka_unit_test(lingering_has_an_end),
        cmocka_unit_test(a_stream_that_nobody_answers_times_out),
        cmocka_unit_test(a_request_can_be_taken_back),
        cmocka_unit_test(a_lost_connection_breaks_its_streams),
        cmocka_unit_test(a_stream_may_outlive_its_connection),
        cmocka_unit_test(silence_during_a_request_is_noticed_within_a_second),
        cmocka_unit_test(silence_of_an_idle_peer_within_fifteen),
        cmocka_unit_test(a_stranger_gets_thirty_two_streams),
        cmocka_unit_test(we_wait_rather_than_be_refused),
        cmocka_unit_test(a_forged_frame_ends_it),
        cmocka_unit_test(a_user_may_close_everything_from_its_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

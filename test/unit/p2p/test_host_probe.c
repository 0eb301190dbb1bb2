// SPDX-License-Identifier: MIT
/* A probe says at which layer an address refuses. Against each: nobody, a silent machine, a web server, a
 * listener that hangs up in the middle of the handshake, and a host. */
#include "host_world.h"

struct probed {
    struct p2p_probe probe;
    int done;
};

static void on_probed(struct p2p_probe *p)
{
    CONTAINER_OF(p, struct probed, probe)->done++;
}

static void probe(struct hosts *h, struct probed *p, const char *ip, uint16_t port, uint64_t run_us)
{
    *p = (struct probed){.probe.done = on_probed, .probe.timeout_us = 3 * US_PER_S};
    assert_int_equal(net_addr_parse_ip(ip, port, &p->probe.at), 0);
    p2p_host_probe(h->m[0].host, &p->probe);
    assert_int_equal(p->done, 0);
    hosts_run(h, run_us);
}

/* --- a listener that is no peer: it says one thing, and hangs up if it shall --- */

struct stranger {
    const char *says; /* after the first bytes came; NULL: nothing */
    bool hangs_up;
    struct stream *s;
};

static void stranger_readable(void *ctx)
{
    struct stranger *st = ctx;
    uint8_t chunk[4096];
    ssize_t n = stream_read(st->s, chunk, sizeof chunk);
    if (n == E_AGAIN)
        return;
    stream_want_read(st->s, false);
    if (n > 0 && st->says)
        (void)stream_write(st->s, bytes_str(st->says));
    if (st->hangs_up)
        (void)stream_finish(st->s);
}

static void nothing(void *ctx)
{
}

static void nothing_err(void *ctx, int err)
{
}

static const struct stream_events stranger_events = {stranger_readable, nothing, nothing_err};

static void stranger_accepted(void *ctx, struct stream *s)
{
    struct stranger *st = ctx;
    st->s = s;
    stream_listen(s, &stranger_events, st);
    stream_want_read(s, true);
}

static struct loop_listener *stranger_at(struct hosts *h, int machine, uint16_t port,
                                         struct stranger *st)
{
    struct loop_listen_options opts = {.accepted = stranger_accepted, .ctx = st};
    struct loop_listener *ln;
    assert_int_equal(net_addr_parse_ip("0.0.0.0", port, &opts.at), 0);
    assert_int_equal(loop_listen(h->m[machine].loop, &opts, &ln), 0);
    return ln;
}

static void a_host_is_found_and_named(void **state)
{
    struct hosts h;
    struct probed p;
    hosts_init(&h, 1, 2);
    probe(&h, &p, "10.0.0.2", 8000, US_PER_S);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.probe.err, 0);
    assert_int_equal(p.probe.layer, P2P_LAYER_IDENTITY);
    assert_true(p.probe.has_who && peer_id_eq(&p.probe.who, &h.m[1].key.id));
    assert_true(p.probe.connected_us > 0 && p.probe.total_us >= p.probe.connected_us);
    assert_int_equal(h.m[0].connected, 0); /* nothing of our host changed */
    hosts_fini(&h);
}

static void a_closed_port_refuses_at_tcp(void **state)
{
    struct hosts h;
    struct probed p;
    hosts_init(&h, 2, 2);
    probe(&h, &p, "10.0.0.2", 9999, US_PER_S);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.probe.layer, P2P_LAYER_TCP);
    assert_int_equal(p.probe.err, E_REFUSED);
    hosts_fini(&h);
}

static void a_silent_machine_times_out_at_tcp(void **state)
{
    struct hosts h;
    struct probed p;
    struct loop_virtual_link cut = {.is_cut = true};
    hosts_init(&h, 3, 2);
    loop_virtual_set_link(h.world, h.m[0].loop, h.m[1].loop, &cut);
    probe(&h, &p, "10.0.0.2", 8000, 2 * US_PER_S);
    assert_int_equal(p.done, 0);
    hosts_run(&h, 2 * US_PER_S);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.probe.layer, P2P_LAYER_TCP);
    assert_int_equal(p.probe.err, E_TIMEOUT);
    hosts_fini(&h);
}

static void a_web_server_refuses_at_the_first_line(void **state)
{
    struct hosts h;
    struct probed p;
    struct stranger st = {.says = "HTTP/1.1 400 Bad Request\r\n\r\n", .hangs_up = true};
    hosts_init(&h, 4, 2);
    struct loop_listener *ln = stranger_at(&h, 1, 80, &st);
    probe(&h, &p, "10.0.0.2", 80, US_PER_S);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.probe.layer, P2P_LAYER_SECURITY);
    assert_true(p.probe.err < 0 && !p.probe.has_who && p.probe.connected_us > 0);
    stream_close(st.s);
    loop_listener_close(ln);
    hosts_fini(&h);
}

static void a_server_that_says_nothing_times_out_at_the_first_line(void **state)
{
    struct hosts h;
    struct probed p;
    struct stranger st = {0};
    hosts_init(&h, 5, 2);
    struct loop_listener *ln = stranger_at(&h, 1, 81, &st);
    probe(&h, &p, "10.0.0.2", 81, 4 * US_PER_S);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.probe.layer, P2P_LAYER_SECURITY);
    assert_int_equal(p.probe.err, E_TIMEOUT);
    stream_close(st.s);
    loop_listener_close(ln);
    hosts_fini(&h);
}

static void who_hangs_up_in_the_handshake_refuses_at_noise(void **state)
{
    struct hosts h;
    struct probed p;
    struct stranger st = {.says = "\x13/multistream/1.0.0\n\x07/noise\n", .hangs_up = true};
    hosts_init(&h, 6, 2);
    struct loop_listener *ln = stranger_at(&h, 1, 82, &st);
    probe(&h, &p, "10.0.0.2", 82, US_PER_S);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.probe.layer, P2P_LAYER_NOISE);
    assert_true(p.probe.err < 0);
    stream_close(st.s);
    loop_listener_close(ln);
    hosts_fini(&h);
}

/* What a listener of a private network says first: its nonce. */
static void a_private_network_is_named(void **state)
{
    struct hosts h;
    struct probed p;
    struct stranger st = {.says = "\x01\x02\xfe\xff\x80\x81\x82\x83\x01\x02\xfe\xff\x80\x81\x82\x83"
                                  "\x01\x02\xfe\xff\x80\x81\x82\x83\x90\x91"};
    hosts_init(&h, 9, 2);
    struct loop_listener *ln = stranger_at(&h, 1, 83, &st);
    probe(&h, &p, "10.0.0.2", 83, US_PER_S);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.probe.layer, P2P_LAYER_SECURITY);
    assert_int_equal(p.probe.err, E_WRONG_NETWORK);
    stream_close(st.s);
    loop_listener_close(ln);
    hosts_fini(&h);
}

static void with_a_key_who_has_none_is_named_and_who_has_it_is_found(void **state)
{
    for (int same = 0; same < 2; same++) {
        struct hosts h;
        struct probed p;
        struct pnet_key key = {{7}};
        hosts_init(&h, 10, 0);
        struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
        cfg.network = &key;
        hosts_add(&h, &cfg);
        hosts_add(&h, same ? &cfg : NULL);
        probe(&h, &p, "10.0.0.2", 8000, 4 * US_PER_S);
        assert_int_equal(p.done, 1);
        assert_int_equal(p.probe.err, same ? 0 : E_WRONG_NETWORK);
        assert_int_equal(p.probe.layer, same ? P2P_LAYER_IDENTITY : P2P_LAYER_SECURITY);
        hosts_fini(&h);
    }
}

static void a_cancelled_probe_is_silent_whenever_that_is(void **state)
{
    for (uint64_t after = 0; after < 6000; after += 500) {
        struct hosts h;
        struct probed p;
        hosts_init(&h, 7, 2);
        probe(&h, &p, "10.0.0.2", 8000, after);
        p2p_probe_cancel(&p.probe);
        int before = p.done;
        hosts_run(&h, US_PER_S);
        assert_int_equal(p.done, before);
        hosts_fini(&h);
    }
}

static void a_host_that_ends_forgets_its_probes(void **state)
{
    for (uint64_t after = 0; after < 6000; after += 500) {
        struct hosts h;
        struct probed p;
        hosts_init(&h, 8, 2);
        probe(&h, &p, "10.0.0.2", 8000, after);
        int before = p.done;
        p2p_host_free(h.m[0].host); /* the sanitizers watch */
        h.m[0].host = NULL;
        hosts_run(&h, US_PER_S); /* what was cancelled completes */
        assert_int_equal(p.done, before);
        hosts_fini(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_is_found_and_named),
        cmocka_unit_test(a_closed_port_refuses_at_tcp),
        cmocka_unit_test(a_silent_machine_times_out_at_tcp),
        cmocka_unit_test(a_web_server_refuses_at_the_first_line),
        cmocka_unit_test(a_server_that_says_nothing_times_out_at_the_first_line),
        cmocka_unit_test(who_hangs_up_in_the_handshake_refuses_at_noise),
        cmocka_unit_test(a_private_network_is_named),
        cmocka_unit_test(with_a_key_who_has_none_is_named_and_who_has_it_is_found),
        cmocka_unit_test(a_cancelled_probe_is_silent_whenever_that_is),
        cmocka_unit_test(a_host_that_ends_forgets_its_probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

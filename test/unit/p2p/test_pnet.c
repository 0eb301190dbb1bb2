// SPDX-License-Identifier: MIT
/* Private networks: the key file, the fingerprint, the filter in all splits, and hosts that meet with the
 * same key, with different ones and without. */
#include "p2p/pnet.h"

#include "fake_stream.h"
#include "relay_world.h"

#include <sodium.h>

#define HEX_KEY "6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683"
#define HEAD    "/key/swarm/psk/1.0.0/\n"

static struct pnet_key key_of(const char *file)
{
    struct pnet_key k;
    const char *why = "";
    assert_int_equal(pnet_key_read(bytes_str(file), &k, &why), 0);
    return k;
}

/* --- the file --- */

static void a_key_file_is_read_in_all_encodings(void **state)
{
    struct pnet_key a = key_of(HEAD "/base16/\n" HEX_KEY);
    const char *same[] = {
        HEAD "/base16/\n" HEX_KEY "\n",
        HEAD "/base16/\n" HEX_KEY "\n\n",
        "/key/swarm/psk/1.0.0/\r\n/base16/\r\n" HEX_KEY "\r\n",
        HEAD "/base16/\n6189C5CF0B87FB800C1A9FEEDA73C6AB5E998DB48FB9E6A978575C770CEEF683\n",
        HEAD "/base64/\nYYnFzwuH+4AMGp/u2nPGq16ZjbSPueapeFdcdwzu9oM=\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        struct pnet_key b = key_of(same[i]);
        assert_memory_equal(a.b, b.b, PNET_KEY);
    }
    char bin[64] = HEAD "/bin/\n";
    size_t n = strlen(bin);
    const char *why;
    struct pnet_key b;
    memcpy(bin + n, a.b, PNET_KEY);
    assert_int_equal(pnet_key_read(bytes_of(bin, n + PNET_KEY), &b, &why), 0);
    assert_memory_equal(a.b, b.b, PNET_KEY);
    assert_int_equal(pnet_key_read(bytes_of(bin, n + PNET_KEY - 1), &b, &why), E_MALFORMED);
    assert_non_null(strstr(why, "exactly 32 bytes"));
}

static void a_bad_key_file_is_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *file, *why;
    } bad[] = {
        {"", "first line"},
        {HEX_KEY, "first line"},
        {"/key/swarm/psk/1.0.1/\n/base16/\n" HEX_KEY, "first line"},
        {" " HEAD "/base16/\n" HEX_KEY, "first line"},
        {HEAD, "second line"},
        {HEAD "/base32/\n" HEX_KEY, "second line"},
        {HEAD "/base16/\n", "64 hexadecimal"},
        {HEAD "/base16/\n" HEX_KEY "0", "64 hexadecimal"},
        {HEAD "/base16/\n" HEX_KEY "\nmore", "64 hexadecimal"},
        {HEAD "/base16/\n\n" HEX_KEY, "64 hexadecimal"},
        {HEAD "/base16/\n6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef6",
         "64 hexadecimal"},
        {HEAD "/base16/\ng189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683",
         "64 hexadecimal"},
        {HEAD "/base64/\nYYnFzwuH+4AMGp/u2nPGq16ZjbSPueapeFdcdwzu9oM\n", "base64"},
        {HEAD "/base64/\nYYnFzwuH+4AMGp/u2nPGq16ZjbSPueapeFdcdwzu9g==\n", "base64"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct pnet_key k;
        const char *why = "";
        assert_int_equal(pnet_key_read(bytes_str(bad[i].file), &k, &why), E_MALFORMED);
        assert_non_null(strstr(why, bad[i].why));
    }
}

static void a_key_is_written_as_it_is_read(void **state)
{
    struct rng rng;
    struct pnet_key a, b;
    struct buf out;
    const char *why;
    rng_init_seeded(&rng, 1);
    pnet_key_generate(&a, &rng);
    buf_init(&out, 0);
    assert_int_equal(pnet_key_write(&a, &out), 0);
    assert_int_equal(buf_len(&out), strlen(HEAD "/base16/\n" HEX_KEY "\n"));
    assert_int_equal(pnet_key_read(buf_view(&out), &b, &why), 0);
    assert_memory_equal(a.b, b.b, PNET_KEY);
    buf_fini(&out);
    pnet_key_fini(&a);
    for (size_t i = 0; i < PNET_KEY; i++)
        assert_int_equal(a.b[i], 0);
}

/* The vector of rust's own test, made with kubo. */
static void the_fingerprint_is_kubos(void **state)
{
    struct pnet_key k = key_of(HEAD "/base16/\n" HEX_KEY);
    char text[PNET_FINGERPRINT_TEXT];
    assert_string_equal(pnet_fingerprint(&k, text), "45fc986bbc9388a11d939df26f730f0c");
}

/* --- the filter --- */

struct filter {
    struct fake_world w;
    struct fake_stream *wire;
    struct stream *s;
    struct rng rng;
    struct pnet_key key;
    int readable, writable, closed;
};

static void f_readable(void *ctx)
{
    ((struct filter *)ctx)->readable++;
    stream_want_read(((struct filter *)ctx)->s, false);
}
static void f_writable(void *ctx)
{
    ((struct filter *)ctx)->writable++;
}
static void f_closed(void *ctx, int err)
{
    ((struct filter *)ctx)->closed = err;
}

static void filter_init(struct filter *f, bool is_dialer)
{
    static const struct stream_events on = {f_readable, f_writable, f_closed};
    *f = (struct filter){0};
    fake_world_init(&f->w);
    f->wire = fake_stream_new(&f->w);
    rng_init_seeded(&f->rng, 7);
    f->key = key_of(HEAD "/base16/\n" HEX_KEY);
    f->s = pnet_wrap(&f->wire->s, &f->key, is_dialer, &f->w.sched, &f->rng);
    stream_listen(f->s, &on, f);
}

static void filter_fini(struct filter *f)
{
    stream_close(f->s);
    fake_world_fini(&f->w);
}

/* What libsodium's whole XSalsa20 makes of it. */
static void reference(const struct filter *f, const uint8_t *nonce, uint8_t *data, size_t n)
{
    crypto_stream_xsalsa20_xor(data, data, n, nonce, f->key.b);
}

static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 7 + i / 256);
}

static void what_is_written_is_xsalsa20_in_every_split(void **state)
{
    enum { N = 1000 };
    static const size_t pieces[] = {1, 3, 63, 64, 65, 127, 500, N};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct filter f;
        uint8_t data[N], want[N];
        filter_init(&f, true);
        fill(data, N);
        for (size_t at = 0; at < N; at += pieces[i]) {
            size_t n = pieces[i] < N - at ? pieces[i] : N - at;
            struct bytes v[3] = {
                bytes_of(data + at, n / 2), {0}, bytes_of(data + at + n / 2, n - n / 2)};
            assert_int_equal(stream_writev(f.s, v, 3), n);
        }
        assert_int_equal(fake_sent_len(f.wire), PNET_NONCE + N);
        memcpy(want, data, N);
        reference(&f, (const uint8_t *)fake_sent(f.wire), want, N);
        assert_memory_equal(fake_sent(f.wire) + PNET_NONCE, want, N);
        filter_fini(&f);
    }
}

/* The inner stream takes a few bytes at a time, the nonce in pieces too. */
static void what_was_not_taken_is_hidden_anew(void **state)
{
    enum { N = 40000 };
    static uint8_t data[N], want[N];
    for (size_t step = 1; step < 200; step += 13) {
        struct filter f;
        size_t at = 0;
        filter_init(&f, true);
        f.wire->window = 0;
        fill(data, N);
        while (at < N) {
            fake_open_window(f.wire, step * 40 + (at == 0 ? 5 : 0));
            ssize_t n = stream_write(f.s, bytes_of(data + at, N - at));
            assert_true(n >= 0);
            at += (size_t)n;
        }
        assert_int_equal(fake_sent_len(f.wire), PNET_NONCE + N);
        memcpy(want, data, N);
        reference(&f, (const uint8_t *)fake_sent(f.wire), want, N);
        assert_memory_equal(fake_sent(f.wire) + PNET_NONCE, want, N);
        filter_fini(&f);
    }
}

static void a_dialer_sends_nonce_and_data_in_one_piece(void **state)
{
    struct filter f;
    filter_init(&f, true);
    fake_world_run(&f.w);
    assert_int_equal(fake_sent_len(f.wire), 0);
    assert_int_equal(stream_write(f.s, BYTES_LIT("hello")), 5);
    assert_int_equal(fake_sent_len(f.wire), PNET_NONCE + 5);
    assert_int_equal(f.wire->writes, 1);
    filter_fini(&f);
}

static void a_listener_sends_its_nonce_unasked(void **state)
{
    struct filter f;
    filter_init(&f, false);
    fake_world_run(&f.w);
    assert_int_equal(fake_sent_len(f.wire), PNET_NONCE);
    filter_fini(&f);
    /* and in pieces where there is no room; the user hears nothing of it */
    filter_init(&f, false);
    f.wire->window = 10;
    fake_world_run(&f.w);
    assert_int_equal(fake_sent_len(f.wire), 10);
    fake_open_window(f.wire, 100);
    fake_world_run(&f.w);
    assert_int_equal(fake_sent_len(f.wire), PNET_NONCE);
    assert_int_equal(f.writable, 0);
    filter_fini(&f);
}

static void what_is_read_comes_byte_by_byte(void **state)
{
    enum { N = 300 };
    static const size_t rooms[] = {1, 2, 17, 64, 4096};
    for (size_t r = 0; r < ARRAY_LEN(rooms); r++) {
        struct filter f;
        uint8_t sent[PNET_NONCE + N], plain[N], got[4096], back[N];
        size_t at = 0;
        filter_init(&f, true);
        fill(plain, N);
        fill(sent, PNET_NONCE);
        memcpy(sent + PNET_NONCE, plain, N);
        reference(&f, sent, sent + PNET_NONCE, N);
        for (size_t i = 0; i < sizeof sent; i++) {
            fake_feed(f.wire, sent + i, 1);
            ssize_t n = stream_read(f.s, got, rooms[r]);
            if (i < PNET_NONCE) {
                assert_int_equal(n, E_AGAIN);
                continue;
            }
            assert_int_equal(n, 1);
            back[at++] = got[0];
        }
        assert_int_equal(at, N);
        assert_memory_equal(back, plain, N);
        fake_eof(f.wire);
        assert_int_equal(stream_read(f.s, got, 10), E_EOF);
        filter_fini(&f);
    }
}

static void who_speaks_in_clear_is_named(void **state)
{
    struct filter f;
    char got[100];
    filter_init(&f, false);
    fake_feed_str(f.wire, "\x13/multistream/1.0.");
    assert_int_equal(stream_read(f.s, got, sizeof got), E_AGAIN);
    fake_feed_str(f.wire, "0\n\x07/noise\n");
    assert_int_equal(stream_read(f.s, got, sizeof got), E_WRONG_NETWORK);
    assert_int_equal(stream_read(f.s, got, sizeof got), E_WRONG_NETWORK);
    filter_fini(&f);
}

static void a_nonce_and_then_the_end_is_named(void **state)
{
    struct filter f;
    char got[100];
    filter_init(&f, true);
    fake_feed(f.wire, "123456789012345678901234", PNET_NONCE);
    fake_eof(f.wire);
    assert_int_equal(stream_read(f.s, got, sizeof got), E_WRONG_NETWORK);
    filter_fini(&f);
    filter_init(&f, true); /* but not when it was refused before */
    fake_eof(f.wire);
    assert_int_equal(stream_read(f.s, got, sizeof got), E_EOF);
    filter_fini(&f);
    filter_init(&f, true);
    fake_feed(f.wire, "123456789012345678901234", PNET_NONCE);
    assert_int_equal(stream_read(f.s, got, sizeof got), E_AGAIN);
    fake_break(f.wire, E_RESET);
    fake_world_run(&f.w);
    assert_int_equal(f.closed, E_WRONG_NETWORK);
    filter_fini(&f);
}

static void wants_and_ends_are_passed_on(void **state)
{
    struct filter f;
    filter_init(&f, true);
    stream_want_read(f.s, true);
    fake_feed(f.wire, "x", 1);
    fake_world_run(&f.w);
    assert_int_equal(f.readable, 1);
    f.wire->window = 3;
    assert_int_equal(stream_write(f.s, BYTES_LIT("abc")), 0);
    stream_want_write(f.s, true);
    fake_world_run(&f.w);
    assert_int_equal(f.writable, 0);
    fake_open_window(f.wire, 100);
    fake_world_run(&f.w);
    assert_int_equal(f.writable, 1);
    assert_int_equal(stream_write(f.s, BYTES_LIT("abc")), 3);
    stream_finish(f.s);
    assert_true(f.wire->is_finished);
    stream_reset(f.s, STREAM_CANCELLED);
    assert_true(f.wire->is_reset);
    filter_fini(&f);
}

/* --- hosts --- */

static struct machine *add_host(struct hosts *h, const struct pnet_key *network)
{
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.network = network;
    return hosts_add(h, &cfg);
}

static void meet(struct hosts *h, const struct pnet_key *a, const struct pnet_key *b, uint64_t seed,
                 struct asked *asked)
{
    hosts_init(h, seed, 0);
    add_host(h, a);
    add_host(h, b);
    ask_connect(asked, &h->m[0], &h->m[1].key.id, &h->m[1].addr_view, 1);
    hosts_run(h, US_PER_S);
    assert_int_equal(asked->done, 1);
}

static void hosts_with_the_same_key_meet(void **state)
{
    struct hosts h;
    struct asked a;
    struct pnet_key k = key_of(HEAD "/base16/\n" HEX_KEY);
    meet(&h, &k, &k, 11, &a);
    assert_int_equal(a.err, 0);
    assert_int_equal(h.m[0].identified, 1);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 3 * MIB);
    hosts_run(&h, 20 * US_PER_S);
    assert_true(a.client.is_complete);
    hosts_fini(&h);
}

static void different_networks_do_not_meet_and_say_so(void **state)
{
    struct pnet_key k = key_of(HEAD "/base16/\n" HEX_KEY), other = k;
    const struct pnet_key *pairs[][2] = {{&k, &other}, {&k, NULL}, {NULL, &k}};
    other.b[0] ^= 1;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct hosts h;
            struct asked a;
            meet(&h, pairs[i][0], pairs[i][1], seed, &a);
            assert_int_equal(a.err, E_WRONG_NETWORK);
            assert_non_null(strstr(a.why, "private network"));
            assert_int_equal(h.m[0].connected + h.m[1].connected, 0);
            hosts_run(&h, 10 * US_PER_S);
            assert_int_equal(p2p_host_counts(h.m[1].host).conns_pending, 0);
            hosts_fini(&h);
        }
}

/* Something else that listens there: it says its piece and hangs up. */
static void answer_with(void *ctx, struct stream *s)
{
    assert_true(stream_write(s, *(struct bytes *)ctx) > 0);
    stream_close(s);
}

static void other_protocols_are_not_taken_for_a_network(void **state)
{
    static const struct bytes said[] = {
        BYTES_LIT("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
        BYTES_LIT("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"),
        BYTES_LIT("\x15\x03\x01\x00\x02\x02\x46"),
    };
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        struct hosts h;
        struct asked a;
        struct loop_listener *l;
        struct machine other = {0};
        hosts_init(&h, i + 1, 2);
        struct loop_listen_options opts = {.accepted = answer_with, .ctx = (void *)&said[i]};
        net_addr_parse_ip("10.0.0.2", 9000, &opts.at);
        assert_int_equal(loop_listen(h.m[1].loop, &opts, &l), 0);
        machine_addr(&other, "/ip4/10.0.0.2/tcp/9000");
        ask_connect(&a, &h.m[0], NULL, &other.addr_view, 1);
        hosts_run(&h, US_PER_S);
        assert_int_equal(a.done, 1);
        assert_true(a.err != 0 && a.err != E_WRONG_NETWORK);
        loop_listener_close(l);
        hosts_fini(&h);
    }
}

/* Through a relay the circuit is hidden once more, end to end, as go and js do it. */
static void relayed_connections_are_in_the_network_too(void **state)
{
    struct relays r = {0};
    struct multiaddr m;
    struct asked a;
    struct pnet_key k = key_of(HEAD "/base16/\n" HEX_KEY);
    hosts_init(&r.h, 31, 0);
    for (int i = 0; i < MACHINES; i++)
        add_host(&r.h, &k);
    relays_cut(&r, PROVIDER, CONSUMER, true);
    relays_serve(&r, FIRST, false);
    for (int i = PROVIDER; i <= CONSUMER; i++) {
        struct relay_client_cfg cfg = {.changed = places_changed, .ctx = &r};
        r.client[i] = relay_client_new(r.h.m[i].host, &cfg);
    }
    relays_connect(&r, PROVIDER, FIRST);
    relay_client_want(r.client[PROVIDER], 1);
    hosts_run(&r.h, US_PER_S);
    assert_true(relays_holds(&r, PROVIDER, FIRST));
    ask_echo_at(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER], relayed_addr(&r, FIRST, -1, &m), 5000);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_true(a.client.is_complete);
    relays_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_file_is_read_in_all_encodings),
        cmocka_unit_test(a_bad_key_file_is_refused_with_a_sentence),
        cmocka_unit_test(a_key_is_written_as_it_is_read),
        cmocka_unit_test(the_fingerprint_is_kubos),
        cmocka_unit_test(what_is_written_is_xsalsa20_in_every_split),
        cmocka_unit_test(what_was_not_taken_is_hidden_anew),
        cmocka_unit_test(a_dialer_sends_nonce_and_data_in_one_piece),
        cmocka_unit_test(a_listener_sends_its_nonce_unasked),
        cmocka_unit_test(what_is_read_comes_byte_by_byte),
        cmocka_unit_test(who_speaks_in_clear_is_named),
        cmocka_unit_test(a_nonce_and_then_the_end_is_named),
        cmocka_unit_test(wants_and_ends_are_passed_on),
        cmocka_unit_test(hosts_with_the_same_key_meet),
        cmocka_unit_test(relayed_connections_are_in_the_network_too),
        cmocka_unit_test(different_networks_do_not_meet_and_say_so),
        cmocka_unit_test(other_protocols_are_not_taken_for_a_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/* Yamux against peers that mean harm: the advisories of other implementations by their names, how
 * fast streams may come and go, and what grown windows may hold. The rows of the quirk table are in
 * test_yamux.c. */
#include "yamux_fixture.h"

#include "base/trace.h"

/* --- advisories --- */

/* rust-yamux <= 0.13.9 panicked on Data|SYN with a body over the window (also CVE-2026-32314). It is
 * refused by its header, before a byte of the body is there. */
static void ghsa_vxx9_2994_q338_oversize_syn(void **state)
{
    static const uint32_t lengths[] = {YAMUX_INITIAL_WINDOW + 1, LIMIT_YAMUX_FRAME, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct fixture *f = f_new(false);
        say(f, YAMUX_T_DATA, YAMUX_F_SYN, 1, lengths[i]);
        assert_int_equal(next(f), E_TOO_BIG);
        assert_int_equal(f->y.inbound, 0);
        assert_int_equal(f->y.held, 0);
        expect_goaway(f, 1);
        f_free(f);
    }
    struct fixture *f = f_new(false); /* the largest that may come */
    fill(f, 1, YAMUX_INITIAL_WINDOW);
    f->in.base[f->in.head + 3] = YAMUX_F_SYN;
    struct yamux_stream *s = f_accept(f);
    expect(f, YAMUX_DATA);
    assert_int_equal(yamux_peek(s).n, YAMUX_INITIAL_WINDOW);
    f_free(f);
}

/* The sum of credits overflowed in rust-yamux: on the SYN, by WindowUpdates, at every size. */
static void ghsa_4w32_2493_32g7_window_overflow(void **state)
{
    struct fixture *f = f_new(false);
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, UINT32_MAX);
    struct yamux_stream *s = f_accept(f);
    for (uint32_t delta = 1; delta; delta <<= 1) {
        say(f, YAMUX_T_WINDOW, 0, 1, delta);
        say(f, YAMUX_T_WINDOW, 0, 1, UINT32_MAX - delta);
    }
    assert_int_equal(next(f), 0);
    assert_int_equal(s->send.credit, UINT32_MAX);
    assert_int_equal(yamux_write(s, BYTES_LIT("still works")), 11);
    f_free(f);
}

/* A peer that makes us answer and does not read: rust-yamux queued the answers without end. */
static void cve_2024_32984_unread_answers(void **state)
{
    static const uint8_t kinds[] = {YAMUX_T_PING, YAMUX_T_WINDOW, YAMUX_T_DATA};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct fixture *f = f_new(false);
        int err = 0;
        f->y.cfg.max_inbound = 0; /* every SYN is answered with RST */
        for (uint32_t i = 0; i < 100000 && !err; i++) {
            say(f, kinds[k], YAMUX_F_SYN, kinds[k] == YAMUX_T_PING ? 0 : 2 * i + 1, 0);
            err = next(f);
            assert_true(buf_len(&f->y.control) <= LIMIT_YAMUX_CONTROL);
        }
        assert_int_equal(err, E_LIMIT);
        expect_goaway(f, 2);
        f_free(f);
    }
}

/* --- streams that come and go --- */

/* Opens stream `i` and resets it at once; 0 or what ended the session. */
static int open_and_reset(struct fixture *f, uint32_t i)
{
    uint32_t id = 2 * i + 1;
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, id, 0);
    say(f, YAMUX_T_WINDOW, YAMUX_F_RST, id, 0);
    int r = next(f);
    if (r == 1) {
        assert_int_equal(f->ev.kind, YAMUX_INBOUND);
        yamux_accept(&f->y, &f->s[0]);
        r = next(f);
    }
    if (r == 1) {
        assert_int_equal(f->ev.kind, YAMUX_RESET);
        yamux_release(&f->s[0]);
        r = next(f);
    }
    if (r < 0 && f->s[0].session)
        yamux_release(&f->s[0]);
    drain(f);
    return r;
}

/* CVE-2022-23492 (go), CVE-2022-23486 (rust), and HTTP/2's rapid reset: each stream is within every
 * limit, the sum of them is not. */
static void cve_2022_23492_streams_without_end(void **state)
{
    struct fixture *f = f_new(false);
    uint32_t done = 0;
    while (done < 100000 && open_and_reset(f, done) == 0)
        done++;
    assert_in_range(done, LIMIT_YAMUX_CHURN_BURST - 1, LIMIT_YAMUX_CHURN_BURST + 1);
    assert_true(f->y.is_dead);
    f_free(f);
}

static void resets_at_a_human_rate_are_fine(void **state)
{
    struct fixture *f = f_new(false);
    for (uint32_t i = 0; i < 20 * LIMIT_YAMUX_CHURN_BURST; i++) {
        sched_set_now(&f->clock, sched_now(&f->clock) + US_PER_S / LIMIT_YAMUX_CHURN, 0);
        assert_int_equal(open_and_reset(f, i), 0);
    }
    f_free(f);
}

/* Streams that end as they should cost nothing, however many. */
static void finished_streams_are_no_churn(void **state)
{
    struct fixture *f = f_new(false);
    for (uint32_t i = 0; i < 10 * LIMIT_YAMUX_CHURN_BURST; i++) {
        say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 2 * i + 1, 0);
        say(f, YAMUX_T_WINDOW, YAMUX_F_FIN, 2 * i + 1, 0);
        expect(f, YAMUX_INBOUND);
        yamux_accept(&f->y, &f->s[0]);
        expect(f, YAMUX_ENDED);
        yamux_finish(&f->s[0]);
        drain(f);
        assert_true(yamux_is_done(&f->s[0]));
        yamux_release(&f->s[0]);
        assert_int_equal(next(f), 0);
    }
    f_free(f);
}

/* Refused for lack of room, or by us since nothing served it: the same to us. */
static void refused_streams_count_as_well(void **state)
{
    for (int by_us = 0; by_us < 2; by_us++) {
        struct fixture *f = f_new(false);
        uint32_t i = 0;
        int r = 0;
        f->y.cfg.max_inbound = by_us ? 1 : 0;
        for (; i < 100000 && r == 0; i++) {
            say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 2 * i + 1, 0);
            r = next(f);
            if (r == 1) {
                yamux_accept(&f->y, &f->s[0]);
                assert_int_equal(next(f), 0);
                yamux_release(&f->s[0]); /* resets: it was not done */
                r = next(f);
            }
            drain(f);
        }
        assert_int_equal(r, E_LIMIT);
        assert_in_range(i, LIMIT_YAMUX_CHURN_BURST - 1, LIMIT_YAMUX_CHURN_BURST + 2);
        f_free(f);
    }
}

/* --- windows --- */

static struct yamux_stream *grown(struct fixture *f, uint32_t window)
{
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
    struct yamux_stream *s = f_accept(f);
    drain(f);
    f->y.rtt_us = 60000;
    f->y.cfg.max_window = window;
    for (int i = 0; i < 12; i++)
        consume_window(f, s, 60000);
    assert_int_equal(s->recv.window, window);
    return s;
}

/* js fills a whole window with one frame. */
static void one_frame_may_fill_a_grown_window(void **state)
{
    struct fixture *f = f_new(false);
    struct yamux_stream *s = grown(f, 4 * MIB);
    uint32_t n = s->recv.credit, got = 0;
    assert_true(n > MIB);
    uint8_t *part = mem_new(60000), *sink = mem_new(60000);
    say(f, YAMUX_T_DATA, 0, 1, n);
    while (got < n) {
        uint32_t more = n - got < 60000 ? n - got : 60000;
        if (got)
            buf_clear(&f->in);
        buf_append(&f->in, part, more);
        got += more;
        expect(f, YAMUX_DATA);
        assert_int_equal(yamux_read(s, sink, 60000), more);
        assert_int_equal(next(f), 0);
        assert_int_equal(buf_len(&s->recv.unread), 0);
    }
    drain(f);
    say(f, YAMUX_T_DATA, 0, 1, s->recv.credit + 1); /* and not a byte more than was granted */
    assert_int_equal(next(f), E_TOO_BIG);
    expect_goaway(f, 1);
    free(part);
    free(sink);
    f_free(f);
}

/* What the peer may still send is never more than what the stream is charged for. */
static void assert_charged(struct fixture *f, struct yamux_stream *s)
{
    uint64_t granted =
        s->recv.credit > YAMUX_INITIAL_WINDOW ? s->recv.credit - YAMUX_INITIAL_WINDOW : 0;
    assert_true(s->recv.charged >= granted);
    assert_int_equal(f->y.held, s->recv.charged);
}

static void a_window_that_is_not_used_shrinks(void **state)
{
    struct fixture *f = f_new(false);
    struct yamux_stream *s = grown(f, 4 * MIB);
    uint64_t held = f->y.held;
    assert_int_equal(held, 4 * MIB - 256 * KIB);
    uint8_t *kib16 = mem_new(16 * KIB);
    for (int i = 0; i < 400; i++) { /* 16 KiB a second: a path of 4 MiB has no use for it */
        sched_set_now(&f->clock, sched_now(&f->clock) + US_PER_S, 0);
        fill(f, 1, 16 * KIB);
        expect(f, YAMUX_DATA);
        assert_int_equal(yamux_read(s, kib16, 16 * KIB), 16 * KIB);
        assert_int_equal(next(f), 0);
        drain(f);
        assert_charged(f, s);
        assert_true(f->y.held <= held);
        assert_true(s->recv.credit > 0);
        held = f->y.held;
    }
    assert_int_equal(s->recv.window, 256 * KIB);
    assert_int_equal(f->y.held, 0);
    for (int i = 0; i < 12; i++) /* and grows again when it is wanted */
        consume_window(f, s, 60000);
    assert_int_equal(s->recv.window, 4 * MIB);
    free(kib16);
    f_free(f);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ghsa_vxx9_2994_q338_oversize_syn),
        cmocka_unit_test(ghsa_4w32_2493_32g7_window_overflow),
        cmocka_unit_test(cve_2024_32984_unread_answers),
        cmocka_unit_test(cve_2022_23492_streams_without_end),
        cmocka_unit_test(resets_at_a_human_rate_are_fine),
        cmocka_unit_test(finished_streams_are_no_churn),
        cmocka_unit_test(refused_streams_count_as_well),
        cmocka_unit_test(one_frame_may_fill_a_grown_window),
        cmocka_unit_test(a_window_that_is_not_used_shrinks),
    };
    return cmocka_run_group_tests_name("yamux abuse", tests, NULL, NULL);
}

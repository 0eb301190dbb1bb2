// SPDX-License-Identifier: MIT
/* Yamux frame by frame: the bytes, and every row of the quirk table. Each test plays the peer by
 * hand; the two machines against each other are in test_yamux_pair.c. */
#include "yamux_fixture.h"

static void opening_bytes(void **state)
{
    struct fixture *f = f_new(true);
    struct yamux_stream *a = f_open(f), *b = f_open(f);
    assert_int_equal(a->id, 1);
    assert_int_equal(b->id, 3);
    assert_int_equal(yamux_write(a, BYTES_LIT("hi")), 2);
    yamux_finish(a);
    /* SYN on a WindowUpdate as go and js do; FIN apart from the payload, as js needs it */
    EXPECT_OUT(f, "\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00"
                  "\x00\x01\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00"
                  "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02hi"
                  "\x00\x01\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00");
    EXPECT_OUT(f, "");
    assert_int_equal(yamux_write(a, BYTES_LIT("x")), E_CLOSED);
    f_free(f);
}

static void accepting_bytes(void **state)
{
    struct fixture *f = f_new(false);
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
    struct yamux_stream *s = f_accept(f);
    assert_int_equal(next(f), 0);
    EXPECT_OUT(f, "\x00\x01\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00");
    assert_true(s->is_inbound);
    assert_int_equal(f_open(f)->id, 2);
    f_free(f);
}

/* rust: the SYN rides on the first data; go: extra window comes with it. */
static void syn_may_carry_data_or_window(void **state)
{
    struct fixture *f = f_new(false);
    char text[8];
    say_data(f, YAMUX_F_SYN, 5, "hello");
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 3, 1000); /* ids may come out of order */
    struct yamux_stream *a = f_accept(f);
    expect(f, YAMUX_DATA);
    assert_int_equal(yamux_read(a, text, sizeof text), 5);
    struct yamux_stream *b = f_accept(f);
    assert_int_equal(next(f), 0);
    assert_int_equal(b->send.credit, 256 * 1024 + 1000);
    assert_int_equal(a->recv.credit, 256 * 1024 - 5);
    f_free(f);
}

static void every_split(void **state)
{
    for (size_t cut = 0; cut <= 70; cut++) {
        struct fixture *f = f_new(false);
        struct bytes whole, in;
        char got[16] = "";
        size_t got_n = 0;
        struct yamux_stream *s = NULL;
        bool ended = false;
        say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
        say_data(f, 0, 1, "abc");
        say(f, YAMUX_T_PING, YAMUX_F_SYN, 0, 9);
        say_data(f, YAMUX_F_FIN, 1, "defg");
        whole = buf_view(&f->in);
        assert_true(cut <= whole.n || cut > 55);
        for (int part = 0; part < 2; part++) {
            in = part ? bytes_skip(whole, cut) : bytes_first(whole, cut);
            while (yamux_next(&f->y, &in, &f->ev) == 1) {
                if (f->ev.kind == YAMUX_INBOUND)
                    yamux_accept(&f->y, s = &f->s[f->s_n++]);
                else if (f->ev.kind == YAMUX_DATA)
                    got_n += (size_t)yamux_read(s, got + got_n, 1); /* leaves some behind */
                else if (f->ev.kind == YAMUX_ENDED)
                    ended = true;
            }
            assert_int_equal(in.n, 0);
        }
        assert_true(ended);
        for (ssize_t n; (n = yamux_read(s, got + got_n, 3)) > 0;)
            got_n += (size_t)n;
        assert_int_equal(yamux_read(s, got, 1), E_EOF);
        assert_string_equal(got, "abcdefg");
        EXPECT_OUT(f, "\x00\x01\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00"
                      "\x00\x02\x00\x02\x00\x00\x00\x00\x00\x00\x00\x09");
        f_free(f);
    }
}

static void protocol_errors(void **state)
{
    static const struct {
        struct yamux_frame frame;
        int err;
    } rows[] = {
        {{1, YAMUX_T_PING, YAMUX_F_SYN, 0, 0}, E_PROTO},   /* version */
        {{0, 4, 0, 0, 0}, E_PROTO},                        /* type */
        {{0, YAMUX_T_DATA, 0, 0, 0}, E_PROTO},             /* stream 0 */
        {{0, YAMUX_T_WINDOW, YAMUX_F_SYN, 2, 0}, E_PROTO}, /* our parity */
        {{0, YAMUX_T_WINDOW, YAMUX_F_SYN, 0, 0}, E_PROTO},
        {{0, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0}, E_PROTO},      /* open already */
        {{0, YAMUX_T_DATA, YAMUX_F_SYN, 3, 262145}, E_TOO_BIG}, /* GHSA-vxx9-2994-q338 */
        {{0, YAMUX_T_DATA, YAMUX_F_SYN, 3, UINT32_MAX}, E_TOO_BIG},
        {{0, YAMUX_T_DATA, 0, 1, 262145}, E_TOO_BIG},    /* over the window */
        {{0, YAMUX_T_DATA, 0, 99, 16777217}, E_TOO_BIG}, /* over 16 MiB, for nobody */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture *f = f_new(false);
        const struct yamux_frame *fr = &rows[i].frame;
        say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
        f_accept(f);
        say(f, fr->type, fr->flags, fr->id, fr->length);
        f->in.base[f->in.tail - YAMUX_HEAD] = fr->version;
        assert_int_equal(next(f), rows[i].err);
        expect_goaway(f, 1); /* nothing else is said: not even the ACK */
        f_free(f);
    }
}

static void over_window_in_pieces(void **state)
{
    struct fixture *f = f_new(false);
    uint8_t *kb = mem_new(1024);
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
    f_accept(f);
    for (int i = 0; i < 256; i++) { /* never read: the window is used up exactly */
        say(f, YAMUX_T_DATA, 0, 1, 1024);
        buf_append(&f->in, kb, 1024);
        expect(f, YAMUX_DATA);
    }
    assert_int_equal(next(f), 0);
    say(f, YAMUX_T_DATA, 0, 1, 1);
    assert_int_equal(next(f), E_TOO_BIG);
    expect_goaway(f, 1);
    free(kb);
    f_free(f);
}

static void frames_of_closed_streams_are_ignored(void **state)
{
    struct fixture *f = f_new(true);
    struct yamux_stream *s = f_open(f);
    drain(f);
    yamux_release(s);
    EXPECT_OUT(f, "\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00");
    say(f, YAMUX_T_WINDOW, YAMUX_F_ACK, 1, 0);
    say_data(f, 0, 1, "late");
    say_data(f, YAMUX_F_FIN, 77, "never seen"); /* rust: a stream it opened and never announced */
    say(f, YAMUX_T_WINDOW, YAMUX_F_RST, 88, 0);
    say(f, YAMUX_T_PING, YAMUX_F_SYN, 0, 1);
    assert_int_equal(next(f), 0);
    assert_int_equal(f->y.counts.ignored_frames, 4);
    EXPECT_OUT(f, "\x00\x02\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01");
    assert_int_equal(f->y.outbound, 0);
    assert_int_equal(f->y.unacked, 0);
    f_free(f);
}

/* go: the length of an RST is a code. */
static void reset_code_is_not_credit(void **state)
{
    struct fixture *f = f_new(true);
    struct yamux_stream *s = f_open(f);
    say(f, YAMUX_T_WINDOW, YAMUX_F_RST, 1, 0x1004);
    expect(f, YAMUX_RESET);
    assert_int_equal(f->ev.code, 0x1004);
    assert_int_equal(f->ev.err, E_RESET);
    assert_int_equal(s->send.credit, 256 * 1024);
    assert_int_equal(yamux_write(s, BYTES_LIT("x")), E_RESET);
    assert_int_equal(yamux_read(s, f->out, 1), E_RESET);
    assert_int_equal(f->y.unacked, 0);
    yamux_release(s);
    EXPECT_OUT(f, "\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00"); /* RST is not answered */
    f_free(f);
}

static void reset_in_the_middle_of_a_body(void **state)
{
    struct fixture *f = f_new(false);
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
    struct yamux_stream *s = f_accept(f);
    say(f, YAMUX_T_DATA, 0, 1, 10);
    buf_append_str(&f->in, "01234");
    expect(f, YAMUX_DATA);
    yamux_reset(s, 7);
    buf_append_str(&f->in, "56789");
    say(f, YAMUX_T_PING, YAMUX_F_SYN, 0, 2);
    assert_int_equal(next(f), 0);
    EXPECT_OUT(f, "\x00\x01\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00"
                  "\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x07"
                  "\x00\x02\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02");
    f_free(f);
}

static void reset_drops_what_is_queued(void **state)
{
    for (int how = 0; how < 2; how++) {
        struct fixture *f = f_new(true);
        struct yamux_stream *s = f_open(f);
        drain(f);
        yamux_write(s, BYTES_LIT("never sent"));
        yamux_finish(s);
        if (how == 0)
            yamux_reset(s, 3);
        else
            yamux_release(s);
        drain(f);
        assert_int_equal(f->out_n, YAMUX_HEAD); /* the RST alone */
        assert_int_equal(yamux_frame_decode(f->out).flags, YAMUX_F_RST);
        assert_false(yamux_has_output(&f->y));
        f_free(f);
    }
}

/* A peer that puts FIN on its payload loses nothing with us, whatever js does. */
static void fin_on_payload_and_orders(void **state)
{
    struct fixture *f = f_new(false);
    char text[8];
    say_data(f, YAMUX_F_SYN | YAMUX_F_FIN, 1, "all");
    struct yamux_stream *s = f_accept(f);
    expect(f, YAMUX_DATA);
    assert_int_equal(yamux_read(s, text, 1), 1);
    expect(f, YAMUX_ENDED);
    assert_int_equal(yamux_read(s, text, 8), 2);
    assert_int_equal(yamux_read(s, text, 8), E_EOF);
    assert_false(yamux_is_done(s));
    assert_int_equal(yamux_write(s, BYTES_LIT("answer")), 6); /* their FIN does not stop us */
    yamux_finish(s);
    yamux_finish(s);
    assert_false(yamux_is_done(s));
    drain(f);
    assert_true(yamux_is_done(s));
    say_data(f, 0, 1, "after fin");
    say(f, YAMUX_T_WINDOW, 0, 1, 5);
    assert_int_equal(next(f), 0);
    assert_int_equal(f->y.counts.ignored_frames, 1);
    yamux_release(s);
    assert_int_equal(f->y.inbound, 0);
    EXPECT_OUT(f, ""); /* no RST for what ended well */
    f_free(f);
}

static void pings(void **state)
{
    struct fixture *f = f_new(true);
    say(f, YAMUX_T_PING, YAMUX_F_SYN, 0, 0xdeadbeef);
    say(f, YAMUX_T_PING, YAMUX_F_ACK, 0, 0); /* unsolicited */
    say(f, YAMUX_T_PING, 0, 0, 0);           /* neither */
    assert_int_equal(next(f), 0);
    assert_int_equal(f->y.counts.ignored_pongs, 2);
    EXPECT_OUT(f, "\x00\x02\x00\x02\x00\x00\x00\x00\xde\xad\xbe\xef");
    EXPECT_OUT(f, "");
    assert_int_equal(yamux_ping(&f->y), 0);
    assert_int_equal(yamux_ping(&f->y), E_BUSY);
    EXPECT_OUT(f, "\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00");
    sched_set_now(&f->clock, 1000000 + 40000, 0);
    assert_int_equal(yamux_ping_age_us(&f->y), 40000);
    say(f, YAMUX_T_PING, YAMUX_F_ACK, 0, 1); /* the wrong value */
    assert_int_equal(next(f), 0);
    say(f, YAMUX_T_PING, YAMUX_F_ACK, 0, 0);
    expect(f, YAMUX_PONG);
    assert_int_equal(f->ev.rtt_us, 40000);
    assert_int_equal(f->y.rtt_us, 40000);
    say(f, YAMUX_T_PING, YAMUX_F_ACK, 0, 0); /* replayed */
    assert_int_equal(next(f), 0);
    assert_int_equal(yamux_ping_age_us(&f->y), 0);
    f_free(f);
}

static bool has_ping(const struct fixture *f)
{
    static const uint8_t head[] = {0, YAMUX_T_PING, 0, YAMUX_F_SYN};
    return f->out_n && memmem(f->out, f->out_n, head, sizeof head);
}

/* With its first bytes, and then while windows matter: never to keep it awake, nor for what is small. */
static void path_is_measured_when_it_matters(void **state)
{
    static const uint8_t much[8 * 1024];
    struct fixture *f = f_new(true);
    f->y.ping_due_us = 0;
    EXPECT_OUT(f, "");
    struct yamux_stream *s = f_open(f);
    EXPECT_OUT(f, "\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00");
    yamux_write(s, BYTES_LIT("hello"));
    drain(f);
    assert_true(has_ping(f));
    sched_set_now(&f->clock, 1000000 + 40000, 0);
    say(f, YAMUX_T_PING, YAMUX_F_ACK, 0, 0);
    expect(f, YAMUX_PONG);
    yamux_write(s, bytes_of(much, sizeof much));
    drain(f);
    assert_false(has_ping(f)); /* it was a moment ago */
    sched_set_now(&f->clock, 12 * US_PER_S, 0);
    yamux_write(s, BYTES_LIT("hello"));
    drain(f);
    assert_false(has_ping(f));
    yamux_write(s, bytes_of(much, sizeof much));
    drain(f);
    assert_true(has_ping(f));
    f_free(f);
}

/* The 513th stream, as rust counts; here the limit of the peer's kind. */
static void too_many_inbound_are_refused_not_fatal(void **state)
{
    struct fixture *f = f_new(false);
    f->y.cfg.max_inbound = 512;
    for (uint32_t i = 0; i < 512; i++) {
        say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 2 * i + 1, 0);
        f_accept(f);
        drain(f);
    }
    say_data(f, YAMUX_F_SYN, 1025, "body is dropped");
    say(f, YAMUX_T_PING, YAMUX_F_SYN, 0, 3);
    assert_int_equal(next(f), 0);
    EXPECT_OUT(f, "\x00\x01\x00\x08\x00\x00\x04\x01\x00\x00\x00\x00"
                  "\x00\x02\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03");
    assert_int_equal(f->y.inbound, 512);
    assert_int_equal(f->y.counts.refused_streams, 1);
    yamux_release(&f->s[0]);
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1027, 0);
    f_accept(f);
    f_free(f);
}

static void unwanted_inbound_is_refused(void **state)
{
    struct fixture *f = f_new(false);
    say_data(f, YAMUX_F_SYN, 1, "x");
    expect(f, YAMUX_INBOUND);
    assert_int_equal(f->ev.id, 1);
    assert_int_equal(next(f), 0); /* not accepted */
    EXPECT_OUT(f, "\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00");
    f_free(f);
}

static void outbound_backlog(void **state)
{
    struct fixture *f = f_new(true);
    for (int i = 0; i < LIMIT_YAMUX_UNACKED; i++)
        f_open(f);
    assert_int_equal(yamux_open(&f->y, &f->s[f->s_n]), E_BUSY);
    for (uint32_t i = 0; i < LIMIT_YAMUX_UNACKED; i++) {
        say(f, YAMUX_T_WINDOW, YAMUX_F_ACK, 2 * i + 1, 0);
        expect(f, YAMUX_ACKED);
    }
    while (f->s_n < LIMIT_YAMUX_OUTBOUND)
        f_open(f);
    assert_int_equal(yamux_open(&f->y, &f->s[f->s_n]), E_BUSY);
    yamux_release(&f->s[3]);
    f_open(f);
    f_free(f);
}

static void ids_run_out(void **state)
{
    struct fixture *f = f_new(true);
    f->y.next_id = UINT32_MAX - 2;
    assert_int_equal(f_open(f)->id, UINT32_MAX - 2);
    assert_int_equal(yamux_open(&f->y, &f->s[f->s_n]), E_LIMIT);
    f_free(f);
}

static void goaway_both_ways(void **state)
{
    struct fixture *f = f_new(true);
    struct yamux_stream *s = f_open(f);
    drain(f);
    say(f, YAMUX_T_GOAWAY, 0, 0, 0);
    say(f, YAMUX_T_GOAWAY, 0, 0, 0);
    expect(f, YAMUX_GOAWAY);
    assert_int_equal(next(f), 0);
    assert_int_equal(yamux_open(&f->y, &f->s[1]), E_CLOSED);
    assert_int_equal(yamux_write(s, BYTES_LIT("goes on")), 7);
    yamux_goaway(&f->y, 0);
    yamux_goaway(&f->y, 0);
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 2, 0);
    assert_int_equal(next(f), 0);
    EXPECT_OUT(f, "\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
                  "\x00\x01\x00\x08\x00\x00\x00\x02\x00\x00\x00\x00"
                  "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x07goes on");
    f_free(f);
}

static void control_flood_ends_the_session(void **state)
{
    struct fixture *f = f_new(false);
    for (size_t i = 0; i <= LIMIT_YAMUX_CONTROL / YAMUX_HEAD; i++)
        say(f, YAMUX_T_PING, YAMUX_F_SYN, 0, (uint32_t)i);
    assert_int_equal(next(f), E_LIMIT); /* it asks and does not read */
    expect_goaway(f, 2);
    f_free(f);
}

static void credit_saturates(void **state)
{
    struct fixture *f = f_new(true);
    struct yamux_stream *s = f_open(f);
    say(f, YAMUX_T_WINDOW, 0, 1, UINT32_MAX);
    say(f, YAMUX_T_WINDOW, 0, 1, UINT32_MAX);
    assert_int_equal(next(f), 0);
    assert_int_equal(s->send.credit, UINT32_MAX);
    f_free(f);
}

static void writes_stop_at_queue_and_window(void **state)
{
    struct fixture *f = f_new(true);
    struct yamux_stream *s = f_open(f);
    struct bytes big = {mem_new(MIB), MIB};
    size_t sent = 0;
    struct yamux_frame fr;
    assert_int_equal(yamux_write(s, big), 64 * KIB);
    assert_int_equal(yamux_write(s, big), 0);
    while (yamux_has_output(&f->y)) {
        drain(f);
        for (size_t at = 0; at < f->out_n;) {
            at = take_frame(f, at, &fr);
            assert_true(fr.type != YAMUX_T_DATA || fr.length <= 16 * KIB);
            sent += fr.type == YAMUX_T_DATA ? fr.length : 0;
        }
        while (next(f) == 1)
            assert_int_equal(f->ev.kind, YAMUX_WRITABLE);
        yamux_write(s, big);
    }
    assert_int_equal(sent, 256 * KIB); /* then the peer's window is used up */
    assert_int_equal(yamux_room(s), 0);
    yamux_finish(s);
    assert_false(yamux_has_output(&f->y)); /* FIN waits behind the data */
    say(f, YAMUX_T_WINDOW, 0, 1, 3);
    assert_int_equal(next(f), 0);
    drain(f);
    assert_int_equal(f->out_n, YAMUX_HEAD + 3);
    say(f, YAMUX_T_WINDOW, 0, 1, (uint32_t)MIB);
    assert_int_equal(next(f), 0);
    drain(f);
    take_frame(f, f->out_n - YAMUX_HEAD, &fr);
    assert_int_equal(fr.flags, YAMUX_F_FIN);
    free((void *)big.p);
    f_free(f);
}

static void credit_comes_back_in_lumps(void **state)
{
    struct fixture *f = f_new(false);
    uint8_t *kb = mem_new(1024);
    struct yamux_frame fr;
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
    struct yamux_stream *s = f_accept(f);
    drain(f);
    for (int i = 0; i < 128; i++) {
        assert_false(yamux_has_output(&f->y));
        say(f, YAMUX_T_DATA, 0, 1, 1024);
        buf_append(&f->in, kb, 1024);
        expect(f, YAMUX_DATA);
        assert_int_equal(yamux_read(s, f->out, 4096), 1024);
        assert_int_equal(buf_len(&s->recv.unread), 0); /* read in place: never kept */
    }
    drain(f);
    assert_int_equal(take_frame(f, 0, &fr), f->out_n);
    assert_int_equal(fr.length, 128 * KIB);
    assert_int_equal(s->recv.credit, 256 * KIB);
    free(kb);
    f_free(f);
}

static void window_grows_with_the_path(void **state)
{
    struct fixture *f = f_new(false);
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
    struct yamux_stream *s = f_accept(f);
    drain(f);
    consume_window(f, s, 1000);
    assert_int_equal(s->recv.window, 256 * KIB); /* the path was not measured yet */
    f->y.rtt_us = 60000;
    consume_window(f, s, 500000);
    assert_int_equal(s->recv.window, 256 * KIB); /* the user is what is slow */
    assert_true(consume_window(f, s, 60000) > 256 * KIB);
    assert_true(s->recv.window >= 512 * KIB);
    for (int i = 0; i < 12; i++)
        consume_window(f, s, 60000);
    assert_int_equal(s->recv.window, LIMIT_YAMUX_WINDOW);
    assert_int_equal(f->y.held, LIMIT_YAMUX_WINDOW - 256 * KIB);
    f_free(f);
}

static void window_growth_keeps_to_the_budget(void **state)
{
    struct fixture *f = f_new(false);
    struct yamux_budget shared;
    yamux_budget_init(&shared, 4 * MIB);
    yamux_fini(&f->y);
    struct yamux_cfg cfg = f->y.cfg;
    cfg.budget = &shared;
    yamux_init(&f->y, &cfg);
    f->y.ping_due_us = SCHED_NEVER;
    f->y.rtt_us = 60000;
    say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
    struct yamux_stream *s = f_accept(f);
    drain(f);
    for (int i = 0; i < 12; i++)
        consume_window(f, s, 60000);
    assert_int_equal(s->recv.window, 2 * MIB); /* 4 MiB would pass three quarters */
    assert_int_equal(shared.used, 2 * MIB - 256 * KIB);
    yamux_release(s);
    assert_int_equal(shared.used, 0);
    f_free(f);
    assert_true(list_is_empty(&shared.sessions));
}

/* Over its budget the connection loses the stream that holds most, not the one that came last. */
static void greediest_stream_goes(void **state)
{
    struct fixture *f = f_new(false);
    f->y.cfg.conn_budget = 300 * KIB;
    for (uint32_t id = 1; id <= 5; id += 2) {
        say(f, YAMUX_T_WINDOW, YAMUX_F_SYN, id, 0);
        f_accept(f);
    }
    drain(f);
    fill(f, 1, 50 * KIB);
    expect(f, YAMUX_DATA);
    fill(f, 3, 200 * KIB);
    expect(f, YAMUX_DATA);
    fill(f, 5, 60 * KIB);
    expect(f, YAMUX_DATA);
    expect(f, YAMUX_RESET);
    assert_int_equal(f->ev.id, 3);
    assert_int_equal(f->ev.err, E_LIMIT);
    assert_int_equal(next(f), 0);
    EXPECT_OUT(f, "\x00\x01\x00\x08\x00\x00\x00\x03\x00\x00\x00\x00");
    assert_int_equal(f->y.held, 110 * KIB);
    assert_int_equal(buf_len(&f->s[0].recv.unread), 50 * KIB);
    f_free(f);
}

static void count_wake(void *ctx)
{
    ++*(int *)ctx;
}

static void shared_budget_finds_the_greediest_connection(void **state)
{
    struct yamux_budget shared;
    struct fixture *f[2];
    int woken = 0;
    yamux_budget_init(&shared, 256 * KIB);
    for (int i = 0; i < 2; i++) {
        f[i] = f_new(false);
        struct yamux_cfg cfg = f[i]->y.cfg;
        yamux_fini(&f[i]->y);
        cfg.budget = &shared;
        cfg.wake = count_wake;
        cfg.wake_ctx = &woken;
        yamux_init(&f[i]->y, &cfg);
        f[i]->y.ping_due_us = SCHED_NEVER;
        say(f[i], YAMUX_T_WINDOW, YAMUX_F_SYN, 1, 0);
        f_accept(f[i]);
        drain(f[i]);
    }
    fill(f[0], 1, 200 * KIB);
    expect(f[0], YAMUX_DATA);
    assert_int_equal(next(f[0]), 0);
    fill(f[1], 1, 100 * KIB);
    expect(f[1], YAMUX_DATA);
    assert_int_equal(next(f[1]), 0); /* the one who pushed it over is not who pays */
    assert_int_equal(woken, 1);
    expect(f[0], YAMUX_RESET);
    assert_int_equal(shared.used, 100 * KIB);
    f_free(f[0]);
    f_free(f[1]);
    assert_int_equal(shared.used, 0);
}

/* Tokens pass a bulk upload, and bulk is not starved by tokens. */
static void small_writes_go_first_and_all_get_turns(void **state)
{
    struct fixture *f = f_new(true);
    struct bytes big = {mem_new(64 * KIB), 64 * KIB};
    struct yamux_stream *bulk[3], *token;
    struct yamux_frame fr;
    uint64_t sent[8] = {0};
    for (int i = 0; i < 3; i++)
        yamux_write(bulk[i] = f_open(f), big);
    token = f_open(f);
    drain(f); /* SYNs and the first 64 KiB */
    yamux_write(token, BYTES_LIT("token"));
    drain(f);
    take_frame(f, 0, &fr);
    assert_int_equal(fr.id, token->id);
    for (int i = 0; i < 3; i++) /* two batches of 68 KiB, in a fair round of 16 KiB frames */
        for (int k = 0; k < 3; k++)
            assert_true(buf_len(&bulk[i]->send.queue) <= buf_len(&bulk[k]->send.queue) + 32 * KIB);
    for (int round = 0; round < 100; round++) { /* a storm of tokens */
        for (int i = 0; i < 3; i++)
            yamux_write(bulk[i], bytes_first(big, yamux_room(bulk[i])));
        say(f, YAMUX_T_WINDOW, 0, bulk[round % 3]->id, 64 * KIB);
        say(f, YAMUX_T_WINDOW, 0, token->id, 2 * KIB);
        while (next(f) == 1)
            ;
        yamux_write(token, bytes_first(big, 2 * KIB));
        f->out_n = yamux_drain(&f->y, f->out, 20 * KIB);
        for (size_t at = 0; at < f->out_n;) {
            at = take_frame(f, at, &fr);
            sent[fr.id] += fr.length;
        }
    }
    assert_true(sent[token->id] >= 190 * KIB);
    for (int i = 0; i < 3; i++)
        assert_true(sent[bulk[i]->id] > 300 * KIB);
    free((void *)big.p);
    f_free(f);
}

static void idle_stream_is_small(void **state)
{
    struct fixture *f = f_new(false);
    say_data(f, YAMUX_F_SYN, 1, "request");
    struct yamux_stream *s = f_accept(f);
    expect(f, YAMUX_DATA);
    yamux_read(s, f->out, 100);
    yamux_write(s, BYTES_LIT("data: token\n\n"));
    drain(f);
    assert_true(sizeof *s <= 300);
    assert_true(s->recv.unread.cap == 0 && s->send.queue.cap <= 1024);
    f_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_bytes),
        cmocka_unit_test(accepting_bytes),
        cmocka_unit_test(syn_may_carry_data_or_window),
        cmocka_unit_test(every_split),
        cmocka_unit_test(protocol_errors),
        cmocka_unit_test(over_window_in_pieces),
        cmocka_unit_test(frames_of_closed_streams_are_ignored),
        cmocka_unit_test(reset_code_is_not_credit),
        cmocka_unit_test(reset_in_the_middle_of_a_body),
        cmocka_unit_test(reset_drops_what_is_queued),
        cmocka_unit_test(fin_on_payload_and_orders),
        cmocka_unit_test(pings),
        cmocka_unit_test(path_is_measured_when_it_matters),
        cmocka_unit_test(too_many_inbound_are_refused_not_fatal),
        cmocka_unit_test(unwanted_inbound_is_refused),
        cmocka_unit_test(outbound_backlog),
        cmocka_unit_test(ids_run_out),
        cmocka_unit_test(goaway_both_ways),
        cmocka_unit_test(control_flood_ends_the_session),
        cmocka_unit_test(credit_saturates),
        cmocka_unit_test(writes_stop_at_queue_and_window),
        cmocka_unit_test(credit_comes_back_in_lumps),
        cmocka_unit_test(window_grows_with_the_path),
        cmocka_unit_test(window_growth_keeps_to_the_budget),
        cmocka_unit_test(greediest_stream_goes),
        cmocka_unit_test(shared_budget_finds_the_greediest_connection),
        cmocka_unit_test(small_writes_go_first_and_all_get_turns),
        cmocka_unit_test(idle_stream_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/* One yamux machine whose peer the test plays by hand: `say` a frame, take the `next` event, `drain`
 * what it answers. */
#ifndef CONDUIT_TEST_P2P_YAMUX_FIXTURE_H
#define CONDUIT_TEST_P2P_YAMUX_FIXTURE_H

#include "p2p/yamux.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct sched clock;
    struct yamux y;
    struct buf in; /* what the peer says next */
    uint8_t out[70000];
    size_t out_n;
    struct yamux_stream s[600];
    int s_n;
    struct yamux_event ev;
};

static inline struct fixture *f_new(bool is_client)
{
    struct fixture *f = MEM_NEW(struct fixture);
    sched_init(&f->clock, 1000000, 0);
    struct yamux_cfg cfg = yamux_cfg_default(is_client, &f->clock, NULL);
    yamux_init(&f->y, &cfg);
    f->y.ping_due_us = SCHED_NEVER; /* measured in tests of their own */
    uint8_t *room; /* enough that what was said never moves while a slice of it is out */
    buf_init(&f->in, 0);
    buf_reserve(&f->in, MIB, &room);
    return f;
}

static inline void f_free(struct fixture *f)
{
    yamux_fini(&f->y);
    for (int i = 0; i < f->s_n; i++)
        assert_null(f->s[i].session);
    buf_fini(&f->in);
    sched_fini(&f->clock);
    free(f);
}

static inline void say(struct fixture *f, uint8_t type, uint16_t flags, uint32_t id,
                       uint32_t length)
{
    uint8_t head[YAMUX_HEAD];
    yamux_frame_encode(head, (struct yamux_frame){0, type, flags, id, length});
    buf_append(&f->in, head, sizeof head);
}

static inline void say_data(struct fixture *f, uint16_t flags, uint32_t id, const char *text)
{
    say(f, YAMUX_T_DATA, flags, id, (uint32_t)strlen(text));
    buf_append_str(&f->in, text);
}

/* The next event of what was said; takes `in` only so far. 1, 0 or an error. */
static inline int next(struct fixture *f)
{
    struct bytes in = buf_view(&f->in);
    int r = yamux_next(&f->y, &in, &f->ev);
    f->in.head = f->in.tail - in.n; /* not buf_consume: it must stay where it is */
    if (r == 0)
        buf_clear(&f->in);
    return r;
}

static inline void expect(struct fixture *f, enum yamux_event_kind kind)
{
    assert_int_equal(next(f), 1);
    assert_int_equal(f->ev.kind, kind);
}

static inline struct yamux_stream *f_open(struct fixture *f)
{
    struct yamux_stream *s = &f->s[f->s_n];
    int err = yamux_open(&f->y, s);
    assert_int_equal(err, 0);
    f->s_n++;
    return s;
}

static inline struct yamux_stream *f_accept(struct fixture *f)
{
    expect(f, YAMUX_INBOUND);
    struct yamux_stream *s = &f->s[f->s_n++];
    yamux_accept(&f->y, s);
    return s;
}

static inline void drain(struct fixture *f)
{
    f->out_n = yamux_drain(&f->y, f->out, sizeof f->out);
}

static inline size_t take_frame(struct fixture *f, size_t at, struct yamux_frame *fr)
{
    assert_true(f->out_n >= at + YAMUX_HEAD);
    *fr = yamux_frame_decode(f->out + at);
    return at + YAMUX_HEAD + (fr->type == YAMUX_T_DATA ? fr->length : 0);
}

static inline void expect_out(struct fixture *f, const void *bytes, size_t n)
{
    drain(f);
    assert_int_equal(f->out_n, n);
    if (n)
        assert_memory_equal(f->out, bytes, n);
}
#define EXPECT_OUT(f, lit) expect_out(f, lit, sizeof(lit) - 1)

static inline void expect_goaway(struct fixture *f, uint32_t code)
{
    struct yamux_frame fr;
    drain(f);
    assert_int_equal(take_frame(f, 0, &fr), f->out_n);
    assert_int_equal(fr.type, YAMUX_T_GOAWAY);
    assert_int_equal(fr.length, code);
    assert_int_equal(next(f), E_CLOSED);
    assert_false(yamux_has_output(&f->y));
}

/* Consumes a whole window in `took_us`; returns the credit that came back. */
static inline uint64_t consume_window(struct fixture *f, struct yamux_stream *s, uint64_t took_us)
{
    uint8_t *body = mem_new(16 * KIB);
    uint64_t back = 0, parts = s->recv.window / (16 * KIB);
    for (uint64_t i = 0; i < parts; i++) {
        sched_set_now(&f->clock, sched_now(&f->clock) + took_us / parts, 0);
        say(f, YAMUX_T_DATA, 0, 1, 16 * KIB);
        buf_append(&f->in, body, 16 * KIB);
        expect(f, YAMUX_DATA);
        yamux_shut_read(s); /* dropping counts as reading */
        assert_int_equal(next(f), 0);
        s->recv.is_shut = false;
        drain(f);
        for (size_t at = 0; at < f->out_n;) {
            struct yamux_frame fr;
            at = take_frame(f, at, &fr);
            back += fr.type == YAMUX_T_WINDOW ? fr.length : 0;
        }
    }
    free(body);
    return back;
}

static inline void fill(struct fixture *f, uint32_t id, uint32_t n)
{
    uint8_t *body = mem_new(n);
    say(f, YAMUX_T_DATA, 0, id, n);
    buf_append(&f->in, body, n);
    free(body);
}

#endif

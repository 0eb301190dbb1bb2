// SPDX-License-Identifier: MIT
/* multistream-select: the bytes, every split, every way it can be broken. */
#include "p2p/mss.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define HDR "\x13/multistream/1.0.0\n"

static int accept_noise(void *ctx, struct bytes p)
{
    ++*(int *)ctx;
    return bytes_eq_str(p, "/noise") ? 7 : -1;
}

static void assert_buf(struct buf *b, const char *text, size_t n)
{
    assert_int_equal(buf_len(b), n);
    assert_memory_equal(buf_view(b).p, text, n);
}

/* Feeds `in` in two parts cut at `cut`; returns the last result and how much was taken in all. */
static int feed_cut(struct mss *m, struct bytes in, size_t cut, size_t *used, struct buf *out)
{
    size_t a = 0, b = 0;
    int r = mss_feed(m, bytes_first(in, cut), &a, out);
    if (r == MSS_MORE) {
        assert_int_equal(a, cut);
        r = mss_feed(m, bytes_skip(in, cut), &b, out);
    }
    *used = a + b;
    return r;
}

static void dialer_bytes(void **state)
{
    static const char *const offer[] = {"/noise"};
    struct buf out;
    struct mss m;
    buf_init(&out, 0);
    assert_int_equal(mss_dial(&m, offer, 1, &out), 0);
    assert_buf(&out, HDR "\x07/noise\n", 28);
    assert_false(mss_is_agreed(&m));
    buf_fini(&out);
}

static void dialer_every_split(void **state)
{
    static const char *const offer[] = {"/tls/1.0.0", "/noise"};
    struct bytes in = BYTES_LIT(HDR "\x03na\n\x07/noise\n"
                                    "next layer");
    for (size_t cut = 0; cut <= in.n; cut++) {
        struct buf out;
        struct mss m;
        size_t used;
        buf_init(&out, 0);
        mss_dial(&m, offer, 2, &out);
        buf_clear(&out);
        assert_int_equal(feed_cut(&m, in, cut, &used, &out), MSS_AGREED);
        assert_int_equal(used, in.n - 10);
        assert_int_equal(m.chosen, 1);
        assert_buf(&out, "\x07/noise\n", 8);
        assert_int_equal(mss_feed(&m, in, &used, &out), MSS_AGREED);
        assert_int_equal(used, 0); /* what follows is not ours */
        mss_fini(&m);
        buf_fini(&out);
    }
}

static void listener_every_split(void **state)
{
    struct bytes in = BYTES_LIT(HDR "\x0b/tls/1.0.0\n\x03ls\n\x07/noise\n"
                                    "\x00\x20next");
    for (size_t cut = 0; cut <= in.n; cut++) {
        struct buf out;
        struct mss m;
        int asked = 0;
        size_t used;
        buf_init(&out, 0);
        mss_listen(&m, accept_noise, &asked);
        assert_int_equal(feed_cut(&m, in, cut, &used, &out), MSS_AGREED);
        assert_int_equal(used, in.n - 6);
        assert_int_equal(asked, 3);
        assert_int_equal(m.chosen, 7);
        assert_buf(&out, HDR "\x03na\n\x03na\n\x07/noise\n", 20 + 4 + 4 + 8);
        mss_fini(&m);
        buf_fini(&out);
    }
}

static void listener_byte_by_byte(void **state)
{
    struct bytes in = BYTES_LIT(HDR "\x07/noise\n");
    struct buf out;
    struct mss m;
    int asked = 0, r = 0;
    buf_init(&out, 0);
    mss_listen(&m, accept_noise, &asked);
    for (size_t i = 0; i < in.n; i++) {
        size_t used;
        assert_int_equal(r, MSS_MORE);
        r = mss_feed(&m, bytes_of(in.p + i, 1), &used, &out);
        assert_int_equal(used, 1);
        if (i == 19)
            assert_buf(&out, HDR, 20); /* the header alone is answered at once */
    }
    assert_int_equal(r, MSS_AGREED);
    mss_fini(&m);
    buf_fini(&out);
}

static void all_refused_is_unsupported(void **state)
{
    static const char *const offer[] = {"/a"};
    struct bytes in = BYTES_LIT(HDR "\x03na\n");
    struct buf out;
    struct mss m;
    size_t used;
    buf_init(&out, 0);
    mss_dial(&m, offer, 1, &out);
    assert_int_equal(mss_feed(&m, in, &used, &out), E_UNSUPPORTED);
    mss_fini(&m);
    buf_fini(&out);
}

static void bad_lines(void **state)
{
    static const struct {
        struct bytes in;
        int err;
    } rows[] = {
        {BYTES_LIT("\x13/multistream/2.0.0\n"), E_PROTO},         /* another version */
        {BYTES_LIT("\x13/multistream/1.0.0x"), E_MALFORMED},      /* no newline */
        {BYTES_LIT("\x00"), E_MALFORMED},                         /* empty */
        {BYTES_LIT("\x93\x00/multistream/1.0.0\n"), E_MALFORMED}, /* over-long varint */
        {BYTES_LIT("\x81\x08"), E_TOO_BIG},                       /* 1025 bytes */
        {BYTES_LIT("\xff\xff"), E_TOO_BIG},
        {BYTES_LIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), E_TOO_BIG},
        {BYTES_LIT("GET / HTTP/1.1\r\n\r\n"), E_PROTO}, /* with its first byte */
        {BYTES_LIT("G"), E_PROTO},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t cut = 0; cut <= rows[i].in.n; cut++) {
            struct buf out;
            struct mss m;
            int asked = 0;
            size_t used;
            buf_init(&out, 0);
            mss_listen(&m, accept_noise, &asked);
            assert_int_equal(feed_cut(&m, rows[i].in, cut, &used, &out), rows[i].err);
            assert_int_equal(buf_len(&out), 0);
            assert_int_equal(asked, 0);
            mss_fini(&m);
            buf_fini(&out);
        }
    }
}

static void longest_line_is_read_and_refused(void **state)
{
    struct buf in, out;
    struct mss m;
    size_t used;
    int asked = 0;
    uint8_t name[LIMIT_MSS_LINE];
    memset(name, 'a', sizeof name);
    name[0] = '/';
    buf_init(&in, 0);
    buf_init(&out, 0);
    assert_int_equal(mss_append_line(&in, bytes_of(name, sizeof name)), E_TOO_BIG);
    mss_append_line(&in, bytes_str("/multistream/1.0.0"));
    assert_int_equal(mss_append_line(&in, bytes_of(name, sizeof name - 1)), 0);
    mss_append_line(&in, bytes_of(name, LIMIT_MSS_PROTOCOL));
    mss_listen(&m, accept_noise, &asked);
    assert_int_equal(mss_feed(&m, buf_view(&in), &used, &out), MSS_MORE);
    assert_int_equal(asked, 1); /* ids over 256 bytes are not even looked up */
    assert_buf(&out, HDR "\x03na\n\x03na\n", 28);
    mss_fini(&m);
    buf_fini(&in);
    buf_fini(&out);
}

static void too_many_proposals(void **state)
{
    struct buf in, out;
    struct mss m;
    size_t used;
    int asked = 0;
    buf_init(&in, 0);
    buf_init(&out, 0);
    mss_append_line(&in, bytes_str("/multistream/1.0.0"));
    for (int i = 0; i < LIMIT_MSS_PROPOSALS; i++)
        mss_append_line(&in, bytes_str("/x"));
    mss_listen(&m, accept_noise, &asked);
    assert_int_equal(mss_feed(&m, buf_view(&in), &used, &out), MSS_MORE);
    buf_clear(&in);
    mss_append_line(&in, bytes_str("/x"));
    assert_int_equal(mss_feed(&m, buf_view(&in), &used, &out), E_LIMIT);
    assert_int_equal(buf_len(&out), 20 + 4 * LIMIT_MSS_PROPOSALS);
    mss_fini(&m);
    buf_fini(&in);
    buf_fini(&out);
}

static void dialer_refuses_nonsense(void **state)
{
    static const char *const offer[] = {"/noise", "/tls/1.0.0"};
    static const struct bytes rows[] = {
        BYTES_LIT(HDR "\x0b/tls/1.0.0\n"), /* not what was proposed now */
        BYTES_LIT(HDR HDR),
        BYTES_LIT("\x07/noise\n"),
        BYTES_LIT(HDR "\x01\n"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;
        struct mss m;
        size_t used;
        buf_init(&out, 0);
        mss_dial(&m, offer, 2, &out);
        assert_int_equal(mss_feed(&m, rows[i], &used, &out), E_PROTO);
        mss_fini(&m);
        buf_fini(&out);
    }
}

/* Dialer, listener and next layer's bytes in one flight each. */
static void pipelined_pair(void **state)
{
    static const char *const offer[] = {"/noise"};
    struct buf to_listener, to_dialer;
    struct mss d, l;
    size_t used;
    int asked = 0;
    buf_init(&to_listener, 0);
    buf_init(&to_dialer, 0);
    mss_dial(&d, offer, 1, &to_listener);
    buf_append_str(&to_listener, "early");
    mss_listen(&l, accept_noise, &asked);
    assert_int_equal(mss_feed(&l, buf_view(&to_listener), &used, &to_dialer), MSS_AGREED);
    assert_int_equal(buf_len(&to_listener) - used, 5);
    assert_int_equal(mss_feed(&d, buf_view(&to_dialer), &used, &to_listener), MSS_AGREED);
    assert_int_equal(used, buf_len(&to_dialer));
    mss_fini(&d);
    mss_fini(&l);
    buf_fini(&to_listener);
    buf_fini(&to_dialer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialer_bytes),
        cmocka_unit_test(dialer_every_split),
        cmocka_unit_test(listener_every_split),
        cmocka_unit_test(listener_byte_by_byte),
        cmocka_unit_test(all_refused_is_unsupported),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(longest_line_is_read_and_refused),
        cmocka_unit_test(too_many_proposals),
        cmocka_unit_test(dialer_refuses_nonsense),
        cmocka_unit_test(pipelined_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

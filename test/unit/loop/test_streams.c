// SPDX-License-Identifier: MIT
/* What base/stream.h promises, asked of every kind of stream: one suite, a table of makers.
 *
 * Each side of a connection is an `actor`. It knows which calls it is in (no callback may come from
 * inside one) and when it closed (no callback may come after), checks every byte it reads against
 * the pattern that its peer writes, and counts. */
#include "unit/loop/world.h"

#include <malloc.h>
#include <sys/resource.h>

struct actor {
    struct stream *s;
    struct rng rng;
    uint64_t written, to_write, got; /* bytes */
    bool echoes;                     /* sends back what it reads */
    bool finishes;                   /* ends its side when all is written */
    bool stops;                      /* wants no more after it has read something */
    bool is_finished, is_ended, is_closed, is_in_call;
    int broken;      /* what `closed` said */
    ssize_t refused; /* the error of a write */
    int readables, writables;
    struct actor *source; /* whose pattern we read: with echoes, our own */
    uint8_t pending[70000];
    size_t pending_n;
};

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 31 ^ at >> 8 ^ at >> 16);
}

static void check_bytes(uint64_t at, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != pattern(at + i))
            fail_msg("byte %llu is wrong", (unsigned long long)(at + i));
}

static void enter(struct actor *a)
{
    assert_false(a->is_closed);
    assert_false(a->is_in_call);
    a->is_in_call = true;
}

static void leave(struct actor *a)
{
    a->is_in_call = false;
}

static void want(struct actor *a, bool read, bool write)
{
    enter(a);
    stream_want_read(a->s, read);
    stream_want_write(a->s, write);
    leave(a);
}

/* One vectored write of up to four random pieces of the pattern; what it took. */
static ssize_t write_some(struct actor *a)
{
    uint8_t text[16000];
    struct bytes v[4];
    uint64_t left = a->to_write - a->written;
    size_t n =
        rng_below(&a->rng, 4) == 0 ? rng_below(&a->rng, sizeof text) : rng_below(&a->rng, 99);
    size_t at = 0;
    n = n + 1 < left ? n + 1 : left;
    for (size_t i = 0; i < n; i++)
        text[i] = pattern(a->written + i);
    for (int i = 0; i < 4; i++) {
        size_t piece = i == 3 ? n - at : rng_below(&a->rng, n - at + 1);
        v[i] = bytes_of(text + at, piece);
        at += piece;
    }
    enter(a);
    ssize_t put = stream_writev(a->s, v, 4);
    leave(a);
    if (put > 0)
        a->written += (uint64_t)put;
    return put;
}

static void finish(struct actor *a)
{
    if (a->is_finished)
        return;
    a->is_finished = true;
    enter(a);
    stream_finish(a->s);
    leave(a);
}

static void pump(struct actor *a)
{
    while (a->written < a->to_write) {
        ssize_t put = write_some(a);
        if (put < 0) {
            a->refused = put;
            return;
        }
        if (put == 0) {
            want(a, a->s->wants_read, true);
            return;
        }
    }
    if (a->finishes)
        finish(a);
}

static void send_back(struct actor *a)
{
    size_t done = 0;
    while (done < a->pending_n) {
        enter(a);
        ssize_t put = stream_write(a->s, bytes_of(a->pending + done, a->pending_n - done));
        leave(a);
        assert_true(put >= 0);
        if (put == 0)
            break;
        done += (size_t)put;
    }
    memmove(a->pending, a->pending + done, a->pending_n -= done);
    if (a->pending_n)
        want(a, false, true);
    else if (a->is_ended)
        finish(a);
    else
        want(a, true, false);
}

static void read_all(struct actor *a)
{
    while (!a->is_ended) {
        size_t n = 1 + rng_below(&a->rng, rng_below(&a->rng, 3) ? 300 : sizeof a->pending - 1);
        uint8_t *to = a->pending;
        enter(a);
        ssize_t got = stream_read(a->s, to, n);
        leave(a);
        if (got == E_AGAIN)
            return;
        if (got == E_EOF || got < 0) {
            a->is_ended = got == E_EOF;
            if (a->echoes)
                send_back(a);
            return;
        }
        assert_true((size_t)got <= n);
        check_bytes(a->got, to, (size_t)got);
        a->got += (uint64_t)got;
        if (a->echoes) {
            a->pending_n = (size_t)got;
            send_back(a);
            if (a->pending_n)
                return;
        }
    }
}

static void readable(void *ctx)
{
    struct actor *a = ctx;
    assert_false(a->is_in_call);
    assert_false(a->is_closed);
    assert_true(a->s->wants_read);
    a->readables++;
    read_all(a);
    if (a->stops)
        want(a, false, false);
}

static void writable(void *ctx)
{
    struct actor *a = ctx;
    assert_false(a->is_in_call);
    assert_false(a->is_closed);
    assert_false(a->s->wants_write);
    a->writables++;
    if (a->echoes)
        send_back(a);
    else
        pump(a);
}

static void closed(void *ctx, int err)
{
    struct actor *a = ctx;
    assert_false(a->is_in_call);
    assert_false(a->is_closed);
    assert_int_equal(a->broken, 0);
    assert_true(err < 0);
    a->broken = err;
}

static const struct stream_events events = {readable, writable, closed};

static struct actor *actor_new(struct stream *s, uint64_t seed)
{
    struct actor *a = MEM_NEW(struct actor);
    a->s = s;
    rng_init_seeded(&a->rng, seed);
    stream_listen(s, &events, a);
    return a;
}

static void actor_close(struct actor *a)
{
    if (a->is_closed)
        return;
    enter(a);
    stream_close(a->s);
    a->is_closed = true;
}

struct scene {
    struct world *w;
    struct actor *a, *b;
};

typedef void (*world_maker)(struct world *w);

/* TLS takes nothing before its handshake, which a busy machine may draw out: the promises are tested after
 * it, so that no test depends on how long that takes. */
struct handshake {
    int ready, broken;
};

static void handshake_writable(void *ctx)
{
    ((struct handshake *)ctx)->ready = 1;
}

static void handshake_closed(void *ctx, int err)
{
    ((struct handshake *)ctx)->broken = err;
}

static bool handshakes_are_over(void *ctx)
{
    const struct handshake *h = ctx;
    return h[0].ready && h[1].ready;
}

static void shake_hands(struct world *w)
{
    static const struct stream_events on = {NULL, handshake_writable, handshake_closed};
    struct handshake h[2] = {{0}};
    if (strcmp(w->a->ops->kind, "tls") != 0)
        return;
    stream_listen(w->a, &on, &h[0]);
    stream_listen(w->b, &on, &h[1]);
    stream_want_write(w->a, true);
    stream_want_write(w->b, true);
    assert_true(world_run(w, handshakes_are_over, h, 60 * US_PER_S));
}

static int scene_setup(void **state)
{
    world_maker make = (world_maker)(uintptr_t)*state;
    struct scene *sc = MEM_NEW(struct scene);
    sc->w = MEM_NEW(struct world);
    make(sc->w);
    shake_hands(sc->w);
    sc->a = actor_new(sc->w->a, 1);
    sc->b = actor_new(sc->w->b, 2);
    *state = sc;
    return 0;
}

static int scene_teardown(void **state)
{
    struct scene *sc = *state;
    actor_close(sc->a);
    actor_close(sc->b);
    world_run(sc->w, world_never, NULL, 10 * US_PER_MS); /* nobody may be called any more */
    world_end(sc->w);
    free(sc->a);
    free(sc->b);
    free(sc);
    return 0;
}

static void settle(struct scene *sc)
{
    world_run(sc->w, world_never, NULL, (sc->w->virtual ? 200 : 30) * US_PER_MS);
}

/* --- the promises --- */

static bool a_is_ended(void *ctx)
{
    return ((struct scene *)ctx)->a->is_ended;
}

static bool b_is_ended(void *ctx)
{
    return ((struct scene *)ctx)->b->is_ended;
}

static void echo_in_random_chunks(void **state)
{
    struct scene *sc = *state;
    sc->b->echoes = true;
    sc->a->to_write = 3000000;
    sc->a->finishes = true;
    want(sc->a, true, false);
    want(sc->b, true, false);
    pump(sc->a);
    assert_true(world_run(sc->w, a_is_ended, sc, 60 * US_PER_S));
    assert_int_equal(sc->a->got, 3000000);
    assert_int_equal(sc->b->got, 3000000);
    assert_int_equal(sc->a->broken, 0);
    assert_int_equal(sc->b->broken, 0);
}

static void half_close_leaves_the_other_half(void **state)
{
    struct scene *sc = *state;
    want(sc->a, true, false);
    want(sc->b, true, false);
    sc->a->to_write = 10;
    sc->a->finishes = true;
    pump(sc->a);
    assert_true(world_run(sc->w, b_is_ended, sc, 5 * US_PER_S));
    assert_int_equal(sc->b->got, 10);
    assert_false(sc->a->is_ended);
    sc->b->to_write = 500000;
    sc->b->finishes = true;
    pump(sc->b);
    assert_true(world_run(sc->w, a_is_ended, sc, 10 * US_PER_S));
    assert_int_equal(sc->a->got, 500000);
}

static void end_is_said_once(void **state)
{
    struct scene *sc = *state;
    want(sc->b, true, false);
    finish(sc->a);
    assert_true(world_run(sc->w, b_is_ended, sc, 5 * US_PER_S));
    int before = sc->b->readables;
    settle(sc);
    assert_int_equal(sc->b->readables, before);
    uint8_t c;
    assert_int_equal(stream_read(sc->b->s, &c, 1), E_EOF);
}

static bool b_is_broken(void *ctx)
{
    return ((struct scene *)ctx)->b->broken != 0;
}

static void reset_is_told_to_who_does_not_read(void **state)
{
    struct scene *sc = *state;
    settle(sc);
    enter(sc->a);
    stream_reset(sc->a->s, STREAM_CANCELLED);
    leave(sc->a);
    actor_close(sc->a);
    assert_true(world_run(sc->w, b_is_broken, sc, 5 * US_PER_S));
    assert_int_equal(sc->b->broken, E_RESET);
    uint8_t c = 0;
    assert_true(stream_read(sc->b->s, &c, 1) < 0);
    assert_true(stream_write(sc->b->s, bytes_of(&c, 1)) < 0);
}

static void reset_is_told_with_bytes_unread(void **state)
{
    struct scene *sc = *state;
    sc->b->to_write = 1000;
    pump(sc->b); /* lies unread at a */
    settle(sc);
    stream_reset(sc->a->s, STREAM_CANCELLED);
    actor_close(sc->a);
    want(sc->b, true, false);
    assert_true(world_run(sc->w, b_is_broken, sc, 5 * US_PER_S));
    assert_false(sc->b->is_ended);
}

static void after_reset_nothing_works_here(void **state)
{
    struct scene *sc = *state;
    uint8_t c = 0;
    stream_reset(sc->a->s, STREAM_INTERNAL);
    assert_true(stream_read(sc->a->s, &c, 1) < 0);
    assert_true(stream_write(sc->a->s, bytes_of(&c, 1)) < 0);
    stream_reset(sc->a->s, STREAM_INTERNAL);
    want(sc->a, true, true);
    settle(sc);
    assert_int_equal(sc->a->readables + sc->a->writables, 0);
}

static void close_delivers_what_was_taken(void **state)
{
    struct scene *sc = *state;
    settle(sc); /* TLS takes nothing before its handshake */
    sc->a->to_write = 3000000;
    for (ssize_t put = 1; put > 0 && sc->a->written < sc->a->to_write;)
        put = write_some(sc->a);
    uint64_t taken = sc->a->written;
    assert_true(taken > 10000);
    actor_close(sc->a);
    settle(sc);
    want(sc->b, true, false);
    assert_true(world_run(sc->w, b_is_ended, sc, 10 * US_PER_S));
    assert_int_equal(sc->b->got, taken);
}

/* The classic: an answer, then close, while the other side is still sending. */
static void close_with_bytes_unread_still_delivers(void **state)
{
    struct scene *sc = *state;
    sc->b->to_write = 50000;
    pump(sc->b);
    settle(sc);
    sc->a->to_write = 5000;
    pump(sc->a);
    actor_close(sc->a);
    settle(sc);
    want(sc->b, true, false);
    assert_true(world_run(sc->w, b_is_ended, sc, 5 * US_PER_S));
    assert_int_equal(sc->b->got, 5000);
    assert_int_equal(sc->b->broken, 0);
}

static bool b_cannot_write(void *ctx)
{
    struct actor *b = ((struct scene *)ctx)->b;
    return b->broken || b->refused;
}

/* LIMIT_LOOP_LINGER_BYTES: a closed end does not swallow for ever. */
static void who_sends_on_after_close_is_stopped(void **state)
{
    struct scene *sc = *state;
    sc->b->to_write = 20000;
    pump(sc->b);
    settle(sc);
    actor_close(sc->a);
    sc->b->to_write = 200000000;
    pump(sc->b);
    assert_true(world_run(sc->w, b_cannot_write, sc, 20 * US_PER_S));
    assert_true(sc->b->written < 20000000);
}

static bool a_has_written_all(void *ctx)
{
    struct actor *a = ((struct scene *)ctx)->a;
    return a->written == a->to_write;
}

static bool b_has_all(void *ctx)
{
    struct scene *sc = ctx;
    return sc->b->got == sc->a->to_write;
}

static void writer_stops_when_nobody_reads(void **state)
{
    struct scene *sc = *state;
    sc->a->to_write = 30000000;
    pump(sc->a);
    settle(sc);
    settle(sc);
    uint64_t stuck_at = sc->a->written;
    settle(sc);
    assert_int_equal(sc->a->written, stuck_at);
    assert_true(stuck_at < 16000000);
    assert_true(sc->a->s->wants_write);
    want(sc->b, true, false);
    assert_true(world_run(sc->w, a_has_written_all, sc, 60 * US_PER_S));
    assert_true(world_run(sc->w, b_has_all, sc, 60 * US_PER_S));
    assert_int_equal(sc->b->got, 30000000);
}

static void waiting_writer_hears_of_close(void **state)
{
    struct scene *sc = *state;
    sc->b->to_write = 30000000;
    pump(sc->b);
    settle(sc);
    assert_true(sc->b->s->wants_write);
    stream_reset(sc->a->s, STREAM_CANCELLED);
    actor_close(sc->a);
    assert_true(world_run(sc->w, b_is_broken, sc, 5 * US_PER_S));
}

static bool b_has_3(void *ctx)
{
    return ((struct scene *)ctx)->b->got == 3;
}

static void reading_can_be_switched(void **state)
{
    struct scene *sc = *state;
    want(sc->b, true, false);
    sc->a->to_write = 1;
    pump(sc->a);
    settle(sc);
    assert_int_equal(sc->b->got, 1);
    want(sc->b, false, false);
    int before = sc->b->readables;
    sc->a->to_write = 2;
    pump(sc->a);
    settle(sc);
    sc->a->to_write = 3;
    pump(sc->a);
    settle(sc);
    assert_int_equal(sc->b->readables, before);
    want(sc->b, true, false);
    assert_true(world_run(sc->w, b_has_3, sc, 5 * US_PER_S));
}

static void reading_works_without_asking_for_events(void **state)
{
    struct scene *sc = *state;
    sc->b->stops = true;
    want(sc->b, true, false);
    sc->a->to_write = 10;
    pump(sc->a);
    settle(sc);
    settle(sc);
    for (int i = 0; i < 100 && !sc->b->got; i++) { /* TLS may wake for a record without data */
        want(sc->b, true, false);
        settle(sc);
    }
    uint64_t first = sc->b->got;
    assert_true(first > 0);
    sc->a->to_write = 20;
    pump(sc->a);
    settle(sc);
    assert_int_equal(sc->b->got, first);
    read_all(sc->b);
    assert_int_equal(sc->b->got, 20);
}

static void writable_comes_once_per_want(void **state)
{
    struct scene *sc = *state;
    want(sc->a, false, true);
    settle(sc);
    assert_int_equal(sc->a->writables, 1);
    want(sc->a, false, true);
    settle(sc);
    assert_int_equal(sc->a->writables, 2);
    want(sc->a, false, true);
    want(sc->a, false, false);
    settle(sc);
    assert_int_equal(sc->a->writables, 2);
}

static void close_in_callback(void *ctx)
{
    actor_close(ctx);
}

static void closes_from_its_own_callback(void **state)
{
    static const struct stream_events closing = {close_in_callback, close_in_callback, closed};
    struct scene *sc = *state;
    stream_listen(sc->b->s, &closing, sc->b);
    want(sc->b, true, true);
    sc->a->to_write = 10;
    pump(sc->a);
    settle(sc);
    assert_true(sc->b->is_closed);
}

/* --- the table --- */

#define CASE(maker, test)                                                                          \
    {                                                                                              \
#maker ": " #test, test, scene_setup, scene_teardown, (void *)(uintptr_t)world_##maker     \
    }
#define SUITE(maker)                                                                               \
    CASE(maker, echo_in_random_chunks), CASE(maker, half_close_leaves_the_other_half),             \
        CASE(maker, end_is_said_once), CASE(maker, reset_is_told_to_who_does_not_read),            \
        CASE(maker, after_reset_nothing_works_here), CASE(maker, close_delivers_what_was_taken),   \
        CASE(maker, close_with_bytes_unread_still_delivers),                                       \
        CASE(maker, writer_stops_when_nobody_reads), CASE(maker, waiting_writer_hears_of_close),   \
        CASE(maker, reading_can_be_switched), CASE(maker, writable_comes_once_per_want),           \
        CASE(maker, closes_from_its_own_callback), CASE(maker, reset_is_told_with_bytes_unread),   \
        CASE(maker, who_sends_on_after_close_is_stopped),                                          \
        CASE(maker, reading_works_without_asking_for_events)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SUITE(tcp), SUITE(local),    SUITE(pipe),        SUITE(virtual),
        SUITE(tls), SUITE(tls_pipe), SUITE(tls_virtual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

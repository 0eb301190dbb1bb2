// SPDX-License-Identifier: MIT
/* Two Yamux machines against each other, through pipes that cut anywhere, over many seeds. A model
 * beside them says what each stream must deliver: bytes number k of stream id are f(id, k), the end
 * comes after the last of them, and nobody is told anything twice. */
#include "p2p/noise_cipher.h"
#include "p2p/yamux.h"

#include "base/err.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { STREAMS = 40, CLIENT = 0, SERVER = 1 };

static uint64_t seed_now; /* named when a case fails */
#define CHECK(c)                                                                                   \
    do {                                                                                           \
        if (!(c))                                                                                  \
            fail_msg("seed %llu: " #c, (unsigned long long)seed_now);                              \
    } while (0)

/* One end of one stream, and what the model says about it. */
struct end {
    struct yamux_stream s;
    bool is_live, was_acked, saw_end, saw_reset, did_finish, did_reset;
    uint64_t wrote, to_write, got;
};

struct side {
    struct yamux y;
    struct buf wire; /* what this side said and the other has not heard yet */
    struct end *ends[STREAMS];
    int n;
};

struct world {
    struct sched clock;
    struct rng rng;
    struct yamux_budget budget;
    struct side side[2];
    struct end *pool; /* ends, by id: [side][id] */
};

static uint8_t byte_of(uint32_t id, int from, uint64_t k)
{
    return (uint8_t)(id * 31 + (uint32_t)from * 101 + k * 7 + (k >> 8));
}

static struct end *end_at(struct world *w, int side, uint32_t id)
{
    CHECK(id > 0 && id <= 2 * STREAMS + 2);
    return &w->pool[side * (2 * STREAMS + 4) + (int)id];
}

static struct end *end_of(struct yamux_stream *s)
{
    return CONTAINER_OF(s, struct end, s);
}

static void begin(struct world *w, struct end *e)
{
    e->is_live = true;
    e->to_write = rng_below(&w->rng, 4) ? rng_below(&w->rng, 3000) : rng_below(&w->rng, 700000);
}

static void read_some(struct world *w, int side, struct end *e)
{
    uint8_t chunk[5000];
    uint64_t want = 1 + rng_below(&w->rng, sizeof chunk);
    ssize_t n = yamux_read(&e->s, chunk, want);
    for (ssize_t i = 0; i < n; i++)
        CHECK(chunk[i] == byte_of(e->s.id, !side, e->got + (uint64_t)i));
    if (n > 0)
        e->got += (uint64_t)n;
    if (n == E_EOF)
        CHECK(e->got == end_at(w, !side, e->s.id)->wrote && end_at(w, !side, e->s.id)->did_finish);
}

static void write_some(struct world *w, int side, struct end *e)
{
    uint8_t chunk[9000];
    uint64_t n = 1 + rng_below(&w->rng, sizeof chunk);
    if (e->did_finish || e->did_reset || e->saw_reset)
        return;
    n = n < e->to_write - e->wrote ? n : e->to_write - e->wrote;
    for (uint64_t i = 0; i < n; i++)
        chunk[i] = byte_of(e->s.id, side, e->wrote + i);
    ssize_t took = yamux_write(&e->s, bytes_of(chunk, n));
    CHECK(took >= 0);
    e->wrote += (uint64_t)took;
    if (e->wrote == e->to_write) {
        yamux_finish(&e->s);
        e->did_finish = true;
    }
}

static void on_event(struct world *w, int side, struct yamux_event *ev)
{
    struct end *e = ev->stream ? end_of(ev->stream) : NULL;
    switch (ev->kind) {
    case YAMUX_INBOUND:
        e = end_at(w, side, ev->id);
        CHECK(!e->is_live);
        if (rng_below(&w->rng, 10) == 0)
            return; /* not wanted */
        yamux_accept(&w->side[side].y, &e->s);
        begin(w, e);
        w->side[side].ends[w->side[side].n++] = e;
        return;
    case YAMUX_ACKED:
        CHECK(!e->was_acked && !e->s.is_inbound);
        e->was_acked = true;
        return;
    case YAMUX_DATA:
        if (rng_below(&w->rng, 2))
            read_some(w, side, e);
        return;
    case YAMUX_ENDED:
        CHECK(!e->saw_end && !e->saw_reset);
        e->saw_end = true;
        return;
    case YAMUX_RESET:
        CHECK(!e->saw_reset && !e->did_reset && ev->err == E_RESET);
        e->saw_reset = true;
        return;
    case YAMUX_WRITABLE:
        CHECK(yamux_room(&e->s) > 0);
        return;
    case YAMUX_PONG:
        CHECK(ev->rtt_us > 0);
        return;
    default:
        CHECK(false);
    }
}

static void hear(struct world *w, int side)
{
    struct side *me = &w->side[side];
    struct buf *wire = &w->side[!side].wire;
    uint64_t n = rng_below(&w->rng, buf_len(wire) + 1);
    uint8_t *copy = mem_new(n); /* exactly as long, so that a byte too far is noticed */
    memcpy(copy, buf_view(wire).p, n);
    struct bytes in = bytes_of(copy, n);
    struct yamux_event ev;
    int r;
    while ((r = yamux_next(&me->y, &in, &ev)) == 1)
        on_event(w, side, &ev);
    CHECK(r == 0 && in.n == 0);
    free(copy);
    buf_consume(wire, n);
}

static void say(struct world *w, int side)
{
    uint8_t out[NOISE_BATCH];
    size_t room = YAMUX_DRAIN_MIN + rng_below(&w->rng, sizeof out - YAMUX_DRAIN_MIN);
    size_t n = yamux_drain(&w->side[side].y, out, room);
    CHECK(n <= room);
    buf_append(&w->side[side].wire, out, n);
}

static void act(struct world *w, int side)
{
    struct side *me = &w->side[side];
    if (rng_below(&w->rng, 8) == 0) {
        struct end *e = end_at(w, side, me->y.next_id);
        if (me->n < STREAMS / 2 && yamux_open(&me->y, &e->s) == 0) {
            begin(w, e);
            me->ends[me->n++] = e;
        }
    }
    if (!me->n)
        return;
    struct end *e = me->ends[rng_below(&w->rng, (uint64_t)me->n)];
    if (!e->s.session)
        return;
    write_some(w, side, e);
    read_some(w, side, e);
    if (rng_below(&w->rng, 300) == 0 && !yamux_is_done(&e->s)) {
        yamux_reset(&e->s, 5);
        e->did_reset = true;
    }
    if (rng_below(&w->rng, 50) == 0)
        yamux_ping(&me->y);
}

/* What must hold at any moment. */
static void check_invariants(struct world *w)
{
    for (int side = 0; side < 2; side++) {
        struct side *me = &w->side[side];
        uint32_t unacked = 0;
        uint64_t held = 0;
        for (int i = 0; i < me->n; i++) {
            struct yamux_stream *s = &me->ends[i]->s;
            const struct yamux_recv *r = &s->recv;
            if (!s->session)
                continue;
            held += r->charged;
            unacked += !s->is_inbound && !s->is_acked && !s->is_reset;
            if (s->is_reset)
                continue;
            uint64_t rest = me->y.body_to == s ? me->y.body_left : 0;
            CHECK((uint64_t)r->credit + r->owed + buf_len(&r->unread) + rest == r->window);
        }
        CHECK(unacked == me->y.unacked && held == me->y.held);
    }
    CHECK(w->side[0].y.held + w->side[1].y.held == w->budget.used);
}

static bool all_ended(struct world *w)
{
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < w->side[side].n; i++) {
            struct end *e = w->side[side].ends[i];
            struct end *other = end_at(w, !side, e->s.id);
            if (e->saw_reset || e->did_reset)
                continue;
            if (other->did_reset || !e->did_finish || !e->saw_end || e->got != other->wrote)
                return false;
        }
    }
    return true;
}

static void run_seed(uint64_t seed)
{
    struct world *w = MEM_NEW(struct world);
    seed_now = seed;
    rng_init_seeded(&w->rng, seed);
    sched_init(&w->clock, 1, 0);
    yamux_budget_init(&w->budget, 64 << 20);
    w->pool = mem_array(2 * (2 * STREAMS + 4), sizeof *w->pool);
    for (int side = 0; side < 2; side++) {
        struct yamux_cfg cfg = yamux_cfg_default(side == CLIENT, &w->clock, &w->rng);
        cfg.budget = &w->budget;
        yamux_init(&w->side[side].y, &cfg);
        buf_init(&w->side[side].wire, 0);
    }
    for (int step = 0; step < 3000 || !all_ended(w); step++) {
        CHECK(step < 200000);
        sched_set_now(&w->clock, w->clock.now_us + rng_below(&w->rng, 500), 0);
        int side = (int)rng_below(&w->rng, 2);
        hear(w, side);
        act(w, side);
        say(w, side);
        if (step % 16 == 0)
            check_invariants(w);
        if (step >= 3000) /* only finish what is open */
            for (int i = 0; i < w->side[side].n; i++)
                if (w->side[side].ends[i]->s.session) {
                    write_some(w, side, w->side[side].ends[i]);
                    read_some(w, side, w->side[side].ends[i]);
                }
    }
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < w->side[side].n; i++)
            yamux_release(&w->side[side].ends[i]->s);
        CHECK(w->side[side].y.inbound == 0 && w->side[side].y.outbound == 0);
        CHECK(w->side[side].y.held == 0 && list_is_empty(&w->side[side].y.streams));
        yamux_fini(&w->side[side].y);
        buf_fini(&w->side[side].wire);
    }
    sched_fini(&w->clock);
    free(w->pool);
    free(w);
}

static void pair_over_seeds(void **state)
{
    const char *one = getenv("SEED");
    if (one) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= 30; seed++)
        run_seed(seed);
}

/* --- how fast it is: one stream, sealed and opened, in memory --- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Moves what `from` has to say into `to` through the ciphers; reads as it arrives. */
static uint64_t carry(struct yamux *from, struct yamux *to, struct noise_cipher *seal,
                      struct noise_cipher *open, uint8_t *frame, struct yamux_stream *accept)
{
    static uint8_t sink[64 * 1024];
    uint64_t got = 0;
    struct yamux_event ev;
    size_t n = yamux_drain(from, frame + NOISE_LENGTH, NOISE_BATCH);
    if (!n)
        return 0;
    int size = noise_seal(seal, frame, n);
    int plain = noise_open(open, frame, (size_t)size);
    assert_int_equal(plain, n);
    struct bytes in = bytes_of(frame + NOISE_LENGTH, n);
    while (yamux_next(to, &in, &ev) == 1) {
        if (ev.kind == YAMUX_INBOUND)
            yamux_accept(to, accept);
        if (ev.kind == YAMUX_DATA)
            for (ssize_t r; (r = yamux_read(ev.stream, sink, sizeof sink)) > 0;)
                got += (uint64_t)r;
    }
    return got;
}

static void throughput_is_printed(void **state)
{
    const uint64_t total = 512u << 20;
    struct sched clock;
    struct yamux a, b;
    struct yamux_stream s = {0}, t = {0};
    struct noise_cipher ab[2], ba[2];
    uint8_t key[32] = {1}, *frame = mem_new(NOISE_BATCH_BYTES), *body = mem_new(64 * 1024);
    uint64_t got = 0;
    sched_init(&clock, 1, 0);
    struct yamux_cfg ca = yamux_cfg_default(true, &clock, NULL);
    struct yamux_cfg cb = yamux_cfg_default(false, &clock, NULL);
    yamux_init(&a, &ca);
    yamux_init(&b, &cb);
    noise_cipher_init(&ab[0], true, key);
    noise_cipher_init(&ab[1], false, key);
    noise_cipher_init(&ba[0], true, key);
    noise_cipher_init(&ba[1], false, key);
    assert_int_equal(yamux_open(&a, &s), 0);
    double start = seconds();
    while (got < total) {
        yamux_write(&s, bytes_of(body, 64 * 1024));
        got += carry(&a, &b, &ab[0], &ab[1], frame, &t);
        carry(&b, &a, &ba[0], &ba[1], frame, NULL);
    }
    double took = seconds() - start;
    print_message("noise + yamux, one stream, both ends on one core: %.2f Gbit/s\n",
                  (double)got * 8e-9 / took);
    yamux_release(&s);
    yamux_release(&t);
    yamux_fini(&a);
    yamux_fini(&b);
    for (int i = 0; i < 2; i++) {
        noise_cipher_fini(&ab[i]);
        noise_cipher_fini(&ba[i]);
    }
    free(frame);
    free(body);
    sched_fini(&clock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pair_over_seeds),
        cmocka_unit_test(throughput_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/* See pnet.h. */
#include "p2p/pnet.h"

#include "base/mem.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

enum { BLOCK = 64, PIECE = 16384, PIECES_A_WRITE = 16 };

/* One direction: a salsa20 whose key was made of the network's key and the first 16 bytes of the
 * nonce (that is what the X is), and how far it has come. */
struct keystream {
    uint8_t key[crypto_stream_salsa20_KEYBYTES];
    uint8_t nonce[PNET_NONCE];
    uint64_t at;
};

struct pnet {
    struct stream base;
    struct stream *inner;
    struct task hello; /* the nonce of a listener goes out unasked */
    struct pnet_key secret;
    struct keystream out, in;
    size_t nonce_sent, nonce_read;
    bool is_hello_due, is_clear; /* clear: the other side has no key */
};

static struct pnet *of(struct stream *s)
{
    return CONTAINER_OF(s, struct pnet, base);
}

static void keystream_start(struct keystream *k, const struct pnet_key *secret)
{
    crypto_core_hsalsa20(k->key, k->nonce, secret->b, NULL);
}

/* ⊕ with the keystream from position `at` on; `to` may be `from`. */
static void keystream_apply(const struct keystream *k, uint64_t at, uint8_t *to,
                            const uint8_t *from, size_t n)
{
    const uint8_t *nonce = k->nonce + 16;
    size_t skip = at % BLOCK, head = skip ? BLOCK - skip : 0;
    if (head) {
        uint8_t block[BLOCK] = {0};
        crypto_stream_salsa20_xor_ic(block, block, BLOCK, nonce, at / BLOCK, k->key);
        head = head < n ? head : n;
        for (size_t i = 0; i < head; i++)
            to[i] = from[i] ^ block[skip + i];
        mem_wipe(block, sizeof block);
    }
    if (n > head)
        crypto_stream_salsa20_xor_ic(to + head, from + head, n - head, nonce, (at + head) / BLOCK,
                                     k->key);
}

/* --- out --- */

/* Copies from the vector, from byte `at` on, up to `room`. */
static size_t gather(const struct bytes *v, int count, size_t at, uint8_t *to, size_t room)
{
    size_t n = 0;
    for (int i = 0; i < count && n < room; i++) {
        if (at >= v[i].n) {
            at -= v[i].n;
            continue;
        }
        size_t part = v[i].n - at < room - n ? v[i].n - at : room - n;
        memcpy(to + n, v[i].p + at, part);
        n += part;
        at = 0;
    }
    return n;
}

/* One piece: the nonce, as far as it waits, and up to PIECE hidden bytes behind it. How many bytes
 * of the user's were taken; *is_full when the inner stream took less than all. */
static ssize_t write_piece(struct pnet *p, const struct bytes *v, int count, size_t at,
                           bool *is_full)
{
    uint8_t hidden[PIECE];
    struct bytes parts[2] = {bytes_of(p->out.nonce + p->nonce_sent, PNET_NONCE - p->nonce_sent),
                             {0}};
    size_t n = gather(v, count, at, hidden, sizeof hidden);
    if (n)
        keystream_apply(&p->out, p->out.at, hidden, hidden, n);
    parts[1] = bytes_of(hidden, n);
    int first = parts[0].n ? 0 : 1, end = n ? 2 : 1;
    if (first == end)
        return 0;
    ssize_t put = stream_writev(p->inner, parts + first, end - first);
    if (put < 0)
        return put;
    size_t of_nonce = (size_t)put < parts[0].n ? (size_t)put : parts[0].n;
    *is_full = (size_t)put < parts[0].n + n;
    p->nonce_sent += of_nonce;
    p->out.at += (size_t)put - of_nonce;
    return put - (ssize_t)of_nonce;
}

static ssize_t pnet_writev(struct stream *s, const struct bytes *v, int count)
{
    struct pnet *p = of(s);
    size_t taken = 0, total = 0;
    bool is_full = false;
    for (int i = 0; i < count; i++)
        total += v[i].n;
    for (int i = 0; i < PIECES_A_WRITE && !is_full && taken < total; i++) {
        ssize_t n = write_piece(p, v, count, taken, &is_full);
        if (n < 0)
            return taken ? (ssize_t)taken : n == E_AGAIN ? 0 : n;
        taken += (size_t)n;
    }
    return (ssize_t)taken;
}

/* The user's wish, and ours as long as the nonce waits for room. */
static void set_wants(struct pnet *p)
{
    bool nonce_waits = p->nonce_sent > 0 && p->nonce_sent < PNET_NONCE;
    stream_want_read(p->inner, p->base.wants_read);
    stream_want_write(p->inner, p->base.wants_write || nonce_waits || p->is_hello_due);
}

/* An error shows itself with the next read or write of the user's. */
static void say_hello(struct pnet *p)
{
    bool is_full = false;
    (void)write_piece(p, NULL, 0, 0, &is_full);
    p->is_hello_due = is_full;
    set_wants(p);
}

static void hello(struct task *t)
{
    say_hello(CONTAINER_OF(t, struct pnet, hello));
}

/* --- in --- */

/* 0 when it is complete, or what reading said. Whoever has no key begins with multistream-select. */
static int read_nonce(struct pnet *p)
{
    static const char clear[] = "\x13/multistream/1.0.0\n";
    while (p->nonce_read < PNET_NONCE) {
        ssize_t n = stream_read(p->inner, p->in.nonce + p->nonce_read, PNET_NONCE - p->nonce_read);
        if (n <= 0)
            return (int)n;
        p->nonce_read += (size_t)n;
        if (p->nonce_read >= sizeof clear - 1 && !memcmp(p->in.nonce, clear, sizeof clear - 1)) {
            p->is_clear = true;
            return E_WRONG_NETWORK;
        }
    }
    keystream_start(&p->in, &p->secret);
    return 0;
}

/* A nonce and then the end: it could make nothing of what we say. */
static int why_ended(const struct pnet *p, int err)
{
    bool said_nothing = p->nonce_read == PNET_NONCE && p->in.at == 0;
    return said_nothing && (err == E_EOF || err == E_RESET) ? E_WRONG_NETWORK : err;
}

static ssize_t pnet_read(struct stream *s, void *to, size_t n)
{
    struct pnet *p = of(s);
    if (p->is_clear)
        return E_WRONG_NETWORK;
    int err = p->nonce_read < PNET_NONCE ? read_nonce(p) : 0;
    if (err)
        return err;
    ssize_t got = stream_read(p->inner, to, n);
    if (got <= 0)
        return why_ended(p, (int)got);
    keystream_apply(&p->in, p->in.at, to, to, (size_t)got);
    p->in.at += (size_t)got;
    return got;
}

/* --- passing on --- */

static void inner_readable(void *ctx)
{
    struct pnet *p = ctx;
    p->base.on->readable(p->base.ctx);
}

static void inner_writable(void *ctx)
{
    struct pnet *p = ctx;
    if (!p->base.wants_write) {
        say_hello(p);
        return;
    }
    p->base.wants_write = false;
    p->base.on->writable(p->base.ctx);
}

static void inner_closed(void *ctx, int err)
{
    struct pnet *p = ctx;
    p->base.on->closed(p->base.ctx, why_ended(p, err));
}

static int pnet_finish(struct stream *s)
{
    return stream_finish(of(s)->inner);
}

static void pnet_reset(struct stream *s, enum stream_reason reason)
{
    stream_reset(of(s)->inner, reason);
}

static void pnet_close(struct stream *s)
{
    struct pnet *p = of(s);
    task_cancel(&p->hello);
    stream_close(p->inner);
    mem_wipe(p, sizeof *p);
    free(p);
}

static void pnet_want(struct stream *s, bool read, bool write)
{
    set_wants(of(s));
}

static const struct stream_ops pnet_ops = {
    "pnet", pnet_read, pnet_writev, pnet_finish, pnet_reset, pnet_close, pnet_want,
};

struct stream *pnet_wrap(struct stream *inner, const struct pnet_key *key, bool is_dialer,
                         struct sched *sched, struct rng *rng)
{
    static const struct stream_events inner_events = {inner_readable, inner_writable, inner_closed};
    struct pnet *p = MEM_NEW(struct pnet);
    p->base.ops = &pnet_ops;
    p->base.remote = inner->remote;
    p->base.principal = inner->principal;
    p->inner = inner;
    p->secret = *key;
    rng_fill(rng, p->out.nonce, PNET_NONCE);
    keystream_start(&p->out, key);
    task_init(&p->hello, hello);
    stream_listen(inner, &inner_events, p);
    p->is_hello_due = !is_dialer;
    if (!is_dialer)
        task_defer(sched, &p->hello);
    return &p->base;
}

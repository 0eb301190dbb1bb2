// SPDX-License-Identifier: MIT
/* A connection as a machine, over fake streams. The first byte says which of the three:
 *
 *   0  a listener is told anything, from the first byte on, in any pieces
 *   1  a listener has a proved peer behind it, whose plaintext (yamux, mss, streams) is anything
 *   2  the same with the dialer as the one who is told
 *
 * Then pieces: a length byte, how much time passes (in steps of 50 ms), and the bytes. Whatever
 * comes, each connection is closed once and nothing is left behind. */
#include "unit/p2p/conn_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One piece of the input; false when there is no more. */
static bool take_piece(struct bytes *in, struct bytes *piece, uint64_t *wait_us)
{
    if (in->n < 3)
        return false;
    size_t n = (size_t)in->p[0] << (in->p[1] >> 5); /* up to 32 KiB */
    *wait_us = (in->p[1] & 31) * 50 * US_PER_MS;
    *in = bytes_skip(*in, 2);
    *piece = bytes_first(*in, n);
    *in = bytes_skip(*in, piece->n);
    return true;
}

static void raw(struct bytes in)
{
    struct pair p;
    struct bytes piece;
    uint64_t wait_us;
    pair_init(&p, 1);
    struct fake_stream *wire = fake_stream_new(&p.world);
    p.b.conn = conn_new(&p.b.env, &wire->s, false, NULL);
    while (p.b.conn && take_piece(&in, &piece, &wait_us)) {
        fake_feed(wire, piece.p, piece.n);
        fake_world_advance(&p.world, wait_us);
    }
    if (p.b.opened || p.b.closed > 1)
        abort(); /* nobody proved anything */
    fake_world_advance(&p.world, 30 * US_PER_S);
    if (p.b.conn || p.b.closed != 1 || !wire->is_closed)
        abort();
    pair_fini(&p);
}

/* A user of a stream of ours: reads whatever comes. */
struct reader {
    struct conn_open open;
    struct stream *s;
    int done;
};

static void reader_end(struct reader *r)
{
    stream_close(r->s);
    r->s = NULL;
}

static void reader_readable(void *ctx)
{
    struct reader *r = ctx;
    uint8_t in[3000];
    ssize_t n;
    while ((n = stream_read(r->s, in, sizeof in)) > 0)
        ;
    if (n != E_AGAIN)
        reader_end(r);
}

static void reader_writable(void *ctx)
{
}

static void reader_closed(void *ctx, int err)
{
    reader_end(ctx);
}

static const struct stream_events reader_events = {reader_readable, reader_writable, reader_closed};

static void reader_opened(struct conn_open *o, int err, struct stream *s)
{
    struct reader *r = CONTAINER_OF(o, struct reader, open);
    if (r->done++)
        abort();
    if (err)
        return;
    r->s = s;
    stream_listen(s, &reader_events, r);
    stream_want_read(s, true);
    stream_write(s, BYTES_LIT("hello"));
}

/* What the peer's machine did not say: sealed as if it had. */
static void inject(struct side *from, struct fake_stream *to, struct bytes plain)
{
    static uint8_t frame[NOISE_BATCH_BYTES];
    memcpy(frame + NOISE_LENGTH, plain.p, plain.n);
    int n = noise_seal(&from->conn->io.seal, frame, plain.n);
    if (n < 0)
        abort();
    fake_feed(to, frame, (size_t)n);
}

static void proved(struct bytes in, bool to_dialer)
{
    struct pair p;
    struct reader r = {.open = {.protocol = ECHO, .is_lazy = true, .done = reader_opened}};
    struct bytes piece;
    uint64_t wait_us;
    pair_open(&p, 1);
    struct side *from = to_dialer ? &p.b : &p.a, *to = to_dialer ? &p.a : &p.b;
    conn_open_stream(to->conn, &r.open);
    while (from->conn && to->conn && take_piece(&in, &piece, &wait_us)) {
        if (piece.n)
            inject(from, to->wire, piece);
        fake_world_advance(&p.world, wait_us);
    }
    if (to->conn && to->conn->yamux.inbound > LIMIT_YAMUX_PEER)
        abort();
    if (to->conn)
        conn_close(to->conn, E_CLOSED, NULL);
    fake_world_advance(&p.world, 60 * US_PER_S);
    if (p.a.closed != 1 || p.b.closed != 1 || r.done != 1 || r.s || p.budget.used)
        abort();
    pair_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    trace_set_all(TRACE_OFF);
    struct bytes in = bytes_of(data + 1, size - 1);
    if (data[0] % 3 == 0)
        raw(in);
    else
        proved(in, data[0] % 3 == 2);
    return 0;
}

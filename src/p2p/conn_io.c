// SPDX-License-Identifier: MIT
/* See conn_io.h. */
#include "p2p/conn_io.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

void conn_scratch_init(struct conn_scratch *s)
{
    *s = (struct conn_scratch){mem_new(CONN_SCRATCH_IN), mem_new(CONN_SCRATCH_OUT), false};
}

void conn_scratch_fini(struct conn_scratch *s)
{
    assert(!s->is_in_use);
    free(s->in);
    free(s->out);
}

uint8_t *conn_scratch_take(struct conn_scratch *s)
{
    if (s->is_in_use)
        return mem_new(CONN_SCRATCH_IN);
    s->is_in_use = true;
    return s->in;
}

void conn_scratch_put(struct conn_scratch *s, uint8_t *p)
{
    if (p == s->in)
        s->is_in_use = false;
    else
        free(p);
}

void conn_io_init(struct conn_io *io)
{
    *io = (struct conn_io){0};
    buf_init(&io->rest, NOISE_LENGTH + NOISE_FRAME);
    buf_init(&io->out, 0); /* bounded: nothing is sealed while anything waits here */
}

void conn_io_fini(struct conn_io *io)
{
    buf_fini(&io->rest);
    buf_fini(&io->out);
    noise_cipher_fini(&io->seal);
    noise_cipher_fini(&io->open);
}

ssize_t conn_io_read(struct conn_io *io, struct stream *t, uint8_t *at, size_t *fresh)
{
    struct bytes rest = buf_view(&io->rest);
    ssize_t n = stream_read(t, at + rest.n, CONN_SCRATCH_IN - rest.n);
    if (n <= 0)
        return n;
    *fresh = (size_t)n;
    if (rest.n)
        memcpy(at, rest.p, rest.n);
    buf_clear(&io->rest);
    return (ssize_t)rest.n + n;
}

int conn_io_keep(struct conn_io *io, struct bytes rest)
{
    if (rest.n)
        return buf_append_bytes(&io->rest, rest);
    buf_trim(&io->rest);
    return 0;
}

int conn_io_write(struct conn_io *io, struct stream *t, struct bytes batch)
{
    struct bytes v[2] = {buf_view(&io->out), batch};
    if (v[0].n + v[1].n == 0)
        return 1;
    bool has_old = v[0].n > 0;
    ssize_t n = has_old ? stream_writev(t, v, v[1].n ? 2 : 1) : stream_writev(t, v + 1, 1);
    if (n == E_AGAIN)
        n = 0;
    if (n < 0)
        return (int)n;
    size_t old = (size_t)n < v[0].n ? (size_t)n : v[0].n;
    struct bytes left = bytes_skip(batch, (size_t)n - old);
    buf_consume(&io->out, old);
    if (left.n && buf_append_bytes(&io->out, left) != 0)
        return E_NO_MEMORY;
    if (buf_len(&io->out))
        return 0;
    buf_trim(&io->out);
    return 1;
}

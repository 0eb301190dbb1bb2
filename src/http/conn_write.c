// SPDX-License-Identifier: MIT
/* The writing half of a server's connection: one writev when the stream takes everything, a buffer
 * for what it does not, and a deadline for a client that stops reading.
 *
 * Errors are not reported to the handler from here, since it may be calling: the connection is
 * marked broken and its task tells the handler at the end of the turn. */
#include "base/mem.h"
#include "http/server_impl.h"

enum { SLICES = 24 };

static int break_conn(struct http_conn *c, int err)
{
    if (!c->broken) {
        c->broken = err;
        task_defer(c->srv->cfg.sched, &c->task);
    }
    return E_CLOSED;
}

int conn_append(struct http_conn *c, struct bytes b)
{
    if (buf_len(&c->out) + b.n > LIMIT_HTTP_QUEUED)
        return E_LIMIT;
    return buf_append_bytes(&c->out, b);
}

/* Keeps what was not taken: `taken` counts from the front of what waited, then of `v`. */
static int keep_rest(struct http_conn *c, const struct bytes *v, int count, size_t taken)
{
    size_t waited = buf_len(&c->out), total = 0;
    for (int i = 0; i < count; i++)
        total += v[i].n;
    buf_consume(&c->out, taken < waited ? taken : waited);
    taken -= taken < waited ? taken : waited;
    if (taken == total) {
        if (!buf_len(&c->out))
            buf_trim(&c->out);
        return 0;
    }
    if (buf_len(&c->out) + total - taken > LIMIT_HTTP_QUEUED)
        return E_LIMIT;
    for (int i = 0; i < count; i++) {
        size_t skip = taken < v[i].n ? taken : v[i].n;
        taken -= skip;
        if (buf_append_bytes(&c->out, bytes_skip(v[i], skip)))
            return E_NO_MEMORY;
    }
    return 0;
}

/* What waits has moved: the deadline and the wish to write follow. */
static void note_progress(struct http_conn *c, bool moved)
{
    struct sched *sched = c->srv->cfg.sched;
    if (!buf_len(&c->out)) {
        c->write_deadline_us = SCHED_NEVER;
        return;
    }
    if (moved || c->write_deadline_us == SCHED_NEVER)
        c->write_deadline_us = sched_now(sched) + c->srv->cfg.write_stall_us;
    stream_want_write(c->stream, true);
    conn_arm(c);
}

int conn_writev(struct http_conn *c, const struct bytes *v, int count)
{
    struct bytes all[SLICES];
    int n = 0;
    ssize_t taken = 0;
    if (c->broken)
        return E_CLOSED;
    if (count > SLICES - 1) {
        for (int i = 0; i < count; i++)
            if (conn_append(c, v[i]))
                return break_conn(c, E_LIMIT);
        return conn_flush(c);
    }
    if (!conn_is_blocked(c)) {
        if (buf_len(&c->out))
            all[n++] = buf_view(&c->out);
        for (int i = 0; i < count; i++)
            if (v[i].n)
                all[n++] = v[i];
        taken = n ? stream_writev(c->stream, all, n) : 0;
        if (taken == E_AGAIN)
            taken = 0;
        if (taken < 0)
            return break_conn(c, (int)taken);
    }
    int err = keep_rest(c, v, count, (size_t)taken);
    if (err) /* part of a chunk may be out: there is no way on */
        return break_conn(c, err);
    note_progress(c, taken > 0);
    return buf_len(&c->out) > LIMIT_HTTP_BACKLOG ? E_AGAIN : 0;
}

int conn_flush(struct http_conn *c)
{
    return conn_writev(c, NULL, 0);
}

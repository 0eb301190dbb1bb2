// SPDX-License-Identifier: MIT
/* Streams of plain bytes: a flow sends so many and expects so many, and both ends of echo and perf
 * are made of it. See peer.h. */
#include "peer.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 65536 };

static uint8_t pattern(uint64_t seed, uint64_t at)
{
    return (uint8_t)((at * 167 + at / 251 + seed) >> 1);
}

/* --- the serving ends: echo gives back, perf counts and then sends --- */

struct server {
    struct app *app;
    struct stream *s;
    bool is_perf, is_sending;
    uint64_t to_send;
    uint8_t head[8];
    size_t head_n;
    uint8_t *held;
    size_t at, n;
};

static void server_end(struct server *v)
{
    stream_close(v->s);
    free(v->held);
    free(v);
}

/* True when all that is held was written. */
static bool server_flush(struct server *v)
{
    while (v->at < v->n) {
        ssize_t n = stream_write(v->s, bytes_of(v->held + v->at, v->n - v->at));
        if (n <= 0) {
            stream_want_read(v->s, false);
            stream_want_write(v->s, n == 0);
            return false;
        }
        v->at += (size_t)n;
    }
    return true;
}

static void perf_send(struct server *v)
{
    for (;;) {
        if (!server_flush(v))
            return;
        if (!v->to_send)
            break;
        v->at = 0;
        v->n = v->to_send < CHUNK ? v->to_send : CHUNK;
        v->to_send -= v->n;
    }
    stream_finish(v->s);
    server_end(v);
}

static void perf_take(struct server *v, size_t n)
{
    for (size_t i = 0; i < n && v->head_n < 8; i++)
        v->head[v->head_n++] = v->held[i];
    v->at = v->n = 0;
}

static void perf_start(struct server *v)
{
    for (int i = 0; i < 8; i++)
        v->to_send = v->to_send << 8 | v->head[i];
    v->is_sending = true;
    memset(v->held, 0, CHUNK);
    stream_want_read(v->s, false);
    perf_send(v);
}

static void server_pump(struct server *v)
{
    while (server_flush(v)) {
        ssize_t n = stream_read(v->s, v->held, CHUNK);
        if (n == E_AGAIN) {
            stream_want_read(v->s, true);
            return;
        }
        if (n == E_EOF && v->is_perf) {
            perf_start(v);
            return;
        }
        if (n < 0) {
            stream_finish(v->s);
            server_end(v);
            return;
        }
        v->at = 0;
        v->n = (size_t)n;
        if (v->is_perf)
            perf_take(v, (size_t)n);
    }
}

static void server_step(void *ctx)
{
    struct server *v = ctx;
    if (v->is_sending)
        perf_send(v);
    else
        server_pump(v);
}

static void server_closed(void *ctx, int err)
{
    server_end(ctx);
}

static const struct stream_events server_events = {server_step, server_step, server_closed};

static void serve(struct app *a, struct stream *s, bool is_perf)
{
    struct server *v = MEM_NEW(struct server);
    v->app = a;
    v->s = s;
    v->is_perf = is_perf;
    v->held = mem_new(CHUNK);
    stream_listen(s, &server_events, v);
    stream_want_read(s, true);
}

static void serve_echo(void *ctx, struct stream *s, const struct peer_id *peer)
{
    serve(ctx, s, false);
}

static void serve_perf(void *ctx, struct stream *s, const struct peer_id *peer)
{
    serve(ctx, s, true);
}

void streams_serve(struct app *a)
{
    p2p_host_handle(a->host, ECHO_PROTOCOL, serve_echo, a);
    p2p_host_handle(a->host, PERF_PROTOCOL, serve_perf, a);
}

/* --- the asking end --- */

struct flow {
    struct p2p_open open;
    struct job *job;
    struct stream *s;
    struct timer timer;
    uint64_t seed;
    uint8_t head[8];                /* perf: sent first */
    uint64_t head_n, to_send, sent; /* head included */
    uint64_t expected, got;
    bool is_checked;
    uint64_t sent_us, first_us, end_us; /* first byte of theirs */
    int err;
    void (*done)(struct flow *f); /* the stream is closed; err says how it went */
    void *ctx;
};

static void flow_end(struct flow *f, int err)
{
    struct sched *s = f->job->app->sched;
    f->err = err;
    f->end_us = sched_now(s);
    timer_clear(s, &f->timer);
    if (f->s) {
        if (err)
            stream_reset(f->s, STREAM_CANCELLED);
        stream_close(f->s);
    }
    f->s = NULL;
    f->done(f);
}

static size_t flow_fill(struct flow *f, uint8_t *out)
{
    size_t n = 0;
    if (!f->is_checked && f->sent >= f->head_n) /* nobody looks: the time is the transport's */
        return f->to_send - f->sent < CHUNK ? f->to_send - f->sent : CHUNK;
    for (uint64_t at = f->sent; n < CHUNK && at < f->to_send; n++, at++)
        out[n] = at < f->head_n ? f->head[at] : pattern(f->seed, at);
    return n;
}

static void flow_write(void *ctx)
{
    static uint8_t out[CHUNK];
    struct flow *f = ctx;
    while (f->sent < f->to_send) {
        size_t n = flow_fill(f, out);
        ssize_t took = stream_write(f->s, bytes_of(out, n));
        if (took < 0)
            return; /* closed() follows */
        f->sent += (uint64_t)took;
        if ((size_t)took < n) {
            stream_want_write(f->s, true);
            return;
        }
    }
    f->sent_us = sched_now(f->job->app->sched);
    stream_finish(f->s);
}

static bool flow_check(struct flow *f, const uint8_t *p, size_t n)
{
    for (size_t i = 0; f->is_checked && i < n; i++)
        if (p[i] != pattern(f->seed, f->got + i))
            return false;
    return true;
}

static void flow_read(void *ctx)
{
    static uint8_t in[CHUNK];
    struct flow *f = ctx;
    for (;;) {
        ssize_t n = stream_read(f->s, in, sizeof in);
        if (n == E_AGAIN)
            return;
        if (n < 0) {
            if (n == E_EOF && f->sent < f->to_send)
                n = E_PROTO;
            flow_end(f, n != E_EOF ? (int)n : f->got == f->expected ? 0 : E_EOF);
            return;
        }
        if (!f->first_us)
            f->first_us = sched_now(f->job->app->sched);
        if (f->got + (size_t)n > f->expected || !flow_check(f, in, (size_t)n)) {
            flow_end(f, E_PROTO);
            return;
        }
        f->got += (size_t)n;
    }
}

static void flow_closed(void *ctx, int err)
{
    flow_end(ctx, err);
}

static const struct stream_events flow_events = {flow_read, flow_write, flow_closed};

static void flow_timed_out(struct timer *t)
{
    flow_end(CONTAINER_OF(t, struct flow, timer), E_TIMEOUT);
}

static void flow_opened(struct p2p_open *o, int err, struct stream *s)
{
    struct flow *f = CONTAINER_OF(o, struct flow, open);
    if (err) {
        flow_end(f, err);
        return;
    }
    f->s = s;
    stream_listen(s, &flow_events, f);
    stream_want_read(s, true);
    flow_write(f);
}

static void flow_start(struct flow *f, struct job *j, const char *protocol,
                       void (*done)(struct flow *f))
{
    f->job = j;
    f->done = done;
    timer_init(&f->timer, flow_timed_out);
    timer_after(j->app->sched, &f->timer, JOB_US - US_PER_S);
    job_open(j, &f->open, protocol, flow_opened);
}

/* --- echo --- */

struct echo_job {
    uint64_t left, count, bytes;
    int err;
    struct flow flows[];
};

static void echoed(struct flow *f)
{
    struct echo_job *e = f->ctx;
    struct job *j = f->job;
    if (f->err && !e->err)
        e->err = f->err;
    if (--e->left)
        return;
    if (e->err) {
        job_fail(j, "echo: %s", err_text(e->err));
    } else {
        struct json_writer *w = job_ok(j);
        json_member_u64(w, "streams", e->count);
        json_member_u64(w, "bytes", e->bytes);
        json_member_double(w, "ms", job_ms(j));
        job_end(j);
    }
    free(e);
}

void cmd_echo(struct job *j)
{
    uint64_t count = job_u64(j, "streams"), bytes = job_u64(j, "bytes");
    if (count < 1 || count > 4096) {
        job_fail(j, "streams: 1 to 4096");
        return;
    }
    struct echo_job *e = mem_new(sizeof *e + count * sizeof e->flows[0]);
    *e = (struct echo_job){.left = count, .count = count, .bytes = bytes};
    for (uint64_t i = 0; i < count; i++) {
        e->flows[i] = (struct flow){
            .seed = i, .to_send = bytes, .expected = bytes, .is_checked = true, .ctx = e};
        flow_start(&e->flows[i], j, ECHO_PROTOCOL, echoed);
    }
}

/* --- bulk --- */

static void bulk_done(struct flow *f)
{
    struct job *j = f->job;
    uint64_t turn_us = f->first_us ? f->first_us : f->end_us;
    if (f->err) {
        job_fail(j, "bulk: %s", err_text(f->err));
    } else {
        struct json_writer *w = job_ok(j);
        json_member_double(w, "up_ms", (double)(turn_us - j->started_us) / 1000.0);
        json_member_double(w, "down_ms", (double)(f->end_us - turn_us) / 1000.0);
        job_end(j);
    }
    free(f);
}

void cmd_bulk(struct job *j)
{
    struct flow *f = MEM_NEW(struct flow);
    uint64_t down = job_u64(j, "down");
    f->head_n = 8;
    f->to_send = 8 + job_u64(j, "up");
    f->expected = down;
    for (int i = 0; i < 8; i++)
        f->head[i] = (uint8_t)(down >> (56 - 8 * i));
    flow_start(f, j, PERF_PROTOCOL, bulk_done);
}

/* --- connect1 --- */

struct connect_job {
    struct flow flow;
    uint64_t left, count;
    uint64_t start_us;
    double *ms;
};

static void connect_next(struct job *j);

static void connect_done(struct flow *f)
{
    struct connect_job *c = CONTAINER_OF(f, struct connect_job, flow);
    struct job *j = f->job;
    if (f->err) {
        job_fail(j, "connect1: %s", err_text(f->err));
        free(c->ms);
        free(c);
        return;
    }
    c->ms[c->count - c->left--] = (double)(f->first_us - c->start_us) / 1000.0;
    p2p_host_disconnect(j->app->host, &j->peer);
    job_wait(j, WAIT_GONE, connect_next);
}

static void connect_next(struct job *j)
{
    struct connect_job *c = j->state;
    if (c->left) {
        c->flow = (struct flow){.to_send = 1, .expected = 1, .is_checked = true};
        c->start_us = sched_now(j->app->sched);
        flow_start(&c->flow, j, ECHO_PROTOCOL, connect_done);
        return;
    }
    struct json_writer *w = job_ok(j);
    json_key(w, "ms");
    json_open_array(w);
    for (uint64_t i = 0; i < c->count; i++)
        json_put_double(w, c->ms[i]);
    json_close_array(w);
    job_end(j);
    free(c->ms);
    free(c);
}

void cmd_connect1(struct job *j)
{
    struct connect_job *c = MEM_NEW(struct connect_job);
    c->left = c->count = job_u64(j, "n");
    c->ms = mem_array(c->count + 1, sizeof *c->ms);
    j->state = c;
    p2p_host_disconnect(j->app->host, &j->peer);
    job_wait(j, WAIT_GONE, connect_next);
}

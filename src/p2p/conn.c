// SPDX-License-Identifier: MIT
/* The life of a connection: pumping bytes between its parts, its deadlines, its end. See conn.h. */
#include "p2p/conn.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/conn_stream.h"
#include "p2p/pnet.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* So much later asks who was dialled: it hears the dialler's pings, and need not send its own. */
#define IDLE_LATER_US (2 * US_PER_S)
#define REST_LATER_US (6 * US_PER_S)
enum { READS_A_TURN = 4, BATCHES_A_TURN = 16 };

struct conn_cfg conn_cfg_default(void)
{
    return (struct conn_cfg){
        .upgrade_us = 10 * US_PER_S,
        .hello_us = 5 * US_PER_S,
        .negotiate_us = 10 * US_PER_S,
        .linger_us = 10 * US_PER_S,
        .keepalive = keepalive_cfg_default(),
        .max_inbound_stranger = LIMIT_YAMUX_STRANGER,
        .max_inbound_peer = LIMIT_YAMUX_PEER,
        .max_outbound_unknown = LIMIT_YAMUX_STRANGER,
        .max_outbound = LIMIT_YAMUX_OUTBOUND,
    };
}

void conn_mark(struct conn *c)
{
    task_defer(c->env->sched, &c->task);
}

void conn_close(struct conn *c, int err, const char *why)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    c->close_err = err;
    snprintf(c->why, sizeof c->why, "%s", why ? why : err_text(err));
    conn_mark(c);
}

uint64_t conn_rtt_us(const struct conn *c)
{
    return c->has_yamux ? c->yamux.rtt_us : 0;
}

/* --- the deadline --- */

static void arm(struct conn *c)
{
    struct sched *s = c->env->sched;
    if (c->state == CONN_OPEN && keepalive_has_time(&c->keepalive)) {
        timer_clear(s, &c->timer);
        wheel_put(&c->env->rest, &c->at_rest, keepalive_deadline(&c->keepalive));
        return;
    }
    wheel_take(&c->env->rest, &c->at_rest);
    if (c->state == CONN_OPEN) {
        timer_set(s, &c->timer, keepalive_deadline(&c->keepalive));
    } else if (c->state == CONN_UPGRADING) {
        bool waits_for_hello = !c->is_dialer && !c->upgrade->had_hello;
        uint64_t us = waits_for_hello ? c->env->cfg.hello_us : c->env->cfg.upgrade_us;
        timer_set(s, &c->timer, c->since_us + us);
    }
}

static void keep_alive(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    switch (keepalive_step(&c->keepalive, sched_now(c->env->sched))) {
    case KEEPALIVE_DEAD:
        conn_close(c, E_TIMEOUT, "the peer fell silent");
        return;
    case KEEPALIVE_PING:
        yamux_ping(&c->yamux); /* E_BUSY: one is on its way, as good */
        conn_mark(c);
        break;
    case KEEPALIVE_WAIT:
        break;
    }
    arm(c);
}

static void timer_fired(struct timer *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, timer);
    if (c->state == CONN_UPGRADING)
        conn_close(c, E_TIMEOUT, "the upgrade was not finished in time");
    else
        keep_alive(c);
}

static void rest_is_over(struct list *link)
{
    keep_alive(LIST_ENTRY(link, struct conn, at_rest));
}

void conn_env_begin(struct conn_env *env)
{
    conn_scratch_init(&env->scratch);
    wheel_init(&env->rest, env->sched, KEEPALIVE_GRAIN_US, rest_is_over);
}

void conn_env_end(struct conn_env *env)
{
    wheel_fini(&env->rest);
    conn_scratch_fini(&env->scratch);
}

void conn_rest(struct conn *c, bool is_resting)
{
    if (c->keepalive.is_resting == is_resting)
        return;
    keepalive_rest(&c->keepalive, is_resting, sched_now(c->env->sched));
    if (c->state == CONN_OPEN)
        arm(c);
}

void conn_doubt(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    keepalive_doubt(&c->keepalive, sched_now(c->env->sched));
    arm(c);
}

/* The question whether the peer is still there goes along; a connection that does not rest asks by itself. */
void conn_wanted(struct conn *c, bool is_brief)
{
    if (!is_brief)
        conn_rest(c, false);
    else if (c->keepalive.is_resting && keepalive_is_quiet(&c->keepalive, sched_now(c->env->sched)))
        conn_doubt(c);
}

void conn_busy_changed(struct conn *c, int delta)
{
    assert(delta >= 0 || c->busy > 0);
    c->busy = (uint32_t)((int)c->busy + delta);
    c->used_us = c->needed_us = sched_now(c->env->sched);
    if (c->state != CONN_OPEN)
        return;
    bool is_busy = c->busy > 0;
    if (is_busy != c->keepalive.is_busy) {
        keepalive_busy(&c->keepalive, is_busy, sched_now(c->env->sched));
        arm(c);
    }
}

/* --- opening --- */

static void wake(void *ctx)
{
    conn_mark(ctx);
}

static bool may_grow(const void *ctx, uint64_t bytes)
{
    return conn_scope_may_grow(ctx, bytes);
}

static void become_open(struct conn *c)
{
    struct yamux_cfg cfg = yamux_cfg_default(c->is_dialer, c->env->sched, c->env->rng);
    cfg.max_inbound = c->env->cfg.max_inbound_stranger;
    cfg.max_outbound = c->env->cfg.max_outbound_unknown;
    cfg.budget = c->env->budget;
    cfg.may_grow = may_grow;
    cfg.wake = wake;
    cfg.wake_ctx = c;
    yamux_init(&c->yamux, &cfg);
    c->has_yamux = true;
    c->state = CONN_OPEN;
    c->since_us = c->used_us = c->needed_us = sched_now(c->env->sched);
    /* A circuit has two paths and a relay's queues in it: more patience, fewer of its bytes. */
    struct keepalive_cfg patience = c->env->cfg.keepalive;
    if (c->is_relayed) {
        patience.busy_ping_us *= 4;
        patience.busy_dead_us *= 4;
    }
    if (!c->is_dialer) {
        patience.idle_ping_us += IDLE_LATER_US;
        patience.rest_ping_us += REST_LATER_US;
    }
    keepalive_init(&c->keepalive, &patience, c->since_us);
    arm(c);
    c->env->on->opened(c->env->ctx, c);
}

void conn_set_known(struct conn *c, bool is_conduit)
{
    const struct conn_cfg *cfg = &c->env->cfg;
    if (c->state != CONN_OPEN)
        return;
    c->is_conduit = is_conduit;
    if (is_conduit) {
        c->yamux.cfg.max_inbound = cfg->max_inbound_peer;
        c->yamux.cfg.max_outbound = cfg->max_inbound_peer;
    } else {
        c->yamux.cfg.max_outbound = cfg->max_outbound;
    }
    conn_mark(c);
}

static int take_identity(struct conn *c)
{
    struct upgrade *u = c->upgrade;
    c->peer = u->noise.remote;
    c->is_peer_known = true;
    c->principal.kind = PRINCIPAL_PEER;
    c->principal.id_len = c->peer.len;
    memcpy(c->principal.id, c->peer.b, c->peer.len);
    peer_id_text(&c->peer, c->principal.name, sizeof c->principal.name);
    return c->env->on->secured(c->env->ctx, c);
}

/* Seals plaintext that the upgrade has to say into c->io.out. */
static int seal_out(struct conn *c, struct buf *plain)
{
    struct bytes v = buf_view(plain);
    uint8_t *at;
    if (v.n == 0)
        return 0;
    int err = buf_reserve(&c->io.out, NOISE_LENGTH + v.n + NOISE_TAG, &at);
    if (err)
        return err;
    memcpy(at + NOISE_LENGTH, v.p, v.n);
    int size = noise_seal(&c->io.seal, at, v.n);
    if (size < 0)
        return size;
    buf_commit(&c->io.out, (size_t)size);
    return 0;
}

/* The muxer's agreement. A dialer is open before it is confirmed. */
static int feed_muxer(struct conn *c, struct bytes *in)
{
    struct buf plain;
    size_t used = 0;
    buf_init(&plain, 0);
    int err = upgrade_feed_plain(c->upgrade, *in, &used, &plain);
    *in = bytes_skip(*in, used);
    if (!err)
        err = seal_out(c, &plain);
    buf_fini(&plain);
    if (err || c->upgrade->stage != UPGRADE_DONE)
        return err;
    upgrade_fini(c->upgrade);
    free(c->upgrade);
    c->upgrade = NULL;
    if (c->state == CONN_UPGRADING)
        become_open(c);
    return 0;
}

static int after_secured(struct conn *c)
{
    noise_take_ciphers(&c->upgrade->noise, &c->io.seal, &c->io.open);
    c->io.has_ciphers = true;
    int err = take_identity(c);
    if (err)
        return err;
    struct bytes nothing = {0};
    err = feed_muxer(c, &nothing); /* done already, or the dialer's first line */
    if (!err && c->is_dialer && c->state == CONN_UPGRADING)
        become_open(c);
    return err;
}

/* --- coming in --- */

static void on_event(struct conn *c, const struct yamux_event *ev)
{
    switch (ev->kind) {
    case YAMUX_INBOUND:
        conn_stream_accept(c);
        break;
    case YAMUX_PONG:
        c->keepalive.rtt_us = c->yamux.rtt_us;
        break;
    case YAMUX_GOAWAY:
        c->is_goaway = true;
        TRACE(P2P, DEBUG, "%s takes no more streams (%u) -> closing when idle", c->principal.name,
              ev->code);
        conn_mark(c);
        break;
    default:
        conn_stream_event(c, ev);
    }
}

static int feed_yamux(struct conn *c, struct bytes in)
{
    struct yamux_event ev;
    int r;
    while ((r = yamux_next(&c->yamux, &in, &ev)) == 1)
        on_event(c, &ev);
    return r;
}

static int feed_plain(struct conn *c, struct bytes in)
{
    int err = 0;
    if (c->upgrade)
        err = feed_muxer(c, &in);
    if (!err && in.n && c->has_yamux)
        err = feed_yamux(c, in);
    return err;
}

/* Whole frames of `in`, decrypted where they lie; *in is advanced over them. */
static int feed_frames(struct conn *c, uint8_t *p, size_t n, size_t *used)
{
    *used = 0;
    while (c->state != CONN_CLOSED) {
        int size = noise_frame_size(bytes_of(p + *used, n - *used));
        if (size < 0)
            return size;
        if (size == 0 || (size_t)size > n - *used)
            return 0;
        int plain = noise_open(&c->io.open, p + *used, (size_t)size);
        if (plain < 0)
            return plain;
        c->env->counts.frames_in++;
        int err = feed_plain(c, bytes_of(p + *used + NOISE_LENGTH, (size_t)plain));
        if (err)
            return err;
        *used += (size_t)size;
    }
    return 0;
}

static int feed(struct conn *c, uint8_t *p, size_t n, size_t *used)
{
    *used = 0;
    if (!c->io.has_ciphers) {
        int err = upgrade_feed_raw(c->upgrade, bytes_of(p, n), used, &c->io.out);
        if (err && upgrade_is_other_network(c->upgrade, bytes_of(p, n), c->env->network != NULL))
            return E_WRONG_NETWORK;
        if (!err && upgrade_is_secured(c->upgrade))
            err = after_secured(c);
        else if (!err)
            arm(c);
        if (err || !c->io.has_ciphers)
            return err;
    }
    size_t more;
    int err = feed_frames(c, p + *used, n - *used, &more);
    *used += more;
    return err;
}

static const char *why_of(const struct conn *c, int err)
{
    switch (err) {
    case E_EOF:
        return c->has_yamux ? "the peer closed the connection"
                            : "the peer hung up during the upgrade";
    case E_WRONG_PEER:
        return "another peer answered than the one asked for";
    case E_AUTH:
        return c->io.has_ciphers ? "a frame was forged or damaged"
                                 : "the peer could not prove its identity";
    case E_UNSUPPORTED:
        return "the peer speaks neither Noise nor Yamux";
    case E_WRONG_NETWORK:
        return c->env->network ? err_text(err)
                               : "it does not speak libp2p in clear; perhaps it is in a private "
                                 "network, which needs its key (--psk)";
    default:
        return err_text(err);
    }
}

static void fail(struct conn *c, int err)
{
    const char *why = why_of(c, err);
    if (err == E_EOF && c->env->network && c->is_dialer && c->upgrade &&
        upgrade_is_before_header(c->upgrade)) {
        err = E_WRONG_NETWORK; /* rust and js without a key say nothing at all */
        why = "it hung up without a word: most likely it is not in this private network";
    }
    if (err == E_WRONG_PEER && c->upgrade)
        c->peer = c->upgrade->noise.remote;
    conn_close(c, err == E_EOF ? E_CLOSED : err, why);
}

/* The doubt is over, and its deadline with it: the next question to a busy peer is due before that, or it would be asked
 * when its time to answer is nearly over. */
static void heard(struct conn *c)
{
    bool was_doubted = c->keepalive.is_doubted;
    keepalive_heard(&c->keepalive, sched_now(c->env->sched));
    if (was_doubted && c->keepalive.is_busy && c->state == CONN_OPEN)
        arm(c);
}

static void readable(void *ctx)
{
    struct conn *c = ctx;
    struct conn_env *env = c->env;
    uint8_t *p = conn_scratch_take(&env->scratch);
    for (int i = 0; i < READS_A_TURN && c->state != CONN_CLOSED; i++) {
        size_t fresh = 0, used = 0;
        ssize_t n = conn_io_read(&c->io, c->transport, p, &fresh);
        if (n == E_AGAIN)
            break;
        if (n < 0) {
            fail(c, (int)n);
            break;
        }
        env->counts.bytes_in += fresh;
        if (c->has_yamux)
            heard(c);
        int err = feed(c, p, (size_t)n, &used);
        err = err ? err : conn_io_keep(&c->io, bytes_of(p + used, (size_t)n - used));
        if (err)
            fail(c, err);
        if (fresh < 32768)
            break;
    }
    conn_scratch_put(&env->scratch, p);
    conn_mark(c);
}

/* --- going out --- */

/* Everything there is to say, as whole Noise messages, as long as the transport takes them. */
static int flush(struct conn *c)
{
    uint8_t *out = c->env->scratch.out;
    for (int i = 0; i < BATCHES_A_TURN; i++) {
        struct bytes batch = {0};
        bool may_seal = c->has_yamux && buf_len(&c->io.out) < NOISE_BATCH_BYTES;
        if (may_seal && yamux_has_output(&c->yamux)) {
            if (keepalive_rides(&c->keepalive, sched_now(c->env->sched)))
                yamux_ping(&c->yamux);
            size_t n = yamux_drain(&c->yamux, out + NOISE_LENGTH, NOISE_BATCH);
            int size = n ? noise_seal(&c->io.seal, out, n) : 0;
            if (size < 0)
                return size;
            batch = bytes_of(out, (size_t)size);
            c->env->counts.frames_out += size > 0;
            c->env->counts.bytes_out += (size_t)size;
        }
        if (batch.n + buf_len(&c->io.out) == 0)
            return 0;
        int r = conn_io_write(&c->io, c->transport, batch);
        if (r < 0)
            return r;
        if (r == 0) {
            stream_want_write(c->transport, true);
            return 0;
        }
    }
    if (c->has_yamux && yamux_has_output(&c->yamux))
        conn_mark(c);
    return 0;
}

static void writable(void *ctx)
{
    conn_mark(ctx);
}

static void transport_closed(void *ctx, int err)
{
    struct conn *c = ctx;
    fail(c, err == E_RESET ? E_EOF : err);
}

static void bury(struct conn *c)
{
    struct conn_env *env = c->env;
    if (c->has_yamux || buf_len(&c->io.out))
        flush(c); /* a GoAway; whatever fits */
    int err = c->close_err == E_TIMEOUT ? E_TIMEOUT : E_CLOSED;
    conn_stream_break_all(c, err);
    while (!list_is_empty(&c->waiting)) {
        struct conn_open *r = LIST_ENTRY(c->waiting.next, struct conn_open, link);
        list_remove(&r->link);
        r->conn = NULL;
        r->done(r, err, NULL);
    }
    env->on->closed(env->ctx, c, c->close_err, c->why);
    conn_free(c);
}

static void run(struct task *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, task);
    int err = 0;
    if (c->state != CONN_CLOSED && c->has_yamux) {
        conn_open_waiting(c);
        conn_stream_deliver(c);
    }
    if (c->state != CONN_CLOSED)
        err = flush(c);
    if (!err && c->state != CONN_CLOSED && c->has_yamux) {
        err = feed_yamux(c, (struct bytes){0}); /* there is room again, …: the next round */
        conn_stream_sweep(c);
        if (!list_is_empty(&c->due))
            conn_mark(c);
    }
    if (err)
        fail(c, err);
    if (c->state == CONN_CLOSED)
        bury(c);
    else
        conn_scope_measure(c);
}

/* --- beginning and end --- */

static const struct stream_events transport_events = {readable, writable, transport_closed};

/* A circuit is a stream of the relay's, and says whose. */
struct bytes conn_relay(const struct conn *c)
{
    const struct principal *p = stream_principal(c->transport);
    return bytes_of(p->id, p->id_len);
}

struct conn *conn_new(struct conn_env *env, struct stream *transport, bool is_dialer,
                      const struct peer_id *expect)
{
    struct conn *c = MEM_NEW(struct conn);
    if (env->network)
        transport = pnet_wrap(transport, env->network, is_dialer, env->sched, env->rng);
    c->env = env;
    c->transport = transport;
    c->is_dialer = is_dialer;
    c->remote = transport->remote;
    c->since_us = c->used_us = c->needed_us = sched_now(env->sched);
    c->upgrade = MEM_NEW(struct upgrade);
    list_init(&c->streams);
    list_init(&c->lingering);
    list_init(&c->due);
    list_init(&c->waiting);
    list_init(&c->by_owner);
    list_init(&c->at_rest);
    task_init(&c->task, run);
    timer_init(&c->timer, timer_fired);
    conn_io_init(&c->io);
    if (expect)
        c->peer = *expect;
    int err = conn_scope_begin(&c->scope, env->ledger, &c->remote, conn_relay(c));
    err = err ? err : upgrade_init(c->upgrade, is_dialer, env->self, expect, env->rng, &c->io.out);
    arm(c);
    stream_listen(transport, &transport_events, c);
    stream_want_read(transport, true);
    if (err)
        conn_close(c, err, NULL);
    conn_mark(c);
    return c;
}

void conn_free(struct conn *c)
{
    c->state = CONN_CLOSED;
    conn_stream_break_all(c, E_CLOSED);
    conn_scope_end(&c->scope);
    if (c->has_yamux) {
        c->env->counts.streams_refused += c->yamux.counts.refused_streams;
        c->env->counts.streams_shed += c->yamux.counts.resets_over_budget;
        yamux_fini(&c->yamux);
    }
    if (c->upgrade)
        upgrade_fini(c->upgrade);
    free(c->upgrade);
    conn_io_fini(&c->io);
    timer_clear(c->env->sched, &c->timer);
    wheel_take(&c->env->rest, &c->at_rest);
    task_cancel(&c->task);
    list_remove(&c->by_owner);
    stream_close(c->transport);
    free(c);
}

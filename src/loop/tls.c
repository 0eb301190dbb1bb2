// SPDX-License-Identifier: MIT
/* TLS as a filter over any stream, by OpenSSL.
 *
 *   user --writev--> SSL_write --bio_write--> inner   (what it refuses waits in `out`)
 *   user <--read---- SSL_read  <--bio_read--- inner
 *
 *   handshaking --> open --finish--> close_notify, then FIN beneath
 *        \           \--close--> `out` empty? -> gone;  else lingering, bounded in time -> gone
 *         \-- failed: closed(E_AUTH); too slow: closed(E_TIMEOUT)
 *
 * The hard things: OpenSSL wants a refused write repeated with the same bytes, but our users keep
 * nothing; so the wire below never refuses, it queues at most one record, and new bytes are taken
 * only when that queue is empty. And OpenSSL reads ahead: bytes may wait inside it while the inner
 * stream has none, so after every event we ask until it says it needs more (`may_read`). */
#include "loop/tls.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/trace.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum { RECORD_MAX = 16384, HANDSHAKE_US = 10000000 };

struct tls {
    struct stream base;
    struct loop_tls_context *context;
    struct sched *sched;
    struct stream *inner;
    SSL *ssl;
    struct buf out;        /* encrypted; the inner stream had no room */
    struct task wake;      /* events that do not come from the inner stream's */
    struct timer deadline; /* of the handshake, then of lingering */
    int broken;
    int depth;     /* of callbacks: freed only when back at 0 */
    bool is_open;  /* the handshake is done */
    bool may_read; /* OpenSSL has not yet said that it needs more */
    bool is_inner_ended, is_eof_read;
    bool is_finishing, is_finished; /* the user's wish; FIN was sent beneath */
    bool is_told, is_closed, is_gone;
};

static struct tls *of(struct stream *st)
{
    return CONTAINER_OF(st, struct tls, base);
}

/* --- the wire below OpenSSL --- */

static int bio_write(BIO *b, const char *p, int n)
{
    struct tls *t = BIO_get_data(b);
    ssize_t put = 0;
    BIO_clear_retry_flags(b);
    if (buf_len(&t->out) == 0)
        put = stream_write(t->inner, bytes_of(p, (size_t)n));
    if (put < 0 || buf_append(&t->out, p + put, (size_t)(n - put)) != 0)
        return -1;
    return n;
}

static int bio_read(BIO *b, char *p, int n)
{
    struct tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (n <= 0)
        return 0;
    ssize_t got = t->is_inner_ended ? E_EOF : stream_read(t->inner, p, (size_t)n);
    if (got == E_AGAIN)
        BIO_set_retry_read(b);
    if (got == E_EOF)
        t->is_inner_ended = true;
    return got > 0 ? (int)got : got == E_EOF ? 0 : -1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    const struct tls *t = BIO_get_data(b);
    if (cmd == BIO_CTRL_EOF)
        return t && t->is_inner_ended;
    return cmd == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x7f, "conduit stream");
    if (m) {
        BIO_meth_set_write(m, bio_write);
        BIO_meth_set_read(m, bio_read);
        BIO_meth_set_ctrl(m, bio_ctrl);
    }
    return m;
}

/* --- life --- */

static void tls_free(struct tls *t)
{
    timer_clear(t->sched, &t->deadline);
    task_cancel(&t->wake);
    SSL_free(t->ssl);
    buf_fini(&t->out);
    tls_context_put(t->context);
    free(t);
}

/* Lets the inner stream go; the memory goes with the last callback. */
static void tls_gone(struct tls *t)
{
    if (!t->is_gone)
        stream_close(t->inner);
    t->is_gone = true;
    if (t->depth == 0)
        tls_free(t);
}

static void tls_break(struct tls *t, int err)
{
    if (!t->broken)
        t->broken = err;
    timer_clear(t->sched, &t->deadline);
}

/* What to call a failure of OpenSSL's. */
static int tls_failure(struct tls *t, int ssl_error)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    long verify = SSL_get_verify_result(t->ssl);
    if (t->is_inner_ended || ssl_error != SSL_ERROR_SSL)
        return E_RESET; /* an end without close_notify may be an attacker's */
    if (verify != X509_V_OK)
        reason = X509_verify_cert_error_string(verify);
    TRACE(LOOP, INFO, "tls: %s -> closing", reason ? reason : "failed");
    return t->is_open ? E_PROTO : E_AUTH;
}

static void tls_flush(struct tls *t)
{
    while (buf_len(&t->out) > 0 && !t->broken) {
        ssize_t put = stream_write(t->inner, buf_view(&t->out));
        if (put <= 0) {
            if (put < 0)
                tls_break(t, (int)put);
            break;
        }
        buf_consume(&t->out, (size_t)put);
    }
    buf_trim(&t->out);
}

/* close_notify, once the handshake allows it; the end of the stream beneath follows it. */
static void tls_end(struct tls *t)
{
    if (!t->is_finishing || t->is_finished || !t->is_open || t->broken)
        return;
    if (!(SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN)) {
        ERR_clear_error();
        SSL_shutdown(t->ssl);
    }
    if (buf_len(&t->out) == 0) {
        t->is_finished = true;
        stream_finish(t->inner);
    }
}

static void tls_handshake(struct tls *t)
{
    if (t->is_open || t->broken)
        return;
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    int e = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc);
    if (e == SSL_ERROR_NONE) {
        t->is_open = true;
        t->may_read = true;
        timer_clear(t->sched, &t->deadline);
    } else if (e != SSL_ERROR_WANT_READ) {
        tls_break(t, tls_failure(t, e));
    }
}

/* --- what is wanted and what is due --- */

static bool can_write(const struct tls *t)
{
    return t->is_open && !t->is_finishing && !t->broken && buf_len(&t->out) == 0;
}

static bool can_read(const struct tls *t)
{
    return t->is_open && !t->broken && t->may_read && !t->is_eof_read;
}

static bool is_due(const struct tls *t)
{
    return (t->base.wants_read && can_read(t)) || (t->base.wants_write && can_write(t)) ||
           (t->broken && t->broken != E_CLOSED && !t->is_told);
}

/* After anything: what we want of the inner stream, and whether there is something to tell. */
static void tls_settle(struct tls *t)
{
    bool hears = !t->broken && !t->is_inner_ended && !t->is_eof_read;
    if (t->is_gone)
        return;
    tls_end(t);
    if (t->is_closed && (t->broken || (buf_len(&t->out) == 0 && t->is_open))) {
        tls_gone(t);
        return;
    }
    stream_want_read(t->inner, hears && (!t->is_open || t->base.wants_read) && !t->is_closed);
    stream_want_write(t->inner, !t->broken && buf_len(&t->out) > 0);
    if (!t->is_closed && is_due(t))
        task_defer(t->sched, &t->wake);
}

static void tls_tell(struct tls *t)
{
    if (!t->is_closed && t->base.on && t->base.wants_read && can_read(t))
        t->base.on->readable(t->base.ctx);
    if (!t->is_closed && t->base.on && t->base.wants_write && can_write(t)) {
        t->base.wants_write = false;
        t->base.on->writable(t->base.ctx);
    }
    if (!t->is_closed && t->base.on && t->broken && t->broken != E_CLOSED && !t->is_told) {
        t->is_told = true;
        t->base.on->closed(t->base.ctx, t->broken);
    }
}

static void enter(struct tls *t)
{
    t->depth++;
}

static void leave(struct tls *t)
{
    tls_settle(t);
    if (--t->depth == 0 && t->is_gone)
        tls_free(t);
}

static void tls_wake(struct task *task)
{
    struct tls *t = CONTAINER_OF(task, struct tls, wake);
    enter(t);
    tls_tell(t);
    leave(t);
}

static void inner_readable(void *ctx)
{
    struct tls *t = ctx;
    enter(t);
    t->may_read = true;
    tls_handshake(t);
    tls_tell(t);
    leave(t);
}

static void inner_writable(void *ctx)
{
    struct tls *t = ctx;
    enter(t);
    tls_flush(t);
    tls_handshake(t);
    tls_tell(t);
    leave(t);
}

static void inner_closed(void *ctx, int err)
{
    struct tls *t = ctx;
    enter(t);
    tls_break(t, err);
    tls_tell(t);
    leave(t);
}

static const struct stream_events inner_events = {inner_readable, inner_writable, inner_closed};

static void tls_expired(struct timer *timer)
{
    struct tls *t = CONTAINER_OF(timer, struct tls, deadline);
    enter(t);
    tls_break(t, E_TIMEOUT);
    tls_tell(t);
    leave(t);
}

/* --- the stream --- */

static ssize_t tls_read(struct stream *st, void *p, size_t n)
{
    struct tls *t = of(st);
    assert(n > 0);
    if (t->broken)
        return t->broken;
    if (t->is_eof_read)
        return E_EOF;
    if (!t->is_open)
        return E_AGAIN;
    ERR_clear_error();
    int got = SSL_read(t->ssl, p, n < INT32_MAX ? (int)n : INT32_MAX);
    if (got > 0)
        return got;
    int e = SSL_get_error(t->ssl, got);
    if (e == SSL_ERROR_WANT_READ) {
        t->may_read = false;
        return E_AGAIN;
    }
    if (e == SSL_ERROR_ZERO_RETURN) {
        t->is_eof_read = true;
        tls_settle(t);
        return E_EOF;
    }
    tls_break(t, tls_failure(t, e));
    tls_settle(t);
    return t->broken;
}

/* Small pieces become one record. */
static struct bytes gather(const struct bytes *v, int count, size_t skip, uint8_t *room)
{
    size_t n = 0;
    for (int i = 0; i < count && n < RECORD_MAX; i++) {
        struct bytes b = bytes_first(bytes_skip(v[i], skip), RECORD_MAX - n);
        skip = skip > v[i].n ? skip - v[i].n : 0;
        if (b.n == RECORD_MAX)
            return b;
        if (b.n)
            memcpy(room + n, b.p, b.n);
        n += b.n;
    }
    return bytes_of(room, n);
}

static ssize_t tls_writev(struct stream *st, const struct bytes *v, int count)
{
    struct tls *t = of(st);
    uint8_t room[RECORD_MAX];
    size_t taken = 0;
    if (t->broken)
        return t->broken;
    assert(!t->is_finishing);
    while (can_write(t)) {
        struct bytes record = gather(v, count, taken, room);
        if (record.n == 0)
            break;
        ERR_clear_error();
        int put = SSL_write(t->ssl, record.p, (int)record.n);
        if (put <= 0) {
            tls_break(t, tls_failure(t, SSL_get_error(t->ssl, put)));
            tls_settle(t);
            return t->broken;
        }
        taken += (size_t)put;
    }
    tls_settle(t);
    return (ssize_t)taken;
}

static int tls_finish(struct stream *st)
{
    struct tls *t = of(st);
    t->is_finishing = true;
    tls_settle(t);
    return t->broken;
}

static void tls_reset(struct stream *st, enum stream_reason reason)
{
    struct tls *t = of(st);
    if (t->broken)
        return;
    tls_break(t, E_CLOSED);
    stream_reset(t->inner, reason);
}

static void tls_close(struct stream *st)
{
    struct tls *t = of(st);
    assert(!t->is_closed);
    t->is_closed = true;
    t->is_finishing = true;
    if (!t->is_open)
        tls_break(t, E_CLOSED); /* nothing was taken yet */
    enter(t);
    tls_end(t);
    if (!t->broken && buf_len(&t->out) > 0)
        timer_after(t->sched, &t->deadline, LIMIT_LOOP_LINGER_US);
    leave(t);
}

static void tls_want(struct stream *st, bool read, bool write)
{
    tls_settle(of(st));
}

static const struct stream_ops tls_ops = {
    "tls", tls_read, tls_writev, tls_finish, tls_reset, tls_close, tls_want,
};

/* Who must be at the other end: an IP address in the certificate for a literal, else the name,
 * which is also sent (RFC 6066 §3: never an address). */
static bool expect(SSL *ssl, const char *name)
{
    struct net_addr ip;
    X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
    SSL_set_connect_state(ssl);
    if (net_addr_parse_ip(name, 0, &ip) == 0)
        return X509_VERIFY_PARAM_set1_ip(p, ip.ip, ip.kind == NET_IP4 ? 4 : 16) == 1;
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1;
}

struct stream *loop_tls_new(struct loop *l, struct loop_tls_context *c, struct stream *inner,
                            const char *server_name)
{
    struct tls *t = MEM_NEW(struct tls);
    BIO *bio = BIO_new(c->bio);
    t->base.ops = &tls_ops;
    t->base.remote = inner->remote;
    t->base.principal = inner->principal;
    t->context = c;
    c->refs++;
    t->sched = loop_sched(l);
    t->inner = inner;
    t->ssl = SSL_new(c->ssl);
    buf_init(&t->out, 0); /* one record, or one flight of the handshake */
    task_init(&t->wake, tls_wake);
    timer_init(&t->deadline, tls_expired);
    assert(t->ssl && bio);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    stream_listen(inner, &inner_events, t);
    timer_after(t->sched, &t->deadline, HANDSHAKE_US);
    if (!server_name)
        SSL_set_accept_state(t->ssl);
    else if (!expect(t->ssl, server_name))
        tls_break(t, E_INVALID);
    tls_handshake(t);
    tls_settle(t);
    return &t->base;
}

// SPDX-License-Identifier: MIT
/* One HTTP request, run to its end on a loop of its own. */
#include "api.h"

#include "base/limits.h"
#include "base/mem.h"
#include "http/client_shell.h"
#include "loop/loop.h"
#include "node/chat_text.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    LINGER_MS = 1000, /* for the end of the body, after the end of what it says */
    USUAL = 8192,     /* bytes of a document */
};

/* --- which node --- */

int api_init_socket(struct api *a, const char *command, const char *path)
{
    *a = (struct api){.command = command, .where = mem_strdup(path)};
    a->at.origin.is_unix = true;
    if (strlen(path) >= sizeof((struct net_addr){0}).path) {
        free(a->where);
        return api_failf(command,
                         "the path of the socket is too long: %s; use a shorter --data-dir", path);
    }
    snprintf(a->at.origin.host, sizeof a->at.origin.host, "%s", path);
    snprintf(a->at.host_field, sizeof a->at.host_field, "localhost");
    return 0;
}

int api_init(struct api *a, const char *command, const struct common *c)
{
    if (c->bootstrap)
        return usage_error(command, "--bootstrap is for conduit up and conduit ask");
    if (!c->api) {
        char *path = common_socket(c);
        int rc = api_init_socket(a, command, path);
        free(path);
        return rc;
    }
    char why[128];
    *a = (struct api){.command = command, .key = c->key};
    if (url_parse(c->api, &a->at, why) != 0)
        return usage_error(command, "--api %s: %s", c->api, why);
    size_t n = strlen(a->at.path);
    if (n >= 3 && strcmp(a->at.path + n - 3, "/v1") == 0)
        a->at.path[n - 3] = '\0';
    a->where = mem_strdup(c->api);
    return 0;
}

void api_fini(struct api *a)
{
    free(a->where);
    *a = (struct api){0};
}

/* --- one call --- */

struct run {
    const struct api_request *req;
    struct api_response *out;
    struct loop *loop;
    struct http_call *call; /* NULL once it is done */
    struct timer limit;     /* of all of it, and of lingering */
    bool is_complete;       /* `piece` has seen the end */
};

static void copy_field(char *out, size_t size, const struct http_head *head, const char *name)
{
    struct bytes v = http_header_get(head, name);
    snprintf(out, size, "%.*s", BYTES_FMT(v));
}

static void call_head(void *ctx, const struct http_head *head)
{
    struct run *r = ctx;
    struct bytes type = http_header_get(head, "content-type");
    r->out->status = head->status;
    copy_field(r->out->peer, sizeof r->out->peer, head, "x-conduit-peer");
    copy_field(r->out->route, sizeof r->out->route, head, "x-conduit-route");
    (void)bytes_to_u64(http_header_get(head, "retry-after"), &r->out->retry_after_s);
    r->out->is_stream = r->req->piece && head->status == 200 && type.n >= 17 &&
                        bytes_eq_nocase(bytes_first(type, 17), BYTES_LIT("text/event-stream"));
}

static void stop(struct run *r, int err)
{
    r->out->err = err;
    loop_stop(r->loop);
}

static void call_body(void *ctx, struct bytes piece)
{
    struct run *r = ctx;
    if (!r->out->is_stream) {
        if (buf_append_bytes(&r->out->body, piece) != 0)
            stop(r, E_TOO_BIG);
    } else if (!r->is_complete && r->req->piece(r->req->ctx, piece)) {
        r->is_complete = true;
        timer_after(loop_sched(r->loop), &r->limit, LINGER_MS * US_PER_MS);
    }
}

static void call_done(void *ctx, const struct http_call_result *result)
{
    struct run *r = ctx;
    r->call = NULL;
    r->out->fault = result->fault;
    r->out->is_unreached = result->err != 0 && result->phase == HTTP_CALL_CONNECTING;
    stop(r, r->is_complete ? 0 : result->err);
}

static void limit_reached(struct timer *t)
{
    struct run *r = CONTAINER_OF(t, struct run, limit);
    stop(r, r->is_complete ? 0 : E_TIMEOUT);
}

static void interrupted(void *ctx, int signum)
{
    struct run *r = ctx;
    r->out->is_interrupted = true;
    stop(r, E_CANCELLED);
}

static const struct http_call_events call_events = {NULL, call_head, call_body, call_done};

/* Starts the request in the run's loop. */
static int start(struct run *r, const struct api *a, struct http_pool *pool)
{
    char target[sizeof a->at.path + 64], bearer[512];
    const struct api_request *q = r->req;
    struct http_header h[4];
    size_t n = 0;
    int err = 0;
    uint64_t patience = q->patience_us ? q->patience_us : 10 * US_PER_S;
    snprintf(target, sizeof target, "%s%s", a->at.path, q->path);
    h[n++] = (struct http_header){BYTES_LIT("accept"), BYTES_LIT("application/json, "
                                                                 "text/event-stream")};
    if (q->body.n > 0)
        h[n++] = (struct http_header){BYTES_LIT("content-type"), BYTES_LIT("application/json")};
    if (a->key && strlen(a->key) < sizeof bearer - 8) {
        snprintf(bearer, sizeof bearer, "Bearer %s", a->key);
        h[n++] = (struct http_header){BYTES_LIT("authorization"), bytes_str(bearer)};
    }
    const struct http_request http = {
        .method = q->method,
        .target = bytes_str(target),
        .host = bytes_str(a->at.host_field),
        .headers = h,
        .header_count = n,
        .body = q->body.n > 0 ? &q->body : NULL,
        .body_count = q->body.n > 0,
        .must_close = true,
        .first_byte_us = patience,
        .stall_us = patience,
    };
    r->call = http_pool_call(pool, &a->at.origin, &http, &call_events, r, &err);
    return r->call ? 0 : err;
}

/* Runs until something calls stop(); signals are held back outside of the loop's own time. */
static void run_loop(struct run *r)
{
    struct loop_signal *on_int = NULL, *on_term = NULL;
    sigset_t both, before;
    sigemptyset(&both);
    sigaddset(&both, SIGINT);
    sigaddset(&both, SIGTERM);
    (void)loop_signal(r->loop, SIGINT, interrupted, r, &on_int);
    (void)loop_signal(r->loop, SIGTERM, interrupted, r, &on_term);
    sigprocmask(SIG_UNBLOCK, &both, &before);
    loop_run(r->loop);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (on_int)
        loop_signal_close(on_int);
    if (on_term)
        loop_signal_close(on_term);
}

/* With everything that a call stands on: made before, put away after. */
static int call_in(struct run *r, const struct api *a, struct http_net *net)
{
    struct sched *sched = loop_sched(r->loop);
    struct http_client *client = http_client_new(sched);
    const struct http_pool_config cfg = {
        .client = client,
        .sched = sched,
        .dialer = http_net_dialer(),
        .dialer_ctx = net,
    };
    struct http_pool *pool = http_pool_new(&cfg);
    timer_init(&r->limit, limit_reached);
    if (r->req->total_us)
        timer_after(sched, &r->limit, r->req->total_us);
    r->out->err = E_BUG; /* until stop() says otherwise */
    int err = start(r, a, pool);
    if (err == 0)
        run_loop(r);
    if (r->call)
        http_call_cancel(r->call);
    timer_clear(sched, &r->limit);
    http_pool_free(pool);
    http_client_free(client);
    return err;
}

void api_call(const struct api *a, const struct api_request *req, struct api_response *out)
{
    *out = (struct api_response){0};
    buf_init(&out->body, LIMIT_CLI_DOCUMENT);
    (void)buf_reserve(&out->body, USUAL, &(uint8_t *){0}); /* an invite lies in one piece */
    struct run r = {.req = req, .out = out, .loop = loop_uv_new()};
    struct http_net *net;
    char why[256];
    const struct http_net_options opts = {getenv("HTTPS_PROXY"), getenv("NO_PROXY"), NULL};
    if (!r.loop) {
        out->err = E_NO_FILES;
        return;
    }
    int err = http_net_new(r.loop, &opts, &net, why);
    if (err == 0) {
        err = call_in(&r, a, net);
        http_net_free(net);
    }
    if (err != 0)
        out->err = err;
    loop_free(r.loop);
}

void api_response_fini(struct api_response *r)
{
    buf_wipe(&r->body);
}

/* --- what went wrong --- */

int api_fail(const char *command, struct bytes sentence)
{
    struct buf b;
    buf_init(&b, 0);
    chat_text_plain(sentence, &b);
    fprintf(stderr, "conduit %s: %.*s\n", command, BYTES_FMT(buf_view(&b)));
    buf_fini(&b);
    return EXIT_FAILED;
}

int api_failf(const char *command, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return api_fail(command, bytes_str(text));
}

static int complain_unreached(const struct api *a, int err)
{
    if (!a->at.origin.is_unix)
        return api_failf(a->command, "cannot reach %s: %s", a->where, err_text(err));
    if (err == E_DENIED)
        return api_failf(a->command, "the node at %s belongs to another user", a->where);
    return api_failf(a->command,
                     "no node runs here (%s); start one with conduit up, or say where it "
                     "is with --data-dir or --api",
                     a->where);
}

static int complain_status(const struct api *a, const struct api_response *r)
{
    struct buf b;
    buf_init(&b, 0);
    chat_error_sentence(buf_view(&r->body), r->status, &b);
    if (r->retry_after_s > 0)
        (void)buf_printf(&b, " (try again in %llu s)", (unsigned long long)r->retry_after_s);
    if (r->status == 401 && !a->key)
        (void)buf_append_str(&b, "; the key is taken from CONDUIT_ACCESS_KEY");
    int rc = api_fail(a->command, buf_view(&b));
    buf_fini(&b);
    return rc;
}

int api_complain(const struct api *a, const struct api_response *r)
{
    if (r->is_interrupted)
        return EXIT_INTERRUPTED;
    if (r->err != 0 && r->is_unreached)
        return complain_unreached(a, r->err);
    if (r->err != 0)
        return api_failf(a->command, "asking %s failed: %s", a->where,
                         r->fault ? http_fault_text(r->fault) : err_text(r->err));
    return r->status == 200 ? EXIT_OK : complain_status(a, r);
}

/* --- documents --- */

void api_print_json(struct bytes json)
{
    struct buf b;
    buf_init(&b, 0);
    (void)buf_reserve(&b, json.n + 1, &(uint8_t *){0});
    chat_text_json(bytes_trim(json), &b);
    (void)buf_append_byte(&b, '\n');
    fwrite(buf_view(&b).p, 1, buf_len(&b), stdout);
    fflush(stdout);
    buf_wipe(&b); /* it may be an invite */
}

static int show(const struct api *a, struct bytes json, bool raw,
                int (*report)(struct bytes json, struct buf *out))
{
    struct buf b;
    buf_init(&b, 0);
    int err = report(json, &b), rc = EXIT_OK;
    if (err != 0) {
        rc = api_failf(a->command, "%s did not answer as a conduit node does", a->where);
    } else if (raw) {
        api_print_json(json);
    } else {
        fwrite(buf_view(&b).p, 1, buf_len(&b), stdout);
    }
    buf_fini(&b);
    return rc;
}

int api_show(int argc, char **argv, const struct api_page *page)
{
    struct api a;
    struct api_response r;
    struct common c;
    const char *command = argv[0];
    argc = common_take(&c, argc, argv);
    if (c.help) {
        fputs(page->help, stdout);
        return EXIT_OK;
    }
    if (argc > 1)
        return usage_error(command, "'%s' means nothing here; see conduit %s --help", argv[1],
                           command);
    int rc = api_init(&a, command, &c);
    if (rc != 0)
        return rc;
    const struct api_request req = {.method = "GET", .path = page->path, .total_us = 30 * US_PER_S};
    api_call(&a, &req, &r);
    rc = api_complain(&a, &r);
    if (rc == 0)
        rc = show(&a, buf_view(&r.body), c.json, page->report);
    else if (r.status == 400 && page->is_argument_checked_there)
        rc = EXIT_USAGE;
    if (rc == 0 && page->verdict) {
        struct json_doc *doc = NULL;
        (void)json_parse(buf_view(&r.body), LIMIT_CLI_DOCUMENT, &doc, NULL);
        rc = page->verdict(json_root(doc));
        json_free(doc);
    }
    api_response_fini(&r);
    api_fini(&a);
    return rc;
}

// SPDX-License-Identifier: MIT
/* See hello.h. */
#include "node/hello.h"

#include "codec/json.h"
#include "node/chat_text.h"
#include "node/feeds.h"

#include <stdio.h>

#define OPEN_US  (3 * US_PER_S)
#define REPLY_US (3 * US_PER_S)
#define TOTAL_US (OPEN_US + REPLY_US)
enum { REPLY_MAX = 4096 };

static void finish(struct hello *h, int err)
{
    timer_clear(h->sched, &h->deadline);
    h->err = err;
    h->is_opening = false;
    h->call = NULL;
    buf_fini(&h->body);
    h->done(h);
}

static void on_head(void *ctx, const struct http_head *head)
{
    ((struct hello *)ctx)->is_good = head->status == 200;
}

static void on_body(void *ctx, struct bytes piece)
{
    struct hello *h = ctx;
    if (buf_append_bytes(&h->body, piece) != 0)
        h->is_good = false;
}

/* Its clock was read, as far as we can tell, in the middle between the question and the answer. */
static int take(struct hello *h)
{
    struct json_doc *doc;
    struct buf text;
    uint64_t wall_ms = 0;
    if (!h->is_good || json_parse(buf_view(&h->body), REPLY_MAX, &doc, NULL) != 0)
        return E_UNSUPPORTED;
    const struct json *root = json_root(doc);
    int err = json_u64(json_get(root, "wall_ms"), &wall_ms) ? 0 : E_UNSUPPORTED;
    buf_init(&text, 0);
    chat_text_plain(bytes_first(json_get_str(root, "version"), sizeof h->version - 1), &text);
    snprintf(h->version, sizeof h->version, "%.*s", BYTES_FMT(buf_view(&text)));
    buf_fini(&text);
    json_free(doc);
    h->rtt_us = sched_now(h->sched) - h->asked_us;
    if (wall_ms > INT64_MAX)
        return E_UNSUPPORTED;
    h->skew_ms = (int64_t)wall_ms - (int64_t)(h->asked_wall_ms + h->rtt_us / 2 / US_PER_MS);
    return err;
}

static void on_done(void *ctx, const struct http_call_result *result)
{
    struct hello *h = ctx;
    finish(h, result->err ? result->err : take(h));
}

static const struct http_call_events events = {.head = on_head, .body = on_body, .done = on_done};

static void on_opened(struct p2p_open *r, int err, struct stream *s)
{
    struct hello *h = CONTAINER_OF(r, struct hello, open);
    char host[PEER_ID_TEXT];
    h->is_opening = false;
    if (err) {
        finish(h, err);
        return;
    }
    struct http_request req = {
        .method = "GET",
        .target = BYTES_LIT("/conduit/v1/hello"),
        .host = bytes_str(peer_id_text(&h->peer, host, sizeof host)),
        .must_close = true,
        .first_byte_us = REPLY_US,
        .stall_us = REPLY_US,
    };
    h->asked_us = sched_now(h->sched);
    h->asked_wall_ms = sched_wall_ms(h->sched);
    h->call = http_call_open(h->client, s, &req, &events, h, &err);
    if (!h->call)
        finish(h, err);
}

static void on_deadline(struct timer *t)
{
    struct hello *h = CONTAINER_OF(t, struct hello, deadline);
    if (h->is_opening)
        p2p_open_cancel(&h->open);
    if (h->call)
        http_call_cancel(h->call);
    finish(h, E_TIMEOUT);
}

void hello_start(struct hello *h, struct p2p_host *host, struct sched *sched,
                 struct http_client *client)
{
    h->host = host;
    h->sched = sched;
    h->client = client;
    h->call = NULL;
    h->is_good = false;
    h->version[0] = 0;
    h->skew_ms = 0;
    buf_init(&h->body, REPLY_MAX);
    h->is_opening = true;
    timer_init(&h->deadline, on_deadline);
    timer_after(sched, &h->deadline, TOTAL_US);
    h->open = (struct p2p_open){
        .peer = h->peer,
        .protocol = HTTP_PROTOCOL,
        .timeout_us = OPEN_US,
        .is_urgent = true,
        .only_connected = true,
        .done = on_opened,
    };
    p2p_host_open(host, &h->open);
}

void hello_cancel(struct hello *h)
{
    if (h->is_opening)
        p2p_open_cancel(&h->open);
    if (h->call)
        http_call_cancel(h->call);
    if (h->is_opening || h->call) {
        timer_clear(h->sched, &h->deadline);
        buf_fini(&h->body);
    }
    h->is_opening = false;
    h->call = NULL;
}

// SPDX-License-Identifier: MIT
/* Ways to offers; see ways.h.
 *
 *   own:    guard's queue (who is next) -> engine_acquire (a slot, or the backend) -> ready
 *   other:  p2p_host_open -> ready
 *
 * A `struct way` lives from `open` to `close`, which the gateway calls exactly once. */
#include "node/ways.h"

#include "base/mem.h"
#include "base/text.h"
#include "gateway/fields.h"
#include "gateway/gateway.h"
#include "node/fixup_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who has waited so long for a slot is told to come again. */
#define PATIENCE_US (600 * US_PER_S)

struct model_queue {
    struct queue q;
    char model[OFFER_NAME];
};

struct way {
    struct ways *w;
    struct gateway_open *o;
    struct task refuse;
    int refusal;
    struct timer patience; /* in the queue, and for the slot */
    bool has_slot, is_opening;
    struct model_queue *queue; /* own only */
    union {
        struct { /* own */
            struct queue_ticket turn;
            struct engine_ticket slot;
        };
        struct { /* another's */
            struct p2p_open stream;
            char host[PEER_ID_TEXT];
        };
    };
    /* the body as the backend needs it */
    struct bytes *slices; /* NULL: as it came */
    struct buf edits;
};

/* --- the queue --- */

static struct model_queue *queue_of(struct ways *w, const char *model, uint32_t slots)
{
    struct model_queue *q = map_get(&w->queues, bytes_str(model));
    if (!q) {
        q = MEM_NEW(struct model_queue);
        queue_init(&q->q, slots);
        snprintf(q->model, sizeof q->model, "%s", model);
        (void)map_put(&w->queues, bytes_str(model), q);
    }
    if (q->q.slots != slots)
        queue_set_slots(&q->q, slots);
    return q;
}

void ways_load(const struct ways *w, const char *model, uint32_t *busy, uint32_t *queued)
{
    const struct model_queue *q = map_get(&w->queues, bytes_str(model));
    *busy = q ? q->q.running : 0;
    *queued = q ? q->q.waiting : 0;
}

/* --- the body --- */

/* stream_options with include_usage, whatever else it had: usage is counted always. */
static void put_usage(struct way *y, const struct gateway_request *req)
{
    struct bytes old = json_raw(&req->skim, "stream_options");
    struct json_writer w = json_write(&y->edits);
    struct json_doc *doc = NULL;
    json_open_object(&w);
    if (old.n && *old.p == '{' && json_parse(old, old.n, &doc, NULL) == 0)
        for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);)
            if (!bytes_eq_str(it.key, "include_usage")) {
                json_key_bytes(&w, it.key);
                json_put_value(&w, it.value);
            }
    json_member_bool(&w, "include_usage", true);
    json_close_object(&w);
    json_free(doc);
}

/* What must change for the backend: its name of the model, and usage in streams. Returns how many slices,
 * 0 when nothing changes. */
static int edit_body(struct way *y, const struct engine_way *ew)
{
    const struct gateway_request *req = y->o->request;
    struct json_edit edits[2 + REQUEST_MAX_TOKENS];
    size_t n = 0, total, model_n = 0, usage_n = 0;
    bool counts = ew->needs_fixup || y->o->counts_tokens;
    bool adds_usage = req->is_stream && !req->wants_usage && counts;
    /* The gateway would send the choice's name. */
    if (strcmp(req->model, ew->model) != 0 || strcmp(y->o->choice->model, ew->model) != 0) {
        struct json_writer w = json_write(&y->edits);
        json_put_str(&w, ew->model);
        model_n = buf_len(&y->edits);
    }
    if (adds_usage)
        put_usage(y, req);
    usage_n = buf_len(&y->edits) - model_n;
    if (y->o->max_tokens)
        (void)buf_printf(&y->edits, "%llu", (unsigned long long)y->o->max_tokens);
    struct bytes all = buf_view(&y->edits);
    if (model_n)
        edits[n++] = (struct json_edit){"model", bytes_first(all, model_n)};
    if (adds_usage)
        edits[n++] =
            (struct json_edit){"stream_options", bytes_first(bytes_skip(all, model_n), usage_n)};
    for (size_t i = 0; y->o->max_tokens && i < REQUEST_MAX_TOKENS; i++)
        if (i == 0 || json_find(&req->skim, request_max_tokens[i]))
            edits[n++] =
                (struct json_edit){request_max_tokens[i], bytes_skip(all, model_n + usage_n)};
    struct bytes parts[JSON_SLICES_MAX];
    int count = n ? json_splice(&req->skim, edits, n, parts, &total) : 0;
    if (count <= 0)
        return 0;
    y->slices = mem_array((size_t)count, sizeof *parts);
    memcpy(y->slices, parts, (size_t)count * sizeof *parts);
    return count;
}

/* --- own offers --- */

static void on_slot(struct engine_ticket *t, int err, const struct engine_way *ew)
{
    struct way *y = CONTAINER_OF(t, struct way, slot);
    struct gateway_way way = {0};
    char id[48];
    timer_clear(y->w->sched, &y->patience);
    if (err) {
        y->o->ready(y->o, err, NULL);
        return;
    }
    int count = edit_body(y, ew);
    text_put_id(id, "chatcmpl-", rng_u64(y->w->rng));
    way.stream = ew->stream;
    way.unit = ew->unit;
    way.origin = ew->origin;
    way.host = bytes_str(ew->host);
    way.base_path = bytes_str(ew->base_path);
    way.headers = ew->headers;
    way.header_count = ew->header_count;
    way.body = count ? y->slices : NULL;
    way.body_count = count;
    if (ew->needs_fixup || y->o->counts_tokens)
        way.filter = fixup_filter_new(y->o->request, y->o->choice->model, id,
                                      sched_wall_ms(y->w->sched) / 1000);
    y->o->ready(y->o, 0, &way);
}

static void acquire(struct way *y)
{
    y->has_slot = true;
    y->slot.ready = on_slot;
    engine_acquire(y->w->engine, &y->slot, bytes_str(y->o->choice->model));
}

static void on_turn(struct queue_ticket *t)
{
    acquire(CONTAINER_OF(t, struct way, turn));
}

static void on_refuse(struct task *t)
{
    struct way *y = CONTAINER_OF(t, struct way, refuse);
    y->o->ready(y->o, y->refusal, NULL);
}

static void refuse(struct way *y, int err)
{
    y->refusal = err;
    timer_clear(y->w->sched, &y->patience);
    task_defer(y->w->sched, &y->refuse);
}

static void on_patience(struct timer *t)
{
    struct way *y = CONTAINER_OF(t, struct way, patience);
    y->o->ready(y->o, E_BUSY, NULL);
}

static void open_own(struct way *y)
{
    struct ways *w = y->w;
    const struct engine_model *m = engine_model_find(w->engine, bytes_str(y->o->choice->model));
    bool is_owner = principal_is_owner(y->o->who);
    if (!m) {
        refuse(y, E_NOT_FOUND);
        return;
    }
    if (!is_owner && m->kind == ENGINE_LLAMA && !m->allows_extra &&
        fields_check(&y->o->request->skim, y->o->why, sizeof y->o->why)) {
        refuse(y, E_DENIED);
        return;
    }
    timer_after(w->sched, &y->patience, PATIENCE_US);
    if (is_owner && !m->slots) { /* a backend of unknown size: its owner may always */
        acquire(y);
        return;
    }
    uint32_t slots = engine_model_slots(w->engine, bytes_str(m->name));
    y->queue = queue_of(w, m->name, slots ? slots : w->default_slots);
    list_init(&y->turn.link);
    y->turn.go = on_turn;
    int rc = queue_enter(&y->queue->q, &y->turn, y->o->who);
    if (rc == 1)
        acquire(y);
    else if (rc < 0)
        refuse(y, E_BUSY);
    w->load_changed(w->ctx);
}

/* --- others' offers --- */

static void on_stream(struct p2p_open *r, int err, struct stream *s)
{
    const struct http_header found = {BYTES_LIT(GATEWAY_FOUND_FIELD), BYTES_LIT("lan")};
    struct way *y = CONTAINER_OF(r, struct way, stream);
    struct gateway_way way = {.stream = s, .host = bytes_str(y->host), .headers = &found};
    way.header_count = trust_is_from_lan(y->w->trust, &r->peer) ? 1 : 0;
    y->is_opening = false;
    y->o->ready(y->o, err, err ? NULL : &way);
}

static void open_other(struct way *y)
{
    y->stream = (struct p2p_open){
        .protocol = HTTP_PROTOCOL,
        .timeout_us = 10 * US_PER_S,
        .is_urgent = true,
        .is_lazy = true, /* its offer came over it */
        .done = on_stream,
    };
    if (peer_id_parse(bytes_str(y->o->choice->peer), &y->stream.peer)) {
        refuse(y, E_BUG);
        return;
    }
    snprintf(y->host, sizeof y->host, "%s", y->o->choice->peer);
    y->is_opening = true;
    p2p_host_open(y->w->host, &y->stream);
}

/* --- the port --- */

static void port_open(void *ctx, struct gateway_open *o)
{
    struct way *y = MEM_NEW(struct way);
    y->w = ctx;
    y->o = o;
    o->port = y;
    task_init(&y->refuse, on_refuse);
    timer_init(&y->patience, on_patience);
    buf_init(&y->edits, 0);
    if (o->choice->is_own)
        open_own(y);
    else
        open_other(y);
}

static void port_close(void *ctx, struct gateway_open *o)
{
    struct way *y = o->port;
    struct ways *w = y->w;
    task_cancel(&y->refuse);
    timer_clear(w->sched, &y->patience);
    if (y->is_opening)
        p2p_open_cancel(&y->stream);
    if (y->has_slot)
        engine_release(w->engine, &y->slot);
    if (y->queue) {
        queue_leave(&y->queue->q, &y->turn);
        w->load_changed(w->ctx);
    }
    buf_fini(&y->edits);
    free(y->slices);
    free(y);
}

static bool port_outcome(void *ctx, const struct gateway_outcome *o)
{
    struct ways *w = ctx;
    return o->is_provider_fault && o->choice->is_own &&
           engine_suspect(w->engine, bytes_str(o->choice->model), o->choice->unit);
}

static void on_found(void *ctx, bool is_complete)
{
    struct gateway_lookup *l = ctx;
    l->port = NULL;
    l->done(l, is_complete);
}

static void port_lookup(void *ctx, struct gateway_lookup *l, struct bytes model,
                        uint64_t timeout_us)
{
    struct ways *w = ctx;
    l->port = discover_start(w->discover, model, timeout_us, on_found, l);
}

static void port_lookup_cancel(void *ctx, struct gateway_lookup *l)
{
    if (l->port)
        discover_cancel(l->port);
    l->port = NULL;
}

const struct gateway_ports *ways_ports(void)
{
    static const struct gateway_ports ports = {port_open, port_close, port_outcome, port_lookup,
                                               port_lookup_cancel};
    return &ports;
}

void ways_init(struct ways *w, uint64_t seed)
{
    map_init(&w->queues, seed);
}

void ways_fini(struct ways *w)
{
    for (struct map_entry *e = map_first(&w->queues); e; e = map_next(&w->queues, e))
        free(e->value);
    map_fini(&w->queues);
}

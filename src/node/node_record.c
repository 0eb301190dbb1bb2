// SPDX-License-Identifier: MIT
/* See node_record.h. */
#include "node/node_record.h"

#include "base/trace.h"
#include "codec/cbor.h"
#include "codec/multiaddr.h"
#include "node/node_impl.h"

#include <string.h>

#define FIRST_US    (5 * US_PER_S)
#define CHANGED_US  (1 * US_PER_S)
#define AGAIN_US    (1800 * US_PER_S)
#define LIFETIME_MS (UINT64_C(2) * 3600 * 1000)

enum { F_NAME = 1, F_AGENT, F_ADDRS, F_MODELS };
enum { NAME_MAX_BYTES = 128 };

/* --- reading --- */

/* Calls for each text and each address; a shape that is not ours is an error. */
static int walk(struct bytes body, struct json_writer *w)
{
    struct cbor_reader r;
    struct bytes text;
    size_t fields, count;
    uint64_t f;
    char addr[512];
    if (cbor_check(body) != 0)
        return E_MALFORMED;
    cbor_reader_init(&r, body);
    if (cbor_get_map(&r, 4, &fields) || fields != 4)
        return E_MALFORMED;
    for (uint64_t want = F_NAME; want <= F_AGENT; want++) {
        if (cbor_get_uint(&r, &f) || f != want || cbor_get_text(&r, NAME_MAX_BYTES, &text))
            return E_MALFORMED;
        if (w)
            json_member_bytes(w, want == F_NAME ? "name" : "agent", text);
    }
    if (cbor_get_uint(&r, &f) || f != F_ADDRS || cbor_get_array(&r, NODE_RECORD_ADDRS, &count))
        return E_MALFORMED;
    if (w) {
        json_key(w, "addresses");
        json_open_array(w);
    }
    while (count--) {
        if (cbor_get_bytes(&r, LIMIT_DHT_ADDR, &text))
            return E_MALFORMED;
        if (w)
            json_put_str(w, multiaddr_text(text, addr, sizeof addr));
    }
    if (cbor_get_uint(&r, &f) || f != F_MODELS || cbor_get_array(&r, NODE_RECORD_MODELS, &count))
        return E_MALFORMED;
    if (w) {
        json_close_array(w);
        json_key(w, "models");
        json_open_array(w);
    }
    while (count--) {
        if (cbor_get_text(&r, OFFER_NAME, &text))
            return E_MALFORMED;
        if (w)
            json_put_bytes(w, text);
    }
    if (w)
        json_close_array(w);
    return 0;
}

int node_record_read(const struct dht_record *r, struct node_record *out)
{
    if (r->body.n > sizeof out->body || walk(r->body, NULL) != 0)
        return E_MALFORMED;
    out->peer = r->peer;
    out->seq = r->seq;
    out->expires_ms = r->expires_ms;
    out->n = r->body.n;
    memcpy(out->body, r->body.p, r->body.n);
    return 0;
}

void node_record_json(const struct node_record *r, struct json_writer *w)
{
    json_open_object(w);
    json_member_u64(w, "seq", r->seq);
    json_member_u64(w, "expires_ms", r->expires_ms);
    (void)walk(bytes_of(r->body, r->n), w);
    json_close_object(w);
}

/* --- writing --- */

/* Models that we share: those of our own offers that peers see. */
static size_t shared_models(struct node *n, const char *out[static NODE_RECORD_MODELS])
{
    size_t count = 0;
    for (const struct catalogue_offer *o = catalogue_next(&n->offers, NULL);
         o && o->peer->is_own && count < NODE_RECORD_MODELS; o = catalogue_next(&n->offers, o))
        if (!o->is_private)
            out[count++] = o->offer.model;
    return count;
}

static int make_body(struct node *n, struct buf *out)
{
    struct cbor_writer w;
    const struct bytes *addrs;
    const char *models[NODE_RECORD_MODELS];
    size_t addr_count = p2p_host_addrs(n->host, &addrs);
    size_t model_count = shared_models(n, models);
    const char *name = n->cfg->node_id ? n->cfg->node_id : "";
    addr_count = addr_count < NODE_RECORD_ADDRS ? addr_count : NODE_RECORD_ADDRS;
    cbor_writer_init(&w, out);
    cbor_put_map(&w, 4);
    cbor_put_uint(&w, F_NAME);
    cbor_put_text(&w, bytes_first(bytes_str(name), NAME_MAX_BYTES));
    cbor_put_uint(&w, F_AGENT);
    cbor_put_str(&w, n->agent);
    cbor_put_uint(&w, F_ADDRS);
    cbor_put_array(&w, addr_count);
    for (size_t i = 0; i < addr_count; i++)
        cbor_put_bytes(&w, addrs[i]);
    cbor_put_uint(&w, F_MODELS);
    cbor_put_array(&w, model_count);
    for (size_t i = 0; i < model_count; i++)
        cbor_put_str(&w, models[i]);
    return cbor_writer_finish(&w);
}

static void put(struct node *n)
{
    struct buf body, value;
    char key[LIMIT_DHT_KEY + 1];
    uint64_t now_ms = sched_wall_ms(n->sched);
    int len = dht_record_key("node", &n->key.id, key);
    buf_init(&body, 0);
    buf_init(&value, 0);
    n->record_seq = now_ms > n->record_seq ? now_ms : n->record_seq + 1;
    int err = make_body(n, &body);
    if (!err)
        err = dht_record_sign(&n->key, "node", n->record_seq, now_ms + LIFETIME_MS, buf_view(&body),
                              &value);
    if (!err)
        err = dht_put_value(n->kad.dht, bytes_of(key, (size_t)len), buf_view(&value));
    if (err)
        TRACE(NODE, WARN, "the node's record: %s -> not put", err_text(err));
    buf_fini(&body);
    buf_fini(&value);
}

static void on_record(struct timer *t)
{
    struct node *n = CONTAINER_OF(t, struct node, record);
    put(n);
    timer_after(n->sched, t, rng_jitter(n->rng, AGAIN_US, 0.1));
}

void node_record_init(struct node *n)
{
    timer_init(&n->record, on_record);
    timer_after(n->sched, &n->record, FIRST_US);
}

void node_record_changed(struct node *n)
{
    if (timer_is_set(&n->record) && n->record_seq)
        timer_after(n->sched, &n->record, CHANGED_US);
}

void node_record_fini(struct node *n)
{
    timer_clear(n->sched, &n->record);
}

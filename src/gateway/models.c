// SPDX-License-Identifier: MIT
/* Rows of /v1/models; see models.h. */
#include "gateway/models.h"

#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    uint32_t bit;
    const char *name;
} abilities[] = {
    {OFFER_CHAT, "chat"},     {OFFER_COMPLETION, "completion"}, {OFFER_EMBEDDINGS, "embeddings"},
    {OFFER_TOOLS, "tools"},   {OFFER_VISION, "vision"},         {OFFER_JSON_SCHEMA, "json_schema"},
    {OFFER_RERANK, "rerank"}, {OFFER_AUDIO, "audio"},           {OFFER_REASONING, "reasoning"},
};

/* Everything the offers of one name say together. */
struct row {
    const char *model;
    unsigned providers;
    bool is_own;
    uint32_t context, abilities;
    const char *quant;
};

static bool is_model(const struct catalogue_offer *o)
{
    return strcmp(o->offer.protocol, "openai") == 0 && o->peer->bar == CATALOGUE_USED;
}

static void add(struct row *r, const struct catalogue_offer *o)
{
    r->model = o->offer.model;
    r->providers++;
    r->is_own |= o->peer->is_own;
    r->abilities |= o->offer.abilities;
    if (o->offer.context > r->context)
        r->context = o->offer.context;
    if (!r->quant || !*r->quant)
        r->quant = o->offer.quant;
}

static void put_row(struct json_writer *w, const char *id, const struct row *row, uint64_t now_s)
{
    const struct row r = *row;
    json_open_object(w);
    json_member_str(w, "id", id);
    json_member_str(w, "object", "model");
    json_member_u64(w, "created", now_s);
    json_member_str(w, "owned_by", r.is_own ? "you" : "network");
    json_key(w, "conduit");
    json_open_object(w);
    json_member_u64(w, "providers", r.providers);
    json_member_bool(w, "own", r.is_own);
    json_member_u64(w, "context", r.context);
    json_member_str(w, "quantization", r.quant);
    json_key(w, "abilities");
    json_open_array(w);
    for (size_t i = 0; i < sizeof abilities / sizeof *abilities; i++)
        if (r.abilities & abilities[i].bit)
            json_put_str(w, abilities[i].name);
    json_close_array(w);
    json_close_object(w);
    json_close_object(w);
}

/* Name -> row, by first appearance. Strangers decide how many offers there are: each is looked at once. */
static void gather(const struct catalogue *c, struct map *rows)
{
    map_init(rows, c->peers.seed);
    for (const struct catalogue_offer *o = catalogue_next(c, NULL); o; o = catalogue_next(c, o)) {
        if (!is_model(o))
            continue;
        struct row *r = map_get(rows, bytes_str(o->offer.model));
        if (!r) {
            r = MEM_NEW(struct row);
            (void)map_put(rows, bytes_str(o->offer.model), r);
        }
        add(r, o);
    }
}

int models_list(const struct catalogue *c, uint64_t now_s, struct buf *out)
{
    struct map rows;
    struct json_writer w = json_write(out);
    gather(c, &rows);
    json_open_object(&w);
    json_member_str(&w, "object", "list");
    json_key(&w, "data");
    json_open_array(&w);
    for (struct map_entry *e = map_first(&rows); e; e = map_next(&rows, e)) {
        const struct row *r = e->value;
        put_row(&w, r->model, r, now_s);
        free(e->value);
    }
    json_close_array(&w);
    json_close_object(&w);
    map_fini(&rows);
    return w.err;
}

/* A row of that name: by the model's own, an alias, or a variant. */
int models_one(const struct catalogue *c, struct bytes id, uint64_t now_s, struct buf *out)
{
    const struct catalogue_offer *found = catalogue_next(c, NULL);
    while (found && !(is_model(found) && catalogue_is_named(&found->offer, id)))
        found = catalogue_next(c, found);
    if (!found)
        return E_NOT_FOUND;
    struct row r = {0};
    struct json_writer w = json_write(out);
    char name[OFFER_NAME + 96];
    snprintf(name, sizeof name, "%.*s", BYTES_FMT(id));
    for (const struct catalogue_offer *o = found; o; o = catalogue_next(c, o))
        if (is_model(o) && strcmp(o->offer.model, found->offer.model) == 0)
            add(&r, o);
    put_row(&w, name, &r, now_s);
    return w.err;
}

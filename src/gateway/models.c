// SPDX-License-Identifier: MIT
/* Rows of /v1/models; see models.h. */
#include "gateway/models.h"

#include "base/err.h"
#include "codec/json.h"

#include <string.h>

static const struct {
    uint32_t bit;
    const char *name;
} abilities[] = {
    {OFFER_CHAT, "chat"},           {OFFER_COMPLETION, "completion"},
    {OFFER_EMBEDDINGS, "embeddings"}, {OFFER_TOOLS, "tools"},
    {OFFER_VISION, "vision"},       {OFFER_JSON_SCHEMA, "json_schema"},
    {OFFER_RERANK, "rerank"},       {OFFER_AUDIO, "audio"},
    {OFFER_REASONING, "reasoning"},
};

/* Everything the offers of one name say together. */
struct row {
    unsigned providers;
    bool is_own;
    uint32_t context, abilities;
    const char *quant;
};

static void gather(const struct catalogue *c, const char *model, struct row *r)
{
    *r = (struct row){.quant = ""};
    for (const struct catalogue_offer *o = catalogue_next(c, NULL); o; o = catalogue_next(c, o)) {
        if (strcmp(o->offer.model, model) != 0)
            continue;
        r->providers++;
        r->is_own |= o->peer->is_own;
        r->abilities |= o->offer.abilities;
        if (o->offer.context > r->context)
            r->context = o->offer.context;
        if (!*r->quant)
            r->quant = o->offer.quant;
    }
}

static void put_row(struct json_writer *w, const struct catalogue *c, const char *id,
                    const char *model, uint64_t now_s)
{
    struct row r;
    gather(c, model, &r);
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

/* The first offer of its name in the walk. */
static bool is_first_of_name(const struct catalogue *c, const struct catalogue_offer *offer)
{
    const struct catalogue_offer *o = catalogue_next(c, NULL);
    while (o != offer && strcmp(o->offer.model, offer->offer.model) != 0)
        o = catalogue_next(c, o);
    return o == offer;
}

int models_list(const struct catalogue *c, uint64_t now_s, struct buf *out)
{
    struct json_writer w = json_write(out);
    json_open_object(&w);
    json_member_str(&w, "object", "list");
    json_key(&w, "data");
    json_open_array(&w);
    for (const struct catalogue_offer *o = catalogue_next(c, NULL); o; o = catalogue_next(c, o))
        if (strcmp(o->offer.protocol, "openai") == 0 && is_first_of_name(c, o))
            put_row(&w, c, o->offer.model, o->offer.model, now_s);
    json_close_array(&w);
    json_close_object(&w);
    return w.err;
}

int models_one(const struct catalogue *c, struct bytes id, uint64_t now_s, struct buf *out)
{
    for (const struct catalogue_offer *o = catalogue_next(c, NULL); o; o = catalogue_next(c, o))
        if (catalogue_is_named(&o->offer, id)) {
            struct json_writer w = json_write(out);
            char name[OFFER_NAME + 96];
            size_t n = id.n < sizeof name - 1 ? id.n : sizeof name - 1;
            memcpy(name, id.p, n);
            name[n] = 0;
            put_row(&w, c, name, o->offer.model, now_s);
            return w.err;
        }
    return E_NOT_FOUND;
}

// SPDX-License-Identifier: MIT
/* Backends by URL and built-in ones as units of the engine. */
#include "engine/engine_impl.h"

#include "base/mem.h"
#include "base/trace.h"
#include "loop/loop.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUILTIN_CTX = 131072 };

static void name_model(struct engine_model *m, const char *id, uint32_t ctx)
{
    snprintf(m->name, sizeof m->name, "%s", id);
    m->ctx = ctx;
    /* What it cannot do it answers with an error: a URL does not say. */
    m->abilities =
        ENGINE_CHAT | ENGINE_COMPLETION | ENGINE_EMBEDDINGS | ENGINE_TOOLS | ENGINE_JSON_SCHEMA;
}

static bool same_models(const struct engine_unit *u, const struct backend_list *l)
{
    if (u->model_count != l->n)
        return false;
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(u->models[i].name, l->v[i].id) != 0 || u->models[i].ctx != l->v[i].ctx)
            return false;
    }
    return true;
}

static void polled(void *ctx, const struct backend_list *list)
{
    struct engine_unit *u = ctx;
    bool was = u->is_ready, is_new = false;
    u->is_ready = backend_poll_is_up(u->poll);
    if (u->is_ready && backend_poll_is_well(u->poll))
        u->suspect_until_us = 0;
    if (list) {
        u->is_right = list->is_llama_server;
        is_new = !u->has_fixed_models && !same_models(u, list);
    }
    if (is_new) {
        free(u->models);
        u->models = mem_array(list->n ? list->n : 1, sizeof *u->models);
        u->model_count = list->n;
        for (size_t i = 0; i < list->n; i++)
            name_model(&u->models[i], list->v[i].id, list->v[i].ctx);
        TRACE(ENGINE, INFO, "backend %s has %zu models", u->name, list->n);
    }
    if (is_new || was != u->is_ready)
        unit_refresh(u);
}

static void fix_models(struct engine_unit *u, const char *const *models)
{
    size_t n = 0;
    while (models && models[n])
        n++;
    if (!n)
        return;
    u->models = mem_array(n, sizeof *u->models);
    u->model_count = n;
    u->has_fixed_models = true;
    for (size_t i = 0; i < n; i++)
        name_model(&u->models[i], models[i], 0);
}

static int add_builtin(struct engine *e, const char *name, const char *text,
                       char why[static ENGINE_WHY])
{
    struct builtin *b;
    const char *called = name[0] ? name : text[0] == 'e' ? "echo" : "replay";
    int err = builtin_new(loop_sched(e->cfg.loop), text, called, &b, why);
    if (err)
        return err;
    struct engine_unit *u = unit_new(e, ENGINE_BUILTIN, called);
    u->builtin = b;
    u->is_ready = u->is_shareable = true;
    u->is_right = text[0] == 'e'; /* a recording may be of anything */
    u->models = MEM_NEW(struct engine_model);
    u->model_count = 1;
    name_model(&u->models[0], called, BUILTIN_CTX);
    u->models[0].abilities = ENGINE_CHAT | ENGINE_COMPLETION | ENGINE_EMBEDDINGS;
    snprintf(u->place.host, sizeof u->place.host, "localhost");
    snprintf(u->place.base_path, sizeof u->place.base_path, "/v1");
    unit_refresh(u);
    return 0;
}

static int set_key(struct engine_unit *u, const char *key, char why[static ENGINE_WHY])
{
    int n = snprintf(u->authorization, sizeof u->authorization, "Bearer %s", key);
    if (n >= (int)sizeof u->authorization || !http_is_field_value(bytes_str(u->authorization))) {
        snprintf(why, ENGINE_WHY, "the key of backend %s is too long or has control characters",
                 u->name);
        return E_INVALID;
    }
    u->headers[0] = (struct http_header){BYTES_LIT("Authorization"), bytes_str(u->authorization)};
    u->header_count = 1;
    return 0;
}

int engine_add_backend(struct engine *e, const char *spec, const char *const *models,
                       const char *key, char why[static ENGINE_WHY])
{
    char name[ENGINE_NAME];
    struct backend_place place;
    const char *url = name_split(spec, name);
    if (!url || !*url) {
        snprintf(why, ENGINE_WHY, "--backend %s: it must be URL or NAME=URL", spec);
        return E_INVALID;
    }
    if (builtin_is(url))
        return add_builtin(e, name, url, why);
    int err = backend_place(url, &place, why);
    if (err)
        return err;
    if (!name[0])
        backend_default_name(&place, name);
    struct engine_unit *u = unit_new(e, ENGINE_HTTP, name);
    u->place = place;
    u->is_shareable = place.is_near && !(key && key[0]);
    err = key && key[0] ? set_key(u, key, why) : 0;
    if (err) {
        unit_free(u);
        return err;
    }
    fix_models(u, models);
    struct backend_poll_config cfg = {
        .sched = loop_sched(e->cfg.loop),
        .pool = e->cfg.pool,
        .place = &u->place,
        .headers = u->headers,
        .header_count = u->header_count,
        .name = u->name,
        .needs_no_list = u->has_fixed_models,
        .polled = polled,
        .ctx = u,
    };
    u->poll = backend_poll_open(&cfg);
    unit_refresh(u);
    return 0;
}

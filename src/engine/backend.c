// SPDX-License-Identifier: MIT
/* HTTP backends, the pure part: see backend.h. */
#include "engine/backend.h"

#include "base/mem.h"
#include "codec/json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static bool ends_in_version(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash[1] != 'v' || !isdigit((unsigned char)slash[2]))
        return false;
    return slash[2 + strspn(slash + 2, "0123456789")] == 0;
}

static bool is_near_host(const struct http_origin *o)
{
    struct net_addr a;
    if (o->is_unix || strcasecmp(o->host, "localhost") == 0)
        return true;
    if (net_addr_parse_ip(o->host, o->port, &a) == 0)
        return net_addr_is_loopback(&a) || net_addr_is_private(&a);
    size_t n = strlen(o->host); /* a bare name and .local are of the LAN */
    return !strchr(o->host, '.') || (n > 6 && strcasecmp(o->host + n - 6, ".local") == 0);
}

int backend_place(const char *text, struct backend_place *out, char why[static ENGINE_WHY])
{
    char short_why[128] = "";
    struct url *u = mem_new(sizeof *u);
    char *full = strstr(text, "://") || strncmp(text, "unix:", 5) == 0
                     ? mem_strdup(text)
                     : mem_printf("http://%s", text);
    memset(out, 0, sizeof *out);
    int err = url_parse(full, u, short_why);
    if (!err && u->query[0]) {
        snprintf(short_why, sizeof short_why, "a backend's URL has no '?'");
        err = E_MALFORMED;
    }
    if (err) {
        snprintf(why, ENGINE_WHY, "backend %s: %s", text, short_why);
    } else {
        out->origin = u->origin;
        snprintf(out->host, sizeof out->host, "%s", u->host_field);
        int n = snprintf(out->base_path, sizeof out->base_path, "%s%s", u->path,
                         ends_in_version(u->path) ? "" : "/v1");
        out->is_near = is_near_host(&u->origin);
        if (n >= (int)sizeof out->base_path) {
            snprintf(why, ENGINE_WHY, "backend %.64s…: the path is too long", text);
            err = E_MALFORMED;
        }
    }
    free(full);
    free(u);
    return err;
}

void backend_default_name(const struct backend_place *p, char out[static ENGINE_NAME])
{
    static const struct {
        uint16_t port;
        const char *name;
    } usual[] = {
        {11434, "ollama"}, {1234, "lmstudio"}, {8000, "vllm"}, {8080, "llama"}, {1337, "jan"}};
    char text[ENGINE_NAME];
    if (p->is_near && !p->origin.is_unix) {
        for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
            if (usual[i].port == p->origin.port) {
                snprintf(out, ENGINE_NAME, "%s", usual[i].name);
                return;
            }
        }
    }
    snprintf(text, sizeof text, "%.100s", p->origin.host);
    name_slug(text, out);
    if (!out[0])
        snprintf(out, ENGINE_NAME, "backend");
}

void backend_key_variable(const char *name, char out[static ENGINE_NAME + 32])
{
    int n = snprintf(out, ENGINE_NAME + 32, "CONDUIT_BACKEND_%s", name);
    for (char *c = out; *c; c++)
        *c = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
    snprintf(out + n, (size_t)(ENGINE_NAME + 32 - n), "_KEY");
}

static uint32_t context_of(const struct json *m)
{
    uint64_t n = 0;
    if (!json_u64(json_get(m, "max_model_len"), &n))
        json_u64(json_get(json_get(m, "meta"), "n_ctx"), &n);
    return n < UINT32_MAX ? (uint32_t)n : 0;
}

static void take_entry(struct backend_list *out, const struct json *m)
{
    struct bytes id = json_get_str(m, "id");
    if (id.n == 0)
        id = json_get_str(m, "name");
    if (id.n == 0 || id.n >= ENGINE_NAME || memchr(id.p, 0, id.n))
        return; /* nothing that could be asked for */
    struct backend_entry *e = &out->v[out->n++];
    memcpy(e->id, id.p, id.n);
    e->id[id.n] = 0;
    e->ctx = context_of(m);
    if (json_is_str(json_get(m, "owned_by"), "llamacpp"))
        out->is_llama_server = true;
}

int backend_list_parse(struct bytes body, struct backend_list *out, char why[static ENGINE_WHY])
{
    struct json_doc *doc = NULL;
    struct json_error e = {0};
    memset(out, 0, sizeof *out);
    int err = json_parse(body, LIMIT_BACKEND_LIST, &doc, &e);
    if (err) {
        snprintf(why, ENGINE_WHY, "its list of models is not JSON (%s)", e.text);
        return err;
    }
    const struct json *data = json_get(json_root(doc), "data");
    if (json_kind_of(data) != JSON_ARRAY)
        data = json_kind_of(json_root(doc)) == JSON_ARRAY ? json_root(doc) : NULL;
    size_t n = json_count(data);
    if (!data) {
        snprintf(why, ENGINE_WHY, "its list of models has no \"data\"");
        err = E_MALFORMED;
    } else if (n > LIMIT_BACKEND_MODELS) {
        snprintf(why, ENGINE_WHY, "it lists %zu models; at most %d are taken", n,
                 LIMIT_BACKEND_MODELS);
        err = E_LIMIT;
    } else {
        out->v = mem_array(n ? n : 1, sizeof *out->v);
        for (struct json_iter it = json_iter(data); json_next(&it);)
            take_entry(out, it.value);
    }
    json_free(doc);
    return err;
}

void backend_list_fini(struct backend_list *l)
{
    free(l->v);
    memset(l, 0, sizeof *l);
}

uint64_t backend_health_step(struct backend_health *h, bool is_ok)
{
    enum { UP_S = 30, DOWN_MAX_S = 60, PATIENCE = 2 };
    h->failures = is_ok ? 0 : h->failures + 1;
    if (is_ok)
        h->is_up = true;
    else if (h->failures >= PATIENCE || !h->was_asked)
        h->is_up = false;
    h->was_asked = true;
    if (is_ok)
        return UP_S * US_PER_S;
    uint64_t wait_s = h->failures > 6 ? DOWN_MAX_S : UINT64_C(1) << (h->failures - 1);
    return (wait_s < DOWN_MAX_S ? wait_s : DOWN_MAX_S) * US_PER_S;
}

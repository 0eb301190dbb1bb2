// SPDX-License-Identifier: MIT
/* The engine: its units, the list of models, and their life. Tickets are in ticket_shell.c. */
#include "engine/engine_impl.h"

#include "base/mem.h"
#include "base/trace.h"
#include "engine/gguf_file.h"
#include "loop/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct sched *sched_of(const struct engine *e)
{
    return loop_sched(e->cfg.loop);
}

/* --- the list of models --- */
size_t engine_model_count(const struct engine *e)
{
    size_t n = 0;
    LIST_FOREACH (&e->units, it)
        n += LIST_ENTRY(it, struct engine_unit, link)->model_count;
    return n;
}

static void show_load(struct engine_unit *u)
{
    for (size_t i = 0; i < u->model_count; i++) {
        u->models[i].busy = u->busy;
        u->models[i].waiting = u->waiting;
    }
}

const struct engine_model *engine_model_at(const struct engine *e, size_t i)
{
    LIST_FOREACH (&e->units, it) {
        struct engine_unit *u = LIST_ENTRY(it, struct engine_unit, link);
        if (i < u->model_count) {
            show_load(u);
            return &u->models[i];
        }
        i -= u->model_count;
    }
    return NULL;
}

bool unit_is_suspect(const struct engine_unit *u)
{
    return u->suspect_until_us > sched_now(sched_of(u->engine));
}

static bool is_asked_for(const struct engine_model *m, struct bytes asked)
{
    return name_matches(asked, m->name, m->quant, m->digest) ||
           (m->alias[0] && name_matches(asked, m->alias, m->quant, m->digest));
}

/* 2: ready; 1: ready, but a request just failed there; 0: not ready. */
static int health_of(const struct engine_model *m)
{
    return !m->is_ready ? 0 : unit_is_suspect(m->unit) ? 1 : 2;
}

uint32_t engine_model_slots(const struct engine *e, struct bytes model)
{
    uint32_t sum = 0;
    for (size_t i = 0, n = engine_model_count(e); i < n; i++) {
        const struct engine_model *m = engine_model_at(e, i);
        if (!m->is_ready || !is_asked_for(m, model))
            continue;
        if (!m->slots)
            return 0;
        sum += m->slots;
    }
    return sum;
}

const struct engine_model *engine_model_find(const struct engine *e, struct bytes asked)
{
    const struct engine_model *best = NULL;
    for (size_t i = 0, n = engine_model_count(e); i < n; i++) {
        const struct engine_model *m = engine_model_at(e, i);
        if (!is_asked_for(m, asked))
            continue;
        bool is_better =
            !best || health_of(m) > health_of(best) ||
            (health_of(m) == health_of(best) && m->busy + m->waiting < best->busy + best->waiting);
        if (is_better)
            best = m;
    }
    return best;
}

void unit_refresh(struct engine_unit *u)
{
    for (size_t i = 0; i < u->model_count; i++) {
        u->models[i].unit = u;
        u->models[i].unit_name = u->name;
        u->models[i].kind = u->kind;
        u->models[i].slots = u->slots;
        u->models[i].is_ready = u->is_ready;
        u->models[i].is_shareable = u->is_shareable;
        u->models[i].allows_extra = u->engine->cfg.allow_extra_fields;
    }
    unit_admit(u);
    task_defer(sched_of(u->engine), &u->engine->changed);
}

static void run_changed(struct task *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, changed);
    if (e->cfg.changed)
        e->cfg.changed(e->cfg.ctx);
}

static void run_loaded(struct task *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, loaded);
    if (e->cfg.load_changed)
        e->cfg.load_changed(e->cfg.ctx);
}

/* --- units --- */
struct engine_unit *unit_new(struct engine *e, enum engine_kind kind, const char *name)
{
    struct engine_unit *u = MEM_NEW(struct engine_unit);
    u->engine = e;
    u->kind = kind;
    u->number = ++e->last_number;
    snprintf(u->name, sizeof u->name, "%s", name);
    list_init(&u->waiters);
    list_init(&u->link);
    list_append(&e->units, &u->link);
    return u;
}

void unit_free(struct engine_unit *u)
{
    digest_close(&u->digest);
    if (u->llama)
        llama_child_close(u->llama);
    if (u->poll)
        backend_poll_close(u->poll);
    if (u->builtin)
        builtin_free(u->builtin);
    list_remove(&u->link);
    mem_wipe(u->authorization, sizeof u->authorization);
    free(u->models);
    free(u);
}

/* --- a GGUF --- */
static bool all_stopped(const struct engine *e)
{
    LIST_FOREACH (&e->units, it) {
        struct engine_unit *u = LIST_ENTRY(it, struct engine_unit, link);
        if (u->llama && llama_child_state(u->llama)->state != LLAMA_STOPPED)
            return false;
    }
    return true;
}

static void tell_stopped(struct engine *e)
{
    timer_clear(sched_of(e), &e->stop_limit);
    void (*stopped)(void *) = e->stopped;
    e->stopped = NULL;
    if (stopped)
        stopped(e->stopped_ctx);
}

static void llama_changed(void *ctx)
{
    struct engine_unit *u = ctx;
    const struct llama *l = llama_child_state(u->llama);
    bool was = u->is_ready;
    u->is_ready = llama_is_ready(l);
    u->slots = llama_child_slots(u->llama);
    u->models[0].ctx = llama_child_ctx(u->llama);
    if (u->is_ready && !was)
        TRACE(ENGINE, INFO, "%s: ready, %" PRIu32 " slots of %" PRIu32 " tokens -> offered",
              u->name, u->slots, u->models[0].ctx);
    if (l->state == LLAMA_GAVE_UP)
        TRACE(ENGINE, ERROR,
              "%s: died %" PRIu32 " times without ever answering -> given up; see its log", u->name,
              l->deaths);
    unit_refresh(u);
    if (u->engine->is_stopping && all_stopped(u->engine))
        timer_after(sched_of(u->engine), &u->engine->stop_limit, 0);
}

static void digested(struct digest *d, int err, const char *hex)
{
    struct engine_unit *u = CONTAINER_OF(d, struct engine_unit, digest);
    if (err)
        TRACE(ENGINE, WARN, "%s: the weights cannot be hashed (%s) -> offered without a digest",
              u->name, err_text(err));
    snprintf(u->models[0].digest, sizeof u->models[0].digest, "%s", hex);
    unit_refresh(u);
}

static unsigned abilities_of(const struct gguf_summary *g, const struct engine_llama_options *o)
{
    if (g->is_embedding)
        return ENGINE_EMBEDDINGS;
    unsigned a = ENGINE_COMPLETION | ENGINE_EMBEDDINGS | ENGINE_JSON_SCHEMA;
    a |= g->has_chat_template ? ENGINE_CHAT : 0;
    a |= g->has_chat_template && g->has_tools ? ENGINE_TOOLS : 0;
    a |= g->has_reasoning ? ENGINE_REASONING : 0;
    return a | (o->mmproj ? ENGINE_VISION : 0);
}

static int need_server(struct engine *e, char why[static ENGINE_WHY])
{
    struct engine_server s;
    if (e->server)
        return 0;
    int err = engine_choose(e->given_server, NULL, &s, why, ENGINE_WHY);
    if (err)
        return err;
    if (s.build)
        TRACE(ENGINE, INFO, "llama-server is %s (build %u)", s.path, s.build);
    else
        TRACE(ENGINE, WARN,
              "llama-server is %s, which does not say its build -> used, since it was named; "
              "builds before %d have known holes in their loader",
              s.path, ENGINE_FLOOR_BUILD);
    e->server = s.path;
    return 0;
}

/* engine-NAME.log; of equal names the second one's is engine-NAME-2.log: one file has one writer. */
static char *log_path(const struct engine_unit *u)
{
    char mine[ENGINE_NAME], other[ENGINE_NAME], number[16] = "";
    unsigned same = 1;
    name_slug(u->name, mine);
    LIST_FOREACH (&u->engine->units, it) {
        const struct engine_unit *o = LIST_ENTRY(it, struct engine_unit, link);
        if (o == u || o->kind != ENGINE_LLAMA)
            continue;
        name_slug(o->name, other);
        same += strcmp(mine, other) == 0;
    }
    if (same > 1)
        snprintf(number, sizeof number, "-%u", same);
    return mem_printf("%s/engine-%s%s.log", u->engine->data_dir, mine, number);
}

static int start_llama(struct engine_unit *u, const char *file, const struct gguf_summary *g,
                       char why[static ENGINE_WHY])
{
    struct engine *e = u->engine;
    char *log = log_path(u);
    struct llama_child_config cfg = {
        .loop = e->cfg.loop,
        .pool = e->cfg.pool,
        .log_path = log,
        .changed = llama_changed,
        .ctx = u,
        .plan = {.server = e->server,
                 .self = e->cfg.no_sandbox ? NULL : e->self,
                 .file = file,
                 .name = u->name,
                 .options = &e->cfg.llama,
                 .ctx_train = g->ctx_train,
                 .weight_bytes = g->tensor_bytes,
                 .is_embedding = g->is_embedding},
    };
    int err = llama_child_open(&cfg, &u->llama, why);
    free(log);
    return err;
}

static void fill_model(struct engine_unit *u, const char *file, const struct gguf_summary *g)
{
    struct engine_model *m = u->models = MEM_NEW(struct engine_model);
    u->model_count = 1;
    snprintf(m->name, sizeof m->name, "%s", u->name);
    name_stem(file, m->alias);
    if (strcmp(m->alias, m->name) == 0)
        m->alias[0] = 0;
    snprintf(m->quant, sizeof m->quant, "%s", g->quant);
    m->parameters = g->parameters;
    m->abilities = abilities_of(g, &u->engine->cfg.llama);
}

/* A projector or an adapter: llama.cpp reads it like a model, so it is checked like one, and before the
 * first start instead of in a log. */
static int check_extra(struct engine *e, const char *flag, const char *file,
                       char why[static ENGINE_WHY])
{
    struct gguf_summary g;
    int err = gguf_file_check(file, rng_u64(loop_rng(e->cfg.loop)), &g, why);
    bool is_lora = strcmp(flag, "--lora") == 0;
    if (!err && (is_lora ? strcmp(g.type, "adapter") != 0
                         : strcmp(g.type, "mmproj") != 0 && strcmp(g.architecture, "clip") != 0)) {
        snprintf(why, ENGINE_WHY, "%s %s: it is %s", flag, file,
                 is_lora ? "no LoRA adapter" : "no projector for images");
        err = E_INVALID;
    }
    return err;
}

static int check_extras(struct engine *e, char why[static ENGINE_WHY])
{
    const struct engine_llama_options *o = &e->cfg.llama;
    int err = o->mmproj ? check_extra(e, "--mmproj", o->mmproj, why) : 0;
    for (const char *const *l = o->lora; !err && l && *l; l++)
        err = check_extra(e, "--lora", *l, why);
    return err;
}

int engine_add_gguf(struct engine *e, const char *spec, char why[static ENGINE_WHY])
{
    char name[ENGINE_NAME];
    struct gguf_summary g;
    const char *file = name_split(spec, name);
    if (!file || !*file) {
        snprintf(why, ENGINE_WHY, "--model %s: it must be FILE.gguf or NAME=FILE.gguf", spec);
        return E_INVALID;
    }
    int err = gguf_file_check(file, rng_u64(loop_rng(e->cfg.loop)), &g, why);
    if (!err && g.type[0] && strcmp(g.type, "model") != 0) {
        snprintf(why, ENGINE_WHY,
                 "%s: its type is %s, not model (--mmproj and --lora take the others)", file,
                 g.type);
        err = E_INVALID;
    }
    err = err ? err : check_extras(e, why);
    err = err ? err : need_server(e, why);
    if (err)
        return err;
    if (!name[0])
        name_slug(g.name, name);
    if (!name[0])
        name_stem(file, name);
    char *real = realpath(file, NULL); /* the child's Landlock rule and the digest mean this file */
    unsigned no, count;
    size_t stem;
    if (!real || gguf_split_parse(file, &no, &count, &stem)) {
        free(real);
        real = mem_strdup(file);
    }
    struct engine_unit *u = unit_new(e, ENGINE_LLAMA, name);
    u->is_shareable = true;
    u->is_right = true;
    fill_model(u, file, &g);
    err = start_llama(u, real, &g, why);
    if (err) {
        unit_free(u);
    } else {
        u->place.origin = *llama_child_origin(u->llama);
        snprintf(u->place.host, sizeof u->place.host, "localhost");
        snprintf(u->place.base_path, sizeof u->place.base_path, "/v1");
        char *cache = mem_printf("%s/digest.cache", e->data_dir);
        u->digest.done = digested;
        digest_open(e->cfg.loop, &u->digest, real, cache);
        free(cache);
        unit_refresh(u);
    }
    free(real);
    return err;
}

/* --- life --- */
static void on_stop_limit(struct timer *t)
{
    tell_stopped(CONTAINER_OF(t, struct engine, stop_limit));
}

static void copy_options(struct engine_llama_options *o)
{
    const char *const *from = o->lora;
    size_t n = 0;
    while (from && from[n])
        n++;
    const char **to = n ? mem_array(n + 1, sizeof *to) : NULL;
    for (size_t i = 0; i < n; i++)
        to[i] = mem_strdup(from[i]);
    o->lora = to;
    o->mmproj = o->mmproj ? mem_strdup(o->mmproj) : NULL;
}

static void free_options(struct engine_llama_options *o)
{
    for (const char *const *l = o->lora; l && *l; l++)
        free((char *)*l);
    free((void *)o->lora);
    free((char *)o->mmproj);
}

struct engine *engine_new(const struct engine_config *cfg)
{
    struct engine *e = MEM_NEW(struct engine);
    e->cfg = *cfg;
    copy_options(&e->cfg.llama);
    e->data_dir = mem_strdup(cfg->data_dir ? cfg->data_dir : ".");
    e->given_server = cfg->llama_server ? mem_strdup(cfg->llama_server) : NULL;
    ssize_t n = readlink("/proc/self/exe", e->self_path, sizeof e->self_path - 1);
    e->self_path[n > 0 ? n : 0] = 0;
    e->self = mem_strdup(cfg->self ? cfg->self : e->self_path);
    list_init(&e->units);
    task_init(&e->changed, run_changed);
    task_init(&e->loaded, run_loaded);
    timer_init(&e->stop_limit, on_stop_limit);
    return e;
}

void engine_free(struct engine *e)
{
    LIST_FOREACH_SAFE (&e->units, it)
        unit_free(LIST_ENTRY(it, struct engine_unit, link));
    task_cancel(&e->changed);
    task_cancel(&e->loaded);
    timer_clear(sched_of(e), &e->stop_limit);
    free_options(&e->cfg.llama);
    free(e->data_dir);
    free(e->given_server);
    free(e->server);
    free(e->self);
    free(e);
}

void engine_stop(struct engine *e, void (*stopped)(void *ctx), void *ctx)
{
    e->is_stopping = true;
    e->stopped = stopped;
    e->stopped_ctx = ctx;
    LIST_FOREACH (&e->units, it) {
        struct engine_unit *u = LIST_ENTRY(it, struct engine_unit, link);
        if (u->llama)
            llama_child_stop(u->llama);
    }
    timer_after(sched_of(e), &e->stop_limit, all_stopped(e) ? 0 : 5 * US_PER_S);
}

static const char *unit_state(const struct engine_unit *u)
{
    if (u->llama)
        return llama_state_text(llama_child_state(u->llama)->state);
    return u->is_ready ? "ready" : "not answering";
}

bool engine_unit_at(const struct engine *e, size_t i, struct engine_unit_view *out)
{
    LIST_FOREACH ((struct list *)&e->units, it) {
        const struct engine_unit *u = LIST_ENTRY(it, struct engine_unit, link);
        if (i-- > 0)
            continue;
        *out = (struct engine_unit_view){
            .name = u->name,
            .state = unit_state(u),
            .kind = u->kind,
            .is_ready = u->is_ready,
            .is_loading =
                u->llama && !u->is_ready && llama_child_state(u->llama)->state != LLAMA_GAVE_UP,
            .model_count = u->model_count,
        };
        return true;
    }
    return false;
}

static void describe_unit(const struct engine_unit *u, char *out, size_t size)
{
    int n, pid = u->llama ? llama_child_pid(u->llama) : 0;
    n = snprintf(out, size, "%s: %s", u->name, unit_state(u));
    if (u->slots)
        n += snprintf(out + n, size - (size_t)n, ", %" PRIu32 " of %" PRIu32 " slots busy", u->busy,
                      u->slots);
    if (u->waiting)
        n += snprintf(out + n, size - (size_t)n, ", %" PRIu32 " waiting", u->waiting);
    if (u->kind == ENGINE_HTTP)
        n += snprintf(out + n, size - (size_t)n, ", %zu models", u->model_count);
    if (pid)
        snprintf(out + n, size - (size_t)n, ", pid %d", pid);
}

void engine_describe(const struct engine *e, void (*line)(void *ctx, const char *text), void *ctx)
{
    LIST_FOREACH (&e->units, it) {
        char text[ENGINE_NAME + 128];
        describe_unit(LIST_ENTRY(it, struct engine_unit, link), text, sizeof text);
        line(ctx, text);
    }
}

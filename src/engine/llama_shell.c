// SPDX-License-Identifier: MIT
/* A supervised llama-server: performs what the machine in llama.c decides. The hard thing is that a
 * dead process, an answer still under way and a new process may overlap; so a check belongs to one
 * process, is cancelled with it, and every callback ends in `advance`. */
#include "engine/llama_shell.h"

#include "base/mem.h"
#include "base/trace.h"
#include "codec/json.h"
#include "engine/child_log.h"
#include "engine/socket_dir.h"
#include "loop/loop.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct llama_child {
    struct llama_child_config cfg;
    struct engine_llama_options options;
    struct llama m;
    struct timer timer;
    struct loop_child *process;
    struct http_call *check;
    struct http_origin origin;
    struct buf body; /* of a check's answer */
    int check_status;
    bool is_asking_props; /* else /health */
    bool knows_props;     /* of this process */
    uint32_t slots, ctx;
    struct child_log log;
    struct socket_dir dir;
};

static void advance(struct llama_child *c, enum llama_event ev);

static struct sched *sched_of(const struct llama_child *c)
{
    return loop_sched(c->cfg.loop);
}

/* --- checks --- */
static void check_head(void *ctx, const struct http_head *head)
{
    struct llama_child *c = ctx;
    c->check_status = head->status;
}

static void check_body(void *ctx, struct bytes piece)
{
    struct llama_child *c = ctx;
    buf_append_bytes(&c->body, piece); /* over the limit: cut, and not read then */
}

static void take_props(struct llama_child *c)
{
    struct json_doc *doc = NULL;
    if (json_parse(buf_view(&c->body), MIB, &doc, NULL) != 0)
        return;
    const struct json *root = json_root(doc);
    uint64_t slots = 0, ctx = 0;
    if (json_u64(json_get(root, "total_slots"), &slots) && slots > 0 && slots < 4096)
        c->slots = (uint32_t)slots;
    if (json_u64(json_get(json_get(root, "default_generation_settings"), "n_ctx"), &ctx) && ctx > 0)
        c->ctx = (uint32_t)ctx;
    json_free(doc);
}

static void ask(struct llama_child *c, bool props);

static void check_done(void *ctx, const struct http_call_result *r)
{
    struct llama_child *c = ctx;
    c->check = NULL;
    bool is_answer = r->err == 0;
    child_log_rotate(&c->log);
    if (is_answer && c->is_asking_props) {
        if (c->check_status == 200)
            take_props(c);
        c->knows_props = true;
        advance(c, LLAMA_HEALTHY);
    } else if (is_answer && c->check_status == 200) {
        if (c->knows_props)
            advance(c, LLAMA_HEALTHY);
        else
            ask(c, true);
    } else {
        advance(c, is_answer && c->check_status == 503 ? LLAMA_STILL_LOADING : LLAMA_NO_ANSWER);
    }
}

static void ask(struct llama_child *c, bool props)
{
    static const struct http_call_events on = {NULL, check_head, check_body, check_done};
    struct http_request req = {
        .method = "GET",
        .target = props ? BYTES_LIT("/props") : BYTES_LIT("/health"),
        .host = BYTES_LIT("localhost"),
        .must_close = true,
        .connect_us = 2 * US_PER_S,
        .first_byte_us = 10 * US_PER_S,
        .stall_us = 10 * US_PER_S,
    };
    int err = 0;
    buf_clear(&c->body);
    c->check_status = 0;
    c->is_asking_props = props;
    c->check = http_pool_call(c->cfg.pool, &c->origin, &req, &on, c, &err);
    if (!c->check)
        advance(c, LLAMA_NO_ANSWER);
}

/* --- the process --- */
static void exited(void *ctx, int64_t status, int sig)
{
    struct llama_child *c = ctx;
    bool is_asked = c->m.state == LLAMA_STOPPING, was_loading = c->m.state == LLAMA_LOADING;
    char said[300] = ""; /* why it did not start; of a served request nothing is repeated here */
    if (was_loading)
        child_log_last_line(&c->log, said, sizeof said);
    loop_child_close(c->process);
    c->process = NULL;
    if (c->check)
        http_call_cancel(c->check);
    c->check = NULL;
    unlink(c->cfg.plan.socket);
    http_pool_drop_idle(c->cfg.pool, &c->origin);
    advance(c, LLAMA_EXITED);
    if (is_asked)
        TRACE(ENGINE, INFO, "%s: llama-server has stopped", c->cfg.plan.name);
    else
        TRACE(ENGINE, WARN, "%s: llama-server died (%s %d%s%s, log: %s) -> %s", c->cfg.plan.name,
              sig ? "signal" : "status", sig ? sig : (int)status, said[0] ? ": " : "", said,
              c->cfg.log_path, llama_state_text(c->m.state));
}

static void spawn(struct llama_child *c)
{
    struct llama_args args;
    child_log_open(&c->log);
    child_log_rotate(&c->log);
    unlink(c->cfg.plan.socket);
    c->knows_props = false;
    llama_args_init(&args, &c->cfg.plan);
    struct loop_spawn_options opts = {
        .file = args.v[0], .argv = args.v, .out_fd = c->log.fd, .exited = exited, .ctx = c};
    int err = loop_spawn(c->cfg.loop, &opts, &c->process);
    llama_args_fini(&args);
    if (err) {
        c->process = NULL;
        TRACE(ENGINE, ERROR, "%s: %s could not be started: %s", c->cfg.plan.name,
              c->cfg.plan.server, err_text(err));
        advance(c, LLAMA_SPAWN_FAILED);
        return;
    }
    TRACE(ENGINE, INFO, "%s: llama-server started, pid %d, %" PRIu32 " slots -> loading",
          c->cfg.plan.name, loop_child_pid(c->process), c->slots);
    advance(c, LLAMA_SPAWNED);
}

static void advance(struct llama_child *c, enum llama_event ev)
{
    enum llama_state before = c->m.state;
    unsigned fx = llama_step(&c->m, ev, sched_now(sched_of(c)));
    if (c->m.state != before)
        TRACE(ENGINE, DEBUG, "%s: %s -> %s", c->cfg.plan.name, llama_state_text(before),
              llama_state_text(c->m.state));
    if (fx & LLAMA_DO_TERM && c->process)
        loop_child_kill(c->process, SIGTERM);
    if (fx & LLAMA_DO_KILL && c->process)
        loop_child_kill(c->process, SIGKILL);
    if (fx & LLAMA_DO_CHECK)
        ask(c, false);
    if (fx & LLAMA_DO_SPAWN)
        spawn(c);
    timer_set(sched_of(c), &c->timer, llama_deadline(&c->m));
    if (fx & LLAMA_DO_TELL || (c->m.state == LLAMA_STOPPED && before != LLAMA_STOPPED))
        c->cfg.changed(c->cfg.ctx);
}

static void on_timer(struct timer *t)
{
    advance(CONTAINER_OF(t, struct llama_child, timer), LLAMA_TICK);
}

/* --- life --- */
static int make_socket_dir(struct llama_child *c, char why[static ENGINE_WHY])
{
    const char *base = socket_dir_base();
    int err = socket_dir_open(&c->dir, base);
    if (err)
        snprintf(why, ENGINE_WHY, "no private folder for the engine's socket in %s: %s", base,
                 err_text(err));
    return err;
}

static void copy_plan(struct llama_child *c)
{
    struct llama_plan *p = &c->cfg.plan;
    p->server = mem_strdup(p->server);
    p->self = p->self ? mem_strdup(p->self) : NULL;
    p->file = mem_strdup(p->file);
    p->name = mem_strdup(p->name);
    p->socket = mem_printf("%s/engine.sock", c->dir.path);
    p->socket_dir = c->dir.path;
    c->options = *p->options;
    p->options = &c->options;
    p->parent = (int)getpid();
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    p->cores = cores > 0 ? (unsigned)cores : 1;
    c->slots = llama_plan_slots(p);
    c->ctx = llama_plan_ctx(p);
}

int llama_child_open(const struct llama_child_config *cfg, struct llama_child **out,
                     char why[static ENGINE_WHY])
{
    struct llama_child *c = MEM_NEW(struct llama_child);
    c->cfg = *cfg;
    int err = make_socket_dir(c, why);
    if (err) {
        free(c);
        return err;
    }
    copy_plan(c);
    child_log_init(&c->log, cfg->log_path);
    c->cfg.log_path = c->log.path;
    c->origin.is_unix = true;
    snprintf(c->origin.host, sizeof c->origin.host, "%s", c->cfg.plan.socket);
    buf_init(&c->body, MIB);
    timer_init(&c->timer, on_timer);
    llama_init(&c->m, sched_now(sched_of(c)));
    *out = c;
    advance(c, LLAMA_START);
    return 0;
}

void llama_child_start(struct llama_child *c)
{
    advance(c, LLAMA_START);
}

void llama_child_stop(struct llama_child *c)
{
    advance(c, LLAMA_STOP);
}

void llama_child_close(struct llama_child *c)
{
    timer_clear(sched_of(c), &c->timer);
    if (c->check)
        http_call_cancel(c->check);
    if (c->process) {
        loop_child_kill(c->process, SIGKILL);
        loop_child_close(c->process);
    }
    http_pool_drop_idle(c->cfg.pool, &c->origin);
    socket_dir_close(&c->dir);
    child_log_fini(&c->log);
    buf_fini(&c->body);
    free((char *)c->cfg.plan.server);
    free((char *)c->cfg.plan.self);
    free((char *)c->cfg.plan.file);
    free((char *)c->cfg.plan.name);
    free((char *)c->cfg.plan.socket);
    free(c);
}

const struct llama *llama_child_state(const struct llama_child *c)
{
    return &c->m;
}

const struct http_origin *llama_child_origin(const struct llama_child *c)
{
    return &c->origin;
}

uint32_t llama_child_slots(const struct llama_child *c)
{
    return c->slots;
}

uint32_t llama_child_ctx(const struct llama_child *c)
{
    return c->ctx;
}

int llama_child_pid(const struct llama_child *c)
{
    return c->process ? loop_child_pid(c->process) : 0;
}

// SPDX-License-Identifier: MIT
/* Child processes. A child outlives neither its handle nor the loop: whoever closes first kills it.
 * libuv reaps it; after loop_child_close nobody hears of it. */
#include "base/mem.h"
#include "loop/uv_maker.h"

#include <signal.h>
#include <stdlib.h>

struct child {
    struct loop_child base;
    uv_process_t uv;
    void (*exited)(void *ctx, int64_t status, int signal);
    void *ctx;
    bool is_closed, is_over;
};

static void child_gone(uv_handle_t *h)
{
    free(CONTAINER_OF((uv_process_t *)h, struct child, uv));
}

static void discard_child(uv_handle_t *h)
{
    struct child *c = CONTAINER_OF((uv_process_t *)h, struct child, uv);
    if (!c->is_over && c->uv.pid > 0)
        uv_process_kill(&c->uv, SIGKILL);
    uv_close(h, child_gone);
}

static const struct uvm_kind child_kind = {discard_child};

static void child_exited(uv_process_t *uv, int64_t status, int signal)
{
    struct child *c = CONTAINER_OF(uv, struct child, uv);
    struct uvm *m = uv->loop->data;
    uvm_woke(m);
    c->is_over = true;
    if (c->is_closed)
        uv_close((uv_handle_t *)uv, child_gone);
    else if (!m->is_dying)
        c->exited(c->ctx, status, signal);
}

int uvm_spawn(struct loop *l, const struct loop_spawn_options *opts, struct loop_child **out)
{
    struct child *c = MEM_NEW(struct child);
    uv_stdio_container_t io[3] = {{.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_IGNORE}};
    if (opts->out_fd >= 0) {
        io[1] = io[2] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = opts->out_fd};
    }
    uv_process_options_t o = {
        .exit_cb = child_exited,
        .file = opts->file,
        .args = (char **)opts->argv,
        .env = (char **)opts->env,
        .cwd = opts->cwd,
        .stdio_count = 3,
        .stdio = io,
    };
    c->base.loop = l;
    c->exited = opts->exited;
    c->ctx = opts->ctx;
    int rc = uv_spawn(&uvm_of(l)->uv, &c->uv, &o);
    c->uv.data = (void *)&child_kind;
    if (rc != 0) {
        c->is_over = true;
        uv_close((uv_handle_t *)&c->uv, child_gone); /* libuv has made the handle even so */
        return err_from_errno(-rc);
    }
    *out = &c->base;
    return 0;
}

int uvm_child_pid(const struct loop_child *base)
{
    return CONTAINER_OF(base, struct child, base)->uv.pid;
}

void uvm_child_kill(struct loop_child *base, int signal)
{
    struct child *c = CONTAINER_OF(base, struct child, base);
    if (!c->is_over)
        uv_process_kill(&c->uv, signal);
}

void uvm_child_close(struct loop_child *base)
{
    struct child *c = CONTAINER_OF(base, struct child, base);
    c->is_closed = true;
    if (c->is_over)
        uv_close((uv_handle_t *)&c->uv, child_gone);
    else
        uv_process_kill(&c->uv, SIGKILL); /* closed once it is reaped: no zombie is left */
}

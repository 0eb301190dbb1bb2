// SPDX-License-Identifier: MIT
/* Signals of our own process. Waiting for one does not keep the loop running. */
#include "base/mem.h"
#include "loop/uv_maker.h"

#include <stdlib.h>

struct catcher {
    struct loop_signal base;
    uv_signal_t uv;
    void (*caught)(void *ctx, int signum);
    void *ctx;
};

static void catcher_gone(uv_handle_t *h)
{
    free(CONTAINER_OF((uv_signal_t *)h, struct catcher, uv));
}

static void discard_catcher(uv_handle_t *h)
{
    uv_close(h, catcher_gone);
}

static const struct uvm_kind catcher_kind = {discard_catcher};

static void signal_caught(uv_signal_t *uv, int signum)
{
    struct catcher *c = CONTAINER_OF(uv, struct catcher, uv);
    uvm_woke(uv->loop->data);
    c->caught(c->ctx, signum);
}

int uvm_signal(struct loop *l, int signum, void (*caught)(void *ctx, int signum), void *ctx,
               struct loop_signal **out)
{
    struct catcher *c = MEM_NEW(struct catcher);
    *c = (struct catcher){.base.loop = l, .caught = caught, .ctx = ctx};
    uv_signal_init(&uvm_of(l)->uv, &c->uv);
    c->uv.data = (void *)&catcher_kind;
    int rc = uv_signal_start(&c->uv, signal_caught, signum);
    if (rc != 0) {
        discard_catcher((uv_handle_t *)&c->uv);
        return err_from_errno(-rc);
    }
    uv_unref((uv_handle_t *)&c->uv);
    *out = &c->base;
    return 0;
}

void uvm_signal_close(struct loop_signal *base)
{
    discard_catcher((uv_handle_t *)&CONTAINER_OF(base, struct catcher, base)->uv);
}

// SPDX-License-Identifier: MIT
/* Slow work on libuv's threads. Invariant: between loop_work and `done` the caller's struct belongs
 * to this file; only `run` is called off the loop's thread. */
#include "base/mem.h"
#include "loop/uv_maker.h"

#include <stdlib.h>

struct work {
    uv_work_t uv;
    struct loop_work *req;
};

static void work_run(uv_work_t *uv)
{
    struct work *w = CONTAINER_OF(uv, struct work, uv);
    w->req->run(w->req);
}

static void work_done(uv_work_t *uv, int status)
{
    struct work *w = CONTAINER_OF(uv, struct work, uv);
    struct uvm *m = uv->loop->data;
    struct loop_work *req = w->req;
    free(w);
    uvm_woke(m);
    if (m->is_dying)
        return;
    req->maker = NULL;
    req->done(req, status == UV_ECANCELED ? E_CANCELLED : 0);
}

void uvm_work(struct loop *l, struct loop_work *req)
{
    struct work *w = MEM_NEW(struct work);
    w->req = req;
    req->maker = w;
    uv_queue_work(&uvm_of(l)->uv, &w->uv, work_run, work_done);
}

void uvm_work_cancel(struct loop *l, struct loop_work *req)
{
    struct work *w = req->maker;
    if (w)
        uv_cancel((uv_req_t *)&w->uv); /* EBUSY when it has begun: then it ends as usual */
}

// SPDX-License-Identifier: MIT
/* A run of the node's checks: it waits for what has just begun (joining, identify, AutoNAT), asks a few peers
 * for their clocks, diagnoses bootstrap addresses that do not answer, and reports; see doctor.h.
 *
 *   SETTLE (bootstrap tried, …, at most 12 s) -> LOOK (at once) -> RESOLVE (names) -> ASK (clocks)
 *          -> DIAGNOSE (who is not there) -> answer */
#include "node/doctor.h"

#include "base/mem.h"
#include "node/diagnose.h"
#include "node/doctor_look.h"
#include "node/doctor_names.h"
#include "node/node_impl.h"

#include <stdio.h>
#include <stdlib.h>

#define SETTLE_US      (12 * US_PER_S)
#define SETTLE_STEP_US (100 * US_PER_MS)
enum { HELLOS_MAX = 4, DIAGNOSES_MAX = 4, RUNS_MAX = 4 };

struct run {
    struct list link; /* node->doctors */
    struct node *n;
    struct http_exchange *x; /* NULL: gone */
    struct doctor_report report;
    struct timer timer;
    uint64_t until_us;
    struct doctor_names names;
    struct hello hellos[HELLOS_MAX];
    unsigned asked, answered;
    size_t bootstrap; /* the next that is looked at */
    unsigned diagnosed;
    struct diagnose *diagnose;
    char text[256]; /* of the address being diagnosed */
};

static void run_free(struct run *r)
{
    for (unsigned i = 0; i < r->asked; i++)
        hello_cancel(&r->hellos[i]);
    doctor_names_cancel(&r->names);
    if (r->diagnose)
        diagnose_cancel(r->diagnose);
    timer_clear(r->n->sched, &r->timer);
    list_remove(&r->link);
    r->n->doctor_count--;
    free(r);
}

static void answer(struct run *r, const struct doctor_report *report)
{
    struct buf b;
    buf_init(&b, 0);
    int err = doctor_report_json(report, &b);
    struct http_exchange *x = r->x;
    run_free(r);
    if (err)
        http_exchange_error(x, 500, "internal_error", 0, "the report could not be made");
    else
        http_exchange_reply(x, 200, "application/json", NULL, 0, buf_view(&b));
    buf_fini(&b);
}

static void on_gone(void *user, int err)
{
    run_free(user);
}

/* --- bootstrap addresses that do not answer --- */

static void diagnose_next(struct run *r);

/* Its verdict, under the name of the address. */
static void on_bootstrap(void *ctx, const struct doctor_report *steps)
{
    struct run *r = ctx;
    const struct doctor_check *last = &steps->v[steps->count - 1];
    r->diagnose = NULL;
    enum doctor_level level = steps->has_failed ? DOCTOR_FAIL : DOCTOR_OK;
    if (level == DOCTOR_FAIL && join_is_in(&r->n->join))
        level = DOCTOR_WARN; /* another one is there */
    doctor_add(&r->report, level, "bootstrap", last->remedy, "%s: %s", r->text, last->text);
    diagnose_next(r);
}

static void diagnose_next(struct run *r)
{
    struct join_view v;
    while (join_at(&r->n->join, r->bootstrap, &v)) {
        r->bootstrap++;
        if (v.is_connected) {
            char who[PEER_ID_TEXT];
            doctor_add(&r->report, DOCTOR_OK, "bootstrap", NULL, "%s: connected, %s", v.text,
                       peer_id_text(v.peer, who, sizeof who));
            continue;
        }
        if (r->diagnosed++ >= DIAGNOSES_MAX)
            continue;
        snprintf(r->text, sizeof r->text, "%s", v.text);
        r->diagnose = diagnose_start(r->n, bytes_str(r->text), on_bootstrap, r);
        return;
    }
    answer(r, &r->report);
}

/* --- clocks --- */

static void on_hello(struct hello *h)
{
    struct run *r = h->ctx;
    if (++r->answered < r->asked)
        return;
    doctor_clocks(&r->report, r->hellos, r->asked);
    diagnose_next(r);
}

/* Bootstrap nodes are connected first, so the oldest connections are asked. */
static void ask_clocks(struct run *r)
{
    struct p2p_peer_view v;
    void *cursor = NULL;
    while (r->asked < HELLOS_MAX && p2p_host_peers(r->n->host, &cursor, &v)) {
        if (!v.record || !v.is_conduit || !known_peer_has_protocol(v.record, HTTP_PROTOCOL))
            continue;
        r->hellos[r->asked++] = (struct hello){.peer = *v.id, .done = on_hello, .ctx = r};
    }
    for (unsigned i = 0; i < r->asked; i++)
        hello_start(&r->hellos[i], r->n->host, r->n->sched, r->n->client);
    if (r->asked == 0)
        diagnose_next(r);
}

/* --- names --- */

static void on_names(struct doctor_names *names)
{
    struct run *r = names->ctx;
    doctor_names_report(names, &r->report, join_is_in(&r->n->join));
    ask_clocks(r);
}

/* --- beginning --- */

static bool is_settled(struct node *n)
{
    struct engine_unit_view u;
    for (size_t i = 0; engine_unit_at(n->engine, i, &u); i++)
        if (u.is_loading)
            return false;
    return feeds_are_known(&n->feeds) && !doctor_look_is_early(n);
}

static void on_timer(struct timer *t)
{
    struct run *r = CONTAINER_OF(t, struct run, timer);
    if (!is_settled(r->n) && sched_now(r->n->sched) < r->until_us) {
        timer_after(r->n->sched, &r->timer, SETTLE_STEP_US);
        return;
    }
    doctor_look(&r->report, r->n);
    doctor_names_of(&r->names, &r->n->bootstrap, r->n->cfg);
    r->names.done = on_names;
    r->names.ctx = r;
    doctor_names_ask(&r->names, r->n->loop);
}

static void on_diagnosed(void *ctx, const struct doctor_report *steps)
{
    struct run *r = ctx;
    r->diagnose = NULL;
    answer(r, steps);
}

void doctor_serve(void *node, struct http_exchange *x, const struct http_head *head,
                  const struct router_match *match, struct bytes body)
{
    static const struct http_exchange_events events = {.gone = on_gone};
    struct node *n = node;
    char peer[512];
    ssize_t len = http_query_get(head->query, "peer", peer, sizeof peer);
    if (len < 0 && len != E_NOT_FOUND) {
        http_exchange_error(x, 400, "bad_peer", 0, "the name of the peer is too long for one");
        return;
    }
    if (!n->has_join || n->doctor_count >= RUNS_MAX) {
        http_exchange_error(x, 503, "busy", 1, "other diagnoses are running");
        return;
    }
    struct run *r = MEM_NEW(struct run);
    r->n = n;
    r->x = x;
    list_append(&n->doctors, &r->link);
    n->doctor_count++;
    timer_init(&r->timer, on_timer);
    http_exchange_listen(x, &events, r);
    if (len >= 0) {
        r->diagnose = diagnose_start(n, bytes_of(peer, (size_t)len), on_diagnosed, r);
        return;
    }
    r->until_us = sched_now(n->sched) + SETTLE_US;
    timer_after(n->sched, &r->timer, 0);
}

void doctor_end_all(struct node *n)
{
    LIST_FOREACH_SAFE (&n->doctors, it) {
        struct run *r = LIST_ENTRY(it, struct run, link);
        struct http_exchange *x = r->x;
        run_free(r);
        http_exchange_error(x, 503, "stopping", 0, "the node is stopping");
    }
}

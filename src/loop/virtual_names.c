// SPDX-License-Identifier: MIT
/* Names in a virtual world: a table the test fills in, answered after a while like a real server.
 */
#include "base/mem.h"
#include "loop/names.h"
#include "loop/virtual.h"

#include <stdlib.h>

enum { DNS_US = 20000 };

struct virtual_name {
    size_t addr_count, text_count;
    struct net_addr addrs[LOOP_RESOLVE_MAX];
    char *texts[LOOP_RESOLVE_MAX];
};

struct query {
    struct virtual_request request;
    struct loop_resolve *req;
    struct virtual_machine *m;
    char *name;
    enum loop_dns what;
    struct timer answer, deadline;
    struct task tell;
    int err;
};

static struct virtual_name *name_get(struct loop_virtual *w, const char *name)
{
    struct virtual_name *n = map_get(&w->names, bytes_str(name));
    if (!n) {
        n = MEM_NEW(struct virtual_name);
        map_put(&w->names, bytes_str(name), n);
    }
    return n;
}

void loop_virtual_set_name(struct loop_virtual *w, const char *name, const struct net_addr *addr)
{
    struct virtual_name *n = name_get(w, name);
    if (n->addr_count < LOOP_RESOLVE_MAX)
        n->addrs[n->addr_count++] = *addr;
}

void loop_virtual_set_text(struct loop_virtual *w, const char *name, const char *text)
{
    struct virtual_name *n = name_get(w, name);
    if (n->text_count < LOOP_RESOLVE_MAX)
        n->texts[n->text_count++] = mem_strdup(text);
}

void virtual_names_fini(struct loop_virtual *w)
{
    for (struct map_entry *e = map_first(&w->names); e; e = map_next(&w->names, e)) {
        struct virtual_name *n = e->value;
        for (size_t i = 0; i < n->text_count; i++)
            free(n->texts[i]);
        free(n);
    }
    map_fini(&w->names);
}

static void query_free(struct query *q)
{
    timer_clear(&q->m->base.sched, &q->answer);
    timer_clear(&q->m->base.sched, &q->deadline);
    task_cancel(&q->tell);
    list_remove(&q->request.link);
    free(q->name);
    free(q);
}

/* Whoever cancelled it waits for the word, also when the machine is no more. */
static void query_discard(struct virtual_request *r)
{
    struct query *q = CONTAINER_OF(r, struct query, request);
    struct loop_resolve *req = q->err == E_CANCELLED ? q->req : NULL;
    query_free(q);
    if (req)
        req->done(req, E_CANCELLED, NULL, 0, NULL, 0);
}

static void query_settled(struct query *q, int err)
{
    q->err = err;
    timer_clear(&q->m->base.sched, &q->answer);
    timer_clear(&q->m->base.sched, &q->deadline);
    virtual_defer(q->m, &q->tell);
}

/* What the table says of the kinds that were asked for. */
static size_t pick_addrs(const struct virtual_name *n, enum loop_dns what, struct net_addr *out)
{
    size_t count = 0;
    for (size_t i = 0; n && i < n->addr_count; i++) {
        enum loop_dns kind = n->addrs[i].kind == NET_IP4 ? LOOP_DNS_A : LOOP_DNS_AAAA;
        if (what == LOOP_DNS_ANY || what == kind)
            out[count++] = n->addrs[i];
    }
    return count;
}

static void query_tell(struct task *t)
{
    struct query *q = CONTAINER_OF(t, struct query, tell);
    struct loop_resolve *req = q->req;
    const struct virtual_name *n = map_get(&q->m->world->names, bytes_str(q->name));
    struct net_addr addrs[LOOP_RESOLVE_MAX];
    struct bytes texts[LOOP_RESOLVE_MAX];
    size_t addr_count = 0, text_count = 0;
    int err = q->err;
    if (err == 0 && !names_answer(q->name, q->what, addrs, &addr_count)) {
        addr_count = q->what == LOOP_DNS_TXT ? 0 : pick_addrs(n, q->what, addrs);
        for (; n && q->what == LOOP_DNS_TXT && text_count < n->text_count; text_count++)
            texts[text_count] = bytes_str(n->texts[text_count]);
    }
    if (err == 0 && addr_count + text_count == 0)
        err = E_DNS;
    query_free(q);
    req->maker = NULL;
    req->done(req, err, addrs, addr_count, texts, text_count);
}

static void query_answered(struct timer *t)
{
    query_settled(CONTAINER_OF(t, struct query, answer), 0);
}

static void query_expired(struct timer *t)
{
    query_settled(CONTAINER_OF(t, struct query, deadline), E_TIMEOUT);
}

void virtual_resolve(struct loop *l, struct loop_resolve *req, const char *name, enum loop_dns what,
                     uint64_t timeout_us)
{
    struct virtual_machine *m = virtual_of(l);
    struct query *q = MEM_NEW(struct query);
    struct net_addr here[2];
    size_t count;
    q->req = req;
    q->m = m;
    q->name = mem_strdup(name);
    q->what = what;
    req->maker = q;
    q->request.discard = query_discard;
    timer_init(&q->answer, query_answered);
    timer_init(&q->deadline, query_expired);
    task_init(&q->tell, query_tell);
    list_append(&m->requests, &q->request.link);
    timer_after(&l->sched, &q->deadline, timeout_us);
    timer_after(&l->sched, &q->answer, names_answer(name, what, here, &count) ? 0 : DNS_US);
    virtual_ready(m);
}

void virtual_resolve_cancel(struct loop *l, struct loop_resolve *req)
{
    if (req->maker)
        query_settled(req->maker, E_CANCELLED);
}

int virtual_resolve_servers(struct loop *l, const char *servers)
{
    return E_UNSUPPORTED; /* the world's table answers: loop_virtual_set_name */
}

// SPDX-License-Identifier: MIT
/* Names to addresses and texts, by c-ares, which also reads /etc/hosts and resolv.conf.
 *
 * "localhost" and literals are answered here. c-ares opens sockets of its own; each is watched by a
 * small handle that lives as long as c-ares says.
 *
 *   loop_resolve -> struct query --------------- told ---> `done`, by a task
 *                      \-> struct lookup -> c-ares (one or two) -> lookup_done
 *
 * The hard thing: c-ares cannot cancel one query. So what it holds (the lookup) is a struct of its
 * own, which forgets its query when that has timed out or was cancelled. */
#include "base/buf.h"
#include "base/mem.h"
#include "loop/names.h"
#include "loop/sockaddr.h"
#include "loop/uv_maker.h"

#define CARES_NO_DEPRECATED /* Debian 13's says so of calls for which Debian 12's has no other */
#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <stdlib.h>

enum { TEXT_MAX = 4096 }; /* one TXT record, joined; a dnsaddr is under 255 bytes */

struct uvm_names {
    struct uvm *m;
    ares_channel channel;
    struct timer retry; /* c-ares' own retransmissions */
    struct list lookups;
};

struct query {
    struct uvm_request pending;
    struct loop_resolve *req;
    struct loop *loop;
    struct lookup *lookup; /* NULL when c-ares is done or was never asked */
    struct timer deadline;
    struct task tell;
    int err;
    size_t addr_count, text_count;
    struct net_addr addrs[LOOP_RESOLVE_MAX];
    struct bytes texts[LOOP_RESOLVE_MAX]; /* into `text` */
    size_t text_at[LOOP_RESOLVE_MAX];
    struct buf text;
};

struct lookup {
    struct list link;
    struct query *query; /* NULL when nobody wants the answer any more */
};

static void names_arm(struct uvm_names *n);

/* --- the query --- */

static void query_settled(struct query *q, int err)
{
    q->err = err;
    if (q->lookup)
        q->lookup->query = NULL;
    q->lookup = NULL;
    timer_clear(&q->loop->sched, &q->deadline);
    task_defer(&q->loop->sched, &q->tell);
}

static void query_tell(struct task *t)
{
    struct query *q = CONTAINER_OF(t, struct query, tell);
    bool ok = q->err == 0;
    for (size_t i = 0; i < q->text_count; i++)
        q->texts[i].p = buf_view(&q->text).p + q->text_at[i];
    list_remove(&q->pending.link);
    q->req->maker = NULL;
    q->req->done(q->req, q->err, q->addrs, ok ? q->addr_count : 0, q->texts,
                 ok ? q->text_count : 0);
    buf_fini(&q->text);
    free(q);
}

/* Given up before c-ares was done; when nobody else waits for it, it need not go on. */
static void query_give_up(struct query *q, int err)
{
    struct uvm_names *n = uvm_of(q->loop)->names;
    query_settled(q, err);
    if (!n)
        return;
    LIST_FOREACH (&n->lookups, it) {
        if (LIST_ENTRY(it, struct lookup, link)->query)
            return;
    }
    ares_cancel(n->channel); /* ends, and so frees, every lookup */
    names_arm(n);
}

static void query_expired(struct timer *t)
{
    query_give_up(CONTAINER_OF(t, struct query, deadline), E_TIMEOUT);
}

static void query_add(struct query *q, const struct net_addr *a)
{
    if (q->addr_count < LOOP_RESOLVE_MAX)
        q->addrs[q->addr_count++] = *a;
}

static bool query_answer_here(struct query *q, const char *name, enum loop_dns what)
{
    if (!names_answer(name, what, q->addrs, &q->addr_count))
        return false;
    query_settled(q, q->addr_count ? 0 : E_DNS);
    return true;
}

/* --- c-ares' sockets and clock --- */

struct watcher {
    uv_poll_t poll;
    struct uvm_names *names;
    ares_socket_t fd;
};

static void watcher_gone(uv_handle_t *h)
{
    free(CONTAINER_OF((uv_poll_t *)h, struct watcher, poll));
}

static void discard_watcher(uv_handle_t *h)
{
    uv_close(h, watcher_gone);
}

static const struct uvm_kind watcher_kind = {discard_watcher};

static void watcher_event(uv_poll_t *poll, int status, int events)
{
    struct watcher *w = CONTAINER_OF(poll, struct watcher, poll);
    struct uvm_names *n = w->names;
    ares_socket_t fd = w->fd; /* c-ares may close it, and with it this handle, in the call below */
    uvm_woke(poll->loop->data);
    ares_process_fd(n->channel, status < 0 || (events & UV_READABLE) ? fd : ARES_SOCKET_BAD,
                    status < 0 || (events & UV_WRITABLE) ? fd : ARES_SOCKET_BAD);
    names_arm(n);
}

struct watcher_search {
    ares_socket_t fd;
    struct watcher *found;
};

static void watcher_match(uv_handle_t *h, void *arg)
{
    struct watcher_search *search = arg;
    struct watcher *w = CONTAINER_OF((uv_poll_t *)h, struct watcher, poll);
    if (h->data == &watcher_kind && !uv_is_closing(h) && w->fd == search->fd)
        search->found = w;
}

/* c-ares' sockets are one or two at a time, but libuv's list holds all handles: a walk is only
 * made when c-ares opens or closes a socket, that is, once or twice per lookup. */
static struct watcher *watcher_find(struct uvm_names *n, ares_socket_t fd)
{
    struct watcher_search search = {.fd = fd};
    uv_walk(&n->m->uv, watcher_match, &search);
    return search.found;
}

static void socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct uvm_names *n = arg;
    struct watcher *w = watcher_find(n, fd);
    int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    if (events == 0) {
        if (w)
            discard_watcher((uv_handle_t *)&w->poll);
        return;
    }
    if (!w) {
        w = MEM_NEW(struct watcher);
        w->names = n;
        w->fd = fd;
        if (uv_poll_init(&n->m->uv, &w->poll, fd) != 0) {
            free(w); /* the query then ends by its deadline */
            return;
        }
        w->poll.data = (void *)&watcher_kind;
    }
    uv_poll_start(&w->poll, events, watcher_event);
}

static void names_retry(struct timer *t)
{
    struct uvm_names *n = CONTAINER_OF(t, struct uvm_names, retry);
    ares_process_fd(n->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    names_arm(n);
}

static void names_arm(struct uvm_names *n)
{
    struct timeval tv;
    if (ares_timeout(n->channel, NULL, &tv))
        timer_after(&n->m->base.sched, &n->retry,
                    (uint64_t)tv.tv_sec * US_PER_S + (uint64_t)tv.tv_usec + US_PER_MS);
    else
        timer_clear(&n->m->base.sched, &n->retry);
}

/* The channel is made when the first name is asked for. */
static struct uvm_names *names_of(struct uvm *m)
{
    if (m->names)
        return m->names;
    struct uvm_names *n = MEM_NEW(struct uvm_names);
    struct ares_options o = {.sock_state_cb = socket_state, .sock_state_cb_data = n};
    n->m = m;
    list_init(&n->lookups);
    timer_init(&n->retry, names_retry);
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
        ares_init_options(&n->channel, &o, ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS) {
        free(n);
        return NULL;
    }
    return m->names = n;
}

void uvm_names_free(struct uvm *m)
{
    struct uvm_names *n = m->names;
    if (n) {
        LIST_FOREACH (&n->lookups, it) {
            struct lookup *lk = LIST_ENTRY(it, struct lookup, link);
            if (lk->query)
                lk->query->lookup = NULL;
            lk->query = NULL;
        }
        timer_clear(&m->base.sched, &n->retry);
        ares_destroy(n->channel); /* ends each lookup, which frees it */
        ares_library_cleanup();
        free(n);
        m->names = NULL;
    }
}

/* --- asking --- */

static int err_from_ares(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ETIMEOUT:
        return E_TIMEOUT;
    case ARES_EBADNAME:
    case ARES_EBADSTR:
        return E_INVALID;
    case ARES_ENOMEM:
        return E_NO_MEMORY;
    default:
        return E_DNS;
    }
}

/* The query that still waits for this answer, or NULL. */
static struct query *lookup_end(struct lookup *lk)
{
    struct query *q = lk->query;
    list_remove(&lk->link);
    free(lk);
    if (q)
        q->lookup = NULL;
    return q;
}

static void addrs_done(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct query *q = lookup_end(arg);
    if (q && info)
        for (struct ares_addrinfo_node *a = info->nodes; a; a = a->ai_next) {
            struct net_addr addr = sockaddr_to_net(a->ai_addr, a->ai_addrlen);
            addr.port = 0;
            if (addr.kind != NET_NONE)
                query_add(q, &addr);
        }
    if (q)
        query_settled(q, status == ARES_SUCCESS && !q->addr_count ? E_DNS : err_from_ares(status));
    if (info)
        ares_freeaddrinfo(info);
}

/* A TXT record comes as strings of up to 255 bytes; they are one text. */
static void add_text(struct query *q, const struct ares_txt_ext *t)
{
    if (t->record_start) {
        if (q->text_count == LOOP_RESOLVE_MAX)
            return;
        q->text_at[q->text_count] = buf_len(&q->text);
        q->texts[q->text_count++].n = 0;
    }
    struct bytes *last = q->text_count ? &q->texts[q->text_count - 1] : NULL;
    if (last && last->n + t->length <= TEXT_MAX && buf_append(&q->text, t->txt, t->length) == 0)
        last->n += t->length;
}

static void texts_done(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
    struct query *q = lookup_end(arg);
    struct ares_txt_ext *list = NULL;
    if (!q)
        return;
    if (status == ARES_SUCCESS)
        status = ares_parse_txt_reply_ext(answer, len, &list);
    for (struct ares_txt_ext *t = list; t && q->text_count <= LOOP_RESOLVE_MAX; t = t->next) {
        if (t->record_start && q->text_count == LOOP_RESOLVE_MAX)
            break;
        add_text(q, t);
    }
    if (list)
        ares_free_data(list);
    query_settled(q, err_from_ares(status));
}

static void query_ask(struct query *q, struct uvm_names *n, const char *name, enum loop_dns what)
{
    struct lookup *lk = MEM_NEW(struct lookup);
    lk->query = q;
    q->lookup = lk;
    list_append(&n->lookups, &lk->link);
    if (what == LOOP_DNS_TXT) {
        ares_query(n->channel, name, ns_c_in, ns_t_txt, texts_done, lk);
    } else {
        struct ares_addrinfo_hints hints = {
            .ai_family = what == LOOP_DNS_A      ? AF_INET
                         : what == LOOP_DNS_AAAA ? AF_INET6
                                                 : AF_UNSPEC,
            .ai_socktype = SOCK_STREAM,
        };
        ares_getaddrinfo(n->channel, name, NULL, &hints, addrs_done, lk);
    }
    names_arm(n);
}

void uvm_resolve(struct loop *l, struct loop_resolve *req, const char *name, enum loop_dns what,
                 uint64_t timeout_us)
{
    struct query *q = MEM_NEW(struct query);
    q->req = req;
    q->loop = l;
    req->maker = q;
    buf_init(&q->text, LOOP_RESOLVE_MAX * TEXT_MAX);
    timer_init(&q->deadline, query_expired);
    task_init(&q->tell, query_tell);
    list_append(&uvm_of(l)->requests, &q->pending.link);
    if (query_answer_here(q, name, what))
        return;
    struct uvm_names *n = names_of(uvm_of(l));
    if (!n) {
        query_settled(q, E_DNS);
        return;
    }
    timer_after(&l->sched, &q->deadline, timeout_us);
    query_ask(q, n, name, what);
}

void uvm_resolve_cancel(struct loop *l, struct loop_resolve *req)
{
    if (req->maker)
        query_give_up(req->maker, E_CANCELLED);
}

int uvm_resolve_servers(struct loop *l, const char *servers)
{
    struct uvm_names *n = names_of(uvm_of(l));
    return n && ares_set_servers_ports_csv(n->channel, servers) == ARES_SUCCESS ? 0 : E_INVALID;
}

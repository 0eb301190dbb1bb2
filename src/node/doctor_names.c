// SPDX-License-Identifier: MIT
/* See doctor_names.h. */
#include "node/doctor_names.h"

#include "base/err.h"
#include "base/sched.h"
#include "codec/multiaddr.h"
#include "engine/backend.h"
#include "engine/name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RESOLVE_US (4 * US_PER_S)

/* --- which names --- */

static void add(struct doctor_names *n, const char *prefix, struct bytes name, enum loop_dns what,
                bool is_backends)
{
    struct net_addr ip;
    char text[sizeof n->v[0].text];
    snprintf(text, sizeof text, "%s%.*s", prefix, BYTES_FMT(name));
    if (n->count == DOCTOR_NAMES || strcasecmp(text, "localhost") == 0 ||
        net_addr_parse_ip(text, 0, &ip) == 0)
        return;
    for (size_t i = 0; i < n->count; i++)
        if (strcasecmp(n->v[i].text, text) == 0)
            return;
    struct doctor_name *m = &n->v[n->count++];
    *m = (struct doctor_name){.what = what, .is_backends = is_backends, .of = n};
    memcpy(m->text, text, sizeof text);
}

static void add_address(struct doctor_names *n, const char *text)
{
    struct multiaddr m;
    struct multiaddr_host host;
    if (multiaddr_parse_loose(bytes_str(text), 1, &m) != 0)
        return;
    struct bytes list = multiaddr_dnsaddr(multiaddr_bytes(&m));
    if (list.n)
        add(n, "_dnsaddr.", list, LOOP_DNS_TXT, false);
    else if (multiaddr_to_host(multiaddr_bytes(&m), &host) == 0)
        add(n, "", host.name,
            host.code == MA_DNS4   ? LOOP_DNS_A
            : host.code == MA_DNS6 ? LOOP_DNS_AAAA
                                   : LOOP_DNS_ANY,
            false);
}

static void add_url(struct doctor_names *n, const char *spec)
{
    struct backend_place place;
    char name[ENGINE_NAME], why[ENGINE_WHY];
    const char *url = name_split(spec, name);
    if (url && backend_place(url, &place, why) == 0 && !place.origin.is_unix)
        add(n, "", bytes_str(place.origin.host), LOOP_DNS_ANY, true);
}

void doctor_names_of(struct doctor_names *n, const struct strlist *bootstrap,
                     const struct config *cfg)
{
    n->count = 0;
    for (size_t i = 0; i < bootstrap->n; i++)
        add_address(n, bootstrap->v[i]);
    for (size_t i = 0; i < cfg->backend.n; i++)
        add_url(n, cfg->backend.v[i]);
    if (cfg->local_llm)
        add_url(n, cfg->local_llm);
}

/* --- asking --- */

static void on_resolved(struct loop_resolve *r, int err, const struct net_addr *addrs,
                        size_t addr_count, const struct bytes *texts, size_t text_count)
{
    struct doctor_name *m = CONTAINER_OF(r, struct doctor_name, resolve);
    struct doctor_names *n = m->of;
    m->is_running = false;
    m->err = err;
    if (++n->answered == n->count)
        n->done(n);
}

static void on_task(struct task *t)
{
    struct doctor_names *n = CONTAINER_OF(t, struct doctor_names, task);
    n->done(n);
}

void doctor_names_ask(struct doctor_names *n, struct loop *loop)
{
    n->loop = loop;
    n->answered = 0;
    task_init(&n->task, on_task);
    if (n->count == 0)
        task_defer(loop_sched(loop), &n->task);
    for (size_t i = 0; i < n->count; i++) {
        n->v[i].is_running = true;
        n->v[i].resolve = (struct loop_resolve){.done = on_resolved};
        loop_resolve(loop, &n->v[i].resolve, n->v[i].text, n->v[i].what, RESOLVE_US);
    }
}

void doctor_names_cancel(struct doctor_names *n)
{
    if (!n->loop)
        return;
    task_cancel(&n->task);
    for (size_t i = 0; i < n->count; i++)
        if (n->v[i].is_running)
            loop_resolve_cancel(n->loop, &n->v[i].resolve);
    n->loop = NULL;
}

/* --- saying --- */

void doctor_names_report(const struct doctor_names *n, struct doctor_report *r, bool is_in)
{
    size_t good = 0;
    const char *first = "";
    for (size_t i = 0; i < n->count; i++) {
        const struct doctor_name *m = &n->v[i];
        if (!m->err) {
            first = good++ ? first : m->text;
            continue;
        }
        doctor_add(r, is_in && !m->is_backends ? DOCTOR_WARN : DOCTOR_FAIL, "dns",
                   "check the name, and the name server in /etc/resolv.conf; or use an IP address",
                   "%s, of a %s: %s", m->text, m->is_backends ? "backend" : "bootstrap address",
                   err_text(m->err));
    }
    if (good)
        doctor_add(r, DOCTOR_OK, "dns", NULL, "%zu of %zu names resolve: %s%s", good, n->count,
                   first, good > 1 ? ", …" : "");
    else if (!n->count)
        doctor_add(r, DOCTOR_OK, "dns", NULL, "not needed: no name is configured");
}

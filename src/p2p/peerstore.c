// SPDX-License-Identifier: MIT
/* See peerstore.h. */
#include "p2p/peerstore.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/sched.h"

#include <assert.h>
#include <stdlib.h>

enum { BACKOFF_DOUBLINGS = 6 };

void peerstore_init(struct peerstore *ps, struct rng *rng)
{
    *ps = (struct peerstore){.rng = rng, .max = LIMIT_PEERS};
    map_init(&ps->by_id, rng_u64(rng));
    list_init(&ps->by_use);
}

static void clear_addrs(struct known_peer *r)
{
    for (size_t i = 0; i < r->addr_count; i++)
        free(r->addrs[i].p);
    free(r->addrs);
    r->addrs = NULL;
    r->addr_count = 0;
}

static void forget(struct peerstore *ps, struct known_peer *r)
{
    map_take(&ps->by_id, peer_id_bytes(&r->id));
    list_remove(&r->by_use);
    clear_addrs(r);
    free(r->protocols);
    free(r);
}

void peerstore_fini(struct peerstore *ps)
{
    while (!list_is_empty(&ps->by_use))
        forget(ps, LIST_ENTRY(ps->by_use.next, struct known_peer, by_use));
    map_fini(&ps->by_id);
}

struct known_peer *peerstore_get(struct peerstore *ps, const struct peer_id *id)
{
    return map_get(&ps->by_id, peer_id_bytes(id));
}

static bool make_room(struct peerstore *ps)
{
    if (map_count(&ps->by_id) < ps->max)
        return true;
    LIST_FOREACH (&ps->by_use, it) {
        struct known_peer *r = LIST_ENTRY(it, struct known_peer, by_use);
        if (r->pins == 0) {
            forget(ps, r);
            return true;
        }
    }
    return false;
}

struct known_peer *peerstore_touch(struct peerstore *ps, const struct peer_id *id)
{
    struct known_peer *r = peerstore_get(ps, id);
    if (r) {
        list_remove(&r->by_use);
        list_append(&ps->by_use, &r->by_use);
        return r;
    }
    if (!make_room(ps))
        return NULL;
    r = MEM_NEW(struct known_peer);
    r->id = *id;
    map_put(&ps->by_id, peer_id_bytes(id), r);
    list_append(&ps->by_use, &r->by_use);
    return r;
}

void peerstore_pin(struct known_peer *r)
{
    r->pins++;
}

void peerstore_unpin(struct known_peer *r)
{
    assert(r->pins > 0);
    r->pins--;
}

static void drop_addr(struct known_peer *r, size_t i)
{
    free(r->addrs[i].p);
    r->addr_count--;
    for (; i < r->addr_count; i++)
        r->addrs[i] = r->addrs[i + 1];
}

static size_t first_to_expire(const struct known_peer *r)
{
    size_t first = 0;
    for (size_t i = 1; i < r->addr_count; i++)
        if (r->addrs[i].expires_us < r->addrs[first].expires_us)
            first = i;
    return first;
}

int known_peer_add_addr(struct known_peer *r, struct bytes addr, uint64_t ttl_us, uint64_t now_us)
{
    uint64_t until = now_us + ttl_us;
    if (addr.n == 0 || addr.n > LIMIT_PEER_ADDR)
        return E_TOO_BIG;
    for (size_t i = 0; i < r->addr_count; i++)
        if (bytes_eq(bytes_of(r->addrs[i].p, r->addrs[i].n), addr)) {
            if (r->addrs[i].expires_us < until)
                r->addrs[i].expires_us = until;
            return 0;
        }
    if (r->addr_count == LIMIT_PEER_ADDRS)
        drop_addr(r, first_to_expire(r));
    r->addrs = mem_resize(r->addrs, (r->addr_count + 1u) * sizeof *r->addrs);
    struct peer_addr *a = &r->addrs[r->addr_count++];
    *a = (struct peer_addr){mem_new(addr.n), (uint16_t)addr.n, until};
    memcpy(a->p, addr.p, addr.n);
    r->retry_us = 0; /* that the others failed says nothing of this one */
    return 0;
}

void known_peer_expire(struct known_peer *r, uint64_t now_us)
{
    for (size_t i = r->addr_count; i-- > 0;)
        if (r->addrs[i].expires_us <= now_us)
            drop_addr(r, i);
}

void known_peer_clear_protocols(struct known_peer *r)
{
    free(r->protocols);
    r->protocols = NULL;
    r->protocols_size = 0;
    r->protocol_count = 0;
}

int known_peer_add_protocol(struct known_peer *r, struct bytes protocol)
{
    if (protocol.n == 0 || protocol.n > LIMIT_MSS_PROTOCOL || memchr(protocol.p, 0, protocol.n))
        return E_MALFORMED;
    if (r->protocol_count == LIMIT_PEER_PROTOCOLS)
        return E_LIMIT;
    r->protocols = mem_resize(r->protocols, r->protocols_size + protocol.n + 1);
    memcpy(r->protocols + r->protocols_size, protocol.p, protocol.n);
    r->protocols[r->protocols_size + protocol.n] = 0;
    r->protocols_size += protocol.n + 1;
    r->protocol_count++;
    return 0;
}

const char *known_peer_protocol(const struct known_peer *r, size_t i)
{
    const char *p = r->protocols;
    if (i >= r->protocol_count)
        return NULL;
    while (i-- > 0)
        p += strlen(p) + 1;
    return p;
}

bool known_peer_has_protocol(const struct known_peer *r, const char *protocol)
{
    const char *p = r->protocols;
    for (size_t i = 0; i < r->protocol_count; i++, p += strlen(p) + 1)
        if (strcmp(p, protocol) == 0)
            return true;
    return false;
}

static void set_text(char *out, size_t size, struct bytes text)
{
    size_t n = text.n < size - 1 ? text.n : size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = text.p[i] >= 0x20 && text.p[i] < 0x7f ? (char)text.p[i] : '?';
    out[n] = 0;
}

void known_peer_set_agent(struct known_peer *r, struct bytes agent)
{
    set_text(r->agent, sizeof r->agent, agent);
}

void known_peer_set_version(struct known_peer *r, struct bytes version)
{
    set_text(r->version, sizeof r->version, version);
}

void peerstore_failed(struct peerstore *ps, struct known_peer *r, uint64_t now_us)
{
    uint32_t doublings = r->failures < BACKOFF_DOUBLINGS ? r->failures : BACKOFF_DOUBLINGS;
    uint64_t wait = US_PER_S << doublings;
    if (wait > 60 * US_PER_S)
        wait = 60 * US_PER_S;
    r->failures++;
    r->retry_us = now_us + rng_jitter(ps->rng, wait, 0.2);
}

void known_peer_worked(struct known_peer *r)
{
    r->failures = 0;
    r->retry_us = 0;
}

void peerstore_forgive(struct peerstore *ps)
{
    LIST_FOREACH (&ps->by_use, it)
        known_peer_worked(LIST_ENTRY(it, struct known_peer, by_use));
}

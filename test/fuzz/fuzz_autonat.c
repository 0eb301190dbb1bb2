// SPDX-License-Identifier: MIT
/* AutoNAT: what decodes is encoded again and means the same; and the machine, fed any events. */
#include "base/err.h"
#include "base/sched.h"
#include "p2p/autonat.h"
#include "p2p/autonat_message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Without the length in front; at most two bytes of it here. */
static struct bytes body(struct buf *b)
{
    struct bytes v = buf_view(b);
    size_t skip = 1;
    while (skip < v.n && v.p[skip - 1] & 0x80)
        skip++;
    return bytes_skip(v, skip);
}

static void messages(struct bytes in)
{
    static struct autonat_v1 a, a2;
    static struct autonat_v2 b, b2;
    uint64_t nonce;
    uint32_t status;
    struct buf out;
    buf_init(&out, 0);
    if (autonat_v1_decode(in, &a) == 0) {
        if (autonat_v1_encode(&a, &out) != 0 || autonat_v1_decode(body(&out), &a2) != 0 ||
            a2.kind != a.kind || (a.kind == AUTONAT_DIAL && a2.addr_count != a.addr_count))
            abort();
        buf_clear(&out);
    }
    if (autonat_v2_decode(in, &b) == 0)
        if (autonat_v2_encode(&b, &out) != 0 || autonat_v2_decode(body(&out), &b2) != 0 ||
            b2.kind != b.kind || b2.addr_count != b.addr_count || b2.nonce != b.nonce ||
            b2.data.n != b.data.n)
            abort();
    (void)autonat_back_decode(in, &nonce);
    (void)autonat_back_answer_decode(in, &status);
    buf_fini(&out);
}

static struct multiaddr address(uint8_t port)
{
    struct multiaddr m;
    struct net_addr at = {.kind = NET_IP4, .ip = {203, 0, 113, 5}, .port = (uint16_t)(port + 1)};
    if (multiaddr_from_net(&at, &m) != 0)
        abort();
    return m;
}

static void machine(struct bytes in)
{
    static struct autonat a;
    struct rng rng;
    struct autonat_question q;
    struct net_addr at = {.kind = NET_IP4, .ip = {8, 8, 8, 8}, .port = 1};
    struct multiaddr m[3] = {address(0), address(1), address(2)};
    struct bytes views[3];
    struct autonat_candidate candidates[3];
    uint64_t now = 1;
    for (int i = 0; i < 3; i++)
        views[i] = multiaddr_bytes(&m[i]);
    for (int i = 0; i < 3; i++)
        candidates[i] = (struct autonat_candidate){views[i], i == 0};
    rng_init_seeded(&rng, 1);
    autonat_init(&a, &rng, now);
    for (size_t i = 0; i + 1 < in.n; i += 2) {
        uint8_t what = in.p[i] % 6, arg = in.p[i + 1];
        struct peer_id id = {.len = 1, .b = {arg}};
        at.ip[0] = arg % 7;
        now += (uint64_t)arg * 50000;
        if (what == 0)
            autonat_set_addrs(&a, candidates, arg % 4, now);
        else if (what == 1)
            autonat_server_seen(&a, &id, &at, arg & 2, arg & 1, arg & 4, now);
        else if (what == 2)
            autonat_server_gone(&a, &id);
        else if (what == 3)
            autonat_forget(&a, now);
        else if (a.is_asking)
            autonat_answered(&a, arg % 5, arg & 8 ? views[arg % 3] : (struct bytes){0}, now);
        else if (autonat_next(&a, now, &q) && !a.is_asking)
            abort();
        if (a.addr_count > LIMIT_AUTONAT_CANDIDATES || a.server_count > LIMIT_AUTONAT_SERVERS)
            abort();
        if (a.is_asking != (a.is_asking && autonat_deadline(&a) == SCHED_NEVER))
            abort();
        bool any = false;
        for (size_t k = 0; k < a.addr_count; k++)
            any |= a.addrs[k].verdict == AUTONAT_REACHABLE;
        if (any && a.reach != AUTONAT_PUBLIC)
            abort();
        any = false;
        for (size_t k = 0; k < a.addr_count; k++) {
            any |= a.addrs[k].verdict == AUTONAT_LIKELY_REACHABLE;
            if (a.addrs[k].is_own && a.addrs[k].verdict == AUTONAT_LIKELY_REACHABLE)
                abort();
        }
        if (any && a.reach != AUTONAT_PUBLIC && a.reach != AUTONAT_LIKELY)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        machine(bytes_of(data + 1, size - 1));
    else
        messages(bytes_of(data + 1, size - 1));
    return 0;
}

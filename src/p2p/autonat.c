// SPDX-License-Identifier: MIT
/* See autonat.h. */
#include "p2p/autonat.h"

#include "base/sched.h"

#include <string.h>

#define FIRST_US       (1 * US_PER_S)    /* identify has time to name more servers */
#define PAUSE_US       (300 * US_PER_MS) /* between questions */
#define SAME_US        (2 * US_PER_S)    /* … to the same server */
#define RETRY_US       (20 * US_PER_S)   /* a server that gave no answer; doubles */
#define RETRY_MAX_US   (15 * 60 * US_PER_S)
#define REFRESH_YES_US (15 * 60 * US_PER_S) /* as rust */
#define REFRESH_NO_US  (5 * 60 * US_PER_S)  /* a port may have been opened */

enum { NET_IP4_BYTES = 2, NET_IP6_BYTES = 6 };

static void net_of(const struct net_addr *at, uint8_t out[static 8])
{
    memset(out, 0, 8);
    out[0] = (uint8_t)at->kind;
    memcpy(out + 1, at->ip, at->kind == NET_IP4 ? NET_IP4_BYTES : NET_IP6_BYTES);
}

void autonat_init(struct autonat *a, struct rng *rng, uint64_t now_us)
{
    *a = (struct autonat){.rng = rng, .ask_us = now_us + FIRST_US};
}

/* --- addresses --- */

static struct autonat_addr *find_addr(struct autonat *a, struct bytes addr)
{
    for (size_t i = 0; i < a->addr_count; i++)
        if (bytes_eq(multiaddr_bytes(&a->addrs[i].addr), addr))
            return &a->addrs[i];
    return NULL;
}

static size_t networks(const struct autonat *a);

static size_t enough(const struct autonat *a)
{
    return networks(a) >= AUTONAT_ENOUGH ? AUTONAT_ENOUGH : AUTONAT_ENOUGH_FEW;
}

struct tally {
    size_t yes, no;
    size_t likely; /* a yes, but of those whom a NAT may let in because we have sent there */
};

static struct tally count(const struct autonat *a, const struct autonat_addr *x)
{
    struct tally t = {0};
    size_t most = networks(a) > 1 ? 1 : AUTONAT_ENOUGH_FEW; /* what one network may say */
    for (size_t i = 0; i < x->vote_count; i++) {
        const struct autonat_vote *v = &x->votes[i];
        size_t weight = v->is_proof ? enough(a) : v->times < most ? v->times : most;
        bool is_good = x->is_own || v->is_strangers;
        *(!v->is_yes ? &t.no : is_good ? &t.yes : &t.likely) += weight;
    }
    return t;
}

static bool is_same_machine(const struct autonat_addr *x, const struct autonat_addr *y)
{
    struct net_addr a, b;
    if (multiaddr_to_net(multiaddr_bytes(&x->addr), &a) != 0 ||
        multiaddr_to_net(multiaddr_bytes(&y->addr), &b) != 0)
        return false;
    a.port = b.port = 0;
    return net_addr_eq(&a, &b);
}

/* As good as UNREACHABLE: nobody reached it, and with the other ports of its IP that was said often
 * enough. Behind a symmetric NAT every observer sees another port; each twice would take too long. */
static bool is_hopeless(const struct autonat *a, const struct autonat_addr *x)
{
    struct tally own = count(a, x), all = {0};
    for (size_t i = 0; i < a->addr_count; i++)
        if (is_same_machine(x, &a->addrs[i])) {
            struct tally t = count(a, &a->addrs[i]);
            all.yes += t.yes + t.likely;
            all.no += t.no;
        }
    return x->verdict == AUTONAT_UNREACHABLE || (own.no && !all.yes && all.no >= enough(a));
}

static void decide(struct autonat *a)
{
    size_t yes = 0, no = 0, likely = 0;
    for (size_t i = 0; i < a->addr_count; i++) {
        yes += a->addrs[i].verdict == AUTONAT_REACHABLE;
        likely += a->addrs[i].verdict == AUTONAT_LIKELY_REACHABLE;
        no += is_hopeless(a, &a->addrs[i]);
    }
    if (yes)
        a->reach = AUTONAT_PUBLIC;
    else if (likely)
        a->reach = AUTONAT_LIKELY;
    else if (no && no == a->addr_count)
        a->reach = AUTONAT_PRIVATE;
}

void autonat_set_addrs(struct autonat *a, const struct autonat_candidate *addrs, size_t count,
                       uint64_t now_us)
{
    struct autonat_addr fresh[LIMIT_AUTONAT_CANDIDATES] = {0};
    size_t n = 0;
    for (size_t i = 0; i < count && n < LIMIT_AUTONAT_CANDIDATES; i++) {
        const struct autonat_addr *old = find_addr(a, addrs[i].addr);
        if (old)
            fresh[n] = *old;
        else if (multiaddr_copy(addrs[i].addr, &fresh[n].addr) == 0)
            fresh[n].ask_us = now_us;
        else
            continue;
        fresh[n++].is_own = addrs[i].is_own;
    }
    memcpy(a->addrs, fresh, sizeof fresh);
    a->addr_count = n;
    decide(a);
}

void autonat_forget(struct autonat *a, uint64_t now_us)
{
    for (size_t i = 0; i < a->addr_count; i++) {
        a->addrs[i].vote_count = 0;
        a->addrs[i].ask_us = now_us;
    }
    for (size_t i = 0; i < a->server_count; i++) {
        a->servers[i].ask_us = now_us;
        a->servers[i].failures = 0;
    }
    a->ask_us = now_us + FIRST_US;
}

/* --- votes --- */

static const struct autonat_vote *vote_of(const struct autonat_addr *x, const uint8_t net[static 8])
{
    for (size_t i = 0; i < x->vote_count; i++)
        if (memcmp(x->votes[i].net, net, 8) == 0)
            return &x->votes[i];
    return NULL;
}

static bool has_strangers_vote(const struct autonat_addr *x, const uint8_t net[static 8])
{
    const struct autonat_vote *v = vote_of(x, net);
    return v && v->is_strangers;
}

/* Its own vote, a free place, or the oldest vote's. */
static struct autonat_vote *vote_get(struct autonat_addr *x, const uint8_t net[static 8])
{
    struct autonat_vote *v = (struct autonat_vote *)vote_of(x, net);
    if (v)
        return v;
    if (x->vote_count < AUTONAT_VOTES) {
        v = &x->votes[x->vote_count++];
    } else {
        v = &x->votes[0];
        for (size_t i = 1; i < AUTONAT_VOTES; i++)
            if (x->votes[i].at_us < v->at_us)
                v = &x->votes[i];
    }
    *v = (struct autonat_vote){0};
    memcpy(v->net, net, 8);
    return v;
}

static void vote(struct autonat_addr *x, const struct autonat_server *s, enum autonat_result result,
                 uint64_t now_us)
{
    struct autonat_vote *v = vote_get(x, s->net);
    bool is_yes = result != AUTONAT_NO;
    bool is_strangers = result == AUTONAT_PROVED || (result != AUTONAT_REACHED && s->is_stranger);
    if (is_yes && !is_strangers && v->is_strangers && !x->is_own)
        return; /* it says less than what a stranger of that network said */
    v->times = v->is_yes == is_yes ? v->times + 1 : 1;
    v->is_strangers = is_strangers || (v->times > 1 && v->is_strangers);
    v->is_yes = is_yes;
    v->is_proof = result == AUTONAT_PROVED || result == AUTONAT_REACHED;
    v->at_us = now_us;
}

static void judge(struct autonat *a, struct autonat_addr *x)
{
    struct tally t = count(a, x);
    size_t likely = t.yes + t.likely;
    if (t.yes >= enough(a) && t.yes > t.no)
        x->verdict = AUTONAT_REACHABLE;
    else if (t.no >= enough(a) && t.no > t.yes)
        x->verdict = AUTONAT_UNREACHABLE;
    else if (x->verdict != AUTONAT_REACHABLE && likely >= enough(a) && likely > t.no)
        x->verdict = AUTONAT_LIKELY_REACHABLE;
}

/* Does the latest of each network leave no doubt? Else it is asked on. */
static bool is_settled(const struct autonat_addr *x)
{
    bool want = x->verdict == AUTONAT_REACHABLE || x->verdict == AUTONAT_LIKELY_REACHABLE;
    uint64_t latest_us = 0;
    bool latest = !want;
    for (size_t i = 0; i < x->vote_count; i++)
        if (x->votes[i].at_us >= latest_us) {
            latest_us = x->votes[i].at_us;
            latest = x->votes[i].is_yes;
        }
    return x->verdict != AUTONAT_UNDECIDED && latest == want;
}

/* --- servers --- */

static struct autonat_server *find_server(struct autonat *a, const struct peer_id *id)
{
    for (size_t i = 0; i < a->server_count; i++)
        if (peer_id_eq(&a->servers[i].id, id))
            return &a->servers[i];
    return NULL;
}

void autonat_server_seen(struct autonat *a, const struct peer_id *id, const struct net_addr *at,
                         bool has_v1, bool has_v2, bool is_stranger, uint64_t now_us)
{
    struct autonat_server *s = find_server(a, id);
    if (!s && a->server_count == LIMIT_AUTONAT_SERVERS)
        return;
    if (!s) {
        s = &a->servers[a->server_count++];
        *s = (struct autonat_server){.id = *id, .ask_us = now_us};
    }
    net_of(at, s->net);
    s->at = *at;
    s->has_v1 = has_v1;
    s->has_v2 = has_v2;
    s->is_stranger = is_stranger;
    for (size_t i = 0; i < a->addr_count && is_stranger; i++) /* at last */
        if (a->addrs[i].verdict == AUTONAT_LIKELY_REACHABLE &&
            !has_strangers_vote(&a->addrs[i], s->net))
            a->addrs[i].ask_us = now_us;
}

void autonat_server_gone(struct autonat *a, const struct peer_id *id)
{
    struct autonat_server *s = find_server(a, id);
    if (s)
        *s = a->servers[--a->server_count];
}

/* Networks that can be asked, up to `AUTONAT_ENOUGH`. */
static size_t networks(const struct autonat *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->server_count && n < AUTONAT_ENOUGH; i++) {
        bool is_new = true;
        for (size_t k = 0; k < i && is_new; k++)
            is_new = memcmp(a->servers[i].net, a->servers[k].net, 8) != 0;
        n += is_new;
    }
    return n;
}

/* --- questions --- */

/* Better to ask about x: a stranger where that counts and none of its network has said anything, then one
 * of a network that has not said anything, then version 2 … */
static int rank(const struct autonat_addr *x, const struct autonat_server *s)
{
    bool is_news = s->is_stranger && !x->is_own && !has_strangers_vote(x, s->net);
    return 4 * is_news + 2 * !vote_of(x, s->net) + s->has_v2;
}

/* … then whoever was asked longest ago. */
static bool is_better(const struct autonat_addr *x, const struct autonat_server *s,
                      const struct autonat_server *than)
{
    int a = rank(x, s), b = rank(x, than);
    return a != b ? a > b : s->asked_us < than->asked_us;
}

static struct autonat_server *choose(struct autonat *a, const struct autonat_addr *x,
                                     uint64_t now_us)
{
    struct autonat_server *best = NULL;
    for (size_t i = 0; i < a->server_count; i++) {
        struct autonat_server *s = &a->servers[i];
        if (s->ask_us <= now_us && (!best || is_better(x, s, best)))
            best = s;
    }
    return best;
}

static size_t answers(const struct autonat_addr *x)
{
    size_t n = 0;
    for (size_t i = 0; i < x->vote_count; i++)
        n += x->votes[i].times;
    return n;
}

bool autonat_next(struct autonat *a, uint64_t now_us, struct autonat_question *out)
{
    struct autonat_addr *x = NULL;
    if (a->is_asking || now_us < a->ask_us)
        return false;
    for (size_t i = 0; i < a->addr_count; i++) { /* in turns: the one least is known of */
        struct autonat_addr *y = &a->addrs[i];
        if (y->ask_us <= now_us && (!x || answers(y) < answers(x)))
            x = y;
    }
    struct autonat_server *s = x ? choose(a, x, now_us) : NULL;
    if (!s)
        return false;
    a->is_asking = true;
    a->asked = x->addr;
    a->asked_of = s->id;
    s->asked_us = now_us;
    a->is_v2 = s->has_v2 && !(s->is_v1_due && s->has_v1);
    *out = (struct autonat_question){s->id, a->is_v2, multiaddr_bytes(&a->asked)};
    return true;
}

static void put_off(struct autonat_server *s, struct rng *rng, uint64_t now_us)
{
    uint64_t pause = RETRY_US << (s->failures < 6 ? s->failures : 6);
    s->failures++;
    s->ask_us = now_us + rng_jitter(rng, pause < RETRY_MAX_US ? pause : RETRY_MAX_US, 0.1);
}

void autonat_answered(struct autonat *a, enum autonat_result result, struct bytes addr,
                      uint64_t now_us)
{
    struct autonat_server *s = find_server(a, &a->asked_of);
    struct autonat_addr *x = addr.n ? find_addr(a, addr) : NULL;
    if (!x)
        x = find_addr(a, multiaddr_bytes(&a->asked));
    a->is_asking = false;
    a->ask_us = now_us + PAUSE_US;
    if (!s)
        return; /* it left meanwhile: whose voice would it be? */
    s->is_v1_due = result == AUTONAT_NO_ANSWER && a->is_v2 && s->has_v1;
    if (s->is_v1_due) {
        s->ask_us = now_us + SAME_US;
        return;
    }
    if (result == AUTONAT_NO_ANSWER) {
        put_off(s, a->rng, now_us);
        return;
    }
    s->is_v1_due = !a->is_v2 && s->has_v2; /* it was worth it: so again */
    s->failures = 0;
    s->ask_us = now_us + SAME_US;
    if (!x)
        return;
    vote(x, s, result, now_us);
    judge(a, x);
    if (is_settled(x)) {
        bool is_yes = x->verdict == AUTONAT_REACHABLE;
        x->ask_us = now_us + rng_jitter(a->rng, is_yes ? REFRESH_YES_US : REFRESH_NO_US, 0.1);
    }
    decide(a);
}

uint64_t autonat_deadline(const struct autonat *a)
{
    uint64_t addr = SCHED_NEVER, server = SCHED_NEVER;
    for (size_t i = 0; i < a->addr_count; i++)
        addr = a->addrs[i].ask_us < addr ? a->addrs[i].ask_us : addr;
    for (size_t i = 0; i < a->server_count; i++)
        server = a->servers[i].ask_us < server ? a->servers[i].ask_us : server;
    if (a->is_asking || addr == SCHED_NEVER || server == SCHED_NEVER)
        return SCHED_NEVER;
    uint64_t at = addr > server ? addr : server;
    return at > a->ask_us ? at : a->ask_us;
}

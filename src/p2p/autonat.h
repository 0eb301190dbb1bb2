// SPDX-License-Identifier: MIT
/* Can strangers dial us, and at which address? A pure machine: whom to ask about which address next,
 * and what the answers together say. autonat_client.c asks; see autonat_message.h for how.
 *
 *   address:  UNDECIDED --enough say yes, or one proves it--> REACHABLE    asked again in 15 min
 *                 |-------so far only some that we sent to---> LIKELY       asked again in 5 min, and
 *                 |                                                         when a stranger is there
 *                 \-------enough say no----------------------> UNREACHABLE  asked again in 5 min
 *             (decided ones change the same way, and only then: one answer lost decides nothing)
 *   together: any REACHABLE -> PUBLIC;  else any LIKELY -> LIKELY;  all UNREACHABLE, or each said to be so
 *             once and their IP often enough -> PRIVATE;  else as it was
 *
 * Answers are counted by the network they come from (/16, /48), the latest of each: a liar with
 * many peers in one network is one voice. "Enough" is three networks, or two answers where fewer than
 * three can be asked: a small network has to work too. A version 2 server that was reached proves it,
 * since its nonce arrives on a connection made to us: that is enough by itself, and one that knows
 * the only bootstrap node learns that it is public. Version 1 is asked where a peer has no version 2, and
 * after version 2 gave no answer: rust's gives none when its dial was swallowed.
 *
 * The trap: a NAT that lets in whatever comes from an address we have sent to (sent.h) lets the servers in
 * that we dialled, and no stranger. So at an address that is not an interface's own, a yes counts only from
 * one whom we have not sent to: who dialled us first, or whom we dialled from another port. The yes of others
 * makes it LIKELY: worth telling, not worth giving up the relays for. Their no is as good as any. */
#ifndef CONDUIT_P2P_AUTONAT_H
#define CONDUIT_P2P_AUTONAT_H

#include "base/limits.h"
#include "base/net.h"
#include "base/rng.h"
#include "codec/multiaddr.h"
#include "codec/peer_id.h"

enum autonat_verdict {
    AUTONAT_UNDECIDED = 0,
    AUTONAT_REACHABLE,
    AUTONAT_UNREACHABLE,
    AUTONAT_LIKELY_REACHABLE,
};
enum autonat_reach { AUTONAT_UNKNOWN = 0, AUTONAT_PUBLIC, AUTONAT_PRIVATE, AUTONAT_LIKELY };
enum autonat_result {
    AUTONAT_PROVED, /* v2: the nonce came back on a new connection, from where we never sent to … */
    AUTONAT_REACHED,   /* … or from an IP that we have sent to */
    AUTONAT_YES,       /* v1: it says that it reached us */
    AUTONAT_NO,        /* it tried, and could not */
    AUTONAT_NO_ANSWER, /* refused, broken, too late: says nothing of us */
};

enum { AUTONAT_VOTES = 8, AUTONAT_ENOUGH = 3, AUTONAT_ENOUGH_FEW = 2 };

struct autonat_vote {
    uint8_t net[8]; /* kind and prefix of the server */
    uint32_t times; /* it said so in a row */
    bool is_yes, is_proof;
    bool is_strangers; /* of one whom we had not sent to */
    uint64_t at_us;
};

struct autonat_addr {
    struct multiaddr addr;
    bool is_own; /* an interface's: there is no NAT before it */
    enum autonat_verdict verdict;
    struct autonat_vote votes[AUTONAT_VOTES];
    size_t vote_count;
    uint64_t ask_us; /* not before */
};

struct autonat_server {
    struct peer_id id;
    struct net_addr at;
    uint8_t net[8];
    bool has_v1, has_v2;
    bool is_stranger;          /* we have not sent there from the listening port */
    bool is_v1_due;            /* version 2 gave no answer: the other one next */
    uint64_t ask_us, asked_us; /* not before; last */
    uint32_t failures;         /* in a row */
};

struct autonat {
    struct rng *rng;
    struct autonat_addr addrs[LIMIT_AUTONAT_CANDIDATES];
    size_t addr_count;
    struct autonat_server servers[LIMIT_AUTONAT_SERVERS];
    size_t server_count;
    enum autonat_reach reach;
    uint64_t ask_us; /* no question before */
    bool is_asking;
    struct multiaddr asked; /* the question under way */
    struct peer_id asked_of;
    bool is_v2; /* … of version 2 */
};

struct autonat_question {
    struct peer_id server;
    bool is_v2;
    struct bytes addr; /* borrowed until the next call */
};

void autonat_init(struct autonat *a, struct rng *rng, uint64_t now_us);
struct autonat_candidate {
    struct bytes addr;
    bool is_own;
};
/* The addresses worth asking about, the likeliest first; what is no longer among them is forgotten. */
void autonat_set_addrs(struct autonat *a, const struct autonat_candidate *addrs, size_t count,
                       uint64_t now_us);
/* A connected peer that answers; again: what it has may have changed. */
void autonat_server_seen(struct autonat *a, const struct peer_id *id, const struct net_addr *at,
                         bool has_v1, bool has_v2, bool is_stranger, uint64_t now_us);
void autonat_server_gone(struct autonat *a, const struct peer_id *id);
/* Another network: what was said no longer counts, though it stands until something is known. */
void autonat_forget(struct autonat *a, uint64_t now_us);

/* The next question, one at a time; autonat_answered must follow. False: not now. */
bool autonat_next(struct autonat *a, uint64_t now_us, struct autonat_question *out);
/* `addr`: which one was reached, where the server says; empty: the one asked about. */
void autonat_answered(struct autonat *a, enum autonat_result result, struct bytes addr,
                      uint64_t now_us);
/* When autonat_next may say more; SCHED_NEVER while a question is under way or nobody is there. */
uint64_t autonat_deadline(const struct autonat *a);

#endif

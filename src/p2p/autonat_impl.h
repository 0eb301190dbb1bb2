// SPDX-License-Identifier: MIT
/* The inside of AutoNAT on a host, shared by autonat_client.c and autonat_server.c. */
#ifndef CONDUIT_P2P_AUTONAT_IMPL_H
#define CONDUIT_P2P_AUTONAT_IMPL_H

#include "base/rates.h"
#include "p2p/autonat_host.h"
#include "p2p/autonat_message.h"
#include "p2p/conn_stream.h"
#include "p2p/framed.h"
#include "p2p/host_impl.h"

/* The question under way: one at a time. */
struct autonat_asking {
    bool is_on, is_opening, has_stream, is_v2, has_sent_data;
    bool is_proved, is_by_stranger; /* the nonce came back; from where we had not sent to */
    struct p2p_open open;
    struct framed io;
    struct multiaddr addr;
    struct peer_id server;
    uint64_t nonce, since_us;
};

struct autonat_host {
    struct p2p_host *h;
    struct autonat_cfg cfg;
    struct p2p_watch watch;
    struct autonat_counts counts;
    /* asking */
    struct autonat core;
    struct timer timer;
    struct autonat_asking asking;
    struct multiaddr confirmed[LIMIT_AUTONAT_CANDIDATES];
    bool is_announced[LIMIT_AUTONAT_CANDIDATES]; /* by us: it was not among our addresses before */
    size_t confirmed_count;
    enum autonat_result last; /* that was an answer: about `last_addr` */
    struct multiaddr last_addr;
    struct list backs; /* autonat_back.link: dial-backs that arrive */
    /* serving */
    bool is_serving;
    struct list served; /* autonat_served.link */
    size_t served_count;
    struct rates rates, far_rates, group_rates, peer_rates;
};

/* autonat_client.c */
void autonat_client_init(struct autonat_host *ah);
void autonat_client_fini(struct autonat_host *ah);

/* autonat_server.c */
void autonat_server_init(struct autonat_host *ah);
void autonat_server_fini(struct autonat_host *ah);
/* Serves or not, by what is known of us. */
void autonat_server_reach(struct autonat_host *ah, enum p2p_reach reach);

#endif

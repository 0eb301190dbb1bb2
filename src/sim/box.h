// SPDX-License-Identifier: MIT
/* A machine of the world: its address, its disk (a data directory), the node that may run on it,
 * and the user who asks that node.
 *
 *   OFF --start--> UP --stop--> STOPPING --> OFF          the disk stays
 *                   \--crash: told to the others, or silent--> OFF */
#ifndef CONDUIT_SIM_BOX_H
#define CONDUIT_SIM_BOX_H

#include "loop/loop.h"
#include "node/node.h"

struct sim;
struct sim_user;

enum sim_box_state { SIM_BOX_OFF, SIM_BOX_UP, SIM_BOX_STOPPING };

struct sim_box {
    struct sim *sim;
    unsigned index;
    struct net_addr ip;
    struct loop_virtual_nat *nat; /* it is behind; or NULL */
    enum sim_box_state state;
    bool is_bootstrap, is_provider, is_slow;
    unsigned model;  /* of a provider */
    unsigned extras; /* more of them that it was given while it ran, in all its lives */
    struct loop *loop;
    struct loop *shell; /* the machine while nothing runs on it: refuses, or is silent */
    struct config cfg;
    struct node *node;
    struct sim_user *user;
    char dir[160], peer[80];
    uint64_t forgot_us;       /* when its NAT did, last */
    uint64_t silent_us;       /* when it fell silent, last */
    unsigned side;            /* of a partition; 0: there is none */
    uint32_t sides;           /* in the last partitions, a bit each; bit 0: in the last one */
    unsigned lives;           /* how often it was started */
    uint64_t since_us;        /* in this state */
    int64_t clock_ms;         /* how wrong its clock on the wall is */
    struct timer again, down; /* on the director's clock: comes back; is taken apart */
};

void sim_box_init(struct sim_box *b, struct sim *s, unsigned index);
/* At once, whatever runs on it. What was cancelled by that completes when the world runs on a little; then: */
void sim_box_end(struct sim_box *b);
void sim_box_fini(struct sim_box *b);
/* Behind a NAT of its own from now on, of a kind that follows from `luck`. */
void sim_box_hide(struct sim_box *b, uint64_t luck);
/* 0, or an error of node_start, noted. */
int sim_box_start(struct sim_box *b);
/* In order; OFF follows by itself. */
void sim_box_stop(struct sim_box *b);
/* At once. `tells`: the machine lives and resets the dead process's connections. */
void sim_box_crash(struct sim_box *b, bool tells);
void sim_box_start_after(struct sim_box *b, uint64_t us);
/* "model-3". */
const char *sim_model_name(unsigned model, char out[static 32]);

#endif

// SPDX-License-Identifier: MIT
/* How others reach this node, as checks of the doctor: interfaces, firewall, NAT, relays. Pure: what is known comes
 * in, and what is not known yet is said to be so, with the reason. */
#ifndef CONDUIT_NODE_DOCTOR_REACH_H
#define CONDUIT_NODE_DOCTOR_REACH_H

#include "loop/loop.h"
#include "node/doctor_report.h"
#include "p2p/host.h"

struct doctor_reach {
    enum p2p_reach reach;
    enum p2p_nat nat;
    size_t peers,
        outside;        /* connected; those of them that see us from another network than our own */
    bool was_tried;     /* one of them could not dial us: not enough to be sure */
    size_t held, known; /* places at relays; relays that could be asked for one */
};

void doctor_interfaces(struct doctor_report *r, const struct loop_interface *v, size_t count);
void doctor_firewall(struct doctor_report *r, const struct doctor_reach *f);
void doctor_nat(struct doctor_report *r, const struct doctor_reach *f);
void doctor_relays(struct doctor_report *r, const struct doctor_reach *f);
/* Is an answer still to come that is worth some seconds' wait? Of a node that has only just started. */
bool doctor_reach_is_awaited(const struct doctor_reach *f);

/* "docker0" and the like; "" for what looks like a real network. */
const char *doctor_interface_kind(const char *name);

#endif

// SPDX-License-Identifier: MIT
/* Do the names resolve that this node was told? Those of bootstrap addresses and of backends; with none there is
 * nothing to ask, and no name server is needed. Embedded in a run of the doctor.
 *
 *   addresses, URLs --names_of--> at most DOCTOR_NAMES --loop_resolve, all at once--> one line, and one per failure */
#ifndef CONDUIT_NODE_DOCTOR_NAMES_H
#define CONDUIT_NODE_DOCTOR_NAMES_H

#include "loop/loop.h"
#include "node/config.h"
#include "node/doctor_report.h"

enum { DOCTOR_NAMES = 8 };

struct doctor_name {
    char text[272];
    enum loop_dns what;
    bool is_backends; /* else of a bootstrap address */
    int err;
    struct loop_resolve resolve;
    bool is_running;
    struct doctor_names *of;
};

struct doctor_names {
    void (*done)(struct doctor_names *n);
    void *ctx;
    struct doctor_name v[DOCTOR_NAMES]; /* the result: err of each */
    size_t count, answered;
    struct loop *loop; /* private */
    struct task task;
};

/* The names in there, each once; those of this machine ("localhost") and IP addresses are none. */
void doctor_names_of(struct doctor_names *n, const struct strlist *bootstrap,
                     const struct config *cfg);
/* `done` once, from the loop, within some seconds. */
void doctor_names_ask(struct doctor_names *n, struct loop *loop);
void doctor_names_cancel(struct doctor_names *n); /* harmless when it is over */
/* `is_in`: in the network whatever became of bootstrap names. */
void doctor_names_report(const struct doctor_names *n, struct doctor_report *r, bool is_in);

#endif

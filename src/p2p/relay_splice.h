// SPDX-License-Identifier: MIT
/* Two streams made one: what a relay does with a circuit. Each way has at most one chunk in hand: while
 * the far side takes nothing, nothing is read, so the pressure of a slow reader reaches the writer.
 *
 *   from --read, allowed by the circuit--> held --write--> to         and the same the other way
 *   end of a side -> the other is finished; both ended -> over
 *   a side broke, or the circuit's bytes or time are up, or nothing passed for long
 *                                                       -> both are reset -> over */
#ifndef CONDUIT_P2P_RELAY_SPLICE_H
#define CONDUIT_P2P_RELAY_SPLICE_H

#include "base/buf.h"
#include "base/sched.h"
#include "base/stream.h"
#include "p2p/relay_server.h"

struct relay_splice;

struct relay_end {
    struct relay_splice *splice;
    struct stream *s;
    struct buf held; /* read here, not yet taken by the other */
    bool has_ended;  /* read to its end */
    bool is_told;    /* the other was finished for it */
};

struct relay_splice {
    struct sched *sched;
    struct relay_circuit *circuit;
    struct relay_end end[2];
    struct timer timer;
    uint64_t moved_us; /* a byte passed */
    struct task task;
    bool is_over, is_cut;
    /* Once, from the loop: both streams are closed and the circuit ended. */
    void (*over)(struct relay_splice *sp);
};

/* Takes both streams. The circuit's time begins. */
void relay_splice_start(struct relay_splice *sp, struct sched *sched, struct relay_circuit *circuit,
                        struct stream *from, struct stream *to,
                        void (*over)(struct relay_splice *sp));
/* At once, without `over`. */
void relay_splice_abort(struct relay_splice *sp);

#endif

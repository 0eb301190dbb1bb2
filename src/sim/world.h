// SPDX-License-Identifier: MIT
/* A simulated world: machines with whole nodes on them, their users, what goes wrong, and what must
 * hold. Everything in virtual time and from one seed.
 *
 *   world (loop_virtual) ── boxes: a machine, a node, its data directory, its user
 *     ├── director: a clock of its own for what comes from outside: starts, faults, checks
 *     ├── journal: what happened, hashed          tally: what is counted
 *     └── faults, new offers, checks, strangers (liars, mutes, sybils)
 *
 * The director acts between two runs of the world, when every machine's clock stands at now; users
 * live on their own machines' clocks. */
#ifndef CONDUIT_SIM_WORLD_H
#define CONDUIT_SIM_WORLD_H

#include "base/list.h"
#include "base/map.h"
#include "loop/loop.h"
#include "node/node.h"
#include "sim/box.h"
#include "sim/check.h"
#include "sim/faults.h"
#include "sim/journal.h"
#include "sim/offers.h"
#include "sim/options.h"
#include "sim/stranger.h"
#include "sim/tally.h"

#include <signal.h>

/* What of a summary is read from nodes that run. */
struct sim_last {
    size_t alive, conns;
    uint64_t now_us, open, log_hash, lines;
    struct loop_virtual_counts net;
};

enum sim_phase { SIM_WARM, SIM_FAULTY, SIM_HEALED, SIM_OVER };

struct sim {
    struct sim_options opts;
    struct loop_virtual *world;
    struct sched sched; /* the director's */
    struct rng rng;
    struct sim_journal journal;
    struct sim_tally tally;
    char dir[128]; /* all data directories are in it */
    struct sim_box *boxes;
    size_t box_count;
    unsigned models;
    enum sim_phase phase;
    bool is_ended;
    struct sim_last last;                  /* how it was before it ended */
    const volatile sig_atomic_t *stop;     /* or NULL; not 0: enough */
    uint64_t end_us, faulty_us, healed_us; /* when these begin */
    struct timer starts, sample, phases;
    struct sim_faults faults;
    struct sim_checks checks;
    struct sim_offers offers;
    struct sim_strangers strangers;
    struct map by_peer; /* peer id -> struct sim_box, of all that ever ran */
    size_t started;
};

/* A line of the journal; of the world when `b` is NULL. */
void sim_note(struct sim *s, const struct sim_box *b, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Something that must never be: noted, counted, and told at the end. */
void sim_violation(struct sim *s, const struct sim_box *b, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t sim_now(const struct sim *s);
/* As it is now; once it has ended, as it was before. */
struct sim_last sim_look(const struct sim *s);
/* The world and its director until then. */
void sim_step(struct sim *s, uint64_t until_us);

#endif

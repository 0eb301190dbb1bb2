// SPDX-License-Identifier: MIT
/* What a simulated world is told: one table of numbers and words, from which `--help`, the reader
 * and the command that repeats a run are made, so that they cannot differ. */
#ifndef CONDUIT_SIM_OPTIONS_H
#define CONDUIT_SIM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Faults that may happen, as bits. */
#define SIM_FAULTS(X)                                                                              \
    X(CRASH, "crash", "a process dies and comes back with its disk")                               \
    X(SILENT, "silent", "a machine falls silent and comes back")                                   \
    X(STOP, "stop", "a node is stopped in order and started again")                                \
    X(PARTITION, "partition", "a part of the world is cut off for a while")                        \
    X(CLOCK, "clock", "a clock on the wall jumps")                                                 \
    X(NAT, "nat", "a NAT forgets its table")

enum sim_fault {
#define SIM_FAULT_ENUM(name, word, text) SIM_FAULT_##name,
    SIM_FAULTS(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        SIM_FAULT_COUNT
};
const char *sim_fault_word(enum sim_fault f);

struct sim_options {
    uint64_t seed, nodes, minutes, warm_s, heal_s;
    uint64_t bootstraps, providers, models, ask_s, slow; /* providers, slow: percent */
    uint64_t rtt_ms, sigma, jitter_ms, loss, mbit;       /* sigma: hundredths; loss: thousandths */
    uint64_t faults, fault_s;                            /* bits; mean seconds between two */
    uint64_t feeds, offer_s;                             /* mean seconds between two */
    uint64_t nat, nat_providers;                         /* percent */
    uint64_t liars, sybils, mutes;
    uint64_t skew_s; /* clocks are wrong by up to */
};

enum { SIM_WHY = 256 };

void sim_options_init(struct sim_options *o);
/* One option by its name without dashes: 0, or E_INVALID with a sentence. */
int sim_options_set(struct sim_options *o, const char *name, const char *value,
                    char why[static SIM_WHY]);
/* In a run that is too short for the presets of --warm and --heal, those that nobody gave become a fifth and two fifths
 * of it. */
void sim_options_fit(struct sim_options *o, bool has_warm, bool has_heal);
/* What does not fit together is a sentence. */
int sim_options_check(const struct sim_options *o, char why[static SIM_WHY]);
/* What is allowed and hardly meant, as a sentence; NULL: nothing. */
const char *sim_options_warning(const struct sim_options *o);
/* The i-th name; NULL past the end. */
const char *sim_options_name(size_t i);
/* "conduit sim --seed 7 --nodes 50 …": all of it, so that defaults may change later. */
const char *sim_options_command(const struct sim_options *o, char *out, size_t size);
void sim_options_help(FILE *out);

#endif

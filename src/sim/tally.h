// SPDX-License-Identifier: MIT
/* What a world counts: how questions ended and how long they took, and samples over time. */
#ifndef CONDUIT_SIM_TALLY_H
#define CONDUIT_SIM_TALLY_H

#include <stddef.h>
#include <stdint.h>

enum sim_end { SIM_ANSWERED, SIM_FAILED, SIM_ABANDONED, SIM_END_COUNT };

/* Times in microseconds, to be sorted when asked. */
struct sim_times {
    uint64_t *v;
    size_t n, cap;
};
void sim_times_add(struct sim_times *t, uint64_t us);
/* 0 <= q <= 1; 0 when there are none. */
uint64_t sim_times_quantile(struct sim_times *t, double q);

struct sim_reason {
    char code[48];
    uint64_t count, healed; /* healed: of those, in the last phase */
};
enum { SIM_REASONS = 32, SIM_VIOLATIONS = 16 };

/* Of one stretch of time. */
struct sim_sample {
    uint64_t at_us;
    uint32_t alive, answered, failed, faults;
    uint8_t phase;
    uint8_t is_parted;
};

struct sim_tally {
    uint64_t asked, ends[SIM_END_COUNT], cold;
    uint64_t open;              /* asked, and no end yet */
    uint64_t from_nat, relayed; /* answered by a provider behind a NAT; of those, over a circuit */
    struct sim_times first_byte, find; /* find: of questions for models nobody near was known for */
    struct sim_times noticed_death;
    struct sim_times noticed_offer; /* by who watches the provider, from when it is made */
    struct sim_times
        noticed_newcomer;         /* by who follows a provider that started, from when it does */
    struct sim_times heard_offer; /* by who did not watch, from when it is made */
    uint64_t offers, offers_lost, offers_unheard; /* lost: the connection was, meanwhile */
    struct sim_reason reasons[SIM_REASONS];
    size_t reason_count;
    uint64_t faults[16];
    uint64_t checks, violations, lies; /* lies: told by strangers */
    char violation[SIM_VIOLATIONS][256];
    struct sim_sample *samples;
    size_t sample_count, sample_cap;
    uint32_t answered, failed, faulted; /* since the last sample */
};

void sim_tally_fini(struct sim_tally *t);
void sim_tally_reason(struct sim_tally *t, const char *code, int is_healed);
void sim_tally_sample(struct sim_tally *t, const struct sim_sample *sample);

#endif

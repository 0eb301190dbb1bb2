// SPDX-License-Identifier: MIT
/* See tally.h. */
#include "sim/tally.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

void sim_times_add(struct sim_times *t, uint64_t us)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 256;
        t->v = mem_resize(t->v, t->cap * sizeof *t->v);
    }
    t->v[t->n++] = us;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

uint64_t sim_times_quantile(struct sim_times *t, double q)
{
    if (t->n == 0)
        return 0;
    qsort(t->v, t->n, sizeof *t->v, ascending);
    size_t at = (size_t)(q * (double)t->n);
    return t->v[at < t->n ? at : t->n - 1];
}

void sim_tally_reason(struct sim_tally *t, const char *code, int is_healed)
{
    size_t i = 0;
    while (i < t->reason_count && strcmp(t->reasons[i].code, code) != 0)
        i++;
    if (i == SIM_REASONS)
        return;
    if (i == t->reason_count) {
        t->reasons[t->reason_count++] = (struct sim_reason){0};
        text_copy(t->reasons[i].code, sizeof t->reasons[i].code, code);
    }
    t->reasons[i].count++;
    t->reasons[i].healed += is_healed != 0;
}

void sim_tally_sample(struct sim_tally *t, const struct sim_sample *sample)
{
    if (t->sample_count == t->sample_cap) {
        t->sample_cap = t->sample_cap ? 2 * t->sample_cap : 256;
        t->samples = mem_resize(t->samples, t->sample_cap * sizeof *t->samples);
    }
    t->samples[t->sample_count++] = *sample;
    t->answered = t->failed = t->faulted = 0;
}

void sim_tally_fini(struct sim_tally *t)
{
    struct sim_times *times[] = {&t->first_byte,       &t->find,
                                 &t->noticed_death,    &t->noticed_offer,
                                 &t->noticed_newcomer, &t->heard_offer};
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        free(times[i]->v);
    free(t->samples);
    memset(t, 0, sizeof *t);
}

// SPDX-License-Identifier: MIT
/* See journal.h. */
#include "sim/journal.h"

#include <string.h>

void sim_journal_init(struct sim_journal *j, FILE *file)
{
    *j = (struct sim_journal){.hash = UINT64_C(0x9e3779b97f4a7c15), .file = file};
}

void sim_journal_mix(struct sim_journal *j, uint64_t v)
{
    __uint128_t m = (__uint128_t)(j->hash ^ v) * UINT64_C(0xa0761d6478bd642f);
    j->hash = (uint64_t)m ^ (uint64_t)(m >> 64) ^ v;
}

static void mix_text(struct sim_journal *j, const char *text)
{
    for (size_t n = strlen(text), at = 0; at < n; at += 8) {
        uint64_t v = 0;
        memcpy(&v, text + at, n - at < 8 ? n - at : 8);
        sim_journal_mix(j, v);
    }
}

void sim_journal_line(struct sim_journal *j, uint64_t now_us, int who, const char *text)
{
    sim_journal_mix(j, now_us);
    sim_journal_mix(j, (uint64_t)who);
    mix_text(j, text);
    j->lines++;
    if (!j->file)
        return;
    char name[24] = "world";
    if (who >= 0)
        snprintf(name, sizeof name, "n%d", who);
    fprintf(j->file, "%llu.%06llu %s %s\n", (unsigned long long)(now_us / 1000000),
            (unsigned long long)(now_us % 1000000), name, text);
}

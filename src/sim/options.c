// SPDX-License-Identifier: MIT
/* The table of a world's options; see options.h. */
#include "sim/options.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "sim/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum kind { NUMBER, FAULTS };

#define ALL_FAULTS ((UINT64_C(1) << SIM_FAULT_COUNT) - 1)

static const struct row {
    const char *name;
    enum kind kind;
    size_t at;
    uint64_t preset, min, max;
    const char *text;
} rows[] = {
#define ROW(name, field, kind, preset, min, max, text)                                             \
    {                                                                                              \
        name, kind, offsetof(struct sim_options, field), preset, min, max, text                    \
    }
    ROW("seed", seed, NUMBER, 1, 0, UINT64_MAX, "everything follows from it"),
    ROW("nodes", nodes, NUMBER, 50, 2, 20000, "whole nodes, bootstrap nodes included"),
    ROW("minutes", minutes, NUMBER, 10, 1, 100000, "of virtual time, in all"),
    ROW("warm", warm_s, NUMBER, 120, 1, 100000,
        "seconds before the first fault; nodes start in its first half; a fifth of a short run"),
    ROW("heal", heal_s, NUMBER, 240, 0, 100000,
        "seconds at the end without faults; all must converge; two fifths of a short run"),
    ROW("bootstraps", bootstraps, NUMBER, 3, 1, 100, "nodes that the others are told of"),
    ROW("providers", providers, NUMBER, 20, 0, 100, "percent of the nodes that share a model"),
    ROW("models", models, NUMBER, 0, 0, 100000, "different models; 0: one for three providers"),
    ROW("ask", ask_s, NUMBER, 0, 0, 1000000,
        "mean seconds between two questions of a node's user; 0: 30, and in all no more of them "
        "than 50 nodes have"),
    ROW("slow", slow, NUMBER, 10, 0, 100,
        "percent of the providers that take seconds for an answer"),
    ROW("rtt-ms", rtt_ms, NUMBER, 60, 0, 10000,
        "median round trip; each pair has its own, lognormal"),
    ROW("sigma", sigma, NUMBER, 60, 0, 300, "of that, in hundredths"),
    ROW("jitter-ms", jitter_ms, NUMBER, 5, 0, 10000, "on top, at most"),
    ROW("loss", loss, NUMBER, 5, 0, 500, "packets in a thousand that are lost"),
    ROW("mbit", mbit, NUMBER, 100, 0, 1000000, "Mbit/s of a machine's access link; 0: no limit"),
    ROW("feeds", feeds, NUMBER, 16, 1, 256,
        "providers that a node follows at a time (conduit up --max-feeds)"),
    ROW("offer-every", offer_s, NUMBER, 20, 0, 1000000,
        "mean seconds until a provider that runs offers one model more; 0: none does"),
    ROW("nat", nat, NUMBER, 30, 0, 100,
        "percent of the nodes without a model that are behind a NAT"),
    ROW("nat-providers", nat_providers, NUMBER, 30, 0, 100,
        "percent of the providers that are behind one: reached over a relay, or punched"),
    ROW("liars", liars, NUMBER, 1, 0, 250,
        "peers that answer with poison, forge records and replay offers"),
    ROW("sybils", sybils, NUMBER, 0, 0, 250, "as many more liars, all in one /24"),
    ROW("mutes", mutes, NUMBER, 1, 0, 1000, "machines that accept and never say a word"),
    ROW("faults", faults, FAULTS, ALL_FAULTS, 0, ALL_FAULTS, "all, none, or words with commas"),
    ROW("fault-every", fault_s, NUMBER, 20, 1, 1000000, "mean seconds between two faults"),
    ROW("skew", skew_s, NUMBER, 30, 0, 100000,
        "seconds that clocks on the wall are wrong by, at most"),
#undef ROW
};

static const struct {
    const char *word, *text;
} faults[] = {
#define FAULT_ROW(name, word, text) {word, text},
    SIM_FAULTS(FAULT_ROW)
#undef FAULT_ROW
};

const char *sim_fault_word(enum sim_fault f)
{
    return faults[f].word;
}

static uint64_t *field(const struct sim_options *o, const struct row *r)
{
    return (uint64_t *)((char *)(uintptr_t)o + r->at);
}

void sim_options_init(struct sim_options *o)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        *field(o, &rows[i]) = rows[i].preset;
}

const char *sim_options_name(size_t i)
{
    return i < ARRAY_LEN(rows) ? rows[i].name : NULL;
}

static int read_faults(const char *value, uint64_t *out)
{
    uint64_t bits = 0;
    if (strcmp(value, "all") == 0 || strcmp(value, "none") == 0) {
        *out = *value == 'a' ? ALL_FAULTS : 0;
        return 0;
    }
    for (const char *p = value; *p; p += strcspn(p, ","), p += *p == ',') {
        size_t n = strcspn(p, ","), i = 0;
        while (i < SIM_FAULT_COUNT &&
               !(strlen(faults[i].word) == n && memcmp(faults[i].word, p, n) == 0))
            i++;
        if (i == SIM_FAULT_COUNT)
            return E_INVALID;
        bits |= UINT64_C(1) << i;
    }
    *out = bits;
    return 0;
}

static int read_number(const char *value, uint64_t *out)
{
    char *end;
    if (*value < '0' || *value > '9')
        return E_INVALID;
    errno = 0;
    *out = strtoull(value, &end, 10);
    return *end || errno ? E_INVALID : 0;
}

int sim_options_set(struct sim_options *o, const char *name, const char *value,
                    char why[static SIM_WHY])
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        uint64_t v = 0;
        if (strcmp(r->name, name) != 0)
            continue;
        int err = r->kind == FAULTS ? read_faults(value, &v) : read_number(value, &v);
        if (!err && v >= r->min && v <= r->max) {
            *field(o, r) = v;
            return 0;
        }
        if (r->kind == FAULTS)
            snprintf(why, SIM_WHY, "--%s: '%s' is not all, none or a list of faults", name, value);
        else
            snprintf(why, SIM_WHY, "--%s: '%s' is not a number from %llu to %llu", name, value,
                     (unsigned long long)r->min, (unsigned long long)r->max);
        return E_INVALID;
    }
    snprintf(why, SIM_WHY, "there is no option --%s", name);
    return E_INVALID;
}

void sim_options_fit(struct sim_options *o, bool has_warm, bool has_heal)
{
    uint64_t all_s = o->minutes * 60;
    if (o->warm_s + o->heal_s <= all_s)
        return;
    if (!has_warm && o->warm_s > all_s / 5)
        o->warm_s = all_s / 5;
    if (!has_heal && o->heal_s > all_s * 2 / 5)
        o->heal_s = all_s * 2 / 5;
}

const char *sim_options_warning(const struct sim_options *o)
{
    if (!o->faults || o->heal_s * US_PER_S > SIM_CONVERGE_US)
        return NULL;
    return "what must be found again once the faults are over is only asked for when --heal is "
           "more than 120";
}

int sim_options_check(const struct sim_options *o, char why[static SIM_WHY])
{
    if (o->warm_s + o->heal_s > o->minutes * 60)
        snprintf(why, SIM_WHY,
                 "--warm %llu and --heal %llu together are longer than --minutes %llu",
                 (unsigned long long)o->warm_s, (unsigned long long)o->heal_s,
                 (unsigned long long)o->minutes);
    else if (o->bootstraps >= o->nodes)
        snprintf(why, SIM_WHY, "--bootstraps must be fewer than --nodes");
    else
        return 0;
    return E_INVALID;
}

static void put_faults(uint64_t bits, struct text *t)
{
    bool comma = false;
    if (bits == ALL_FAULTS || bits == 0) {
        text_add(t, bits ? "all" : "none");
        return;
    }
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        if (bits >> i & 1) {
            text_add(t, comma ? "," : "");
            text_add(t, faults[i].word);
            comma = true;
        }
}

const char *sim_options_command(const struct sim_options *o, char *out, size_t size)
{
    struct text t = {out, size};
    text_add(&t, "conduit sim");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        text_add(&t, " --");
        text_add(&t, rows[i].name);
        text_add(&t, " ");
        if (rows[i].kind == FAULTS)
            put_faults(*field(o, &rows[i]), &t);
        else
            text_add_u64(&t, *field(o, &rows[i]));
    }
    return out;
}

void sim_options_help(FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char preset[128];
        struct text t = {preset, sizeof preset};
        *preset = 0;
        if (rows[i].kind == FAULTS)
            put_faults(rows[i].preset, &t);
        else
            text_add_u64(&t, rows[i].preset);
        fprintf(out, "  --%-13s %s (%s)\n", rows[i].name, rows[i].text, preset);
    }
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        fprintf(out, "%s  %-12s %s\n", i ? "" : "\nfaults:\n", faults[i].word, faults[i].text);
}

// SPDX-License-Identifier: MIT
/* The course of a world; see sim.h and world.h. */
#include "sim/sim.h"

#include "base/mem.h"
#include "base/trace.h"
#include "p2p/noise_memo.h"
#include "sim/world.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAMPLE_US (5 * US_PER_S)

/* Unless it is said how often users ask. A larger network asks as much as one of so many. */
enum { ASK_S = 30, ASKERS = 50 };

/* --- the journal --- */

uint64_t sim_now(const struct sim *s)
{
    return loop_virtual_now(s->world);
}

void sim_note(struct sim *s, const struct sim_box *b, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    sim_journal_line(&s->journal, sim_now(s), b ? (int)b->index : -1, line);
}

void sim_violation(struct sim *s, const struct sim_box *b, const char *fmt, ...)
{
    struct sim_tally *t = &s->tally;
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    sim_note(s, b, "VIOLATION: %s", line);
    if (t->violations < SIM_VIOLATIONS)
        snprintf(t->violation[t->violations], sizeof *t->violation, "%.1f s, %s%d: %.200s",
                 (double)sim_now(s) / US_PER_S, b ? "n" : "world ", b ? (int)b->index : 0, line);
    t->violations++;
}

/* The log of all nodes is part of the journal. */
static void on_trace(void *ctx, enum trace_room room, enum trace_level level, const char *line)
{
    struct sim *s = ctx;
    struct loop *l = loop_virtual_running(s->world);
    int who = -1;
    for (size_t i = 0; l && i < s->box_count && who < 0; i++)
        if (s->boxes[i].loop == l)
            who = (int)i;
    sim_journal_line(&s->journal, sim_now(s), who, line);
}

/* --- starting --- */

static void roles(struct sim *s)
{
    const struct sim_options *o = &s->opts;
    size_t others = s->box_count - o->bootstraps;
    size_t providers = (others * o->providers + 99) / 100;
    s->models = (unsigned)(o->models ? o->models : providers < 3 ? 1 : providers / 3);
    for (size_t i = 0; i < s->box_count; i++) {
        struct sim_box *b = &s->boxes[i];
        sim_box_init(b, s, (unsigned)i);
        b->is_bootstrap = i < o->bootstraps;
        b->is_provider = !b->is_bootstrap && i - o->bootstraps < providers;
        b->model = (unsigned)i % s->models;
        b->is_slow = rng_below(&s->rng, 100) < o->slow;
        if (!b->is_bootstrap &&
            rng_below(&s->rng, 100) < (b->is_provider ? o->nat_providers : o->nat))
            sim_box_hide(b, rng_u64(&s->rng));
    }
}

static void on_starts(struct timer *t)
{
    struct sim *s = CONTAINER_OF(t, struct sim, starts);
    uint64_t spread = s->opts.warm_s * US_PER_S / 2;
    while (s->started < s->box_count) {
        uint64_t at = US_PER_S + spread * s->started / s->box_count;
        if (at > sim_now(s)) {
            timer_set(&s->sched, t, at);
            return;
        }
        (void)sim_box_start(&s->boxes[s->started++]);
        if (s->started == s->opts.bootstraps)
            sim_strangers_start(s);
    }
}

/* --- phases --- */

static void enter(struct sim *s, enum sim_phase phase)
{
    static const char *const names[] = {"warm-up", "faults", "healed", "over"};
    s->phase = phase;
    sim_note(s, NULL, "phase: %s", names[phase]);
}

static void on_phase(struct timer *t)
{
    struct sim *s = CONTAINER_OF(t, struct sim, phases);
    enter(s, s->phase + 1);
    if (s->phase == SIM_FAULTY)
        sim_faults_begin(s);
    else
        sim_faults_end(s);
    timer_set(&s->sched, t, s->phase == SIM_FAULTY ? s->healed_us : SCHED_NEVER);
}

static void on_sample(struct timer *t)
{
    struct sim *s = CONTAINER_OF(t, struct sim, sample);
    struct sim_sample sample = {.at_us = sim_now(s),
                                .answered = s->tally.answered,
                                .failed = s->tally.failed,
                                .faults = s->tally.faulted,
                                .phase = (uint8_t)s->phase,
                                .is_parted = s->faults.is_parted};
    for (size_t i = 0; i < s->box_count; i++)
        sample.alive += s->boxes[i].state == SIM_BOX_UP;
    sim_tally_sample(&s->tally, &sample);
    timer_after(&s->sched, t, SAMPLE_US);
}

/* --- life --- */

/* Files that vanish with the run, in memory where there is such a place. */
static int make_dir(struct sim *s, char *why)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR") ?: "/tmp";
    snprintf(s->dir, sizeof s->dir, "%.100s/conduit-sim-XXXXXX", base);
    if (mkdtemp(s->dir))
        return 0;
    snprintf(why, SIM_WHY, "no directory for the nodes' data in %.100s", base);
    return E_IO;
}

/* Each node's lock is an open file. */
static void allow_files(uint64_t nodes)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < nodes + 64) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

struct sim *sim_new(const struct sim_options *o, FILE *log, char why[static SIM_WHY])
{
    struct sim *s = MEM_NEW(struct sim);
    s->opts = *o;
    if (!o->ask_s)
        s->opts.ask_s = ASK_S * (o->nodes > ASKERS ? o->nodes : ASKERS) / ASKERS;
    if (make_dir(s, why)) {
        free(s);
        return NULL;
    }
    allow_files(o->nodes);
    s->world = loop_virtual_new(o->seed);
    rng_init_seeded(&s->rng, o->seed ^ UINT64_C(0x5eed));
    noise_memo_begin();
    sim_journal_init(&s->journal, log);
    sched_init(&s->sched, loop_virtual_now(s->world), 0);
    struct loop_virtual_model model = {.rtt_us = o->rtt_ms * US_PER_MS,
                                       .sigma = (double)o->sigma / 100,
                                       .jitter_us = o->jitter_ms * US_PER_MS,
                                       .loss = (double)o->loss / 1000,
                                       .bytes_per_s = o->mbit * 125000};
    loop_virtual_set_model(s->world, &model);
    s->box_count = o->nodes;
    s->boxes = mem_array(s->box_count, sizeof *s->boxes);
    s->end_us = US_PER_S + o->minutes * 60 * US_PER_S;
    s->faulty_us = US_PER_S + o->warm_s * US_PER_S;
    s->healed_us = s->end_us - o->heal_s * US_PER_S;
    roles(s);
    timer_init(&s->starts, on_starts);
    timer_init(&s->sample, on_sample);
    timer_init(&s->phases, on_phase);
    timer_set(&s->sched, &s->starts, US_PER_S);
    timer_set(&s->sched, &s->sample, US_PER_S + SAMPLE_US);
    timer_set(&s->sched, &s->phases, s->faulty_us);
    sim_faults_init(s);
    sim_checks_init(s);
    sim_offers_init(s);
    sim_strangers_init(s);
    map_init(&s->by_peer, o->seed);
    trace_set_sink(on_trace, s);
    trace_set_all(TRACE_INFO);
    return s;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    return remove(path);
}

uint64_t sim_end(struct sim *s)
{
    if (s->is_ended)
        return s->tally.violations;
    s->last = sim_look(s);
    s->is_ended = true;
    sim_faults_fini(s);
    sim_checks_fini(s);
    sim_offers_fini(s);
    sim_strangers_fini(s);
    map_fini(&s->by_peer);
    for (size_t i = 0; i < s->box_count; i++)
        sim_box_end(&s->boxes[i]);
    loop_virtual_run(s->world, sim_now(s) + 1, NULL, NULL);
    return s->tally.violations;
}

void sim_free(struct sim *s)
{
    sim_end(s);
    for (size_t i = 0; i < s->box_count; i++)
        sim_box_fini(&s->boxes[i]);
    trace_set_sink(NULL, NULL);
    loop_virtual_free(s->world);
    noise_memo_end();
    sched_fini(&s->sched);
    sim_tally_fini(&s->tally);
    (void)nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(s->boxes);
    free(s);
}

void sim_stop_when(struct sim *s, const volatile sig_atomic_t *flag)
{
    s->stop = flag;
}

static bool is_enough(void *ctx)
{
    const struct sim *s = ctx;
    return s->stop && *s->stop;
}

/* From one deed of the director to the next. */
void sim_step(struct sim *s, uint64_t until_us)
{
    while (sim_now(s) < until_us && !is_enough(s)) {
        uint64_t at = sched_deadline(&s->sched);
        loop_virtual_run(s->world, at < until_us ? at : until_us, is_enough, s);
        sched_set_now(&s->sched, sim_now(s), 0);
        sched_run_timers(&s->sched);
        sched_run_tasks(&s->sched);
    }
}

uint64_t sim_run(struct sim *s, void (*tick)(void *ctx, const struct sim *s), void *ctx)
{
    enter(s, SIM_WARM);
    while (sim_now(s) < s->end_us && !is_enough(s)) {
        uint64_t next = sim_now(s) + 60 * US_PER_S;
        if (tick)
            tick(ctx, s);
        sim_step(s, next < s->end_us ? next : s->end_us);
    }
    enter(s, SIM_OVER);
    sim_checks_end(s);
    return s->tally.violations;
}

uint64_t sim_log_hash(const struct sim *s)
{
    return sim_look(s).log_hash;
}

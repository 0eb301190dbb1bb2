// SPDX-License-Identifier: MIT
/* What a world came to, for people and as JSON. */
#include "base/mem.h"
#include "codec/json.h"
#include "sim/inside.h"
#include "sim/sim.h"
#include "sim/world.h"

#include <sys/resource.h>

static double ms(uint64_t us)
{
    return (double)us / US_PER_MS;
}

static uint64_t peak_rss_kib(void)
{
    struct rusage r;
    return getrusage(RUSAGE_SELF, &r) == 0 ? (uint64_t)r.ru_maxrss : 0;
}

static void put_times(struct buf *out, const char *what, struct sim_times *t)
{
    if (t->n)
        (void)buf_printf(out, "%-22s p50 %.0f ms, p95 %.0f ms, max %.0f ms (%zu)\n", what,
                         ms(sim_times_quantile(t, 0.5)), ms(sim_times_quantile(t, 0.95)),
                         ms(sim_times_quantile(t, 1)), t->n);
}

struct sim_last sim_look(const struct sim *s)
{
    if (s->is_ended)
        return s->last;
    struct loop_virtual_counts c = loop_virtual_count(s->world);
    struct sim_last l = {.now_us = sim_now(s),
                         .open = s->tally.open,
                         .log_hash = s->journal.hash ^ c.hash * UINT64_C(0x9e3779b97f4a7c15),
                         .lines = s->journal.lines,
                         .net = c};
    for (size_t i = 0; i < s->box_count; i++)
        if (s->boxes[i].state == SIM_BOX_UP) {
            l.alive++;
            l.conns += sim_inside_conns(s->boxes[i].node);
        }
    return l;
}

void sim_summary_text(struct sim *s, uint64_t real_us, struct buf *out)
{
    struct sim_tally *t = &s->tally;
    struct sim_last l = sim_look(s);
    double virtual_s = (double)(l.now_us - US_PER_S) / US_PER_S;
    char command[1024];
    (void)buf_printf(out, "%-22s %zu, %zu at the end; %u models\n", "nodes", s->box_count, l.alive,
                     s->models);
    (void)buf_printf(
        out, "%-22s %llu asked: %llu answered, %llu failed, %llu abandoned, %llu open at the end\n",
        "questions", (unsigned long long)t->asked, (unsigned long long)t->ends[SIM_ANSWERED],
        (unsigned long long)t->ends[SIM_FAILED], (unsigned long long)t->ends[SIM_ABANDONED],
        (unsigned long long)l.open);
    for (size_t i = 0; i < t->reason_count; i++)
        (void)buf_printf(out, "  %-20s %llu, %llu of them healed\n", t->reasons[i].code,
                         (unsigned long long)t->reasons[i].count,
                         (unsigned long long)t->reasons[i].healed);
    (void)buf_printf(out, "%-22s %llu answers, %llu of them over a circuit\n",
                     "providers behind NATs", (unsigned long long)t->from_nat,
                     (unsigned long long)t->relayed);
    put_times(out, "first event, known", &t->first_byte);
    put_times(out, "first event, searched", &t->find);
    put_times(out, "death noticed", &t->noticed_death);
    (void)buf_printf(out,
                     "%-22s %llu; %llu watchers were cut off meanwhile, %llu others have "
                     "not heard of them\n",
                     "new offers", (unsigned long long)t->offers,
                     (unsigned long long)t->offers_lost, (unsigned long long)t->offers_unheard);
    put_times(out, "  seen by watchers", &t->noticed_offer);
    put_times(out, "  newcomers, followed", &t->noticed_newcomer);
    put_times(out, "  heard by others", &t->heard_offer);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        if (t->faults[i])
            (void)buf_printf(out, "fault %-16s %llu\n", sim_fault_word(i),
                             (unsigned long long)t->faults[i]);
    (void)buf_printf(out, "%-22s %llu told by strangers, %llu things looked at\n", "lies",
                     (unsigned long long)t->lies, (unsigned long long)t->checks);
    (void)buf_printf(out, "%-22s %.1f a node at the end\n", "connections",
                     l.alive ? (double)l.conns / (double)l.alive : 0);
    (void)buf_printf(out, "%-22s %.1f MB in %llu packets, %llu lost; %llu turns\n", "network",
                     (double)l.net.bytes / 1e6, (unsigned long long)l.net.packets,
                     (unsigned long long)l.net.lost, (unsigned long long)l.net.turns);
    (void)buf_printf(out, "%-22s %.0f s virtual in %.1f s: %.1f times; peak memory %.0f MB\n",
                     "time", virtual_s, (double)real_us / US_PER_S,
                     virtual_s * US_PER_S / (double)(real_us ? real_us : 1),
                     (double)peak_rss_kib() / 1024);
    (void)buf_printf(out, "%-22s %016llx over %llu lines\n", "log hash",
                     (unsigned long long)l.log_hash, (unsigned long long)l.lines);
    (void)buf_printf(out, "%-22s %llu\n", "violations", (unsigned long long)t->violations);
    for (size_t i = 0; i < t->violations && i < SIM_VIOLATIONS; i++)
        (void)buf_printf(out, "  %s\n", t->violation[i]);
    if (t->violations)
        (void)buf_printf(out, "repeat with: %s\n",
                         sim_options_command(&s->opts, command, sizeof command));
}

static void json_times(struct json_writer *w, const char *name, struct sim_times *t)
{
    json_key(w, name);
    json_open_object(w);
    json_member_u64(w, "count", t->n);
    json_member_u64(w, "p50_us", sim_times_quantile(t, 0.5));
    json_member_u64(w, "p95_us", sim_times_quantile(t, 0.95));
    json_member_u64(w, "max_us", sim_times_quantile(t, 1));
    json_close_object(w);
}

static void json_reasons(struct json_writer *w, const struct sim_tally *t)
{
    json_key(w, "reasons");
    json_open_object(w);
    for (size_t i = 0; i < t->reason_count; i++)
        json_member_u64(w, t->reasons[i].code, t->reasons[i].count);
    json_close_object(w);
    json_key(w, "faults");
    json_open_object(w);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        json_member_u64(w, sim_fault_word(i), t->faults[i]);
    json_close_object(w);
}

static void json_violations(struct json_writer *w, const struct sim_tally *t)
{
    json_member_u64(w, "violations", t->violations);
    json_key(w, "violated");
    json_open_array(w);
    for (size_t i = 0; i < t->violations && i < SIM_VIOLATIONS; i++)
        json_put_str(w, t->violation[i]);
    json_close_array(w);
}

void sim_summary_json(struct sim *s, uint64_t real_us, struct buf *out)
{
    struct sim_tally *t = &s->tally;
    struct sim_last l = sim_look(s);
    char text[1024];
    struct json_writer w = json_write(out);
    json_open_object(&w);
    json_member_str(&w, "command", sim_options_command(&s->opts, text, sizeof text));
    json_member_u64(&w, "nodes", s->box_count);
    json_member_u64(&w, "alive", l.alive);
    json_member_u64(&w, "models", s->models);
    json_member_u64(&w, "asked", t->asked);
    json_member_u64(&w, "cold", t->cold);
    json_member_u64(&w, "answered", t->ends[SIM_ANSWERED]);
    json_member_u64(&w, "failed", t->ends[SIM_FAILED]);
    json_member_u64(&w, "abandoned", t->ends[SIM_ABANDONED]);
    json_member_u64(&w, "open", l.open);
    json_member_u64(&w, "from_nat", t->from_nat);
    json_member_u64(&w, "relayed", t->relayed);
    json_reasons(&w, t);
    json_member_u64(&w, "lies", t->lies);
    json_member_u64(&w, "checks", t->checks);
    json_times(&w, "known", &t->first_byte);
    json_times(&w, "searched", &t->find);
    json_times(&w, "death_noticed", &t->noticed_death);
    json_member_u64(&w, "offers", t->offers);
    json_member_u64(&w, "offers_lost", t->offers_lost);
    json_member_u64(&w, "offers_unheard", t->offers_unheard);
    json_times(&w, "offer_seen", &t->noticed_offer);
    json_times(&w, "newcomer_seen", &t->noticed_newcomer);
    json_times(&w, "offer_heard", &t->heard_offer);
    json_member_u64(&w, "connections", l.conns / 2);
    json_member_u64(&w, "packets", l.net.packets);
    json_member_u64(&w, "bytes", l.net.bytes);
    json_member_u64(&w, "lost", l.net.lost);
    json_member_u64(&w, "turns", l.net.turns);
    json_member_u64(&w, "virtual_us", l.now_us - US_PER_S);
    json_member_u64(&w, "real_us", real_us);
    json_member_u64(&w, "peak_rss_kib", peak_rss_kib());
    snprintf(text, sizeof text, "%016llx", (unsigned long long)l.log_hash);
    json_member_str(&w, "log_hash", text);
    json_violations(&w, t);
    json_close_object(&w);
    (void)buf_append_str(out, "\n");
}

// SPDX-License-Identifier: MIT
/* The timeline of a world as one self-contained SVG.
 *
 *   +--------------------------------------------------+
 *   | nodes alive      (area)                          |   bands behind all: warm-up, partitions,
 *   | questions        (answered above, failed below)  |   the healed phase
 *   | faults           (ticks)                         |
 *   +--------------------------------------------------+ minutes */
#include "sim/sim.h"
#include "sim/world.h"

enum { WIDTH = 1000, LEFT = 70, RIGHT = 20, LANE = 130, GAP = 34, TOP = 54, TICKS = 16 };

struct plot {
    struct sim *s;
    struct buf *out;
    double end_us;
};

static double x_of(const struct plot *p, uint64_t us)
{
    double share = (double)(us - US_PER_S) / (p->end_us - (double)US_PER_S);
    return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static int lane_y(int lane)
{
    return TOP + lane * (LANE + GAP);
}

static void put_text(struct plot *p, double x, double y, const char *anchor, const char *text)
{
    (void)buf_printf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y,
                     anchor, text);
}

static void put_band(struct plot *p, uint64_t from, uint64_t to, const char *class)
{
    double x = x_of(p, from), bottom = lane_y(2) + TICKS;
    (void)buf_printf(p->out,
                     "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%.1f\"/>\n",
                     class, x, TOP, x_of(p, to) - x, bottom - TOP);
}

static void put_bands(struct plot *p)
{
    const struct sim_tally *t = &p->s->tally;
    uint64_t from = 0, before = US_PER_S;
    put_band(p, US_PER_S, p->s->faulty_us, "warm");
    if (p->s->healed_us < p->s->end_us)
        put_band(p, p->s->healed_us, p->s->end_us, "healed");
    for (size_t i = 0; i < t->sample_count; i++) {
        const struct sim_sample *v = &t->samples[i];
        if (v->is_parted && !from)
            from = before;
        if (from && (!v->is_parted || i + 1 == t->sample_count)) {
            put_band(p, from, v->at_us, "parted");
            from = 0;
        }
        before = v->at_us;
    }
}

static void put_axis(struct plot *p, int lane, const char *title, uint64_t max)
{
    char most[24];
    int y = lane_y(lane);
    snprintf(most, sizeof most, "%llu", (unsigned long long)max);
    put_text(p, LEFT, y - 8, "start", title);
    put_text(p, LEFT - 8, y + 10, "end", most);
    put_text(p, LEFT - 8, y + LANE, "end", "0");
    (void)buf_printf(p->out, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, y, y + LANE,
                     WIDTH - RIGHT);
}

/* Steps from sample to sample, closed to the lane's floor. */
static void put_area(struct plot *p, int lane, const char *class, uint64_t max,
                     uint32_t (*value)(const struct sim_sample *v))
{
    const struct sim_tally *t = &p->s->tally;
    int floor = lane_y(lane) + LANE;
    uint64_t before = US_PER_S;
    (void)buf_printf(p->out, "<path class=\"%s\" d=\"M%d %d", class, LEFT, floor);
    for (size_t i = 0; i < t->sample_count; i++) {
        double h = (double)value(&t->samples[i]) / (double)max * LANE;
        (void)buf_printf(p->out, "H%.1fV%.1f", x_of(p, before), floor - h);
        before = t->samples[i].at_us;
    }
    (void)buf_printf(p->out, "H%.1fV%dZ\"/>\n", x_of(p, before), floor);
}

static uint32_t alive_of(const struct sim_sample *v)
{
    return v->alive;
}

static uint32_t ended_of(const struct sim_sample *v)
{
    return v->answered + v->failed;
}

static uint32_t failed_of(const struct sim_sample *v)
{
    return v->failed;
}

static uint64_t most(const struct sim *s, uint32_t (*value)(const struct sim_sample *v))
{
    uint64_t max = 1;
    for (size_t i = 0; i < s->tally.sample_count; i++)
        if (value(&s->tally.samples[i]) > max)
            max = value(&s->tally.samples[i]);
    return max;
}

static void put_faults(struct plot *p)
{
    const struct sim_tally *t = &p->s->tally;
    int y = lane_y(2);
    put_text(p, LEFT, y - 6, "start", "faults");
    for (size_t i = 0; i < t->sample_count; i++)
        if (t->samples[i].faults)
            (void)buf_printf(p->out, "<path class=\"fault\" d=\"M%.1f %dv%d\"/>\n",
                             x_of(p, t->samples[i].at_us), y, TICKS);
}

static void put_minutes(struct plot *p)
{
    uint64_t minutes = p->s->opts.minutes, step = 1 + minutes / 12;
    for (uint64_t m = 0; m <= minutes; m += step) {
        char text[32];
        snprintf(text, sizeof text, m ? "%llu" : "%llu min", (unsigned long long)m);
        put_text(p, x_of(p, US_PER_S + m * 60 * US_PER_S), lane_y(2) + TICKS + 18, "middle", text);
    }
}

static const char style[] =
    "<style>text{font:12px sans-serif;fill:#333}.title{font-size:15px}.axis{fill:none;"
    "stroke:#666}.alive{fill:#7aa6d8;fill-opacity:.6}.ended{fill:#6bb36b;fill-opacity:.7}"
    ".failed{fill:#d0453a}.warm{fill:#eee}.healed{fill:#e4f3e4}.parted{fill:#f6dcb4}"
    ".fault{stroke:#d0453a;stroke-width:1.5}</style>\n";

void sim_picture(struct sim *s, struct buf *out)
{
    struct plot p = {s, out, (double)s->end_us};
    char title[200];
    uint64_t questions = most(s, ended_of);
    int height = lane_y(2) + TICKS + 34;
    (void)buf_printf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\">\n%s"
                     "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                     WIDTH, height, style);
    put_bands(&p);
    snprintf(
        title, sizeof title,
        "%zu nodes, seed %llu: %llu questions answered, %llu failed, %llu violations", s->box_count,
        (unsigned long long)s->opts.seed, (unsigned long long)s->tally.ends[SIM_ANSWERED],
        (unsigned long long)s->tally.ends[SIM_FAILED], (unsigned long long)s->tally.violations);
    (void)buf_printf(out, "<text class=\"title\" x=\"%d\" y=\"22\">%s</text>\n", LEFT, title);
    put_axis(&p, 0, "nodes that run (partitions behind in sand, the healed phase in green)",
             s->box_count);
    put_area(&p, 0, "alive", s->box_count, alive_of);
    put_axis(&p, 1, "questions that ended in five seconds (failed in red)", questions);
    put_area(&p, 1, "ended", questions, ended_of);
    put_area(&p, 1, "failed", questions, failed_of);
    put_faults(&p);
    put_minutes(&p);
    (void)buf_append_str(out, "</svg>\n");
}

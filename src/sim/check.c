// SPDX-License-Identifier: MIT
/* See check.h. */
#include "sim/check.h"

#include "base/mem.h"
#include "dht/dht.h"
#include "sim/inside.h"
#include "sim/world.h"

#include <stdlib.h>
#include <string.h>

/* A connection that rests is asked every two minutes, and given up after 135 s, or up to five more. */
#define DEAF_US (145 * US_PER_S)
#define POLL_US (20 * US_PER_MS)
#define EACH_US (5 * US_PER_S)

enum { BOXES_A_TURN = 50 };

/* --- a death is noticed --- */

/* Those who were connected to the dead and have not noticed yet. */
struct watch {
    struct list link;
    struct sim *sim;
    struct peer_id peer;
    unsigned dead, dead_lives;
    struct timer poll;
    uint64_t since_us;
    size_t n;
    struct {
        unsigned box, lives;
    } who[];
};

static void watch_free(struct watch *w)
{
    timer_clear(&w->sim->sched, &w->poll);
    list_remove(&w->link);
    free(w);
}

static bool is_lately(const struct sim *s, uint64_t us)
{
    return us && sim_now(s) - us < DEAF_US;
}

/* The relay of a circuit between them may have been cut off, or be silent: nobody tells. */
static bool is_over_dead_relay(const struct watch *w, const struct sim_box *b)
{
    const struct sim_faults *f = &w->sim->faults;
    uint64_t last = f->parted_us > f->silenced_us ? f->parted_us : f->silenced_us;
    return is_lately(w->sim, last) && sim_inside_is_relayed(b->node, &w->peer);
}

/* They were on two sides a while ago: one may have given a connection up that the other still has, resting. */
static bool were_apart(const struct sim_box *a, const struct sim_box *b)
{
    const struct sim_faults *f = &a->sim->faults;
    for (int i = 0; i < SIM_PARTITIONS; i++)
        if (((a->sides ^ b->sides) >> i & 1) && is_lately(a->sim, f->ended_us[i]))
            return true;
    return false;
}

bool sim_check_is_half_open(const struct sim_box *a, const struct sim_box *b)
{
    return is_lately(a->sim, a->forgot_us) || is_lately(a->sim, b->forgot_us) ||
           is_lately(a->sim, a->silent_us) || is_lately(a->sim, b->silent_us) || were_apart(a, b);
}

/* It came back, or the one who should notice is gone, cut off, or one of them is behind a NAT that has just forgotten
 * the connection: the reset does not come through. */
static bool is_excused(const struct watch *w, const struct sim_box *b, unsigned lives)
{
    const struct sim_box *dead = &w->sim->boxes[w->dead];
    return dead->lives != w->dead_lives || b->lives != lives || b->state != SIM_BOX_UP ||
           b->side != dead->side || is_over_dead_relay(w, b) || sim_check_is_half_open(b, dead);
}

static void on_poll(struct timer *t)
{
    struct watch *w = CONTAINER_OF(t, struct watch, poll);
    struct sim *s = w->sim;
    uint64_t ago = sim_now(s) - w->since_us;
    size_t left = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct sim_box *b = &s->boxes[w->who[i].box];
        if (is_excused(w, b, w->who[i].lives))
            continue;
        if (!sim_inside_has(b->node, &w->peer))
            sim_times_add(&s->tally.noticed_death, ago);
        else if (ago >= SIM_NOTICE_US)
            sim_violation(s, b, "has not noticed the death of n%u after %.2f s", w->dead,
                          (double)ago / US_PER_S);
        else
            w->who[left++] = w->who[i];
    }
    w->n = left;
    if (left)
        timer_after(&s->sched, t, POLL_US);
    else
        watch_free(w);
}

void sim_check_death(struct sim_box *dead)
{
    struct sim *s = dead->sim;
    struct watch *w = mem_new(sizeof *w + s->box_count * sizeof *w->who);
    w->sim = s;
    w->peer = *sim_inside_id(dead->node);
    w->dead = dead->index;
    w->dead_lives = dead->lives;
    w->since_us = sim_now(s);
    for (size_t i = 0; i < s->box_count; i++) {
        struct sim_box *b = &s->boxes[i];
        if (b != dead && b->state == SIM_BOX_UP && b->side == dead->side &&
            sim_inside_has(b->node, &w->peer))
            w->who[w->n].box = b->index, w->who[w->n++].lives = b->lives;
    }
    timer_init(&w->poll, on_poll);
    timer_after(&s->sched, &w->poll, POLL_US);
    list_append(&s->checks.watches, &w->link);
}

/* --- nothing is left --- */

void sim_check_held(struct sim_box *b)
{
    struct loop_virtual_held h = loop_virtual_held(b->loop);
    b->sim->tally.checks++;
    if (h.streams + h.listeners + h.udps + h.timers + h.tasks)
        sim_violation(b->sim, b,
                      "was freed and still holds %zu streams, %zu listeners, %zu datagram sockets, "
                      "%zu timers, %zu tasks",
                      h.streams, h.listeners, h.udps, h.timers, h.tasks);
}

/* All of a small network every five seconds; of a large one so many at a time, one part after another. */
static size_t first_of_turn(const struct sim *s)
{
    size_t turns = (s->box_count + BOXES_A_TURN - 1) / BOXES_A_TURN;
    return s->checks.turn % turns * BOXES_A_TURN;
}

static size_t end_of_turn(const struct sim *s)
{
    size_t end = first_of_turn(s) + BOXES_A_TURN;
    return end < s->box_count ? end : s->box_count;
}

/* --- nothing forged is believed --- */

struct look {
    struct sim *s;
    struct sim_box *b;
};

static void on_offer(void *ctx, const struct peer_id *peer, const char *model)
{
    struct look *l = ctx;
    const struct sim_box *owner = map_get(&l->s->by_peer, peer_id_bytes(peer));
    char who[PEER_ID_TEXT];
    l->s->tally.checks++;
    if (!owner || !sim_offers_is_made(owner, model))
        sim_violation(l->s, l->b, "believes in an offer of %s by %s that nobody made", model,
                      peer_id_text(peer, who, sizeof who));
}

static bool is_key(struct bytes key, const char *prefix, const char *name)
{
    char text[64];
    uint8_t of_text[DHT_KEY_TEXT];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    dht_key_text(bytes_str(text), of_text);
    return bytes_eq(key, bytes_of(of_text, sizeof of_text));
}

static bool is_key_of(const struct sim_box *owner, struct bytes key)
{
    char name[32];
    bool is_one = is_key(key, "model:", sim_model_name(owner->model, name)) ||
                  is_key(key, "protocol:", "openai") || is_key(key, "all_nodes", "");
    for (unsigned i = 0; i < owner->extras && !is_one; i++)
        is_one = is_key(key, "model:", sim_offers_name(owner, i, name));
    return is_one;
}

static void on_record(void *ctx, const struct peer_id *peer, struct bytes key)
{
    struct look *l = ctx;
    const struct sim_box *owner = map_get(&l->s->by_peer, peer_id_bytes(peer));
    char who[PEER_ID_TEXT];
    l->s->tally.checks++;
    if (!owner || !owner->is_provider || !is_key_of(owner, key))
        sim_violation(l->s, l->b, "keeps a record of %s that this peer never gave",
                      peer_id_text(peer, who, sizeof who));
}

static void nothing_forged(struct sim *s)
{
    for (size_t i = first_of_turn(s); i < end_of_turn(s); i++) {
        struct look l = {s, &s->boxes[i]};
        if (l.b->state != SIM_BOX_UP)
            continue;
        sim_inside_offers(l.b->node, on_offer, &l);
        sim_inside_records(l.b->node, on_record, &l);
    }
}

/* --- all along --- */

static void check_books(struct sim *s, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct sim_box *b = &s->boxes[i];
        const char *why = b->state == SIM_BOX_UP ? sim_inside_books(b->node) : NULL;
        s->tally.checks++;
        if (why)
            sim_violation(s, b, "%s", why);
    }
}

static void on_each(struct timer *t)
{
    struct sim *s = CONTAINER_OF(t, struct sim, checks.each);
    check_books(s, first_of_turn(s), end_of_turn(s));
    nothing_forged(s);
    s->checks.turn++;
    timer_after(&s->sched, t, EACH_US);
}

void sim_checks_init(struct sim *s)
{
    list_init(&s->checks.watches);
    timer_init(&s->checks.each, on_each);
    timer_after(&s->sched, &s->checks.each, EACH_US);
}

void sim_checks_fini(struct sim *s)
{
    timer_clear(&s->sched, &s->checks.each);
    LIST_FOREACH_SAFE (&s->checks.watches, it)
        watch_free(LIST_ENTRY(it, struct watch, link));
}

void sim_checks_end(struct sim *s)
{
    check_books(s, 0, s->box_count);
}

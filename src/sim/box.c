// SPDX-License-Identifier: MIT
/* See box.h. */
#include "sim/box.h"

#include "base/mem.h"
#include "sim/check.h"
#include "sim/inside.h"
#include "sim/user.h"
#include "sim/world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAT_IDLE_US (5 * 60 * US_PER_S)
#define OWN_NETS    80 /* first bytes 20…99: public, and none of them special */

static char *const no_env[] = {"HOME=/nonexistent", NULL};

const char *sim_model_name(unsigned model, char out[static 32])
{
    snprintf(out, 32, "model-%u", model);
    return out;
}

/* Each machine has a /16 of its own as long as there are any: tables count peers by it. */
static void address_of(unsigned index, struct net_addr *ip)
{
    unsigned place = index / OWN_NETS;
    *ip = (struct net_addr){.kind = NET_IP4};
    ip->ip[0] = (uint8_t)(20 + index % OWN_NETS);
    ip->ip[1] = (uint8_t)(place % 256);
    ip->ip[2] = (uint8_t)(place / 256);
    ip->ip[3] = 10;
}

/* --- what the node is told --- */

static void set(struct sim_box *b, const char *key, const char *value)
{
    char why[CONFIG_WHY];
    if (config_set(&b->cfg, key, value, RANK_FLAG, why))
        sim_violation(b->sim, b, "configuration: %s", why);
}

static void set_bootstraps(struct sim_box *b)
{
    char list[4096] = "", ip[NET_ADDR_TEXT];
    size_t n = 0;
    for (unsigned i = 0; i < b->sim->opts.bootstraps && n < sizeof list; i++) {
        struct net_addr at;
        if (i == b->index)
            continue;
        address_of(i, &at);
        at.port = 8000;
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? "," : "",
                              net_addr_format(&at, ip));
    }
    set(b, "bootstrap", list);
}

static void configure(struct sim_box *b)
{
    config_init(&b->cfg);
    set(b, "data_dir", b->dir);
    set(b, "mdns", "false"); /* no two of them are on one LAN */
    set_bootstraps(b);
    b->cfg.max_feeds = (uint32_t)b->sim->opts.feeds;
    if (b->is_provider) {
        char backend[96], name[32];
        snprintf(backend, sizeof backend, "%s=echo:%s", sim_model_name(b->model, name),
                 b->is_slow ? "?delay_ms=400" : "?delay_ms=30");
        set(b, "backend", backend);
    }
}

/* --- life --- */

static void enter(struct sim_box *b, enum sim_box_state state)
{
    b->state = state;
    b->since_us = sim_now(b->sim);
}

int sim_box_start(struct sim_box *b)
{
    char why[CONFIG_WHY];
    if (b->shell)
        loop_free(b->shell);
    b->shell = NULL;
    b->loop = loop_virtual_machine(b->sim->world, &b->ip);
    if (b->nat)
        loop_virtual_set_nat(b->loop, b->nat);
    loop_virtual_set_side(b->sim->world, b->loop, b->side);
    loop_virtual_set_clock(b->sim->world, b->loop, b->clock_ms, 0);
    configure(b);
    int err = node_start(b->loop, &b->cfg, no_env, "0.0.0", &b->node, why);
    if (err) {
        sim_violation(b->sim, b, "does not start: %s", why);
        config_fini(&b->cfg);
        loop_free(b->loop);
        b->loop = NULL;
        return err;
    }
    b->lives++;
    snprintf(b->peer, sizeof b->peer, "%s", node_peer(b->node));
    (void)map_put(&b->sim->by_peer, peer_id_bytes(sim_inside_id(b->node)), b);
    enter(b, SIM_BOX_UP);
    sim_note(b->sim, b, "up: life %u, %s%s", b->lives, b->peer, b->is_provider ? ", provider" : "");
    b->user = sim_user_new(b);
    sim_offers_joined(b);
    return 0;
}

/* The machine with all that is on it, but its disk. */
static void clear(struct sim_box *b)
{
    if (b->user)
        sim_user_free(b->user);
    if (b->node)
        node_free(b->node);
    if (b->loop) {
        sim_check_held(b);
        config_fini(&b->cfg);
        b->shell = b->loop;
    }
    b->user = NULL;
    b->node = NULL;
    b->loop = NULL;
    enter(b, SIM_BOX_OFF);
}

/* --- in order --- */

static void on_stopped(void *ctx)
{
    struct sim_box *b = ctx;
    sim_note(b->sim, b, "stopped");
    timer_set(&b->sim->sched, &b->down, sim_now(b->sim)); /* not from inside its own callback */
}

static void on_down(struct timer *t)
{
    struct sim_box *b = CONTAINER_OF(t, struct sim_box, down);
    clear(b);
}

void sim_box_stop(struct sim_box *b)
{
    if (b->state != SIM_BOX_UP)
        return;
    sim_note(b->sim, b, "stops");
    enter(b, SIM_BOX_STOPPING);
    sim_user_rest(b->user);
    node_stop(b->node, on_stopped, b);
}

/* --- at once --- */

void sim_box_crash(struct sim_box *b, bool tells)
{
    if (b->state == SIM_BOX_OFF)
        return;
    sim_note(b->sim, b, tells ? "is killed" : "falls silent");
    if (!tells)
        b->silent_us = sim_now(b->sim);
    loop_virtual_crash(b->sim->world, b->loop, tells);
    clear(b);
}

static void on_again(struct timer *t)
{
    struct sim_box *b = CONTAINER_OF(t, struct sim_box, again);
    if (b->state == SIM_BOX_OFF)
        (void)sim_box_start(b);
    else if (b->state == SIM_BOX_STOPPING)
        sim_box_start_after(b, US_PER_S);
}

void sim_box_hide(struct sim_box *b, uint64_t luck)
{
    static const enum loop_virtual_nat_kind kinds[] = {
        LOOP_NAT_FULL_CONE,  LOOP_NAT_ADDRESS_RESTRICTED, LOOP_NAT_RESTRICTED,
        LOOP_NAT_RESTRICTED, LOOP_NAT_SYMMETRIC,
    };
    struct net_addr inner = {.kind = NET_IP4, .ip = {10, 0, 0, 2}};
    inner.ip[1] = (uint8_t)(b->index / 250);
    inner.ip[2] = (uint8_t)(b->index % 250);
    b->nat =
        loop_virtual_nat_new(b->sim->world, &b->ip, kinds[luck % ARRAY_LEN(kinds)], NAT_IDLE_US);
    b->ip = inner;
}

void sim_box_init(struct sim_box *b, struct sim *s, unsigned index)
{
    *b = (struct sim_box){.sim = s, .index = index};
    timer_init(&b->again, on_again);
    timer_init(&b->down, on_down);
    address_of(index, &b->ip);
    snprintf(b->dir, sizeof b->dir, "%s/%u", s->dir, index);
    (void)mkdir(b->dir, 0700);
}

void sim_box_start_after(struct sim_box *b, uint64_t us)
{
    timer_after(&b->sim->sched, &b->again, us);
}

void sim_box_end(struct sim_box *b)
{
    timer_clear(&b->sim->sched, &b->again);
    timer_clear(&b->sim->sched, &b->down);
    if (b->state == SIM_BOX_OFF)
        return;
    loop_virtual_crash(b->sim->world, b->loop,
                       false); /* no turn follows in which it could finish anything */
    clear(b);
}

void sim_box_fini(struct sim_box *b)
{
    if (b->shell)
        loop_free(b->shell);
}

// SPDX-License-Identifier: MIT
/* Being reached over relays: served with --relay, used by `reserve`; holes are punched by themselves. See peer.h. */
#include "peer.h"

#include "p2p/autonat_host.h"
#include "p2p/punch.h"
#include "p2p/relay_client.h"
#include "p2p/relay_serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reach {
    struct app *app;
    struct relay_client *places;
    struct relay_serve *relay;
    uint32_t wanted; /* places at relays */
    struct autonat_host *autonat;
    struct timer look; /* for an answer of its */
};

/* --- places at relays --- */

static bool holds_place(struct reach *r, const struct peer_id *relay)
{
    struct relay_held_view v;
    for (size_t i = 0; relay_client_look(r->places, i, &v); i++)
        if (peer_id_eq(&v.relay, relay) && v.addr_count)
            return true;
    return false;
}

bool reach_has_place(struct app *a, const struct peer_id *relay)
{
    return holds_place(a->reach, relay);
}

static void places_changed(void *ctx)
{
    struct reach *r = ctx;
    app_check(r->app);
}

static void reserved(struct job *j)
{
    char text[512], relay[PEER_ID_TEXT], over[PEER_ID_TEXT + 32];
    struct p2p_host *h = j->app->host;
    snprintf(over, sizeof over, "/p2p/%s/p2p-circuit", peer_id_text(&j->peer, relay, sizeof relay));
    struct json_writer *w = job_ok(j);
    json_key(w, "addrs");
    json_open_array(w);
    for (size_t i = 0; p2p_host_addr_text(h, i, text, sizeof text)[0]; i++)
        if (strstr(text, over))
            json_put_str(w, text);
    json_close_array(w);
    job_end(j);
}

static void ask_for_place(struct job *j)
{
    struct reach *r = j->app->reach;
    relay_client_use(r->places, &j->peer);
    if (!holds_place(r, &j->peer))
        relay_client_want(r->places, ++r->wanted);
    job_wait(j, WAIT_PLACE, reserved);
}

void cmd_reserve(struct job *j)
{
    job_connect(j, ask_for_place);
}

void cmd_conns(struct job *j)
{
    struct p2p_peer_view v = {0};
    p2p_host_peer(j->app->host, &j->peer, &v);
    struct json_writer *w = job_ok(j);
    json_member_u64(w, "direct", v.conns - v.relayed_conns);
    json_member_u64(w, "relayed", v.relayed_conns);
    job_end(j);
}

/* --- AutoNAT --- */

#define AUTONAT_US (45 * US_PER_S) /* others' servers dial for as long as they like */

bool reach_is_told(struct app *a)
{
    enum autonat_result result;
    struct bytes addr;
    return autonat_host_last(a->reach->autonat, &result, &addr);
}

static void look(struct timer *t)
{
    struct reach *r = CONTAINER_OF(t, struct reach, look);
    timer_after(r->app->sched, t, 50 * US_PER_MS);
    app_check(r->app);
}

static void told(struct job *j)
{
    enum autonat_result result;
    struct bytes addr;
    char text[512];
    timer_clear(j->app->sched, &j->app->reach->look);
    autonat_host_last(j->app->reach->autonat, &result, &addr);
    struct json_writer *w = job_ok(j);
    json_member_str(w, "reach", result == AUTONAT_NO ? "private" : "public");
    json_member_str(w, "addr", multiaddr_text(addr, text, sizeof text));
    job_end(j);
}

static void wait_for_answer(struct job *j)
{
    job_wait(j, WAIT_REACH, told);
    timer_after(j->app->sched, &j->timer, AUTONAT_US);
    timer_after(j->app->sched, &j->app->reach->look, 0);
}

/* One server, one answer: what all of them together make of it is tested elsewhere. */
void cmd_autonat(struct job *j)
{
    struct reach *r = j->app->reach;
    struct autonat_cfg cfg = autonat_cfg_default();
    cfg.only_version = (int)job_u64(j, "version");
    autonat_host_free(r->autonat);
    r->autonat = autonat_host_new(j->app->host, &cfg);
    job_connect(j, wait_for_answer);
}

/* --- start --- */

void reach_start(struct app *a, const struct options *o)
{
    struct reach *r = MEM_NEW(struct reach);
    r->app = a;
    a->reach = r;
    struct relay_client_cfg places = {.changed = places_changed, .ctx = r};
    r->places = relay_client_new(a->host, &places);
    (void)punch_new(a->host); /* it lives as long as the program */
    struct autonat_cfg autonat = autonat_cfg_default();
    autonat.asks = false; /* but for the command */
    r->autonat = autonat_host_new(a->host, &autonat);
    timer_init(&r->look, look);
    if (o->relay) {
        struct relay_serve_cfg cfg = {.server = relay_server_cfg_default(), .key = &a->key};
        cfg.server.is_unlimited = strcmp(o->relay, "unlimited") == 0;
        r->relay = relay_serve_new(a->host, &cfg);
    }
}

// SPDX-License-Identifier: MIT
/* Being reached over relays: served with --relay, used by `reserve`; holes are punched by themselves. See peer.h. */
#include "peer.h"

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

/* --- start --- */

void reach_start(struct app *a, const struct options *o)
{
    struct reach *r = MEM_NEW(struct reach);
    r->app = a;
    a->reach = r;
    struct relay_client_cfg places = {.changed = places_changed, .ctx = r};
    r->places = relay_client_new(a->host, &places);
    (void)punch_new(a->host); /* it lives as long as the program */
    if (o->relay) {
        struct relay_serve_cfg cfg = {.server = relay_server_cfg_default(), .key = &a->key};
        cfg.server.is_unlimited = strcmp(o->relay, "unlimited") == 0;
        r->relay = relay_serve_new(a->host, &cfg);
    }
}

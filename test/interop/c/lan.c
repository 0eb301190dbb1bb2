// SPDX-License-Identifier: MIT
/* mDNS: `--mdns on`, and whom it found. */
#include "p2p/mdns_shell.h"
#include "peer.h"

static size_t own_addrs(void *ctx, const struct bytes **out)
{
    return p2p_host_addrs(((struct app *)ctx)->host, out);
}

static void found(void *ctx, const struct mdns_peer *peer, bool is_news)
{
    struct bytes addrs[LIMIT_MDNS_ADDRS];
    for (size_t i = 0; i < peer->addr_count; i++)
        addrs[i] = multiaddr_bytes(&peer->addrs[i]);
    p2p_host_learn(((struct app *)ctx)->host, &peer->id, addrs, peer->addr_count,
                   PEER_ADDR_TTL_HEARD);
}

static void lost(void *ctx, const struct mdns_peer *peer)
{
}

void lan_serve(struct app *a, const char *network)
{
    struct mdns_shell_cfg cfg = {.self = *p2p_host_id(a->host),
                                 .network = network,
                                 .addrs = own_addrs,
                                 .found = found,
                                 .lost = lost,
                                 .ctx = a};
    a->mdns = mdns_open(a->loop, &cfg);
}

void cmd_mdns_peers(struct job *j)
{
    char text[PEER_ID_TEXT];
    struct map_entry *at = NULL;
    struct json_writer *w = job_ok(j);
    json_key(w, "peers");
    json_open_array(w);
    for (const struct mdns_peer *p; j->app->mdns && (p = mdns_next(mdns_of(j->app->mdns), &at));)
        json_put_str(w, peer_id_text(&p->id, text, sizeof text));
    json_close_array(w);
    job_end(j);
}

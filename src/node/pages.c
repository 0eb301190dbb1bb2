// SPDX-License-Identifier: MIT
/* The documents a node shows of itself: status, peers, offers, metrics. Field names here are what
 * `conduit status` and `conduit peers` read; they only grow. */
#include "node/node_impl.h"

#include "codec/json.h"
#include "codec/multiaddr.h"

#include <stdio.h>
#include <string.h>

static void put_addresses(struct node *n, struct json_writer *w)
{
    char text[512];
    json_key(w, "addresses");
    json_open_array(w);
    for (size_t i = 0; *p2p_host_addr_text(n->host, i, text, sizeof text); i++)
        json_put_str(w, text);
    json_close_array(w);
}

/* What is between us and others, and the addresses at which they have reached us. */
static void put_nat(struct node *n, struct json_writer *w)
{
    char text[512];
    struct bytes addr;
    json_member_str(w, "nat", nat_text(p2p_host_nat(n->host)));
    json_key(w, "confirmed");
    json_open_array(w);
    for (size_t i = 0; autonat_host_confirmed(n->autonat, i, &addr); i++)
        json_put_str(w, multiaddr_text(addr, text, sizeof text));
    json_close_array(w);
}

static void put_models(struct node *n, struct json_writer *w)
{
    json_key(w, "models");
    json_open_array(w);
    for (size_t i = 0; i < engine_model_count(n->engine); i++) {
        const struct engine_model *m = engine_model_at(n->engine, i);
        uint32_t busy, queued;
        ways_load(&n->ways, m->name, &busy, &queued);
        json_open_object(w);
        json_member_str(w, "name", m->name);
        json_member_str(w, "state", m->is_ready ? "ready" : "not ready");
        json_member_u64(w, "slots", m->slots);
        json_member_u64(w, "busy", busy > m->busy ? busy : m->busy);
        json_member_u64(w, "queued", queued + m->waiting);
        json_member_bool(w, "shared", announce_is_shared(&n->announce, m));
        json_member_u64(w, "context", m->ctx);
        json_member_str(w, "quantization", m->quant);
        json_member_str(w, "digest", m->digest);
        json_close_object(w);
    }
    json_close_array(w);
}

static void put_requests(struct node *n, struct json_writer *w)
{
    const struct gateway_counters *c = gateway_counters(n->gateway);
    json_key(w, "requests");
    json_open_object(w);
    json_member_u64(w, "total", c->requests);
    json_member_u64(w, "ok", c->ok);
    json_member_u64(w, "failed", c->errors);
    json_member_u64(w, "cancelled", c->cancelled);
    json_member_u64(w, "from_peers", c->peer_requests);
    json_member_u64(w, "refused", c->refused);
    json_member_u64(w, "failovers", c->failovers);
    json_member_u64(w, "running", gateway_running(n->gateway));
    json_close_object(w);
}

/* Whose guest this node is, and who are its guests. */
static void put_guests(const struct node *n, struct json_writer *w)
{
    char text[256];
    uint64_t now_s = sched_wall_ms(n->sched) / 1000, waiting = 0, bound = 0;
    json_key(w, "guest_of");
    json_open_array(w);
    for (size_t i = 0; i < n->guest.count; i++) {
        const struct guest_invite *v = &n->guest.invites[i];
        json_open_object(w);
        json_member_str(w, "peer", peer_id_text(&v->invite.issuer, text, sizeof text));
        json_member_str(w, "name", v->invite.name);
        json_member_str(w, "state", guest_state_text(v, text, sizeof text));
        json_close_object(w);
    }
    json_close_array(w);
    LIST_FOREACH ((struct list *)&n->invites.book.entries, it) {
        const struct invite_entry *e = LIST_ENTRY(it, struct invite_entry, link);
        bool holds = !e->is_revoked && now_s < e->invite.expires_s;
        waiting += holds && peer_id_is_none(&e->guest);
        bound += holds && !peer_id_is_none(&e->guest);
    }
    json_key(w, "invites");
    json_open_object(w);
    json_member_u64(w, "guests", bound);
    json_member_u64(w, "not_used_yet", waiting);
    json_close_object(w);
    json_member_bool(w, "invite_only", n->access.is_closed || n->access.has_allow);
}

/* Which private network: its fingerprint, which tells nothing about the key. */
static void put_network(const struct node *n, struct json_writer *w)
{
    char print[PNET_FINGERPRINT_TEXT];
    if (n->has_network)
        json_member_str(w, "private_network", pnet_fingerprint(&n->network, print));
}

static void put_lan(const struct node *n, struct json_writer *w)
{
    char names[128];
    uint64_t messages;
    size_t peers;
    if (!lan_counts(&n->lan, &messages, &peers))
        return;
    json_key(w, "lan");
    json_open_object(w);
    json_member_str(w, "interfaces", lan_interfaces(&n->lan, names, sizeof names));
    json_member_u64(w, "messages", messages);
    json_member_u64(w, "peers", peers);
    json_close_object(w);
}

static int status_page(struct node *n, struct buf *out)
{
    struct json_writer w = json_write(out);
    struct dht_stats dht = dht_stats(n->kad.dht);
    json_open_object(&w);
    json_member_str(&w, "peer", n->peer);
    json_member_str(&w, "version", n->version);
    json_member_u64(&w, "uptime_s", (sched_now(n->sched) - n->started_us) / US_PER_S);
    json_member_str(&w, "node_id", n->cfg->node_id);
    json_member_str(&w, "api", n->api);
    json_member_str(&w, "data_dir", n->dir.path);
    put_network(n, &w);
    put_guests(n, &w);
    put_addresses(n, &w);
    if (n->has_relay)
        relay_policy_json(&n->relay, &w);
    put_nat(n, &w);
    json_member_u64(&w, "peers", p2p_host_counts(n->host).peers);
    json_member_bool(&w, "joined", join_is_in(&n->join));
    put_lan(n, &w);
    json_key(&w, "bootstrap");
    join_json(&n->join, &w);
    json_member_str(&w, "sharing",
                    n->guard.is_paused                                       ? "paused"
                    : guard_is_open(&n->guard, n->announce.minute_of_day(n)) ? "open"
                                                                             : "closed");
    put_models(n, &w);
    put_requests(n, &w);
    json_key(&w, "dht");
    json_open_object(&w);
    json_member_u64(&w, "peers", dht.table_peers);
    json_member_u64(&w, "provider_keys", dht.provider_keys);
    json_member_u64(&w, "own_keys", dht.own_keys);
    json_close_object(&w);
    json_close_object(&w);
    return w.err;
}

static uint64_t offers_of(const struct node *n, const struct peer_id *peer)
{
    uint64_t count = 0;
    for (const struct catalogue_offer *o = catalogue_next(&n->offers, NULL); o;
         o = catalogue_next(&n->offers, o))
        count += peer_id_eq(&o->offer.peer, peer);
    return count;
}

static void put_peer_models(struct node *n, struct json_writer *w, const struct peer_id *peer)
{
    json_key(w, "models");
    json_open_array(w);
    for (const struct catalogue_offer *o = catalogue_next(&n->offers, NULL); o;
         o = catalogue_next(&n->offers, o))
        if (peer_id_eq(&o->offer.peer, peer) && *o->offer.model)
            json_put_str(w, o->offer.model);
    json_close_array(w);
}

/* What the book of trust says, unless this node serves its guests only and this is none of them. */
static const char *verdict(const struct node *n, const struct peer_id *peer)
{
    struct principal who = {.kind = PRINCIPAL_PEER, .id_len = peer->len};
    memcpy(who.id, peer->b, peer->len);
    access_judge(&n->access, &who);
    if (who.kind != PRINCIPAL_STRANGER || trust_does_refuse(&n->trust, peer))
        return trust_verdict(&n->trust, peer);
    return trust_may_use(&n->trust, peer) ? "used, not served" : "listed";
}

/* How it was found, and what follows. */
static void put_trust(struct node *n, struct json_writer *w, const struct peer_id *peer)
{
    json_member_str(w, "found", trust_source(&n->trust, peer));
    json_member_str(w, "trust", verdict(n, peer));
    json_member_bool(w, "used",
                     trust_may_use(&n->trust, peer) && !trust_does_refuse(&n->trust, peer));
    put_peer_models(n, w, peer);
}

/* Heard of on the LAN, and not connected. */
static void put_unmet(struct node *n, struct json_writer *w, const struct mdns_peer *p)
{
    char text[512];
    json_open_object(w);
    json_member_str(w, "peer", peer_id_text(&p->id, text, sizeof text));
    json_key(w, "addresses");
    json_open_array(w);
    for (size_t i = 0; i < p->addr_count; i++)
        json_put_str(w, multiaddr_text(multiaddr_bytes(&p->addrs[i]), text, sizeof text));
    json_close_array(w);
    json_member_bool(w, "connected", false);
    put_trust(n, w, &p->id);
    json_close_object(w);
}

static void put_peer(struct node *n, struct json_writer *w, const struct p2p_peer_view *v)
{
    char text[512];
    json_open_object(w);
    json_member_str(w, "peer", peer_id_text(v->id, text, sizeof text));
    json_member_str(w, "remote", net_addr_format(&v->remote, text));
    json_key(w, "addresses");
    json_open_array(w);
    for (int i = 0; v->record && i < v->record->addr_count; i++)
        json_put_str(w, multiaddr_text(bytes_of(v->record->addrs[i].p, v->record->addrs[i].n), text,
                                       sizeof text));
    json_close_array(w);
    json_member_str(w, "agent", v->record ? v->record->agent : "");
    json_member_double(w, "rtt_ms", (double)v->rtt_us / 1000);
    json_member_u64(w, "connected_s", (sched_now(n->sched) - v->since_us) / US_PER_S);
    json_member_u64(w, "connections", v->conns);
    json_member_u64(w, "streams", v->streams);
    json_member_u64(w, "protocols", v->record ? v->record->protocol_count : 0);
    json_member_u64(w, "offers", offers_of(n, v->id));
    json_member_bool(w, "inbound", v->is_inbound);
    json_member_bool(w, "connected", true);
    json_member_bool(w, "relayed", v->is_relayed);
    json_member_bool(w, "limited", v->is_limited);
    put_trust(n, w, v->id);
    json_close_object(w);
}

static int peers_page(struct node *n, struct buf *out)
{
    struct json_writer w = json_write(out);
    struct p2p_peer_view v;
    void *cursor = NULL;
    json_open_object(&w);
    json_key(&w, "peers");
    json_open_array(&w);
    while (p2p_host_peers(n->host, &cursor, &v))
        put_peer(n, &w, &v);
    struct map_entry *at = NULL;
    for (const struct mdns_peer *p; (p = lan_next(&n->lan, &at));)
        if (!p2p_host_is_connected(n->host, &p->id))
            put_unmet(n, &w, p);
    json_close_array(&w);
    json_close_object(&w);
    return w.err;
}

static int network_page(const struct node *n, struct buf *out)
{
    bool comma = false;
    int err = buf_append_str(out, "{\"offers\":[");
    for (const struct catalogue_offer *o = catalogue_next(&n->offers, NULL); o && !err;
         o = catalogue_next(&n->offers, o)) {
        if (comma)
            (void)buf_append_byte(out, ',');
        comma = true;
        err = offer_json(&o->offer, out);
    }
    return err ? err : buf_append_str(out, "]}");
}

int node_render(void *node, enum gateway_page page, const struct principal *who, struct buf *out)
{
    struct node *n = node;
    switch (page) {
    case GATEWAY_PAGE_STATUS:
        return status_page(n, out);
    case GATEWAY_PAGE_PEERS:
        return peers_page(n, out);
    case GATEWAY_PAGE_OFFERS:
        return announce_json(&n->announce, who, out);
    case GATEWAY_PAGE_OFFERS_NETWORK:
        return network_page(n, out);
    case GATEWAY_PAGE_METRICS:
        return node_metrics(n, out);
    case GATEWAY_PAGE_FEED:
        return announce_snapshot(&n->announce, who, out);
    }
    return E_BUG;
}

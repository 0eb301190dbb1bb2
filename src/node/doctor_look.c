// SPDX-License-Identifier: MIT
/* See doctor_look.h; and the single checks of doctor.h. */
#include "node/doctor_look.h"

#include "base/mem.h"
#include "node/doctor.h"
#include "node/doctor_reach.h"
#include "node/node_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Behind a NAT AutoNAT needs ten: the dials back of one server, asked twice, have to fail. */
#define YOUNG_US (12 * US_PER_S)
enum { SKEW_WARN_MS = 5000, SKEW_FAIL_MS = 120000, INTERFACES_MAX = 32 };

/* --- single checks --- */

static bool is_far_off(const struct hello *h)
{
    return h->skew_ms <= -SKEW_FAIL_MS || h->skew_ms >= SKEW_FAIL_MS;
}

/* `is_ours`: it may be this clock that is wrong. */
static void add_skew(struct doctor_report *r, const char *name, const struct hello *h, bool is_ours)
{
    char who[16];
    long long ms = h->skew_ms < 0 ? -h->skew_ms : h->skew_ms;
    const char *way = h->skew_ms > 0 ? "behind" : "ahead of";
    peer_id_short(&h->peer, who);
    if (ms < SKEW_WARN_MS)
        doctor_add(r, DOCTOR_OK, name, NULL, "agrees with that of %s", who);
    else
        doctor_add(r, is_far_off(h) && is_ours ? DOCTOR_FAIL : DOCTOR_WARN, name,
                   is_ours
                       ? "set the one that is wrong (timedatectl set-ntp true): offers and "
                         "invites expire by it"
                       : "nothing must be done here: its owner should set its clock, for others "
                         "disagree with it too",
                   "this clock is %lld s %s that of %s", ms / 1000, way, who);
}

void doctor_clock_skew(struct doctor_report *r, const char *name, const struct hello *h)
{
    add_skew(r, name, h, true);
}

void doctor_clocks(struct doctor_report *r, const struct hello *v, size_t count)
{
    size_t told = 0, behind = 0, ahead = 0;
    char who[16];
    for (size_t i = 0; i < count; i++) {
        told += !v[i].err;
        behind += !v[i].err && is_far_off(&v[i]) && v[i].skew_ms > 0;
        ahead += !v[i].err && is_far_off(&v[i]) && v[i].skew_ms < 0;
    }
    for (size_t i = 0; i < count; i++) {
        size_t agree = v[i].skew_ms > 0 ? behind : ahead;
        if (v[i].err)
            doctor_add(r, DOCTOR_SKIP, "clock", NULL, "%s did not tell its time: %s",
                       peer_id_short(&v[i].peer, who), err_text(v[i].err));
        else
            add_skew(r, "clock", &v[i], !is_far_off(&v[i]) || 2 * agree > told);
    }
}

/* "conduit/0.1" of "conduit/0.1.0": what must agree. */
static size_t series_len(const char *agent)
{
    const char *dot = strchr(agent, '.');
    dot = dot ? strchr(dot + 1, '.') : NULL;
    return dot ? (size_t)(dot - agent) : strlen(agent);
}

void doctor_version(struct doctor_report *r, const char *name, const struct node *n,
                    const struct known_peer *peer)
{
    char who[16];
    bool is_conduit = strncmp(peer->version, "/conduit/", 9) == 0;
    size_t series = series_len(n->agent);
    peer_id_short(&peer->id, who);
    if (!is_conduit) {
        doctor_add(r, DOCTOR_OK, name, NULL,
                   "%s is %s (%s), no conduit: it can relay and be asked for peers, not for models",
                   who, peer->agent, peer->version);
    } else if (strcmp(peer->version, "/conduit/1.0.0") != 0) {
        doctor_add(r, DOCTOR_FAIL, name, "update the older one of the two",
                   "%s speaks %s, this node /conduit/1.0.0", who, peer->version);
    } else if (!known_peer_has_protocol(peer, HTTP_PROTOCOL)) {
        doctor_add(r, DOCTOR_WARN, name, "update it", "%s does not speak " HTTP_PROTOCOL, who);
    } else if (strncmp(peer->agent, n->agent, series) != 0 || peer->agent[series] == '/') {
        doctor_add(r, DOCTOR_WARN, name, "update the older one of the two",
                   "%s is %s, this node %s", who, peer->agent, n->agent);
    } else {
        doctor_add(r, DOCTOR_OK, name, NULL, "%s is %s", who, peer->agent);
    }
}

/* --- how it is reached --- */

static void look_interfaces(struct doctor_report *r, struct node *n)
{
    struct loop_interface v[INTERFACES_MAX];
    doctor_interfaces(r, v, loop_interface_list(n->loop, v, INTERFACES_MAX));
}

/* What is sent to the group comes back to us as well: silence is a firewall's. */
static void look_lan(struct doctor_report *r, const struct node *n)
{
    char names[128];
    uint64_t messages;
    size_t peers;
    if (!lan_counts(&n->lan, &messages, &peers))
        doctor_add(r, DOCTOR_SKIP, "lan", NULL, "mDNS is off");
    else if (!*lan_interfaces(&n->lan, names, sizeof names))
        doctor_add(r, DOCTOR_WARN, "lan", "name other nodes with --bootstrap",
                   "no interface carries multicast: nodes of the LAN are not found by themselves");
    else if (messages == 0)
        doctor_add(
            r, DOCTOR_WARN, "lan",
            "let UDP port 5353 in (ufw allow 5353/udp), or name other nodes with --bootstrap",
            "not even our own questions are heard on %s: a firewall drops mDNS", names);
    else
        doctor_add(r, DOCTOR_OK, "lan", NULL, "%s: %zu nodes found there by mDNS", names, peers);
}

static void look_network(struct doctor_report *r, struct node *n)
{
    struct p2p_counts c = p2p_host_counts(n->host);
    struct dht_stats d = dht_stats(n->kad.dht);
    struct join_view v;
    bool has_bootstrap = join_at(&n->join, 0, &v);
    if (c.peers)
        doctor_add(r, DOCTOR_OK, "network", NULL, "%llu peers connected, %zu in the DHT's table",
                   (unsigned long long)c.peers, d.table_peers);
    else
        doctor_add(r, has_bootstrap ? DOCTOR_FAIL : DOCTOR_WARN, "network",
                   has_bootstrap ? "see the bootstrap lines"
                                 : "join one with --bootstrap ADDRESS, or give others this node's "
                                   "address",
                   "no peer is connected");
}

/* As far as it is known. */
static struct doctor_reach reach_of(struct node *n)
{
    struct doctor_reach f = {.reach = p2p_host_reach(n->host), .nat = p2p_host_nat(n->host)};
    struct p2p_peer_view v;
    struct relay_held_view place;
    enum autonat_result result;
    struct bytes addr;
    void *cursor = NULL;
    while (p2p_host_peers(n->host, &cursor, &v)) {
        f.peers++;
        f.outside +=
            !v.is_relayed && !net_addr_is_loopback(&v.remote) && !net_addr_is_private(&v.remote);
    }
    f.was_tried = autonat_host_last(n->autonat, &result, &addr) && result == AUTONAT_NO;
    f.known = n->has_relay ? relay_client_known(n->relay.client) : 0;
    while (n->has_relay && relay_client_look(n->relay.client, f.held, &place))
        f.held++;
    return f;
}

static void look_psk(struct doctor_report *r, const struct node *n)
{
    char print[PNET_FINGERPRINT_TEXT];
    if (n->has_network)
        doctor_add(r, DOCTOR_OK, "network key", NULL, "private network %s",
                   pnet_fingerprint(&n->network, print));
}

/* The invites we hold: a guest that is refused asks in vain. */
static void look_invites(struct doctor_report *r, const struct node *n)
{
    for (size_t i = 0; i < n->guest.count; i++) {
        const struct guest_invite *v = &n->guest.invites[i];
        char who[16];
        peer_id_short(&v->invite.issuer, who);
        if (v->state == GUEST_REFUSED)
            doctor_add(r, DOCTOR_FAIL, "invite", "ask the owner there for a new one", "%s: %s", who,
                       *v->why ? v->why : "refused");
        else if (v->state == GUEST_SHOWN)
            doctor_add(r, DOCTOR_OK, "invite", NULL, "%s: accepted", who);
        else
            doctor_add(r, DOCTOR_WARN, "invite", "is it up? conduit doctor PEER tries each address",
                       "%s: not connected yet", who);
    }
}

static void look_versions(struct doctor_report *r, struct node *n)
{
    struct p2p_peer_view v;
    void *cursor = NULL;
    struct doctor_report each = {0};
    unsigned same = 0;
    while (p2p_host_peers(n->host, &cursor, &v)) {
        each.count = 0;
        if (!v.record || !v.record->is_identified)
            continue;
        doctor_version(&each, "version", n, v.record);
        if (each.v[0].level == DOCTOR_OK)
            same++;
        else
            doctor_add(r, each.v[0].level == DOCTOR_FAIL ? DOCTOR_WARN : each.v[0].level, "version",
                       each.v[0].remedy, "%s", each.v[0].text);
    }
    if (same)
        doctor_add(r, DOCTOR_OK, "version", NULL, "%s; fits %u peers", n->agent, same);
}

/* --- what it serves --- */

static void look_engine(struct doctor_report *r, struct node *n)
{
    struct engine_unit_view u;
    char path[200];
    for (size_t i = 0; engine_unit_at(n->engine, i, &u); i++) {
        const char *name = u.kind == ENGINE_LLAMA ? "model" : "backend";
        if (u.is_ready && u.model_count == 0) {
            doctor_add(r, DOCTOR_WARN, name, "load one there", "%s answers, but has no model",
                       u.name);
        } else if (u.is_ready) {
            doctor_add(r, DOCTOR_OK, name, NULL, "%s: %s, %zu models", u.name, u.state,
                       u.model_count);
        } else if (u.is_loading) {
            doctor_add(r, DOCTOR_WARN, name, "wait, and ask again", "%s: %s", u.name, u.state);
        } else if (u.kind == ENGINE_LLAMA) {
            snprintf(path, sizeof path, "what it said is in engine-%s.log in the data directory",
                     u.name);
            doctor_add(r, DOCTOR_FAIL, name, path, "%s: %s", u.name, u.state);
        } else {
            doctor_add(
                r, DOCTOR_FAIL, name,
                "start that server, and check the URL and its key (CONDUIT_BACKEND_<NAME>_KEY)",
                "%s: %s", u.name, u.state);
        }
    }
}

static void look_sharing(struct doctor_report *r, struct node *n)
{
    size_t shared = 0, count = engine_model_count(n->engine);
    for (size_t i = 0; i < count; i++)
        shared += announce_is_shared(&n->announce, engine_model_at(n->engine, i));
    if (count == 0)
        doctor_add(r, DOCTOR_OK, "sharing", NULL,
                   "nothing is served; this node asks and helps others "
                   "find each other");
    else if (n->guard.is_paused)
        doctor_add(r, DOCTOR_WARN, "sharing", "conduit resume", "paused");
    else if (!guard_is_open(&n->guard, n->announce.minute_of_day(n)))
        doctor_add(r, DOCTOR_WARN, "sharing", "see --schedule-start and --schedule-end",
                   "closed at this hour by the schedule");
    else if (shared == 0)
        doctor_add(r, DOCTOR_WARN, "sharing", "name what others may use with --share",
                   "%zu models are yours alone", count);
    else
        doctor_add(r, DOCTOR_OK, "sharing", NULL, "%zu of %zu models", shared, count);
}

bool doctor_look_is_early(struct node *n)
{
    struct join_view v;
    for (size_t i = 0; join_at(&n->join, i, &v); i++) {
        const struct known_peer *rec = v.is_connected ? p2p_host_record(n->host, v.peer) : NULL;
        if (!v.was_tried || (rec && !rec->is_identified))
            return true;
    }
    if (sched_now(n->sched) - n->started_us >= YOUNG_US)
        return false;
    struct doctor_reach reach = reach_of(n);
    return doctor_reach_is_awaited(&reach);
}

void doctor_look(struct doctor_report *r, struct node *n)
{
    struct doctor_reach reach = reach_of(n);
    doctor_add(r, DOCTOR_OK, "node", NULL, "%s, up for %llu s", n->peer,
               (unsigned long long)((sched_now(n->sched) - n->started_us) / US_PER_S));
    look_interfaces(r, n);
    look_lan(r, n);
    look_psk(r, n);
    look_invites(r, n);
    look_network(r, n);
    doctor_firewall(r, &reach);
    doctor_nat(r, &reach);
    doctor_relays(r, &reach);
    look_versions(r, n);
    look_engine(r, n);
    look_sharing(r, n);
}

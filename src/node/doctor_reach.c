// SPDX-License-Identifier: MIT
/* See doctor_reach.h. */
#include "node/doctor_reach.h"

#include "node/relay_policy.h"

#include <stdio.h>
#include <string.h>

/* --- interfaces --- */

const char *doctor_interface_kind(const char *name)
{
    static const struct {
        const char *prefix, *kind;
    } known[] = {
        {"docker", "Docker's"},
        {"br-", "Docker's"},
        {"veth", "a container's"},
        {"cni", "a container's"},
        {"podman", "Podman's"},
        {"virbr", "a virtual machine's"},
        {"vmnet", "a virtual machine's"},
        {"tun", "a VPN's"},
        {"tap", "a VPN's"},
        {"wg", "a VPN's"},
        {"tailscale", "a VPN's"},
        {"utun", "a VPN's"},
        {"ppp", "a VPN's"},
        {"zt", "a VPN's"},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strncmp(name, known[i].prefix, strlen(known[i].prefix)) == 0)
            return known[i].kind;
    return "";
}

/* Without the port; out. */
static const char *ip_text(const struct net_addr *a, char out[static NET_ADDR_TEXT])
{
    struct net_addr copy = *a;
    copy.port = 0;
    net_addr_format(&copy, out);
    char *end = strrchr(out, ':');
    if (end)
        *end = 0;
    if (out[0] == '[') { /* "[fd00::2]" */
        memmove(out, out + 1, strlen(out));
        out[strcspn(out, "]")] = 0;
    }
    return out;
}

void doctor_interfaces(struct doctor_report *r, const struct loop_interface *v, size_t count)
{
    char real[200] = "", other[200] = "", ip[NET_ADDR_TEXT];
    size_t real_n = 0, other_n = 0;
    for (size_t i = 0; i < count; i++) {
        const struct loop_interface *f = &v[i];
        if (f->is_loopback || !f->is_up || f->addr.scope_id)
            continue;
        const char *kind = doctor_interface_kind(f->name);
        char *out = *kind ? other : real;
        size_t *len = *kind ? &other_n : &real_n;
        (void)ip_text(&f->addr, ip);
        if (*len < sizeof real)
            *len += (size_t)snprintf(out + *len, sizeof real - *len, "%s%s %s%s%s",
                                     *len ? ", " : "", f->name, ip, *kind ? " is " : "", kind);
    }
    if (real_n)
        doctor_add(r, DOCTOR_OK, "interfaces", NULL, "%s%s%s", real, other_n ? "; beside it " : "",
                   other);
    else if (other_n)
        doctor_add(r, DOCTOR_WARN, "interfaces",
                   "connect this machine to a network, or name the address with --p2p-host",
                   "only virtual ones: %s", other);
    else
        doctor_add(r, DOCTOR_WARN, "interfaces", "connect this machine to a network",
                   "none but loopback: nobody outside of this machine can be reached");
}

/* --- from outside --- */

/* Why it is not known yet what only peers can tell. */
static const char *why_unknown(const struct doctor_reach *f, char *out, size_t size)
{
    if (!f->peers)
        snprintf(out, size, "nobody is connected who could tell");
    else if (!f->outside)
        snprintf(out, size, "who is connected (%zu) is of its own network and cannot tell",
                 f->peers);
    else
        snprintf(out, size, "none of those connected (%zu) has told yet", f->peers);
    return out;
}

static const char *when_to_ask(const struct doctor_reach *f)
{
    return f->outside ? "ask again in a minute" : NULL;
}

bool doctor_reach_is_awaited(const struct doctor_reach *f)
{
    return f->outside &&
           (f->reach == P2P_REACH_UNKNOWN || (f->reach == P2P_REACH_PRIVATE && !f->held));
}

void doctor_firewall(struct doctor_report *r, const struct doctor_reach *f)
{
    char why[96];
    switch (f->reach) {
    case P2P_REACH_PUBLIC:
        doctor_add(r, DOCTOR_OK, "firewall", NULL, "strangers can dial this node");
        return;
    case P2P_REACH_PRIVATE:
        doctor_add(r, DOCTOR_WARN, "firewall",
                   "nothing must be done: relays are used; faster is forwarding the TCP port of "
                   "--p2p-port to this machine",
                   "strangers cannot dial this node: it is behind a NAT or a firewall");
        return;
    case P2P_REACH_LIKELY:
        doctor_add(
            r, DOCTOR_OK, "firewall", NULL,
            "nodes that this one had dialled can dial it; no stranger was there to try, so relays "
            "are kept as well");
        return;
    case P2P_REACH_UNKNOWN:
        if (f->was_tried)
            snprintf(why, sizeof why, "one of those connected (%zu) tried, and could not",
                     f->peers);
        else
            (void)why_unknown(f, why, sizeof why);
        doctor_add(r, DOCTOR_SKIP, "firewall", when_to_ask(f),
                   "not known yet whether strangers can dial this node: %s", why);
        return;
    }
}

/* Which holes can be punched depends on it. */
void doctor_nat(struct doctor_report *r, const struct doctor_reach *f)
{
    char why[96];
    switch (f->nat) {
    case P2P_NAT_UNKNOWN:
        doctor_add(r, DOCTOR_SKIP, "nat", when_to_ask(f), "not known yet whether there is one: %s",
                   why_unknown(f, why, sizeof why));
        return;
    case P2P_NAT_NONE:
        doctor_add(r, DOCTOR_OK, "nat", NULL, "none: others see this node at its own address");
        return;
    case P2P_NAT_SOME:
        doctor_add(r, DOCTOR_OK, "nat", NULL, "there is one; of which kind is not known yet");
        return;
    case P2P_NAT_ENDPOINT_INDEPENDENT:
        doctor_add(r, DOCTOR_OK, "nat", NULL,
                   "endpoint-independent: a way through it to most others can be punched");
        return;
    case P2P_NAT_ENDPOINT_DEPENDENT:
        doctor_add(
            r, DOCTOR_WARN, "nat",
            "forwarding the TCP port of --p2p-port to this machine makes direct ways possible",
            "endpoint-dependent (symmetric): peers behind a NAT are reached over relays only");
        return;
    }
}

/* Behind a NAT a node lives by its places at relays. */
void doctor_relays(struct doctor_report *r, const struct doctor_reach *f)
{
    if (f->reach == P2P_REACH_UNKNOWN)
        doctor_add(r, DOCTOR_SKIP, "relay", NULL,
                   "not known yet whether one is needed, see firewall; %zu places held, %zu relays "
                   "are known",
                   f->held, f->known);
    else if (f->reach == P2P_REACH_LIKELY)
        doctor_add(r, DOCTOR_OK, "relay", NULL, "%zu places held, for strangers who cannot dial it",
                   f->held);
    else if (f->reach == P2P_REACH_PUBLIC)
        doctor_add(r, DOCTOR_OK, "relay", NULL, "not needed; %zu are known", f->known);
    else if (f->held >= RELAY_PLACES)
        doctor_add(r, DOCTOR_OK, "relay", NULL, "%zu places held: others reach this node over them",
                   f->held);
    else if (f->held)
        doctor_add(r, DOCTOR_WARN, "relay", "start a second node on a public address",
                   "one place held: this node is out of reach when that relay stops");
    else
        doctor_add(
            r, DOCTOR_FAIL, "relay",
            "forward the TCP port of --p2p-port to this machine, or start a node on a public "
            "address and name it with --bootstrap",
            "no place at a relay, so nobody can reach this node; %zu relays are known", f->known);
}

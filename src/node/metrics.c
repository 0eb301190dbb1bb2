// SPDX-License-Identifier: MIT
/* The node's part of /metrics, in Prometheus' text format: names in base units, counters end in _total, one
 * HELP and TYPE per name, and labels only where their values are few (a peer id is none). The gateway's own
 * counters stand before it. */
#include "node/node_impl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct writer {
    struct buf *out;
    int err;
    const char *name;
};

static void begin(struct writer *w, const char *name, const char *type, const char *help)
{
    w->name = name;
    if (!w->err)
        w->err = buf_printf(w->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* `labels`: "a=\"b\",…" without braces, or NULL. */
static void value(struct writer *w, const char *labels, uint64_t v)
{
    if (w->err)
        return;
    if (labels)
        w->err = buf_printf(w->out, "%s{%s} %llu\n", w->name, labels, (unsigned long long)v);
    else
        w->err = buf_printf(w->out, "%s %llu\n", w->name, (unsigned long long)v);
}

static void gauge(struct writer *w, const char *name, const char *help, uint64_t v)
{
    begin(w, name, "gauge", help);
    value(w, NULL, v);
}

static void counter(struct writer *w, const char *name, const char *help, uint64_t v)
{
    begin(w, name, "counter", help);
    value(w, NULL, v);
}

static void put_p2p(struct writer *w, struct node *n)
{
    struct p2p_counts p = p2p_host_counts(n->host);
    gauge(w, "conduit_peers", "Connected peers.", p.peers);
    gauge(w, "conduit_p2p_connections", "Connections to proved peers.", p.conns);
    gauge(w, "conduit_p2p_connections_pending", "Inbound connections not yet proved.",
          p.conns_pending);
    begin(w, "conduit_p2p_streams_opened_total", "counter", "Streams since the start.");
    value(w, "direction=\"in\"", p.streams_in);
    value(w, "direction=\"out\"", p.streams_out);
    counter(w, "conduit_p2p_received_bytes_total", "Bytes from peers, encrypted.", p.bytes_in);
    counter(w, "conduit_p2p_sent_bytes_total", "Bytes to peers, encrypted.", p.bytes_out);
    counter(w, "conduit_p2p_accepted_total", "Inbound connections taken.", p.accepted);
    counter(w, "conduit_p2p_refused_total", "Inbound connections over a limit.", p.refused_limit);
    counter(w, "conduit_p2p_upgrades_failed_total", "Connections that proved no identity.",
            p.upgrade_failed);
    counter(w, "conduit_p2p_trimmed_total", "Idle connections closed to make room.", p.trimmed);
    counter(w, "conduit_p2p_dials_total", "Addresses dialled.", p.dials);
    counter(w, "conduit_p2p_dials_failed_total", "Dials that failed.", p.dials_failed);
}

static void put_dht(struct writer *w, struct node *n)
{
    struct dht_stats d = dht_stats(n->kad.dht);
    gauge(w, "conduit_dht_peers", "Peers in the routing table.", d.table_peers);
    gauge(w, "conduit_dht_lookups", "Lookups under way.", d.queries);
    gauge(w, "conduit_dht_provider_keys", "Keys that others provide and we keep.", d.provider_keys);
    gauge(w, "conduit_dht_provider_records", "Provider records kept.", d.provider_records);
    gauge(w, "conduit_dht_values", "Signed values kept for others.", d.values);
    gauge(w, "conduit_dht_own_keys", "Keys that we announce.", d.own_keys);
    counter(w, "conduit_dht_requests_sent_total", "Requests to other nodes.", d.rpcs_sent);
    counter(w, "conduit_dht_requests_failed_total", "… that were not answered.", d.rpcs_failed);
    counter(w, "conduit_dht_requests_served_total", "Requests of others answered.", d.served);
    counter(w, "conduit_dht_requests_refused_total", "Requests of others over a limit.", d.refused);
}

static void put_offers(struct writer *w, struct node *n)
{
    uint64_t own = 0, others = 0;
    for (const struct catalogue_offer *o = catalogue_next(&n->offers, NULL); o;
         o = catalogue_next(&n->offers, o))
        *(o->peer->is_own ? &own : &others) += 1;
    begin(w, "conduit_offers", "gauge", "Offers known.");
    value(w, "whose=\"own\"", own);
    value(w, "whose=\"others\"", others);
    gauge(w, "conduit_http_connections", "Local HTTP connections.",
          http_server_conn_count(n->local_server));
    begin(w, "conduit_requests_finished_total", "counter", "Inference requests by outcome.");
    const struct gateway_counters *c = gateway_counters(n->gateway);
    value(w, "outcome=\"ok\"", c->ok);
    value(w, "outcome=\"error\"", c->errors);
    value(w, "outcome=\"cancelled\"", c->cancelled);
}

enum limit_table { LIMIT_USED, LIMIT_IS, LIMIT_REFUSED };

static bool is_protocol(const struct resource_row *r)
{
    return strcmp(r->scope, resource_scope_text(RESOURCE_PROTOCOL)) == 0;
}

/* One row in one of the tables. Protocols are several values; what is the fullest of many (a peer, an
 * address) is one, without its name. Refusals are counted by scope: of the protocols' rows two stand for all. */
static void put_limit(struct writer *w, enum limit_table table, const struct resource_row *r)
{
    char labels[2 * RESOURCE_NAME];
    bool names = is_protocol(r) && table != LIMIT_REFUSED;
    if ((table == LIMIT_IS && r->limit == RESOURCE_NO_LIMIT) ||
        (table == LIMIT_USED && r->used == RESOURCE_NOT_COUNTED))
        return;
    snprintf(labels, sizeof labels, "scope=\"%s\",resource=\"%s\"%s%s%s", r->scope, r->resource,
             names ? ",protocol=\"" : "", names ? r->name : "", names ? "\"" : "");
    value(w, labels, table == LIMIT_USED ? r->used : table == LIMIT_IS ? r->limit : r->refused);
}

static void put_limits(struct writer *w, struct node *n)
{
    static const struct {
        const char *name, *type, *help;
    } tables[] = {
        [LIMIT_USED] =
            {"conduit_limit_used", "gauge",
             "What is used of a limit; of peers, addresses and connections the fullest."},
        [LIMIT_IS] = {"conduit_limit", "gauge", "The limit."},
        [LIMIT_REFUSED] = {"conduit_limit_refused_total", "counter", "How often it was reached."},
    };
    struct resource_row rows[NODE_LIMITS];
    size_t count = node_limits(n, rows);
    for (int table = LIMIT_USED; table <= LIMIT_REFUSED; table++) {
        unsigned protocols = 0;
        begin(w, tables[table].name, tables[table].type, tables[table].help);
        for (size_t i = 0; i < count; i++)
            if (table != LIMIT_REFUSED || !is_protocol(&rows[i]) || protocols++ < 2)
                put_limit(w, (enum limit_table)table, &rows[i]);
    }
}

/* As the client libraries of Prometheus name it; where there is no /proc it is left out. */
static void put_process(struct writer *w, struct node *n)
{
    unsigned long long pages = 0, rss = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%llu %llu", &pages, &rss) == 2)
        gauge(w, "process_resident_memory_bytes", "Resident memory.",
              rss * (unsigned long long)sysconf(_SC_PAGESIZE));
    if (f)
        fclose(f);
    gauge(w, "conduit_uptime_seconds", "Since the node started.",
          (sched_now(n->sched) - n->started_us) / US_PER_S);
    begin(w, "conduit_build_info", "gauge", "The version that runs.");
    char labels[80];
    snprintf(labels, sizeof labels, "version=\"%.60s\"", n->version);
    value(w, labels, 1);
}

int node_metrics(struct node *n, struct buf *out)
{
    struct writer w = {.out = out};
    put_p2p(&w, n);
    put_dht(&w, n);
    put_offers(&w, n);
    put_limits(&w, n);
    put_process(&w, n);
    return w.err;
}

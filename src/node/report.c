// SPDX-License-Identifier: MIT
/* What the node says of itself, as tables and lines. */
#include "node/report.h"

#include "base/limits.h"
#include "node/chat_text.h"
#include "node/report_impl.h"
#include "node/text_table.h"

#include <stdio.h>

const char *report_duration(uint64_t s, char out[static 32])
{
    unsigned long long n = s;
    if (n < 60)
        snprintf(out, 32, "%llu s", n);
    else if (n < 3600)
        snprintf(out, 32, "%llu min", n / 60);
    else if (n < 86400)
        snprintf(out, 32, "%llu h %llu min", n / 3600, n / 60 % 60);
    else
        snprintf(out, 32, "%llu d %llu h", n / 86400, n / 3600 % 24);
    return out;
}

struct json_doc *report_document(struct bytes text, const char *list)
{
    struct json_doc *doc;
    if (json_parse(text, LIMIT_CLI_DOCUMENT, &doc, NULL) != 0)
        return NULL;
    const struct json *root = json_root(doc);
    if (json_kind_of(root) == JSON_OBJECT &&
        (!list || json_kind_of(json_get(root, list)) == JSON_ARRAY))
        return doc;
    json_free(doc);
    return NULL;
}

uint64_t report_number(const struct json *o, const char *key)
{
    double v = json_number(json_get(o, key), 0);
    return v > 0 && v < 1e15 ? (uint64_t)v : 0;
}

/* A number as a cell; empty when absent, or when 0 means "not known". */
static void add_number(struct text_table *t, const struct json *o, const char *key, bool zero)
{
    bool is_there = json_kind_of(json_get(o, key)) == JSON_NUMBER;
    if (is_there && (zero || report_number(o, key) > 0))
        text_table_addf(t, "%llu", (unsigned long long)report_number(o, key));
    else
        text_table_add(t, (struct bytes){0});
}

static void add_strings(struct text_table *t, const struct json *array)
{
    struct buf b;
    buf_init(&b, LIMIT_CLI_CELL);
    for (struct json_iter it = json_iter(array); json_next(&it);) {
        if (buf_len(&b) > 0)
            (void)buf_append_byte(&b, ' ');
        (void)buf_append_bytes(&b, json_str(it.value));
    }
    text_table_add(t, buf_view(&b));
    buf_fini(&b);
}

static void print_and_fini(struct text_table *t, struct buf *out)
{
    text_table_print(t, out);
    text_table_fini(t);
}

/* Who serves it: this node, others, or both. */
static const char *who_serves(const struct json *c)
{
    if (!c)
        return "";
    bool own = json_bool(json_get(c, "own"), false);
    bool others = report_number(c, "providers") > (own ? 1u : 0u);
    return own ? (others ? "own and peers" : "own") : "peers";
}

int report_models(struct bytes text, struct buf *out)
{
    struct json_doc *doc = report_document(text, "data");
    if (!doc)
        return E_MALFORMED;
    struct text_table t;
    text_table_init(&t, "NAME,>PROVIDERS,>CONTEXT,QUANT,WHO,ABILITIES");
    for (struct json_iter it = json_iter(json_get(json_root(doc), "data")); json_next(&it);) {
        const struct json *c = json_get(it.value, "conduit");
        text_table_add(&t, json_get_str(it.value, "id"));
        add_number(&t, c, "providers", true);
        add_number(&t, c, "context", false);
        text_table_add(&t, json_get_str(c, "quantization"));
        text_table_add(&t, c ? bytes_str(who_serves(c)) : json_get_str(it.value, "owned_by"));
        add_strings(&t, json_get(c, "abilities"));
    }
    print_and_fini(&t, out);
    json_free(doc);
    return 0;
}

static void add_peer(struct text_table *t, const struct json *p)
{
    char since[32];
    const struct json *inbound = json_get(p, "inbound");
    struct bytes address = json_str(json_at(json_get(p, "addresses"), 0));
    double rtt_ms = json_number(json_get(p, "rtt_ms"), 0);
    text_table_add(t, json_get_str(p, "peer"));
    text_table_add(t, address.n > 0 ? address : json_get_str(p, "remote"));
    if (rtt_ms > 0) /* 0: not measured yet */
        text_table_addf(t, "%.1f ms", rtt_ms);
    else
        text_table_add(t, (struct bytes){0});
    text_table_add(t, json_get_str(p, "found"));
    text_table_add(t, json_get_str(p, "trust"));
    add_strings(t, json_get(p, "models"));
    if (json_kind_of(json_get(p, "connected_s")) == JSON_NUMBER)
        text_table_add(t, bytes_str(report_duration(report_number(p, "connected_s"), since)));
    else
        text_table_add(t, bytes_str(json_bool(json_get(p, "connected"), true) ? "" : "no"));
    const char *who = !inbound ? "" : json_bool(inbound, false) ? "they" : "we";
    bool is_relayed = json_bool(json_get(p, "relayed"), false);
    text_table_addf(t, "%s%s", who, is_relayed ? ", by relay" : "");
    text_table_add(t, json_get_str(p, "agent"));
}

int report_peers(struct bytes text, struct buf *out)
{
    struct json_doc *doc = report_document(text, "peers");
    if (!doc)
        return E_MALFORMED;
    struct text_table t;
    text_table_init(&t, "PEER,ADDRESS,>RTT,FOUND,TRUST,MODELS,>CONNECTED,DIALLED,AGENT");
    for (struct json_iter it = json_iter(json_get(json_root(doc), "peers")); json_next(&it);)
        add_peer(&t, it.value);
    print_and_fini(&t, out);
    json_free(doc);
    return 0;
}

/* "  uptime     3 min": a line of the status; nothing when there is nothing to say. */
static void line(struct text_table *t, const char *name, struct bytes value)
{
    if (value.n == 0)
        return;
    text_table_add(t, bytes_str(name));
    text_table_add(t, value);
}

/* "from_peers" as words. */
static void append_words(struct buf *b, struct bytes key)
{
    for (size_t i = 0; i < key.n; i++)
        (void)buf_append_byte(b, key.p[i] == '_' ? ' ' : key.p[i]);
}

/* The members of an object that are numbers or strings, as "served 12, failed 0". */
static void line_object(struct text_table *t, const char *name, const struct json *o)
{
    struct buf b;
    buf_init(&b, LIMIT_CLI_CELL);
    for (struct json_iter it = json_iter(o); json_next(&it);) {
        struct bytes v = json_number_text(it.value);
        if (v.n == 0)
            v = json_str(it.value);
        if (v.n == 0)
            continue;
        if (buf_len(&b) > 0)
            (void)buf_append_str(&b, ", ");
        append_words(&b, it.key);
        (void)buf_append_byte(&b, ' ');
        (void)buf_append_bytes(&b, v);
    }
    line(t, name, buf_view(&b));
    buf_fini(&b);
}

/* "192.0.2.1:8000: connected", "…: failed: connection refused" */
static void line_bootstrap(struct text_table *t, const char *name, const struct json *o)
{
    struct buf b;
    struct bytes why = json_get_str(o, "why");
    buf_init(&b, LIMIT_CLI_CELL);
    (void)buf_append_bytes(&b, json_get_str(o, "address"));
    (void)buf_append_str(&b, ": ");
    (void)buf_append_bytes(&b, json_get_str(o, "state"));
    if (why.n)
        (void)buf_append_str(&b, ": ");
    (void)buf_append_bytes(&b, why);
    line(t, name, buf_view(&b));
    buf_fini(&b);
}

/* "AnnsBox (…7q): accepted" */
static void line_guest_of(struct text_table *t, const char *name, const struct json *g)
{
    struct buf b;
    struct bytes label = json_get_str(g, "name"), peer = json_get_str(g, "peer");
    buf_init(&b, LIMIT_CLI_CELL);
    if (label.n)
        (void)buf_printf(&b, "%.*s, ", BYTES_FMT(label));
    (void)buf_printf(&b, "%.*s: %.*s", BYTES_FMT(peer), BYTES_FMT(json_get_str(g, "state")));
    line(t, name, buf_view(&b));
    buf_fini(&b);
}

static struct bytes reach_words(struct bytes reach)
{
    return bytes_eq_str(reach, "public")    ? BYTES_LIT("reach us")
           : bytes_eq_str(reach, "private") ? BYTES_LIT("do not reach us")
           : bytes_eq_str(reach, "likely")  ? BYTES_LIT("likely reach us, relays help")
                                            : (struct bytes){0};
}

/* What we carry for others, and who carries for us. */
static void line_relay(struct text_table *t, const struct json *relay)
{
    struct buf b;
    struct bytes serving = json_get_str(relay, "serving");
    const struct json *places = json_get(relay, "places");
    buf_init(&b, LIMIT_CLI_CELL);
    if (serving.n && !bytes_eq_str(serving, "nobody"))
        (void)buf_printf(&b, "%.*s: %llu peers have a place, %llu streams now, %llu bytes so far",
                         BYTES_FMT(serving),
                         (unsigned long long)report_number(relay, "reservations"),
                         (unsigned long long)report_number(relay, "circuits"),
                         (unsigned long long)report_number(relay, "bytes"));
    line(t, "relay", buf_view(&b));
    for (struct json_iter it = json_iter(places); json_next(&it);) {
        buf_clear(&b);
        (void)buf_printf(&b, "%.*s%s", BYTES_FMT(json_get_str(it.value, "relay")),
                         json_bool(json_get(it.value, "limited"), false) ? ", within its limits"
                                                                         : "");
        line(t, it.i <= 1 ? "reachable over" : " ", buf_view(&b));
    }
    buf_fini(&b);
}

/* What is between us and others, and where they have reached us. */
static void line_nat(struct text_table *t, const struct json *root)
{
    struct bytes nat = json_get_str(root, "nat");
    if (!bytes_eq_str(nat, "unknown"))
        line(t, "NAT", nat);
    for (struct json_iter it = json_iter(json_get(root, "confirmed")); json_next(&it);)
        line(t, it.i <= 1 ? "reached at" : " ", json_str(it.value));
}

static void status_lines(const struct json *root, struct text_table *t)
{
    char since[32];
    text_table_init_bare(t, 2);
    line(t, "peer", json_get_str(root, "peer"));
    line(t, "name", json_get_str(root, "node_id"));
    line(t, "version", json_get_str(root, "version"));
    if (json_get(root, "uptime_s"))
        line(t, "running for", bytes_str(report_duration(report_number(root, "uptime_s"), since)));
    line(t, "directory", json_get_str(root, "data_dir"));
    line(t, "API", json_get_str(root, "api"));
    line(t, "private network", json_get_str(root, "private_network"));
    for (struct json_iter it = json_iter(json_get(root, "guest_of")); json_next(&it);)
        line_guest_of(t, it.i <= 1 ? "guest of" : " ", it.value);
    for (struct json_iter it = json_iter(json_get(root, "addresses")); json_next(&it);)
        line(t, it.i <= 1 ? "addresses" : " ", json_str(it.value));
    for (struct json_iter it = json_iter(json_get(root, "bootstrap")); json_next(&it);)
        line_bootstrap(t, it.i <= 1 ? "bootstrap" : " ", it.value);
    line(t, "strangers' dials", reach_words(json_get_str(root, "reach")));
    line_nat(t, root);
    line_relay(t, json_get(root, "relay"));
    line(t, "peers", json_number_text(json_get(root, "peers")));
    line(t, "DHT peers", json_number_text(json_get(json_get(root, "dht"), "peers")));
    line(t, "sharing", json_get_str(root, "sharing"));
    if (json_bool(json_get(root, "invite_only"), false))
        line(t, "serves", BYTES_LIT("guests with an invite, and --allow-peer, only"));
    if (report_number(json_get(root, "invites"), "guests") ||
        report_number(json_get(root, "invites"), "not_used_yet"))
        line_object(t, "invites", json_get(root, "invites"));
    line_object(t, "requests", json_get(root, "requests"));
}

static void add_model(struct text_table *t, const struct json *m)
{
    const struct json *shared = json_get(m, "shared");
    text_table_add(t, json_get_str(m, "name"));
    text_table_add(t, json_get_str(m, "state"));
    add_number(t, m, "slots", false); /* 0: it does not say */
    add_number(t, m, "busy", true);
    add_number(t, m, "queued", true);
    add_number(t, m, "context", false);
    text_table_add(t, bytes_str(!shared ? "" : json_bool(shared, false) ? "yes" : "no"));
}

/* Resources are named for machines; bytes are shown as people read them. */
static void add_amount(struct text_table *t, const struct json *o, const char *key, bool is_bytes)
{
    if (json_kind_of(json_get(o, key)) != JSON_NUMBER) {
        text_table_add(t, (struct bytes){0});
        return;
    }
    double v = json_number(json_get(o, key), 0);
    if (is_bytes && v >= 1024 * 1024)
        text_table_addf(t, "%.1f MiB", v / (1024 * 1024));
    else if (is_bytes && v > 0)
        text_table_addf(t, "%.1f KiB", v / 1024);
    else
        text_table_addf(t, "%llu", (unsigned long long)report_number(o, key));
}

static void add_limit(struct text_table *t, const struct json *l)
{
    struct bytes resource = json_get_str(l, "resource");
    bool is_bytes = resource.n > 6 && bytes_eq_str(bytes_skip(resource, resource.n - 6), "_bytes");
    struct buf b;
    text_table_add(t, json_get_str(l, "scope"));
    buf_init(&b, LIMIT_CLI_CELL);
    append_words(&b, is_bytes ? bytes_first(resource, resource.n - 6) : resource);
    text_table_add(t, buf_view(&b));
    buf_fini(&b);
    if (json_kind_of(json_get(l, "used")) == JSON_NULL)
        text_table_add(t, BYTES_LIT("-")); /* a rate */
    else
        add_amount(t, l, "used", is_bytes);
    if (json_get(l, "limit"))
        add_amount(t, l, "limit", is_bytes);
    else
        text_table_add(t, BYTES_LIT("none"));
    add_number(t, l, "refused", true);
    text_table_add(t, json_get_str(l, "name"));
}

int report_limits(struct bytes text, struct buf *out)
{
    struct json_doc *doc = report_document(text, "limits");
    if (!doc)
        return E_MALFORMED;
    struct text_table t;
    text_table_init(&t, "SCOPE,RESOURCE,>USED,>LIMIT,>REFUSED,WHICH");
    for (struct json_iter it = json_iter(json_get(json_root(doc), "limits")); json_next(&it);)
        add_limit(&t, it.value);
    print_and_fini(&t, out);
    (void)buf_append_str(
        out,
        "\nUsed is of the fullest one; of a rate (-) only refusals are counted. What this machine "
        "itself connects\n(loopback) is not counted by address: ip is 0 there.\n");
    json_free(doc);
    return 0;
}

int report_status(struct bytes text, struct buf *out)
{
    struct json_doc *doc = report_document(text, NULL);
    if (!doc)
        return E_MALFORMED;
    const struct json *root = json_root(doc), *models = json_get(root, "models");
    struct text_table t;
    status_lines(root, &t);
    print_and_fini(&t, out);
    if (json_count(models) > 0) {
        (void)buf_append_byte(out, '\n');
        text_table_init(&t, "MODEL,STATE,>SLOTS,>BUSY,>QUEUED,>CONTEXT,SHARED");
        for (struct json_iter it = json_iter(models); json_next(&it);)
            add_model(&t, it.value);
        print_and_fini(&t, out);
    }
    json_free(doc);
    return 0;
}

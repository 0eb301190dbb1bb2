// SPDX-License-Identifier: MIT
/* See dht_report.h. */
#include "node/dht_report.h"

#include "base/limits.h"
#include "base/mem.h"
#include "node/report.h"
#include "node/report_impl.h"
#include "node/text_table.h"

#include <time.h>

/* UTC, to the second; empty for never. */
static void add_time(struct text_table *t, uint64_t ms)
{
    char text[32] = "";
    time_t at = (time_t)(ms / 1000);
    struct tm tm;
    if (ms && gmtime_r(&at, &tm))
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &tm);
    text_table_add(t, bytes_str(text));
}

/* "2/4" and, when somebody waits, "+3". */
static void add_load(struct text_table *t, const struct json *offer)
{
    unsigned long long queued = report_number(offer, "queued");
    if (!offer || json_kind_of(json_get(offer, "slots")) != JSON_NUMBER)
        text_table_add(t, (struct bytes){0});
    else if (queued)
        text_table_addf(t, "%llu/%llu +%llu", (unsigned long long)report_number(offer, "busy"),
                        (unsigned long long)report_number(offer, "slots"), queued);
    else
        text_table_addf(t, "%llu/%llu", (unsigned long long)report_number(offer, "busy"),
                        (unsigned long long)report_number(offer, "slots"));
}

/* A row per model; a node without one has a row too. */
static void add_row(struct text_table *t, const struct json *peer, const struct json *offer)
{
    char uptime[32];
    double tokens = json_number(json_get(offer, "tokens_per_s"), 0);
    struct bytes why = json_get_str(peer, "why");
    text_table_add(t, json_get_str(peer, "peer"));
    text_table_add(t, json_str(json_at(json_get(peer, "addresses"), 0)));
    text_table_add(t, json_get_str(offer, "model"));
    add_load(t, offer);
    if (tokens > 0)
        text_table_addf(t, "%.1f", tokens);
    else
        text_table_add(t, (struct bytes){0});
    text_table_add(t, json_get(peer, "uptime_s")
                          ? bytes_str(report_duration(report_number(peer, "uptime_s"), uptime))
                          : (struct bytes){0});
    add_time(t, report_number(peer, "last_seen_ms"));
    if (why.n)
        text_table_addf(t, "%.*s: %.*s", BYTES_FMT(json_get_str(peer, "state")), BYTES_FMT(why));
    else
        text_table_add(t, json_get_str(peer, "state"));
}

static void add_record(const struct json *record, struct buf *out)
{
    struct text_table t;
    if (!record)
        return;
    text_table_init(&t, "SIGNED RECORD,AGENT,MODELS,UNTIL");
    text_table_add(&t, json_get_str(record, "name"));
    text_table_add(&t, json_get_str(record, "agent"));
    struct buf models;
    buf_init(&models, LIMIT_CLI_CELL);
    for (struct json_iter it = json_iter(json_get(record, "models")); json_next(&it);)
        (void)buf_printf(&models, "%s%.*s", buf_len(&models) ? " " : "",
                         BYTES_FMT(json_str(it.value)));
    text_table_add(&t, buf_view(&models));
    buf_fini(&models);
    add_time(&t, report_number(record, "expires_ms"));
    (void)buf_append_byte(out, '\n');
    text_table_print(&t, out);
    text_table_fini(&t);
}

static void add_why(const struct json *root, struct buf *out)
{
    static const struct {
        const char *why, *sentence;
    } all[] = {
        {"nobody_to_ask", "this node knows no other that is there now, so that nobody could be asked"},
        {"nobody_answered", "not complete: none of the nodes that were asked answers"},
        {"timeout", "not complete: not everybody answered in time"},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (json_is_str(json_get(root, "why"), all[i].why))
            (void)buf_printf(out, "%s\n", all[i].sentence);
}

int report_dht_get(struct bytes text, struct buf *out)
{
    struct json_doc *doc = report_document(text, "peers");
    if (!doc)
        return E_MALFORMED;
    const struct json *root = json_root(doc), *peers = json_get(root, "peers");
    struct text_table t;
    text_table_init(&t, "NODE,ADDRESS,MODEL,>LOAD,>TOKENS/S,>UPTIME,LAST SEEN,STATE");
    for (struct json_iter it = json_iter(peers); json_next(&it);) {
        const struct json *offers = json_get(it.value, "offers");
        if (json_count(offers) == 0)
            add_row(&t, it.value, NULL);
        for (struct json_iter o = json_iter(offers); json_next(&o);)
            add_row(&t, it.value, o.value);
    }
    text_table_print(&t, out);
    text_table_fini(&t);
    if (json_count(peers) == 0)
        (void)buf_append_str(out, "nobody\n");
    add_record(json_get(root, "record"), out);
    add_why(root, out);
    json_free(doc);
    return 0;
}

int report_dht_status(struct bytes text, struct buf *out)
{
    static const struct {
        const char *key, *name;
    } lines[] = {
        {"peers", "peers in the table"},
        {"buckets", "buckets in use"},
        {"known_from_before", "known from before"},
        {"announced_keys", "keys announced"},
        {"provider_keys", "keys kept for others"},
        {"provider_records", "provider records"},
        {"values", "signed values"},
        {"lookups", "lookups running"},
        {"requests_sent", "requests sent"},
        {"requests_failed", "… without an answer"},
        {"requests_served", "requests answered"},
        {"requests_refused", "… refused"},
    };
    struct json_doc *doc = report_document(text, NULL);
    if (!doc || !json_get(json_root(doc), "peers")) {
        json_free(doc);
        return E_MALFORMED;
    }
    struct text_table t;
    text_table_init_bare(&t, 2);
    text_table_add(&t, BYTES_LIT("mode"));
    text_table_add(&t, json_bool(json_get(json_root(doc), "server"), false)
                           ? BYTES_LIT("server: answers others")
                           : BYTES_LIT("client: cannot be dialled, only asks"));
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        text_table_add(&t, bytes_str(lines[i].name));
        text_table_addf(&t, "%llu",
                        (unsigned long long)report_number(json_root(doc), lines[i].key));
    }
    text_table_print(&t, out);
    text_table_fini(&t);
    json_free(doc);
    return 0;
}

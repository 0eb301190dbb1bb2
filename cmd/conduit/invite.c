// SPDX-License-Identifier: MIT
/* conduit invite: makes an invite, lists those given out, takes one back. The text goes to stdout alone, so that
 * it can be piped; what it gives is said on stderr. */
#include "api.h"

#include "base/limits.h"
#include "base/mem.h"
#include "codec/json.h"
#include "guard/schedule.h"
#include "node/chat_text.h"
#include "node/text_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "conduit invite [OPTION]…: make an invite for one guest; there: conduit up --join INVITE\n"
    "conduit invite list: the invites given out, whose they are, what was used today\n"
    "conduit invite revoke ID|NAME: take one back\n"
    "\n"
    "  --name NAME           for whom, for your own list\n"
    "  --expires TIME        90m, 12h, 7d, 4w [7d]\n"
    "  --models A,B          what the guest may use [all that is shared]\n"
    "  --requests-per-day N  [no limit]\n"
    "  --tokens-per-day N    questions and answers together [no limit]\n"
    "  --hours HH:MM-HH:MM   of this machine's day [always]\n"
    "  --concurrent N        requests at once [no limit]\n"
    "  --address ADDR,…      where the guest finds this node [its own addresses]\n"
    "  --json                one JSON object\n"
    "  --data-dir DIR        the node of that directory\n"
    "\n"
    "Whoever shows an invite first is its guest, and nobody else after. To serve nobody but "
    "guests:\n"
    "conduit up --invite-only.\n";

/* --- asking --- */

/* `fine`: a status that is no failure yet; 0: none. */
static int ask(const struct common *c, const char *method, const char *path, struct bytes body,
               struct api_response *r, int fine)
{
    struct api a;
    int rc = api_init(&a, "invite", c);
    *r = (struct api_response){0};
    if (rc != 0)
        return rc;
    const struct api_request req = {
        .method = method, .path = path, .body = body, .total_us = 30 * US_PER_S};
    api_call(&a, &req, r);
    rc = fine && r->err == 0 && r->status == fine ? EXIT_OK : api_complain(&a, r);
    api_fini(&a);
    return rc;
}

static int call(const struct common *c, const char *method, const char *path, struct bytes body,
                struct api_response *r)
{
    return ask(c, method, path, body, r, 0);
}

static struct json_doc *document(const struct api_response *r)
{
    struct json_doc *doc = NULL;
    (void)json_parse(buf_view(&r->body), LIMIT_CLI_DOCUMENT, &doc, NULL);
    return doc;
}

/* --- made --- */

struct wish {
    const char *name, *expires, *models, *requests, *tokens, *hours, *concurrent, *address;
};

/* "7d" as seconds; 0: it is none. */
static uint64_t seconds_of(const char *text)
{
    static const struct {
        char unit;
        uint64_t s;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    uint64_t n = 0;
    size_t len = strlen(text);
    for (size_t i = 0; len && i < ARRAY_LEN(units); i++)
        if (text[len - 1] == units[i].unit && bytes_to_u64(bytes_of(text, len - 1), &n) == 0 &&
            n <= UINT64_C(1000000000) / units[i].s)
            return n * units[i].s;
    return 0;
}

static void put_words(struct json_writer *w, const char *key, const char *words)
{
    if (!words)
        return;
    json_key(w, key);
    json_open_array(w);
    for (const char *p = words; *p;) {
        size_t n = strcspn(p, ",");
        struct bytes word = bytes_trim(bytes_of(p, n));
        if (word.n)
            json_put_bytes(w, word);
        p += n + (p[n] == ',');
    }
    json_close_array(w);
}

static int put_number(struct json_writer *w, const char *key, const char *flag, const char *text)
{
    uint64_t v;
    if (!text)
        return 0;
    if (bytes_to_u64(bytes_str(text), &v) || v == 0)
        return usage_error("invite", "--%s: '%s' is not a number from 1 on", flag, text);
    json_member_u64(w, key, v);
    return 0;
}

static bool is_hours(const char *text)
{
    struct schedule s;
    char start[8] = "", end[8] = "";
    size_t dash = strcspn(text, "-");
    if (!text[dash] || dash >= sizeof start || strlen(text + dash + 1) >= sizeof end)
        return false;
    memcpy(start, text, dash);
    memcpy(end, text + dash + 1, strlen(text + dash + 1));
    return schedule_init(&s, start, end) == 0 && s.is_set;
}

static int put_wish(struct json_writer *w, const struct wish *v)
{
    uint64_t s = v->expires ? seconds_of(v->expires) : 0;
    if (v->expires && !s)
        return usage_error("invite", "--expires: '%s' is not as 90m, 12h, 7d or 4w", v->expires);
    if (v->hours && !is_hours(v->hours))
        return usage_error("invite", "--hours: '%s' is not as 08:00-22:00", v->hours);
    json_open_object(w);
    if (v->name)
        json_member_str(w, "name", v->name);
    if (s)
        json_member_u64(w, "expires_s", s);
    put_words(w, "models", v->models);
    put_words(w, "addresses", v->address);
    if (v->hours)
        json_member_str(w, "hours", v->hours);
    int rc = put_number(w, "requests_per_day", "requests-per-day", v->requests);
    rc = rc ? rc : put_number(w, "tokens_per_day", "tokens-per-day", v->tokens);
    rc = rc ? rc : put_number(w, "concurrent", "concurrent", v->concurrent);
    json_close_object(w);
    return rc;
}

static void say_limit(struct buf *out, const struct json *root, const char *key, const char *words)
{
    uint64_t v = 0;
    if (json_u64(json_get(root, key), &v) && v)
        (void)buf_printf(out, ", %llu %s", (unsigned long long)v, words);
}

static void put_models(struct buf *out, const struct json *models)
{
    size_t before = buf_len(out);
    for (struct json_iter it = json_iter(models); json_next(&it);)
        (void)buf_printf(out, "%s%.*s", buf_len(out) > before ? ", " : "",
                         BYTES_FMT(json_str(it.value)));
    if (buf_len(out) == before)
        (void)buf_append_str(out, "all shared models");
}

static void say_made(const struct json *root)
{
    struct bytes name = json_get_str(root, "name"), hours = json_get_str(root, "hours");
    struct buf said, plain;
    buf_init(&said, 0);
    buf_init(&plain, 0);
    (void)buf_printf(&said,
                     "for %.*s, until %.*s: ", BYTES_FMT(name.n ? name : BYTES_LIT("one guest")),
                     BYTES_FMT(json_get_str(root, "expires")));
    put_models(&said, json_get(root, "models"));
    say_limit(&said, root, "requests_per_day", "requests a day");
    say_limit(&said, root, "tokens_per_day", "tokens a day");
    say_limit(&said, root, "concurrent", "at once");
    if (hours.n)
        (void)buf_printf(&said, ", %.*s", BYTES_FMT(hours));
    (void)buf_append_str(&said, ".\nGive it to nobody else: whoever shows it first is the guest. "
                                "There: conduit up --join INVITE\n");
    if (json_bool(json_get(root, "has_network_key"), false))
        (void)buf_append_str(&said, "It holds the key of your private network.\n");
    if (!json_bool(json_get(root, "is_invite_only"), true))
        (void)buf_append_str(&said,
                             "Note: this node serves others without an invite too, and this guest "
                             "when it has expired; not with conduit up --invite-only.\n");
    if (json_bool(json_get(root, "is_local"), false))
        (void)buf_append_str(&said, "Note: it names addresses of this machine's own network alone; "
                                    "a guest elsewhere needs --address HOST:PORT, where you can be "
                                    "reached.\n");
    chat_text_plain(buf_view(&said), &plain);
    fprintf(stderr, "%.*s", BYTES_FMT(buf_view(&plain)));
    buf_fini(&said);
    buf_fini(&plain);
}

static bool is_own_model(const struct json *status, struct bytes name)
{
    for (struct json_iter it = json_iter(json_get(status, "models")); json_next(&it);)
        if (bytes_eq(json_get_str(it.value, "name"), name))
            return true;
    return false;
}

/* It may come later; it may be a slip of the pen. */
static void warn_of_models(const struct common *c, struct bytes made)
{
    struct json_doc *invite = NULL, *status = NULL;
    struct api_response r;
    (void)json_parse(made, LIMIT_CLI_DOCUMENT, &invite, NULL);
    if (json_count(json_get(json_root(invite), "models")) &&
        call(c, "GET", "/conduit/v1/status", (struct bytes){0}, &r) == 0) {
        status = document(&r);
        for (struct json_iter it = json_iter(json_get(json_root(invite), "models"));
             json_next(&it);)
            if (json_get(json_root(status), "models") &&
                !is_own_model(json_root(status), json_str(it.value)))
                api_failf(
                    "invite",
                    "note: this node has no model '%.*s' now; the guest can use it once it has; "
                    "conduit status shows what there is",
                    BYTES_FMT(json_str(it.value)));
        json_free(status);
        api_response_fini(&r);
    }
    json_wipe(invite);
}

static void print_invite(struct bytes text)
{
    struct buf plain;
    buf_init(&plain, 0);
    (void)buf_reserve(&plain, text.n, &(uint8_t *){0}); /* one piece, to be wiped */
    chat_text_plain(text, &plain);
    printf("%.*s\n", BYTES_FMT(buf_view(&plain)));
    fflush(stdout);
    buf_wipe(&plain);
}

static int make(const struct common *c, const struct wish *wish)
{
    struct api_response r;
    struct buf body;
    buf_init(&body, 0);
    struct json_writer w = json_write(&body);
    int rc = put_wish(&w, wish);
    if (rc == 0) {
        rc = call(c, "POST", "/conduit/v1/invites", buf_view(&body), &r);
        if (rc == 0 && c->json) {
            api_print_json(buf_view(&r.body));
        } else if (rc == 0) {
            struct json_doc *doc = document(&r);
            print_invite(json_get_str(json_root(doc), "invite"));
            say_made(json_root(doc));
            json_wipe(doc);
        }
        if (rc == 0)
            warn_of_models(c, buf_view(&r.body));
        api_response_fini(&r);
    }
    buf_fini(&body);
    return rc;
}

/* --- list and revoke --- */

static void add_used(struct text_table *t, const struct json *e, const char *used,
                     const char *limit)
{
    uint64_t u = 0, l = 0;
    (void)json_u64(json_get(e, used), &u);
    if (json_u64(json_get(e, limit), &l) && l)
        text_table_addf(t, "%llu of %llu", (unsigned long long)u, (unsigned long long)l);
    else
        text_table_addf(t, "%llu", (unsigned long long)u);
}

static int list(const struct common *c)
{
    struct api_response r;
    int rc = call(c, "GET", "/conduit/v1/invites", (struct bytes){0}, &r);
    if (rc == 0 && c->json) {
        api_print_json(buf_view(&r.body));
    } else if (rc == 0) {
        struct json_doc *doc = document(&r);
        struct text_table t;
        struct buf out;
        text_table_init(&t, "ID,NAME,STATE,EXPIRES,REQUESTS TODAY,TOKENS TODAY,GUEST");
        for (struct json_iter it = json_iter(json_get(json_root(doc), "invites"));
             json_next(&it);) {
            text_table_add(&t, bytes_first(json_get_str(it.value, "id"), 8));
            text_table_add(&t, json_get_str(it.value, "name"));
            text_table_add(&t, json_get_str(it.value, "state"));
            text_table_add(&t, json_get_str(it.value, "expires"));
            add_used(&t, it.value, "requests_today", "requests_per_day");
            add_used(&t, it.value, "tokens_today", "tokens_per_day");
            text_table_add(&t, json_get_str(it.value, "guest"));
        }
        buf_init(&out, 0);
        text_table_print(&t, &out);
        fwrite(buf_view(&out).p, 1, buf_len(&out), stdout);
        buf_fini(&out);
        text_table_fini(&t);
        json_free(doc);
    }
    api_response_fini(&r);
    return rc;
}

/* The node says 404 for none and for several; its list says which. */
static int complain_which(const struct common *c, const char *what)
{
    struct api_response r;
    struct buf ids;
    size_t n = 0;
    int rc = call(c, "GET", "/conduit/v1/invites", (struct bytes){0}, &r);
    struct json_doc *doc = rc == 0 ? document(&r) : NULL;
    buf_init(&ids, LIMIT_CLI_CELL);
    for (struct json_iter it = json_iter(json_get(json_root(doc), "invites")); json_next(&it);) {
        struct bytes id = json_get_str(it.value, "id");
        if (json_is_str(json_get(it.value, "state"), "revoked") ||
            (!bytes_eq_str(json_get_str(it.value, "name"), what) &&
             (strlen(what) < 8 || !bytes_starts(id, bytes_str(what)))))
            continue;
        (void)buf_printf(&ids, "%s%.*s", n++ ? ", " : "", BYTES_FMT(bytes_first(id, 8)));
    }
    if (rc == 0 && n > 1)
        rc = api_failf("invite", "'%s' means %zu invites: say which by its ID: %.*s", what, n,
                       BYTES_FMT(buf_view(&ids)));
    else if (rc == 0)
        rc = api_failf("invite", "there is no invite '%s'; conduit invite list shows them", what);
    buf_fini(&ids);
    json_free(doc);
    api_response_fini(&r);
    return rc;
}

static int revoke(const struct common *c, const char *what)
{
    struct api_response r;
    struct buf body;
    buf_init(&body, 0);
    struct json_writer w = json_write(&body);
    json_open_object(&w);
    json_member_str(&w, "invite", what);
    json_close_object(&w);
    int rc = ask(c, "POST", "/conduit/v1/invites/revoke", buf_view(&body), &r, 404);
    if (rc == 0 && r.status == 404)
        rc = complain_which(c, what);
    else if (rc == 0 && c->json)
        api_print_json(buf_view(&r.body));
    else if (rc == 0)
        printf("revoked; what its guest runs now may end, nothing more is served\n");
    api_response_fini(&r);
    buf_fini(&body);
    return rc;
}

int command_invite(int argc, char **argv)
{
    struct common c;
    argc = common_take(&c, argc, argv);
    if (c.help) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    struct wish w = {
        .name = option_take(&argc, argv, "name"),
        .expires = option_take(&argc, argv, "expires"),
        .models = option_take(&argc, argv, "models"),
        .requests = option_take(&argc, argv, "requests-per-day"),
        .tokens = option_take(&argc, argv, "tokens-per-day"),
        .hours = option_take(&argc, argv, "hours"),
        .concurrent = option_take(&argc, argv, "concurrent"),
        .address = option_take(&argc, argv, "address"),
    };
    if (argc == 1)
        return make(&c, &w);
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list(&c);
    if (argc == 3 && strcmp(argv[1], "revoke") == 0)
        return revoke(&c, argv[2]);
    if (strcmp(argv[1], "revoke") == 0)
        return usage_error("invite", "revoke needs the ID or NAME of one; see conduit invite list");
    bool is_list = strcmp(argv[1], "list") == 0;
    return usage_error("invite", "'%s' means nothing here; see conduit invite --help",
                       argv[is_list ? 2 : 1]);
}

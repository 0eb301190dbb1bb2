// SPDX-License-Identifier: MIT
/* See doctor_report.h. */
#include "node/doctor_report.h"

#include "base/limits.h"
#include "codec/json.h"
#include "node/chat_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const level_names[] = {"ok", "warn", "fail", "skip"};

struct doctor_check *doctor_add(struct doctor_report *r, enum doctor_level level, const char *name,
                                const char *remedy, const char *fmt, ...)
{
    size_t at = r->count < DOCTOR_CHECKS ? r->count++ : DOCTOR_CHECKS - 1;
    struct doctor_check *c = &r->v[at];
    va_list ap;
    r->dropped += at == DOCTOR_CHECKS - 1 && c->name[0];
    r->has_failed |= level == DOCTOR_FAIL;
    *c = (struct doctor_check){.level = level};
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->remedy, sizeof c->remedy, "%s", remedy ? remedy : "");
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof c->text, fmt, ap);
    va_end(ap);
    return c;
}

int doctor_report_json(const struct doctor_report *r, struct buf *out)
{
    struct json_writer w = json_write(out);
    json_open_object(&w);
    json_member_bool(&w, "ok", !r->has_failed);
    json_key(&w, "checks");
    json_open_array(&w);
    for (size_t i = 0; i < r->count; i++) {
        const struct doctor_check *c = &r->v[i];
        json_open_object(&w);
        json_member_str(&w, "check", c->name);
        json_member_str(&w, "level", level_names[c->level]);
        json_member_str(&w, "text", c->text);
        json_member_str(&w, "remedy", c->remedy);
        json_close_object(&w);
    }
    json_close_array(&w);
    json_close_object(&w);
    return w.err;
}

/* A string of the document, made safe for a terminal, cut to fit. */
static void copy(char *out, size_t size, const struct json *o, const char *key)
{
    struct buf b;
    buf_init(&b, 4 * DOCTOR_TEXT);
    chat_text_plain(bytes_first(json_get_str(o, key), DOCTOR_TEXT), &b);
    snprintf(out, size, "%.*s", BYTES_FMT(buf_view(&b)));
    buf_fini(&b);
}

static enum doctor_level level_of(struct bytes name)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (bytes_eq_str(name, level_names[i]))
            return (enum doctor_level)i;
    return DOCTOR_SKIP;
}

int doctor_report_read(struct doctor_report *r, struct bytes json)
{
    struct json_doc *doc;
    if (json_parse(json, LIMIT_CLI_DOCUMENT, &doc, NULL) != 0)
        return E_MALFORMED;
    const struct json *checks = json_get(json_root(doc), "checks");
    int err = json_kind_of(checks) == JSON_ARRAY ? 0 : E_MALFORMED;
    for (struct json_iter it = json_iter(checks); !err && json_next(&it);) {
        struct doctor_check c = {0};
        copy(c.name, sizeof c.name, it.value, "check");
        copy(c.text, sizeof c.text, it.value, "text");
        copy(c.remedy, sizeof c.remedy, it.value, "remedy");
        (void)doctor_add(r, level_of(json_get_str(it.value, "level")), c.name, c.remedy, "%s",
                         c.text);
    }
    json_free(doc);
    return err;
}

static void print_check(const struct doctor_check *c, struct buf *out)
{
    static const char *const shown[] = {"ok", "warn", "FAIL", "skip"};
    (void)buf_printf(out, "%-4s  %-11s  %s%s%s\n", shown[c->level], c->name, c->text,
                     c->remedy[0] ? " -> " : "", c->remedy);
}

static size_t print_level(const struct doctor_report *r, enum doctor_level level, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        if (r->v[i].level == level) {
            print_check(&r->v[i], out);
            count++;
        }
    return count;
}

void doctor_report_print(const struct doctor_report *r, bool in_order, struct buf *out)
{
    for (size_t i = 0; in_order && i < r->count; i++)
        print_check(&r->v[i], out);
    if (in_order)
        return;
    (void)print_level(r, DOCTOR_OK, out);
    (void)print_level(r, DOCTOR_SKIP, out);
    size_t warnings = print_level(r, DOCTOR_WARN, out), failures = print_level(r, DOCTOR_FAIL, out);
    if (r->dropped)
        (void)buf_printf(out, "(and %zu more)\n", r->dropped);
    if (failures)
        (void)buf_printf(out, "%zu of %zu checks failed: the lines with FAIL say what to do.\n",
                         failures, r->count);
    else
        (void)buf_printf(out, "Nothing stops this node%s.\n",
                         warnings ? "; the warnings say what could be better" : "");
}

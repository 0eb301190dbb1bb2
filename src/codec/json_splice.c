// SPDX-License-Identifier: MIT
/* Asking a skimmed object, and its text with members changed; see json_skim.h. */
#include "codec/json_skim.h"

#include "codec/json_key.h"
#include "codec/multibase.h"

#include <stdlib.h>

static size_t put_utf8(uint32_t u, uint8_t out[static 4])
{
    if (u < 0x80) {
        out[0] = (uint8_t)u;
        return 1;
    }
    size_t n = u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; u >>= 6)
        out[i] = (uint8_t)(0x80 | (u & 0x3f));
    out[0] = (uint8_t)(lead[n] | u);
    return n;
}

/* The escape at `p`: its bytes in `out`; how many of the text were used. The text was checked. */
static size_t take_escape(const uint8_t *p, uint8_t out[static 4], size_t *n)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    uint8_t raw[2];
    if (p[1] != 'u') {
        const char *at = strchr(from, p[1]);
        out[0] = at ? (uint8_t)to[at - from] : p[1];
        *n = 1;
        return 2;
    }
    hex_parse(bytes_of(p + 2, 4), raw, 2);
    uint32_t u = (uint32_t)raw[0] << 8 | raw[1];
    size_t used = 6;
    if (u >= 0xd800 && u < 0xdc00) {
        hex_parse(bytes_of(p + 8, 4), raw, 2);
        u = 0x10000 + ((u - 0xd800) << 10) + (((uint32_t)raw[0] << 8 | raw[1]) - 0xdc00);
        used = 12;
    }
    *n = put_utf8(u, out);
    return used;
}

int json_unescape(struct bytes in, struct buf *out)
{
    while (in.n > 0) {
        size_t plain = bytes_find(in, '\\');
        int err = buf_append(out, in.p, plain);
        in = bytes_skip(in, plain);
        if (!err && in.n > 0) {
            uint8_t c[4];
            size_t n;
            in = bytes_skip(in, take_escape(in.p, c, &n));
            err = buf_append(out, c, n);
        }
        if (err)
            return err;
    }
    return 0;
}

const struct json_member *json_find(const struct json_skim *s, const char *key)
{
    struct bytes want = bytes_str(key);
    uint32_t hash = json_key_hash(want);
    for (size_t i = 0; i < s->count; i++) {
        const struct json_member *m = &s->members[i];
        if (m->hash != hash)
            continue;
        struct bytes raw = bytes_of(s->text.p + m->key_at, m->key_n);
        if (bytes_eq(raw, want))
            return m;
        struct buf b;
        buf_init(&b, 0);
        bool is_it = json_unescape(raw, &b) == 0 && bytes_eq(buf_view(&b), want);
        buf_fini(&b);
        if (is_it)
            return m;
    }
    return NULL;
}

struct bytes json_raw(const struct json_skim *s, const char *key)
{
    const struct json_member *m = json_find(s, key);
    return m ? bytes_of(s->text.p + m->at, m->n) : bytes_of("", 0);
}

bool json_skim_bool(const struct json_skim *s, const char *key, bool *out)
{
    const struct json_member *m = json_find(s, key);
    if (!m || m->kind != JSON_BOOL)
        return false;
    *out = s->text.p[m->at] == 't';
    return true;
}

bool json_skim_number(const struct json_skim *s, const char *key, double *out)
{
    const struct json_member *m = json_find(s, key);
    char text[64];
    if (!m || m->kind != JSON_NUMBER || m->n >= sizeof text)
        return false;
    memcpy(text, s->text.p + m->at, m->n);
    text[m->n] = 0;
    *out = strtod(text, NULL);
    return true;
}

bool json_skim_u64(const struct json_skim *s, const char *key, uint64_t *out)
{
    const struct json_member *m = json_find(s, key);
    return m && m->kind == JSON_NUMBER && bytes_to_u64(bytes_of(s->text.p + m->at, m->n), out) == 0;
}

ssize_t json_skim_str(const struct json_skim *s, const char *key, char *out, size_t size)
{
    const struct json_member *m = json_find(s, key);
    if (!m || m->kind == JSON_NULL)
        return E_NOT_FOUND;
    if (m->kind != JSON_STRING)
        return E_INVALID;
    struct buf b;
    buf_init(&b, size);
    ssize_t n = E_TOO_BIG;
    if (m->n - 2 <= 6 * size && /* an escape is at most 6 characters a byte */
        json_unescape(bytes_of(s->text.p + m->at + 1, m->n - 2), &b) == 0 && buf_len(&b) < size) {
        n = (ssize_t)buf_len(&b);
        memcpy(out, buf_view(&b).p, (size_t)n);
        out[n] = 0;
    }
    buf_fini(&b);
    return n;
}

struct splice {
    const struct json_skim *s;
    struct bytes *out;
    int count;
    size_t total, from; /* of the old text: what is not put yet */
};

static void put(struct splice *w, struct bytes v)
{
    if (v.n == 0)
        return;
    w->out[w->count++] = v;
    w->total += v.n;
}

static void put_old(struct splice *w, size_t to)
{
    put(w, bytes_of(w->s->text.p + w->from, to - w->from));
    w->from = to;
}

/* Which edit is for member `i`; the last one given wins. */
static const struct json_edit *edit_of(const struct json_skim *s, size_t i,
                                       const struct json_edit *edits, size_t n)
{
    for (size_t k = n; k-- > 0;)
        if (json_find(s, edits[k].key) == &s->members[i])
            return &edits[k];
    return NULL;
}

static bool is_insert(const struct json_skim *s, const struct json_edit *edits, size_t n, size_t k)
{
    for (size_t later = k + 1; later < n; later++)
        if (strcmp(edits[later].key, edits[k].key) == 0)
            return false;
    return edits[k].value.n > 0 && !json_find(s, edits[k].key);
}

static size_t put_inserts(struct splice *w, const struct json_edit *edits, size_t n)
{
    size_t inserted = 0;
    for (size_t k = 0; k < n; k++) {
        if (!is_insert(w->s, edits, n, k))
            continue;
        put(w, inserted++ ? BYTES_LIT(",\"") : BYTES_LIT("\""));
        put(w, bytes_str(edits[k].key));
        put(w, BYTES_LIT("\":"));
        put(w, edits[k].value);
    }
    return inserted;
}

int json_splice(const struct json_skim *s, const struct json_edit *edits, size_t n,
                struct bytes out[static JSON_SLICES_MAX], size_t *total)
{
    struct splice w = {s, out, 0, 0, 0};
    if (n > JSON_EDITS_MAX)
        return E_LIMIT;
    put_old(&w, s->open_at + 1);
    bool is_first = put_inserts(&w, edits, n) == 0, was_cut = !is_first;
    for (size_t i = 0; i < s->count; i++) {
        const struct json_member *m = &s->members[i];
        const struct json_edit *e = edit_of(s, i, edits, n);
        if (e && e->value.n == 0) { /* removed, with the comma in front of it */
            if (!was_cut && i > 0)
                put_old(&w, s->members[i - 1].at + s->members[i - 1].n);
            w.from = m->at + m->n;
            was_cut = true;
            continue;
        }
        if (was_cut) {
            if (!is_first)
                put(&w, BYTES_LIT(","));
            w.from = m->key_at - 1;
            was_cut = false;
        }
        is_first = false;
        if (e) {
            put_old(&w, m->at);
            put(&w, e->value);
            w.from = m->at + m->n;
        }
    }
    put_old(&w, s->text.n);
    *total = w.total;
    return w.count;
}

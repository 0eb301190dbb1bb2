// SPDX-License-Identifier: MIT
/* The check of a JSON text in one pass; see json_skim.h. What is asked of the result, and splicing,
 * is in json_splice.c.
 *
 * Containers are not recursed into: a stack of one bit per level says whether it is an object. The
 * time goes into strings, so their inner loop looks at 16 bytes at a time and stops only at a quote,
 * a backslash, a control character or the first byte of a character beyond ASCII. */
#include "codec/json_skim.h"

#include "codec/json_key.h"
#include "codec/multibase.h"
#include "codec/utf8.h"

#include <stdio.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct scan {
    const uint8_t *p, *end, *start;
    const char *why;
};

static int fail(struct scan *s, const char *why)
{
    s->why = why;
    return E_MALFORMED;
}

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

/* The first byte from p on that is not plain text; at most `end`. */
static const uint8_t *plain_run(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'),
                  space = _mm_set1_epi8(0x20);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* signed: beyond ASCII is below 0x20 too */
        __m128i stop =
            _mm_or_si128(_mm_cmplt_epi8(v, space),
                         _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)));
        int mask = _mm_movemask_epi8(stop);
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#else
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    for (; end - p >= 8; p += 8) {
        uint64_t v, q, b;
        memcpy(&v, p, 8);
        q = v ^ ones * '"';
        b = v ^ ones * '\\';
        if ((v | (v - ones * 0x20) | ((q - ones) & ~q) | ((b - ones) & ~b)) & high)
            break;
    }
#endif
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

static int scan_escape(struct scan *s)
{
    uint8_t raw[2];
    if (s->end - s->p < 2)
        return fail(s, "the text ends inside a string");
    uint8_t c = s->p[1];
    if (c && strchr("\"\\/bfnrt", c)) {
        s->p += 2;
        return 0;
    }
    if (c != 'u' || s->end - s->p < 6 || hex_parse(bytes_of(s->p + 2, 4), raw, 2))
        return fail(s, "bad escape in a string");
    unsigned u = (unsigned)raw[0] << 8 | raw[1];
    s->p += 6;
    if (u < 0xd800 || u > 0xdfff)
        return 0;
    bool is_pair = u < 0xdc00 && s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u' &&
                   hex_parse(bytes_of(s->p + 2, 4), raw, 2) == 0 && (raw[0] & 0xfc) == 0xdc;
    if (!is_pair)
        return fail(s, "half of a surrogate pair in a string");
    s->p += 6;
    return 0;
}

/* At the opening quote; ends behind the closing one. */
static int scan_string(struct scan *s, bool *has_escapes)
{
    *has_escapes = false;
    s->p++;
    for (;;) {
        s->p = plain_run(s->p, s->end);
        if (s->p == s->end)
            return fail(s, "the text ends inside a string");
        if (*s->p == '"') {
            s->p++;
            return 0;
        }
        if (*s->p == '\\') {
            *has_escapes = true;
            int err = scan_escape(s);
            if (err)
                return err;
        } else if (*s->p < 0x20) {
            return fail(s, "control character in a string");
        } else {
            while (s->p < s->end && *s->p >= 0x80) { /* runs of other scripts stay here */
                size_t n = utf8_char(s->p, s->end);
                if (n == 0)
                    return fail(s, "not UTF-8");
                s->p += n;
            }
        }
    }
}

static bool digits(struct scan *s)
{
    const uint8_t *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > from;
}

static int scan_number(struct scan *s)
{
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0')
        s->p++;
    else if (!digits(s))
        return fail(s, "bad number");
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!digits(s))
            return fail(s, "bad number");
    }
    if (s->p < s->end && (*s->p | 0x20) == 'e') {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        if (!digits(s))
            return fail(s, "bad number");
    }
    return 0;
}

static int scan_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return fail(s, "unexpected character");
    s->p += n;
    return 0;
}

/* A value that is no container. */
static int scan_scalar(struct scan *s, enum json_kind *kind, bool *has_escapes)
{
    *has_escapes = false;
    switch (*s->p) {
    case '"':
        *kind = JSON_STRING;
        return scan_string(s, has_escapes);
    case 't':
        *kind = JSON_BOOL;
        return scan_word(s, "true");
    case 'f':
        *kind = JSON_BOOL;
        return scan_word(s, "false");
    case 'n':
        *kind = JSON_NULL;
        return scan_word(s, "null");
    default:
        *kind = JSON_NUMBER;
        if (*s->p != '-' && (*s->p < '0' || *s->p > '9'))
            return fail(s, "unexpected character");
        return scan_number(s);
    }
}

static int scan_key(struct scan *s, bool *has_escapes)
{
    skip_space(s);
    if (s->p == s->end || *s->p != '"')
        return fail(s, "a key must be a string");
    int err = scan_string(s, has_escapes);
    if (err)
        return err;
    skip_space(s);
    if (s->p == s->end || *s->p != ':')
        return fail(s, "':' is missing after a key");
    s->p++;
    return 0;
}

/* After a value: closes what ends here. 1: a further item follows (and its key was read); 0: the
 * outermost container has ended. */
static int after_value(struct scan *s, uint64_t objects, int *depth)
{
    bool ignored;
    while (*depth > 0) {
        bool is_object = objects >> (*depth - 1) & 1;
        skip_space(s);
        if (s->p == s->end)
            return fail(s, "the text ends too early");
        uint8_t c = *s->p++;
        if (c == ',') {
            int err = is_object ? scan_key(s, &ignored) : 0;
            return err ? err : 1;
        }
        if (c != (is_object ? '}' : ']')) {
            s->p--;
            return fail(s, "',' or the end of a container is missing");
        }
        --*depth;
    }
    return 0;
}

/* One whole value, inside `outer` containers. */
static int scan_value(struct scan *s, int outer, enum json_kind *kind, bool *has_escapes)
{
    uint64_t objects = 0; /* bit d-1: level d is an object */
    int depth = 0, more = 1;
    bool is_first = true;
    while (more > 0) {
        enum json_kind k = JSON_ABSENT;
        bool esc = false;
        int err = 0;
        skip_space(s);
        if (s->p == s->end)
            return fail(s, "the text ends too early");
        uint8_t c = *s->p;
        bool is_open = c == '{' || c == '[';
        if (is_open) {
            if (depth + outer >= LIMIT_JSON_DEPTH) {
                s->why = "nested too deeply";
                return E_LIMIT;
            }
            k = c == '{' ? JSON_OBJECT : JSON_ARRAY;
            objects = (objects & ~(UINT64_C(1) << depth)) | (uint64_t)(c == '{') << depth;
            depth++;
            s->p++;
            skip_space(s);
            if (s->p < s->end && *s->p == (c == '{' ? '}' : ']')) {
                s->p++;
                depth--;
                is_open = false; /* empty: over already */
            } else if (c == '{') {
                err = scan_key(s, &esc);
                esc = false;
            }
        } else {
            err = scan_scalar(s, &k, &esc);
        }
        if (err)
            return err;
        if (is_first) {
            *kind = k;
            *has_escapes = esc;
            is_first = false;
        }
        if (!is_open)
            more = after_value(s, objects, &depth);
    }
    return more;
}

static int report(const struct scan *s, int err, struct json_error *why)
{
    if (err && why) {
        why->at = (size_t)(s->p - s->start);
        snprintf(why->text, sizeof why->text, "%s", s->why ? s->why : err_text(err));
    }
    return err;
}

static int scan_end(struct scan *s)
{
    skip_space(s);
    return s->p == s->end ? 0 : fail(s, "something follows the value");
}

int json_check(struct bytes text, struct json_error *why)
{
    struct scan s = {text.p, text.p + text.n, text.p, NULL};
    enum json_kind kind;
    bool esc;
    int err = scan_value(&s, 0, &kind, &esc);
    if (!err)
        err = scan_end(&s);
    return report(&s, err, why);
}

uint32_t json_key_hash(struct bytes key)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < key.n; i++)
        h = (h ^ key.p[i]) * 16777619u;
    return h;
}

/* The key as it is meant; `b` is used where it has escapes. */
static struct bytes plain_key(struct bytes text, const struct json_member *m, bool has_escapes,
                              struct buf *b)
{
    struct bytes raw = bytes_of(text.p + m->key_at, m->key_n);
    if (!has_escapes)
        return raw;
    buf_clear(b);
    return json_unescape(raw, b) ? raw : buf_view(b);
}

static bool is_duplicate(const struct json_skim *out, const struct json_member *m, bool escaped)
{
    struct buf a, b;
    bool is_same = false;
    buf_init(&a, 0);
    buf_init(&b, 0);
    struct bytes key = plain_key(out->text, m, escaped, &a);
    for (size_t i = 0; i < out->count && !is_same; i++) {
        const struct json_member *o = &out->members[i];
        if (o->hash == m->hash)
            is_same = bytes_eq(key, plain_key(out->text, o, true, &b));
    }
    buf_fini(&a);
    buf_fini(&b);
    return is_same;
}

static int skim_member(struct scan *s, struct json_skim *out)
{
    bool escaped_key;
    skip_space(s);
    const uint8_t *key = s->p + 1;
    if (out->count == LIMIT_JSON_MEMBERS) {
        s->why = "too many members";
        return E_LIMIT;
    }
    struct json_member *m = &out->members[out->count];
    *m = (struct json_member){.key_at = (size_t)(key - s->start)};
    const uint8_t *before = s->p;
    if (before == s->end || *before != '"')
        return fail(s, "a key must be a string");
    int err = scan_string(s, &escaped_key);
    if (err)
        return err;
    m->key_n = (size_t)(s->p - 1 - key);
    skip_space(s);
    if (s->p == s->end || *s->p != ':')
        return fail(s, "':' is missing after a key");
    s->p++;
    struct buf b;
    buf_init(&b, 0);
    m->hash = json_key_hash(plain_key(out->text, m, escaped_key, &b));
    buf_fini(&b);
    if (is_duplicate(out, m, escaped_key)) {
        s->why = "a key is given twice";
        return E_DUPLICATE;
    }
    skip_space(s);
    m->at = (size_t)(s->p - s->start);
    err = scan_value(s, 1, &m->kind, &m->has_escapes);
    m->n = (size_t)(s->p - s->start) - m->at;
    m->has_escapes |= escaped_key;
    out->count++;
    return err;
}

static int skim_object(struct scan *s, struct json_skim *out)
{
    skip_space(s);
    if (s->p == s->end || *s->p != '{')
        return fail(s, "not a JSON object");
    out->open_at = (size_t)(s->p++ - s->start);
    skip_space(s);
    if (s->p < s->end && *s->p == '}') {
        s->p++;
        return scan_end(s);
    }
    for (;;) {
        int err = skim_member(s, out);
        if (err)
            return err;
        skip_space(s);
        if (s->p == s->end)
            return fail(s, "the text ends too early");
        if (*s->p == '}') {
            s->p++;
            return scan_end(s);
        }
        if (*s->p != ',')
            return fail(s, "',' or the end of a container is missing");
        s->p++;
    }
}

int json_skim(struct bytes text, struct json_skim *out, struct json_error *why)
{
    struct scan s = {text.p, text.p + text.n, text.p, NULL};
    out->text = text;
    out->count = 0;
    out->open_at = 0;
    return report(&s, skim_object(&s, out), why);
}

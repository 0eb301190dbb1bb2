// SPDX-License-Identifier: MIT
/* The reader of deterministic CBOR; see cbor.h. The writer is cbor_write.c. */
#include "codec/cbor.h"

#include "codec/cbor_float.h"
#include "codec/utf8.h"

#include <math.h>

void cbor_reader_init(struct cbor_reader *r, struct bytes in)
{
    *r = (struct cbor_reader){.in = in};
}

struct head {
    unsigned major, info;
    uint64_t value;
    size_t size;
};

/* > 0 used, 0 need more, < 0. Only the shortest form of a number passes. */
static ssize_t read_head(struct bytes in, struct head *h)
{
    static const uint64_t least[] = {24, 0x100, 0x10000, UINT64_C(0x100000000)};
    if (in.n == 0)
        return 0;
    *h = (struct head){.major = in.p[0] >> 5, .info = in.p[0] & 31, .size = 1};
    if (h->info < 24) {
        h->value = h->info;
        return 1;
    }
    if (h->info > 27)
        return E_MALFORMED; /* reserved, or of indefinite length */
    size_t more = (size_t)1 << (h->info - 24);
    if (in.n < 1 + more)
        return 0;
    for (size_t i = 1; i <= more; i++)
        h->value = h->value << 8 | in.p[i];
    if (h->major != 7 && h->value < least[h->info - 24])
        return E_MALFORMED;
    h->size = 1 + more;
    return (ssize_t)h->size;
}

static double half_to_double(uint16_t h)
{
    int exp = h >> 10 & 31, mant = h & 1023;
    double v = exp == 0    ? ldexp(mant, -24)
               : exp != 31 ? ldexp(mant + 1024, exp - 25)
               : mant == 0 ? INFINITY
                           : NAN;
    return h & 0x8000 ? -v : v;
}

/* Is there a half that is exactly `f`? For the shortest form. */
bool cbor_float_to_half(float f, uint16_t *out)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (isinf(f) || f == 0) {
        *out = (uint16_t)(sign | (f == 0 ? 0 : 0x7c00));
        return true;
    }
    int exp = (int)(u >> 23 & 255) - 127;
    uint32_t mant = u & 0x7fffff;
    if (exp >= -14 && exp <= 15 && (mant & 0x1fff) == 0) {
        *out = (uint16_t)(sign | (uint32_t)(exp + 15) << 10 | mant >> 13);
        return true;
    }
    if (exp < -14 && exp >= -24) {
        unsigned drop = (unsigned)(-1 - exp);
        mant |= 0x800000;
        if (mant & ((1u << drop) - 1))
            return false;
        *out = (uint16_t)(sign | mant >> drop);
        return true;
    }
    return false;
}

static int read_float(const struct head *h, struct cbor_item *out)
{
    uint16_t half;
    out->kind = CBOR_FLOAT;
    if (h->info == 25) {
        out->f64 = half_to_double((uint16_t)h->value);
        return isnan(out->f64) && h->value != 0x7e00 ? E_MALFORMED : 0;
    }
    if (h->info == 26) {
        uint32_t u = (uint32_t)h->value;
        float f;
        memcpy(&f, &u, 4);
        out->f64 = f;
        return isnan(f) || cbor_float_to_half(f, &half) ? E_MALFORMED : 0;
    }
    memcpy(&out->f64, &h->value, 8);
    return isnan(out->f64) || (double)(float)out->f64 == out->f64 ? E_MALFORMED : 0;
}

static int read_simple(const struct head *h, struct cbor_item *out)
{
    if (h->info == 20 || h->info == 21) {
        out->kind = CBOR_BOOL;
        out->u64 = h->info == 21;
        return 0;
    }
    if (h->info == 22) {
        out->kind = CBOR_NULL;
        return 0;
    }
    return h->info >= 25 ? read_float(h, out) : E_MALFORMED;
}

/* The item at the head, with a string's bytes; containers are not entered yet. */
static ssize_t read_item(struct bytes in, struct cbor_item *out)
{
    static const enum cbor_kind kinds[] = {CBOR_UINT, CBOR_NEGATIVE, CBOR_BYTES,
                                           CBOR_TEXT, CBOR_ARRAY,    CBOR_MAP};
    struct head h;
    ssize_t used = read_head(in, &h);
    if (used <= 0)
        return used;
    *out = (struct cbor_item){.u64 = h.value};
    if (h.major == 6)
        return E_MALFORMED; /* tags */
    if (h.major == 7) {
        int err = read_simple(&h, out);
        return err ? err : used;
    }
    out->kind = kinds[h.major];
    if (out->kind == CBOR_BYTES || out->kind == CBOR_TEXT) {
        if (h.value > LIMIT_CBOR_STRING)
            return E_TOO_BIG;
        if (in.n - h.size < h.value)
            return 0;
        out->bytes = bytes_of(in.p + h.size, (size_t)h.value);
        if (out->kind == CBOR_TEXT && !utf8_is_valid(out->bytes))
            return E_MALFORMED;
        used += (ssize_t)h.value;
    }
    return used;
}

/* A key: of a kind that may be one, and after the one before. */
static int check_key(struct cbor_reader *r, struct cbor_level *l, const struct cbor_item *item,
                     size_t n)
{
    if (item->kind > CBOR_TEXT)
        return E_MALFORMED;
    struct bytes key = bytes_of(r->in.p + r->at, n);
    struct bytes last = bytes_of(r->in.p + l->key_at, l->key_n);
    if (l->key_n && bytes_cmp(last, key) >= 0)
        return E_MALFORMED;
    l->key_at = r->at;
    l->key_n = n;
    return 0;
}

static int enter(struct cbor_reader *r, const struct cbor_item *item)
{
    bool is_map = item->kind == CBOR_MAP;
    if (item->u64 > LIMIT_CBOR_ITEMS)
        return E_TOO_BIG;
    if (r->depth == LIMIT_CBOR_DEPTH)
        return E_LIMIT;
    r->stack[r->depth++] =
        (struct cbor_level){.left = is_map ? 2 * item->u64 : item->u64, .is_map = is_map};
    return 0;
}

ssize_t cbor_next(struct cbor_reader *r, struct cbor_item *out)
{
    if (r->is_done)
        return 0;
    struct cbor_level *l = r->depth ? &r->stack[r->depth - 1] : NULL;
    ssize_t used = read_item(bytes_skip(r->in, r->at), out);
    if (used <= 0)
        return used;
    out->is_key = l && l->is_map && l->left % 2 == 0;
    int err = out->is_key ? check_key(r, l, out, (size_t)used) : 0;
    if (!err && (out->kind == CBOR_ARRAY || out->kind == CBOR_MAP))
        err = enter(r, out);
    if (err)
        return err;
    r->at += (size_t)used;
    if (l)
        l->left--;
    while (r->depth && r->stack[r->depth - 1].left == 0)
        r->depth--;
    r->is_done = r->depth == 0;
    return used;
}

ssize_t cbor_skip(struct cbor_reader *r, const struct cbor_item *item)
{
    uint64_t left = item->kind == CBOR_ARRAY ? item->u64
                    : item->kind == CBOR_MAP ? 2 * item->u64
                                             : 0;
    struct cbor_reader was = *r;
    while (left > 0) {
        struct cbor_item in;
        ssize_t used = cbor_next(r, &in);
        if (used <= 0) {
            *r = was; /* nothing was taken */
            return used;
        }
        left--;
        left += in.kind == CBOR_ARRAY ? in.u64 : in.kind == CBOR_MAP ? 2 * in.u64 : 0;
    }
    return (ssize_t)(r->at - was.at);
}

int cbor_check(struct bytes in)
{
    struct cbor_reader r;
    struct cbor_item item;
    ssize_t used;
    cbor_reader_init(&r, in);
    while ((used = cbor_next(&r, &item)) > 0)
        ;
    if (used < 0)
        return (int)used;
    if (!r.is_done)
        return E_EOF;
    return r.at == in.n ? 0 : E_MALFORMED;
}

static int get(struct cbor_reader *r, enum cbor_kind kind, struct cbor_item *out)
{
    ssize_t used = cbor_next(r, out);
    if (used <= 0)
        return used ? (int)used : E_EOF;
    return out->kind == kind ? 0 : E_MALFORMED;
}

int cbor_get_uint(struct cbor_reader *r, uint64_t *out)
{
    struct cbor_item item;
    int err = get(r, CBOR_UINT, &item);
    if (!err)
        *out = item.u64;
    return err;
}

static int get_string(struct cbor_reader *r, enum cbor_kind kind, size_t max, struct bytes *out)
{
    struct cbor_item item;
    int err = get(r, kind, &item);
    if (!err && item.bytes.n > max)
        err = E_TOO_BIG;
    if (!err)
        *out = item.bytes;
    return err;
}

int cbor_get_text(struct cbor_reader *r, size_t max, struct bytes *out)
{
    return get_string(r, CBOR_TEXT, max, out);
}

int cbor_get_bytes(struct cbor_reader *r, size_t max, struct bytes *out)
{
    return get_string(r, CBOR_BYTES, max, out);
}

static int get_container(struct cbor_reader *r, enum cbor_kind kind, size_t max, size_t *count)
{
    struct cbor_item item;
    int err = get(r, kind, &item);
    if (!err && item.u64 > max)
        err = E_TOO_BIG;
    if (!err)
        *count = (size_t)item.u64;
    return err;
}

int cbor_get_array(struct cbor_reader *r, size_t max, size_t *count)
{
    return get_container(r, CBOR_ARRAY, max, count);
}

int cbor_get_map(struct cbor_reader *r, size_t max, size_t *count)
{
    return get_container(r, CBOR_MAP, max, count);
}

int cbor_get_bool(struct cbor_reader *r, bool *out)
{
    struct cbor_item item;
    int err = get(r, CBOR_BOOL, &item);
    if (!err)
        *out = item.u64 != 0;
    return err;
}

// SPDX-License-Identifier: MIT
/* DNS messages; see dns_message.h. */
#include "p2p/dns_message.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>

enum { POINTER = 0xc0, CLASS_TOP = 0x8000, RECORD_FIXED = 10 };

/* --- names --- */

int dns_name_parse(struct bytes text, struct dns_name *out)
{
    size_t n = 0, at = 0;
    if (text.n && text.p[text.n - 1] == '.')
        text.n--;
    while (at < text.n) {
        struct bytes rest = bytes_skip(text, at);
        size_t len = bytes_find(rest, '.');
        if (len == 0 || len > DNS_LABEL_MAX || (len < rest.n && len + 1 == rest.n))
            return E_MALFORMED;
        if (n + 1 + len + 1 > DNS_NAME_MAX)
            return E_TOO_BIG;
        out->b[n++] = (uint8_t)len;
        memcpy(out->b + n, rest.p, len);
        n += len;
        at += len + 1;
    }
    out->b[n++] = 0;
    out->n = (uint8_t)n;
    return 0;
}

const char *dns_name_text(const struct dns_name *n, char *out, size_t size)
{
    size_t len = 0;
    if (size)
        out[0] = 0;
    for (size_t i = 0; i < n->n && n->b[i]; i += n->b[i] + 1u) {
        for (size_t j = i + 1; j <= i + n->b[i] && len + 6 < size; j++) {
            uint8_t c = n->b[j];
            bool is_plain = c > ' ' && c < 0x7f && c != '.' && c != '\\';
            len += (size_t)snprintf(out + len, size - len, is_plain ? "%c" : "\\%03u", c);
        }
        if (len + 6 < size)
            len += (size_t)snprintf(out + len, size - len, ".");
    }
    return out;
}

bool dns_name_eq(const struct dns_name *a, const struct dns_name *b)
{
    return bytes_eq_nocase(bytes_of(a->b, a->n), bytes_of(b->b, b->n));
}

bool dns_name_split(const struct dns_name *n, struct bytes *label, struct dns_name *rest)
{
    if (n->n < 2 || n->b[0] == 0)
        return false;
    size_t first = n->b[0] + 1u;
    *label = bytes_of(n->b + 1, n->b[0]);
    rest->n = (uint8_t)(n->n - first);
    memcpy(rest->b, n->b + first, rest->n);
    return true;
}

/* The name at *at, which moves past it. Each pointer must go in front of the place where the part that holds it
 * began, so that they come to an end. */
static int read_name(struct bytes m, size_t *at, struct dns_name *out)
{
    size_t i = *at, part = *at, n = 0;
    bool has_jumped = false;
    for (;;) {
        if (i >= m.n)
            return E_MALFORMED;
        uint8_t len = m.p[i];
        if ((len & POINTER) == POINTER) {
            if (i + 1 >= m.n)
                return E_MALFORMED;
            size_t to = (size_t)(len & ~POINTER) << 8 | m.p[i + 1];
            if (!has_jumped)
                *at = i + 2;
            if (to >= part)
                return E_MALFORMED;
            has_jumped = true;
            part = i = to;
            continue;
        }
        if (len > DNS_LABEL_MAX || len + 1u > m.n - i || n + len + 1u > DNS_NAME_MAX)
            return E_MALFORMED;
        memcpy(out->b + n, m.p + i, len + 1u);
        n += len + 1u;
        i += len + 1u;
        if (len == 0)
            break;
    }
    if (!has_jumped)
        *at = i;
    out->n = (uint8_t)n;
    return 0;
}

/* --- reading --- */

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

int dns_read(struct dns_reader *r, struct bytes message)
{
    const uint8_t *p = message.p;
    if (message.n < DNS_HEADER)
        return E_MALFORMED;
    if (message.n > LIMIT_MDNS_PACKET)
        return E_TOO_BIG;
    *r = (struct dns_reader){.message = message,
                             .at = DNS_HEADER,
                             .id = be16(p),
                             .flags = be16(p + 2),
                             .questions = be16(p + 4),
                             .records = {be16(p + 6), be16(p + 8), be16(p + 10)}};
    return 0;
}

int dns_read_question(struct dns_reader *r, struct dns_question *out)
{
    if (r->questions == 0)
        return 0;
    if (read_name(r->message, &r->at, &out->name) || r->message.n - r->at < 4)
        return E_MALFORMED;
    const uint8_t *p = r->message.p + r->at;
    out->type = be16(p);
    out->class = be16(p + 2) & (CLASS_TOP - 1);
    out->wants_unicast = (be16(p + 2) & CLASS_TOP) != 0;
    r->at += 4;
    r->questions--;
    return 1;
}

int dns_read_record(struct dns_reader *r, struct dns_record *out)
{
    struct dns_question skipped;
    int rc;
    while ((rc = dns_read_question(r, &skipped)) == 1)
        ;
    if (rc < 0)
        return rc;
    unsigned s = 0;
    while (s < ARRAY_LEN(r->records) && r->records[s] == 0)
        s++;
    if (s == ARRAY_LEN(r->records))
        return 0;
    if (read_name(r->message, &r->at, &out->name) || r->message.n - r->at < RECORD_FIXED)
        return E_MALFORMED;
    const uint8_t *p = r->message.p + r->at;
    size_t n = be16(p + 8);
    if (n > r->message.n - r->at - RECORD_FIXED)
        return E_MALFORMED;
    out->section = (enum dns_section)s;
    out->type = be16(p);
    out->class = be16(p + 2) & (CLASS_TOP - 1);
    out->is_flush = (be16(p + 2) & CLASS_TOP) != 0;
    out->ttl_s = (uint32_t)be16(p + 4) << 16 | be16(p + 6);
    out->data = bytes_of(p + RECORD_FIXED, n);
    r->at += RECORD_FIXED + n;
    r->records[s]--;
    return 1;
}

int dns_record_target(const struct dns_reader *r, const struct dns_record *rec,
                      struct dns_name *out)
{
    size_t at = (size_t)(rec->data.p - r->message.p), end = at + rec->data.n;
    if (rec->type != DNS_TYPE_PTR || read_name(r->message, &at, out) || at != end)
        return E_MALFORMED;
    return 0;
}

int dns_next_string(struct bytes data, size_t *at, struct bytes *out)
{
    if (*at >= data.n)
        return 0;
    size_t n = data.p[*at];
    if (n > data.n - *at - 1)
        return E_MALFORMED;
    *out = bytes_of(data.p + *at + 1, n);
    *at += n + 1;
    return 1;
}

/* --- writing --- */

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void dns_write(struct dns_writer *w, uint8_t *b, size_t size, uint16_t id, uint16_t flags)
{
    *w = (struct dns_writer){.b = b, .n = DNS_HEADER, .size = size, .is_full = size < DNS_HEADER};
    if (w->is_full)
        return;
    memset(b, 0, DNS_HEADER);
    put16(b, id);
    put16(b + 2, flags);
}

static bool reserve(struct dns_writer *w, size_t n)
{
    if (w->is_full || n > w->size - w->n)
        w->is_full = true;
    return !w->is_full;
}

/* Where the name (or the rest of one) already stands; 0: nowhere. */
static size_t find_written(const struct dns_writer *w, const struct dns_name *name)
{
    for (size_t i = 0; i < w->label_count; i++) {
        struct dns_name there;
        size_t at = w->labels[i];
        if (read_name(bytes_of(w->b, w->n), &at, &there) == 0 && dns_name_eq(&there, name))
            return w->labels[i];
    }
    return 0;
}

static void put_name(struct dns_writer *w, const struct dns_name *name)
{
    struct dns_name rest = *name, next;
    struct bytes label;
    uint16_t begun[8];
    size_t begun_count = 0, at = 0;
    while (!w->is_full && !(at = find_written(w, &rest)) && dns_name_split(&rest, &label, &next)) {
        if (!reserve(w, label.n + 1))
            return;
        if (begun_count < ARRAY_LEN(begun))
            begun[begun_count++] = (uint16_t)w->n;
        w->b[w->n++] = (uint8_t)label.n;
        memcpy(w->b + w->n, label.p, label.n);
        w->n += label.n;
        rest = next;
    }
    if (!reserve(w, 2))
        return;
    if (at) {
        put16(w->b + w->n, POINTER << 8 | (unsigned)at);
        w->n += 2;
    } else {
        w->b[w->n++] = 0;
    }
    for (size_t i = 0; i < begun_count; i++)
        if (w->label_count < ARRAY_LEN(w->labels) && begun[i] < 0x4000)
            w->labels[w->label_count++] = begun[i];
}

/* Nothing of what did not fit stays. */
static void settle(struct dns_writer *w, const struct dns_writer *before, unsigned count)
{
    if (!w->is_full) {
        w->counts[count]++;
        return;
    }
    *w = *before;
    w->is_full = true;
}

void dns_put_question(struct dns_writer *w, const struct dns_name *name, uint16_t type)
{
    struct dns_writer before = *w;
    put_name(w, name);
    if (reserve(w, 4)) {
        put16(w->b + w->n, type);
        put16(w->b + w->n + 2, DNS_CLASS_IN);
        w->n += 4;
    }
    settle(w, &before, 0);
}

/* Up to the data, whose length is filled in afterwards: where it stands. */
static size_t put_head(struct dns_writer *w, const struct dns_name *name, uint16_t type,
                       uint32_t ttl_s)
{
    put_name(w, name);
    if (!reserve(w, RECORD_FIXED))
        return 0;
    uint8_t *p = w->b + w->n;
    put16(p, type);
    put16(p + 2, DNS_CLASS_IN);
    put16(p + 4, ttl_s >> 16);
    put16(p + 6, ttl_s & 0xffff);
    w->n += RECORD_FIXED;
    return w->n;
}

void dns_put_ptr(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
                 uint32_t ttl_s, const struct dns_name *target)
{
    struct dns_writer before = *w;
    size_t data = put_head(w, name, DNS_TYPE_PTR, ttl_s);
    put_name(w, target);
    if (!w->is_full)
        put16(w->b + data - 2, (unsigned)(w->n - data));
    settle(w, &before, 1u + s);
}

void dns_put_txt(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
                 uint32_t ttl_s, struct bytes text)
{
    struct dns_writer before = *w;
    size_t data = put_head(w, name, DNS_TYPE_TXT, ttl_s);
    if (text.n > 255)
        w->is_full = true;
    if (reserve(w, text.n + 1)) {
        w->b[w->n++] = (uint8_t)text.n;
        memcpy(w->b + w->n, text.p, text.n);
        w->n += text.n;
        put16(w->b + data - 2, (unsigned)(w->n - data));
    }
    settle(w, &before, 1u + s);
}

static void put_data(struct dns_writer *w, size_t data, const void *p, size_t n)
{
    if (!reserve(w, n))
        return;
    memcpy(w->b + w->n, p, n);
    w->n += n;
    put16(w->b + data - 2, (unsigned)(w->n - data));
}

void dns_put_srv(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
                 uint32_t ttl_s, uint16_t port, const struct dns_name *host)
{
    struct dns_writer before = *w;
    uint8_t fixed[6] = {0};
    size_t data = put_head(w, name, DNS_TYPE_SRV, ttl_s);
    put16(fixed + 4, port);
    put_data(w, data, fixed, sizeof fixed);
    put_data(w, data, host->b, host->n);
    settle(w, &before, 1u + s);
}

void dns_put_addr(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
                  uint32_t ttl_s, const struct net_addr *ip)
{
    struct dns_writer before = *w;
    bool is_four = ip->kind == NET_IP4;
    size_t data = put_head(w, name, is_four ? DNS_TYPE_A : DNS_TYPE_AAAA, ttl_s);
    put_data(w, data, ip->ip, is_four ? 4 : 16);
    settle(w, &before, 1u + s);
}

struct bytes dns_written(struct dns_writer *w)
{
    for (size_t i = 0; w->size >= DNS_HEADER && i < ARRAY_LEN(w->counts); i++)
        put16(w->b + 4 + 2 * i, w->counts[i]);
    return bytes_of(w->b, w->size >= DNS_HEADER ? w->n : 0);
}

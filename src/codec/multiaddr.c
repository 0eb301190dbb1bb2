// SPDX-License-Identifier: MIT
/* Walking, parsing and building multiaddrs; see multiaddr.h. */
#include "codec/multiaddr.h"

#include "codec/multiaddr_table.h"
#include "codec/varint.h"

#include <stdio.h>

ssize_t multiaddr_next(struct bytes addr, size_t *at, struct multiaddr_part *out)
{
    struct cursor c = {addr, *at};
    uint64_t code;
    if (*at >= addr.n)
        return 0;
    if (cursor_varint(&c, &code) <= 0)
        return E_MALFORMED;
    const struct ma_proto *p = ma_proto_by_code(code);
    if (!p)
        return E_UNSUPPORTED;
    struct bytes value = bytes_of("", 0);
    if (p->size == MA_VARIABLE) {
        if (cursor_prefixed(&c, LIMIT_MULTIADDR, &value) <= 0)
            return E_MALFORMED;
    } else if (p->size > 0 && cursor_take(&c, (size_t)p->size, &value) <= 0) {
        return E_MALFORMED;
    }
    if (p->is_valid && !p->is_valid(value))
        return E_MALFORMED;
    *out = (struct multiaddr_part){p->code, value, *at, c.at - *at};
    *at = c.at;
    return (ssize_t)out->size;
}

int multiaddr_check(struct bytes addr)
{
    struct multiaddr_part part;
    size_t at = 0;
    ssize_t used;
    if (addr.n > LIMIT_MULTIADDR)
        return E_TOO_BIG;
    if (addr.n == 0)
        return E_MALFORMED;
    while ((used = multiaddr_next(addr, &at, &part)) > 0)
        ;
    return (int)used;
}

int multiaddr_copy(struct bytes addr, struct multiaddr *out)
{
    int err = multiaddr_check(addr);
    if (err)
        return err;
    memcpy(out->b, addr.p, addr.n);
    out->n = (uint16_t)addr.n;
    return 0;
}

/* The next "/word" of a text; false at its end. */
static bool next_word(struct bytes *text, struct bytes *word)
{
    if (text->n < 2 || text->p[0] != '/')
        return false;
    *text = bytes_skip(*text, 1);
    *word = bytes_first(*text, bytes_find(*text, '/'));
    *text = bytes_skip(*text, word->n);
    return true;
}

int multiaddr_parse(struct bytes text, struct multiaddr *out)
{
    struct bytes word;
    *out = (struct multiaddr){0};
    if (text.n > 4 * LIMIT_MULTIADDR)
        return E_TOO_BIG;
    while (next_word(&text, &word)) {
        const struct ma_proto *p = ma_proto_by_name(word);
        if (!p)
            return word.n ? E_UNSUPPORTED : E_MALFORMED;
        struct buf value;
        buf_init(&value, 0);
        int err = 0;
        if (p->size != 0)
            err = next_word(&text, &word) ? p->parse(word, &value) : E_MALFORMED;
        if (!err)
            err = multiaddr_add(out, (enum multiaddr_code)p->code, buf_view(&value));
        buf_fini(&value);
        if (err)
            return err == E_TOO_BIG ? err : E_MALFORMED;
    }
    bool is_over = text.n == 0 || (text.n == 1 && text.p[0] == '/');
    return out->n > 0 && is_over ? 0 : E_MALFORMED;
}

int multiaddr_format(struct bytes addr, struct buf *out)
{
    struct multiaddr_part part;
    size_t at = 0;
    ssize_t used;
    int err = multiaddr_check(addr);
    while (!err && (used = multiaddr_next(addr, &at, &part)) > 0) {
        const struct ma_proto *p = ma_proto_by_code(part.code);
        err = buf_printf(out, "/%s", p->name);
        if (!err && p->size != 0) {
            err = buf_append_byte(out, '/');
            if (!err)
                err = p->format(part.value, out);
        }
    }
    return err;
}

const char *multiaddr_text(struct bytes addr, char *out, size_t size)
{
    struct buf b;
    buf_init(&b, 0);
    if (multiaddr_format(addr, &b) == 0)
        snprintf(out, size, "%.*s", BYTES_FMT(buf_view(&b)));
    else
        snprintf(out, size, "?");
    buf_fini(&b);
    return out;
}

/* "host:port", "host", "[v6]", "[v6]:port", bare v6: the host and the port (or the default). */
static int split_host(struct bytes text, struct bytes *host, uint16_t *port)
{
    uint64_t v;
    struct bytes rest;
    if (text.n > 0 && text.p[0] == '[') {
        size_t close = bytes_find(text, ']');
        if (close == text.n)
            return E_MALFORMED;
        *host = bytes_of(text.p + 1, close - 1);
        rest = bytes_skip(text, close + 1);
    } else {
        size_t colon = bytes_find(text, ':');
        struct bytes after = bytes_skip(text, colon + 1);
        bool is_v6 = bytes_find(after, ':') != after.n;
        *host = is_v6 ? text : bytes_first(text, colon);
        rest = is_v6 ? bytes_of("", 0) : bytes_skip(text, colon);
    }
    if (rest.n == 0)
        return host->n ? 0 : E_MALFORMED;
    if (rest.p[0] != ':' || rest.n > 6 || bytes_to_u64(bytes_skip(rest, 1), &v) || v > 65535)
        return E_MALFORMED;
    *port = (uint16_t)v;
    return host->n ? 0 : E_MALFORMED;
}

static bool is_host_name(struct bytes name)
{
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '.' || c == '-' || c == '_' || c >= 0x80;
        if (!ok)
            return false;
    }
    return name.n > 0;
}

int multiaddr_parse_loose(struct bytes text, uint16_t default_port, struct multiaddr *out)
{
    struct bytes host;
    struct net_addr a;
    char name[256];
    uint16_t port = default_port;
    text = bytes_trim(text);
    if (text.n > 0 && text.p[0] == '/')
        return multiaddr_parse(text, out);
    *out = (struct multiaddr){0};
    if (split_host(text, &host, &port) || host.n >= sizeof name)
        return E_MALFORMED;
    memcpy(name, host.p, host.n);
    name[host.n] = 0;
    if (net_addr_parse_ip(name, port, &a) == 0)
        return multiaddr_from_net(&a, out);
    if (!is_host_name(host) || multiaddr_add(out, MA_DNS, host))
        return E_MALFORMED;
    return multiaddr_add_port(out, MA_TCP, port);
}

int multiaddr_add(struct multiaddr *m, enum multiaddr_code code, struct bytes value)
{
    const struct ma_proto *p = ma_proto_by_code(code);
    uint8_t head[2 * VARINT_MAX];
    if (!p || (p->size != MA_VARIABLE && value.n != (size_t)p->size) ||
        (p->is_valid && !p->is_valid(value)))
        return E_INVALID;
    size_t n = varint_encode(code, head);
    if (p->size == MA_VARIABLE)
        n += varint_encode(value.n, head + n);
    if (value.n > LIMIT_MULTIADDR || m->n + n + value.n > LIMIT_MULTIADDR)
        return E_TOO_BIG;
    memcpy(m->b + m->n, head, n);
    if (value.n)
        memcpy(m->b + m->n + n, value.p, value.n);
    m->n = (uint16_t)(m->n + n + value.n);
    return 0;
}

int multiaddr_add_port(struct multiaddr *m, enum multiaddr_code code, uint16_t port)
{
    uint8_t raw[2] = {(uint8_t)(port >> 8), (uint8_t)port};
    return multiaddr_add(m, code, bytes_of(raw, 2));
}

int multiaddr_add_peer(struct multiaddr *m, const struct peer_id *id)
{
    return multiaddr_add(m, MA_P2P, peer_id_bytes(id));
}

int multiaddr_from_net(const struct net_addr *a, struct multiaddr *out)
{
    *out = (struct multiaddr){0};
    if (a->kind != NET_IP4 && a->kind != NET_IP6)
        return E_INVALID;
    bool is_v4 = a->kind == NET_IP4;
    int err = multiaddr_add(out, is_v4 ? MA_IP4 : MA_IP6, bytes_of(a->ip, is_v4 ? 4 : 16));
    return err ? err : multiaddr_add_port(out, MA_TCP, a->port);
}

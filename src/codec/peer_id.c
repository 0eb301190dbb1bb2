// SPDX-License-Identifier: MIT
/* Peer ids; see peer_id.h. */
#include "codec/peer_id.h"

#include "codec/multibase.h"
#include "codec/multihash.h"

#include <stdio.h>

enum {
    KEY_INLINE_MAX = 40
}; /* libp2p says 42; with its two bytes it would not fit in PEER_ID_MAX,
                               * and no kind of key is longer than 37 without being over 42 */
enum { CID_V1 = 0x01, CODEC_LIBP2P_KEY = 0x72 };

int peer_id_cmp(const struct peer_id *a, const struct peer_id *b)
{
    return bytes_cmp(peer_id_bytes(a), peer_id_bytes(b));
}

int peer_id_from_key(struct bytes message, struct peer_id *out)
{
    *out = (struct peer_id){0};
    if (message.n == 0)
        return E_MALFORMED;
    if (message.n <= KEY_INLINE_MAX) {
        out->b[0] = MULTIHASH_IDENTITY;
        out->b[1] = (uint8_t)message.n;
        memcpy(out->b + 2, message.p, message.n);
        out->len = (uint8_t)(2 + message.n);
        return 0;
    }
    multihash_sha256(message, out->b);
    out->len = MULTIHASH_SHA256_SIZE;
    return 0;
}

int peer_id_decode(struct bytes in, struct peer_id *out)
{
    struct multihash mh;
    *out = (struct peer_id){0};
    if (in.n > PEER_ID_MAX)
        return E_TOO_BIG;
    if (multihash_decode(in, &mh) != (ssize_t)in.n || in.n == 0 || mh.digest.n == 0)
        return E_MALFORMED;
    if (mh.code != MULTIHASH_IDENTITY && mh.code != MULTIHASH_SHA256)
        return E_MALFORMED;
    memcpy(out->b, in.p, in.n);
    out->len = (uint8_t)in.n;
    return 0;
}

static int parse_cid(struct bytes text, struct peer_id *out)
{
    struct buf raw;
    uint64_t version, codec;
    buf_init(&raw, 256);
    int err = multibase_decode(text, &raw);
    struct cursor c = cursor_of(buf_view(&raw));
    if (err || cursor_varint(&c, &version) <= 0 || version != CID_V1 ||
        cursor_varint(&c, &codec) <= 0 || codec != CODEC_LIBP2P_KEY ||
        peer_id_decode(cursor_rest(&c), out))
        err = E_MALFORMED;
    buf_fini(&raw);
    return err;
}

int peer_id_parse(struct bytes text, struct peer_id *out)
{
    struct buf raw;
    *out = (struct peer_id){0};
    if (text.n < 2 || text.n > 128)
        return E_MALFORMED;
    if (text.p[0] != '1' && !bytes_starts(text, BYTES_LIT("Qm")))
        return parse_cid(text, out);
    buf_init(&raw, 256);
    int err = base_decode(BASE_58, text, &raw);
    if (err || peer_id_decode(buf_view(&raw), out))
        err = E_MALFORMED;
    buf_fini(&raw);
    return err;
}

const char *peer_id_text(const struct peer_id *id, char *out, size_t size)
{
    struct buf text;
    buf_init(&text, 0);
    if (base_encode(BASE_58, peer_id_bytes(id), &text))
        buf_clear(&text);
    snprintf(out, size, "%.*s", BYTES_FMT(buf_view(&text)));
    buf_fini(&text);
    return out;
}

const char *peer_id_short(const struct peer_id *id, char out[static 16])
{
    char text[PEER_ID_TEXT];
    size_t n = strlen(peer_id_text(id, text, sizeof text));
    snprintf(out, 16, "…%.8s", n > 8 ? text + n - 8 : text);
    return out;
}

int peer_id_cid(const struct peer_id *id, struct buf *out)
{
    uint8_t raw[2 + PEER_ID_MAX] = {CID_V1, CODEC_LIBP2P_KEY};
    memcpy(raw + 2, id->b, id->len);
    return multibase_encode(BASE_32, bytes_of(raw, 2u + id->len), out);
}

void peer_id_kad(const struct peer_id *id, uint8_t out[static 32])
{
    sha256(peer_id_bytes(id), out);
}

struct bytes peer_id_inline_key(const struct peer_id *id)
{
    if (id->len < 3 || id->b[0] != MULTIHASH_IDENTITY)
        return bytes_of("", 0);
    return bytes_of(id->b + 2, id->len - 2u);
}

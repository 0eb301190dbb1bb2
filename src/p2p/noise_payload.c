// SPDX-License-Identifier: MIT
/* The identity in the handshake; see noise_payload.h. */
#include "p2p/noise_payload.h"

#include "base/limits.h"
#include "codec/pb.h"

static const char prefix[] = "noise-libp2p-static-key:";
enum { PREFIX = sizeof prefix - 1, SIGNED = PREFIX + 32 };
enum { F_KEY = 1, F_SIG = 2, F_EXTENSIONS = 4, F_EXT_MUXERS = 2 };

static struct bytes signed_bytes(const uint8_t static_key[static 32], uint8_t out[static SIGNED])
{
    memcpy(out, prefix, PREFIX);
    memcpy(out + PREFIX, static_key, 32);
    return bytes_of(out, SIGNED);
}

int noise_payload_encode(const struct key_pair *identity, const uint8_t static_key[static 32],
                         const char *muxer, struct buf *out)
{
    uint8_t message[SIGNED], sig[KEY_SIG_SIZE], key[KEY_PUBLIC_MESSAGE];
    struct pb_writer w = pb_write(out);
    key_sign(identity, signed_bytes(static_key, message), sig);
    key_pair_public_message(identity, key);
    pb_put_bytes(&w, F_KEY, bytes_of(key, sizeof key));
    pb_put_bytes(&w, F_SIG, bytes_of(sig, sizeof sig));
    if (muxer) {
        size_t mark = pb_begin(&w, F_EXTENSIONS);
        pb_put_str(&w, F_EXT_MUXERS, muxer);
        pb_end(&w, mark);
    }
    return w.err;
}

static int read_extensions(struct bytes in, const char *muxer, int *muxers,
                           struct noise_claim *claim)
{
    struct pb_reader r = pb_read(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number != F_EXT_MUXERS || f.wire != PB_BYTES)
            continue;
        if (++*muxers > LIMIT_NOISE_MUXERS)
            return E_LIMIT;
        claim->lists_muxers = true;
        claim->lists_ours |= bytes_eq_str(f.bytes, muxer);
    }
    return r.err;
}

int noise_payload_verify(struct bytes payload, const uint8_t static_key[static 32],
                         const char *muxer, struct noise_claim *claim)
{
    uint8_t message[SIGNED];
    struct bytes key = {0}, sig = {0};
    struct pb_reader r = pb_read(payload);
    struct pb_field f;
    int muxers = 0, err = 0;
    *claim = (struct noise_claim){0};
    while (!err && pb_next(&r, &f)) {
        if (f.wire != PB_BYTES)
            continue;
        if (f.number == F_KEY)
            key = f.bytes;
        else if (f.number == F_SIG)
            sig = f.bytes;
        else if (f.number == F_EXTENSIONS)
            err = read_extensions(f.bytes, muxer, &muxers, claim);
    }
    if (err || r.err)
        return err ? err : r.err;
    if (!key.n || !sig.n)
        return E_MALFORMED;
    return key_verify_message(key, signed_bytes(static_key, message), sig, &claim->peer);
}

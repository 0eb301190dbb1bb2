// SPDX-License-Identifier: MIT
/* The XX handshake; see noise.h. Tokens stand beside the steps as the specification writes them. */
#include "p2p/noise.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/noise_memo.h"
#include "p2p/noise_payload.h"
#include "p2p/noise_symmetric.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

static const char our_muxer[] = "/yamux/1.0.0";
enum { KEY = 32, SEALED_KEY = KEY + NOISE_TAG };

static int make_ephemeral(struct noise *n)
{
    rng_fill(n->rng, n->e_secret, KEY);
    if (noise_memo_key(n->e_secret, n->e_public))
        return 0;
    return crypto_scalarmult_base(n->e_public, n->e_secret) == 0 ? 0 : E_BUG;
}

int noise_self_init(struct noise_self *self, const struct key_pair *identity, const char *muxer,
                    struct rng *rng)
{
    struct buf payload;
    *self = (struct noise_self){.offers_muxer = muxer != NULL};
    rng_fill(rng, self->secret, KEY);
    if (crypto_scalarmult_base(self->public_key, self->secret) != 0)
        return E_INVALID;
    buf_init(&payload, sizeof self->payload);
    int err = noise_payload_encode(identity, self->public_key, muxer, &payload);
    if (!err) {
        self->payload_n = buf_len(&payload);
        memcpy(self->payload, buf_view(&payload).p, self->payload_n);
    }
    buf_fini(&payload);
    return err ? E_INVALID : 0;
}

void noise_self_fini(struct noise_self *self)
{
    mem_wipe(self, sizeof *self);
}

void noise_init(struct noise *n, bool is_initiator, const struct noise_self *self,
                const struct peer_id *expected, struct rng *rng)
{
    *n = (struct noise){.self = self, .rng = rng, .is_initiator = is_initiator};
    n->state = is_initiator ? NOISE_WAIT_2 : NOISE_WAIT_1;
    if (expected) {
        n->has_expected = true;
        n->expected = *expected;
    }
    buf_init(&n->partial, NOISE_LENGTH + LIMIT_NOISE_HANDSHAKE);
    noise_initialize(&n->sym);
}

void noise_fini(struct noise *n)
{
    buf_fini(&n->partial);
    mem_wipe(n, sizeof *n);
}

/* Room for a frame's length, to be filled in when its end is known; 0 or an error. */
static int frame_begin(struct buf *out, size_t *at)
{
    *at = buf_len(out);
    return buf_append(out, "\0\0", NOISE_LENGTH);
}

static void frame_end(struct buf *out, size_t at)
{
    size_t n = buf_len(out) - at - NOISE_LENGTH;
    uint8_t *p = out->base + out->head + at;
    p[0] = (uint8_t)(n >> 8);
    p[1] = (uint8_t)n;
}

/* -> e */
int noise_start(struct noise *n, struct buf *out)
{
    size_t at;
    assert(n->is_initiator && n->state == NOISE_WAIT_2);
    int err = make_ephemeral(n);
    if (!err)
        err = frame_begin(out, &at);
    if (!err)
        err = buf_append(out, n->e_public, KEY);
    if (err)
        return err;
    noise_mix_hash(&n->sym, bytes_of(n->e_public, KEY));
    err = noise_encrypt_and_hash(&n->sym, BYTES_LIT(""), out);
    frame_end(out, at);
    return err;
}

/* Verifies what the peer says of itself and settles the muxer. */
static int take_claim(struct noise *n, struct bytes payload)
{
    struct noise_claim claim;
    int err = noise_payload_verify(payload, n->rs, our_muxer, &claim);
    if (err)
        return err;
    n->remote = claim.peer; /* also of the wrong one, to say who answered */
    if (n->has_expected && !peer_id_eq(&claim.peer, &n->expected))
        return E_WRONG_PEER;
    /* Both listed and nothing in common: there is no second chance by multistream-select. */
    if (n->self->offers_muxer && claim.lists_muxers && !claim.lists_ours)
        return E_UNSUPPORTED;
    n->is_muxer_settled = n->self->offers_muxer && claim.lists_ours;
    return 0;
}

/* s and the payload behind it: the tail of msg 2 and msg 3, with the DH that stands between. */
static int read_identity(struct noise *n, struct bytes in)
{
    uint8_t *payload;
    struct bytes sealed = bytes_skip(in, SEALED_KEY);
    if (in.n < SEALED_KEY + NOISE_TAG)
        return E_MALFORMED;
    int err = noise_decrypt_and_hash(&n->sym, bytes_first(in, SEALED_KEY), n->rs); /* s */
    if (!err)
        err = noise_mix_dh(&n->sym, n->e_secret, n->e_public, n->rs); /* es, se */
    if (err)
        return err;
    payload = mem_try(sealed.n);
    if (!payload)
        return E_NO_MEMORY;
    err = noise_decrypt_and_hash(&n->sym, sealed, payload);
    if (!err)
        err = take_claim(n, bytes_of(payload, sealed.n - NOISE_TAG));
    free(payload);
    return err;
}

static int write_identity(struct noise *n, const uint8_t dh_public[static KEY], struct buf *out)
{
    const struct noise_self *self = n->self;
    int err = noise_encrypt_and_hash(&n->sym, bytes_of(self->public_key, KEY), out); /* s */
    if (!err)
        err = noise_mix_dh(&n->sym, self->secret, self->public_key, dh_public); /* es, se */
    if (!err)
        err = noise_encrypt_and_hash(&n->sym, bytes_of(self->payload, self->payload_n), out);
    return err;
}

static void split(struct noise *n)
{
    uint8_t *k1 = n->is_initiator ? n->send_key : n->recv_key;
    uint8_t *k2 = n->is_initiator ? n->recv_key : n->send_key;
    noise_split(&n->sym, k1, k2);
    mem_wipe(n->e_secret, sizeof n->e_secret);
    buf_fini(&n->partial);
    n->state = NOISE_READY;
}

/* Responder: -> e, then <- e, ee, s, es */
static int read_1(struct noise *n, struct bytes in, struct buf *out)
{
    size_t at;
    if (in.n != KEY) /* the payload of msg 1 is empty */
        return E_MALFORMED;
    memcpy(n->re, in.p, KEY);
    noise_mix_hash(&n->sym, in);            /* e */
    noise_mix_hash(&n->sym, BYTES_LIT("")); /* the empty payload */
    int err = make_ephemeral(n);
    if (!err)
        err = frame_begin(out, &at);
    if (!err)
        err = buf_append(out, n->e_public, KEY); /* e */
    if (err)
        return err;
    noise_mix_hash(&n->sym, bytes_of(n->e_public, KEY));
    err = noise_mix_dh(&n->sym, n->e_secret, n->e_public, n->re); /* ee */
    if (!err)
        err = write_identity(n, n->re, out); /* s, es */
    if (err)
        return err;
    frame_end(out, at);
    n->state = NOISE_WAIT_3;
    return NOISE_MORE;
}

/* Initiator: <- e, ee, s, es, then -> s, se */
static int read_2(struct noise *n, struct bytes in, struct buf *out)
{
    size_t at;
    if (in.n < KEY)
        return E_MALFORMED;
    memcpy(n->re, in.p, KEY);
    noise_mix_hash(&n->sym, bytes_first(in, KEY));                    /* e */
    int err = noise_mix_dh(&n->sym, n->e_secret, n->e_public, n->re); /* ee */
    if (!err)
        err = read_identity(n, bytes_skip(in, KEY)); /* s, es */
    if (!err)
        err = frame_begin(out, &at);
    if (!err)
        err = write_identity(n, n->re, out); /* s, se */
    if (err)
        return err;
    frame_end(out, at);
    split(n);
    return NOISE_DONE;
}

/* Responder: -> s, se */
static int read_3(struct noise *n, struct bytes in)
{
    int err = read_identity(n, in);
    if (err)
        return err;
    split(n);
    return NOISE_DONE;
}

static int read_message(struct noise *n, struct bytes in, struct buf *out)
{
    size_t before = buf_len(out);
    int r = E_CLOSED;
    if (n->state == NOISE_WAIT_1)
        r = read_1(n, in, out);
    else if (n->state == NOISE_WAIT_2)
        r = read_2(n, in, out);
    else if (n->state == NOISE_WAIT_3)
        r = read_3(n, in);
    if (r < 0) { /* nothing half-said goes out, and no key stays */
        TRACE(P2P, DEBUG, "noise: %s -> closing", err_text(r));
        out->tail = out->head + before;
        mem_wipe(&n->sym, sizeof n->sym);
        mem_wipe(n->e_secret, sizeof n->e_secret);
        n->state = NOISE_FAILED;
    }
    return r;
}

/* Gathers `want` bytes of the frame in all; true when they are there. Takes no byte beyond. */
static int gather(struct noise *n, struct bytes in, size_t *used, size_t want)
{
    size_t have = buf_len(&n->partial);
    if (have >= want)
        return 1;
    struct bytes part = bytes_first(bytes_skip(in, *used), want - have);
    int err = buf_append_bytes(&n->partial, part);
    *used += part.n;
    return err ? err : part.n == want - have;
}

int noise_feed(struct noise *n, struct bytes in, size_t *used, struct buf *out)
{
    *used = 0;
    while (n->state < NOISE_READY) {
        int r = gather(n, in, used, NOISE_LENGTH);
        if (r <= 0)
            return r;
        const uint8_t *p = buf_view(&n->partial).p;
        size_t size = (size_t)(p[0] << 8 | p[1]);
        if (size > LIMIT_NOISE_HANDSHAKE) {
            n->state = NOISE_FAILED;
            return E_TOO_BIG;
        }
        r = gather(n, in, used, NOISE_LENGTH + size);
        if (r <= 0)
            return r;
        r = read_message(n, bytes_skip(buf_view(&n->partial), NOISE_LENGTH), out);
        buf_clear(&n->partial);
        if (r != NOISE_MORE)
            return r;
    }
    return n->state == NOISE_READY ? NOISE_DONE : E_CLOSED;
}

void noise_take_ciphers(struct noise *n, struct noise_cipher *send, struct noise_cipher *recv)
{
    assert(n->state == NOISE_READY);
    noise_cipher_init(send, true, n->send_key);
    noise_cipher_init(recv, false, n->recv_key);
    mem_wipe(n->send_key, sizeof n->send_key);
    mem_wipe(n->recv_key, sizeof n->recv_key);
}

// SPDX-License-Identifier: MIT
/* The offer: "this peer serves this, on these terms", signed. docs/PROTOCOL-OFFER.md is its format.
 *
 * `struct offer` is a reading of it: strings and lists are views, into the signed bytes it was
 * decoded from, or into whatever its maker has. It owns nothing. The signed bytes are what is kept
 * and passed on; nobody writes an offer again that somebody else signed.
 *
 * The hard thing: the signature covers bytes, so the encoding is deterministic and refused otherwise,
 * while unknown keys are kept and skipped so that the format can grow. Load, queue and speed are not
 * part of it: they are events, see route/measure.h. */
#ifndef CONDUIT_OFFER_OFFER_H
#define CONDUIT_OFFER_OFFER_H

#include "base/buf.h"
#include "base/limits.h"
#include "codec/json.h"
#include "codec/key.h"

#define OFFER_PROTOCOL_OPENAI "openai"

enum offer_ability {
    ABILITY_CHAT = 1 << 0,
    ABILITY_COMPLETION = 1 << 1,
    ABILITY_TOOLS = 1 << 2,
    ABILITY_VISION = 1 << 3,
    ABILITY_EMBEDDINGS = 1 << 4,
    ABILITY_JSON_SCHEMA = 1 << 5,
    ABILITY_RERANK = 1 << 6,
    ABILITY_REASONING = 1 << 7,
    ABILITY_AUDIO_IN = 1 << 8,
    ABILITY_TRANSCRIPTION = 1 << 9,
    ABILITY_SPEECH = 1 << 10,
    ABILITY_IMAGES = 1 << 11,
};

/* The payload of protocol "openai". Zero or empty: not said. */
struct offer_openai {
    struct bytes model;     /* never empty */
    struct bytes quant;     /* "Q4_K_M" */
    uint8_t digest[32];     /* sha256 of the weights */
    bool has_digest;
    uint64_t context;       /* tokens served per request, not trained */
    uint64_t weights_bytes;
    uint64_t created_s;     /* Unix time, for /v1/models */
    uint32_t abilities;     /* enum offer_ability */
    struct bytes aliases[LIMIT_OFFER_ALIASES];
    size_t alias_count;
};

/* What the provider will refuse beyond. 0: no limit said. */
struct offer_limits {
    uint64_t requests_per_minute, concurrent, body_bytes, prompt_tokens;
};

/* Micro-units of `currency` per million tokens. An empty currency: free. */
struct offer_price {
    struct bytes currency;
    uint64_t in_micro, cached_in_micro, out_micro;
};

/* Minutes of the day in UTC; from > to goes over midnight. */
struct offer_window {
    uint16_t from, to;
};

struct offer {
    struct peer_id peer;
    struct bytes id;       /* the peer's own name of this offer, stable over restarts */
    uint64_t seq;          /* grows with every change */
    uint64_t expires_ms;   /* Unix time */
    struct bytes protocol; /* "openai", or any other that is carried without being understood */
    struct bytes payload;  /* encoded; for "openai" also read into: */
    bool is_openai;
    struct offer_openai openai;
    struct offer_limits limits;
    struct offer_price price;
    struct offer_window windows[LIMIT_OFFER_WINDOWS];
    size_t window_count; /* 0: always */
    struct bytes region;
};

/* The signed form appended to `out`. o->peer is set from the key; o->payload is used as it is unless
 * is_openai. 0, E_INVALID (no id, no model, a string too long), E_LIMIT. */
int offer_sign(const struct offer *o, const struct key_pair *key, struct buf *out);
/* Decodes and verifies the signed form; views point into `in`. 0, E_MALFORMED, E_AUTH (signature),
 * E_WRONG_PEER (the key is not the peer's), E_TOO_BIG, E_LIMIT, E_UNSUPPORTED. Says nothing about
 * time: see offer_check_time. */
int offer_open(struct bytes in, struct offer *out);
/* 0, E_EXPIRED, E_LIMIT (expires further ahead than LIMIT_OFFER_LIFETIME_MS). */
int offer_check_time(const struct offer *o, uint64_t wall_ms);
/* Is it within its schedule? */
bool offer_is_open_at(const struct offer *o, uint64_t wall_ms);

/* The view for people: one JSON object. */
void offer_put_json(struct json_writer *w, const struct offer *o);
/* "chat,tools,vision" <-> bits. Names of one bit: NULL when unknown. */
const char *offer_ability_name(unsigned bit);
uint32_t offer_ability_bit(struct bytes name);

#endif
